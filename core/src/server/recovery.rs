//! From a folder to a server: storage's recovery, then the machine around what it found.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};

use crate::admin::summary::Sizes;
use crate::config::{Config, EnsembleConfig};
use crate::election::Election;
use crate::ensemble::Ensemble;
use crate::ids::{DialIds, Zxid};
use crate::prng::Prng;
use crate::server::Server;
use crate::server::action::{DiskAction, FatalReason};
use crate::server::chores::{Chores, draw_due};
use crate::server::clients::Clients;
use crate::server::excesses::Excesses;
use crate::server::fitness::Fitness;
use crate::server::input::{DiskFault, ReadData};
use crate::server::outbox::Outbox;
use crate::server::role::Role;
use crate::server::view::{Counters, Service};
use crate::session::{ClosedSessions, LocalSessions, SessionIds, TouchTable};
use crate::storage::log_writer::LogWriter;
use crate::storage::ops::DiskIds;
use crate::storage::recovery::{self, Recovered, Recovering};
use crate::time::{Mono, Stamp};
use crate::timers::Timer;
use crate::zab::KnownSnapshot;
use crate::zab::history::{History, Recalled};
use crate::zab::window::{Entry, Window};

/// Rebuilds a server from its folder: a pull machine, one disk operation at a time.
#[derive(Debug)]
pub struct Recovery {
    at: Stamp,
    machine: Recovering,
}

/// What the host found when it carried out the last [`RecoveryStep`].
#[derive(Debug)]
pub enum RecoveryInput {
    /// First call.
    Begin,
    /// A write-like operation is complete.
    Done,
    Read(ReadData),
    Failed(DiskFault),
}

#[derive(Debug)]
pub enum RecoveryStep {
    /// Carry out this one operation (its ids mean nothing here), then call `next` again.
    Disk(DiskAction),
    /// For people: call `next(Done)`.
    Progress(RecoveryProgress),
    /// The server, and the notes that it starts with. Its first deadline is at once.
    Done(Box<Server>, Outbox),
    Refused(FatalReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryProgress {
    pub transactions: u64,
}

impl Recovery {
    pub fn start(config: Config, at: Stamp) -> Self {
        Self { at, machine: Recovering::start(config) }
    }

    pub fn next(&mut self, got: RecoveryInput) -> RecoveryStep {
        match self.machine.next(got) {
            recovery::Step::Disk(action) => RecoveryStep::Disk(action),
            recovery::Step::Progress(progress) => RecoveryStep::Progress(progress),
            recovery::Step::Refused(reason) => RecoveryStep::Refused(reason),
            recovery::Step::Done(recovered) => {
                let mut out = Outbox::new();
                let server = assemble(self.machine.config().clone(), self.at, *recovered, &mut out);
                RecoveryStep::Done(Box::new(server), out)
            }
        }
    }
}

fn assemble(config: Config, at: Stamp, recovered: Recovered, out: &mut Outbox) -> Server {
    for note in recovered.notes {
        out.note(note);
    }
    let last = match recovered.history {
        recovery::History::Blank => None,
        recovery::History::From { last } => Some(last),
    };
    let log = LogWriter::new(&config, recovered.logs, last);
    let whole = recovered.tail.len() < config.commit_log_count;
    let oldest = recovered.snapshot.map(|(zxid, _)| zxid);
    let window = remember(oldest, last, recovered.tail, whole);
    let replayed = window.len() as u64;
    let history = History::new(Recalled {
        log,
        window,
        ids: DiskIds::new(),
        blank: last.is_none(),
        accepted: recovered.accepted,
        current: recovered.current,
    });
    let ensemble = Ensemble::new(config.ensemble.clone().unwrap_or_else(alone));
    let election = config.ensemble.is_some().then(|| Election::new(&config, &ensemble));
    let snapshot = recovered.snapshot.map(|(zxid, grade)| KnownSnapshot { zxid, grade });
    let mut prng = Prng::from_seed(config.seed);
    let due = draw_due(config.snap_count, &mut prng);
    let chores = Chores::new(snapshot, recovered.snapshots, replayed, recovered.first_start, due);
    // A server alone has no need of them.
    let local = (config.local_sessions && config.ensemble.is_some())
        .then(|| LocalSessions::new(config.tick, at.mono));
    let known = recovered.database.newest_sessions();
    let session_ids = SessionIds::new(config.me, at.wall, known, prng.next_u64());
    let mut server = Server {
        session_ids,
        ensemble,
        at,
        // The first step begins everything.
        due: Some((Mono::default(), Timer::Phase)),
        prng,
        dials: DialIds::default(),
        counters: Counters::default(),
        history,
        db: recovered.database,
        role: Role::Starting,
        looking_since: at.mono,
        noted: None,
        awaited: alloc::vec::Vec::new(),
        election,
        planes: BTreeMap::new(),
        waiting: BTreeMap::new(),
        clients: Clients::new(),
        service: Service::None,
        serving_since: None,
        proposal_sizes: Sizes::default(),
        excesses: Excesses::default(),
        preparer: crate::request::Preparer::new(&config),
        tracker: None,
        local,
        closed: ClosedSessions::default(),
        sweep: None,
        touched: TouchTable::default(),
        syncs: VecDeque::new(),
        chores,
        fitness: Fitness::default(),
        config,
    };
    server.publish_config();
    server
}

/// The newest part of the replayed log. `whole`: it reaches back to the snapshot.
fn remember(
    snapshot: Option<Zxid>,
    last: Option<Zxid>,
    tail: alloc::vec::Vec<(Zxid, bytes::Bytes)>,
    whole: bool,
) -> Window {
    let mut tail = tail.into_iter();
    let fallback = last.or(snapshot).unwrap_or(Zxid::ZERO);
    let from_snapshot = snapshot.filter(|_| whole && tail.len() > 0);
    // Else the oldest kept record becomes the base: what precedes it is not known here.
    let base = from_snapshot.or_else(|| tail.next().map(|(zxid, _)| zxid)).unwrap_or(fallback);
    let mut window = Window::new(base);
    for (zxid, payload) in tail {
        window.push_recovered(Entry { zxid, payload });
    }
    window
}

/// A standalone server has no peers to name.
fn alone() -> EnsembleConfig {
    EnsembleConfig {
        members: BTreeMap::new(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    }
}
