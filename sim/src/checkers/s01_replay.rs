//! S1: what a server recovers is the committed prefix up to some k, and then proposals in order; k covers
//! every committed transaction that it acknowledged. An intact history is never moved aside, and one is intact
//! while one of its snapshots is, and its log.
//! Of what rotted, or was wiped, nothing is owed by a server that is blank: it knows that it lacks something, and
//! counts for nothing until it has been filled. One that is not owes that, too. A TRUNC of a Java leader, or to
//! a Java learner, takes back what was acknowledged and not committed. Nothing is owed either by a server
//! that is blank since it took a SNAP older than what it had, which only one may do that was told to cut
//! below every snapshot of its disk.

use crate::checkers::canon::Member;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::{Durable, SimEvent};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct S01 {
    /// Servers that start, and have a whole snapshot and a whole log.
    spared: BTreeSet<ServerId>,
    /// The newest snapshot that each has had on its disk, whole; it need not know of it.
    had: BTreeMap<ServerId, Zxid>,
}

impl Check for S01 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Boot,
            Topic::HistoryLost,
            Topic::MovedAside,
            Topic::Uncuttable,
            Topic::Disowned,
            Topic::Recovered,
            Topic::SnapshotSealed,
            Topic::Durable,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        match event {
            SimEvent::Boot { .. } => self.starts(cx, server),
            // While it starts, too.
            SimEvent::HistoryLost(_) => drop(self.spared.remove(&server)),
            SimEvent::Durable(Durable::Snapshot { zxid }) => {
                let newest = self.had.entry(server).or_default();
                *newest = (*zxid).max(*newest);
            }
            _ => {}
        }
        let Some((_, note)) = note_of(cx, event) else { return Ok(()) };
        let Some(member) = cx.canon.member(server) else { return Ok(()) };
        match note {
            Note::MovedAside if !cx.damage.is_rotten(server) => {
                return Err(format!("{server} moves an undamaged history aside"));
            }
            Note::MovedAside if self.spared.contains(&server) => {
                return Err(format!("{server} moves its history aside, and has a whole snapshot"));
            }
            Note::Uncuttable { upto } if cx.spec.white_box => {
                has_no_base(cx, server, *upto)?;
            }
            Note::Disowned { upto } if !member.uncuttable => {
                return Err(format!("{server} gives up what it has for a snapshot of {upto}"));
            }
            Note::SnapshotSealed { zxid } if cx.spec.white_box && member.in_broadcast() => {
                is_behind_log(cx, server, *zxid, member)?;
            }
            Note::Recovered { last, from, blank, .. } => {
                self.spared.remove(&server);
                Self::judge(cx, server, *last, *from, *blank, member)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl S01 {
    fn starts(&mut self, cx: &Cx<'_>, server: ServerId) {
        self.spared.remove(&server);
        let is_ours = !cx.canon.cluster.apache.contains(&server);
        // What a leader has sent as a snapshot is in no log: an older one does not lead there.
        let leads_on = cx.disks.durable_last_log(server) >= self.had.get(&server).copied();
        let is_whole = !cx.damage.is_rotten_in_logs(server)
            && !cx.disks.durable_snapshots(server).is_empty()
            && leads_on;
        if cx.spec.white_box && is_ours && is_whole {
            self.spared.insert(server);
        }
    }

    fn judge(
        cx: &Cx<'_>,
        server: ServerId,
        last: Option<Zxid>,
        from: Option<Zxid>,
        blank: bool,
        member: &Member,
    ) -> Result<(), String> {
        let line = &member.applied;
        let promised = match blank {
            true => member.acked.filter(|_| !member.disowned),
            false => member.acked.max(member.vouched),
        };
        let owed = promised.map_or(0, |promised| cx.canon.count_upto(promised));
        if line.common() < owed {
            let lost = cx.canon.committed[line.common()].zxid;
            let rotted = cx.damage.rotted(server, lost);
            // Who is blank knows what it lacks, and counts for nothing until it has been filled.
            if !blank || !rotted {
                let why = if rotted { ", counts, and its disk was damaged" } else { "" };
                return Err(format!(
                    "{server} recovers without {lost}, which it acknowledged and is committed{why}"
                ));
            }
        }
        if let (Some(first), Some(from)) = (member.replay.first(), from)
            && !follows(cx, from, first.0)
        {
            return Err(format!("{server} replays {} onto its snapshot of {from}", first.0));
        }
        let mut previous = None;
        for entry in line.tail() {
            match cx.canon.proposals.get(&entry.zxid) {
                Some(known) if known.hash == entry.hash => {}
                Some(_) | None => {
                    return Err(format!(
                        "{server} recovers {}, which nobody proposed so",
                        entry.zxid
                    ));
                }
            }
            if previous.is_some_and(|previous| previous >= entry.zxid) {
                return Err(format!("{server} recovers {} out of order", entry.zxid));
            }
            previous = Some(entry.zxid);
        }
        let shown = last.map_or(0, |last| line.count_upto(last, &cx.canon.committed));
        if !blank && shown != line.len() {
            return Err(format!("{server} recovers {} transactions but says {last:?}", line.len()));
        }
        Ok(())
    }
}

/// Whether an own snapshot of `zxid` holds nothing that the own log lacks. What the tree grew from needs no
/// log, nor does one that holds no transaction.
fn is_behind_log(cx: &Cx<'_>, server: ServerId, zxid: Zxid, member: &Member) -> Result<(), String> {
    let holds_some = cx.canon.find(zxid).is_some();
    let grew = holds_some && member.base().is_none_or(|base| base < zxid);
    let logged = cx.disks.durable_last_log(server);
    if grew && logged < Some(zxid) && !cx.damage.is_damaged(server) {
        return Err(format!(
            "{server} has a snapshot of {zxid}, but its log is durable up to {logged:?} only"
        ));
    }
    Ok(())
}

/// Whether a TRUNC to `upto` leaves no snapshot that the history could begin with.
fn has_no_base(cx: &Cx<'_>, server: ServerId, upto: Zxid) -> Result<(), String> {
    // Also by its name: the start of an epoch holds nothing, and says more.
    let holds_no_more = |zxid: &Zxid| *zxid <= upto && cx.canon.snapshot(server, *zxid).1 <= upto;
    let mut snapshots = cx.disks.durable_snapshots(server).into_iter();
    match snapshots.find(holds_no_more) {
        Some(base) if !cx.damage.is_rotten(server) => {
            Err(format!("{server} does not cut behind {upto}, though it has a snapshot of {base}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the history may go on with `next` behind `last`: with the next number of the epoch, or the
/// first of a later one, and nothing committed between them.
fn follows(cx: &Cx<'_>, last: Zxid, next: Zxid) -> bool {
    let counted = match next.epoch().cmp(&last.epoch()) {
        Ordering::Less => false,
        Ordering::Equal => next.counter() == last.counter() + 1,
        Ordering::Greater => next.counter() == 1,
    };
    let skipped = cx.canon.find(next).is_some_and(|(index, _)| index != cx.canon.count_upto(last));
    counted && !skipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::{Durable, LossKind};
    use vivarium_core::ids::Epoch;
    use vivarium_core::server::note::{Phase, StateDigest, SyncKind};

    fn run() -> Run<S01> {
        let mut run = Run::new(S01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.crash(2);
        run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
        run
    }

    fn replay(zxid: Zxid, hash: u64) -> Note {
        Note::Applied { zxid, hash, digest: StateDigest::default(), recovered: true }
    }

    fn recovered(last: Option<Zxid>) -> Note {
        Note::Recovered { last, from: None, blank: false, digest: StateDigest::default() }
    }

    #[test]
    fn a_snapshot_ahead_of_its_log_is_found() {
        let mut run = run();
        run.note(2, recovered(Some(z(1, 1)))).unwrap_err();
        let serves = |phase| Note::PhaseEntered { phase, epoch: Epoch(1) };
        run.note(3, serves(Phase::FollowingBroadcast)).unwrap();
        let sealed = Note::SnapshotSealed { zxid: z(1, 1) };
        run.note(3, sealed.clone()).unwrap();
        run.disks.clear(3);
        assert!(run.note(3, sealed.clone()).unwrap_err().contains("durable up to None"));
        run.note(3, serves(Phase::FollowingSynchronization)).unwrap();
        run.note(3, sealed.clone()).unwrap();
        let digest = StateDigest::default();
        run.note(3, Note::SnapInstalled { zxid: z(1, 1), digest }).unwrap();
        run.note(3, serves(Phase::FollowingBroadcast)).unwrap();
        run.note(3, sealed).unwrap();
    }

    #[test]
    fn a_lost_acknowledged_commit_is_found() {
        assert!(run().note(2, recovered(None)).unwrap_err().contains("without"));
    }

    #[test]
    fn to_move_a_whole_snapshot_aside_is_found() {
        let aside = |struck: &[LossKind], whole: Option<Zxid>| {
            let mut run = run();
            run.disks.snapshots.extend(whole.map(|zxid| (ServerId(2), zxid)));
            for kind in struck {
                run.server(2, SimEvent::HistoryLost(*kind)).unwrap();
            }
            run.server(2, SimEvent::Boot { incarnation: 3 }).unwrap();
            run.note(2, Note::MovedAside)
        };
        let (rot, older) = (LossKind::SnapshotRot, Some(Zxid::ZERO));
        assert!(aside(&[rot], older).unwrap_err().contains("a whole snapshot"));
        aside(&[rot], None).unwrap();
        aside(&[rot, LossKind::BitRot], older).unwrap();
        let mut run = run();
        run.disks.snapshots.insert(ServerId(2), Zxid::ZERO);
        run.server(2, SimEvent::Boot { incarnation: 3 }).unwrap();
        run.server(2, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        run.note(2, Note::MovedAside).unwrap();
    }

    #[test]
    fn an_older_snapshot_leads_nowhere_where_a_leaders_has_taken_the_place_of_the_log() {
        let mut run = run();
        run.disks.snapshots.insert(ServerId(2), Zxid::ZERO);
        run.server(2, SimEvent::Durable(Durable::Snapshot { zxid: z(1, 9) })).unwrap();
        run.server(2, SimEvent::HistoryLost(LossKind::SnapshotRot)).unwrap();
        run.server(2, SimEvent::Boot { incarnation: 3 }).unwrap();
        run.note(2, Note::MovedAside).unwrap();
    }

    /// Server 2 acknowledged 1:1, is truncated before that by server 1, and recovers without it when it
    /// is committed. `apache`: who is of Apache's kind. `dies`: before it says that it has cut its log.
    fn truncated(apache: Option<u64>, dies: bool) -> Result<(), String> {
        let mut run = Run::new(S01::default());
        run.canon.cluster.apache = apache.map(ServerId).into_iter().collect();
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.note(2, Note::AckedTxn { zxid: z(1, 1), epoch: Epoch(1) }).unwrap();
        let (learner, how) = (ServerId(2), SyncKind::Trunc);
        run.note(1, Note::SyncChosen { learner, how }).unwrap();
        if dies {
            run.note(2, Note::PhaseEntered { phase: Phase::Looking, epoch: Epoch(1) }).unwrap();
            run.crash(2);
        } else {
            run.note(2, Note::Truncated { upto: Zxid::ZERO }).unwrap();
        }
        run.propose(1, z(1, 1), 5).unwrap();
        run.log(1, z(1, 1), 5).unwrap();
        run.note(1, Note::Committed { zxid: z(1, 1) }).unwrap();
        run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
        run.note(2, recovered(None))
    }

    #[test]
    fn a_trunc_takes_acknowledgements_back_where_java_is_at_either_end() {
        for dies in [false, true] {
            assert!(truncated(None, dies).unwrap_err().contains("without"));
            assert!(truncated(Some(3), dies).unwrap_err().contains("without"));
            assert_eq!(truncated(Some(1), dies), Ok(()));
            assert_eq!(truncated(Some(2), dies), Ok(()));
        }
    }

    /// It dies while it is filled behind the SNAP.
    #[test]
    fn who_only_behaves_like_apache_owes_nothing_while_a_snap_takes_the_place_of_its_log() {
        for apache in [true, false] {
            let mut run = run();
            run.canon.cluster.apache = apache.then_some(ServerId(2)).into_iter().collect();
            let (learner, how) = (ServerId(2), SyncKind::Snap);
            run.note(1, Note::SyncChosen { learner, how }).unwrap();
            run.note(2, Note::SnapshotSealed { zxid: Zxid::ZERO }).unwrap();
            run.server(2, SimEvent::Boot { incarnation: 3 }).unwrap();
            assert_eq!(run.note(2, recovered(None)).is_ok(), apache);
        }
    }

    /// Server 2 acknowledged 1:1 and is told to cut to there; its oldest snapshot is `base`. A crash comes
    /// while an older one takes its place.
    fn disowned(base: Zxid, blank: bool) -> Result<(), String> {
        let mut run = Run::new(S01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.disks.snapshots.insert(ServerId(2), base);
        run.note(2, Note::Uncuttable { upto: z(1, 1) })?;
        run.note(2, Note::Disowned { upto: Zxid::ZERO })?;
        run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
        let digest = StateDigest::default();
        run.note(2, Note::Recovered { last: None, from: None, blank, digest })
    }

    #[test]
    fn who_cannot_cut_may_give_up_what_it_has_and_says_so() {
        assert_eq!(disowned(z(1, 2), true), Ok(()));
        assert!(disowned(z(1, 2), false).unwrap_err().contains("without"));
        assert!(disowned(z(1, 1), true).unwrap_err().contains("though it has a snapshot"));
        let unasked = run().note(2, Note::Disowned { upto: Zxid::ZERO });
        assert!(unasked.unwrap_err().contains("gives up"));
    }

    #[test]
    fn the_log_and_nothing_else_is_recovered() {
        let mut run = run();
        run.note(2, replay(z(1, 1), z(1, 1).0 ^ 0x5555)).unwrap();
        run.note(2, recovered(Some(z(1, 1)))).unwrap();
    }

    #[test]
    fn an_invented_tail_is_found() {
        let mut run = run();
        run.note(2, replay(z(1, 1), z(1, 1).0 ^ 0x5555)).unwrap();
        run.note(2, replay(z(1, 2), 9)).unwrap();
        assert!(run.note(2, recovered(Some(z(1, 2)))).unwrap_err().contains("nobody proposed"));
    }

    #[test]
    fn moving_an_intact_history_aside_is_found() {
        assert!(run().note(2, Note::MovedAside).is_err());
    }

    /// What rotted is not owed; all else is judged.
    #[test]
    fn rot_excuses_a_loss_and_nothing_else() {
        let lost = |kind| {
            let mut run = Run::new(S01::default());
            run.boot_all();
            run.establish(1, 1).unwrap();
            for counter in 1..=2 {
                run.write(1, 1, counter).unwrap();
            }
            let last = Some(z(1, 2));
            run.server(2, SimEvent::Durable(Durable::Log { last })).unwrap();
            run.server(2, SimEvent::HistoryLost(kind)).unwrap();
            run.note(2, Note::AckedTxn { zxid: z(1, 2), epoch: Epoch(1) }).unwrap();
            run.crash(2);
            run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
            run
        };
        let blank = |blank| {
            let digest = StateDigest::default();
            Note::Recovered { last: None, from: None, blank, digest }
        };
        lost(LossKind::BitRot).note(2, blank(true)).unwrap();
        let counts = lost(LossKind::BitRot).note(2, blank(false));
        assert!(counts.unwrap_err().contains("counts, and its disk was damaged"));
        lost(LossKind::BitRot).note(2, Note::MovedAside).unwrap();
        assert!(lost(LossKind::Wiped).note(2, blank(true)).is_err());
        assert!(lost(LossKind::Wiped).note(2, Note::MovedAside).is_err());
        let mut run = lost(LossKind::BitRot);
        run.note(2, replay(z(1, 1), 9)).unwrap();
        assert!(run.note(2, blank(true)).unwrap_err().contains("nobody proposed"));
    }

    /// It has acknowledged nothing since.
    #[test]
    fn who_lost_its_disk_knows_that_until_it_has_been_filled() {
        for kind in [LossKind::Wiped, LossKind::BitRot] {
            for (filled, blank) in [(false, true), (false, false), (true, false)] {
                let mut run = run();
                run.server(2, SimEvent::HistoryLost(kind)).unwrap();
                if filled {
                    let (epoch, history) = (Epoch(1), Some(Zxid::ZERO));
                    run.note(2, Note::AckedNewLeader { epoch, history }).unwrap();
                }
                run.server(2, SimEvent::Boot { incarnation: 3 }).unwrap();
                let digest = StateDigest::default();
                let recovered = Note::Recovered { last: None, from: None, blank, digest };
                assert_eq!(run.note(2, recovered).is_ok(), filled || blank, "{kind:?} {blank}");
            }
        }
    }

    #[test]
    fn a_hole_between_snapshot_and_log_is_found() {
        let from_snapshot = |last: Zxid, from| Note::Recovered {
            last: Some(last),
            from: Some(from),
            blank: false,
            digest: StateDigest::default(),
        };
        let hash = |zxid: Zxid| zxid.0 ^ 0x5555;
        let mut run = run();
        for counter in 2..=3 {
            run.propose(1, z(1, counter), hash(z(1, counter))).unwrap();
        }
        run.note(2, replay(z(1, 3), hash(z(1, 3)))).unwrap();
        let hole = run.note(2, from_snapshot(z(1, 3), z(1, 1)));
        assert!(hole.unwrap_err().contains("onto its snapshot"));
        run.server(2, SimEvent::Boot { incarnation: 3 }).unwrap();
        run.note(2, replay(z(1, 2), hash(z(1, 2)))).unwrap();
        run.note(2, from_snapshot(z(1, 2), z(1, 1))).unwrap();
    }
}
