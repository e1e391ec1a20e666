//! Fast leader election and the connections it runs over, as one passive machine.
//!
//! It lives as long as the server, in every role: a server that has a leader tells those that look
//! for one. Apache: `FastLeaderElection`, `QuorumCnxManager`. Facts: PROTOCOL 3.1 to 3.3.

mod links;
mod looking;
#[cfg(test)]
mod tests;
mod vote;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::config::Config;
use crate::ensemble::Ensemble;
use crate::ids::{DialId, DialIds, Epoch, LinkId, ServerId, Zxid};
use crate::invariant;
use crate::prng::Prng;
use crate::server::input::{DialError, LinkEnd};
use crate::server::outbox::Outbox;
use crate::time::{Mono, Span, Stamp};
use crate::timers::Timer;
use crate::wire::vote::{Notification, PeerState};

use links::{Incoming, Links, Reach};
use looking::{FirstStart, Heard, Looking};
pub use vote::Vote;

/// Format of the notifications that we write; 2 means that the configuration's text follows.
const NOTIFICATION_VERSION: i32 = 2;

/// No search counts so far. Whoever shows more is not believed: behind it the round would overflow.
const ROUND_MAX: i64 = i64::MAX / 2;

/// The own history when a search starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `None`: blank, or unfit to lead now. Such a server is no candidate, and abstains
    /// (docs/decisions/0014, 0021).
    pub zxid: Option<Zxid>,
    /// currentEpoch.
    pub epoch: Epoch,
}

/// What this server starts a round with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A vote for itself, unless it is blank or an observer.
    Own,
    /// Blank because the ensemble may be new: ask whether every voter is empty.
    FirstStart,
    /// The leader stops in order: a vote for the follower that holds the same history.
    HandOver { to: ServerId },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The search is over. `leader` may be this server.
    Decided { leader: ServerId, round: i64 },
    /// Every voter is empty: write snapshot.0 and look again, with zxid 0.
    FirstStart,
    /// The server that this one decided for looks, in a later round: it has given up.
    LeaderLooks,
}

/// What the server lends for one call.
pub struct Cx<'a> {
    pub at: Stamp,
    pub out: &'a mut Outbox,
    pub dials: &'a mut DialIds,
    pub prng: &'a mut Prng,
}

#[derive(Debug)]
pub struct Election {
    me: ServerId,
    ensemble: Ensemble,
    /// The configuration's text, which every notification carries.
    text: Bytes,
    links: Links,
    /// Counts the searches of this process, or follows those of others. Apache: `logicalclock`.
    round: i64,
    phase: Phase,
    /// When each voter last said anything.
    heard: BTreeMap<ServerId, Mono>,
    /// The round that each voter was last heard to look in.
    rounds: BTreeMap<ServerId, i64>,
    min_interval: Span,
    max_interval: Span,
    finalize_wait: Span,
}

#[derive(Debug)]
enum Phase {
    /// Before the first search.
    Idle,
    Looking(Looking),
    Decided {
        state: PeerState,
        vote: Vote,
    },
}

impl Election {
    pub fn new(config: &Config, ensemble: &Ensemble) -> Self {
        Self {
            me: config.me,
            ensemble: ensemble.clone(),
            text: Bytes::from(ensemble.text()),
            links: Links::new(config, ensemble),
            round: 0,
            phase: Phase::Idle,
            heard: BTreeMap::new(),
            rounds: BTreeMap::new(),
            min_interval: config.min_notification,
            max_interval: config.max_notification.max(config.min_notification),
            finalize_wait: config.finalize_wait,
        }
    }

    /// Starts a round: votes, and tells every voter.
    pub fn look(&mut self, mine: Candidate, start: Start, cx: &mut Cx<'_>) -> Option<Event> {
        self.round += 1;
        let voter = self.ensemble.is_voter(self.me);
        let leader = match start {
            Start::Own | Start::FirstStart => self.me,
            Start::HandOver { to } => to,
        };
        let initial = mine
            .zxid
            .filter(|_| voter && self.ensemble.is_voter(leader))
            .map(|zxid| Vote { leader, zxid, epoch: mine.epoch });
        let first_start = voter && start == Start::FirstStart;
        invariant!(!first_start || initial.is_none(), "a first start has no history");
        let mut looking =
            Looking::new(self.me, initial, mine.epoch, first_start, cx.at.mono, self.min_interval);
        looking.count_own(self.round, &self.ensemble);
        self.phase = Phase::Looking(looking);
        self.links.start_round();
        self.broadcast(cx);
        self.conclude(cx)
    }

    /// The server has a leader: what those that look are told from now on. Called again with the
    /// new epoch when serving starts, so that the votes of one ensemble agree (ZOOKEEPER-1732).
    pub fn serve(&mut self, state: PeerState, leader: ServerId, epoch: Epoch, cx: &mut Cx<'_>) {
        let zxid = match &self.phase {
            Phase::Decided { vote, .. } if vote.leader == leader => vote.zxid,
            Phase::Decided { .. } | Phase::Idle | Phase::Looking(_) => Zxid::ZERO,
        };
        self.settle(state, Vote { leader, zxid, epoch });
        for id in self.links.up().collect::<Vec<_>>() {
            self.tell(id, cx);
        }
    }

