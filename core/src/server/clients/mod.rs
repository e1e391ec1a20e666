//! The client plane: everything between a client connection and the replicated log.
//!
//! Bytes come in, replies and watch events go out; what needs the replicated side leaves as a
//! [`Submission`] and comes back through `session_assigned`, `revalidated`, `applied`, `synced`
//! or `refused`. Apache: `NIOServerCnxn`, `ZooKeeperServer`, `FinalRequestProcessor`.

mod connect;
mod deliver;
mod link;
mod missed;
mod serve;
mod watching;
mod words;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::acl::Id;
use crate::admin::report::{AttachedSession, Connection};
use crate::admin::traffic::{LinkTraffic, Traffic};
use crate::config::{Config, MemberRole};
use crate::ids::{Epoch, LinkId, SessionId, Xid, Zxid};
use crate::invariant;
use crate::request::order::Abandoned;
use crate::server::action::{Action, Close, CloseReason, LinkAction};
use crate::server::input::Far;
use crate::server::outbox::Outbox;
use crate::server::view::{Counters, Service};
use crate::time::{Mono, Stamp};
use crate::tree::Database;
use crate::watch::{EventHistory, Watches};
use crate::wire::client::Op;

use link::{Link, Phase};

/// What the client plane sees of the rest of the server during one call.
#[derive(Debug)]
pub struct ClientCx<'a> {
    pub config: &'a Config,
    pub at: Stamp,
    pub db: &'a Database,
    /// The newest zxid that this server has proposed or logged. A transaction up to here cannot
    /// belong to a request that is submitted now.
    pub logged: Zxid,
    /// The epoch that this server is in: while it serves, everything before it is applied.
    pub epoch: Epoch,
    pub out: &'a mut Outbox,
    pub counters: &'a mut Counters,
}

/// What the client plane asks of the replicated side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Allocate an id, call `session_assigned`, and propose createSession for it.
    CreateSession { link: LinkId, timeout_ms: i32 },
    /// Answered by `revalidated`, or the link is turned away.
    Revalidate { session: SessionId, timeout_ms: i32 },
    /// A write, setACL or multi. FIFO per session, pipelined.
    Write { session: SessionId, cxid: Xid, ids: Arc<[Id]>, op: i32, body: Bytes, parsed: Op },
    /// The last request of its connection.
    CloseSession { session: SessionId, cxid: Xid },
    /// A local session is about to own a node: it has to be the ensemble's first.
    Upgrade { session: SessionId },
    /// A local session is over: its client said so.
    CloseLocal { session: SessionId },
    /// Answered by `synced`, in order per connection and before any write that was submitted after it.
    Sync { link: LinkId, session: SessionId, cxid: Xid, body: Bytes },
    /// The client used its session; at most one per session and moment.
    Touch { session: SessionId, timeout_ms: i32 },
    /// A four-letter word; answered by `word_answer`.
    Word { link: LinkId, word: &'static str },
}

/// Why the replicated side will not carry out a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The session is attached to another server now (trap T22).
    Moved,
    /// This server stops, or stops proposing: the client finds another one.
    Stopping,
}

/// All client connections of one server, their sessions, requests and watches.
#[derive(Debug, Default)]
pub struct Clients {
    service: Service,
    links: HashMap<LinkId, Link, FixedState>,
    /// The newest connection of each session here, attached or about to be.
    sessions: BTreeMap<SessionId, LinkId>,
    attached: usize,
    /// Writes of connections that are gone, which may still be applied: their outcome must not be
    /// given to a later request with the same number.
    abandoned: BTreeMap<SessionId, VecDeque<Abandoned>>,
    watches: Watches,
    /// What clients may have missed that were connected elsewhere.
    happened: EventHistory,
    submissions: VecDeque<Submission>,
    /// When each link is to be looked at for silence; never later than its limit. One entry each.
    silence: BTreeSet<(Mono, LinkId)>,
    per_ip: BTreeMap<String, usize>,
    /// Links that are not read because the server has too many requests outstanding.
    over_limit: BTreeSet<LinkId>,
    /// The one that went on last: the next in a circle is the next to go on.
    readmitted: Option<LinkId>,
    outstanding: usize,
    traffic: Traffic,
}

