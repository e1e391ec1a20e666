//! How a client asks for a session, and what it sends right behind that.

use bytes::Bytes;
use vivarium_core::ids::ServerId;

use super::{Stage, ZkClient, wire};
use crate::client::{ClientOut, ConnId};
use crate::history::{Call, ClientFact, SessionFact};
use crate::ids::SimTime;

impl ZkClient {
    pub(super) fn ask(
        &mut self,
        now: SimTime,
        conn: ConnId,
        server: ServerId,
        out: &mut ClientOut,
    ) {
        let second = self.session.as_ref().is_some_and(|session| session.connections % 2 == 1);
        let timeout_ms = match self.spec.other_timeout_ms {
            Some(other) if second => other,
            Some(_) | None => self.spec.session_timeout_ms,
        };
        // Who comes back to die: servers grant their least.
        let timeout_ms = if self.leaving.is_some() { 1 } else { timeout_ms };
        self.forgery = self.session.as_ref().and_then(|_| self.forger.draw());
        if let (Some(forgery), Some(session)) = (self.forgery, &self.session) {
            let asks = self.spec.reads_only;
            let forged = self.forger.request(forgery, session, self.last_zxid, timeout_ms, asks);
            out.send(conn, forged);
            self.stage = Stage::Asking { conn, server, since: now, departs: None };
            return;
        }
        let (id, password) = match &self.session {
            Some(session) => (session.id.0, session.password.clone()),
            None => (0, Bytes::from_static(&[0; 16])),
        };
        let resume = self.session.as_ref().map(|session| session.id);
        let last_zxid = self.last_zxid;
        out.fact(ClientFact::Session(SessionFact::Asked { resume, last_zxid, timeout_ms, server }));
        out.send(conn, wire::connect(last_zxid, timeout_ms, id, &password, self.spec.reads_only));
        if resume.is_some() && self.spec.asks_ahead {
            self.ask_ahead(conn, out);
        }
        let departs = self.plan.asks();
        self.stage = Stage::Asking { conn, server, since: now, departs };
    }

    /// Who it is, its watches, and something that any server answers. None of it changes a node: no checker
    /// has to know of it before the client is let in.
    fn ask_ahead(&mut self, conn: ConnId, out: &mut ClientOut) {
        let Some(session) = &self.session else { return };
        let shows = |(scheme, proof): (String, String)| Call::AddAuth { scheme, proof };
        let calls = self.proofs.iter().cloned().map(shows);
        let calls = calls.chain(self.watched.again(self.last_zxid));
        let looks = Call::Exists { path: "/".into(), watch: false };
        for (place, call) in (1..).zip(calls.chain([looks])) {
            let cxid = session.cxid_ahead(place, self.spec.fresh_xids);
            out.send(conn, wire::request(cxid, &call));
            self.ahead.push_back((cxid, call));
        }
    }

    /// It is let in: what it asked ahead has the first numbers here, and waits for its answers.
    pub(super) fn own_ahead(&mut self, server: ServerId) {
        let Some(session) = &mut self.session else { return };
        for (cxid, call) in self.ahead.drain(..) {
            let op = session.number(server);
            assert_eq!(op.cxid, cxid, "what was sent ahead comes first");
            self.outstanding.push_back((op, call));
        }
    }

    /// A forged request that is not answered is refused too.
    pub(super) fn end_forgery(&mut self, out: &mut ClientOut) {
        let Some(forgery) = self.forgery.take() else { return };
        if let (Stage::Asking { server, .. }, Some(session)) = (self.stage, &self.session) {
            let (session, granted) = (session.id, false);
            let fact = SessionFact::Forged { session, server, forgery, granted };
            out.fact(ClientFact::Session(fact));
        }
    }

    /// Waits no longer for a connection, or for a session.
    pub(super) fn give_up(&mut self, now: SimTime, out: &mut ClientOut) {
        if let (Stage::Asking { server, .. }, None) = (self.stage, self.forgery) {
            out.fact(ClientFact::Session(SessionFact::GaveUp { server }));
        }
        self.drop_connection(now, out);
    }
}
