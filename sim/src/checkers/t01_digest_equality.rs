//! T1: servers that applied the same transactions have the same state, Stat by Stat, and the state that
//! the oracle computed; and the digest that a transaction carries is that of the tree behind it. Not judged while a tree that grew from a fuzzy snapshot of an Apache peer has
//! not applied all that the snapshot holds parts of.

use crate::checkers::line::Line;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::hashed::HashedMap;
use crate::observe::SimEvent;
use vivarium_core::ids::ServerId;
use vivarium_core::server::note::{Note, StateDigest};

#[derive(Debug, Default)]
pub(crate) struct T01 {
    /// By fingerprint of all transactions applied.
    seen: HashedMap<u64, (StateDigest, ServerId)>,
}

impl Check for T01 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Applied, Topic::SnapInstalled, Topic::Recovered])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        let Some(member) = cx.canon.member(server) else { return Ok(()) };
        let line = &member.applied;
        match note {
            Note::Applied { digest, .. } if !member.recovering => {
                self.judge(cx, server, line, line.len(), *digest)?;
            }
            Note::SnapInstalled { digest, .. } => {
                self.judge(cx, server, line, line.len(), *digest)?;
            }
            Note::Recovered { digest, blank: false, .. } => {
                let base = line.len().saturating_sub(member.replay.len());
                for (place, (_, _, digest)) in member.replay.iter().enumerate() {
                    self.judge(cx, server, line, base + place + 1, *digest)?;
                }
                self.judge(cx, server, line, line.len(), *digest)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl T01 {
    fn judge(
        &mut self,
        cx: &Cx<'_>,
        server: ServerId,
        line: &Line,
        len: usize,
        digest: StateDigest,
    ) -> Result<(), String> {
        let committed = &cx.canon.committed;
        let prefix = line.prefix(len, committed);
        let at = len.checked_sub(1).and_then(|index| line.entry(index, committed));
        let at = at.map(|entry| entry.zxid).unwrap_or_default();
        if cx.canon.member(server).is_some_and(|member| member.is_blurred_at(at)) {
            return Ok(());
        }
        let (first, by) = *self.seen.entry(prefix).or_insert((digest, server));
        if first != digest {
            return Err(format!(
                "after {at} the state of {server} is {digest:x?}, that of {by} {first:x?}"
            ));
        }
        let common = len.checked_sub(1).filter(|_| len <= line.common());
        let carried = common.and_then(|index| cx.canon.tree_digests.get(index).copied().flatten());
        if let Some(carried) = carried.filter(|carried| *carried != digest.tree) {
            return Err(format!(
                "{at} carries the digest {carried:#x}, the tree of {server} has {:#x} behind it",
                digest.tree
            ));
        }
        let oracle = common.and_then(|index| cx.canon.digests.get(index));
        match oracle {
            Some(oracle)
                if cx.canon.cluster.full_digest
                    && !cx.canon.oracle_blind
                    && *oracle != digest.full =>
            {
                Err(format!(
                    "after {at} the state of {server} is {:#x}, the oracle's {oracle:#x}",
                    digest.full
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::oracle::txn::{Header, Txn};
    use vivarium_core::ids::Zxid;

    #[test]
    fn a_state_that_differs_is_found() {
        let mut run = Run::new(T01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        let header = Header { session: 5, cxid: 0, zxid: z(1, 1), time: 0 };
        run.commit(1, header, &Txn::CreateSession { timeout_ms: 1000 }).unwrap();
        run.crash(2);
        run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
        let digest = StateDigest { tree: 1, full: 1 };
        let (zxid, hash) = (z(1, 1), z(1, 1).0 ^ 0x5555);
        run.note(2, Note::Applied { zxid, hash, digest, recovered: true }).unwrap();
        let recovered = Note::Recovered { last: Some(zxid), from: None, blank: false, digest };
        assert!(run.note(2, recovered).is_err());
    }

    #[test]
    fn a_digest_that_is_not_the_trees_is_found() {
        let applies = |beside: u64| {
            let mut run = Run::new(T01::default());
            run.boot_all();
            run.establish(1, 1).unwrap();
            run.write(1, 1, 1).unwrap();
            let full = run.canon.oracle.full_digest();
            run.canon.tree_digests = vec![Some(full.wrapping_add(beside))];
            run.crash(2);
            run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
            let (zxid, hash) = (z(1, 1), z(1, 1).0 ^ 0x5555);
            let digest = StateDigest { tree: full, full };
            run.note(2, Note::Applied { zxid, hash, digest, recovered: true }).unwrap();
            run.note(2, Note::Recovered { last: Some(zxid), from: None, blank: false, digest })
        };
        applies(0).unwrap();
        assert!(applies(1).unwrap_err().contains("carries the digest"));
    }

    /// Server 2 replays 1:1 to 1:3 onto a snapshot of `base`; what it shows behind the transaction at
    /// `wrong` is not what the others have.
    fn recovery(fuzzy: Option<(Zxid, Zxid)>, base: Zxid, wrong: u32) -> Result<(), String> {
        let mut run = Run::new(T01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        (1..=3).for_each(|counter| run.write(1, 1, counter).unwrap());
        run.crash(2);
        if let Some((base, end)) = fuzzy {
            run.server(2, SimEvent::FuzzyFile { base, end }).unwrap();
        }
        run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
        let full = run.canon.oracle.full_digest();
        let right = StateDigest { tree: full, full };
        for counter in base.counter() + 1..=3 {
            let zxid = z(1, counter);
            let digest = if counter == wrong { StateDigest::default() } else { right };
            run.note(2, Note::Applied { zxid, hash: zxid.0 ^ 0x5555, digest, recovered: true })
                .unwrap();
        }
        let (last, from) = (Some(z(1, 3)), Some(base));
        run.note(2, Note::Recovered { last, from, blank: false, digest: right })
    }

    #[test]
    fn a_fuzzy_snapshot_excuses_what_is_replayed_over_it_and_no_more() {
        let base = z(1, 1);
        assert!(recovery(None, base, 2).is_err());
        assert_eq!(recovery(Some((base, z(1, 3))), base, 2), Ok(()));
        assert!(recovery(Some((base, z(1, 3))), base, 3).is_err(), "all of it is replayed");
        assert!(recovery(Some((z(1, 0), z(1, 3))), base, 2).is_err(), "of another snapshot");
    }

    #[test]
    fn a_fuzzy_snap_excuses_the_learner_that_it_went_to() {
        let install = |learner, zxid| {
            let mut run = Run::new(T01::default());
            run.boot_all();
            run.establish(1, 1).unwrap();
            (1..=3).for_each(|counter| run.write(1, 1, counter).unwrap());
            let (learner, base, end) = (ServerId(learner), z(1, 2), z(1, 3));
            run.server(1, SimEvent::ApacheSnap { learner, base, end }).unwrap();
            run.note(2, Note::SnapshotSealed { zxid }).unwrap();
            run.note(2, Note::SnapInstalled { zxid, digest: StateDigest::default() })
        };
        assert_eq!(install(2, z(1, 2)), Ok(()));
        assert!(install(3, z(1, 2)).is_err());
        assert!(install(2, z(1, 3)).is_err(), "another SNAP came");
    }

    #[test]
    fn agreeing_on_a_wrong_state_is_found_by_the_oracle() {
        let mut run = Run::new(T01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.propose(1, z(1, 1), 5).unwrap();
        let header = Header { session: 5, cxid: 0, zxid: z(1, 2), time: 0 };
        run.commit(1, header, &Txn::CreateSession { timeout_ms: 1000 }).unwrap();
        let wrong = StateDigest { tree: 7, full: 7 };
        let other = Run::new(T01::default());
        let mut other = Run { canon: run.canon, ..other };
        let line = Line::of_committed(1);
        let spec = crate::checkers::RunSpec { white_box: true, drift_ppm: 0, recorded: false };
        let cx = Cx {
            now: other.now,
            node: crate::ids::NodeId::World,
            canon: &other.canon,
            damage: &other.damage,
            disks: &other.disks,
            spec,
        };
        assert!(
            other.check.judge(&cx, ServerId(1), &line, 1, wrong).unwrap_err().contains("oracle")
        );
    }
}
