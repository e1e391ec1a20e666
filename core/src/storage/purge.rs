//! Old snapshots and the log files that only they need. Apache: `PurgeTxnLog`.

use alloc::vec::Vec;

use crate::ids::Zxid;
use crate::server::input::Queue;
use crate::server::outbox::Outbox;
use crate::storage::files::{Dir, FileName, LogFile};
use crate::storage::ops::DiskIds;
use crate::storage::removal::{Cut, remove_all};

/// What a purge takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// The oldest snapshot that stays.
    pub oldest: Zxid,
    pub snapshots: Vec<Zxid>,
    pub logs: Vec<LogFile>,
}

/// Keeps the `retain` newest of `valid` (snapshots known to be whole: sealed by us, or the one we
/// recovered from) and every log file from the one on that starts at or before the oldest of them.
/// Only to be called after a seal. `None` where there is nothing to purge, or purging is off.
///
/// Snapshots of unknown worth never count as kept (ZOOKEEPER-3231). They go before the logs: a
/// snapshot that outlives its log would be a history with a hole.
pub fn purge(
    valid: &[Zxid],
    present: &[Zxid],
    logs: &[LogFile],
    retain: usize,
    ids: &mut DiskIds,
    out: &mut Outbox,
) -> Option<Purged> {
    let purged = choose(valid, present, logs, retain)?;
    let dead = purged.snapshots.iter().map(|zxid| FileName::snapshot(*zxid));
    let mut cuts = remove_all(dead, Dir::Data);
    if let Some(log) = purged.logs.first() {
        cuts.extend(purged.logs.iter().map(|log| Cut::Remove(log.name.clone())));
        cuts.push(Cut::SyncDir(log.name.dir));
    }
    for cut in cuts {
        out.disk(cut.into_action(Queue::Snap, ids));
    }
    Some(purged)
}

fn choose(valid: &[Zxid], present: &[Zxid], logs: &[LogFile], retain: usize) -> Option<Purged> {
    let mut newest_first = valid.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    newest_first.dedup();
    let oldest = *newest_first.get(retain.checked_sub(1)?)?;
    let snapshots: Vec<Zxid> = present.iter().copied().filter(|zxid| *zxid < oldest).collect();
    let kept_from = logs.iter().rposition(|file| file.first <= oldest).unwrap_or(0);
    let logs = logs[..kept_from].to_vec();
    (!snapshots.is_empty() || !logs.is_empty()).then_some(Purged { oldest, snapshots, logs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(firsts: &[u64]) -> Vec<LogFile> {
        let file = |first: &u64| {
            let first = Zxid(*first);
            LogFile { first, name: FileName::log(Dir::Data, first), len: 16, measured: true }
        };
        firsts.iter().map(file).collect()
    }

    fn zxids(raw: &[u64]) -> Vec<Zxid> {
        raw.iter().copied().map(Zxid).collect()
    }

    #[test]
    fn what_the_oldest_kept_snapshot_needs_stays() {
        // (valid, present, logs, retain) -> (snapshots gone, logs gone)
        type Case<'a> = (&'a [u64], &'a [u64], &'a [u64], usize, Option<(&'a [u64], usize)>);
        let cases: &[Case<'_>] = &[
            (&[10, 20, 30], &[0, 10, 20, 30], &[1, 11, 21, 31], 2, Some((&[0, 10], 1))),
            (&[10, 20], &[10, 20], &[1, 11, 21], 3, None),
            (&[30], &[5, 30], &[1, 31], 1, Some((&[5], 0))),
            // The newest of three is all we trust: with two to keep nothing goes.
            (&[30], &[10, 20, 30], &[1], 2, None),
            (&[10, 20], &[10, 20], &[1], 0, None),
            (&[10, 20], &[10, 20], &[1, 20, 21], 1, Some((&[10], 1))),
        ];
        for (valid, present, files, retain, want) in cases {
            let got = choose(&zxids(valid), &zxids(present), &logs(files), *retain);
            let got = got.map(|purged| (purged.snapshots, purged.logs.len()));
            let want = want.map(|(snapshots, logs)| (zxids(snapshots), logs));
            assert_eq!(got, want, "{valid:?} {files:?} {retain}");
        }
    }
}
