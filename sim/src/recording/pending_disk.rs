//! Disk operations that have been asked for and are not done.

use std::collections::BTreeMap;

use vivarium_core::ids::{OpId, ReadId};
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::Queue;

use super::event::{DiskOp, EventId};
use crate::disk::DiskDone;
use crate::ids::NodeId;

#[derive(Debug, Default)]
pub(super) struct PendingDisk {
    ops: BTreeMap<(NodeId, Queue, OpId), EventId>,
    reads: BTreeMap<(NodeId, ReadId), EventId>,
    recovery: BTreeMap<NodeId, EventId>,
    /// What each queue wrote last: a sync makes it durable.
    written: BTreeMap<(NodeId, Queue), EventId>,
}

impl PendingDisk {
    /// What kind of operation it is, and the write that it completes.
    pub(super) fn submit(
        &mut self,
        node: NodeId,
        action: &DiskAction,
        recovers: bool,
        by: EventId,
    ) -> (DiskOp, Option<EventId>) {
        let syncs = matches!(action, DiskAction::SyncFile { .. } | DiskAction::SyncDir { .. });
        if recovers {
            self.recovery.insert(node, by);
            return (DiskOp::Recovery { syncs }, None);
        }
        match action {
            DiskAction::Read { read, .. } | DiskAction::List { read, .. } => {
                self.reads.insert((node, *read), by);
                (DiskOp::Read, None)
            }
            DiskAction::Write { op, queue, .. }
            | DiskAction::SetLen { op, queue, .. }
            | DiskAction::SyncFile { op, queue, .. }
            | DiskAction::Rename { op, queue, .. }
            | DiskAction::SyncDir { op, queue, .. }
            | DiskAction::Remove { op, queue, .. } => {
                self.ops.insert((node, *queue, *op), by);
                let key = (node, *queue);
                let before = if syncs { self.written.get(&key).copied() } else { None };
                if !syncs {
                    self.written.insert(key, by);
                }
                (DiskOp::Queued { queue: *queue, syncs }, before)
            }
        }
    }

    /// The operation that is done, and whether it failed.
    pub(super) fn done(&mut self, node: NodeId, done: &DiskDone) -> (Option<EventId>, bool) {
        match done {
            DiskDone::Op { queue, op, .. } => (self.ops.remove(&(node, *queue, *op)), false),
            DiskDone::Failed { queue, op, .. } => (self.ops.remove(&(node, *queue, *op)), true),
            DiskDone::Read { read, result } => (self.reads.remove(&(node, *read)), result.is_err()),
            DiskDone::Single { result, .. } => (self.recovery.remove(&node), result.is_err()),
        }
    }

    /// The next process of this server numbers its operations anew.
    pub(super) fn died(&mut self, node: NodeId) {
        self.ops.retain(|(of, ..), _| *of != node);
        self.reads.retain(|(of, _), _| *of != node);
        self.written.retain(|(of, _), _| *of != node);
        self.recovery.remove(&node);
    }
}
