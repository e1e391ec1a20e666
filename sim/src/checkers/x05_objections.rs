//! X5: servers of ours find nothing wrong with what the others say: connections deliver bytes whole and
//! in order, so that a packet which its reader calls wrong was wrong when it was sent, or is read
//! wrongly. Nor with their own files, where nothing has struck their disk, and not again and again with
//! what one fault struck. It stands for X3 and X4 as well: a proposal behind a gap, a COMMIT out of
//! order.
//! Source: Remix I-11 to I-14.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::{LossKind, SimEvent};
use std::collections::BTreeMap;
use vivarium_core::ids::ServerId;

/// What a server may say about another one that did nothing wrong: the two do not fit together, or the
/// own disk is at fault.
const LEGAL: [&str; 10] = [
    "the learner knows a newer configuration (T36)",
    "the learner shows the last epoch, behind which there is none",
    "the learner's history is ahead of its leader's",
    "the leader's epoch is older than one that was accepted here (T33)",
    "this epoch is still on its way to the disk",
    "a file that the learner needs was purged",
    OWN_LOG,
    OWN_SNAPSHOT,
    "SNAP behind the own history",
    "talks before it is led",
];

/// What only a server may say whose disk a fault has struck.
const OWN_LOG: &str = "the own log cannot be read";
const OWN_SNAPSHOT: &str = "the own snapshot cannot be read";

#[derive(Debug, Default)]
pub(crate) struct X05 {
    /// How often a fault struck the disk of each server since it was blank, failed reads included.
    strikes: BTreeMap<ServerId, u32>,
    /// How often a process has blamed its own files when it ended a connection to another server.
    blamed: BTreeMap<(ServerId, ServerId), u32>,
}

impl Check for X05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Objection, Topic::HistoryLost, Topic::ReadFailed, Topic::Boot])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        match event {
            SimEvent::HistoryLost(LossKind::Wiped) => drop(self.strikes.remove(&server)),
            SimEvent::HistoryLost(_) | SimEvent::ReadFailed => {
                *self.strikes.entry(server).or_default() += 1;
            }
            // It has to find out anew.
            SimEvent::Boot { .. } => self.blamed.retain(|(by, _), _| *by != server),
            SimEvent::Objection { to, why } if cx.spec.white_box => {
                let apache = &cx.canon.cluster.apache;
                if !apache.contains(to) && !apache.contains(&server) {
                    return self.objects(server, *to, why);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl X05 {
    fn objects(&mut self, server: ServerId, to: ServerId, why: &str) -> Result<(), String> {
        if !LEGAL.contains(&why) {
            return Err(format!("{server} objects to {to}: {why}"));
        }
        if ![OWN_LOG, OWN_SNAPSHOT].contains(&why) {
            return Ok(());
        }
        let Some(&strikes) = self.strikes.get(&server) else {
            return Err(format!("{server} says that {why}, though nothing has struck its disk"));
        };
        let blamed = self.blamed.entry((server, to)).or_default();
        *blamed += 1;
        // What it has come upon it does not serve again. An older connection may still read it.
        if *blamed > strikes + 1 {
            return Err(format!(
                "{server} tells {to} once more ({blamed}) that {why}, and was struck {strikes} times"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    #[test]
    fn a_packet_that_its_reader_calls_wrong_is_found() {
        let mut run = Run::new(X05::default());
        run.boot_all();
        let to = ServerId(1);
        run.server(2, SimEvent::Objection { to, why: LEGAL[3] }).unwrap();
        let objection = SimEvent::Objection { to, why: "COMMIT out of order" };
        assert!(run.server(2, objection).is_err());
    }

    #[test]
    fn only_a_disk_that_was_struck_may_be_blamed() {
        let mut run = Run::new(X05::default());
        run.boot_all();
        let blames = |run: &mut Run<X05>, server| {
            [OWN_LOG, OWN_SNAPSHOT].map(|why| {
                run.server(server, SimEvent::Objection { to: ServerId(1), why }).is_err()
            })
        };
        assert_eq!(blames(&mut run, 2), [true, true]);
        run.server(2, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        run.server(3, SimEvent::ReadFailed).unwrap();
        assert_eq!(blames(&mut run, 2), [false, false]);
        assert_eq!(blames(&mut run, 3), [false, false]);
        run.server(2, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        assert_eq!(blames(&mut run, 2), [true, true]);
    }

    #[test]
    fn what_a_process_has_come_upon_it_does_not_serve_again() {
        let mut run = Run::new(X05::default());
        run.boot_all();
        let blame = |run: &mut Run<X05>, to: u64| {
            run.server(2, SimEvent::Objection { to: ServerId(to), why: OWN_LOG })
        };
        run.server(2, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        for to in [1, 3, 1, 3] {
            blame(&mut run, to).unwrap();
        }
        assert!(blame(&mut run, 3).unwrap_err().contains("once more (3)"));
        run.server(2, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        blame(&mut run, 1).unwrap();
        run.crash(2);
        run.server(2, SimEvent::Boot { incarnation: 2 }).unwrap();
        for _ in 0..3 {
            blame(&mut run, 1).unwrap();
        }
        assert!(blame(&mut run, 1).is_err());
    }
}
