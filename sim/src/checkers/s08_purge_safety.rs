//! S8: when a log or a snapshot loses its name for good, the newest whole snapshot and the log records
//! behind it still reach, without a gap, everything committed that this voter acknowledged; and of the
//! snapshots as many are left as are to be retained, each with the records behind it: what is retained is to
//! serve when newer ones turn out to be damaged.
//! P9 looks at the newest record alone, and at what a quorum holds. Judged of our servers: Apache's
//! keep their log when a SNAP replaces their tree; those that only behave like them cannot. Nor where a SNAP is
//! older than what it replaces and there is no other way (S1 says when): until it has synced, such a
//! server says that it counts for nothing, and P9 judges whether it could be spared.

use crate::checkers::member::Member;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::{Durable, SimEvent};
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Phase;

#[derive(Debug, Default)]
pub(crate) struct S08;

impl Check for S08 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Durable])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let (Some(server), SimEvent::Durable(Durable::Removed { .. })) = (cx.server(), event)
        else {
            return Ok(());
        };
        if !cx.spec.white_box || !cx.canon.cluster.voters.contains(&server) {
            return Ok(());
        }
        if cx.canon.cluster.apache.contains(&server) {
            return Ok(());
        }
        let member = cx.canon.member(server).filter(|member| !member.disowned);
        let Some(acked) = member.and_then(Member::owes) else {
            return Ok(());
        };
        let upto = cx.canon.count_upto(acked);
        let covered = match retained(cx, server)? {
            Some(oldest) => Some(oldest),
            None => cx.disks.durable_snapshot(server),
        };
        let from = covered.map_or(0, |zxid| cx.canon.count_upto(zxid)).min(upto);
        let mut owed = cx.canon.committed[from..upto].iter();
        let gone = owed.find(|entry| {
            !cx.disks.durable_has_record(server, entry.zxid, entry.hash)
                && !cx.damage.rotted(server, entry.zxid)
        });
        gone.map_or(Ok(()), |entry| {
            Err(format!(
                "{server} removed {}, which it acknowledged and a snapshot that stays needs",
                entry.zxid
            ))
        })
    }
}