    /// A reconfiguration was proposed or took over. While looking, call `look` afterwards.
    pub fn set_ensemble(&mut self, ensemble: &Ensemble) {
        self.ensemble = ensemble.clone();
        self.text = Bytes::from(ensemble.text());
        self.links.set_ensemble(ensemble);
    }

    pub fn on_opened(
        &mut self,
        link: LinkId,
        dial: Option<DialId>,
        cx: &mut Cx<'_>,
    ) -> Option<Event> {
        if let Some(id) = self.links.on_opened(link, dial, cx) {
            self.tell(id, cx);
        }
        None
    }

    pub fn on_bytes(&mut self, link: LinkId, bytes: Bytes, cx: &mut Cx<'_>) -> Option<Event> {
        let mut event = None;
        for incoming in self.links.on_bytes(link, bytes, cx) {
            match incoming {
                Incoming::Up(id) => self.tell(id, cx),
                Incoming::Said(from, said) => {
                    let new = self.hear(from, &said, cx);
                    // A leader that looks says so again and again.
                    let again = new == Some(Event::LeaderLooks);
                    invariant!(event.is_none() || new.is_none() || again, "a search ends once");
                    event = event.or(new);
                }
            }
        }
        event
    }

    pub fn on_sent(&mut self, link: LinkId, bytes: u64, cx: &mut Cx<'_>) {
        if let Some(id) = self.links.on_sent(link, bytes) {
            self.tell(id, cx);
        }
    }

    pub fn on_closed(&mut self, link: LinkId, end: LinkEnd, cx: &mut Cx<'_>) -> Option<Event> {
        self.links.on_closed(link, end, cx);
        self.conclude(cx)
    }

    pub fn on_dial_failed(
        &mut self,
        dial: DialId,
        why: DialError,
        cx: &mut Cx<'_>,
    ) -> Option<Event> {
        self.links.on_dial_failed(dial, why, cx);
        self.conclude(cx)
    }

