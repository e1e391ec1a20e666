//! P13: the server that gets established had the newest (currentEpoch, last zxid) of the quorum that
//! promised it the epoch; observers and blank servers are counted nowhere.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct P13 {
    promises: BTreeMap<(ServerId, Epoch), BTreeMap<ServerId, (Epoch, Zxid)>>,
}

impl Check for P13 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Elected, Topic::Promised, Topic::PhaseEntered, Topic::Established])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        let cluster = &cx.canon.cluster;
        match note {
            Note::Elected { leader, .. } if !cluster.decides(*leader) => {
                return Err(format!("{server} elects {leader}, which has no vote"));
            }
            Note::Promised { epoch, by, last, current } => {
                if !cluster.voters.contains(by) {
                    return Err(format!("{server} counts a promise of {by}, which has no vote"));
                }
                let Some(last) = last else {
                    return Err(format!("{server} counts a promise of {by}, which is blank"));
                };
                let summary = self.promises.entry((server, *epoch)).or_default();
                summary.insert(*by, (*current, *last));
            }
            // Promises that come later are not compared.
            Note::PhaseEntered { phase: Phase::LeadingSynchronization, epoch } => {
                let promises = self.promises.remove(&(server, *epoch)).unwrap_or_default();
                if !cluster.is_quorum(promises.keys()) {
                    return Err(format!(
                        "{server} leads epoch {epoch} on {} promises",
                        promises.len()
                    ));
                }
                let own = promises.get(&server);
                if let Some((other, theirs)) =
                    promises.iter().find(|(_, theirs)| Some(*theirs) > own)
                {
                    return Err(format!("{server} with {own:?} leads {other} with {theirs:?}"));
                }
            }
            Note::PhaseEntered { phase: Phase::LeadingDiscovery, .. } => {
                self.promises.retain(|(leader, _), _| *leader != server);
            }
            Note::Established { epoch, .. } if !cluster.decides(server) => {
                return Err(format!("{server} is established for epoch {epoch} without a vote"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    fn promise(by: u64, current: u32, last: Option<Zxid>) -> Note {
        Note::Promised { epoch: Epoch(5), by: ServerId(by), last, current: Epoch(current) }
    }

    fn lead() -> Note {
        phase(Phase::LeadingSynchronization, 5)
    }

    #[test]
    fn a_leader_behind_its_quorum_is_found() {
        let mut run = Run::new(P13::default());
        run.boot_all();
        run.note(1, promise(1, 4, Some(z(4, 2)))).unwrap();
        run.note(1, promise(2, 4, Some(z(4, 3)))).unwrap();
        assert!(run.note(1, lead()).is_err());
    }

    #[test]
    fn the_epoch_outranks_the_zxid() {
        let mut run = Run::new(P13::default());
        run.boot_all();
        run.note(1, promise(1, 4, Some(z(3, 2)))).unwrap();
        run.note(1, promise(2, 3, Some(z(3, 9)))).unwrap();
        run.note(1, lead()).unwrap();
    }

    #[test]
    fn too_few_promises_and_blank_ones_are_found() {
        let mut run = Run::new(P13::default());
        run.boot_all();
        run.note(1, promise(1, 4, Some(z(3, 2)))).unwrap();
        assert!(run.note(1, promise(2, 0, None)).is_err());
        assert!(run.note(1, lead()).is_err());
    }
}
