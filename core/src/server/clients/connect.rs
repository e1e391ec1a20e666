//! From the first bytes of a connection to an attached session (PROTOCOL 1.2, traps T5 to T7).

use bytes::Bytes;

use crate::admin::traffic::LastAnswer;
use crate::ids::{LinkId, SessionId, Xid, Zxid};
use crate::request::change::Standing;
use crate::request::order::Order;
use crate::server::action::{Close, CloseReason};
use crate::server::clients::link::{Handshake, Live, Phase};
use crate::server::clients::{ClientCx, Clients, Submission};
use crate::server::note::Note;
use crate::server::view::Service;
use crate::session::password::{password, verify};
use crate::session::tracker::negotiate;
use crate::time::Mono;
use crate::tree::TxnResult;
use crate::wire::client::{ConnectRequest, ConnectResponse};

impl Clients {
    pub(super) fn connect(&mut self, link: LinkId, frame: Bytes, cx: &mut ClientCx<'_>) {
        let Ok(request) = ConnectRequest::decode(frame) else {
            let why = CloseReason::Protocol("the first frame is no ConnectRequest");
            return self.end(link, Close::Flush, why, cx);
        };
        match self.service {
            Service::None => return self.end(link, Close::Flush, CloseReason::NotServing, cx),
            Service::ReadOnly if request.read_only != Some(true) => {
                return self.turn_away(link, cx);
            }
            Service::ReadOnly | Service::Full => {}
        }
        if self.is_ahead(request.last_zxid_seen, cx) {
            return self.end(link, Close::Flush, CloseReason::ClientAhead, cx);
        }
        self.traffic.connection_requests += 1;
        let timeout_ms = negotiate(request.timeout_ms, cx.config);
        let handshake =
            Handshake { timeout_ms, read_only: request.read_only, session: request.session };
        let Some(known) = self.links.get_mut(&link) else { return };
        known.shown = request.last_zxid_seen;
        let Some(session) = request.session else {
            known.phase = Phase::Creating(handshake);
            self.submissions.push_back(Submission::CreateSession { link, timeout_ms });
            return;
        };
        if !verify(session, &request.password) {
            return self.reject(link, handshake.read_only, cx);
        }
        self.traffic.revalidations += 1;
        known.phase = Phase::Revalidating { session, handshake };
        if let Some(older) = self.sessions.insert(session, link) {
            self.end(older, Close::Abort, CloseReason::Superseded, cx);
        }
        self.submissions.push_back(Submission::Revalidate { session, timeout_ms });
    }

    /// The server has named the session that `link` asked for.
    pub fn session_assigned(&mut self, link: LinkId, session: SessionId) {
        let Some(known) = self.links.get_mut(&link) else { return };
        if let Phase::Creating(handshake) = &mut known.phase {
            handshake.session = Some(session);
            self.sessions.insert(session, link);
        }
    }

    /// A createSession was applied: the client that waits for it gets its answer.
    pub(super) fn created(
        &mut self,
        session: SessionId,
        result: &TxnResult,
        cx: &mut ClientCx<'_>,
    ) {
        let Some(&link) = self.sessions.get(&session) else { return };
        let Some(known) = self.links.get(&link) else { return };
        let Phase::Creating(handshake) = known.phase else { return };
        let asked = known.heard;
        let TxnResult::SessionCreated { timeout_ms } = *result else { return };
        let handshake = Handshake { timeout_ms, ..handshake };
        self.attach(link, session, handshake, Standing::Global, cx);
        self.count_created(link, asked, cx);
    }

    /// This server has given the session itself.
    pub fn opened(&mut self, session: SessionId, cx: &mut ClientCx<'_>) {
        let Some(&link) = self.sessions.get(&session) else { return };
        let Some(known) = self.links.get(&link) else { return };
        let Phase::Creating(handshake) = known.phase else { return };
        let asked = known.heard;
        self.attach(link, session, handshake, Standing::Local, cx);
        self.count_created(link, asked, cx);
    }

    /// Without a quorum, this server cannot give what the client asks for; another one may.
    pub fn turn_away(&mut self, link: LinkId, cx: &mut ClientCx<'_>) {
        self.end(link, Close::Flush, CloseReason::NoQuorum, cx);
    }

