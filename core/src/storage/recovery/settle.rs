//! Decisions after the history is known: epochs, and whether an empty folder may begin.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::{Config, FirstStart};
use crate::ids::{Epoch, Zxid};
use crate::server::action::{DiskAction, FatalReason};
use crate::server::input::Queue;
use crate::storage::epochs::write_ops;
use crate::storage::files::{Dir, EpochFile, FileName};
use crate::storage::ops::DiskIds;
use crate::storage::recovery::survey::Found;
use crate::storage::removal::{Cut, remove_all, remove_in_order};

/// Whether a folder without snapshots and logs may begin with an empty tree.
pub(super) fn may_start_empty(config: &Config, found: &Found) -> Result<bool, FatalReason> {
    if found.marker {
        return Ok(true);
    }
    if config.ensemble.is_none() {
        return match found.aside {
            false => Ok(true),
            true => Err(FatalReason::Config(
                "the history was moved aside as damaged and no peer can bring it back: restore the \
                 corrupt.* files from a backup, or remove them to start empty"
                    .to_string(),
            )),
        };
    }
    // Epochs or files moved aside show that there was a history once.
    let untouched = found.epochs.is_empty() && !found.aside;
    Ok(untouched && config.first_start == FirstStart::AutoCreate)
}

/// Ends what `Supersede` began: first the snapshot that stays, then what it replaced, snapshots
/// before logs, logs newest first.
pub(super) fn finish_superseding(
    snapshots: impl Iterator<Item = FileName>,
    logs: impl Iterator<Item = FileName>,
    ids: &mut DiskIds,
) -> Vec<DiskAction> {
    let kept = [Cut::SyncDir(Dir::Data)];
    let cuts =
        kept.into_iter().chain(remove_all(snapshots, Dir::Data)).chain(remove_in_order(logs));
    cuts.map(|cut| cut.into_action(Queue::Log, ids)).collect()
}

/// The two promises, and the operations that make them what they should be. `last`: `None` for a
/// blank server, which keeps the files that it has and writes none.
pub(super) fn epochs(
    config: &Config,
    found: &Found,
    last: Option<Zxid>,
    ids: &mut DiskIds,
    plan: &mut VecDeque<DiskAction>,
) -> Result<(Epoch, Epoch), FatalReason> {
    let of_last = last.map_or(Epoch::ZERO, Zxid::epoch);
    if config.ensemble.is_none() {
        return Ok((of_last, of_last));
    }
    let accepted = found.epochs.accepted.unwrap_or(of_last);
    let mut current = found.epochs.current.unwrap_or(of_last);
    let mut write_current = found.epochs.current.is_none();
    // Apache's servers acknowledge NEWLEADER before the rename is durable. The file is written
    // when the history stands, and no start leaves it behind, so that its word still holds.
    let finished = |tmp: &Epoch| of_last <= *tmp && *tmp <= accepted;
    if let Some(tmp) = found.epochs.current_tmp.filter(finished)
        && last.is_some()
        && of_last > current
    {
        current = tmp;
        write_current = true;
    }
    let refused = |what| {
        let file = EpochFile::Accepted.name().to_string();
        Err(FatalReason::Corrupt { file, offset: 0, what })
    };
    if accepted < current {
        return refused("acceptedEpoch is below currentEpoch");
    }
    // An epoch ahead of currentEpoch is legal: a crash in the synchronisation phase leaves it.
    if accepted < of_last {
        return refused("acceptedEpoch is below the epoch of the last transaction");
    }
    if last.is_some() {
        if found.epochs.accepted.is_none() {
            plan.extend(write_ops(EpochFile::Accepted, accepted, ids));
        }
        if write_current {
            plan.extend(write_ops(EpochFile::Current, current, ids));
        }
    }
    Ok((accepted, current))
}
