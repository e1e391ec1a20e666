//! The server: inputs in, actions out. The only module that sees all others.
//!
//! `step` dispatches an input; `role` says who leads whom; `write` turns requests into proposals;
//! `apply` carries commits into the tree and answers clients; `chores` keeps snapshots and cuts
//! the log; `recovery` rebuilds a server from its folder.

pub mod action;
mod apply;
mod chores;
pub mod clients;
mod excesses;
mod fitness;
pub mod input;
pub mod note;
pub mod outbox;
mod recovery;
mod report;
mod role;
mod service;
mod sessions;
mod standalone;
mod step;
mod sweep;
#[cfg(test)]
mod tests;
pub mod view;
mod write;

pub use action::Action;
pub use input::Input;
pub use outbox::Outbox;
pub use recovery::{Recovery, RecoveryInput, RecoveryProgress, RecoveryStep};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::admin::summary::Sizes;
use crate::config::Config;
use crate::election::Election;
use crate::ensemble::Ensemble;
use crate::ids::{DialIds, LinkId, ServerId, Xid};
use crate::prng::Prng;
use crate::request::Preparer;
use crate::server::chores::Chores;
use crate::server::clients::Clients;
use crate::server::excesses::Excesses;
use crate::server::fitness::Fitness;
use crate::server::input::Plane;
use crate::server::note::Phase;
use crate::server::role::{Role, WaitingLearner};
use crate::server::sweep::Sweep;
use crate::server::view::{Counters, Service};
use crate::session::{ClosedSessions, LocalSessions, SessionIds, SessionTracker, TouchTable};
use crate::time::{Mono, Stamp};
use crate::timers::Timer;
use crate::tree::Database;
use crate::zab::history::History;

/// One server, from the end of its recovery to its halt.
#[derive(Debug)]
pub struct Server {
    config: Config,
    /// Voters and observers; a standalone server is an ensemble of one without an election.
    ensemble: Ensemble,
    at: Stamp,
    /// As of the last step.
    due: Option<(Mono, Timer)>,
    prng: Prng,
    dials: DialIds,
    counters: Counters,
    history: History,
    db: Database,
    role: Role,
    /// When it last began to look for a leader.
    looking_since: Mono,
    /// What the last PhaseEntered note said.
    noted: Option<Phase>,
    /// What the last FirstStartWaits note said.
    awaited: Vec<ServerId>,
    /// `None` when standalone.
    election: Option<Election>,
    planes: BTreeMap<LinkId, Plane>,
    /// Learners that came while this server looks: held until it knows whether it leads.
    waiting: BTreeMap<LinkId, WaitingLearner>,
    clients: Clients,
    service: Service,
    /// Since when; `None` while it serves nobody.
    serving_since: Option<Mono>,
    /// Of the transactions that this server proposed since it leads.
    proposal_sizes: Sizes,
    preparer: Preparer,
    excesses: Excesses,
    session_ids: SessionIds,
    /// Expiry of all sessions: exists while this server leads or stands alone.
    tracker: Option<SessionTracker>,
    /// Sessions that this server alone knows; `None` where new ones are global.
    local: Option<LocalSessions>,
    /// Sessions of the ensemble that ended since this server leads.
    closed: ClosedSessions,
    /// Who looks for nodes that have outlived their purpose: exists while the tracker does.
    sweep: Option<Sweep>,
    /// Sessions used here since the leader's last PING.
    touched: TouchTable,
    /// `sync`s that were forwarded, in order: the leader answers in the same order.
    syncs: VecDeque<(LinkId, Xid)>,
    chores: Chores,
    fitness: Fitness,
}

/// Lends the parts of a server that ZAB works with, while its role is borrowed too.
macro_rules! zab_cx {
    ($server:expr, $out:expr) => {
        $crate::zab::ZabCx {
            config: &$server.config,
            ensemble: &$server.ensemble,
            at: $server.at,
            history: &mut $server.history,
            snapshots: $server.chores.snapshots(),
            out: $out,
            counters: &mut $server.counters,
            dials: &mut $server.dials,
        }
    };
}
pub(crate) use zab_cx;

/// Lends what the client plane sees.
macro_rules! client_cx {
    ($server:expr, $out:expr) => {
        $crate::server::clients::ClientCx {
            config: &$server.config,
            at: $server.at,
            db: &$server.db,
            logged: $server.history.head(),
            epoch: $server.history.current(),
            out: $out,
            counters: &mut $server.counters,
        }
    };
}
pub(crate) use client_cx;

/// Lends what an election needs.
macro_rules! election_cx {
    ($server:expr, $out:expr) => {
        $crate::election::Cx {
            at: $server.at,
            out: $out,
            dials: &mut $server.dials,
            prng: &mut $server.prng,
        }
    };
}
pub(crate) use election_cx;
