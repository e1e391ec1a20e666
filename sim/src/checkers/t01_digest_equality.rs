//! T1: servers that applied the same transactions have the same state, Stat by Stat, and the state that
//! the oracle computed. Not judged while a tree that grew from a fuzzy snapshot of an Apache peer has
//! not applied all that the snapshot holds parts of.

use crate::checkers::line::Line;
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::ServerId;
use vivarium_core::server::note::{Note, StateDigest};

#[derive(Debug, Default)]
pub(crate) struct T01 {
    /// By fingerprint of all transactions applied.
    seen: BTreeMap<u64, (StateDigest, ServerId)>,
}

impl Check for T01 {
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
        let oracle = match len.checked_sub(1) {
            Some(index) if len <= line.common() => cx.canon.digests.get(index),
            Some(_) | None => None,
        };
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
        let spec = crate::checkers::RunSpec { white_box: true, drift_ppm: 0 };
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
