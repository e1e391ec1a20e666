//! S5: whatever a server dies of, both epoch files are whole afterwards: a file that was there can be read,
//! and currentEpoch is not ahead of acceptedEpoch. A server whose history was moved aside, or lay behind what
//! a leader told it to cut off, keeps acceptedEpoch alone, when it starts at the latest; a wiped disk holds
//! nothing. That they do not go back is P12's, that a server starts from them L3's and, at any moment, T2's.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::{Durable, LossKind, SimEvent};
use std::collections::BTreeSet;
use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct S05 {
    /// Whose acceptedEpoch, and whose currentEpoch, has been durable.
    accepted: BTreeSet<ServerId>,
    current: BTreeSet<ServerId>,
}

impl Check for S05 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Durable,
            Topic::HistoryLost,
            Topic::Disowned,
            Topic::Recovered,
            Topic::Crash,
            Topic::Exit,
            Topic::Boot,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server().filter(|_| cx.spec.white_box) else { return Ok(()) };
        match event {
            SimEvent::Durable(Durable::AcceptedEpoch(_)) => {
                self.accepted.insert(server);
            }
            SimEvent::Durable(Durable::CurrentEpoch(_)) => {
                self.current.insert(server);
            }
            SimEvent::HistoryLost(LossKind::Wiped) => {
                self.accepted.remove(&server);
                self.current.remove(&server);
            }
            SimEvent::Note(Note::Disowned { .. }) => {
                self.current.remove(&server);
            }
            SimEvent::Note(Note::Recovered { blank: true, .. }) => {
                self.current.remove(&server);
                return claims_nothing(cx, server);
            }
            SimEvent::Crash(_) | SimEvent::Exit(_) | SimEvent::Boot { .. } => {
                return self.judge(cx, server);
            }
            _ => {}
        }
        Ok(())
    }
}

impl S05 {
    fn judge(&self, cx: &Cx<'_>, server: ServerId) -> Result<(), String> {
        let accepted = cx.disks.durable_accepted_epoch(server);
        let current = cx.disks.durable_current_epoch(server);
        if accepted.is_none() && self.accepted.contains(&server) {
            return Err(format!("acceptedEpoch of {server} is gone, or not whole"));
        }
        if current.is_none() && self.current.contains(&server) && !cx.damage.is_damaged(server) {
            return Err(format!("currentEpoch of {server} is gone, or not whole"));
        }
        // Before its first promise a server has none to show.
        if !cx.canon.cluster.standalone
            && current.unwrap_or_default() > accepted.unwrap_or_default()
        {
            return Err(format!(
                "{server} lies there with currentEpoch {current:?} and acceptedEpoch {accepted:?}"
            ));
        }
        Ok(())
    }
}

/// currentEpoch says that the history counts (docs/decisions/0017).
fn claims_nothing(cx: &Cx<'_>, server: ServerId) -> Result<(), String> {
    let current = cx.disks.durable_current_epoch(server);
    let is_apaches = cx.canon.cluster.apache.contains(&server);
    match current.filter(|_| !is_apaches && !cx.canon.cluster.standalone) {
        Some(epoch) => Err(format!("{server} is blank, and keeps currentEpoch {epoch}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::ids::Epoch;

    fn run() -> Run<S05> {
        let mut run = Run::new(S05::default());
        run.boot_all();
        run.disks.epoch(2, 3);
        run.server(2, SimEvent::Durable(Durable::AcceptedEpoch(Epoch(3)))).unwrap();
        run.server(2, SimEvent::Durable(Durable::CurrentEpoch(Epoch(3)))).unwrap();
        run
    }

    fn dies(run: &mut Run<S05>) -> Result<(), String> {
        run.server(2, SimEvent::Crash(crate::observe::CrashKind::PowerLoss))
    }

    #[test]
    fn an_epoch_file_that_a_crash_took_is_found() {
        let mut run = run();
        assert_eq!(dies(&mut run), Ok(()));
        run.disks.lose_epochs(2);
        assert!(dies(&mut run).unwrap_err().contains("acceptedEpoch of 2"));
        run.disks.promise(2, 3);
        assert!(dies(&mut run).unwrap_err().contains("currentEpoch of 2"));
    }

    #[test]
    fn a_wiped_disk_holds_no_epochs() {
        let mut run = run();
        run.disks.lose_epochs(2);
        run.server(2, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        assert_eq!(dies(&mut run), Ok(()));
    }

    /// What rotted was moved aside: acceptedEpoch alone is what a blank server keeps.
    #[test]
    fn a_blank_server_keeps_its_promise() {
        let mut run = run();
        run.server(2, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        run.disks.lose_epochs(2);
        run.disks.promise(2, 3);
        assert_eq!(dies(&mut run), Ok(()));
        run.disks.lose_epochs(2);
        assert!(dies(&mut run).is_err(), "rot does not excuse that");
    }

    /// A leader made it cut below every snapshot; it may die before it recovers.
    #[test]
    fn who_disowns_its_history_keeps_its_promise() {
        let mut run = run();
        run.note(2, Note::Disowned { upto: z(1, 1) }).unwrap();
        assert_eq!(dies(&mut run), Ok(()));
        run.disks.lose_epochs(2);
        run.disks.promise(2, 3);
        assert_eq!(dies(&mut run), Ok(()));
        run.disks.lose_epochs(2);
        assert!(dies(&mut run).unwrap_err().contains("acceptedEpoch"));
    }

    /// It recovered without a history that counts.
    #[test]
    fn a_server_that_recovers_blank_keeps_its_promise_too() {
        let mut run = run();
        let digest = vivarium_core::server::note::StateDigest::default();
        let blank = Note::Recovered { last: None, from: None, blank: true, digest };
        assert!(run.note(2, blank.clone()).unwrap_err().contains("keeps currentEpoch 3"));
        run.disks.lose_epochs(2);
        run.disks.promise(2, 3);
        run.note(2, blank).unwrap();
        assert_eq!(dies(&mut run), Ok(()));
    }

    #[test]
    fn a_current_epoch_ahead_of_the_accepted_one_is_found() {
        let mut run = run();
        run.disks.promise(2, 2);
        assert!(dies(&mut run).unwrap_err().contains("lies there"));
    }
}
