//! P3: a leader commits only what a quorum of voters holds durably, under this epoch.
//! Judged by the disks, whatever anybody acknowledged. A copy that a fault destroyed between its
//! acknowledgement and the commit counts: the leader cannot know.

use crate::checkers::line::Entry;
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P03 {
    /// Epoch of the leader that each server got an uncommitted transaction from.
    sources: BTreeMap<(Zxid, ServerId), Epoch>,
}

impl Check for P03 {
    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        if !cx.spec.white_box {
            return Ok(());
        }
        match note {
            Note::Logged { zxid, source, .. } => {
                self.sources.insert((*zxid, server), *source);
            }
            Note::Committed { zxid } => {
                let Some((_, entry)) = cx.canon.find(*zxid) else { return Ok(()) };
                let epoch = cx.canon.member(server).map(|member| member.epoch);
                let counts = |voter: &ServerId| {
                    let source = self.sources.get(&(*zxid, *voter)).copied();
                    (cx.disks.durable_has_txn(*voter, *zxid, entry.hash)
                        || cx.damage.took(*voter, *zxid))
                        && (cx.canon.cluster.standalone || source.is_none() || source <= epoch)
                };
                let held = cx.canon.cluster.voters.iter().filter(|voter| counts(voter)).count();
                if !cx.canon.cluster.is_quorum(held) {
                    return Err(format!("{server} commits {zxid}, durable on {held} voters only"));
                }
                self.sources = self.sources.split_off(&(*zxid, ServerId(0)));
            }
            Note::Established { epoch, .. } => {
                let last = cx.canon.initial.get(epoch).copied().flatten();
                let counts = |voter: &ServerId| {
                    let held = |last: Entry| {
                        cx.disks.durable_has_txn(*voter, last.zxid, last.hash)
                            || cx.damage.took(*voter, last.zxid)
                    };
                    last.is_none_or(held)
                        && (cx.disks.durable_current_epoch(*voter) >= Some(*epoch)
                            || cx.damage.is_damaged(*voter))
                };
                let held = cx.canon.cluster.voters.iter().filter(|voter| counts(voter)).count();
                if !cx.canon.cluster.is_quorum(held) {
                    return Err(format!(
                        "{server} is established for epoch {epoch} with its history durable on {held} voters"
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

    #[test]
    fn a_commit_on_one_disk_is_found() {
        let mut run = Run::new(P03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.propose(1, z(1, 1), 5).unwrap();
        run.log(1, z(1, 1), 5).unwrap();
        run.disks.put(1, z(1, 1), 5);
        assert!(run.note(1, Note::Committed { zxid: z(1, 1) }).is_err());
        run.disks.put(3, z(1, 1), 5);
        run.note(1, Note::Committed { zxid: z(1, 1) }).unwrap();
    }

    #[test]
    fn an_epoch_on_one_disk_is_found() {
        let mut run = Run::new(P03::default());
        run.boot_all();
        run.note(1, phase(vivarium_core::server::note::Phase::LeadingSynchronization, 1)).unwrap();
        run.disks.epoch(1, 1);
        assert!(run.note(1, established(1)).is_err());
    }
}