impl Clients {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn on_opened(&mut self, link: LinkId, far: Far, cx: &mut ClientCx<'_>) {
        let limit = cx.config.max_client_connections;
        let most = cx.config.max_connections;
        let known = self.per_ip.get(&far.ip).copied().unwrap_or(0);
        if (most != 0 && self.links.len() >= most) || (limit != 0 && known >= limit) {
            self.traffic.rejected += 1;
            cx.out.close(link, Close::Abort, CloseReason::TooManyConnections);
            return;
        }
        self.per_ip.insert(far.ip.clone(), known + 1);
        let opened = Link::new(far, cx.at.mono, cx.config);
        self.silence.insert((opened.armed, link));
        self.links.insert(link, opened);
    }

    pub fn on_bytes(&mut self, link: LinkId, bytes: Bytes, cx: &mut ClientCx<'_>) {
        let Some(known) = self.links.get_mut(&link) else { return };
        self.traffic.bytes_received += bytes.len() as u64;
        known.frames.push(bytes);
        self.pump(link, cx);
    }

    pub fn on_sent(&mut self, link: LinkId, bytes: u64, cx: &mut ClientCx<'_>) {
        let Some(known) = self.links.get_mut(&link) else { return };
        known.heard = cx.at.mono;
        if known.take_sent(bytes, cx.config) {
            self.flush(link, cx);
            self.pump(link, cx);
            self.readmit(cx);
        }
    }

    pub fn on_closed(&mut self, link: LinkId, cx: &mut ClientCx<'_>) {
        self.forget(link);
        self.readmit(cx);
    }

    /// What the calls so far want of the replicated side, in order.
    pub fn take_submissions(&mut self) -> impl Iterator<Item = Submission> {
        core::mem::take(&mut self.submissions).into_iter()
    }

    /// The next submission; the server may call back between two of them.
    pub fn next_submission(&mut self) -> Option<Submission> {
        self.submissions.pop_front()
    }

    pub fn start_serving(&mut self, service: Service, cx: &mut ClientCx<'_>) {
        self.happened.follow(cx.db.applied());
        self.service = service;
    }

    /// Closes every client connection and forgets all that hung on them.
    pub fn stop_serving(&mut self, cx: &mut ClientCx<'_>) {
        invariant!(self.silence.len() == self.links.len(), "each link has one limit of silence");
        for &(_, link) in &self.silence {
            cx.out.close(link, Close::Flush, CloseReason::RoleEnded);
        }
        let (traffic, happened) = (self.traffic, core::mem::take(&mut self.happened));
        *self = Self { traffic, happened, ..Self::default() };
    }

    /// When silence may next end a connection. May be early; never late.
    pub fn deadline(&self) -> Option<Mono> {
        self.silence.first().map(|&(at, _)| at)
    }

    pub fn on_wake(&mut self, cx: &mut ClientCx<'_>) {
        while let Some(&(at, link)) = self.silence.first()
            && at <= cx.at.mono
        {
            self.silence.pop_first();
            let Some(known) = self.links.get_mut(&link) else { continue };
            // Silence that we asked for is not the client's.
            if known.held && !known.choked {
                known.heard = cx.at.mono;
            }
            let silent_at = known.silent_at();
            if silent_at > cx.at.mono {
                known.armed = silent_at;
                self.silence.insert((silent_at, link));
            } else {
                // Whoever never named a session may live, and be told so that it can tell; the client of
                // one that is silent does not, or it would send pings.
                let stranger = known.session().is_none();
                self.traffic.sessionless_expired += u64::from(stranger);
                let how = if stranger { Close::Flush } else { Close::Abort };
                self.end(link, how, CloseReason::Silent, cx);
            }
        }
        self.readmit(cx);
    }

    /// Client requests that wait for an answer.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Sessions attached to a connection of this server.
    pub fn sessions(&self) -> usize {
        self.attached
    }

    pub fn links(&self) -> usize {
        self.links.len()
    }

    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Every connection, oldest first.
    pub fn connections(&self) -> Vec<Connection> {
        let mut connections: Vec<_> =
            self.links.iter().map(|(&link, known)| describe(link, known)).collect();
        connections.sort_unstable_by_key(|connection| connection.link);
        connections
    }

    /// Counts anew.
    pub fn reset_traffic(&mut self) {
        self.traffic = Traffic::default();
    }

    /// Counts each connection anew.
    pub fn reset_links(&mut self) {
        for known in self.links.values_mut() {
            known.traffic = LinkTraffic::default();
        }
    }

    /// Closes a connection from our side.
    fn end(&mut self, link: LinkId, how: Close, why: CloseReason, cx: &mut ClientCx<'_>) {
        if self.forget(link) {
            cx.out.close(link, how, why);
        }
    }

