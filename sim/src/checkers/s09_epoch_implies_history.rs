//! S9: when currentEpoch becomes durable, the whole history that the leader of that epoch began with
//! is durable on that disk, but for what rotted there. Source: the rule that Remix moved into the protocol (ZOOKEEPER-4643).

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::Durable;
use crate::observe::SimEvent;

#[derive(Debug, Default)]
pub(crate) struct S09;

impl Check for S09 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Durable])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        match event {
            SimEvent::Durable(Durable::CurrentEpoch(epoch)) if cx.spec.white_box => {
                let Some(last) = cx.canon.initial.get(epoch).copied().flatten() else {
                    return Ok(());
                };
                if !cx.damage.rotted(server, last.zxid)
                    && !cx.disks.durable_has_txn(server, last.zxid, last.hash)
                {
                    return Err(format!(
                        "currentEpoch {epoch} is durable on {server} before {} of its history",
                        last.zxid
                    ));
                }
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
    use crate::observe::LossKind;
    use vivarium_core::ids::Epoch;
    use vivarium_core::server::note::Phase;

    #[test]
    fn an_epoch_ahead_of_its_history_is_found() {
        let mut run = Run::new(S09);
        run.boot_all();
        run.log(1, z(1, 1), 5).unwrap();
        run.note(1, phase(Phase::LeadingSynchronization, 2)).unwrap();
        let durable = || SimEvent::Durable(Durable::CurrentEpoch(Epoch(2)));
        run.disks.put(1, z(1, 1), 5);
        run.server(1, durable()).unwrap();
        assert!(run.server(3, durable()).is_err());
    }

    #[test]
    fn a_wiped_disk_is_no_excuse_and_a_rotten_record_is() {
        for (kind, excused) in [(LossKind::Wiped, false), (LossKind::BitRot, true)] {
            let mut run = Run::new(S09);
            run.boot_all();
            run.log(1, z(1, 1), 5).unwrap();
            run.note(1, phase(Phase::LeadingSynchronization, 2)).unwrap();
            run.disks.put(3, z(1, 1), 5);
            run.server(3, SimEvent::Durable(Durable::Log { last: Some(z(1, 1)) })).unwrap();
            run.disks.clear(3);
            run.server(3, SimEvent::HistoryLost(kind)).unwrap();
            let durable = SimEvent::Durable(Durable::CurrentEpoch(Epoch(2)));
            assert_eq!(run.server(3, durable).is_ok(), excused, "{kind:?}");
        }
    }
}
