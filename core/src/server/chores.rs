//! Snapshots, purges, installing a leader's SNAP, cutting the log: disk work beside the protocol.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::election::Start;
use crate::ids::{OpId, ReadId, Zxid};
use crate::invariant;
use crate::server::action::{FatalReason, Halt, RestartReason};
use crate::server::input::{DiskFault, Queue, ReadData};
use crate::server::note::Note;
use crate::server::role::Role;
use crate::server::view::Service;
use crate::server::{Outbox, Server, zab_cx};
use crate::storage::files::FileName;
use crate::storage::purge;
use crate::storage::snapshot::Grade;
use crate::storage::snapshot_writer::{Advanced, SnapshotWriter};
use crate::storage::supersede::Supersede;
use crate::storage::truncate::{Truncated, Truncation};
use crate::time::{Mono, Span};
use crate::tree::Database;
use crate::zab::KnownSnapshot;
use crate::zab::history::Uncuttable;

/// Pause after a snapshot that failed or was outrun by changes.
const RETRY: Span = Span::from_ms(1000);

#[derive(Debug)]
pub(super) struct Chores {
    /// Snapshots that are known to be whole, oldest first.
    snapshots: Vec<KnownSnapshot>,
    /// Snapshot files of any worth, oldest first.
    present: Vec<Zxid>,
    work: Work,
    /// Transactions since the last snapshot, and how many make the next one due.
    count: u64,
    due_at_count: u64,
    not_before: Mono,
    /// The log was rolled for a snapshot that is not sealed yet: trying again rolls no more.
    rolled: bool,
    truncation: Option<Truncation>,
    first_start: bool,
    /// A stop was asked for; how long it may take to settle.
    stopping: Option<Patience>,
}

#[derive(Clone, Copy, Debug)]
enum Patience {
    Until(Mono),
    /// The server has said goodbye.
    Over,
}

/// At most one walk at a time.
#[derive(Debug)]
enum Work {
    Idle,
    /// An own snapshot of the live tree.
    Saving(SnapshotWriter),
    /// snapshot.0 of a first start.
    Founding(SnapshotWriter),
    /// A leader's snapshot on its way to the disk; the live tree is still the old one.
    Installing {
        database: Box<Database>,
        grade: Grade,
        behind: bool,
        writer: SnapshotWriter,
    },
    /// It is sealed; what the log still writes comes to its end before its files go.
    Sealed {
        database: Box<Database>,
        grade: Grade,
        behind: bool,
        zxid: Zxid,
    },
    /// Everything older goes.
    Superseding {
        database: Box<Database>,
        grade: Grade,
        zxid: Zxid,
        supersede: Supersede,
    },
}

impl Chores {
    pub(super) fn new(
        snapshot: Option<KnownSnapshot>,
        present: Vec<Zxid>,
        replayed: u64,
        first_start: bool,
        due_at_count: u64,
    ) -> Self {
        Self {
            snapshots: snapshot.into_iter().collect(),
            present,
            work: Work::Idle,
            count: replayed,
            due_at_count,
            not_before: Mono::default(),
            rolled: false,
            truncation: None,
            first_start,
            stopping: None,
        }
    }

    pub(super) fn snapshots(&self) -> &[KnownSnapshot] {
        &self.snapshots
    }

    /// It cannot be read: no SNAP is served from it, and the next snapshot is due.
    pub(super) fn distrust_snapshot(&mut self, zxid: Zxid) {
        self.snapshots.retain(|known| known.zxid != zxid);
    }

