//! L2: in the calm phase every running server, observers too, reaches what the leader had committed
//! within T_sync, and none is synchronized again and again.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::ids::SimTime;
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct L02 {
    next: Option<SimTime>,
    /// Transactions that were committed when the present period began.
    target: Option<usize>,
    synced: BTreeMap<ServerId, u32>,
    /// Transactions that were committed when the end of the run was asked for last.
    known: Option<usize>,
}

impl Check for L02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Healed, Topic::Established, Topic::SyncChosen])
    }

    fn needs_quorum(&self) -> bool {
        true
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if matches!(event, SimEvent::Healed { .. }) {
            let cluster = &cx.canon.cluster;
            self.next = Some(cx.now.plus(2 * cluster.init_limit_ticks * cluster.tick_us));
        }
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        match note {
            Note::Established { .. } => self.synced.clear(),
            Note::SyncChosen { learner, how }
                if self.target.is_some() && !cx.canon.is_spared(*learner) =>
            {
                let count = self.synced.entry(*learner).or_default();
                *count += 1;
                if *count > MOST_SYNCS {
                    return Err(format!(
                        "{server} synchronizes {learner} for the {count}th time, by {how:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.next
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        for (server, member) in &cx.canon.members {
            let behind = self.target.is_some_and(|target| member.applied.common() < target);
            if behind && !cx.canon.is_spared(*server) {
                return Err(format!(
                    "{server} has applied {} transactions; {:?} were committed {T_SYNC_US} us ago",
                    member.applied.common(),
                    self.target,
                ));
            }
        }
        self.target = Some(cx.canon.committed.len());
        self.next = Some(cx.now.plus(T_SYNC_US));
        Ok(())
    }

    /// Everybody in step, with all that was committed: now, or a little earlier where clients go on.
    fn wants(&mut self, cx: &Cx<'_>) -> Option<String> {
        let committed = cx.canon.committed.len();
        let goal = self.known.replace(committed).unwrap_or(committed);
        let alive = cx.canon.members.iter().filter(|(server, _)| !cx.canon.is_spared(**server));
        let mut late =
            alive.filter(|(_, member)| !member.in_broadcast() || member.applied.common() < goal);
        late.next().map(|(server, member)| {
            let applied = member.applied.common();
            format!("{server} is {:?} and has applied {applied} of {goal}", member.phase)
        })
    }
}

const T_SYNC_US: u64 = 30_000_000;

/// The first, and three restarts.
const MOST_SYNCS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::ids::NodeId;
    use vivarium_core::server::note::SyncKind;

    #[test]
    fn a_server_that_stays_behind_is_found() {
        let mut run = Run::new(L02::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.heal().unwrap();
        run.wait_ms(200_000).unwrap();
        run.boot(3);
        assert!(run.wait_ms(31_000).is_err());
    }

    #[test]
    fn synchronizing_for_ever_is_found() {
        let mut run = Run::new(L02::default());
        run.boot_all();
        run.heal().unwrap();
        run.wait_ms(61_000).unwrap();
        let again = Note::SyncChosen { learner: ServerId(2), how: SyncKind::Snap };
        assert!((0..5).any(|_| run.note(1, again.clone()).is_err()));
    }

    #[test]
    fn a_run_goes_on_until_all_are_in_step() {
        let mut run = Run::new(L02::default());
        run.boot_all();
        assert!(run.wants().is_some());
        run.establish(1, 1).unwrap();
        assert_eq!(run.wants(), None);
        run.propose(1, z(1, 1), 5).unwrap();
        for server in 1..=3 {
            run.log(server, z(1, 1), 5).unwrap();
        }
        run.note(1, Note::Committed { zxid: z(1, 1) }).unwrap();
        assert_eq!(run.wants(), None, "nothing was committed when it was asked last");
        for server in 1..=2 {
            run.note(server, applied(z(1, 1), 5)).unwrap();
        }
        assert!(run.wants().unwrap().contains("applied 0 of 1"));
        run.crash(3);
        run.feed(NodeId::World, &SimEvent::Healed { dead: vec![ServerId(3)], sick: Vec::new() })
            .unwrap();
        assert_eq!(run.wants(), None, "who stays dead is not waited for");
    }
}
