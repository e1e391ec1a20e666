//! The leader: phases 1 to 3 of ZAB. Apache: `Leader`.
//!
//! Discovery collects accepted epochs, picks a greater one and makes it durable; then promises
//! (ACKEPOCH). Synchronization gives each learner the leader's history and waits for a quorum that
//! has it on disk. Broadcast proposes, counts, commits.

mod barrier;
mod broadcast;
mod discovery;
mod feed;
mod learner;
mod synchronization;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use barrier::Barrier;
pub use barrier::{Asker, Missing};
pub use broadcast::Broadcast;
pub use discovery::Discovery;
use learner::{Learner, Stage};
pub use synchronization::Synchronization;

use crate::ensemble::Ensemble;
use crate::ids::{Epoch, LinkId, ReadId, ServerId, SessionId, Xid, Zxid};
use crate::server::action::{Action, Close, CloseReason, LinkAction};
use crate::server::input::{DiskFault, ReadData};
use crate::server::note::Phase as NotedPhase;
use crate::time::{Mono, Span};
use crate::wire::quorum::{ForwardedRequest, LearnerPacket, Touch};
use crate::zab::ZabCx;

/// What leading means for the rest of the server.
#[derive(Debug)]
pub enum LeadingEvent {
    /// Phase 3 begins: everything logged is committed, clients may be served.
    Established {
        epoch: Epoch,
    },
    Request {
        link: LinkId,
        request: ForwardedRequest,
    },
    Touched {
        link: LinkId,
        touches: Vec<Touch>,
    },
    Revalidate {
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
    },
    /// A quorum followed this leader after the session was asked for.
    Missing(Missing),
    /// A `sync` of an own client is answered.
    Synced {
        link: LinkId,
        cxid: Xid,
    },
    /// The own log is damaged before anything could be committed: recover from disk.
    Damaged,
    /// This own snapshot cannot be read: nothing may rest on it any more.
    SnapshotDamaged {
        zxid: Zxid,
    },
    /// Nobody may be led any more; the text is for people.
    Abdicate(&'static str),
    /// The same, since too few voters were heard.
    Unheard(&'static str),
}

/// A leader in one of its phases; each variant holds only what is legal in it.
#[derive(Debug)]
enum Phase {
    Discovery(Discovery),
    Synchronization(Synchronization),
    Broadcast(Broadcast),
}

#[derive(Debug)]
pub struct Leading {
    phase: Phase,
    learners: BTreeMap<LinkId, Learner>,
    barrier: Barrier,
    /// The epoch that it was in before.
    brought: Epoch,
    /// A learner has accepted a newer epoch: it will follow nobody of this one (T33).
    outbid: bool,
    events: VecDeque<LeadingEvent>,
    next_ping: Mono,
    /// The next moment at which a quorum must be heard from.
    next_check: Mono,
    /// A committed transaction that the own disk does not hold yet, and since when.
    outrun: Option<(Zxid, Mono)>,
}

impl Leading {
    /// Takes the lead after an election. `waiting` are learners that came while we looked.
    pub fn start(waiting: Vec<(LinkId, Vec<Bytes>)>, cx: &mut ZabCx<'_>) -> Self {
        let now = cx.at.mono;
        let mut leading = Self {
            phase: Phase::Discovery(Discovery::new(now + cx.init_limit(), cx)),
            learners: BTreeMap::new(),
            barrier: Barrier::default(),
            brought: cx.history.current(),
            outbid: false,
            events: VecDeque::new(),
            next_ping: now + Span(cx.config.tick.0 / 2),
            next_check: now + cx.config.tick,
            outrun: None,
        };
        leading.advance(cx);
        for (link, chunks) in waiting {
            leading.on_opened(link, cx);
            for bytes in chunks {
                leading.on_bytes(link, bytes, cx);
            }
        }
        leading
    }

    pub fn take_event(&mut self) -> Option<LeadingEvent> {
        self.events.pop_front()
    }

    /// The epoch that this leader leads or tries to; `None` before it is chosen.
    pub fn epoch(&self) -> Option<Epoch> {
        match &self.phase {
            Phase::Discovery(discovery) => discovery.epoch(),
            Phase::Synchronization(synchronization) => Some(synchronization.epoch),
            Phase::Broadcast(broadcast) => Some(broadcast.epoch),
        }
    }

    pub fn noted_phase(&self) -> NotedPhase {
        match &self.phase {
            Phase::Discovery(_) => NotedPhase::LeadingDiscovery,
            Phase::Synchronization(_) => NotedPhase::LeadingSynchronization,
            Phase::Broadcast(_) => NotedPhase::LeadingBroadcast,
        }
    }

    pub fn synced_learners(&self) -> usize {
        self.learners.values().filter(|learner| learner.stage.is_synced()).count()
    }

    /// Which server is behind a link, if it said so.
    pub fn learner_id(&self, link: LinkId) -> Option<ServerId> {
        self.learners.get(&link)?.stage.who()?.id
    }

    /// Learners on a link, whatever their stage.
    pub fn learners(&self) -> usize {
        self.learners.len()
    }

    /// Who acknowledged this leader's history, and whether it observes.
    pub fn synced(&self) -> impl Iterator<Item = (Option<ServerId>, bool)> + '_ {
        let synced = self.learners.values().filter(|learner| learner.stage.is_synced());
        synced.filter_map(|learner| learner.stage.who().map(|who| (who.id, who.observer)))
    }

    /// `sync`s that are not answered yet.
    pub fn pending_syncs(&self) -> usize {
        self.barrier.syncs()
    }

    /// The synced voter that the election order ranks first: it holds the most, then the highest
    /// id. A leader that stops hands over to it. One without a weight may not be elected.
    pub fn heir(&self, ensemble: &Ensemble) -> Option<ServerId> {
        let synced = self.learners.values().filter(|learner| learner.stage.is_synced());
        synced
            .filter_map(|learner| learner.voter().map(|id| (learner.acked, id)))
            .filter(|(_, id)| ensemble.weight(*id) > 0)
            .max()
            .map(|(_, id)| id)
    }

    pub fn on_opened(&mut self, link: LinkId, cx: &mut ZabCx<'_>) {
        self.learners.insert(link, Learner::new(link, cx.at.mono));
    }

    pub fn on_bytes(&mut self, link: LinkId, bytes: Bytes, cx: &mut ZabCx<'_>) {
        let Some(learner) = self.learners.get_mut(&link) else { return };
        learner.buffer.push(bytes);
        learner.last_heard = cx.at.mono;
        while let Some(learner) = self.learners.get_mut(&link) {
            match learner.buffer.next_learner_packet(cx.config.jute_max_buffer * 2) {
                Ok(Some(packet)) => {
                    cx.counters.packets_in += 1;
                    if let Err(why) = self.on_packet(link, packet, cx) {
                        self.drop_learner(link, CloseReason::Protocol(why), cx);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    self.drop_learner(link, CloseReason::Protocol("unreadable packet"), cx);
                }
            }
        }
        self.advance(cx);
    }

    fn on_packet(
        &mut self,
        link: LinkId,
        packet: LearnerPacket,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        match packet {
            LearnerPacket::FollowerInfo { accepted, info } => {
                self.on_info(link, accepted, info, false, cx)
            }
            LearnerPacket::ObserverInfo { accepted, info } => {
                self.on_info(link, accepted, info, true, cx)
            }
            LearnerPacket::AckEpoch { last_logged, current } => {
                self.on_ack_epoch(link, last_logged, current)
            }
            LearnerPacket::Ack { zxid } => self.on_ack(link, zxid, cx),
            LearnerPacket::Ping { touched, .. } => {
                self.on_pong(link);
                self.events.push_back(LeadingEvent::Touched { link, touches: touched });
                Ok(())
            }
            LearnerPacket::Revalidate { session, timeout_ms } => {
                self.serving_only(link)?;
                self.events.push_back(LeadingEvent::Revalidate { link, session, timeout_ms });
                Ok(())
            }
            LearnerPacket::Request(request) => {
                self.serving_only(link)?;
                self.events.push_back(LeadingEvent::Request { link, request });
                Ok(())
            }
        }
    }

    fn serving_only(&self, link: LinkId) -> Result<(), &'static str> {
        match self.learners.get(&link).map(|learner| &learner.stage) {
            Some(Stage::Serving { .. }) => Ok(()),
            Some(_) | None => Err("a request before UPTODATE"),
        }
    }

    pub fn on_sent(&mut self, link: LinkId, bytes: u64, cx: &mut ZabCx<'_>) {
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.unsent = learner.unsent.saturating_sub(bytes);
            // Until it has everything it has nothing to say: that it takes bytes is its sign of life.
            if matches!(learner.stage, Stage::Syncing { .. }) {
                learner.last_heard = cx.at.mono;
            }
            let known = cx.history.committed();
            let head = cx.history.head();
            let is_current = matches!(
                &learner.stage,
                Stage::Serving { feed, .. } if feed.is_current(head, known)
            );
            // Room on a link makes nothing possible where nothing waits for it.
            if !is_current {
                self.advance(cx);
            }
        }
    }

