//! Connections of the election port: at most one for each pair of servers, owned by the higher id.
//! Apache: `QuorumCnxManager`. Facts: PROTOCOL 3.1.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use core::cell::Cell;

use bytes::{Bytes, BytesMut};

use crate::config::Config;
use crate::election::Cx;
use crate::ensemble::Ensemble;
use crate::ids::{DialId, LinkId, ServerId};
use crate::server::action::{Action, Close, CloseReason, LinkAction};
use crate::server::input::{DialError, LinkEnd, Plane};
use crate::server::note::Note;
use crate::time::{Mono, Span};
use crate::wire::frame::VoteBuffer;
use crate::wire::vote::{InitialMessage, Notification};

/// Accepted connections that have not said who they are.
const MOST_STRANGERS: usize = 64;
/// Connected servers that no configuration names.
const MOST_UNKNOWN: usize = 64;
/// Unsent bytes of one link above which only the newest message waits.
const MOST_UNSENT: u64 = 64 << 10;
/// Observers without an id introduce themselves with this; each gets a private number.
const NO_ID: ServerId = ServerId(i64::MAX as u64);
/// Private numbers are negative on the wire's scale, so they never meet an id.
const FIRST_PRIVATE: u64 = 1 << 63;
/// A server that cannot be reached is named again after this long.
const REMIND: Span = Span::from_ms(60_000);

#[derive(Debug)]
pub(super) struct Links {
    me: ServerId,
    greeting: InitialMessage,
    ensemble: Ensemble,
    cnx_timeout: Span,
    greet_timeout: Span,
    first_backoff: Span,
    /// Lost connections to voters are dialled again by a timer.
    eager: bool,
    peers: BTreeMap<ServerId, Peer>,
    open: BTreeMap<LinkId, Open>,
    private_ids: u64,
    /// What `deadline` found, until something changes: it is asked for twice in each step, and most
    /// steps are none of this port's business.
    due: Cell<Option<Option<Mono>>>,
}

#[derive(Debug)]
struct Peer {
    link: Option<LinkId>,
    dial: Option<Dial>,
    redial_at: Option<Mono>,
    backoff: Span,
    /// The last attempt or connection ended by refusal or an orderly close.
    gone: bool,
    /// When it was last said that it cannot be reached.
    missed: Option<Mono>,
}

#[derive(Debug)]
struct Dial {
    id: DialId,
    until: Mono,
    /// The far side asked to be called while this was under way.
    again: bool,
}

#[derive(Debug)]
enum Open {
    /// Accepted; the initial message is not complete yet.
    Stranger {
        buffer: VoteBuffer,
        until: Mono,
    },
    Peer(Talk),
}

#[derive(Debug)]
struct Talk {
    peer: ServerId,
    buffer: VoteBuffer,
    unsent: u64,
    /// A message waits until the far side takes what was sent before.
    behind: bool,
    since: Mono,
    heard: Mono,
}

/// What is known of the way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Up,
    /// Ended by refusal or close: nobody is there now.
    Gone,
    /// Never tried, under way, or silent.
    Unknown,
}

/// What came out of a chunk of bytes, in order.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A connection to that server stands now.
    Up(ServerId),
    Said(ServerId, Notification),
}

impl Links {
    pub(super) fn new(config: &Config, ensemble: &Ensemble) -> Self {
        let address = ensemble.member(config.me).map(|member| member.election.to_string());
        Self {
            me: config.me,
            greeting: InitialMessage {
                from: config.me,
                address: address.unwrap_or_else(|| String::from("0.0.0.0:0")),
            },
            ensemble: ensemble.clone(),
            cnx_timeout: config.cnx_timeout,
            greet_timeout: config.tick.times(config.sync_limit_ticks),
            first_backoff: config.min_notification,
            eager: false,
            peers: BTreeMap::new(),
            open: BTreeMap::new(),
            private_ids: 0,
            due: Cell::new(None),
        }
    }

    pub(super) fn set_ensemble(&mut self, ensemble: &Ensemble) {
        self.due.set(None);
        self.ensemble = ensemble.clone();
        self.forget_unknown();
    }

    /// Servers that no configuration names live as long as the connection that they opened.
    fn forget_unknown(&mut self) {
        let ensemble = &self.ensemble;
        self.peers.retain(|id, peer| peer.link.is_some() || ensemble.member(*id).is_some());
    }

    /// A round starts: what was known of who is away may be out of date.
    pub(super) fn start_round(&mut self) {
        self.due.set(None);
        self.eager = true;
        for peer in self.peers.values_mut() {
            peer.gone = false;
            peer.backoff = self.first_backoff;
        }
    }

    /// The round is decided: from now on others call when they need us.
    pub(super) fn end_round(&mut self) {
        self.due.set(None);
        self.eager = false;
        for peer in self.peers.values_mut() {
            peer.redial_at = None;
        }
    }