    /// Early and extra calls are harmless.
    pub fn on_wake(&mut self, cx: &mut Cx<'_>) -> Option<Event> {
        self.links.on_wake(cx);
        let now = cx.at.mono;
        let Phase::Looking(looking) = &mut self.phase else { return None };
        if looking.finalize_at.is_some_and(|at| at <= now) {
            looking.finalize_at = None;
            if let Some(vote) = looking.backed(self.round, &self.ensemble) {
                return Some(self.decide(vote, self.round));
            }
        }
        if looking.resend_at <= now {
            looking.interval = looking.interval.times(2).min(self.max_interval);
            looking.resend_at = now + looking.interval;
            self.links.drop_silent(cx);
            self.broadcast(cx);
        }
        None
    }

    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        let own = match &self.phase {
            Phase::Looking(looking) => {
                let at =
                    looking.finalize_at.map_or(looking.resend_at, |at| at.min(looking.resend_at));
                Some((at, Timer::Election))
            }
            Phase::Idle | Phase::Decided { .. } => None,
        };
        let redial = self.links.deadline().map(|at| (at, Timer::Redial));
        own.into_iter().chain(redial).min()
    }

    /// Servers whose vote of this round is for this one.
    pub fn supporters(&self) -> impl Iterator<Item = ServerId> + Clone {
        let looking = match &self.phase {
            Phase::Looking(looking) => Some(looking),
            Phase::Idle | Phase::Decided { .. } => None,
        };
        looking.into_iter().flat_map(Looking::supporters)
    }

    /// Whether a quorum, this server included, has said anything since then.
    pub fn hears_quorum(&self, since: Mono) -> bool {
        let heard = self.heard.iter().filter(|(_, at)| **at >= since).map(|(&id, _)| id);
        self.ensemble.has_quorum(heard.chain([self.me]))
    }

    /// Voters that a first start still waits for.
    pub fn waiting_for(&self) -> Vec<ServerId> {
        match &self.phase {
            Phase::Looking(looking) => looking.waiting_for(&self.ensemble).into_iter().collect(),
            Phase::Idle | Phase::Decided { .. } => Vec::new(),
        }
    }

    pub fn is_looking(&self) -> bool {
        matches!(self.phase, Phase::Looking(_))
    }

    pub fn round(&self) -> i64 {
        self.round
    }

    pub fn owns_link(&self, link: LinkId) -> bool {
        self.links.owns_link(link)
    }

    pub fn owns_dial(&self, dial: DialId) -> bool {
        self.links.owns_dial(dial)
    }

    fn hear(&mut self, from: ServerId, said: &Notification, cx: &mut Cx<'_>) -> Option<Event> {
        if said.round > ROUND_MAX {
            return None;
        }
        let peer_looks = said.state == PeerState::Looking;
        if !self.ensemble.is_voter(from) {
            if peer_looks {
                self.tell(from, cx);
            }
            return None;
        }
        self.heard.insert(from, cx.at.mono);
        if peer_looks {
            self.rounds.insert(from, said.round);
        }
        let Phase::Looking(looking) = &mut self.phase else {
            if peer_looks {
                self.tell(from, cx);
            }
            let leads = matches!(&self.phase, Phase::Decided { vote, .. } if vote.leader == from);
            let gave_up = leads && peer_looks && said.round > self.round;
            return gave_up.then_some(Event::LeaderLooks);
        };
        let behind = peer_looks && said.round < self.round;
        let had_spoken = looking.has_spoken(from);
        let heard = looking.hear(from, said, &self.rounds, &mut self.round, &self.ensemble);
        let tells_all = heard == Heard::Changed && looking.has_vote();
        let new = peer_looks && !had_spoken && looking.has_spoken(from);
        if tells_all {
            self.broadcast(cx);
        } else if behind || new {
            // What this server said before that one began to look was lost on it.
            self.tell(from, cx);
        }
        match heard {
            Heard::Nothing | Heard::Counted | Heard::Changed => {}
            Heard::Joined(vote, round) => return Some(self.decide(vote, round)),
        }
        self.conclude(cx)
    }

    /// Ends the search as far as what was heard allows.
    fn conclude(&mut self, cx: &mut Cx<'_>) -> Option<Event> {
        let Phase::Looking(looking) = &mut self.phase else { return None };
        match &looking.first_start {
            FirstStart::No => {}
            FirstStart::Agreed => return None,
            FirstStart::Asking { .. } => {
                // With a proposal, somebody in this search has shown a history.
                if looking.proposal.is_none() && looking.waiting_for(&self.ensemble).is_empty() {
                    looking.first_start = FirstStart::Agreed;
                    return Some(Event::FirstStart);
                }
            }
        }
        let Some(vote) = looking.backed(self.round, &self.ensemble) else {
            looking.finalize_at = None;
            return None;
        };
        let round = self.round;
        let (links, me) = (&self.links, self.me);
        let unanimous =
            self.ensemble.voters().filter(|&id| id != me).all(|id| match links.reach(id) {
                Reach::Up => looking.raises_no_objection(id, vote, round),
                Reach::Gone => id != vote.leader,
                Reach::Unknown => false,
            });
        if unanimous {
            return Some(self.decide(vote, round));
        }
        looking.finalize_at.get_or_insert(cx.at.mono + self.finalize_wait);
        None
    }

    /// A quorum already waits for this server to lead: its own search may have moved on to another
    /// round, in which nobody else votes any more.
    pub fn accept_lead(&mut self) -> Option<Event> {
        let Phase::Looking(looking) = &self.phase else { return None };
        let own = looking.own_vote()?;
        Some(self.decide(own, self.round))
    }

    fn decide(&mut self, vote: Vote, round: i64) -> Event {
        self.round = round;
        let state = if vote.leader == self.me {
            PeerState::Leading
        } else if self.ensemble.is_voter(self.me) {
            PeerState::Following
        } else {
            PeerState::Observing
        };
        self.settle(state, vote);
        Event::Decided { leader: vote.leader, round }
    }

    fn settle(&mut self, state: PeerState, vote: Vote) {
        self.phase = Phase::Decided { state, vote };
        self.links.end_round();
    }

    fn broadcast(&mut self, cx: &mut Cx<'_>) {
        for id in self.ensemble.voters().filter(|&id| id != self.me).collect::<Vec<_>>() {
            self.tell(id, cx);
            self.links.connect(id, cx);
        }
    }

    /// Sends what this server now believes. A new connection starts with it, so nothing is lost
    /// with an old one.
    fn tell(&mut self, to: ServerId, cx: &mut Cx<'_>) {
        if let Some(notification) = self.notification() {
            self.links.send(to, cx, |out| notification.encode(out));
        }
    }

    fn notification(&self) -> Option<Notification> {
        let (state, leader, zxid, peer_epoch) = match &self.phase {
            Phase::Idle => return None,
            Phase::Decided { state, vote } => {
                (*state, Some(vote.leader), Some(vote.zxid), Some(vote.epoch))
            }
            Phase::Looking(looking) => match looking.shown() {
                Some(vote) => {
                    (PeerState::Looking, Some(vote.leader), Some(vote.zxid), Some(vote.epoch))
                }
                None if self.ensemble.is_voter(self.me) => {
                    (PeerState::Looking, Some(self.me), None, Some(looking.own_epoch))
                }
                None => (PeerState::Looking, None, None, None),
            },
        };
        Some(Notification {
            state,
            leader,
            zxid,
            round: self.round,
            peer_epoch,
            version: NOTIFICATION_VERSION,
            config: Some(self.text.clone()),
        })
    }
}
