//! S6: when a voter acknowledges a transaction, or NEWLEADER, the disk would survive a power cut with it.
//! Observers promise nothing to anybody: their acknowledgements are not judged.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct S06;

impl Check for S06 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::AckedTxn, Topic::AckedNewLeader])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        let Some((_, note)) = note_of(cx, event) else { return Ok(()) };
        if !cx.spec.white_box || !cx.canon.cluster.voters.contains(&server) {
            return Ok(());
        }
        match note {
            Note::AckedTxn { zxid, .. } => {
                let Some(hash) = cx.canon.proposals.get(zxid).map(|known| known.hash) else {
                    return Err(format!("{server} acknowledges {zxid}, which nobody proposed"));
                };
                if !cx.damage.rotted(server, *zxid)
                    && !cx.disks.durable_has_txn(server, *zxid, hash)
                {
                    return Err(format!(
                        "{server} acknowledges {zxid}, which is not durable there"
                    ));
                }
            }
            Note::AckedNewLeader { epoch, history } => {
                if cx.disks.durable_current_epoch(server) < Some(*epoch) {
                    return Err(format!(
                        "{server} acknowledges NEWLEADER {epoch}, its currentEpoch is not durable"
                    ));
                }
                let Some(member) = cx.canon.member(server) else { return Ok(()) };
                let committed = &cx.canon.committed;
                let count = history.map_or(0, |history| member.log.count_upto(history, committed));
                let last =
                    count.checked_sub(1).and_then(|index| member.log.entry(index, committed));
                if let Some(last) = last
                    && !cx.damage.rotted(server, last.zxid)
                    && !cx.disks.durable_has_txn(server, last.zxid, last.hash)
                {
                    return Err(format!(
                        "{server} acknowledges NEWLEADER {epoch}, {} is not durable there",
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
    use vivarium_core::ids::Epoch;

    #[test]
    fn an_early_ack_is_found() {
        let mut run = Run::new(S06);
        run.boot_all();
        run.propose(1, z(1, 1), 5).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        let ack = Note::AckedTxn { zxid: z(1, 1), epoch: Epoch(1) };
        run.disks.put(3, z(1, 1), 5);
        run.note(3, ack.clone()).unwrap();
        assert!(run.note(2, ack).is_err());
    }

    #[test]
    fn an_early_ack_of_newleader_is_found() {
        let mut run = Run::new(S06);
        run.boot_all();
        run.log(2, z(1, 1), 5).unwrap();
        let ack = Note::AckedNewLeader { epoch: Epoch(2), history: Some(z(1, 1)) };
        run.disks.put(2, z(1, 1), 5);
        assert!(run.note(2, ack.clone()).unwrap_err().contains("currentEpoch"));
        run.disks.epoch(2, 2);
        run.note(2, ack.clone()).unwrap();
        run.disks.clear(2);
        assert!(run.note(2, ack).is_err());
    }
}
