//! P5: what servers apply is one sequence. In broadcast a server applies exactly the next committed
//! transaction, and nobody serves a tree that holds anything uncommitted.
//! Source: PrefixConsistency in Zab.tla.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P05;

impl Check for P05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Applied, Topic::Serving])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        let Some(member) = cx.canon.member(server) else { return Ok(()) };
        let judged = match note {
            Note::Applied { zxid, recovered: false, .. } => member.in_broadcast().then_some(*zxid),
            Note::Serving { on: true } => {
                Some(member.applied.last(&cx.canon.committed).unwrap_or_default())
            }
            _ => None,
        };
        let Some(zxid) = judged else { return Ok(()) };
        if member.applied.len() > member.applied.common() {
            return Err(format!(
                "{server} holds {zxid} behind {} committed transactions of {}, but that is not how the order goes on",
                member.applied.common(),
                cx.canon.committed.len(),
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
    fn applying_before_the_commit_is_found() {
        let mut run = Run::new(P05);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.propose(1, z(1, 1), 5).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        assert!(run.note(2, applied(z(1, 1), 5)).is_err());
    }

    #[test]
    fn serving_a_fork_is_found() {
        let mut run = Run::new(P05);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.note(3, phase(vivarium_core::server::note::Phase::Looking, 1)).unwrap();
        run.note(3, applied(z(1, 2), 77)).unwrap();
        assert!(run.note(3, Note::Serving { on: true }).is_err());
    }
}
