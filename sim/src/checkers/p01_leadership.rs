//! P1: at most one server ever gets established for an epoch, and no two servers lead one epoch in
//! synchronization or broadcast at the same time.
//! Source: Leadership1 and Leadership2 in Zab.tla.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct P01;

impl Check for P01 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Established, Topic::PhaseEntered])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        if let Note::Established { epoch, .. } = note {
            let first = cx.canon.established.get(epoch).copied().unwrap_or(server);
            if first != server {
                return Err(format!("{server} is established for epoch {epoch} after {first}"));
            }
        }
        let Note::PhaseEntered { phase, epoch } = note else { return Ok(()) };
        if !leads(*phase) {
            return Ok(());
        }
        for (other, member) in &cx.canon.members {
            if *other != server && member.up && leads(member.phase) && member.epoch == *epoch {
                return Err(format!("{server} and {other} both lead epoch {epoch}"));
            }
        }
        Ok(())
    }
}

fn leads(phase: Phase) -> bool {
    matches!(phase, Phase::LeadingSynchronization | Phase::LeadingBroadcast)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    #[test]
    fn two_leaders_of_one_epoch_are_found() {
        let mut run = Run::new(P01);
        run.boot_all();
        run.establish(1, 1).unwrap();
        let found = run.note(2, established(1));
        assert!(found.unwrap_err().contains("after 1"));
    }

    #[test]
    fn two_that_synchronize_at_once_are_found() {
        let mut run = Run::new(P01);
        run.boot_all();
        run.note(1, phase(Phase::LeadingSynchronization, 4)).unwrap();
        run.note(3, phase(Phase::LeadingSynchronization, 5)).unwrap();
        assert!(run.note(2, phase(Phase::LeadingSynchronization, 4)).is_err());
    }
}
