//! Takes files away so that a crash between any two operations leaves a history that was legal
//! before: every removal that the next one relies on is durable first.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::OpId;
use crate::server::action::DiskAction;
use crate::server::input::Queue;
use crate::server::outbox::Outbox;
use crate::storage::files::{Dir, FileName};
use crate::storage::ops::{DiskIds, op_of};

/// What to do to files; ids come when it is issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Remove(FileName),
    /// Under a name that no listing takes for state.
    MoveAside(FileName),
    SetLen(FileName, u64),
    SyncFile(FileName),
    SyncDir(Dir),
}

impl Cut {
    pub(super) fn into_action(self, queue: Queue, ids: &mut DiskIds) -> DiskAction {
        match self {
            Self::Remove(file) => ids.remove(queue, file),
            Self::MoveAside(file) => {
                let to = file.aside();
                ids.rename(queue, file, to)
            }
            Self::SetLen(file, len) => ids.set_len(queue, file, len),
            Self::SyncFile(file) => ids.sync_file(queue, file),
            Self::SyncDir(dir) => ids.sync_dir(queue, dir),
        }
    }
}

/// Removes all of these files of one folder, in no particular order.
pub(super) fn remove_all(files: impl IntoIterator<Item = FileName>, dir: Dir) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = files.into_iter().map(Cut::Remove).collect();
    if !cuts.is_empty() {
        cuts.push(Cut::SyncDir(dir));
    }
    cuts
}

/// Removes logs, each durably before the next. `newest_first` has to be in that order: any other
/// one could leave a hole in the middle of the log.
pub(super) fn remove_in_order(newest_first: impl IntoIterator<Item = FileName>) -> Vec<Cut> {
    let both = |file: FileName| {
        let dir = file.dir;
        [Cut::Remove(file), Cut::SyncDir(dir)]
    };
    newest_first.into_iter().flat_map(both).collect()
}

/// Snapshots on [`Queue::Snap`] first, then logs on [`Queue::Log`]: the second list is issued when
/// the first is done.
#[derive(Debug, Default)]
pub(super) struct Removal {
    snapshots: VecDeque<Cut>,
    logs: VecDeque<Cut>,
    waits: Option<(Queue, OpId)>,
}

impl Removal {
    pub(super) fn new(snapshots: Vec<Cut>, logs: Vec<Cut>) -> Self {
        Self { snapshots: snapshots.into(), logs: logs.into(), waits: None }
    }

    /// True when all is done.
    pub(super) fn issue(&mut self, ids: &mut DiskIds, out: &mut Outbox) -> bool {
        for (queue, cuts) in [(Queue::Snap, &mut self.snapshots), (Queue::Log, &mut self.logs)] {
            for cut in cuts.drain(..) {
                let action = cut.into_action(queue, ids);
                self.waits = op_of(&action);
                out.disk(action);
            }
            if self.waits.is_some() {
                return false;
            }
        }
        true
    }

    /// True when all is done.
    pub(super) fn on_done(
        &mut self,
        queue: Queue,
        upto: OpId,
        ids: &mut DiskIds,
        out: &mut Outbox,
    ) -> bool {
        match self.waits {
            Some((waits, op)) if waits == queue && op <= upto => {
                self.waits = None;
                self.issue(ids, out)
            }
            Some(_) | None => false,
        }
    }
}
