//! S8: when a log or a snapshot loses its name for good, the newest whole snapshot and the log records
//! behind it still reach, without a gap, everything committed that this voter acknowledged.
//! P9 looks at the newest record alone, and at what a quorum holds.

use crate::checkers::{Check, Cx};
use crate::observe::{Durable, SimEvent};

#[derive(Debug, Default)]
pub(crate) struct S08;

impl Check for S08 {
    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let (Some(server), SimEvent::Durable(Durable::Removed)) = (cx.server(), event) else {
            return Ok(());
        };
        if !cx.spec.white_box || !cx.canon.cluster.voters.contains(&server) {
            return Ok(());
        }
        let Some(acked) = cx.canon.member(server).and_then(|member| member.acked) else {
            return Ok(());
        };
        let upto = cx.canon.count_upto(acked);
        let covered = cx.disks.durable_snapshot(server);
        let from = covered.map_or(0, |zxid| cx.canon.count_upto(zxid)).min(upto);
        let mut owed = cx.canon.committed[from..upto].iter();
        let gone = owed.find(|entry| {
            !cx.disks.durable_has_txn(server, entry.zxid, entry.hash)
                && !cx.damage.rotted(server, entry.zxid)
        });
        gone.map_or(Ok(()), |entry| {
            Err(format!(
                "{server} removed {}, which it acknowledged and no snapshot covers",
                entry.zxid
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::LossKind;

    fn purged(rot: bool) -> Result<(), String> {
        let mut run = Run::new(S08);
        run.boot_all();
        run.establish(1, 1)?;
        for counter in 1..=3 {
            run.write(1, 1, counter)?;
        }
        let last = Some(z(1, 3));
        run.server(2, SimEvent::Durable(Durable::Log { last }))?;
        run.server(2, SimEvent::Durable(Durable::Removed))?;
        if rot {
            run.server(2, SimEvent::HistoryLost(LossKind::BitRot))?;
            run.note(
                2,
                vivarium_core::server::note::Note::AckedTxn {
                    zxid: z(1, 3),
                    epoch: vivarium_core::ids::Epoch(1),
                },
            )?;
        }
        run.disks.take(2, z(1, 2));
        run.server(2, SimEvent::Durable(Durable::Removed))
    }

    /// The newest record is there, and one before it is not.
    #[test]
    fn a_gap_behind_a_purge_is_found() {
        assert!(purged(false).unwrap_err().contains("removed"));
        purged(true).unwrap();
    }
}
