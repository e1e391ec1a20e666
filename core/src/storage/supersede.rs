//! After a sealed SNAP: the log and all other snapshots are dead. Removed before currentEpoch is
//! written, so that nothing of the old history can come back.

use alloc::vec::Vec;

use crate::ids::{OpId, ReadId, Zxid};
use crate::server::input::{Queue, ReadData};
use crate::server::outbox::Outbox;
use crate::storage::files::{Dir, EpochFile, FileName, Known, LogFile};
use crate::storage::ops::{DiskIds, op_of};
use crate::storage::removal::{Removal, remove_all, remove_in_order};

/// Removes what a sealed snapshot of a leader replaced. Older snapshots go too: without the log
/// behind them they are a history with a hole, should the new one ever be damaged.
#[derive(Debug)]
pub struct Supersede {
    zxid: Zxid,
    disown: bool,
    logs: Vec<FileName>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Snapshot work that was under way when the SNAP came must have come to its end.
    Settling(OpId),
    Listing(ReadId),
    Removing(Removal),
    Done,
}

impl Supersede {
    /// `disown`: what is replaced may hold more than the snapshot, so that from here on nothing counts
    /// until the server has synced. `logs`: all files of the log, oldest first. No operation of the
    /// log queue may be under way.
    pub fn start(
        zxid: Zxid,
        disown: bool,
        logs: &[LogFile],
        ids: &mut DiskIds,
        out: &mut Outbox,
    ) -> Self {
        let settle = ids.sync_dir(Queue::Snap, Dir::Data);
        let (_, op) = op_of(&settle).expect("a sync has an id");
        out.disk(settle);
        Self {
            zxid,
            disown,
            logs: logs.iter().map(|file| file.name.clone()).collect(),
            phase: Phase::Settling(op),
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    pub fn awaits(&self, read: ReadId) -> bool {
        matches!(self.phase, Phase::Listing(asked) if asked == read)
    }

    /// True when all is durable.
    pub fn on_done(
        &mut self,
        queue: Queue,
        upto: OpId,
        ids: &mut DiskIds,
        out: &mut Outbox,
    ) -> bool {
        match &mut self.phase {
            Phase::Settling(op) if queue == Queue::Snap && *op <= upto => {
                let (read, list) = ids.list(Dir::Data);
                out.disk(list);
                self.phase = Phase::Listing(read);
            }
            Phase::Removing(removal) => {
                if removal.on_done(queue, upto, ids, out) {
                    self.phase = Phase::Done;
                }
            }
            Phase::Settling(_) | Phase::Listing(_) | Phase::Done => {}
        }
        self.is_done()
    }

    /// The answer to the listing. True when there is nothing to remove.
    pub fn on_read(&mut self, data: ReadData, ids: &mut DiskIds, out: &mut Outbox) -> bool {
        let ReadData::Listing(entries) = data else { return false };
        let dead = entries.into_iter().filter(|entry| match Known::parse(&entry.name) {
            Known::Snapshot(zxid) => zxid != self.zxid,
            Known::CompressedSnapshot(_) | Known::UnsealedSnapshot(_) => true,
            Known::Log(_)
            | Known::Epoch(_)
            | Known::EpochTmp(_)
            | Known::Corrupt
            | Known::Other => false,
        });
        let dead = dead.map(|entry| FileName::new(Dir::Data, entry.name));
        let mark = self.disown.then(|| EpochFile::Current.name());
        let mut first = remove_all(mark, Dir::Data);
        first.extend(remove_all(dead, Dir::Data));
        let mut removal = Removal::new(first, remove_in_order(self.logs.drain(..).rev()));
        self.phase = match removal.issue(ids, out) {
            true => Phase::Done,
            false => Phase::Removing(removal),
        };
        self.is_done()
    }
}
