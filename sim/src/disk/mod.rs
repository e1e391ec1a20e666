//! The disk of one server: two FIFO queues of operations with latencies, reads beside them, and
//! faults. What the operations do to files is in `image`.

mod content;
mod disks;
mod image;
pub(crate) mod index;
mod inode;
mod padded;
mod parts;
mod survivors;

use std::collections::{BTreeMap, VecDeque};

use vivarium_core::ids::{OpId, ReadId};
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{DiskFault, Queue, ReadData};
use vivarium_core::storage::files::FileName;
use vivarium_core::storage::ops::op_of;

pub use self::disks::Disks;
pub use self::image::Image;
pub(crate) use self::index::{adler32, first_record_len};
use crate::coverage::{DiskProgress, Struck};
pub use crate::disk_view::{DiskView, NoDisks};
use crate::ids::SimTime;
use crate::machine::Machine;
use crate::observe::{CrashKind, Durable};
use crate::rng::SimRng;

/// A completion whose moment has not come; handed back with [`DiskSim::due`].
#[derive(Debug)]
pub struct DiskEvent(Event);

#[derive(Debug)]
enum Event {
    /// The head of that queue; the number tells a queue that failed from its successor.
    Op {
        queue: Queue,
        generation: u32,
    },
    Read {
        read: ReadId,
    },
    /// One operation of a recovery.
    Single(DiskAction),
}

/// What the process is told.
#[derive(Debug)]
pub enum DiskDone {
    Op {
        queue: Queue,
        op: OpId,
        boundary: Boundary,
    },
    Failed {
        queue: Queue,
        op: OpId,
        fault: DiskFault,
    },
    Read {
        read: ReadId,
        result: Result<ReadData, DiskFault>,
    },
    /// The operation of a recovery.
    Single {
        result: Result<Option<ReadData>, DiskFault>,
        boundary: Boundary,
    },
}

impl DiskDone {
    /// What failed, and how.
    pub(crate) fn failure(&self) -> Option<(Struck, DiskFault)> {
        match self {
            Self::Op { .. } => None,
            Self::Failed { queue: Queue::Log, fault, .. } => Some((Struck::Log, *fault)),
            Self::Failed { queue: Queue::Snap, fault, .. } => Some((Struck::Snapshot, *fault)),
            Self::Read { result, .. } => result.as_ref().err().map(|fault| (Struck::Read, *fault)),
            Self::Single { result, .. } => {
                result.as_ref().err().map(|fault| (Struck::Recovery, *fault))
            }
        }
    }
}

/// What kind of persistence step an operation was: crashes are biased towards them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    None,
    Write,
    /// Of a file.
    Sync,
    /// Of a folder: what was renamed or created gets its name.
    Names,
}

/// Which operation an armed fault makes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOp {
    Write,
    Sync,
    Read,
    SnapshotWrite,
    SnapshotSync,
}

#[derive(Debug, Default)]
struct Lane {
    ops: VecDeque<DiskAction>,
    last: SimTime,
    generation: u32,
}

/// One server's disk.
#[derive(Debug)]
pub struct DiskSim {
    image: Image,
    rng: SimRng,
    /// How much a write leaves that fails, or that its process does not see the end of.
    torn: SimRng,
    log: Lane,
    snap: Lane,
    reads: BTreeMap<ReadId, DiskAction>,
    /// Microseconds of one quick sync.
    sync_base: u64,
    /// Of a thousand syncs, so many take 10 to 80 ms.
    tail_per_mille: u64,
    /// Most that a write of a snapshot waits; 0: no longer than others.
    snap_writes_us: u64,
    /// All syncs are slow until then.
    slow_until: SimTime,
    /// Everything takes so many times as long until then.
    loaded: (SimTime, u64),
    /// What is handed over before then completes no earlier.
    stalled_until: SimTime,
    /// The next write to the log goes astray, to what lies at least so many bytes before its place.
    astray: Option<u64>,
    strayed: bool,
    full: bool,
    fail_next: Option<FailOp>,
    progress: DiskProgress,
}