    /// Drops all that hangs on a connection; what it submitted may still be applied.
    fn forget(&mut self, link: LinkId) -> bool {
        let Some(gone) = self.links.remove(&link) else { return false };
        self.silence.remove(&(gone.armed, link));
        self.over_limit.remove(&link);
        invariant!(self.outstanding >= gone.outstanding(), "every open request is counted");
        self.outstanding -= gone.outstanding();
        self.watches.remove_link(link);
        if let Some(count) = self.per_ip.get_mut(&gone.far.ip) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&gone.far.ip);
            }
        }
        if let Some(session) = gone.session()
            && self.sessions.get(&session) == Some(&link)
        {
            self.sessions.remove(&session);
        }
        if let Phase::Live(live) = gone.phase {
            self.attached -= 1;
            if live.order.in_flight() > 0 {
                let session = live.session;
                self.abandoned.entry(session).or_default().extend(live.order.abandon());
            }
        }
        true
    }

    /// Tells the host to stop or to go on reading, where that changed.
    fn set_reading(&mut self, link: LinkId, cx: &mut ClientCx<'_>) {
        let over = self.is_over(link, cx.config);
        let Some(known) = self.links.get_mut(&link) else { return };
        if over {
            self.over_limit.insert(link);
        } else {
            self.over_limit.remove(&link);
        }
        let hold = over || known.choked || (known.in_handshake() && known.frames.buffered() > 0);
        if hold != known.held {
            known.held = hold;
            let action = if hold { LinkAction::Hold { link } } else { LinkAction::Resume { link } };
            cx.out.push(Action::Link(action));
        }
    }

    /// Whether the server has too many requests outstanding to read from this link. One without any may
    /// always ask, unless requests are throttled: then nobody may.
    fn is_over(&self, link: LinkId, config: &Config) -> bool {
        let Some(known) = self.links.get(&link) else { return false };
        let has_some = known.outstanding() > 0;
        let throttled = known.live().is_some() && !self.has_room(config);
        throttled || (has_some && self.outstanding > outstanding_limit(config))
    }

    fn has_room(&self, config: &Config) -> bool {
        config.throttle_requests == 0 || self.outstanding < config.throttle_requests
    }

    /// Takes more requests from a link that was answered. Where requests are throttled and others wait too, it
    /// waits for its turn: it would otherwise take each free place for its own next request.
    fn take_more(&mut self, link: LinkId, cx: &mut ClientCx<'_>) {
        let waits = cx.config.throttle_requests != 0 && !self.over_limit.is_empty();
        if !waits || !self.links.contains_key(&link) {
            return self.pump(link, cx);
        }
        self.over_limit.insert(link);
        self.readmit(cx);
        self.set_reading(link, cx);
    }

    /// In a circle where requests are throttled. Elsewhere a link without any goes on at once, so that none
    /// starves.
    fn next_in_line(&self, config: &Config) -> Option<LinkId> {
        let last = self.readmitted.filter(|_| config.throttle_requests != 0);
        let behind = last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.over_limit.range((behind, Bound::Unbounded)).next();
        next.or_else(|| self.over_limit.first()).copied()
    }

    /// Goes on with links that were held because of the server's outstanding requests.
    fn readmit(&mut self, cx: &mut ClientCx<'_>) {
        while let Some(link) = self.next_in_line(cx.config)
            && self.outstanding <= outstanding_limit(cx.config)
            && self.has_room(cx.config)
        {
            self.over_limit.remove(&link);
            self.readmitted = Some(link);
            self.pump(link, cx);
        }
    }
}

/// A connection as words show it.
fn describe(link: LinkId, known: &Link) -> Connection {
    let session =
        known.live().map(|live| AttachedSession { id: live.session, timeout_ms: live.timeout_ms });
    Connection {
        link,
        far: known.far.clone(),
        since: known.since,
        reading: !known.held && !matches!(known.phase, Phase::Asked),
        writing: known.unsent > 0,
        queued: known.outstanding(),
        traffic: known.traffic,
        session,
        silent_at: known.silent_at(),
    }
}

/// Apache divides `globalOutstandingLimit` in a quorum of more than two voters (PROTOCOL 1.9).
fn outstanding_limit(config: &Config) -> usize {
    let voters = config.ensemble.as_ref().map_or(1, |ensemble| {
        ensemble.members.values().filter(|member| member.role == MemberRole::Participant).count()
    });
    if voters > 2 {
        config.global_outstanding_limit / (voters - 1)
    } else {
        config.global_outstanding_limit
    }
}

#[cfg(test)]
mod tests;
