//! P14: whoever serves in an epoch has applied the history that the epoch began with; so has a learner
//! from UPTODATE on (X1).
//! Source: Remix I-9, I-11.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P14;

impl Check for P14 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Serving])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, Note::Serving { on: true })) = note_of(cx, event) else { return Ok(()) };
        let Some(member) = cx.canon.member(server) else { return Ok(()) };
        let initial = cx.canon.initial.get(&member.epoch).copied().flatten();
        let Some(last) = initial.filter(|_| !cx.canon.cluster.standalone) else { return Ok(()) };
        let needs = cx.canon.count_upto(last.zxid);
        if member.applied.common() < needs {
            let missing = cx.canon.committed[member.applied.common()].zxid;
            return Err(format!(
                "{server} serves in epoch {} and has not applied {missing}, which the epoch began with",
                member.epoch
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::server::note::Phase;

    /// Server 2 serves in epoch 2, which begins with 1:1.
    fn serve(has_applied: bool) -> Result<(), String> {
        let mut run = Run::new(P14);
        run.boot_all();
        run.establish(1, 1)?;
        run.propose(1, z(1, 1), 5)?;
        for server in 1..=2 {
            run.log(server, z(1, 1), 5)?;
        }
        run.note(1, Note::Committed { zxid: z(1, 1) })?;
        run.note(1, phase(Phase::LeadingSynchronization, 2))?;
        run.note(1, established_with(2, z(1, 1)))?;
        if has_applied {
            run.note(2, applied(z(1, 1), 5))?;
        }
        run.note(2, phase(Phase::FollowingBroadcast, 2))?;
        run.note(2, Note::Serving { on: true })
    }

    #[test]
    fn a_learner_that_serves_an_older_tree_is_found() {
        serve(true).unwrap();
        assert!(serve(false).unwrap_err().contains("has not applied"));
    }
}