    pub(super) fn is_first_start(&self) -> bool {
        self.first_start
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    pub(super) fn stop_deadline(&self) -> Option<Mono> {
        match self.stopping {
            Some(Patience::Until(at)) => Some(at),
            Some(Patience::Over) | None => None,
        }
    }

    pub(super) fn end_stop(&mut self) {
        self.stopping = Some(Patience::Over);
    }

    /// The server was stopped, and only lets its last bytes leave.
    pub(super) fn has_said_goodbye(&self) -> bool {
        matches!(self.stopping, Some(Patience::Over))
    }

    pub(super) fn begin_stop(&mut self, patience: Mono) {
        self.stopping = Some(Patience::Until(patience));
    }

    pub(super) fn count_transaction(&mut self) {
        self.count += 1;
    }

    /// Whether a snapshot may begin, and is due: by count, because a learner waits for one, or
    /// because no learner could be filled from those that there are.
    fn wants_snapshot(&self, missing: bool, now: Mono) -> bool {
        let due = missing || self.count >= self.due_at_count || self.holds_only_fuzzy_ones();
        matches!(self.work, Work::Idle) && due && now >= self.not_before
    }

    /// On a folder of Apache's: no learner can be filled from such a snapshot. An own one is written
    /// while there is time, since a leader that is not in office yet cannot write it.
    fn holds_only_fuzzy_ones(&self) -> bool {
        !self.snapshots.is_empty()
            && !self.snapshots.iter().any(|snapshot| snapshot.grade == Grade::Exact)
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let retry = matches!(self.work, Work::Idle) && self.count >= self.due_at_count;
        let retry = retry.then_some(self.not_before).filter(|at| *at > Mono::default());
        retry.into_iter().chain(self.stop_deadline()).min()
    }

    /// A deadline that has passed is not asked for again.
    pub(super) fn on_wake(&mut self, now: Mono) {
        if self.not_before <= now {
            self.not_before = Mono::default();
        }
    }
}

impl Server {
    /// Starts what is due.
    pub(super) fn run_chores(&mut self, out: &mut Outbox) {
        self.start_truncation(out);
        self.start_supersede(out);
        let missing = match &self.role {
            Role::Leading(leading) => leading.wants_snapshot(),
            Role::Starting
            | Role::Looking
            | Role::Following(_)
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => false,
        };
        if self.chores.wants_snapshot(missing, self.at.mono) {
            self.save_snapshot(out);
        }
    }

    /// An own snapshot covers only what is committed and durable in the own log, else a power cut
    /// could leave a tree that is ahead of it.
    fn save_snapshot(&mut self, out: &mut Outbox) {
        let zxid = self.db.applied();
        let known = self
            .chores
            .snapshots
            .iter()
            .any(|snapshot| snapshot.grade == Grade::Exact && snapshot.zxid == zxid);
        if self.service != Service::Full
            || zxid > self.history.durable()
            || zxid > self.history.committed()
            || known
        {
            return;
        }
        let writer = SnapshotWriter::start(&mut self.db, zxid, &self.config);
        self.chores.work = Work::Saving(writer);
        self.chores.count = 0;
        self.chores.due_at_count = draw_due(self.config.snap_count, &mut self.prng);
        if !core::mem::replace(&mut self.chores.rolled, true) {
            self.history.log.roll();
        }
        self.advance_snapshot(out);
    }

    fn advance_snapshot(&mut self, out: &mut Outbox) {
        let ids = &mut self.history.ids;
        let advanced = match &mut self.chores.work {
            Work::Saving(writer) | Work::Founding(writer) => writer.advance(&mut self.db, ids, out),
            Work::Installing { database, writer, .. } => writer.advance(database, ids, out),
            Work::Idle | Work::Sealed { .. } | Work::Superseding { .. } => return,
        };
        if advanced == Advanced::Dropped {
            invariant!(
                matches!(self.chores.work, Work::Saving(_)),
                "only the live tree changes under a walk"
            );
            self.chores.work = Work::Idle;
            self.retry_later();
        }
    }

    fn retry_later(&mut self) {
        self.chores.not_before = self.at.mono + RETRY;
        self.chores.count = self.chores.count.max(self.chores.due_at_count);
    }

    pub(super) fn on_snap_done(&mut self, upto: OpId, out: &mut Outbox) {
        let sealed = match &mut self.chores.work {
            Work::Saving(writer) | Work::Founding(writer) | Work::Installing { writer, .. } => {
                writer.on_done(upto, &mut self.history.ids, out)
            }
            Work::Idle | Work::Sealed { .. } | Work::Superseding { .. } => None,
        };
        match sealed {
            Some(sealed) => self.on_sealed(sealed.zxid, out),
            None => self.advance_snapshot(out),
        }
        self.on_chore_done(Queue::Snap, upto, out);
    }

    fn on_sealed(&mut self, zxid: Zxid, out: &mut Outbox) {
        match core::mem::replace(&mut self.chores.work, Work::Idle) {
            Work::Saving(_) => {
                self.chores.rolled = false;
                out.note(Note::SnapshotSealed { zxid });
                self.counters.snapshots += 1;
                self.remember_snapshot(zxid);
                self.purge(out);
                if let Role::Leading(leading) = &mut self.role {
                    leading.on_snapshot_sealed(&mut zab_cx!(self, out));
                }
            }
            Work::Founding(_) => {
                out.note(Note::SnapshotSealed { zxid });
                self.remember_snapshot(zxid);
                self.chores.first_start = false;
                // Meanwhile a leader may have been found: then its history counts, not this one.
                if matches!(self.role, Role::Looking) {
                    self.history.found(out);
                    self.look(Start::Own, out);
                }
            }
            Work::Installing { database, grade, behind, .. } => {
                out.note(Note::SnapshotSealed { zxid });
                self.chores.work = Work::Sealed { database, grade, behind, zxid };
                self.start_supersede(out);
            }
            Work::Idle | Work::Sealed { .. } | Work::Superseding { .. } => {}
        }
    }

