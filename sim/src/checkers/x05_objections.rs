//! X5: servers of ours find nothing wrong with what the others say: connections deliver bytes whole and
//! in order, so that a packet which its reader calls wrong was wrong when it was sent, or is read
//! wrongly. It stands for X3 and X4 as well: a proposal behind a gap, a COMMIT out of order.
//! Source: Remix I-11 to I-14.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;

/// What a server may say about another one that did nothing wrong: the two do not fit together, or the
/// own disk is at fault.
const LEGAL: [&str; 10] = [
    "the learner knows a newer configuration (T36)",
    "the learner shows the last epoch, behind which there is none",
    "the learner's history is ahead of its leader's",
    "the leader's epoch is older than one that was accepted here (T33)",
    "this epoch is still on its way to the disk",
    "a file that the learner needs was purged",
    "the own log cannot be read",
    "the own snapshot cannot be read",
    "SNAP behind the own history",
    "talks before it is led",
];

#[derive(Debug, Default)]
pub(crate) struct X05;

impl Check for X05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Objection])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let (SimEvent::Objection { to, why }, Some(server)) = (event, cx.server()) else {
            return Ok(());
        };
        let apache = &cx.canon.cluster.apache;
        let ours = !apache.contains(to) && !apache.contains(&server);
        if cx.spec.white_box && ours && !LEGAL.contains(why) {
            return Err(format!("{server} objects to {to}: {why}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::ids::ServerId;

    #[test]
    fn a_packet_that_its_reader_calls_wrong_is_found() {
        let mut run = Run::new(X05);
        run.boot_all();
        let to = ServerId(1);
        run.server(2, SimEvent::Objection { to, why: LEGAL[3] }).unwrap();
        let objection = SimEvent::Objection { to, why: "COMMIT out of order" };
        assert!(run.server(2, objection).is_err());
    }
}
