//! S3: on a disk that a server starts from, the zxids of the log rise, and behind the newest whole
//! snapshot none is left out: the next number of an epoch follows, or the first of a later one. Judged
//! on what a power cut would leave, by a parser that is not core's; S1 judges what recovery makes of it.
//! Not judged of Apache's peers, whose logs may hold a zxid twice, nor where a fault took records.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;
use std::cmp::Ordering;
use vivarium_core::ids::Zxid;

#[derive(Debug, Default)]
pub(crate) struct S03;

impl Check for S03 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Boot])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let (Some(server), SimEvent::Boot { .. }) = (cx.server(), event) else { return Ok(()) };
        let is_apache = cx.canon.cluster.apache.contains(&server);
        if !cx.spec.white_box || is_apache || cx.damage.is_damaged(server) {
            return Ok(());
        }
        let log = cx.disks.durable_log(server);
        if let Some(pair) = log.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("the log of {server} holds {} behind {}", pair[1], pair[0]));
        }
        let covered = cx.disks.durable_snapshot(server).unwrap_or_default();
        let mut before = covered;
        for zxid in log.into_iter().filter(|zxid| *zxid > covered) {
            if !follows(before, zxid) {
                return Err(format!("the log of {server} holds {zxid} right behind {before}"));
            }
            before = zxid;
        }
        Ok(())
    }
}

fn follows(before: Zxid, next: Zxid) -> bool {
    match next.epoch().cmp(&before.epoch()) {
        Ordering::Less => false,
        Ordering::Equal => next.counter() == before.counter() + 1,
        Ordering::Greater => next.counter() == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::LossKind;
    use vivarium_core::ids::ServerId;

    fn boots_with(log: &[Zxid], snapshot: Option<Zxid>, rot: bool) -> Result<(), String> {
        let mut run = Run::new(S03);
        run.boot_all();
        for zxid in log {
            run.disks.put(2, *zxid, 7);
        }
        if let Some(zxid) = snapshot {
            run.disks.snapshots.insert(ServerId(2), zxid);
        }
        if rot {
            run.server(2, SimEvent::HistoryLost(LossKind::BitRot))?;
        }
        run.crash(2);
        run.server(2, SimEvent::Boot { incarnation: 2 })
    }

    #[test]
    fn a_hole_in_an_epoch_is_found() {
        let hole = [z(1, 1), z(1, 3)];
        assert!(boots_with(&hole, None, false).unwrap_err().contains("right behind"));
        assert_eq!(boots_with(&hole, None, true), Ok(()), "a fault took what is missing");
        assert_eq!(boots_with(&hole, Some(z(1, 2)), false), Ok(()), "a snapshot covers it");
        assert!(boots_with(&hole, Some(z(1, 1)), false).is_err());
    }

    #[test]
    fn an_epoch_begins_with_its_first_transaction() {
        assert_eq!(boots_with(&[z(1, 1), z(1, 2), z(3, 1)], None, false), Ok(()));
        assert!(boots_with(&[z(1, 1), z(3, 2)], None, false).is_err());
        assert!(boots_with(&[z(1, 2)], None, false).is_err(), "the beginning is missing");
    }
}