    pub fn on_closed(&mut self, link: LinkId, cx: &mut ZabCx<'_>) {
        if self.learners.remove(&link).is_some() {
            self.barrier.forget(link);
            self.advance(cx);
        }
    }

    /// The log or an epoch file reached the disk.
    pub fn on_durable(&mut self, cx: &mut ZabCx<'_>) {
        self.advance(cx);
    }

    /// Whether a learner waits for an exact snapshot that does not exist yet.
    pub fn wants_snapshot(&self) -> bool {
        self.learners
            .values()
            .any(|learner| matches!(learner.stage, Stage::AwaitingSnapshot { .. }))
    }

    /// Something was read: for a feed or a search.
    pub fn on_read(
        &mut self,
        read: ReadId,
        data: &Result<ReadData, DiskFault>,
        cx: &mut ZabCx<'_>,
    ) {
        let links: Vec<LinkId> = self.learners.keys().copied().collect();
        for link in links {
            self.read_for(link, read, data.clone(), cx);
        }
        self.advance(cx);
    }

    /// A new exact snapshot can serve the learners that wait for one.
    pub fn on_snapshot_sealed(&mut self, cx: &mut ZabCx<'_>) {
        for learner in self.learners.values_mut() {
            if let Stage::AwaitingSnapshot { who, .. } = learner.stage {
                let last = learner.reported;
                learner.stage = Stage::Promised { who, last, current: None };
            }
        }
        self.advance(cx);
    }

