//! Ids of disk operations, and the operations that carry them.

use bytes::Bytes;

use crate::ids::{OpId, ReadId};
use crate::server::action::DiskAction;
use crate::server::input::Queue;
use crate::storage::files::{Dir, FileName};

/// Hands out ids that rise within each queue, and builds operations with them.
#[derive(Clone, Debug, Default)]
pub struct DiskIds {
    log: u64,
    snap: u64,
    read: u64,
}

impl DiskIds {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn op(&mut self, queue: Queue) -> OpId {
        let counter = match queue {
            Queue::Log => &mut self.log,
            Queue::Snap => &mut self.snap,
        };
        *counter += 1;
        OpId(*counter)
    }

    /// The newest operation of the log queue, if there was one.
    pub fn log_issued(&self) -> Option<OpId> {
        (self.log > 0).then_some(OpId(self.log))
    }

    pub fn read_id(&mut self) -> ReadId {
        self.read += 1;
        ReadId(self.read)
    }

    pub fn write(&mut self, queue: Queue, file: FileName, offset: u64, bytes: Bytes) -> DiskAction {
        DiskAction::Write { op: self.op(queue), queue, file, offset, bytes }
    }

    pub fn set_len(&mut self, queue: Queue, file: FileName, len: u64) -> DiskAction {
        DiskAction::SetLen { op: self.op(queue), queue, file, len }
    }

    pub fn sync_file(&mut self, queue: Queue, file: FileName) -> DiskAction {
        DiskAction::SyncFile { op: self.op(queue), queue, file }
    }

    pub fn rename(&mut self, queue: Queue, from: FileName, to: FileName) -> DiskAction {
        DiskAction::Rename { op: self.op(queue), queue, from, to }
    }

    pub fn sync_dir(&mut self, queue: Queue, dir: Dir) -> DiskAction {
        DiskAction::SyncDir { op: self.op(queue), queue, dir }
    }

    pub fn remove(&mut self, queue: Queue, file: FileName) -> DiskAction {
        DiskAction::Remove { op: self.op(queue), queue, file }
    }

    pub fn read(&mut self, file: FileName, offset: u64, len: u32) -> (ReadId, DiskAction) {
        let read = self.read_id();
        (read, DiskAction::Read { read, file, offset, len })
    }

    pub fn list(&mut self, dir: Dir) -> (ReadId, DiskAction) {
        let read = self.read_id();
        (read, DiskAction::List { read, dir })
    }
}

/// Queue and id of an operation; `None` for reads and listings.
pub fn op_of(action: &DiskAction) -> Option<(Queue, OpId)> {
    match action {
        DiskAction::Write { op, queue, .. }
        | DiskAction::SetLen { op, queue, .. }
        | DiskAction::SyncFile { op, queue, .. }
        | DiskAction::Rename { op, queue, .. }
        | DiskAction::SyncDir { op, queue, .. }
        | DiskAction::Remove { op, queue, .. } => Some((*queue, *op)),
        DiskAction::Read { .. } | DiskAction::List { .. } => None,
    }
}

/// The file or folder that an operation touches, for messages.
pub fn target_of(action: &DiskAction) -> alloc::string::String {
    use alloc::string::ToString;
    match action {
        DiskAction::Write { file, .. }
        | DiskAction::SetLen { file, .. }
        | DiskAction::SyncFile { file, .. }
        | DiskAction::Remove { file, .. }
        | DiskAction::Read { file, .. } => file.to_string(),
        DiskAction::Rename { to, .. } => to.to_string(),
        DiskAction::SyncDir { dir, .. } | DiskAction::List { dir, .. } => dir.to_string(),
    }
}