    /// The same for a session that a client wants to go on with.
    pub fn turn_away_session(&mut self, session: SessionId, cx: &mut ClientCx<'_>) {
        if let Some(&link) = self.sessions.get(&session) {
            self.turn_away(link, cx);
        }
    }

    /// In its statistics, a new session is the first request of its connection.
    fn count_created(&mut self, link: LinkId, asked: Mono, cx: &ClientCx<'_>) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let (at, zxid) = (cx.at.mono, cx.db.applied());
        let took = at.since(asked);
        known.traffic.answered(Xid(0), LastAnswer { operation: "SESS", zxid, at, took });
        self.traffic.latency.add_span(took);
        self.traffic.updates.add_span(took);
    }

    /// The word on a session that a client wants to go on with; `None`: there is no such session.
    pub fn revalidated(
        &mut self,
        session: SessionId,
        found: Option<Standing>,
        cx: &mut ClientCx<'_>,
    ) {
        let Some(&link) = self.sessions.get(&session) else { return };
        let Some(known) = self.links.get(&link) else { return };
        // Of the answers to links that were superseded since, a learner passes on only that the session
        // is over (`zab::following`).
        let Phase::Revalidating { handshake, .. } = known.phase else { return };
        if let Some(standing) = found {
            self.attach(link, session, handshake, standing, cx);
            // The client is here: from now on the timeout that it asked for here binds, a shorter one too
            // (`SessionTracker::move_to`), even if it never says a word.
            let timeout_ms = handshake.timeout_ms;
            self.submissions.push_back(Submission::Touch { session, timeout_ms });
        } else {
            self.reject(link, handshake.read_only, cx);
        }
    }

    fn attach(
        &mut self,
        link: LinkId,
        session: SessionId,
        handshake: Handshake,
        standing: Standing,
        cx: &mut ClientCx<'_>,
    ) {
        let Handshake { timeout_ms, read_only, .. } = handshake;
        let Some(known) = self.links.get_mut(&link) else { return };
        known.phase = Phase::Live(Live {
            session,
            timeout_ms,
            standing,
            order: Order::default(),
            last: None,
            touched: None,
        });
        known.heard = cx.at.mono;
        self.arm(link);
        self.attached += 1;
        cx.out.note(Note::SessionAttached { session, link });
        let response = ConnectResponse {
            timeout_ms,
            session: Some(session),
            password: password(session),
            // Mirrors the byte; the value says what kind of server answers.
            read_only: read_only.map(|_| self.service == Service::ReadOnly),
        };
        self.send(link, cx, |out| response.encode(out));
        self.pump(link, cx);
    }

    /// Tells the client that its session is not (or no longer) there, and closes.
    fn reject(&mut self, link: LinkId, read_only: Option<bool>, cx: &mut ClientCx<'_>) {
        let response = ConnectResponse {
            timeout_ms: 0,
            session: None,
            password: [0; 16],
            read_only: read_only.map(|_| self.service == Service::ReadOnly),
        };
        self.send(link, cx, |out| response.encode(out));
        self.end(link, Close::Flush, CloseReason::Finished, cx);
    }

    /// Whether a client has seen more than this server. Whoever serves in an epoch has all that came before
    /// it: what a client has seen of an older one is here, or was never committed; a server without a
    /// quorum may have shown that. Java's leaders show the start of their epoch as well, before its first
    /// transaction. This server goes on to show such a zxid to this client, for which none may go down.
    /// Without a quorum, it may not have applied all that came before.
    fn is_ahead(&self, last_zxid_seen: i64, cx: &ClientCx<'_>) -> bool {
        let passed = self.service == Service::Full
            && Zxid::from_wire(last_zxid_seen).is_some_and(|z| {
                z.epoch() < cx.epoch || (z.is_epoch_start() && z.epoch() == cx.epoch)
            });
        !passed && last_zxid_seen > cx.db.applied().to_wire()
    }

    /// Looks at the link again when its limit of silence, which just changed, may have passed.
    pub(super) fn arm(&mut self, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let silent_at = known.silent_at();
        if silent_at < known.armed {
            self.silence.remove(&(known.armed, link));
            self.silence.insert((silent_at, link));
            known.armed = silent_at;
        }
    }
}