    pub fn deadline(&self) -> Mono {
        let phase = match &self.phase {
            Phase::Discovery(discovery) => discovery.deadline,
            Phase::Synchronization(synchronization) => synchronization.next_deadline(),
            Phase::Broadcast(_) => self.next_check,
        };
        phase.min(self.next_ping).min(self.next_check)
    }

    pub fn on_wake(&mut self, cx: &mut ZabCx<'_>) {
        let now = cx.at.mono;
        let late = match &self.phase {
            Phase::Discovery(discovery) => now >= discovery.deadline,
            Phase::Synchronization(synchronization) => now >= synchronization.deadline,
            Phase::Broadcast(_) => false,
        };
        if late {
            self.events.push_back(LeadingEvent::Unheard("no quorum within initLimit"));
            return;
        }
        if now >= self.next_ping {
            self.next_ping = now + Span(cx.config.tick.0 / 2);
            self.send_pings(cx);
        }
        if now >= self.next_check {
            self.next_check = now + cx.config.tick;
            self.drop_silent(cx);
            self.check_supporters(cx);
            self.check_own_disk(cx);
        }
        self.advance(cx);
    }

    /// Learners that did not get through the handshake, or went silent, or lag behind.
    fn drop_silent(&mut self, cx: &mut ZabCx<'_>) {
        let now = cx.at.mono;
        let mut gone = Vec::new();
        for learner in self.learners.values_mut() {
            let limit = match &learner.stage {
                Stage::Serving { .. } => cx.sync_limit(),
                Stage::Acked { .. } | Stage::Informed { .. } => cx.init_limit() + cx.sync_limit(),
                Stage::Arrived
                | Stage::Greeted(_)
                | Stage::Invited(_)
                | Stage::Promised { .. }
                | Stage::Searching { .. }
                | Stage::AwaitingSnapshot { .. }
                | Stage::Syncing { .. } => cx.init_limit(),
            };
            if now.since(learner.last_heard) > limit {
                gone.push((learner.link, CloseReason::Silent));
            } else if learner.lags(cx.history.head(), now, cx.sync_limit()) {
                gone.push((learner.link, CloseReason::TooSlow));
            }
        }
        for (link, why) in gone {
            self.drop_learner(link, why, cx);
        }
    }

