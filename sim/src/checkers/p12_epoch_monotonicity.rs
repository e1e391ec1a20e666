//! P12: acceptedEpoch and currentEpoch of a server never go back, over restarts too; currentEpoch is
//! never ahead of acceptedEpoch; nothing is logged from beyond acceptedEpoch; a counted promise comes
//! from a server that accepted that epoch, and no other leader counts one of its for that epoch. A wiped
//! disk starts anew.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;
use crate::observe::{Durable, LossKind};
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, ServerId};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P12 {
    epochs: BTreeMap<ServerId, Epochs>,
    /// The leader that each server has promised an epoch.
    promised: BTreeMap<(ServerId, Epoch), ServerId>,
}

impl Check for P12 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::HistoryLost,
            Topic::Durable,
            Topic::Crash,
            Topic::Exit,
            Topic::EpochAccepted,
            Topic::EpochEntered,
            Topic::Logged,
            Topic::Promised,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        if cx.canon.cluster.standalone {
            return Ok(());
        }
        match event {
            SimEvent::HistoryLost(LossKind::Wiped) => {
                self.epochs.remove(&server);
                self.promised.retain(|(by, _), _| *by != server);
            }
            SimEvent::Durable(Durable::AcceptedEpoch(epoch)) if cx.spec.white_box => {
                self.accept(server, *epoch)?;
            }
            SimEvent::Durable(Durable::CurrentEpoch(epoch)) if cx.spec.white_box => {
                if cx.disks.durable_accepted_epoch(server) < Some(*epoch) && *epoch > Epoch::ZERO {
                    return Err(format!(
                        "currentEpoch {epoch} of {server} is durable before acceptedEpoch"
                    ));
                }
                self.enter(server, *epoch)?;
            }
            // What was on its way to the disk may have arrived, and is there for good then.
            SimEvent::Crash(_) | SimEvent::Exit(_) if !cx.spec.white_box => {
                self.epochs.entry(server).or_default().may_be_ahead = true;
            }
            SimEvent::Crash(_) | SimEvent::Exit(_) => {
                if let Some(epoch) = cx.disks.durable_accepted_epoch(server) {
                    self.accept(server, epoch)?;
                }
                if let Some(epoch) = cx.disks.durable_current_epoch(server) {
                    self.enter(server, epoch)?;
                }
            }
            SimEvent::Note(note) => self.note(server, note)?,
            _ => {}
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Epochs {
    accepted: Option<Epoch>,
    current: Option<Epoch>,
    /// The server died, and its disk may know of a newer acceptedEpoch than it told.
    may_be_ahead: bool,
}

impl Epochs {
    /// Whether the newest epoch that it may have accepted is older than this one.
    fn accepted_less_than(&self, epoch: Epoch) -> Option<Epoch> {
        self.accepted.filter(|accepted| *accepted < epoch && !self.may_be_ahead)
    }
}

impl P12 {
    fn accept(&mut self, server: ServerId, epoch: Epoch) -> Result<(), String> {
        let epochs = self.epochs.entry(server).or_default();
        epochs.may_be_ahead = false;
        let before = epochs.accepted.replace(epoch);
        match before > Some(epoch) {
            true => Err(format!("acceptedEpoch of {server} goes from {before:?} back to {epoch}")),
            false => Ok(()),
        }
    }

    fn enter(&mut self, server: ServerId, epoch: Epoch) -> Result<(), String> {
        let epochs = self.epochs.entry(server).or_default();
        let before = epochs.current.replace(epoch);
        if before > Some(epoch) {
            return Err(format!("currentEpoch of {server} goes from {before:?} back to {epoch}"));
        }
        match epochs.accepted_less_than(epoch) {
            Some(accepted) => Err(format!(
                "currentEpoch {epoch} of {server} is ahead of acceptedEpoch {accepted}"
            )),
            None => Ok(()),
        }
    }

    fn note(&mut self, server: ServerId, note: &Note) -> Result<(), String> {
        match note {
            Note::EpochAccepted { epoch } => self.accept(server, *epoch),
            Note::EpochEntered { epoch, .. } => self.enter(server, *epoch),
            Note::Logged { zxid, .. } => {
                let epochs = self.epochs.get(&server);
                match epochs.and_then(|epochs| epochs.accepted_less_than(zxid.epoch())) {
                    Some(accepted) => {
                        Err(format!("{server} logs {zxid} with acceptedEpoch {accepted}"))
                    }
                    None => Ok(()),
                }
            }
            Note::Promised { epoch, by, .. } => {
                let first = *self.promised.entry((*by, *epoch)).or_insert(server);
                if first != server {
                    return Err(format!(
                        "{server} counts a promise of {by} for {epoch}, and so did {first}"
                    ));
                }
                let epochs = self.epochs.get(by);
                match epochs.and_then(|epochs| epochs.accepted_less_than(*epoch)) {
                    Some(accepted) => Err(format!(
                        "{server} counts a promise of {by} for {epoch}, which accepted {accepted}"
                    )),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    #[test]
    fn an_epoch_that_goes_back_is_found_also_over_a_restart() {
        let mut run = Run::new(P12::default());
        run.boot_all();
        run.note(2, Note::EpochAccepted { epoch: Epoch(3) }).unwrap();
        run.crash(2);
        run.boot(2);
        assert!(run.note(2, Note::EpochAccepted { epoch: Epoch(2) }).is_err());
    }

    #[test]
    fn a_wiped_disk_starts_anew() {
        let mut run = Run::new(P12::default());
        run.boot_all();
        run.note(2, Note::EpochAccepted { epoch: Epoch(3) }).unwrap();
        run.server(2, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        run.note(2, Note::EpochAccepted { epoch: Epoch(2) }).unwrap();
        assert!(run.note(2, Note::EpochEntered { epoch: Epoch(3), history: None }).is_err());
    }

    #[test]
    fn logging_beyond_the_accepted_epoch_is_found() {
        let mut run = Run::new(P12::default());
        run.boot_all();
        run.note(2, Note::EpochAccepted { epoch: Epoch(1) }).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        assert!(run.log(2, z(2, 1), 6).is_err());
    }

    #[test]
    fn a_promise_to_two_leaders_is_found() {
        let mut run = Run::new(P12::default());
        run.boot_all();
        let promised =
            Note::Promised { epoch: Epoch(1), by: ServerId(2), last: None, current: Epoch(0) };
        run.note(1, promised.clone()).unwrap();
        run.note(1, promised.clone()).unwrap();
        assert!(run.note(3, promised.clone()).unwrap_err().contains("so did 1"));
        run.server(2, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        run.note(3, promised).unwrap();
    }

    /// From outside, nobody sees what reached the disk of a server that died.
    #[test]
    fn without_the_disks_a_server_that_died_may_have_accepted_more() {
        let mut run = Run::new(P12::default());
        run.spec.white_box = false;
        run.boot_all();
        run.note(2, Note::EpochAccepted { epoch: Epoch(1) }).unwrap();
        run.server(2, SimEvent::Durable(Durable::AcceptedEpoch(Epoch(2)))).unwrap();
        assert!(run.log(2, z(2, 1), 5).is_err(), "it never said so");
        run.crash(2);
        run.boot(2);
        run.log(2, z(2, 1), 6).unwrap();
        assert!(run.note(2, Note::EpochAccepted { epoch: Epoch(0) }).is_err());
    }
}
