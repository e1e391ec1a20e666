//! X2: a server acknowledges a transaction only while it has a vote, after it has acknowledged
//! NEWLEADER of that epoch, and only what its log holds.
//! Source: Remix I-12; ZOOKEEPER-4685.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, ServerId};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct X02 {
    /// Newest epoch whose NEWLEADER each process has acknowledged.
    entered: BTreeMap<ServerId, Epoch>,
}

impl Check for X02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Boot, Topic::AckedNewLeader, Topic::AckedTxn])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if !cx.spec.white_box || cx.canon.cluster.standalone {
            return Ok(());
        }
        let Some((server, note)) = note_of(cx, event) else {
            if let (Some(server), SimEvent::Boot { .. }) = (cx.server(), event) {
                self.entered.remove(&server);
            }
            return Ok(());
        };
        match note {
            Note::AckedNewLeader { epoch, .. } => {
                self.entered.insert(server, *epoch);
            }
            Note::AckedTxn { zxid, epoch } => {
                if !cx.canon.cluster.voters.contains(&server) {
                    return Err(format!("{server} acknowledges {zxid} and has no vote"));
                }
                if self.entered.get(&server) != Some(epoch) {
                    return Err(format!(
                        "{server} acknowledges {zxid} to the leader of epoch {epoch} before NEWLEADER"
                    ));
                }
                let logged = cx.canon.member(server);
                let logged = logged.and_then(|member| member.log.last(&cx.canon.committed));
                if logged < Some(*zxid) {
                    return Err(format!(
                        "{server} acknowledges {zxid}, its log ends with {logged:?}"
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

    fn acked(counter: u32) -> Note {
        Note::AckedTxn { zxid: z(1, counter), epoch: Epoch(1) }
    }

    #[test]
    fn an_ack_in_front_of_that_of_newleader_is_found() {
        let mut run = Run::new(X02::default());
        run.boot_all();
        run.log(2, z(1, 1), 5).unwrap();
        assert!(run.note(2, acked(1)).unwrap_err().contains("before NEWLEADER"));
        run.note(2, Note::AckedNewLeader { epoch: Epoch(1), history: None }).unwrap();
        run.note(2, acked(1)).unwrap();
    }

    #[test]
    fn an_ack_of_what_is_not_logged_is_found() {
        let mut run = Run::new(X02::default());
        run.boot_all();
        run.note(2, Note::AckedNewLeader { epoch: Epoch(1), history: None }).unwrap();
        assert!(run.note(2, acked(1)).unwrap_err().contains("its log ends"));
    }

    #[test]
    fn an_ack_of_a_server_without_a_vote_is_found() {
        let mut run = Run::new(X02::default());
        run.boot_all();
        assert!(run.note(7, acked(1)).unwrap_err().contains("has no vote"));
    }
}
