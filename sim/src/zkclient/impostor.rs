//! Somebody else who names a session while its client is attached, and has no right to it.

use bytes::Bytes;
use vivarium_core::ids::ServerId;

use super::{Stage, ZkClient, wire};
use crate::client::{ClientOut, ConnId};
use crate::history::{ClientFact, Forgery, SessionFact};
use crate::ids::SimTime;

/// Tries it once on each connection that he was drawn for, at the server that the client is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impostor {
    Nobody,
    Waits { at: SimTime, forgery: Forgery },
    Tries { conn: ConnId, forgery: Forgery },
}

impl Impostor {
    pub(super) fn at(self) -> SimTime {
        match self {
            Self::Waits { at, .. } => at,
            Self::Nobody | Self::Tries { .. } => SimTime::NEVER,
        }
    }

    pub(super) fn vanish(&mut self, out: &mut ClientOut) {
        if let Self::Tries { conn, .. } = *self {
            out.abort(conn);
        }
        *self = Self::Nobody;
    }
}

impl ZkClient {
    /// The client was let in.
    pub(super) fn draw_impostor(&mut self, now: SimTime) {
        let drawn = self.forger.draw_impostor(self.patience_us());
        if let Some((after_us, forgery)) = drawn {
            self.impostor = Impostor::Waits { at: now.plus(after_us), forgery };
        }
    }

    pub(super) fn let_impostor_try(&mut self, now: SimTime, out: &mut ClientOut) {
        if let (Impostor::Waits { at, forgery }, Stage::Attached { server, .. }) =
            (self.impostor, self.stage)
            && at <= now
        {
            self.impostor = Impostor::Tries { conn: out.connect(server), forgery };
        }
    }

    /// What he is at with that connection, if it is his.
    fn tries(&self, on: ConnId) -> Option<(ServerId, Forgery)> {
        let (Impostor::Tries { conn, forgery }, Stage::Attached { server, .. }) =
            (self.impostor, self.stage)
        else {
            return None;
        };
        (conn == on).then_some((server, forgery))
    }

    /// He is connected.
    pub(super) fn forge(&mut self, conn: ConnId, out: &mut ClientOut) {
        let (Some((_, forgery)), Some(session)) = (self.tries(conn), &self.session) else { return };
        let (timeout_ms, asks) = (self.spec.session_timeout_ms, self.spec.reads_only);
        let forged = self.forger.request(forgery, session, self.last_zxid, timeout_ms, asks);
        out.send(conn, forged);
    }

    /// The answer, which is small enough to come in one piece; what is not may as well be none.
    pub(super) fn impostor_hears(&mut self, conn: ConnId, bytes: Bytes, out: &mut ClientOut) {
        let answer = bytes.get(4..).and_then(|_| wire::connected(bytes.slice(4..)));
        self.tried(conn, answer.is_some_and(|granted| granted.session != 0), out);
    }

    /// He is turned away without an answer.
    pub(super) fn refused(&mut self, conn: ConnId, out: &mut ClientOut) {
        self.tried(conn, false, out);
    }

    fn tried(&mut self, conn: ConnId, granted: bool, out: &mut ClientOut) {
        let (Some((server, forgery)), Some(session)) = (self.tries(conn), &self.session) else {
            return;
        };
        let session = session.id;
        out.fact(ClientFact::Session(SessionFact::Forged { session, server, forgery, granted }));
        self.impostor.vanish(out);
    }
}