impl DiskSim {
    /// `hash` names the payload of a log record, as notes do.
    pub fn new(machine: &Machine, rng: SimRng, mut torn: SimRng, hash: fn(&[u8]) -> u64) -> Self {
        // What the disk writes as a whole or not at all.
        let sector = *torn.pick(&[512, 4096]);
        Self {
            image: Image::new(sector, hash),
            sync_base: machine.sync_us,
            tail_per_mille: machine.slow_syncs_per_mille,
            snap_writes_us: machine.snap_writes_us,
            rng,
            torn,
            log: Lane::default(),
            snap: Lane::default(),
            reads: BTreeMap::new(),
            slow_until: SimTime::ZERO,
            loaded: (SimTime::ZERO, 1),
            stalled_until: SimTime::ZERO,
            astray: None,
            strayed: false,
            full: false,
            fail_next: None,
            progress: DiskProgress::default(),
        }
    }

    /// What was done and is not durable yet.
    pub(crate) fn progress(&mut self) -> &mut DiskProgress {
        &mut self.progress
    }

    /// Latencies, and what a crash leaves, come from here.
    pub(crate) fn reroll(&mut self, rng: SimRng, torn: SimRng) {
        self.rng = rng;
        self.torn = torn;
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn plant(&mut self, name: FileName, content: &[u8]) {
        self.image.plant(name, content);
    }

    /// Puts other content into a file, durably, while no process runs.
    pub(crate) fn rewrite(&mut self, name: &FileName, content: &[u8]) {
        self.image.rewrite(name, content);
    }

    /// Takes an operation; the result goes into the delivery heap of the server.
    pub fn submit(&mut self, now: SimTime, action: DiskAction) -> (SimTime, DiskEvent) {
        let (start, latency) = (now.max(self.stalled_until), self.latency(now, &action));
        match &action {
            DiskAction::Read { read, .. } | DiskAction::List { read, .. } => {
                let read = *read;
                self.reads.insert(read, action);
                (self.completion(start, latency), DiskEvent(Event::Read { read }))
            }
            DiskAction::Write { queue, .. }
            | DiskAction::SetLen { queue, .. }
            | DiskAction::SyncFile { queue, .. }
            | DiskAction::Rename { queue, .. }
            | DiskAction::SyncDir { queue, .. }
            | DiskAction::Remove { queue, .. } => {
                let queue = *queue;
                let done = self.completion(self.lane_ref(queue).last.max(start), latency);
                let lane = self.lane(queue);
                lane.last = done;
                lane.ops.push_back(action);
                let event = Event::Op { queue, generation: lane.generation };
                (lane.last, DiskEvent(event))
            }
        }
    }

    /// Takes one operation of a recovery, which waits for nothing else.
    pub fn submit_single(&mut self, now: SimTime, action: DiskAction) -> (SimTime, DiskEvent) {
        let (start, latency) = (now.max(self.stalled_until), self.latency(now, &action));
        (self.completion(start, latency), DiskEvent(Event::Single(action)))
    }

    /// What the operation would be, before it is carried out.
    pub fn boundary(&self, event: &DiskEvent) -> Boundary {
        match &event.0 {
            Event::Op { queue, generation } => {
                let lane = self.lane_ref(*queue);
                let head = (lane.generation == *generation).then(|| lane.ops.front()).flatten();
                head.map_or(Boundary::None, boundary_of)
            }
            Event::Read { .. } => Boundary::None,
            Event::Single(action) => boundary_of(action),
        }
    }

    /// Carries out the operation. `None`: its queue failed before.
    pub fn due(&mut self, event: DiskEvent, changes: &mut Vec<Durable>) -> Option<DiskDone> {
        match event.0 {
            Event::Op { queue, generation } => {
                let lane = self.lane(queue);
                if lane.generation != generation {
                    return None;
                }
                let action = lane.ops.pop_front().expect("one event for each operation");
                let (_, op) = op_of(&action).expect("only queued operations are in a queue");
                let boundary = boundary_of(&action);
                Some(match self.carry_out(&action, changes) {
                    Ok(_) => DiskDone::Op { queue, op, boundary },
                    Err(fault) => {
                        // A broken log ends the server; snapshots are tried again, so the host
                        // goes on behind one that failed.
                        if queue == Queue::Log {
                            let lane = self.lane(queue);
                            lane.ops.clear();
                            lane.generation += 1;
                        }
                        DiskDone::Failed { queue, op, fault }
                    }
                })
            }
            Event::Read { read } => {
                let action = self.reads.remove(&read)?;
                let result = self.carry_out(&action, changes);
                let result = result.map(|data| data.expect("reads give data"));
                Some(DiskDone::Read { read, result })
            }
            Event::Single(action) => {
                let boundary = boundary_of(&action);
                let result = self.carry_out(&action, changes);
                Some(DiskDone::Single { result, boundary })
            }
        }
    }

    /// The process is gone, or the machine. Of what was still queued a prefix was carried out; what
    /// that made durable is returned.
    pub fn crash(&mut self, kind: CrashKind) -> Vec<Durable> {
        let mut changes = Vec::new();
        for queue in [Queue::Log, Queue::Snap] {
            let lane = self.lane(queue);
            lane.generation += 1;
            lane.last = SimTime::ZERO;
            let queued = std::mem::take(&mut lane.ops);
            let done = self.rng.below(queued.len() as u64 + 1) as usize;
            let mut failed = false;
            for action in queued.iter().take(done) {
                failed = self.carry_out(action, &mut changes).is_err();
                if failed {
                    break;
                }
            }
            if let Some(action) = queued.get(done).filter(|_| !failed) {
                self.tear(action);
            }
        }
        self.reads.clear();
        match kind {
            CrashKind::Process => {}
            CrashKind::PowerLoss => self.image.power_loss(&mut self.rng),
        }
        changes
    }

    pub fn wipe(&mut self) {
        self.image.wipe();
    }

    /// See [`Image::rot`].
    pub fn rot(&mut self, spare: u64) -> bool {
        self.image.rot(spare, &mut self.rng)
    }

    /// See [`Image::rot_snapshot`].
    pub fn rot_snapshot(&mut self) -> bool {
        self.image.rot_snapshot(&mut self.rng)
    }

    /// See [`Image::misdirect`].
    pub fn misdirect_next(&mut self, spare: Option<u64>) {
        self.astray = spare;
    }

    /// Whether a write went astray since this was asked before.
    pub fn take_strayed(&mut self) -> bool {
        std::mem::take(&mut self.strayed)
    }

    pub fn load_until(&mut self, until: SimTime, factor: u64) {
        self.loaded = (until, factor);
    }

    pub fn stall_until(&mut self, until: SimTime) {
        self.stalled_until = self.stalled_until.max(until);
    }

    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    pub fn slow_until(&mut self, until: SimTime) {
        self.slow_until = self.slow_until.max(until);
    }

    pub fn fail_next(&mut self, op: Option<FailOp>) {
        self.fail_next = op;
    }

    /// The fault of `fail_next` is over, whether it struck or not.
    pub fn fail_no_more(&mut self, op: FailOp) {
        self.fail_next = self.fail_next.filter(|armed| *armed != op);
    }

    /// No fault is left from now on, latencies aside.
    pub fn heal(&mut self) {
        self.full = false;
        self.fail_next = None;
        self.slow_until = SimTime::ZERO;
        self.loaded = (SimTime::ZERO, 1);
        self.stalled_until = SimTime::ZERO;
        self.astray = None;
    }

    fn carry_out(
        &mut self,
        action: &DiskAction,
        changes: &mut Vec<Durable>,
    ) -> Result<Option<ReadData>, DiskFault> {
        self.strike(action)?;
        self.progress.did(action);
        if let (DiskAction::Write { file, offset, bytes, .. }, Some(spare)) = (action, self.astray)
            && self.image.misdirect(file, *offset, bytes, spare, &mut self.torn)
        {
            self.astray = None;
            self.strayed = true;
            return Ok(None);
        }
        self.image.carry_out(action, changes)
    }

    /// The first part of a write takes effect.
    fn tear(&mut self, action: &DiskAction) {
        if let DiskAction::Write { file, offset, bytes, .. } = action {
            let part = self.torn.below(bytes.len() as u64 + 1) as usize;
            if part > 0 {
                self.image.write(file, *offset, bytes.slice(..part));
            }
        }
    }

    fn strike(&mut self, action: &DiskAction) -> Result<(), DiskFault> {
        let boundary = boundary_of(action);
        let grows = matches!(action, DiskAction::Write { .. } | DiskAction::SetLen { .. });
        if self.full && grows {
            self.tear(action);
            return Err(DiskFault::NoSpace);
        }
        let of_snapshot = matches!(op_of(action), Some((Queue::Snap, _)));
        let strikes = match (self.fail_next, boundary) {
            (Some(FailOp::Write), Boundary::Write)
            | (Some(FailOp::Sync), Boundary::Sync | Boundary::Names)
            | (Some(FailOp::Read), Boundary::None) => true,
            (Some(FailOp::SnapshotWrite), Boundary::Write)
            | (Some(FailOp::SnapshotSync), Boundary::Sync | Boundary::Names) => of_snapshot,
            (
                None
                | Some(
                    FailOp::Write
                    | FailOp::Sync
                    | FailOp::Read
                    | FailOp::SnapshotWrite
                    | FailOp::SnapshotSync,
                ),
                _,
            ) => false,
        };
        if !strikes {
            return Ok(());
        }
        self.fail_next = None;
        self.tear(action);
        if let DiskAction::SyncFile { file, .. } = action {
            self.image.lose_dirty_pages(file);
        }
        Err(DiskFault::Io)
    }

    /// When an operation is done that begins then and takes so long where nothing else loads the disk.
    /// What is under way when the load goes takes no longer than that from there on.
    fn completion(&self, begins: SimTime, latency: u64) -> SimTime {
        let (until, factor) = self.loaded;
        let loaded = begins.plus(latency.saturating_mul(factor));
        if begins < until { loaded.min(until.plus(latency)) } else { begins.plus(latency) }
    }

    fn latency(&mut self, now: SimTime, action: &DiskAction) -> u64 {
        match action {
            DiskAction::SyncFile { .. } | DiskAction::SyncDir { .. } => {
                let tail = if now < self.slow_until { 1000 } else { self.tail_per_mille };
                if self.rng.chance(tail) {
                    self.rng.range(10_000, 80_000)
                } else {
                    self.sync_base + self.rng.below(self.sync_base)
                }
            }
            DiskAction::Write { queue: Queue::Snap, .. } if self.snap_writes_us > 0 => {
                self.rng.range(3, self.snap_writes_us)
            }
            DiskAction::Write { .. } | DiskAction::SetLen { .. } => self.rng.range(3, 60),
            DiskAction::Rename { .. } | DiskAction::Remove { .. } => self.rng.range(10, 100),
            DiskAction::Read { .. } | DiskAction::List { .. } => self.rng.log_range(5, 500),
        }
    }

    fn lane(&mut self, queue: Queue) -> &mut Lane {
        match queue {
            Queue::Log => &mut self.log,
            Queue::Snap => &mut self.snap,
        }
    }

    fn lane_ref(&self, queue: Queue) -> &Lane {
        match queue {
            Queue::Log => &self.log,
            Queue::Snap => &self.snap,
        }
    }
}

fn boundary_of(action: &DiskAction) -> Boundary {
    match action {
        DiskAction::Write { .. }
        | DiskAction::SetLen { .. }
        | DiskAction::Rename { .. }
        | DiskAction::Remove { .. } => Boundary::Write,
        DiskAction::SyncFile { .. } => Boundary::Sync,
        DiskAction::SyncDir { .. } => Boundary::Names,
        DiskAction::Read { .. } | DiskAction::List { .. } => Boundary::None,
    }
}

#[cfg(test)]
mod tests;
