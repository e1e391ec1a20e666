//! acceptedEpoch and currentEpoch: replaced whole, never written in place. Facts: PROTOCOL 3.8.

use alloc::format;

use bytes::Bytes;

use crate::ids::{Epoch, OpId};
use crate::server::action::DiskAction;
use crate::server::input::Queue;
use crate::server::outbox::Outbox;
use crate::storage::files::{Dir, EpochFile};
use crate::storage::ops::{DiskIds, op_of};

/// Replaces one epoch file; the promise is durable when the returned operation is done.
pub fn write(which: EpochFile, epoch: Epoch, ids: &mut DiskIds, out: &mut Outbox) -> OpId {
    let ops = write_ops(which, epoch, ids);
    let (_, last) = op_of(&ops[ops.len() - 1]).expect("write_ops builds no reads");
    for op in ops {
        out.disk(op);
    }
    last
}

/// The same as a list, for recovery, which carries out one operation at a time.
pub(super) fn write_ops(which: EpochFile, epoch: Epoch, ids: &mut DiskIds) -> [DiskAction; 5] {
    let text = Bytes::from(format!("{}", epoch.0));
    let len = text.len() as u64;
    [
        ids.write(Queue::Log, which.tmp(), 0, text),
        ids.set_len(Queue::Log, which.tmp(), len),
        ids.sync_file(Queue::Log, which.tmp()),
        ids.rename(Queue::Log, which.tmp(), which.name()),
        ids.sync_dir(Queue::Log, Dir::Data),
    ]
}