    /// A leader whose quorum is faster than its own disk would collect what it has not written yet
    /// without bound; as a follower it is held back.
    fn check_own_disk(&mut self, cx: &ZabCx<'_>) {
        let (durable, committed) = (cx.history.durable(), cx.history.committed());
        match self.outrun {
            Some((asked, since)) if durable < asked => {
                if cx.at.mono.since(since) > cx.sync_limit() {
                    let why = "the own disk is slower than those of a quorum";
                    self.events.push_back(LeadingEvent::Abdicate(why));
                }
            }
            Some(_) | None => {
                self.outrun = (durable < committed).then_some((committed, cx.at.mono));
            }
        }
    }

    fn drop_learner(&mut self, link: LinkId, why: CloseReason, cx: &mut ZabCx<'_>) {
        if self.learners.remove(&link).is_some() {
            self.barrier.forget(link);
            cx.out.close(link, Close::Abort, why);
        }
    }

    /// Leaves the role: all links of learners go.
    pub fn close_all(&mut self, how: Close, why: &CloseReason, cx: &mut ZabCx<'_>) {
        for link in core::mem::take(&mut self.learners).into_keys() {
            cx.out.push(Action::Link(LinkAction::Close { link, how, why: why.clone() }));
        }
    }

    /// Does everything that has become possible. Every input ends here.
    fn advance(&mut self, cx: &mut ZabCx<'_>) {
        self.advance_discovery(cx);
        self.advance_synchronization(cx);
        self.pump(cx);
        self.advance_broadcast(cx);
    }
}

impl Learner {
    /// Whether a Serving voter left a transaction unacknowledged for longer than `limit`. Crawling
    /// is no excuse: what a learner is behind by takes memory here and there.
    fn lags(&mut self, head: Zxid, now: Mono, limit: Span) -> bool {
        let serving = matches!(self.stage, Stage::Serving { .. });
        let Some(acked) = self.acked.filter(|_| serving && self.voter().is_some()) else {
            self.lagging = None;
            return false;
        };
        match self.lagging {
            Some((asked, since)) if acked < asked => now.since(since) > limit,
            Some(_) | None => {
                self.lagging = (acked < head).then_some((head, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::feed::Feed;
    use super::learner::Who;
    use super::*;

    #[test]
    fn a_follower_that_crawls_is_as_late_as_one_that_stands_still() {
        let who = Who {
            id: Some(ServerId(2)),
            observer: false,
            vivarium: true,
            blank: false,
            uncuttable: false,
            accepted: Epoch(1),
        };
        let z = |counter| Zxid::new(Epoch(1), counter);
        let (second, limit) = (|n: u64| Mono(n * 1_000_000), Span::from_ms(3000));
        let follower = || {
            let mut learner = Learner::new(LinkId(1), Mono(0));
            let feed = Feed::from_window(LinkId(1), false, z(1), z(1));
            learner.stage = Stage::Serving { who, feed };
            learner.acked = Some(z(1));
            learner
        };
        // Each second it acknowledges one transaction more, of a hundred more that are proposed.
        let mut crawling = follower();
        let late = (1..10).find(|&n| {
            crawling.acked = Some(z(n as u32));
            crawling.lags(z(n as u32 * 100), second(n), limit)
        });
        assert_eq!(late, Some(5), "more than three seconds after the first second");
        let mut keeping_up = follower();
        let late = (2..100).find(|&n| {
            keeping_up.acked = Some(z(n as u32 * 100 - 150));
            keeping_up.lags(z(n as u32 * 100), second(n), limit)
        });
        assert_eq!(late, None, "always behind, but never by more than two seconds");
    }
}
