//! Requests of attached clients: taken from the stream in order, answered in order.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

use crate::acl::Id;
use crate::admin::traffic::LastAnswer;
use crate::config::{AccessRules, Config};
use crate::ids::{LinkId, Xid};
use crate::request::auth::is_let_in;
use crate::request::change::Standing;
use crate::request::order::{Answer, Local, Ready};
use crate::request::read::{Asker, MultiReadLimit, read};
use crate::request::reply::{Outcome, WriteKind};
use crate::server::action::{Close, CloseReason};
use crate::server::clients::link::{Last, Live, Phase};
use crate::server::clients::{ClientCx, Clients, Submission};
use crate::server::view::Service;
use crate::time::Span;
use crate::wire::client::{
    CreateMode, MultiRead, Op, Parsed, ReadOp, ReplyBody, WriteOp, XID_PING, encode_reply,
    needs_quorum, parse_body,
};
use crate::wire::code::Code;

impl Clients {
    /// Works off what a link has brought, as far as its phase and its credit allow.
    pub(super) fn pump(&mut self, link: LinkId, cx: &mut ClientCx<'_>) {
        while self.may_read(link, cx) {
            if !self.read_one(link, cx) {
                break;
            }
        }
        self.set_reading(link, cx);
    }

    /// Whether another frame of this link may be looked at now.
    fn may_read(&self, link: LinkId, cx: &ClientCx<'_>) -> bool {
        let Some(known) = self.links.get(&link) else { return false };
        let over = self.is_over(link, cx.config);
        match &known.phase {
            Phase::Greeting { .. } | Phase::Live(_) => !known.choked && !over,
            Phase::Asked | Phase::Creating(_) | Phase::Revalidating { .. } => false,
        }
    }

