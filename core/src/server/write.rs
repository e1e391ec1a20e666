//! From a request to a proposal: the leader prepares, a learner forwards.

use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::acl::Id;
use crate::ids::{LinkId, SessionId, Xid, Zxid};
use crate::invariant;
use crate::request::change::{Change, Standing, WriteRequest};
use crate::server::clients::{Refusal, Submission};
use crate::server::note::{LocalChange, Note};
use crate::server::role::Role;
use crate::server::standalone::Question;
use crate::server::{Outbox, Server, client_cx, zab_cx};
use crate::session::tracker::{Owner, SessionTrouble};
use crate::txn::{LoggedTxn, Txn, TxnHeader};
use crate::wire::client::{OP_CLOSE_SESSION, OP_CREATE_SESSION, OP_SYNC, Op, Parsed, parse_body};
use crate::wire::code::Code;
use crate::wire::jute::Reader;
use crate::wire::quorum::ForwardedRequest;
use crate::zab::leading::Asker;

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
            Submission::Sync { link, session, cxid, body } => {
                self.sync(link, session, cxid, body, out);
            }
            Submission::Upgrade { session } => self.upgrade_session(session, out),
            Submission::CloseLocal { session } => self.end_local_session(session, out),
            Submission::Touch { session, timeout_ms } => {
                if self.local.as_mut().is_some_and(|local| local.touch(session, timeout_ms)) {
                    out.note(Note::LocalSession { session, change: LocalChange::Touched });
                } else if self.tracker.is_some() {
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

    fn write(&mut self, request: ForwardedRequest, ids: Arc<[Id]>, parsed: Op, out: &mut Outbox) {
        let ForwardedRequest { session, cxid, .. } = request;
        if let Role::Following(following) = &mut self.role {
            let request = ForwardedRequest { authinfo: ids.to_vec(), ..request };
            following.forward(request, &mut zab_cx!(self, out));
            return;
        }
        let Ok(change) = Change::try_from(parsed) else { return };
        let standing = Standing::Global;
        let request = WriteRequest { session, standing, cxid, ids, change };
        if !self.propose(request, Owner::Local, out) {
            let why = Refusal::Stopping;
            self.clients.refused(session, Xid(cxid), why, &mut client_cx!(self, out));
        }
    }

    fn sync(&mut self, link: LinkId, session: SessionId, cxid: Xid, body: Bytes, out: &mut Outbox) {
        match &mut self.role {
            Role::Following(following) => {
                self.syncs.push_back((link, cxid));
                let request = forwarded(session, cxid, OP_SYNC, body);
                following.forward(request, &mut zab_cx!(self, out));
            }
            Role::Leading(leading) => {
                leading.sync(Asker::Local { link, cxid }, &mut zab_cx!(self, out));
            }
            Role::Standalone(alone) => alone.ask(Question::Sync { link, cxid }),
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
                let standing = Standing::Global;
                let request = WriteRequest { session, standing, cxid, ids, change };
                self.propose(request, owner, out);
            }
            // A Java learner forwards what it cannot read; its client waits for an answer.
            None => self.propose_error(session, cxid, Code::MarshallingError, out),
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
    pub(super) fn propose(
        &mut self,
        mut request: WriteRequest,
        owner: Owner,
        out: &mut Outbox,
    ) -> bool {
        if self.next_zxid().is_none() {
            return false;
        }
        let Some(tracker) = &mut self.tracker else { return false };
        let session = request.session;
        if let Change::CreateSession { timeout_ms } = request.change {
            tracker.track(session, timeout_ms, Some(owner));
            return self.replicate(&request, out);
        }
        // Closing sessions, and those that nobody has, are answered by the preparation: an error with a
        // zxid.
        match tracker.check(session, owner) {
            Err(SessionTrouble::Moved) => {
                self.propose_error(session, request.cxid, Code::SessionMoved, out);
                return true;
            }
            Err(SessionTrouble::Unknown) if self.may_be_local(session, owner) => {
                request.standing = Standing::Local;
            }
            Err(SessionTrouble::Unknown | SessionTrouble::Closing) | Ok(()) => {}
        }
        if let (Change::CloseSession, Some(tracker)) = (&request.change, &mut self.tracker) {
            tracker.set_closing(session);
        }
        self.replicate(&request, out)
    }

    pub(super) fn replicate(&mut self, request: &WriteRequest, out: &mut Outbox) -> bool {
        let Some(zxid) = self.next_zxid() else { return false };
        let txn = self.preparer.prepare(&self.db, request, zxid, self.at.wall);
        self.tell_excesses(out);
        let payload = encoded(&txn);
        if payload.len() > self.config.transaction_limit() {
            // Requests are bounded by `jute.maxbuffer`, yet a learner may have another one.
            self.preparer.withdraw();
            self.propose_error(request.session, request.cxid, Code::MarshallingError, out);
            return true;
        }
        if let (Change::CloseSession, Role::Leading(leading)) = (&request.change, &mut self.role) {
            leading.session_ends(request.session, zxid);
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

pub(super) fn forwarded(
    session: SessionId,
    cxid: Xid,
    op: i32,
    payload: Bytes,
) -> ForwardedRequest {
    ForwardedRequest { session, cxid: cxid.0, op, payload, authinfo: alloc::vec::Vec::new() }
}

#[cfg(test)]
pub(super) mod tests;
