//! Phase 3, leader's side: propose, count acknowledgements, commit in order.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::ids::{Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::invariant;
use crate::server::note::Note;
use crate::txn::payload_hash;
use crate::wire::quorum::LeaderPacket;
use crate::zab::ZabCx;
use crate::zab::leading::learner::{HeldAnswer, Learner, Stage};
use crate::zab::leading::{Asker, Leading, LeadingEvent, Missing, Phase};

#[derive(Debug)]
pub struct Broadcast {
    pub(super) epoch: Epoch,
    /// Counter of the newest proposal.
    counter: u32,
    /// The counter's limit is reached, or a stop is asked for: nothing new is proposed.
    closing: bool,
    /// Newest transaction that the leader counted for itself.
    self_acked: Zxid,
}

impl Broadcast {
    /// `history_end`: the history before this epoch ends there, and is committed and durable. The
    /// start of the epoch itself is no transaction: a leader that is a quorum alone would commit it.
    pub(super) fn new(epoch: Epoch, history_end: Zxid) -> Self {
        Self { epoch, counter: 0, closing: false, self_acked: history_end }
    }
}

impl Leading {
    /// The zxid of the next proposal; `None` while nothing may be proposed.
    pub fn next_zxid(&self, limit: u32) -> Option<Zxid> {
        let Phase::Broadcast(broadcast) = &self.phase else { return None };
        if broadcast.closing || self.outbid || broadcast.counter >= limit {
            return None;
        }
        Zxid::new(broadcast.epoch, broadcast.counter).next()
    }

    /// Proposes a transaction under the zxid that `next_zxid` gave.
    pub fn propose(&mut self, zxid: Zxid, payload: Bytes, cx: &mut ZabCx<'_>) {
        let Phase::Broadcast(broadcast) = &mut self.phase else {
            unreachable!("next_zxid gives zxids in the broadcast phase only")
        };
        invariant!(zxid.counter() == broadcast.counter + 1, "proposals are numbered without gaps");
        broadcast.counter = zxid.counter();
        let epoch = broadcast.epoch;
        let hash = payload_hash(&payload);
        cx.out.note(Note::Proposed { zxid, hash, payload: payload.clone() });
        cx.history.append(zxid, payload, epoch, cx.out);
        cx.counters.proposals += 1;
        self.pump(cx);
        self.advance_broadcast(cx);
    }

    /// Proposes nothing from now on; what is outstanding is still committed.
    pub fn close_for_proposals(&mut self) {
        if let Phase::Broadcast(broadcast) = &mut self.phase {
            broadcast.closing = true;
        }
    }

    /// Whether a new epoch is due: the counter has reached its limit (T40), or a learner that
    /// accepted a newer epoch would stay outside of this one for ever.
    pub fn wants_new_epoch(&self, limit: u32) -> bool {
        match &self.phase {
            Phase::Broadcast(broadcast) => self.outbid || broadcast.counter >= limit,
            Phase::Discovery(_) | Phase::Synchronization(_) => false,
        }
    }

    /// A `sync` of an own client or of a learner's.
    pub fn sync(&mut self, asker: Asker, cx: &mut ZabCx<'_>) {
        self.barrier.ask(asker, cx.history.head());
        self.advance_broadcast(cx);
    }

    pub(super) fn advance_broadcast(&mut self, cx: &mut ZabCx<'_>) {
        if !matches!(self.phase, Phase::Broadcast(_)) {
            return;
        }
        self.count_own_ack(cx);
        if self.commit(cx) {
            self.pump(cx);
        }
        self.answer_questions(cx);
        for learner in self.learners.values_mut() {
            learner.answer_held(cx);
        }
    }

    /// A session is asked for that is not there: this leader must still lead to say so.
    pub fn confirm_missing(&mut self, missing: Missing, cx: &mut ZabCx<'_>) {
        self.barrier.ask_missing(missing, cx.history.head());
        self.advance_broadcast(cx);
    }

    fn count_own_ack(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Broadcast(broadcast) = &mut self.phase else { return };
        let durable = cx.history.durable();
        if durable > broadcast.self_acked {
            broadcast.self_acked = durable;
            cx.out.note(Note::AckedTxn { zxid: durable, epoch: broadcast.epoch });
        }
    }

    /// Commits what a quorum has on disk, in order. Only transactions of this epoch are counted:
    /// all before it became committed when the epoch was established.
    fn commit(&mut self, cx: &mut ZabCx<'_>) -> bool {
        let Phase::Broadcast(broadcast) = &self.phase else { return false };
        if cx.history.head() <= cx.history.committed() {
            return false;
        }
        let mut marks: Vec<(Zxid, ServerId)> = Vec::with_capacity(self.learners.len() + 1);
        marks.push((broadcast.self_acked, cx.config.me));
        for learner in self.learners.values().filter(|learner| learner.stage.is_synced()) {
            if let (Some(id), Some(acked)) = (learner.voter(), learner.acked)
                && cx.ensemble.is_voter(id)
            {
                marks.push((acked, id));
            }
        }
        marks.sort_unstable();
        let before = cx.history.committed();
        let quorum_at = marks.iter().enumerate().rev().find(|(index, (mark, _))| {
            *mark > before && cx.ensemble.has_quorum(marks[*index..].iter().map(|(_, id)| *id))
        });
        let Some((_, &(upto, _))) = quorum_at else { return false };
        let fresh = cx.history.window.after(before).take_while(|entry| entry.zxid <= upto);
        for entry in fresh {
            cx.out.note(Note::Committed { zxid: entry.zxid });
            cx.counters.commits += 1;
        }
        cx.history.commit(upto);
        true
    }

