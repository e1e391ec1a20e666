//! What a client hears from its server, read byte by byte.

use bytes::{Buf, Bytes};
use vivarium_core::ids::{ServerId, SessionId};

use super::{Farewell, Session, Stage, ZkClient, wire};
use crate::client::{ClientOut, ConnId};
use crate::codec::Reader;
use crate::history::{Call, ClientFact, SessionFact};
use crate::ids::SimTime;
use crate::workload::Operation;

/// NOTREADONLY: what was asked for needs a quorum.
const NOT_READ_ONLY: i32 = -119;

impl ZkClient {
    fn take_frame(&mut self) -> Result<Option<Bytes>, &'static str> {
        let Some(head) = self.received.first_chunk::<4>() else { return Ok(None) };
        let len = i32::from_be_bytes(*head);
        let Ok(len) = usize::try_from(len) else { return Err("a frame of negative length") };
        if len > 4 << 20 {
            return Err("a frame of more than 4 MiB");
        }
        if self.received.len() < 4 + len {
            return Ok(None);
        }
        self.received.advance(4);
        Ok(Some(self.received.split_to(len).freeze()))
    }

    pub(super) fn on_bytes(&mut self, now: SimTime, bytes: &Bytes, out: &mut ClientOut) {
        self.last_heard = now;
        self.received.extend_from_slice(bytes);
        loop {
            let done = match (self.take_frame(), self.stage) {
                (Err(what), _) => Err(what),
                (Ok(None), _) | (_, Stage::Away { .. } | Stage::Dialling { .. }) => return,
                (Ok(Some(frame)), Stage::Asking { conn, server, .. }) => {
                    out.heard_frame();
                    self.on_answer(now, conn, server, frame, out)
                }
                (Ok(Some(frame)), Stage::Attached { .. }) => {
                    out.heard_frame();
                    self.on_packet(now, frame, out)
                }
            };
            if let Err(what) = done {
                return self.nonsense(now, what, out);
            }
        }
    }

    fn on_answer(
        &mut self,
        now: SimTime,
        conn: ConnId,
        server: ServerId,
        frame: Bytes,
        out: &mut ClientOut,
    ) -> Result<(), &'static str> {
        let granted = wire::connected(frame).ok_or("a connect response that does not decode")?;
        if let (Some(forgery), Some(session)) = (self.forgery.take(), &self.session) {
            let (session, granted) = (session.id, granted.session != 0);
            let fact = SessionFact::Forged { session, server, forgery, granted };
            out.fact(ClientFact::Session(fact));
            self.drop_connection(now, out);
            return Ok(());
        }
        if granted.session == 0 {
            if let Some(session) = self.session.as_ref().map(|session| session.id) {
                out.fact(ClientFact::Session(SessionFact::Expired { session, server }));
                self.forget_session();
            }
            self.drop_connection(now, out);
            return Ok(());
        }
        let got = SessionId(granted.session);
        let asked = self.session.as_ref().map(|session| session.id);
        let session = self.session.get_or_insert_with(|| {
            let seen = granted.read_only.then_some(self.last_zxid);
            Session::new(got, granted.password.clone(), granted.timeout_ms, seen)
        });
        session.connected(granted.timeout_ms, self.spec.fresh_xids);
        let same_password = session.password == granted.password && granted.password.len() == 16;
        let (timeout_ms, connection) = (granted.timeout_ms, session.connections);
        out.fact(ClientFact::Session(SessionFact::Granted {
            asked,
            got,
            same_password,
            timeout_ms,
            server,
            connection,
        }));
        if granted.read_only {
            out.fact(ClientFact::Session(SessionFact::ReadOnly { session: got, server }));
        }
        if granted.read_only && !self.spec.reads_only {
            return Err("an answer of a server without a quorum, which was not asked for");
        }
        if granted.read_only != session.read_only.is_some() {
            return Err("a session that goes on with a quorum and without one");
        }
        if session.id != got || timeout_ms <= 0 {
            return Err("a session that was not asked for");
        }
        self.stage = Stage::Attached { conn, server };
        if self.leaving == Some(Farewell::ComesBackToDie) {
            self.restart(now, out);
            return Ok(());
        }
        self.home = Some(server);
        self.own_ahead(server);
        // What nobody answers is told of first: answers come in the order of what was told.
        self.send_stray(out);
        for (op, call) in &self.outstanding {
            out.fact(ClientFact::Invoke { op: *op, call: call.clone() });
        }
        let wait_us = self.rng.below(self.spec.think_us);
        self.plan.connected(now, wait_us, asked.is_none());
        self.draw_impostor(now);
        if !self.outstanding.is_empty() {
            return Ok(());
        }
        if self.plan.shows_itself_again() && !self.proofs.is_empty() {
            self.perform(now, Operation::Reauth, out);
        }
        if asked.is_some() && self.plan.rewatches() {
            self.perform(now, Operation::Rewatch, out);
        }
        Ok(())
    }

    fn on_packet(
        &mut self,
        now: SimTime,
        frame: Bytes,
        out: &mut ClientOut,
    ) -> Result<(), &'static str> {
        let mut reader = Reader::new(frame);
        let header = wire::header(&mut reader).ok_or("a reply header that does not decode")?;
        let Some((session, connection)) =
            self.session.as_ref().map(|session| (session.id, session.connections))
        else {
            return Err("a packet without a session");
        };
        match header.xid {
            -1 => {
                let (kind, path) = wire::event(reader).ok_or("an event that does not decode")?;
                let zxid = header.zxid;
                self.watched.told(kind, &path);
                out.fact(ClientFact::Watch { session, connection, kind, path, zxid });
            }
            -2 => {
                out.fact(ClientFact::Pong { session, connection, zxid: header.zxid });
                self.last_zxid = self.last_zxid.max(header.zxid);
            }
            _ => return self.on_reply(now, header, reader, out),
        }
        Ok(())
    }

    pub(super) fn learn_proof(&mut self, scheme: &str, proof: &str) {
        let shown = (scheme.to_owned(), proof.to_owned());
        if !self.proofs.contains(&shown) {
            self.proofs.push(shown);
        }
    }

    fn on_reply(
        &mut self,
        now: SimTime,
        header: wire::ReplyHeader,
        reader: Reader,
        out: &mut ClientOut,
    ) -> Result<(), &'static str> {
        let (op, call) = match self.outstanding.front() {
            Some((op, _)) if op.cxid == header.xid => {
                self.outstanding.pop_front().expect("it was just looked at")
            }
            Some(_) => return Err("a reply out of order"),
            None => return Err("a reply to nothing"),
        };
        let zxid = header.zxid;
        if header.err != 0 {
            self.watched.answered(&call, header.err);
            out.fact(ClientFact::Err { op, zxid, code: header.err });
        } else {
            let Some(result) = wire::reply(&call, reader) else {
                self.outstanding.push_front((op, call));
                return Err("a reply body that does not decode");
            };
            self.memory.learn(&call, &result);
            self.watched.answered(&call, 0);
            if let Call::AddAuth { scheme, proof } = &call {
                self.learn_proof(scheme, proof);
            }
            out.fact(ClientFact::Ok { op, zxid, result });
        }
        if zxid > 0 {
            self.last_zxid = self.last_zxid.max(zxid);
        }
        if header.err == NOT_READ_ONLY && self.plan.is_calm() {
            // As real clients do, it looks for a server with a quorum: in calm there is one.
            self.drop_connection(now, out);
            return Ok(());
        }
        if matches!(call, Call::CloseSession) {
            let session = op.session;
            out.fact(ClientFact::Session(SessionFact::Left { session }));
            if let Some(conn) = self.conn() {
                out.close(conn);
            }
            self.detach(now, false, out);
            self.forget_session();
        }
        Ok(())
    }
}
