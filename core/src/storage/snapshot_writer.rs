//! One own snapshot, written while the tree is walked and changes go on.

use alloc::collections::VecDeque;

use bytes::BytesMut;

use crate::config::Config;
use crate::ids::{OpId, Zxid};
use crate::server::action::DiskAction;
use crate::server::input::Queue;
use crate::server::outbox::Outbox;
use crate::storage::files::{Dir, FileName, unsealed_snapshot};
use crate::storage::ops::{DiskIds, op_of};
use crate::storage::snapshot::SnapshotEncoder;
use crate::tree::{Database, Walk};

/// Writes that may be under way at once.
const PORTIONS_MAX: usize = 2;

/// The snapshot of this zxid is durable under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub zxid: Zxid,
}

/// Whether the walk still gives what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// `on_done` will come again.
    Working,
    /// Changes outran the walk; the partial file is removed. Drop the writer and try again later.
    Dropped,
}

#[derive(Debug)]
enum Phase {
    Walking(SnapshotEncoder),
    /// All is written. The name is given only once the content is known to be on disk: a host goes
    /// on behind a failed write, and a broken file must never bear a snapshot's name.
    Syncing {
        sync: OpId,
    },
    /// The last operation seals.
    Sealing {
        last: OpId,
    },
}

/// Writes `snapshot.<zxid>.tmp` in portions, syncs it, and only then gives it its name: a file
/// under the name of a snapshot was whole once, so that a broken one is rot and never a crash.
#[derive(Debug)]
pub struct SnapshotWriter {
    zxid: Zxid,
    phase: Phase,
    /// Size of one Write, about.
    portion_bytes: usize,
    offset: u64,
    under_way: VecDeque<OpId>,
}

impl SnapshotWriter {
    /// Freezes the walk at the database's present state; that state has to be `zxid`'s.
    /// Nothing is written before the first `advance`.
    pub fn start(db: &mut Database, zxid: Zxid, config: &Config) -> Self {
        let encoder = SnapshotEncoder::new(zxid, db.digest().tree);
        db.begin_walk(config.snap_preimage_limit_bytes);
        Self::new(encoder, zxid, config)
    }

    /// The database came with a Java leader's SNAP of `zxid`, and may hold parts of later
    /// transactions: the file says so. Nothing changes under the walk.
    pub fn start_fuzzy(db: &mut Database, zxid: Zxid, config: &Config) -> Self {
        db.begin_walk(usize::MAX);
        Self::new(SnapshotEncoder::fuzzy(zxid), zxid, config)
    }

    fn new(encoder: SnapshotEncoder, zxid: Zxid, config: &Config) -> Self {
        let (phase, portion_bytes) = (Phase::Walking(encoder), config.snap_portion_bytes);
        Self { zxid, phase, portion_bytes, offset: 0, under_way: VecDeque::new() }
    }

    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Issues as much as may be under way. To be called after `start` and after each `on_done`.
    pub fn advance(&mut self, db: &mut Database, ids: &mut DiskIds, out: &mut Outbox) -> Advanced {
        while matches!(self.phase, Phase::Walking(_)) && self.under_way.len() < PORTIONS_MAX {
            if !self.portion(db, ids, out) {
                self.discard(ids, out);
                return Advanced::Dropped;
            }
        }
        Advanced::Working
    }

    /// `upto` of [`Queue::Snap`].
    pub fn on_done(&mut self, upto: OpId, ids: &mut DiskIds, out: &mut Outbox) -> Option<Sealed> {
        while self.under_way.pop_front_if(|op| *op <= upto).is_some() {}
        match self.phase {
            Phase::Syncing { sync } if sync <= upto => {
                let tmp = unsealed_snapshot(self.zxid);
                out.disk(ids.rename(Queue::Snap, tmp, FileName::snapshot(self.zxid)));
                let seal = ids.sync_dir(Queue::Snap, Dir::Data);
                let last = op_of(&seal).map_or(sync, |(_, op)| op);
                out.disk(seal);
                self.phase = Phase::Sealing { last };
                None
            }
            Phase::Sealing { last } if last <= upto => Some(Sealed { zxid: self.zxid }),
            Phase::Syncing { .. } | Phase::Sealing { .. } | Phase::Walking(_) => None,
        }
    }

    /// Whether a failed operation was one of this snapshot's.
    pub fn owns(&self, op: OpId) -> bool {
        match self.phase {
            Phase::Walking(_) => self.under_way.contains(&op),
            Phase::Syncing { sync } => op <= sync,
            Phase::Sealing { last } => op <= last,
        }
    }

    /// One of the operations failed: the walk ends and the partial file goes.
    pub fn on_failed(self, db: &mut Database, ids: &mut DiskIds, out: &mut Outbox) {
        self.cancel(db, ids, out);
    }

    /// Gives the snapshot up, for example because its tree is replaced.
    pub fn cancel(self, db: &mut Database, ids: &mut DiskIds, out: &mut Outbox) {
        if matches!(self.phase, Phase::Walking(_)) {
            db.cancel_walk();
        }
        self.discard(ids, out);
    }

    /// False where the walk was dropped.
    fn portion(&mut self, db: &mut Database, ids: &mut DiskIds, out: &mut Outbox) -> bool {
        let Phase::Walking(encoder) = &mut self.phase else { return true };
        let portion = self.portion_bytes;
        let mut bytes = BytesMut::with_capacity(portion + portion / 8);
        if self.offset == 0 {
            encoder.head(&mut bytes);
        }
        let start = bytes.len();
        let walk = db.walk(portion, &mut bytes);
        encoder.body(&bytes[start..]);
        match walk {
            Walk::Dropped => return false,
            Walk::More => self.write(bytes, ids, out),
            Walk::Done => {
                let done = Phase::Syncing { sync: OpId(u64::MAX) };
                if let Phase::Walking(encoder) = core::mem::replace(&mut self.phase, done) {
                    encoder.tail(&mut bytes);
                }
                self.write(bytes, ids, out);
                self.sync(ids, out);
            }
        }
        true
    }

    fn write(&mut self, bytes: BytesMut, ids: &mut DiskIds, out: &mut Outbox) {
        let len = bytes.len() as u64;
        let file = unsealed_snapshot(self.zxid);
        let write = ids.write(Queue::Snap, file, self.offset, bytes.freeze());
        self.offset += len;
        self.under_way.extend(op_of(&write).map(|(_, op)| op));
        out.disk(write);
    }

    fn sync(&mut self, ids: &mut DiskIds, out: &mut Outbox) {
        let tmp = unsealed_snapshot(self.zxid);
        out.disk(ids.set_len(Queue::Snap, tmp.clone(), self.offset));
        let sync = ids.sync_file(Queue::Snap, tmp);
        if let Some((_, op)) = op_of(&sync) {
            self.phase = Phase::Syncing { sync: op };
        }
        out.disk(sync);
    }

    fn discard(&self, ids: &mut DiskIds, out: &mut Outbox) {
        out.disk(ids.remove(Queue::Snap, unsealed_snapshot(self.zxid)));
    }
}

/// What makes a written snapshot durable under its name. The length is set because a file of the
/// same name from an earlier attempt may have been longer.
pub(super) fn seal_ops(zxid: Zxid, len: u64, queue: Queue, ids: &mut DiskIds) -> [DiskAction; 4] {
    let tmp = unsealed_snapshot(zxid);
    [
        ids.set_len(queue, tmp.clone(), len),
        ids.sync_file(queue, tmp.clone()),
        ids.rename(queue, tmp, FileName::snapshot(zxid)),
        ids.sync_dir(queue, Dir::Data),
    ]
}
