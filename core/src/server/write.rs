//! From a request to a proposal: the leader prepares, a learner forwards.

use alloc::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::acl::Id;
use crate::ids::{LinkId, SessionId, Xid, Zxid};
use crate::invariant;
use crate::request::change::{Change, WriteRequest};
use crate::server::clients::{Refusal, Submission};
use crate::server::note::Note;
use crate::server::role::Role;
use crate::server::{Outbox, Server, client_cx, zab_cx};
use crate::session::tracker::{Owner, SessionTrouble, Touched};
use crate::time::Mono;
use crate::txn::{LoggedTxn, Txn, TxnHeader};
use crate::wire::client::{OP_CLOSE_SESSION, OP_CREATE_SESSION, OP_SYNC, Op, Parsed, parse_body};
use crate::wire::code::Code;
use crate::wire::jute::Reader;
use crate::wire::quorum::ForwardedRequest;
use crate::zab::leading::{Asker, Missing};

impl Server {
    /// The oldest thing that clients ask for. False when there is none.
    pub(super) fn handle_submission(&mut self, out: &mut Outbox) -> bool {
        let Some(submission) = self.clients.next_submission() else { return false };
        match submission {
            Submission::CreateSession { link, timeout_ms } => {
                self.create_session(link, timeout_ms, out);
            }
            Submission::Revalidate { session, timeout_ms } => {
                self.revalidate(session, timeout_ms, out);
            }
            Submission::Write { session, cxid, ids, op, body, parsed } => {
                self.write(forwarded(session, cxid, op, body), ids, parsed, out);
            }
            Submission::CloseSession { session, cxid } => {
                let request = forwarded(session, cxid, OP_CLOSE_SESSION, Bytes::new());
                self.write(request, [].into(), Op::CloseSession, out);
            }
            Submission::Sync { session, cxid, body } => self.sync(session, cxid, body, out),
            Submission::Touch { session, timeout_ms } => {
                if self.tracker.is_some() {
                    self.touch_session(session, timeout_ms, Owner::Local, out);
                } else {
                    self.touched.touch(session, timeout_ms);
                }
            }
            Submission::Word { link, word } => {
                let answer = self.answer_word(word);
                self.clients.word_answer(link, &answer, &mut client_cx!(self, out));
            }
        }
        true
    }

    fn create_session(&mut self, link: LinkId, timeout_ms: i32, out: &mut Outbox) {
        let sessions = self.db.sessions();
        let session = self.session_ids.next(|id| sessions.contains_key(&id));
        self.clients.session_assigned(link, session);
        if let Role::Following(following) = &mut self.role {
            let mut body = BytesMut::with_capacity(4);
            body.put_i32(timeout_ms);
            let request = forwarded(session, Xid(0), OP_CREATE_SESSION, body.freeze());
            following.forward(request, &mut zab_cx!(self, out));
            return;
        }
        let change = Change::CreateSession { timeout_ms };
        let request = WriteRequest { session, cxid: 0, ids: [].into(), change };
        self.propose(request, Owner::Local, out);
    }

    fn revalidate(&mut self, session: SessionId, timeout_ms: i32, out: &mut Outbox) {
        if let Role::Following(following) = &mut self.role {
            following.revalidate(session, timeout_ms, &mut zab_cx!(self, out));
            return;
        }
        if self.attach(session, timeout_ms, Owner::Local, out) {
            self.clients.revalidated(session, true, &mut client_cx!(self, out));
        } else {
            self.miss(Missing { learner: None, session, timeout_ms }, out);
        }
    }

