//! X2: a server acknowledges a transaction only while it has a vote, after it has acknowledged
//! NEWLEADER of that epoch, and only what its log holds. A follower in broadcast that waits for nothing of its
//! log any more has acknowledged all that is durable there.
//! Source: Remix I-12; ZOOKEEPER-4685.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct X02 {
    /// Newest epoch whose NEWLEADER each process has acknowledged.
    entered: BTreeMap<ServerId, Epoch>,
    /// Up to where each process has told its leader what it has.
    acked: BTreeMap<ServerId, Zxid>,
}

impl Check for X02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Boot, Topic::AckedNewLeader, Topic::AckedTxn, Topic::LogDone])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if !cx.spec.white_box || cx.canon.cluster.standalone {
            return Ok(());
        }
        let Some((server, note)) = note_of(cx, event) else {
            let Some(server) = cx.server() else { return Ok(()) };
            return match event {
                SimEvent::LogDone => self.owes_none(cx, server),
                SimEvent::Boot { .. } => {
                    self.entered.remove(&server);
                    Ok(())
                }
                _ => Ok(()),
            };
        };
        match note {
            Note::AckedNewLeader { epoch, .. } => {
                self.entered.insert(server, *epoch);
                // The history with which it enters, and what it was told that others have.
                let history = cx.disks.durable_last_log(server).unwrap_or_default();
                let told = cx.canon.committed.last().map_or(Zxid::ZERO, |entry| entry.zxid);
                self.acked.insert(server, history.max(told));
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
                self.acked.insert(server, *zxid);
            }
            _ => {}
        }
        Ok(())
    }
}

impl X02 {
    fn owes_none(&self, cx: &Cx<'_>, server: ServerId) -> Result<(), String> {
        let phase = cx.canon.member(server).map(|member| member.phase);
        let (Some(epoch), Some(acked)) = (self.entered.get(&server), self.acked.get(&server))
        else {
            return Ok(());
        };
        let durable = cx.disks.durable_last_log(server).unwrap_or_default();
        if phase == Some(Phase::FollowingBroadcast) && durable.epoch() == *epoch && durable > *acked
        {
            return Err(format!("{server} has {durable} on disk, and has acknowledged {acked}"));
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

    #[test]
    fn an_ack_that_is_owed_is_found() {
        let mut run = Run::new(X02::default());
        run.boot_all();
        run.note(2, Note::AckedNewLeader { epoch: Epoch(1), history: None }).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        run.disks.put(2, z(1, 1), 5);
        run.server(2, SimEvent::LogDone).unwrap();
        run.note(2, phase(Phase::FollowingBroadcast, 1)).unwrap();
        assert!(run.server(2, SimEvent::LogDone).unwrap_err().contains("has acknowledged"));
        run.note(2, acked(1)).unwrap();
        run.server(2, SimEvent::LogDone).unwrap();
    }
}
