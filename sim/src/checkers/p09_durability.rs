//! P9: no truncation, recovery, crash or snapshot takes a committed transaction off a disk so that
//! fewer than a quorum of voters hold it. Judged by the disks; copies that a wipe or bit rot took are
//! charged to the fault, so they count as held.

use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P09 {
    /// Newest durable zxid of each server, as last seen.
    durable: BTreeMap<ServerId, Option<Zxid>>,
}

impl Check for P09 {
    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        if !cx.spec.white_box {
            return Ok(());
        }
        let changes = match event {
            SimEvent::Durable(_)
            | SimEvent::HistoryLost(_)
            | SimEvent::Crash(_)
            | SimEvent::Boot { .. } => true,
            SimEvent::Note(note) => matches!(
                note,
                Note::Truncated { .. }
                    | Note::SnapInstalled { .. }
                    | Note::Recovered { .. }
                    | Note::MovedAside
            ),
            _ => false,
        };
        if !changes {
            return Ok(());
        }
        let last = cx.disks.durable_last_log(server).max(cx.disks.durable_snapshot(server));
        let before = std::mem::replace(self.durable.entry(server).or_default(), last);
        if before > last {
            self.judge_removal(cx, server, last, before)?;
        }
        Ok(())
    }
}

impl P09 {
    fn judge_removal(
        &self,
        cx: &Cx<'_>,
        server: ServerId,
        last: Option<Zxid>,
        before: Option<Zxid>,
    ) -> Result<(), String> {
        let upto = |zxid: Option<Zxid>| zxid.map_or(0, |zxid| cx.canon.count_upto(zxid));
        for entry in &cx.canon.committed[upto(last)..upto(before)] {
            let holds = |voter: &ServerId| {
                cx.damage.took(*voter, entry.zxid)
                    || cx.disks.durable_has_txn(*voter, entry.zxid, entry.hash)
            };
            let held = cx.canon.cluster.voters.iter().filter(|voter| holds(voter)).count();
            if !cx.canon.cluster.is_quorum(held) {
                return Err(format!(
                    "{server} lost {}, which is committed; {held} voters still hold it",
                    entry.zxid
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::{Durable, LossKind};

    fn run() -> Run<P09> {
        let mut run = Run::new(P09::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        for server in 1..=3 {
            let last = Some(z(1, 1));
            run.server(server, SimEvent::Durable(Durable::Log { last })).unwrap();
        }
        run
    }

    #[test]
    fn two_truncations_of_a_commit_are_found() {
        let mut run = run();
        run.disks.clear(1);
        run.note(1, Note::Truncated { upto: Zxid::ZERO }).unwrap();
        run.disks.clear(2);
        assert!(run.note(2, Note::Truncated { upto: Zxid::ZERO }).is_err());
    }

    #[test]
    fn what_was_logged_behind_rot_is_charged_with_it() {
        let mut run = run();
        run.server(1, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        run.write(1, 1, 2).unwrap();
        for server in 1..=3 {
            let last = Some(z(1, 2));
            run.server(server, SimEvent::Durable(Durable::Log { last })).unwrap();
        }
        run.server(1, SimEvent::Boot { incarnation: 2 }).unwrap();
        run.disks.clear(1);
        run.note(1, Note::MovedAside).unwrap();
        run.disks.clear(2);
        run.note(2, Note::Truncated { upto: Zxid::ZERO }).unwrap();
        run.disks.clear(3);
        assert!(run.note(3, Note::Truncated { upto: Zxid::ZERO }).is_err());
    }

    #[test]
    fn a_wipe_is_charged_to_the_fault() {
        let mut run = run();
        run.disks.clear(1);
        run.server(1, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        run.disks.clear(2);
        run.note(2, Note::Truncated { upto: Zxid::ZERO }).unwrap();
        run.disks.clear(3);
        assert!(run.note(3, Note::Truncated { upto: Zxid::ZERO }).is_err());
    }
}