    /// A session that is not there, or about to end. A leader that was deposed and does not know may lack
    /// what the next one opened, so that it says no only where a quorum follows it still.
    fn miss(&mut self, missing: Missing, out: &mut Outbox) {
        match &mut self.role {
            Role::Leading(leading) => leading.confirm_missing(missing, &mut zab_cx!(self, out)),
            Role::Standalone(_) => self.answer_missing(missing, out),
            // Whoever asked is closed.
            Role::Starting
            | Role::Looking
            | Role::Following(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    pub(super) fn answer_missing(&mut self, missing: Missing, out: &mut Outbox) {
        let Missing { learner, session, timeout_ms } = missing;
        let owner = learner.map_or(Owner::Local, Owner::Learner);
        let valid = self.attach(session, timeout_ms, owner, out);
        let Some(link) = learner else {
            self.clients.revalidated(session, valid, &mut client_cx!(self, out));
            return;
        };
        if let Role::Leading(leading) = &mut self.role {
            leading.answer_revalidate(link, session, valid, &mut zab_cx!(self, out));
        }
    }

    /// Asked by a learner whose client came back.
    pub(super) fn revalidate_for(
        &mut self,
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
        out: &mut Outbox,
    ) {
        if !self.attach(session, timeout_ms, Owner::Learner(link), out) {
            self.miss(Missing { learner: Some(link), session, timeout_ms }, out);
        } else if let Role::Leading(leading) = &mut self.role {
            leading.answer_revalidate(link, session, true, &mut zab_cx!(self, out));
        }
    }

    /// The session moves to `owner`, if it lives.
    fn attach(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        owner: Owner,
        out: &mut Outbox,
    ) -> bool {
        let Some(tracker) = &mut self.tracker else { return false };
        if tracker.touch_for(session, timeout_ms) != Touched::Touched {
            return false;
        }
        out.note(Note::SessionTouched { session });
        tracker.set_owner(session, owner)
    }

    pub(super) fn touch_session(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        user: Owner,
        out: &mut Outbox,
    ) {
        if let Some(tracker) = &mut self.tracker
            && tracker.touch_by(session, timeout_ms, user) == Touched::Touched
        {
            out.note(Note::SessionTouched { session });
        }
    }

    fn write(&mut self, request: ForwardedRequest, ids: Arc<[Id]>, parsed: Op, out: &mut Outbox) {
        let ForwardedRequest { session, cxid, .. } = request;
        if let Role::Following(following) = &mut self.role {
            let request = ForwardedRequest { authinfo: ids.to_vec(), ..request };
            following.forward(request, &mut zab_cx!(self, out));
            return;
        }
        let Ok(change) = Change::try_from(parsed) else { return };
        let request = WriteRequest { session, cxid, ids, change };
        if !self.propose(request, Owner::Local, out) {
            let why = Refusal::Stopping;
            self.clients.refused(session, Xid(cxid), why, &mut client_cx!(self, out));
        }
    }

    fn sync(&mut self, session: SessionId, cxid: Xid, body: Bytes, out: &mut Outbox) {
        match &mut self.role {
            Role::Following(following) => {
                self.syncs.push_back((session, cxid));
                let request = forwarded(session, cxid, OP_SYNC, body);
                following.forward(request, &mut zab_cx!(self, out));
            }
            Role::Leading(leading) => {
                leading.sync(Asker::Local { session, cxid }, &mut zab_cx!(self, out));
            }
            Role::Standalone(alone) => alone.sync(session, cxid),
            Role::Starting
            | Role::Looking
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    /// A request that a learner's client sent.
    pub(super) fn on_forwarded(
        &mut self,
        link: LinkId,
        request: ForwardedRequest,
        out: &mut Outbox,
    ) {
        let ForwardedRequest { session, cxid, op, payload, authinfo } = request;
        let owner = Owner::Learner(link);
        if op == OP_SYNC {
            if let Role::Leading(leading) = &mut self.role {
                leading.sync(Asker::Learner(link), &mut zab_cx!(self, out));
            }
            return;
        }
        let change = match op {
            OP_CREATE_SESSION => Reader::new(payload)
                .i32()
                .ok()
                .map(|timeout_ms| Change::CreateSession { timeout_ms }),
            OP_CLOSE_SESSION => Some(Change::CloseSession),
            _ => match parse_body(op, payload) {
                Parsed::Op(op) => Change::try_from(op).ok(),
                Parsed::Malformed | Parsed::Unknown => None,
            },
        };
        match change {
            Some(change) => {
                let ids = authinfo.into();
                self.propose(WriteRequest { session, cxid, ids, change }, owner, out);
            }
            // A Java learner forwards what it cannot read; its client waits for an answer.
            None => self.propose_error(session, cxid, Code::MarshallingError, out),
        }
    }

    /// While nothing may be proposed, nothing expires: then there is no need to wake.
    pub(super) fn expiry_deadline(&self) -> Option<Mono> {
        self.next_zxid()?;
        self.tracker.as_ref()?.deadline()
    }

    /// Expiry by the leader itself, never forwarded (B62): only while it may propose.
    pub(super) fn expire_sessions(&mut self, out: &mut Outbox) {
        if self.next_zxid().is_none() {
            return;
        }
        let Some(tracker) = &mut self.tracker else { return };
        for session in tracker.expired() {
            let Some(tracker) = &self.tracker else { return };
            let idle_ms = tracker.idle_ms(session).unwrap_or(0);
            let timeout_ms = tracker.timeout_ms(session).unwrap_or(0);
            out.note(Note::SessionExpired { session, idle_ms, timeout_ms });
            self.counters.expired += 1;
            let change = Change::CloseSession;
            let request = WriteRequest { session, cxid: 0, ids: [].into(), change };
            self.replicate(&request, out);
        }
    }

    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        match &self.role {
            Role::Leading(leading) => leading.next_zxid(self.config.zxid_counter_limit),
            Role::Standalone(alone) if !self.chores.is_stopping() => alone.next_zxid(),
            Role::Standalone(_)
            | Role::Starting
            | Role::Looking
            | Role::Following(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => None,
        }
    }

    /// Checks who owns the session, then gives the request its zxid. False while nothing may be
    /// proposed: the client will find another leader.
    fn propose(&mut self, request: WriteRequest, owner: Owner, out: &mut Outbox) -> bool {
        if self.next_zxid().is_none() {
            return false;
        }
        let Some(tracker) = &mut self.tracker else { return false };
        let session = request.session;
        if let Change::CreateSession { timeout_ms } = request.change {
            tracker.track(session, timeout_ms, Some(owner));
            return self.replicate(&request, out);
        }
        // Unknown and closing sessions are answered by the preparation: an error with a zxid.
        if tracker.check(session, owner) == Err(SessionTrouble::Moved) {
            self.propose_error(session, request.cxid, Code::SessionMoved, out);
            return true;
        }
        if matches!(request.change, Change::CloseSession) {
            tracker.set_closing(session);
        }
        self.replicate(&request, out)
    }

    pub(super) fn replicate(&mut self, request: &WriteRequest, out: &mut Outbox) -> bool {
        let Some(zxid) = self.next_zxid() else { return false };
        let txn = self.preparer.prepare(&self.db, request, zxid, self.at.wall);
        let payload = encoded(&txn);
        if payload.len() > self.config.transaction_limit() {
            // Requests are bounded by `jute.maxbuffer`, yet a learner may have another one.
            self.preparer.withdraw();
            self.propose_error(request.session, request.cxid, Code::MarshallingError, out);
            return true;
        }
        self.submit(zxid, payload, out);
        true
    }

    /// A refusal that must reach a client of any server: it costs a zxid like every failed write.
    fn propose_error(&mut self, session: SessionId, cxid: i32, code: Code, out: &mut Outbox) {
        let Some(zxid) = self.next_zxid() else { return };
        let header = TxnHeader { session, cxid, zxid, time: self.at.wall };
        let txn = Txn::Error { code: code.to_wire() };
        self.submit(zxid, encoded(&LoggedTxn { header, txn, digest: None }), out);
    }

    fn submit(&mut self, zxid: Zxid, payload: Bytes, out: &mut Outbox) {
        let limit = self.config.transaction_limit();
        invariant!(payload.len() <= limit, "no peer would take {} bytes", payload.len());
        self.proposal_sizes.add(payload.len());
        match &mut self.role {
            Role::Leading(leading) => leading.propose(zxid, payload, &mut zab_cx!(self, out)),
            Role::Standalone(alone) => {
                self.counters.proposals += 1;
                alone.propose(zxid, payload, &mut self.history, out);
            }
            Role::Starting
            | Role::Looking
            | Role::Following(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => unreachable!("next_zxid gives zxids to leaders only"),
        }
    }
}

fn encoded(txn: &LoggedTxn) -> Bytes {
    let mut payload = BytesMut::with_capacity(160);
    txn.encode(&mut payload);
    payload.freeze()
}

fn forwarded(session: SessionId, cxid: Xid, op: i32, payload: Bytes) -> ForwardedRequest {
    ForwardedRequest { session, cxid: cxid.0, op, payload, authinfo: alloc::vec::Vec::new() }
}

#[cfg(test)]
pub(super) mod tests;
