//! All that words tell, gathered when one is asked.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::admin::summary::Sizes;
use crate::admin::traffic::{LinkTraffic, Traffic};
use crate::config::Config;
use crate::ids::{LinkId, SessionId};
use crate::server::input::Far;
use crate::server::note::Phase;
use crate::server::view::View;
use crate::time::{Mono, Span, Stamp, Wall};
use crate::tree::Database;
use crate::watch::Watches;

/// What a server calls its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// `3.9.5`: clients compare it.
    pub number: &'static str,
    pub revision: &'static str,
    pub built: &'static str,
}

/// One server at one moment.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    pub version: Version,
    pub at: Stamp,
    pub config: &'a Config,
    pub view: &'a View,
    pub db: &'a Database,
    pub watches: &'a Watches,
    pub traffic: &'a Traffic,
    /// In the order in which they were made.
    pub connections: Vec<Connection>,
    /// When it began to serve; `None` while it does not.
    pub serving_since: Option<Mono>,
    /// On the leader and standalone: who would expire when.
    pub expiry: Option<Vec<ExpirySet>>,
    /// Of the sessions that only this server knows, where there may be any.
    pub local_expiry: Option<Vec<ExpirySet>>,
    /// `None` on all but a leader.
    pub lead: Option<Lead>,
    /// Requests that a quota refused here, by the first name of the path.
    pub quota_refusals: &'a BTreeMap<String, u64>,
}

/// Sessions that expire together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpirySet {
    /// Session time that is left.
    pub left: Span,
    pub sessions: Vec<SessionId>,
}

/// What only a leader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Learners on a link, whatever their stage.
    pub learners: usize,
    pub synced_followers: usize,
    /// Followers among them that do not vote.
    pub synced_non_voting_followers: usize,
    pub synced_observers: usize,
    pub pending_syncs: usize,
    pub proposal_sizes: Sizes,
}

/// One client connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub link: LinkId,
    pub far: Far,
    /// When it was made.
    pub since: Mono,
    pub reading: bool,
    pub writing: bool,
    pub queued: usize,
    pub traffic: LinkTraffic,
    pub session: Option<AttachedSession>,
    /// When silence ends it.
    pub silent_at: Mono,
}

/// The session of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedSession {
    pub id: SessionId,
    pub timeout_ms: i32,
}

impl Report<'_> {
    pub(super) fn uptime(&self) -> Span {
        self.serving_since.map_or(Span::ZERO, |since| self.at.mono.since(since))
    }

    /// The wall clock's reading when the monotonic one will show `at`.
    pub(super) fn wall_at(&self, at: Mono) -> Wall {
        let (later, earlier) = (at.since(self.at.mono), self.at.mono.since(at));
        Wall(self.at.wall.0 + later.as_ms() as i64 - earlier.as_ms() as i64)
    }

    /// What `srvr` calls the mode, and `mntr` the state.
    pub(super) fn mode(&self) -> &'static str {
        match self.view.phase {
            Phase::Standalone => "standalone",
            Phase::LeadingDiscovery | Phase::LeadingSynchronization | Phase::LeadingBroadcast => {
                "leader"
            }
            Phase::FollowingDiscovery
            | Phase::FollowingSynchronization
            | Phase::FollowingBroadcast => "follower",
            Phase::ObservingDiscovery
            | Phase::ObservingSynchronization
            | Phase::ObservingBroadcast => "observer",
            Phase::Looking if self.view.read_only => "read-only",
            Phase::Looking | Phase::Halted => "looking",
        }
    }
}