    pub(super) fn reach(&self, id: ServerId) -> Reach {
        match self.peers.get(&id) {
            Some(Peer { link: Some(_), .. }) => Reach::Up,
            Some(Peer { gone: true, .. }) => Reach::Gone,
            Some(_) | None => Reach::Unknown,
        }
    }

    pub(super) fn owns_link(&self, link: LinkId) -> bool {
        self.open.contains_key(&link)
    }

    pub(super) fn owns_dial(&self, dial: DialId) -> bool {
        self.dialled(dial).is_some()
    }

    pub(super) fn up(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.peers.iter().filter(|(_, peer)| peer.link.is_some()).map(|(&id, _)| id)
    }

    /// Dials unless a connection stands or is under way.
    pub(super) fn connect(&mut self, id: ServerId, cx: &mut Cx<'_>) {
        self.due.set(None);
        let Some(member) = self.ensemble.member(id) else {
            self.forget_unknown();
            return;
        };
        let (host, port) = (member.election.host.clone(), member.election.port);
        let until = cx.at.mono + self.cnx_timeout;
        let peer = self.peer(id);
        peer.redial_at = None;
        if peer.link.is_some() || peer.dial.is_some() {
            return;
        }
        let dial = cx.dials.fresh();
        peer.dial = Some(Dial { id: dial, until, again: false });
        cx.out.push(Action::Link(LinkAction::Dial { dial, plane: Plane::Election, host, port }));
    }

    /// Sends to a connected server. One that takes nothing gets only the newest message, later:
    /// false then, and where no connection stands.
    pub(super) fn send(
        &mut self,
        id: ServerId,
        cx: &mut Cx<'_>,
        write: impl FnOnce(&mut BytesMut),
    ) -> bool {
        let Some(link) = self.peers.get(&id).and_then(|peer| peer.link) else { return false };
        let Some(Open::Peer(talk)) = self.open.get_mut(&link) else { return false };
        if talk.unsent > MOST_UNSENT {
            talk.behind = true;
            return false;
        }
        talk.unsent += cx.out.send(link, write);
        true
    }

    /// The peer on whose link the newest message may now be sent.
    pub(super) fn on_sent(&mut self, link: LinkId, bytes: u64) -> Option<ServerId> {
        let Some(Open::Peer(talk)) = self.open.get_mut(&link) else { return None };
        talk.unsent = talk.unsent.saturating_sub(bytes);
        let caught_up = talk.behind && talk.unsent <= MOST_UNSENT;
        talk.behind &= !caught_up;
        caught_up.then_some(talk.peer)
    }

    /// The server that a connection stands to now, if it does.
    pub(super) fn on_opened(
        &mut self,
        link: LinkId,
        dial: Option<DialId>,
        cx: &mut Cx<'_>,
    ) -> Option<ServerId> {
        self.due.set(None);
        let Some(dial) = dial else {
            self.accept(link, cx);
            return None;
        };
        let Some(id) = self.dialled(dial) else {
            cx.out.close(link, Close::Abort, CloseReason::Superseded);
            return None;
        };
        let called_back = id > self.me && self.reach(id) == Reach::Up;
        let retry_at = cx.at.mono + self.next_backoff(id, cx);
        let eager = self.eager_for(id);
        let peer = self.peer(id);
        peer.dial = None;
        peer.gone = false;
        if peer.missed.take().is_some() {
            cx.out.note(Note::PeerReachable { peer: id });
        }
        if called_back {
            cx.out.close(link, Close::Flush, CloseReason::DirectionRule);
            return None;
        }
        cx.out.send(link, |out| self.greeting.encode(out));
        if id > self.me {
            // It belongs to the far side, which calls back.
            cx.out.close(link, Close::Flush, CloseReason::DirectionRule);
            self.peer(id).redial_at = eager.then_some(retry_at);
            return None;
        }
        self.adopt(link, id, VoteBuffer::new(), cx);
        Some(id)
    }