    /// Not while an append is under way: it would write to a file that is gone, or bring it back.
    fn start_supersede(&mut self, out: &mut Outbox) {
        if !matches!(self.chores.work, Work::Sealed { .. }) || !self.history.log.is_idle() {
            return;
        }
        if let Work::Sealed { database, grade, behind, zxid } =
            core::mem::replace(&mut self.chores.work, Work::Idle)
        {
            if behind {
                out.note(Note::Disowned { upto: zxid });
                self.history.disown();
            }
            let logs = self.history.log.files();
            let supersede = Supersede::start(zxid, behind, logs, &mut self.history.ids, out);
            self.chores.work = Work::Superseding { database, grade, zxid, supersede };
        }
    }

    fn remember_snapshot(&mut self, zxid: Zxid) {
        self.chores.snapshots.retain(|known| known.zxid != zxid);
        self.chores.snapshots.push(KnownSnapshot { zxid, grade: Grade::Exact });
        self.chores.snapshots.sort_by_key(|known| known.zxid);
        if !self.chores.present.contains(&zxid) {
            self.chores.present.push(zxid);
            self.chores.present.sort_unstable();
        }
    }

    fn purge(&mut self, out: &mut Outbox) {
        let valid: Vec<Zxid> = self.chores.snapshots.iter().map(|known| known.zxid).collect();
        let retain = self.config.snap_retain_count;
        let logs = self.history.log.files();
        let ids = &mut self.history.ids;
        let present = &self.chores.present;
        let Some(purged) = purge::purge(&valid, present, logs, retain, ids, out) else { return };
        self.chores.snapshots.retain(|known| known.zxid >= purged.oldest);
        self.chores.present.retain(|zxid| *zxid >= purged.oldest);
        self.history.log.forget(|file| purged.logs.contains(file));
    }

    /// Every voter is empty: begin the history with snapshot.0.
    pub(super) fn found(&mut self, out: &mut Outbox) {
        if !matches!(self.chores.work, Work::Idle) {
            return;
        }
        let writer = SnapshotWriter::start(&mut self.db, Zxid::ZERO, &self.config);
        self.chores.work = Work::Founding(writer);
        self.advance_snapshot(out);
    }

    /// A leader's snapshot is complete in memory: seal it, remove all that it replaces, then use it.
    /// `behind`: what it replaces may hold more of the leader's history.
    pub(super) fn install_snapshot(
        &mut self,
        zxid: Zxid,
        mut database: Database,
        grade: Grade,
        behind: bool,
        out: &mut Outbox,
    ) {
        let ids = &mut self.history.ids;
        match core::mem::replace(&mut self.chores.work, Work::Idle) {
            Work::Saving(writer) | Work::Founding(writer) => writer.cancel(&mut self.db, ids, out),
            Work::Idle => {}
            Work::Installing { .. } | Work::Sealed { .. } | Work::Superseding { .. } => {
                unreachable!("a learner that broke off a SNAP restarts")
            }
        }
        let writer = match grade {
            Grade::Exact => SnapshotWriter::start(&mut database, zxid, &self.config),
            Grade::Fuzzy | Grade::Foreign => {
                SnapshotWriter::start_fuzzy(&mut database, zxid, &self.config)
            }
        };
        let database = Box::new(database);
        self.chores.work = Work::Installing { database, grade, behind, writer };
        self.advance_snapshot(out);
    }

    /// Operations of either queue are done: truncation and removal of old files go on.
    pub(super) fn on_chore_done(&mut self, queue: Queue, upto: OpId, out: &mut Outbox) {
        let ids = &mut self.history.ids;
        if let Work::Superseding { supersede, .. } = &mut self.chores.work {
            let done = supersede.on_done(queue, upto, ids, out);
            if done {
                self.finish_install(out);
            }
        } else if let Some(truncation) = &mut self.chores.truncation {
            let state = truncation.on_done(queue, upto, ids, out);
            self.on_truncated(&state, out);
        }
    }

    /// True when the read was a chore's.
    pub(super) fn on_chore_read(
        &mut self,
        read: ReadId,
        result: &Result<ReadData, DiskFault>,
        out: &mut Outbox,
    ) -> bool {
        let ids = &mut self.history.ids;
        if let Work::Superseding { supersede, .. } = &mut self.chores.work
            && supersede.awaits(read)
        {
            match result {
                Ok(data) => {
                    if supersede.on_read(data.clone(), ids, out) {
                        self.finish_install(out);
                    }
                }
                Err(fault) => self.disk_is_broken(*fault, "the data folder", out),
            }
            return true;
        }
        if let Some(truncation) = &mut self.chores.truncation
            && truncation.awaits(read)
        {
            match result {
                Ok(data) => {
                    let state = truncation.on_read(data.clone(), ids, out);
                    self.on_truncated(&state, out);
                }
                Err(fault) => self.disk_is_broken(*fault, "a log file to be cut", out),
            }
            return true;
        }
        false
    }

