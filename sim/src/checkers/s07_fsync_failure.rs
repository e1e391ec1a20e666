//! S7: after an operation of the log queue has failed, the process promises nothing any more: nobody
//! knows what a failed fsync left behind, and no later one tells.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeSet;
use vivarium_core::ids::ServerId;
use vivarium_core::server::input::Queue;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct S07 {
    /// Servers whose present process has met such a failure.
    failed: BTreeSet<ServerId>,
}

impl Check for S07 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::DiskFailed,
            Topic::Boot,
            Topic::AckedTxn,
            Topic::AckedNewLeader,
            Topic::EpochAccepted,
            Topic::EpochEntered,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        match event {
            SimEvent::DiskFailed { queue: Queue::Log } => {
                self.failed.insert(server);
                return Ok(());
            }
            SimEvent::Boot { .. } => {
                self.failed.remove(&server);
                return Ok(());
            }
            _ => {}
        }
        if self.failed.is_empty() || !self.failed.contains(&server) {
            return Ok(());
        }
        let promise = match note_of(cx, event) {
            Some((_, Note::AckedTxn { zxid, .. })) => format!("acknowledges {zxid}"),
            Some((_, Note::AckedNewLeader { epoch, .. })) => format!("acknowledges epoch {epoch}"),
            Some((_, Note::EpochAccepted { epoch })) => format!("promises epoch {epoch}"),
            Some((_, Note::EpochEntered { epoch, .. })) => format!("enters epoch {epoch}"),
            _ => return Ok(()),
        };
        Err(format!("{server} {promise} after an operation of its log has failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::ids::Epoch;

    #[test]
    fn a_promise_behind_a_failed_sync_is_found() {
        let mut run = Run::new(S07::default());
        run.boot_all();
        let acked = Note::AckedTxn { zxid: z(1, 1), epoch: Epoch(1) };
        run.server(2, SimEvent::DiskFailed { queue: Queue::Snap }).unwrap();
        run.note(2, acked.clone()).unwrap();
        run.server(2, SimEvent::DiskFailed { queue: Queue::Log }).unwrap();
        assert!(run.note(2, acked.clone()).is_err());
        run.note(3, acked.clone()).unwrap();
        run.crash(2);
        run.boot(2);
        run.note(2, acked).unwrap();
    }
}