    pub(super) fn on_bytes(
        &mut self,
        link: LinkId,
        bytes: Bytes,
        cx: &mut Cx<'_>,
    ) -> VecDeque<Incoming> {
        self.due.set(None);
        let mut got = VecDeque::new();
        match self.open.get_mut(&link) {
            None => return got,
            Some(Open::Stranger { buffer, .. }) => {
                buffer.push(bytes);
                match buffer.next_initial() {
                    Ok(None) => return got,
                    Ok(Some(initial)) => got.extend(self.meet(link, &initial, cx)),
                    Err(_) => self.refuse(link, "malformed initial message", cx),
                }
            }
            Some(Open::Peer(talk)) => talk.buffer.push(bytes),
        }
        let Some(Open::Peer(talk)) = self.open.get_mut(&link) else { return got };
        let id = talk.peer;
        loop {
            match talk.buffer.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    talk.heard = cx.at.mono;
                    // One that does not decode is ignored alone, as ZooKeeper does.
                    got.extend(
                        Notification::decode(message).ok().map(|said| Incoming::Said(id, said)),
                    );
                }
                Err(_) => {
                    self.drop_link(id, Close::Abort, CloseReason::Protocol("length"), cx);
                    return got;
                }
            }
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.backoff = self.first_backoff;
        }
        got
    }

    pub(super) fn on_closed(&mut self, link: LinkId, end: LinkEnd, cx: &mut Cx<'_>) {
        self.due.set(None);
        let Some(Open::Peer(talk)) = self.open.remove(&link) else { return };
        let id = talk.peer;
        let peer = self.peer(id);
        if peer.link != Some(link) {
            return;
        }
        peer.link = None;
        peer.gone = end == LinkEnd::Finished;
        // A refusal would tell at once that nobody is there any more. A connection that stood only
        // briefly waits for its turn, so that two servers never call each other in a tight circle.
        if self.eager_for(id) && cx.at.mono.since(talk.since) >= self.first_backoff {
            self.connect(id, cx);
        } else {
            self.retry(id, cx);
        }
    }

    pub(super) fn on_dial_failed(&mut self, dial: DialId, why: DialError, cx: &mut Cx<'_>) {
        self.due.set(None);
        let Some(id) = self.dialled(dial) else { return };
        let peer = self.peer(id);
        let again = peer.dial.take().is_some_and(|dial| dial.again);
        peer.gone = match why {
            DialError::Refused => true,
            DialError::TimedOut | DialError::Unresolved | DialError::Other => false,
        };
        self.say_unreachable(id, why, cx);
        if again { self.connect(id, cx) } else { self.retry(id, cx) }
    }

    pub(super) fn on_wake(&mut self, cx: &mut Cx<'_>) {
        self.due.set(None);
        let now = cx.at.mono;
        let late: VecDeque<LinkId> = self
            .open
            .iter()
            .filter(|(_, open)| matches!(open, Open::Stranger { until, .. } if *until <= now))
            .map(|(&link, _)| link)
            .collect();
        for link in late {
            self.open.remove(&link);
            cx.out.close(link, Close::Abort, CloseReason::Silent);
        }
        for id in self.peers.keys().copied().collect::<VecDeque<_>>() {
            let peer = self.peer(id);
            if peer.dial.as_ref().is_some_and(|dial| dial.until <= now) {
                let again = peer.dial.take().is_some_and(|dial| dial.again);
                peer.gone = false;
                self.say_unreachable(id, DialError::TimedOut, cx);
                if again { self.connect(id, cx) } else { self.retry(id, cx) }
            } else if peer.redial_at.is_some_and(|at| at <= now) {
                self.connect(id, cx);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let due = self.due.get().unwrap_or_else(|| self.earliest());
        debug_assert_eq!(due, self.earliest(), "whatever changes a deadline forgets the known one");
        self.due.set(Some(due));
        due
    }

    fn earliest(&self) -> Option<Mono> {
        let strangers = self.open.values().filter_map(|open| match open {
            Open::Stranger { until, .. } => Some(*until),
            Open::Peer(_) => None,
        });
        let peers = self.peers.values().flat_map(|peer| {
            peer.dial.as_ref().map(|dial| dial.until).into_iter().chain(peer.redial_at)
        });
        strangers.chain(peers).min()
    }

    /// Breaks connections on which nothing was heard for long while we ask: a half-open one would
    /// keep two servers apart until the kernel gives up.
    pub(super) fn drop_silent(&mut self, cx: &mut Cx<'_>) {
        self.due.set(None);
        let limit = self.cnx_timeout.times(2);
        let now = cx.at.mono;
        let silent: VecDeque<ServerId> = self
            .open
            .values()
            .filter_map(|open| match open {
                Open::Peer(talk) if now.since(talk.heard) > limit => Some(talk.peer),
                Open::Peer(_) | Open::Stranger { .. } => None,
            })
            .collect();
        for id in silent {
            self.drop_link(id, Close::Abort, CloseReason::Silent, cx);
        }
    }

    fn accept(&mut self, link: LinkId, cx: &mut Cx<'_>) {
        let is_stranger = |open: &Open| matches!(open, Open::Stranger { .. });
        let strangers = self.open.iter().filter(|(_, open)| is_stranger(open));
        if strangers.clone().count() >= MOST_STRANGERS
            && let Some((&oldest, _)) = strangers.min_by_key(|(link, _)| **link)
        {
            self.open.remove(&oldest);
            cx.out.close(oldest, Close::Abort, CloseReason::TooManyConnections);
        }
        let until = cx.at.mono + self.greet_timeout;
        self.open.insert(link, Open::Stranger { buffer: VoteBuffer::new(), until });
    }

    /// The direction rule, seen from the side that accepted.
    fn meet(
        &mut self,
        link: LinkId,
        initial: &InitialMessage,
        cx: &mut Cx<'_>,
    ) -> Option<Incoming> {
        let Some(Open::Stranger { buffer, .. }) = self.open.remove(&link) else { return None };
        let known = self.ensemble.member(initial.from).is_some();
        let mut id = initial.from;
        if id == self.me {
            cx.out.close(link, Close::Abort, CloseReason::Protocol("a server with my id"));
            return None;
        }
        if known && id < self.me {
            self.drop_link(id, Close::Abort, CloseReason::DirectionRule, cx);
            cx.out.close(link, Close::Flush, CloseReason::DirectionRule);
            match &mut self.peer(id).dial {
                Some(dial) => dial.again = true,
                None => self.connect(id, cx),
            }
            return None;
        }
        if !known {
            let unknown = self.peers.keys().filter(|id| self.ensemble.member(**id).is_none());
            if id < self.me || unknown.count() >= MOST_UNKNOWN {
                let why = CloseReason::Protocol("not a server of this ensemble");
                cx.out.close(link, Close::Abort, why);
                return None;
            }
            if id == NO_ID {
                id = ServerId(FIRST_PRIVATE + self.private_ids);
                self.private_ids += 1;
            }
        }
        self.adopt(link, id, buffer, cx);
        Some(Incoming::Up(id))
    }

    fn adopt(&mut self, link: LinkId, id: ServerId, buffer: VoteBuffer, cx: &mut Cx<'_>) {
        let peer = self.peer(id);
        peer.redial_at = None;
        peer.gone = false;
        if peer.missed.take().is_some() {
            cx.out.note(Note::PeerReachable { peer: id });
        }
        if let Some(old) = peer.link.replace(link) {
            self.open.remove(&old);
            cx.out.close(old, Close::Abort, CloseReason::Superseded);
        }
        let now = cx.at.mono;
        let talk = Talk { peer: id, buffer, unsent: 0, behind: false, since: now, heard: now };
        self.open.insert(link, Open::Peer(talk));
    }

    fn say_unreachable(&mut self, id: ServerId, why: DialError, cx: &mut Cx<'_>) {
        let Some(member) = self.ensemble.member(id) else { return };
        let (at, now) = (member.election.to_string(), cx.at.mono);
        let peer = self.peer(id);
        if peer.missed.is_none_or(|said| now.since(said) >= REMIND) {
            peer.missed = Some(now);
            cx.out.note(Note::PeerUnreachable { peer: id, at, why });
        }
    }

    fn refuse(&mut self, link: LinkId, why: &'static str, cx: &mut Cx<'_>) {
        self.open.remove(&link);
        cx.out.close(link, Close::Abort, CloseReason::Protocol(why));
    }

    fn drop_link(&mut self, id: ServerId, how: Close, why: CloseReason, cx: &mut Cx<'_>) {
        let Some(link) = self.peer(id).link.take() else { return };
        self.open.remove(&link);
        cx.out.close(link, how, why);
        self.retry(id, cx);
    }

    /// Plans the next attempt after a loss, or forgets a server that no configuration names.
    fn retry(&mut self, id: ServerId, cx: &mut Cx<'_>) {
        if self.ensemble.member(id).is_none() {
            self.forget_unknown();
        } else if self.eager_for(id) {
            let at = cx.at.mono + self.next_backoff(id, cx);
            self.peer(id).redial_at = Some(at);
        }
    }

    fn eager_for(&self, id: ServerId) -> bool {
        self.eager && self.ensemble.is_voter(id)
    }

    /// Doubles up to the connect timeout; the jitter keeps two servers from calling in step.
    fn next_backoff(&mut self, id: ServerId, cx: &mut Cx<'_>) -> Span {
        let most = self.cnx_timeout.max(self.first_backoff);
        let peer = self.peer(id);
        let now = peer.backoff;
        peer.backoff = now.times(2).min(most);
        now + Span(cx.prng.below(now.0 / 4 + 1))
    }

    fn peer(&mut self, id: ServerId) -> &mut Peer {
        let backoff = self.first_backoff;
        self.peers.entry(id).or_insert_with(|| Peer {
            link: None,
            dial: None,
            redial_at: None,
            backoff,
            gone: false,
            missed: None,
        })
    }

    fn dialled(&self, dial: DialId) -> Option<ServerId> {
        let ours = |peer: &Peer| peer.dial.as_ref().is_some_and(|known| known.id == dial);
        self.peers.iter().find(|(_, peer)| ours(peer)).map(|(&id, _)| id)
    }
}