    /// Takes one frame (or word) from the stream; false where none is complete.
    fn read_one(&mut self, link: LinkId, cx: &mut ClientCx<'_>) -> bool {
        let Some(known) = self.links.get_mut(&link) else { return false };
        if let Phase::Greeting { word_possible } = &mut known.phase
            && *word_possible
        {
            let Some(first) = known.frames.peek_word() else { return false };
            *word_possible = false;
            if self.ask(link, first, cx) {
                return false;
            }
        }
        let Some(known) = self.links.get_mut(&link) else { return false };
        match known.frames.next_frame(cx.config.jute_max_buffer) {
            Ok(Some(frame)) => {
                known.heard = cx.at.mono;
                known.traffic.received += 1;
                self.traffic.received += 1;
                if matches!(known.phase, Phase::Live(_)) {
                    self.request(link, frame, cx);
                } else {
                    self.connect(link, frame, cx);
                    self.arm(link);
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                let (len, limit) = (i64::from(error.len), error.limit as i64);
                let why = CloseReason::FrameTooLong { len, limit };
                self.end(link, Close::Flush, why, cx);
                false
            }
        }
    }

    /// One frame of an attached client: header, body, and its place in the order.
    fn request(&mut self, link: LinkId, mut frame: Bytes, cx: &mut ClientCx<'_>) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let ids = Arc::clone(&known.ids);
        let Some(live) = known.live_mut() else { return };
        if live.last.is_some() {
            return;
        }
        if frame.len() < 8 {
            let why = CloseReason::Protocol("a frame is too short for a request header");
            return self.end(link, Close::Flush, why, cx);
        }
        let (xid, op) = (Xid(frame.get_i32()), frame.get_i32());
        let (session, timeout_ms) = (live.session, live.timeout_ms);
        if live.touched != Some(cx.at.mono) {
            live.touched = Some(cx.at.mono);
            self.submissions.push_back(Submission::Touch { session, timeout_ms });
        }
        let now = cx.at.mono;
        let parsed = parse_body(op, frame.clone());
        if !may_ask(&cx.config.access, &ids, &parsed) {
            live.last = Some(Last::Stranger);
            live.order.local(xid, now, Local::Stranger);
            self.outstanding += 1;
            return self.flush(link, cx);
        }
        if let Some(local) = answered_here(self.service, live, op, &parsed, cx.config) {
            if local == Local::CloseSession {
                live.last = Some(Last::CloseLocal);
            }
            live.order.local(xid, now, local);
            self.outstanding += 1;
            return self.flush(link, cx);
        }
        match parsed {
            Parsed::Unknown => {
                live.last = Some(Last::Unknown);
                live.order.local(xid, now, Local::Unknown);
            }
            Parsed::Malformed => live.order.local(xid, now, Local::Malformed),
            Parsed::Op(Op::Read(op)) => live.order.local(xid, now, Local::Read { op, ids }),
            Parsed::Op(Op::Watch(op)) => live.order.local(xid, now, Local::Watch { op, ids }),
            Parsed::Op(Op::Ping) => live.order.local(XID_PING, now, Local::Ping),
            Parsed::Op(Op::Sasl { .. }) => live.order.local(xid, now, Local::Sasl),
            Parsed::Op(Op::Auth { scheme, proof }) => {
                self.authenticate(link, xid, &scheme, proof.as_deref(), cx);
            }
            Parsed::Op(Op::Sync { path }) => {
                live.order.sync(xid, now, path);
                let sync = Submission::Sync { link, session, cxid: xid, body: frame };
                self.submissions.push_back(sync);
            }
            Parsed::Op(Op::CloseSession) => {
                live.last = Some(Last::CloseSession(xid));
                live.order.write(xid, now, WriteKind::CloseSession, cx.logged);
                self.submissions.push_back(Submission::CloseSession { session, cxid: xid });
            }
            Parsed::Op(
                parsed @ (Op::Write(_) | Op::SetAcl { .. } | Op::Multi(_) | Op::Reconfig(_)),
            ) => {
                let cxid = xid;
                let write = Submission::Write { session, cxid, ids, op, body: frame, parsed };
                self.change(link, write, cx);
            }
        }
        self.outstanding += 1;
        self.flush(link, cx);
    }

    /// A request that needs a transaction.
    fn change(&mut self, link: LinkId, write: Submission, cx: &ClientCx<'_>) {
        let Some(live) = self.links.get_mut(&link).and_then(|known| known.live_mut()) else {
            return;
        };
        let Submission::Write { session, cxid, parsed, .. } = &write else { return };
        let (session, cxid, now) = (*session, *cxid, cx.at.mono);
        let Some(kind) = WriteKind::of(parsed) else {
            // A check that stands alone.
            live.last = Some(Last::Unknown);
            return live.order.local(cxid, now, Local::Unknown);
        };
        if live.standing == Standing::Local && makes_ephemeral(parsed) {
            live.standing = Standing::Global;
            self.submissions.push_back(Submission::Upgrade { session });
        }
        live.order.write(cxid, now, kind, cx.logged);
        self.submissions.push_back(write);
    }

    /// The requests behind an `auth` packet have its identity, also while its answer waits in turn.
    fn authenticate(
        &mut self,
        link: LinkId,
        xid: Xid,
        scheme: &str,
        proof: Option<&[u8]>,
        cx: &ClientCx<'_>,
    ) {
        let Some(known) = self.links.get_mut(&link) else { return };
        let rules = &cx.config.access;
        let accepted = known.authenticate(rules, scheme, proof.unwrap_or_default());
        let Some(live) = known.live_mut() else { return };
        live.order.local(xid, cx.at.mono, Local::Auth { accepted });
        if !accepted {
            live.last = Some(Last::AuthFailed);
        }
    }

    /// Answers the oldest requests of a link, as far as their answers are known.
    ///
    /// A client that does not take its replies stops this, except while a write of its own is in
    /// flight: reads in front of that write must not see it.
    pub(super) fn flush(&mut self, link: LinkId, cx: &mut ClientCx<'_>) {
        loop {
            let Some(known) = self.links.get_mut(&link) else { return };
            let choked = known.choked;
            let Some(live) = known.live_mut() else { return };
            if choked && live.order.in_flight() == 0 {
                return;
            }
            let Some(ready) = live.order.take_ready() else { return };
            let took = cx.at.mono.since(ready.since);
            let (operation, zxid, at) = (ready.answer.operation(), cx.db.applied(), cx.at.mono);
            known.traffic.answered(ready.xid, LastAnswer { operation, zxid, at, took });
            self.outstanding -= 1;
            self.count_answer(&ready.answer, took);
            self.answer(link, ready, cx);
        }
    }

    fn count_answer(&mut self, answer: &Answer, took: Span) {
        self.traffic.latency.add_span(took);
        let of_kind = match answer {
            Answer::Written { .. } => &mut self.traffic.updates,
            Answer::Local(_) | Answer::Synced { .. } => &mut self.traffic.reads,
        };
        of_kind.add_span(took);
    }

    fn answer(&mut self, link: LinkId, ready: Ready, cx: &mut ClientCx<'_>) {
        let Ready { xid, answer, .. } = ready;
        let Some(known) = self.links.get(&link) else { return };
        let applied = known.shown.max(cx.db.applied().to_wire());
        match answer {
            Answer::Local(Local::Ping) => {
                self.reply(link, xid, applied, Ok(ReplyBody::Empty), cx);
            }
            Answer::Local(Local::Malformed) => {
                self.reply(link, xid, applied, Err(Code::MarshallingError), cx);
            }
            Answer::Local(Local::Unknown) => {
                self.reply(link, xid, NO_ZXID, Err(Code::Unimplemented), cx);
                self.end(link, Close::Flush, CloseReason::Protocol("unknown opcode"), cx);
            }
            Answer::Local(Local::Auth { accepted: true }) => {
                self.reply(link, xid, 0, Ok(ReplyBody::Empty), cx);
            }
            Answer::Local(Local::Auth { accepted: false }) => {
                self.reply(link, xid, 0, Err(Code::AuthFailed), cx);
                self.end(link, Close::Flush, CloseReason::Protocol("failed authentication"), cx);
            }
            Answer::Local(Local::Stranger) => {
                self.reply(link, xid, 0, Err(Code::SessionClosedRequireSaslAuth), cx);
                self.end(link, Close::Flush, CloseReason::Protocol("no identity"), cx);
            }
            Answer::Local(Local::Sasl) => {
                self.reply(link, xid, 0, Ok(ReplyBody::Token(None)), cx);
            }
            Answer::Local(Local::Refused(code)) => {
                self.reply(link, xid, applied, Err(code), cx);
            }
            Answer::Local(Local::CloseSession) => {
                let session = known.session();
                self.reply(link, xid, applied, Ok(ReplyBody::Empty), cx);
                let closes = session.map(|session| Submission::CloseLocal { session });
                self.submissions.extend(closes);
                self.end(link, Close::Flush, CloseReason::Finished, cx);
            }
            Answer::Local(Local::Read { op, ids }) => self.answer_read(link, xid, &op, &ids, cx),
            Answer::Local(Local::Watch { op, ids }) => self.answer_watch(link, xid, &op, &ids, cx),
            Answer::Synced { path } => {
                self.reply(link, xid, applied, Ok(ReplyBody::Path(path)), cx);
            }
            Answer::Written { kind, outcome } => {
                self.answer_write(link, xid, kind, outcome, cx);
            }
        }
    }

    fn answer_read(
        &mut self,
        link: LinkId,
        xid: Xid,
        op: &ReadOp,
        ids: &[Id],
        cx: &mut ClientCx<'_>,
    ) {
        let Some(known) = self.links.get(&link) else { return };
        let applied = known.shown.max(cx.db.applied().to_wire());
        let Some(session) = known.session() else { return };
        let asker = Asker { session, ids, rules: &cx.config.access };
        let limit = cx.config.bounded_replies.then_some(cx.config.jute_max_buffer);
        let most = limit.unwrap_or(cx.config.link_limit_bytes as usize);
        let answer = read(cx.db, op, asker, MultiReadLimit(most));
        if let Some((mode, path)) = answer.watch {
            self.watches.add(mode, path, link);
        }
        let behind_error = match op {
            ReadOp::Multi(MultiRead::OfWrites) => ReplyBody::MultiRead(Vec::new()),
            ReadOp::Exists { .. }
            | ReadOp::GetData { .. }
            | ReadOp::GetAcl { .. }
            | ReadOp::GetChildren { .. }
            | ReadOp::Multi(MultiRead::Reads(_))
            | ReadOp::GetEphemerals { .. }
            | ReadOp::GetAllChildrenNumber { .. }
            | ReadOp::WhoAmI => ReplyBody::Empty,
        };
        let reply = answer.reply.map_err(|code| (code, behind_error));
        self.send_reply(link, cx, |out| {
            let start = out.len();
            put_reply(out, xid, applied, reply);
            // A client with the same limit would drop its connection over it, and try again.
            if limit.is_some_and(|limit| out.len() - start > FRAME_HEADER_LEN + limit) {
                out.truncate(start);
                put_reply(out, xid, applied, Err((Code::MarshallingError, ReplyBody::Empty)));
            }
        });
    }

    fn answer_write(
        &mut self,
        link: LinkId,
        xid: Xid,
        kind: WriteKind,
        outcome: Outcome,
        cx: &mut ClientCx<'_>,
    ) {
        let Outcome { zxid, reply } = outcome;
        if matches!(reply, Err(Code::SessionMoved)) {
            return self.end(link, Close::Flush, CloseReason::SessionMoved, cx);
        }
        self.reply(link, xid, zxid.to_wire(), reply, cx);
        if kind == WriteKind::CloseSession {
            self.end(link, Close::Flush, CloseReason::Finished, cx);
        }
    }

    pub(super) fn reply(
        &mut self,
        link: LinkId,
        xid: Xid,
        zxid: i64,
        reply: Result<ReplyBody, Code>,
        cx: &mut ClientCx<'_>,
    ) {
        let reply = reply.map_err(|code| (code, ReplyBody::Empty));
        self.send_reply(link, cx, |out| put_reply(out, xid, zxid, reply));
    }

    fn send_reply(
        &mut self,
        link: LinkId,
        cx: &mut ClientCx<'_>,
        write: impl FnOnce(&mut BytesMut),
    ) {
        let bytes = self.send(link, cx, write);
        self.traffic.response_bytes += self.count_response(bytes);
    }

    pub(super) fn send_event(
        &mut self,
        link: LinkId,
        cx: &mut ClientCx<'_>,
        write: impl FnOnce(&mut BytesMut),
    ) {
        let bytes = self.send(link, cx, write);
        self.traffic.watch_bytes += self.count_response(bytes);
    }

    /// Notes the size of a frame of `bytes`; answers it without the frame's length, as it counts.
    fn count_response(&mut self, bytes: u64) -> u64 {
        let size = bytes.saturating_sub(4);
        if size > 0 {
            self.traffic.response_sizes.add(size as usize);
        }
        size
    }

    /// Sends one frame or text, and answers its length. A link that is behind already and now
    /// exceeds its cap is closed.
    pub(super) fn send(
        &mut self,
        link: LinkId,
        cx: &mut ClientCx<'_>,
        write: impl FnOnce(&mut BytesMut),
    ) -> u64 {
        let Some(known) = self.links.get_mut(&link) else { return 0 };
        let behind = known.choked;
        let bytes = cx.out.send(link, write);
        known.traffic.sent += 1;
        self.traffic.sent += 1;
        known.add_unsent(bytes, cx.config);
        if behind && known.unsent > cx.config.link_limit_bytes {
            self.end(link, Close::Abort, CloseReason::TooSlow, cx);
        }
        bytes
    }
}

/// Where identities are asked of everybody, whoever has none may still present one; a ping needs none
/// to be unwelcome. Apache: `ZooKeeperServer.processPacket`.
fn may_ask(rules: &AccessRules, ids: &[Id], parsed: &Parsed) -> bool {
    matches!(parsed, Parsed::Op(Op::Auth { .. } | Op::Sasl { .. })) || is_let_in(rules, ids)
}

/// What this server says by itself to a request that wants more than a look.
fn answered_here(
    service: Service,
    live: &Live,
    op: i32,
    parsed: &Parsed,
    config: &Config,
) -> Option<Local> {
    // Whatever its body is.
    if service == Service::ReadOnly && needs_quorum(op) {
        return Some(Local::Refused(Code::NotReadOnly));
    }
    if live.standing == Standing::Global {
        return None;
    }
    if matches!(parsed, Parsed::Op(Op::CloseSession)) {
        return Some(Local::CloseSession);
    }
    let refused = match parsed {
        Parsed::Op(op) => !config.local_sessions_upgrading && makes_ephemeral(op),
        Parsed::Malformed | Parsed::Unknown => false,
    };
    refused.then_some(Local::Refused(Code::EphemeralOnLocalSession))
}

/// Whether a node is to be made that goes with its session. Apache: `checkUpgradeSession`.
fn makes_ephemeral(op: &Op) -> bool {
    let ephemeral = |write: &WriteOp| match write {
        WriteOp::Create(create) => {
            CreateMode::from_flags(create.flags).is_some_and(CreateMode::is_ephemeral)
        }
        WriteOp::Delete { .. } | WriteOp::SetData { .. } | WriteOp::Check { .. } => false,
    };
    match op {
        Op::Write(write) => ephemeral(write),
        Op::Multi(writes) => writes.iter().any(ephemeral),
        Op::Read(_)
        | Op::Watch(_)
        | Op::SetAcl { .. }
        | Op::Reconfig(_)
        | Op::Sync { .. }
        | Op::Auth { .. }
        | Op::Sasl { .. }
        | Op::CloseSession
        | Op::Ping => false,
    }
}

/// Length in front of a frame.
const FRAME_HEADER_LEN: usize = 4;

/// An error with what stands behind it.
fn put_reply(out: &mut BytesMut, xid: Xid, zxid: i64, reply: Result<ReplyBody, (Code, ReplyBody)>) {
    match reply {
        Ok(body) => encode_reply(out, xid, zxid, Code::Ok, &body),
        Err((code, body)) => encode_reply(out, xid, zxid, code, &body),
    }
}

/// What stands in a header that tells of no transaction (trap T8).
pub(super) const NO_ZXID: i64 = -1;