    /// The newest PING round that a quorum echoed, this leader's own seat included.
    fn confirmed_round(&self, cx: &ZabCx<'_>) -> u64 {
        let mut echoes: Vec<(u64, ServerId)> = Vec::with_capacity(self.learners.len() + 1);
        echoes.push((self.barrier.round(), cx.config.me));
        for learner in self.learners.values() {
            if let (Stage::Serving { .. }, Some(id)) = (&learner.stage, learner.voter()) {
                echoes.push((learner.confirmed_round, id));
            }
        }
        echoes.sort_unstable();
        let confirmed = (0..echoes.len())
            .rev()
            .find(|&index| cx.ensemble.has_quorum(echoes[index..].iter().map(|(_, id)| *id)));
        confirmed.map_or(0, |index| echoes[index].0)
    }

    fn answer_questions(&mut self, cx: &mut ZabCx<'_>) {
        if self.barrier.is_empty() {
            return;
        }
        let mut confirmed = self.confirmed_round(cx);
        if self.barrier.wants_round(confirmed) {
            self.send_pings(cx);
            // A leader that is a quorum alone confirms its own rounds.
            confirmed = self.confirmed_round(cx);
        }
        let committed = cx.history.committed();
        while let Some(missing) = self.barrier.take_missing(confirmed, committed) {
            self.events.push_back(LeadingEvent::Missing(missing));
        }
        let confirmed = if cx.config.linearizable_sync { confirmed } else { u64::MAX };
        let (learners, events) = (&mut self.learners, &mut self.events);
        self.barrier.answer_ready(confirmed, committed, |asker, bound| match asker {
            Asker::Local { link, cxid } => {
                events.push_back(LeadingEvent::Synced { link, cxid });
                true
            }
            Asker::Learner(link) => {
                learners.get_mut(&link).is_none_or(|learner| learner.answer_sync(bound, cx))
            }
        });
    }

    /// PING to every learner that was sent NEWLEADER. Echoes count from UPTODATE on only: before
    /// it a learner does not answer.
    pub(super) fn send_pings(&mut self, cx: &mut ZabCx<'_>) {
        let round = self.barrier.begin_round();
        let zxid = cx.history.head().to_wire();
        for learner in self.learners.values_mut() {
            let counted = match &learner.stage {
                Stage::Serving { .. } => true,
                Stage::Informed { .. } | Stage::Acked { .. } => false,
                Stage::Arrived
                | Stage::Greeted(_)
                | Stage::Invited(_)
                | Stage::Promised { .. }
                | Stage::Searching { .. }
                | Stage::AwaitingSnapshot { .. }
                | Stage::Syncing { .. } => continue,
            };
            learner.send(&LeaderPacket::Ping { zxid }, cx);
            if counted {
                learner.pings.push_back(round);
            }
        }
    }

    pub(super) fn on_pong(&mut self, link: LinkId) {
        if let Some(learner) = self.learners.get_mut(&link)
            && let Some(round) = learner.pings.pop_front()
        {
            learner.confirmed_round = round;
        }
    }

    /// A leader that a quorum no longer answers leads nobody.
    pub(super) fn check_supporters(&mut self, cx: &ZabCx<'_>) {
        if !matches!(self.phase, Phase::Broadcast(_)) {
            return;
        }
        let synced = self.learners.values().filter(|learner| learner.stage.is_synced());
        let mut supporters: BTreeSet<ServerId> = synced.filter_map(Learner::voter).collect();
        supporters.insert(cx.config.me);
        if !cx.ensemble.has_quorum(supporters.iter().copied()) {
            self.events.push_back(LeadingEvent::Unheard("a quorum stopped answering"));
        }
    }

    /// To the learner whose client asked whether its session lives.
    pub fn answer_revalidate(
        &mut self,
        link: LinkId,
        session: SessionId,
        valid: bool,
        cx: &mut ZabCx<'_>,
    ) {
        let bound = cx.history.head();
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.held.push_back(HeldAnswer { session, valid, bound });
            learner.answer_held(cx);
        }
    }

    /// The end of a session is proposed: whoever still waits to hear that it lives hears behind that end
    /// that it does not.
    pub fn session_ends(&mut self, session: SessionId, end: Zxid) {
        for answer in self.learners.values_mut().flat_map(|learner| &mut learner.held) {
            if answer.session == session {
                (answer.valid, answer.bound) = (false, end);
            }
        }
    }
}

impl Learner {
    /// A client that comes back may use the numbers of its requests anew. A follower has every proposal
    /// of before in its log and knows them apart; an observer hears of them when they are committed.
    fn answer_held(&mut self, cx: &mut ZabCx<'_>) {
        let observer = self.stage.who().is_some_and(|who| who.observer);
        while let Some(answer) = self.held.front() {
            let told = self.stage.feed().is_some_and(|feed| feed.sent >= answer.bound);
            if observer && !told {
                return;
            }
            let (session, valid) = (answer.session, answer.valid);
            self.held.pop_front();
            self.send(&LeaderPacket::Revalidate { session, valid }, cx);
        }
    }

    /// SYNC goes behind the commits that its answer promises; false while they wait for room.
    fn answer_sync(&mut self, bound: Zxid, cx: &mut ZabCx<'_>) -> bool {
        let observer = self.stage.who().is_some_and(|who| who.observer);
        let told = self
            .stage
            .feed()
            .is_some_and(|feed| feed.committed_sent >= bound || (observer && feed.sent >= bound));
        if told {
            self.send(&LeaderPacket::Sync, cx);
        }
        told
    }
}