    fn finish_install(&mut self, out: &mut Outbox) {
        let work = core::mem::replace(&mut self.chores.work, Work::Idle);
        let Work::Superseding { database, grade, zxid, .. } = work else { return };
        self.db = *database;
        self.publish_config();
        self.history.log.restart_behind(zxid);
        self.chores.snapshots = alloc::vec![KnownSnapshot { zxid, grade }];
        self.chores.present = alloc::vec![zxid];
        self.chores.count = 0;
        self.counters.snaps_installed += 1;
        self.history.uncuttable = None;
        out.note(Note::SnapInstalled { zxid, digest: self.db.digest() });
        if let Role::Following(following) = &mut self.role {
            following.on_snapshot_installed(&mut zab_cx!(self, out));
        }
    }

    /// `/zookeeper/config` tells the configuration of this server, whatever a snapshot said: clients
    /// learn their servers from it. Nobody is served yet, so nobody watches it.
    pub(super) fn publish_config(&mut self) {
        if self.config.ensemble.is_some() {
            let version = Zxid(self.ensemble.version());
            let text = Bytes::from(self.ensemble.text());
            self.db.set_config(text, version, self.at.wall, &mut Vec::new());
        }
    }

    fn start_truncation(&mut self, out: &mut Outbox) {
        let Role::Truncating { upto, .. } = self.role else { return };
        if self.chores.truncation.is_some() || !self.history.log.is_idle() {
            return;
        }
        let ids = &mut self.history.ids;
        match core::mem::replace(&mut self.chores.work, Work::Idle) {
            Work::Saving(writer) | Work::Founding(writer) => writer.cancel(&mut self.db, ids, out),
            Work::Idle
            | Work::Installing { .. }
            | Work::Sealed { .. }
            | Work::Superseding { .. } => {}
        }
        let logs = self.history.log.files();
        self.chores.truncation = Some(Truncation::start(&self.config, upto, logs, ids, out));
    }

    fn on_truncated(&mut self, state: &Truncated, out: &mut Outbox) {
        let Role::Truncating { leader, upto } = self.role else { return };
        match state {
            Truncated::Working => {}
            Truncated::Cut => {
                out.note(Note::Truncated { upto });
                self.halt(Halt::Restart(RestartReason::Truncated), out);
            }
            Truncated::Impossible => {
                out.note(Note::Uncuttable { upto });
                self.chores.truncation = None;
                self.history.uncuttable = Some(Uncuttable { epoch: self.history.accepted(), upto });
                self.follow(leader, out);
            }
            Truncated::MovedAside => {
                out.note(Note::MovedAside);
                self.halt(Halt::Restart(RestartReason::Truncated), out);
            }
        }
    }

    /// A failed own snapshot is dropped and tried again later; what a leader's history depends on
    /// is not.
    pub(super) fn on_snap_failed(&mut self, op: OpId, fault: DiskFault, out: &mut Outbox) {
        let ids = &mut self.history.ids;
        if self.chores.truncation.is_some() {
            self.disk_is_broken(fault, "a file that TRUNC removes", out);
            return;
        }
        match core::mem::replace(&mut self.chores.work, Work::Idle) {
            Work::Saving(writer) if writer.owns(op) => {
                writer.on_failed(&mut self.db, ids, out);
                self.retry_later();
            }
            Work::Founding(_)
            | Work::Installing { .. }
            | Work::Sealed { .. }
            | Work::Superseding { .. } => {
                let zxid = self.db.applied();
                let file = alloc::string::ToString::to_string(&FileName::snapshot(zxid));
                self.disk_is_broken(fault, &file, out);
            }
            // A purge, or leftovers of a snapshot that was given up: nothing depends on it.
            work @ (Work::Idle | Work::Saving(_)) => self.chores.work = work,
        }
    }

    fn disk_is_broken(&mut self, fault: DiskFault, what: &str, out: &mut Outbox) {
        self.halt(Halt::Fatal(FatalReason::Disk { file: what.into(), fault }), out);
    }
}

/// As in ZooKeeper: somewhere in the upper half of snapCount, so that servers do not snapshot in step.
pub(super) fn draw_due(snap_count: u64, prng: &mut crate::prng::Prng) -> u64 {
    let half = (snap_count / 2).max(1);
    half + prng.below(half)
}
