//! P10: of two servers that acknowledged NEWLEADER of one epoch, one history is a prefix of the other
//! while both are in it.
//! Source: Remix I-10.

use crate::checkers::line::comparable;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, ServerId};
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct P10 {
    within: BTreeMap<ServerId, Epoch>,
}

impl Check for P10 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Boot,
            Topic::Crash,
            Topic::Exit,
            Topic::AckedNewLeader,
            Topic::Logged,
            Topic::PhaseEntered,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        if matches!(event, SimEvent::Boot { .. } | SimEvent::Crash(_) | SimEvent::Exit(_)) {
            self.within.remove(&server);
        }
        let Some((_, note)) = note_of(cx, event) else { return Ok(()) };
        match note {
            Note::AckedNewLeader { epoch, .. } => {
                self.within.insert(server, *epoch);
            }
            Note::Logged { source, .. } if self.within.get(&server) == Some(source) => {}
            Note::PhaseEntered { phase: Phase::Looking, .. } => {
                self.within.remove(&server);
                return Ok(());
            }
            _ => return Ok(()),
        }
        let (Some(epoch), Some(me)) = (self.within.get(&server), cx.canon.member(server)) else {
            return Ok(());
        };
        for (other, theirs) in self.within.iter().filter(|(other, _)| **other != server) {
            let Some(member) = cx.canon.member(*other).filter(|_| theirs == epoch) else {
                continue;
            };
            if !comparable(&me.log, &member.log, &cx.canon.committed) {
                return Err(format!(
                    "{server} and {other} are in epoch {epoch} with histories that differ"
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

    #[test]
    fn a_fork_within_an_epoch_is_found() {
        let mut run = Run::new(P10::default());
        run.boot_all();
        run.log(1, z(1, 1), 5).unwrap();
        run.log(2, z(1, 1), 6).unwrap();
        let ack = Note::AckedNewLeader { epoch: Epoch(2), history: Some(z(1, 1)) };
        run.note(1, ack.clone()).unwrap();
        assert!(run.note(2, ack).is_err());
    }

    #[test]
    fn a_server_that_is_behind_is_no_fork() {
        let mut run = Run::new(P10::default());
        run.boot_all();
        run.log(1, z(1, 1), 5).unwrap();
        run.note(1, Note::AckedNewLeader { epoch: Epoch(2), history: Some(z(1, 1)) }).unwrap();
        run.note(3, Note::AckedNewLeader { epoch: Epoch(2), history: None }).unwrap();
    }
}