/// Who serves only purges, and a purge leaves as many snapshots as it is told to. The oldest of them.
fn retained(cx: &Cx<'_>, server: ServerId) -> Result<Option<Zxid>, String> {
    let serves = cx.canon.member(server).is_some_and(|member| {
        matches!(
            member.phase,
            Phase::LeadingBroadcast | Phase::FollowingBroadcast | Phase::Standalone
        )
    });
    let due = cx.canon.cluster.snap_retain_count;
    if !serves || due == 0 || cx.damage.is_damaged(server) {
        return Ok(None);
    }
    let snapshots = cx.disks.durable_snapshots(server);
    let left = snapshots.len();
    match snapshots.into_iter().nth_back(due - 1) {
        Some(oldest) => Ok(Some(oldest)),
        None => Err(format!("{server} purged all but {left} snapshots, and is to retain {due}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::LossKind;
    use vivarium_core::ids::Epoch;
    use vivarium_core::server::note::{Note, SyncKind};

    fn purged(rot: bool) -> Result<(), String> {
        let mut run = Run::new(S08);
        run.boot_all();
        run.establish(1, 1)?;
        for counter in 1..=3 {
            run.write(1, 1, counter)?;
        }
        let last = Some(z(1, 3));
        run.server(2, SimEvent::Durable(Durable::Log { last }))?;
        run.server(2, SimEvent::Durable(Durable::Removed { aside: false }))?;
        if rot {
            run.server(2, SimEvent::HistoryLost(LossKind::BitRot))?;
            run.note(2, Note::AckedTxn { zxid: z(1, 3), epoch: Epoch(1) })?;
        }
        run.disks.take(2, z(1, 2));
        run.server(2, SimEvent::Durable(Durable::Removed { aside: false }))
    }

    /// Two of its records are gone, a newer one is still there.
    fn went(phase: Phase, apache: Option<u64>, aside: bool) -> Result<(), String> {
        let mut run = Run::new(S08);
        run.boot_all();
        run.canon.cluster.apache = apache.map(ServerId).into_iter().collect();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.server(2, SimEvent::Durable(Durable::Log { last: Some(z(1, 1)) })).unwrap();
        if apache.is_none() {
            run.server(2, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        }
        run.write(1, 1, 2).unwrap();
        run.write(1, 1, 3).unwrap();
        run.server(2, SimEvent::Durable(Durable::Log { last: Some(z(1, 3)) })).unwrap();
        run.note(2, Note::PhaseEntered { phase, epoch: Epoch(1) }).unwrap();
        run.disks.take(2, z(1, 1));
        run.disks.take(2, z(1, 2));
        run.server(2, SimEvent::Durable(Durable::Removed { aside }))
    }

    #[test]
    fn a_truncation_that_meets_rot_moves_everything_aside() {
        went(Phase::Looking, None, true).unwrap();
        assert!(went(Phase::Looking, None, false).is_err(), "who cuts keeps what is not cut off");
        assert!(went(Phase::FollowingBroadcast, None, true).is_err(), "who follows only purges");
        went(Phase::FollowingBroadcast, Some(2), false).unwrap();
        assert!(went(Phase::FollowingBroadcast, Some(3), false).is_err(), "of ours it is judged");
    }

    /// The learner cuts what a Java server is at either end of; the commit comes while it does.
    #[test]
    fn what_its_leader_told_it_to_cut_off_may_go() {
        for (apache, told) in [(Some(1), true), (Some(1), false), (None, true)] {
            let mut run = Run::new(S08);
            run.canon.cluster.apache = apache.map(ServerId).into_iter().collect();
            run.boot_all();
            run.establish(1, 1).unwrap();
            run.note(2, Note::AckedTxn { zxid: z(1, 1), epoch: Epoch(1) }).unwrap();
            if told {
                let how = SyncKind::Trunc;
                run.note(1, Note::SyncChosen { learner: ServerId(2), how }).unwrap();
            }
            run.note(2, Note::PhaseEntered { phase: Phase::Looking, epoch: Epoch(1) }).unwrap();
            run.write(1, 1, 1).unwrap();
            run.disks.take(2, z(1, 1));
            let removed = run.server(2, SimEvent::Durable(Durable::Removed { aside: false }));
            assert_eq!(removed.is_ok(), told && apache.is_some(), "{apache:?} {told}");
        }
    }

    #[test]
    fn who_disowns_its_history_may_remove_it() {
        let mut run = Run::new(S08);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.note(2, Note::Uncuttable { upto: z(1, 1) }).unwrap();
        run.disks.take(2, z(1, 1));
        assert!(
            run.server(2, SimEvent::Durable(Durable::Removed { aside: false })).is_err(),
            "it counts still"
        );
        run.note(2, Note::Disowned { upto: z(1, 1) }).unwrap();
        run.server(2, SimEvent::Durable(Durable::Removed { aside: false })).unwrap();
        run.note(2, Note::AckedNewLeader { epoch: Epoch(2), history: Some(z(1, 1)) }).unwrap();
        assert!(
            run.server(2, SimEvent::Durable(Durable::Removed { aside: false })).is_err(),
            "it counts again"
        );
    }

    #[test]
    fn a_purge_that_leaves_too_little_is_found() {
        let mut run = Run::new(S08);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.server(2, SimEvent::Durable(Durable::Log { last: Some(z(1, 1)) })).unwrap();
        run.note(2, Note::PhaseEntered { phase: Phase::FollowingBroadcast, epoch: Epoch(1) })
            .unwrap();
        run.server(2, SimEvent::Durable(Durable::Removed { aside: false })).unwrap();
        run.canon.cluster.snap_retain_count = 3;
        assert!(run.server(2, SimEvent::Durable(Durable::Removed { aside: false })).is_err());
        run.note(2, Note::PhaseEntered { phase: Phase::Looking, epoch: Epoch(1) }).unwrap();
        run.server(2, SimEvent::Durable(Durable::Removed { aside: false })).unwrap();
    }

    /// Two snapshots are retained; a record between them is gone, which the newer one covers.
    #[test]
    fn a_purge_that_leaves_an_older_snapshot_without_its_log_is_found() {
        for (serves, damaged) in [(true, false), (true, true), (false, false)] {
            let mut run = Run::new(S08);
            run.boot_all();
            run.establish(1, 1).unwrap();
            run.canon.cluster.snap_retain_count = 2;
            for counter in 1..=3 {
                run.write(1, 1, counter).unwrap();
            }
            run.disks.older_snapshots = vec![z(1, 1)];
            run.disks.snapshots.insert(ServerId(2), z(1, 3));
            run.disks.take(2, z(1, 2));
            if damaged {
                run.server(2, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
            }
            if !serves {
                run.note(2, Note::PhaseEntered { phase: Phase::Looking, epoch: Epoch(1) }).unwrap();
            }
            let removed = run.server(2, SimEvent::Durable(Durable::Removed { aside: false }));
            assert_eq!(removed.is_err(), serves && !damaged, "{serves} {damaged}: {removed:?}");
        }
    }

    /// The newest record is there, and one before it is not.
    #[test]
    fn a_gap_behind_a_purge_is_found() {
        assert!(purged(false).unwrap_err().contains("removed"));
        purged(true).unwrap();
    }
}
