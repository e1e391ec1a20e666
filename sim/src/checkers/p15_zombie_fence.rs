//! P15: once a server accepted an epoch, nothing of an older one changes its log or its tree.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P15;

impl Check for P15 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Logged, Topic::Applied, Topic::Truncated, Topic::SnapInstalled])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        let Some(member) = cx.canon.member(server) else { return Ok(()) };
        let Some(accepted) = member.accepted.filter(|_| !cx.canon.cluster.standalone) else {
            return Ok(());
        };
        let source = match note {
            Note::Logged { source, .. } => *source,
            Note::Applied { recovered: false, .. } if member.in_broadcast() => member.epoch,
            Note::Truncated { .. } | Note::SnapInstalled { .. } => member.epoch,
            _ => return Ok(()),
        };
        if source < accepted {
            return Err(format!(
                "epoch {source} changes {server}, which accepted {accepted}: {note:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::ids::Epoch;

    #[test]
    fn a_proposal_of_a_deposed_leader_is_found() {
        let mut run = Run::new(P15);
        run.boot_all();
        run.note(2, Note::EpochAccepted { epoch: Epoch(1) }).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        run.note(2, Note::EpochAccepted { epoch: Epoch(2) }).unwrap();
        assert!(run.log(2, z(1, 2), 6).is_err());
    }
}
