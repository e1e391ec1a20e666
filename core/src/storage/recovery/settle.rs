//! Decisions after the history is known: epochs, and whether an empty folder may begin.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::config::{Config, FirstStart, MemberRole};
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

/// Whether what was found is part of a leader's history that this server never acknowledged. A server
/// whose history was lost has no currentEpoch until it has synced (docs/decisions/0017). Before that
/// it may lack what it acknowledged once, so that it counts for nothing yet.
pub(super) fn is_unsynced(config: &Config, found: &Found, last: Zxid) -> bool {
    let promised = found.epochs.accepted.is_some_and(|accepted| accepted > Epoch::ZERO);
    let begun_anew = found.marker && last == Zxid::ZERO;
    promised && found.epochs.current.is_none() && !begun_anew && has_other_voters(config)
}

/// Whether anybody else may hold what this server lost.
pub(super) fn has_other_voters(config: &Config) -> bool {
    config.ensemble.as_ref().is_some_and(|ensemble| {
        let mut members = ensemble.members.iter();
        members.any(|(id, member)| *id != config.me && member.role == MemberRole::Participant)
    })
}

/// The two promises, and the operations that make them what they should be.
pub(super) fn epochs(
    config: &Config,
    found: &Found,
    last: Zxid,
    ids: &mut DiskIds,
    plan: &mut VecDeque<DiskAction>,
) -> Result<(Epoch, Epoch), FatalReason> {
    let of_last = last.epoch();
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
        && of_last > current
    {
        current = tmp;
        write_current = true;
    }
    in_order(accepted, current)?;
    // An epoch ahead of currentEpoch is legal: a crash in the synchronisation phase leaves it.
    if accepted < of_last {
        return Err(refused("acceptedEpoch is below the epoch of the last transaction"));
    }
    // acceptedEpoch alone would be the mark of a server that has not synced.
    if write_current {
        plan.extend(write_ops(EpochFile::Current, current, ids));
    }
    if found.epochs.accepted.is_none() {
        plan.extend(write_ops(EpochFile::Accepted, accepted, ids));
    }
    Ok((accepted, current))
}

/// Writes a file that means nothing: whoever has no room for an epoch would be elected all the same, end
/// because of it, come back with the best vote, and be elected again.
pub(super) fn probe(file: &FileName, ids: &mut DiskIds) -> [DiskAction; 2] {
    [
        ids.write(Queue::Log, file.clone(), 0, Bytes::from_static(b"0")),
        ids.sync_file(Queue::Log, file.clone()),
    ]
}

/// A blank server keeps what it promised and takes back what it said about its history.
pub(super) fn epochs_of_blank(
    config: &Config,
    found: &Found,
    ids: &mut DiskIds,
    plan: &mut VecDeque<DiskAction>,
) -> Result<(Epoch, Epoch), FatalReason> {
    if config.ensemble.is_none() {
        return Ok((Epoch::ZERO, Epoch::ZERO));
    }
    let accepted = found.epochs.accepted.unwrap_or(Epoch::ZERO);
    if let Some(current) = found.epochs.current {
        in_order(accepted, current)?;
        plan.push_back(ids.remove(Queue::Log, EpochFile::Current.name()));
        plan.push_back(ids.sync_dir(Queue::Log, Dir::Data));
    }
    Ok((accepted, Epoch::ZERO))
}

fn in_order(accepted: Epoch, current: Epoch) -> Result<(), FatalReason> {
    match accepted < current {
        true => Err(refused("acceptedEpoch is below currentEpoch")),
        false => Ok(()),
    }
}

fn refused(what: &'static str) -> FatalReason {
    FatalReason::Corrupt { file: EpochFile::Accepted.name().to_string(), offset: 0, what }
}
