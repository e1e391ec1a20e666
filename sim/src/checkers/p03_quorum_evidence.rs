//! P3: a leader commits only what a quorum of voters holds durably, under this epoch.
//! Judged by the disks. A copy that a fault destroyed counts only where that voter has acknowledged it
//! in this epoch: the leader cannot know.

use crate::checkers::line::Entry;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P03 {
    /// Epoch of the leader that each server got an uncommitted transaction from.
    sources: BTreeMap<(Zxid, ServerId), Epoch>,
    /// Up to where each server acknowledged, in each epoch: what is under way to the leader of an older
    /// one may still arrive.
    acked: BTreeMap<(ServerId, Epoch), Zxid>,
}

impl Check for P03 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Logged,
            Topic::AckedTxn,
            Topic::AckedNewLeader,
            Topic::Committed,
            Topic::Established,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        if !cx.spec.white_box {
            return Ok(());
        }
        match note {
            Note::Logged { zxid, source, .. } => {
                self.sources.insert((*zxid, server), *source);
            }
            Note::AckedTxn { zxid, epoch } => self.acks(server, *epoch, *zxid),
            Note::AckedNewLeader { epoch, history } => {
                self.acks(server, *epoch, history.unwrap_or_default());
            }
            Note::Committed { zxid } => {
                self.judge_commit(cx, server, *zxid)?;
                self.sources = self.sources.split_off(&(*zxid, ServerId(0)));
            }
            Note::Established { epoch, .. } => self.judge_epoch(cx, server, *epoch)?,
            _ => {}
        }
        Ok(())
    }
}

impl P03 {
    fn acks(&mut self, server: ServerId, epoch: Epoch, zxid: Zxid) {
        let known = self.acked.entry((server, epoch)).or_default();
        *known = (*known).max(zxid);
    }

    /// Whether a fault took a copy that this voter had acknowledged in this epoch.
    fn is_excused(&self, cx: &Cx<'_>, voter: ServerId, epoch: Epoch, zxid: Zxid) -> bool {
        let acked = self.acked.get(&(voter, epoch));
        cx.damage.took(voter, zxid) && acked.is_some_and(|upto| *upto >= zxid)
    }

    fn judge_commit(&self, cx: &Cx<'_>, server: ServerId, zxid: Zxid) -> Result<(), String> {
        let Some((_, entry)) = cx.canon.find(zxid) else { return Ok(()) };
        let Some(epoch) = cx.canon.member(server).map(|member| member.epoch) else {
            return Ok(());
        };
        let counts = |voter: &ServerId| {
            let source = self.sources.get(&(zxid, *voter));
            // A server that died right behind the write of its currentEpoch told nobody of it.
            let entered = || {
                let told = cx.canon.member(*voter).and_then(|member| member.current);
                told >= Some(epoch) || cx.disks.durable_current_epoch(*voter) >= Some(epoch)
            };
            let alone = cx.canon.cluster.standalone;
            let holds = cx.disks.durable_has_txn(*voter, zxid, entry.hash) && (alone || entered());
            (holds || self.is_excused(cx, *voter, epoch, zxid))
                && (alone || source.is_none_or(|source| *source <= epoch))
        };
        held_by_quorum(cx, counts)
            .map_err(|held| format!("{server} commits {zxid}, durable on {held} voters only"))
    }

    fn judge_epoch(&self, cx: &Cx<'_>, server: ServerId, epoch: Epoch) -> Result<(), String> {
        let last = cx.canon.initial.get(&epoch).copied().flatten();
        let counts = |voter: &ServerId| {
            let held = |last: Entry| {
                cx.disks.durable_has_txn(*voter, last.zxid, last.hash)
                    || self.is_excused(cx, *voter, epoch, last.zxid)
            };
            let acked = self.acked.contains_key(&(*voter, epoch));
            last.is_none_or(held)
                && (cx.disks.durable_current_epoch(*voter) >= Some(epoch)
                    || (cx.damage.is_damaged(*voter) && acked))
        };
        held_by_quorum(cx, counts).map_err(|held| {
            format!(
                "{server} is established for epoch {epoch} with its history durable on {held} voters"
            )
        })
    }
}

/// Looks no further than a quorum; how many voters counted where they are too few.
fn held_by_quorum(cx: &Cx<'_>, counts: impl Fn(&ServerId) -> bool) -> Result<(), usize> {
    let cluster = &cx.canon.cluster;
    let mut held = Vec::with_capacity(cluster.voters.len());
    for voter in cluster.voters.iter().filter(|voter| counts(voter)) {
        held.push(*voter);
        if cluster.is_quorum(&held) {
            return Ok(());
        }
    }
    Err(held.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::{Durable, LossKind};

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
        run.disks.epoch(3, 0);
        let third = |run: &mut Run<P03>, epoch| {
            run.canon.members.get_mut(&ServerId(3)).unwrap().current = Some(Epoch(epoch));
        };
        third(&mut run, 0);
        let old = run.note(1, Note::Committed { zxid: z(1, 1) });
        assert!(old.is_err(), "who votes with an older epoch does not keep it");
        third(&mut run, 1);
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

    /// A wiped voter counts for what it acknowledged in this epoch, and for nothing else.
    #[test]
    fn a_copy_that_was_lost_counts_only_where_it_was_acknowledged() {
        let mut run = Run::new(P03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.propose(1, z(1, 1), 5).unwrap();
        for server in 1..=2 {
            run.log(server, z(1, 1), 5).unwrap();
            run.disks.put(server, z(1, 1), 5);
            let last = Some(z(1, 1));
            run.server(server, SimEvent::Durable(Durable::Log { last })).unwrap();
        }
        run.disks.clear(2);
        run.server(2, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        assert!(run.note(1, Note::Committed { zxid: z(1, 1) }).is_err(), "it acknowledged nothing");
        run.note(2, Note::AckedTxn { zxid: z(1, 1), epoch: Epoch(1) }).unwrap();
        // That voter has gone on to a newer epoch, which the old leader does not know.
        run.note(2, Note::AckedNewLeader { epoch: Epoch(2), history: Some(z(1, 1)) }).unwrap();
        run.note(1, Note::Committed { zxid: z(1, 1) }).unwrap();
    }

    #[test]
    fn a_lost_epoch_counts_only_where_it_was_acknowledged() {
        let mut run = Run::new(P03::default());
        run.boot_all();
        run.note(1, phase(vivarium_core::server::note::Phase::LeadingSynchronization, 1)).unwrap();
        run.disks.epoch(1, 1);
        run.server(2, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        assert!(run.note(1, established(1)).is_err());
        run.note(2, Note::AckedNewLeader { epoch: Epoch(1), history: None }).unwrap();
        run.note(1, established(1)).unwrap();
    }
}
