//! A client of a few lines on core's own encoders.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use vivarium_core::acl::Acl;
use vivarium_core::ids::{SessionId, Xid};
use vivarium_core::wire::client::{
    ConnectRequest, ConnectResponse, Create, CreateForm, EventKind, Op, ReadOp, ReplyBody, WriteOp,
    XID_EVENT, XID_PING, decode_event, decode_reply, decode_reply_body, encode_request,
};
use vivarium_core::wire::code::Code;
use vivarium_core::wire::frame::FrameBuffer;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Reply {
        zxid: i64,
        code: Code,
        body: ReplyBody,
    },
    /// The connection broke first: it may or may not have happened.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Finished {
    pub xid: i32,
    pub op: Op,
    pub outcome: Outcome,
    pub sent_at: u64,
    pub done_at: u64,
    pub server: usize,
    pub tag: u64,
}

#[derive(Clone, Debug)]
struct Pending {
    xid: i32,
    op: Op,
    sent_at: u64,
    tag: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Apart,
    Greeting,
    Live,
    Closed,
}

#[derive(Debug)]
pub struct Client {
    pub index: usize,
    pub state: State,
    pub conn: Option<u64>,
    pub server: usize,
    pub session: Option<SessionId>,
    pub password: Bytes,
    pub timeout_ms: i32,
    /// It goes on with a server that has no quorum.
    pub read_only: bool,
    pub last_zxid: i64,
    pub expirations: u64,
    pub finished: VecDeque<Finished>,
    pub events: Vec<(EventKind, String, i64)>,
    /// Frames in order of arrival, shortly, for tests of order.
    pub heard: Vec<String>,
    pub last_sent: u64,
    pub last_heard: u64,
    next_xid: i32,
    frames: FrameBuffer,
    pending: VecDeque<Pending>,
}

impl Client {
    pub fn new(index: usize, timeout_ms: i32) -> Self {
        Self {
            index,
            state: State::Apart,
            conn: None,
            server: 0,
            session: None,
            password: Bytes::new(),
            timeout_ms,
            read_only: false,
            last_zxid: 0,
            expirations: 0,
            finished: VecDeque::new(),
            events: Vec::new(),
            heard: Vec::new(),
            last_sent: 0,
            last_heard: 0,
            next_xid: 1,
            frames: FrameBuffer::new(),
            pending: VecDeque::new(),
        }
    }

    pub fn outstanding(&self) -> usize {
        self.pending.len()
    }

    pub fn greet(&mut self, now: u64) -> Bytes {
        self.state = State::Greeting;
        self.frames = FrameBuffer::new();
        self.last_heard = now;
        self.last_sent = now;
        let mut out = BytesMut::new();
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            session: self.session,
            password: self.password.clone(),
            read_only: Some(self.read_only),
        }
        .encode(&mut out);
        out.freeze()
    }

    pub fn request(&mut self, op: Op, tag: u64, now: u64) -> Bytes {
        let xid = self.next_xid;
        self.next_xid += 1;
        let mut out = BytesMut::new();
        encode_request(&mut out, Xid(xid), &op);
        self.pending.push_back(Pending { xid, op, sent_at: now, tag });
        self.last_sent = now;
        out.freeze()
    }

    pub fn ping(&mut self, now: u64) -> Bytes {
        let mut out = BytesMut::new();
        encode_request(&mut out, XID_PING, &Op::Ping);
        self.last_sent = now;
        out.freeze()
    }

    /// The connection is gone.
    pub fn broken(&mut self, now: u64) {
        self.conn = None;
        let closing = self.pending.iter().any(|pending| pending.op == Op::CloseSession);
        self.state =
            if closing || self.state == State::Closed { State::Closed } else { State::Apart };
        for pending in std::mem::take(&mut self.pending) {
            self.finish(pending, Outcome::Unknown, now);
        }
    }

    fn finish(&mut self, pending: Pending, outcome: Outcome, now: u64) {
        let Pending { xid, op, sent_at, tag } = pending;
        let server = self.server;
        self.finished.push_back(Finished { xid, op, outcome, sent_at, done_at: now, server, tag });
    }

    /// False when the server refused this client and it should leave.
    pub fn on_bytes(&mut self, bytes: Bytes, now: u64) -> bool {
        self.last_heard = now;
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next_frame(1 << 24).expect("servers frame well") {
            if self.state == State::Greeting {
                if !self.on_greeting(frame) {
                    return false;
                }
            } else {
                self.on_frame(frame, now);
            }
        }
        true
    }

    fn on_greeting(&mut self, frame: Bytes) -> bool {
        let response = ConnectResponse::decode(frame).expect("a ConnectResponse");
        match response.session {
            Some(session) => {
                assert!(self.session.is_none_or(|known| known == session), "session changed");
                self.session = Some(session);
                self.password = Bytes::copy_from_slice(&response.password);
                self.state = State::Live;
                let how = if response.read_only == Some(true) { " to read" } else { "" };
                self.heard.push(format!("connected{how}"));
                true
            }
            None => {
                self.session = None;
                self.password = Bytes::new();
                self.expirations += 1;
                self.heard.push("expired".into());
                false
            }
        }
    }

    fn on_frame(&mut self, frame: Bytes, now: u64) {
        let (header, body) = decode_reply(frame).expect("a reply");
        if header.xid == XID_PING {
            return;
        }
        if header.xid == XID_EVENT {
            let (kind, path) = decode_event(body).expect("an event");
            self.heard.push(format!("event {kind:?} {path}"));
            self.events.push((kind, path, header.zxid));
            return;
        }
        let pending = self.pending.pop_front().expect("a reply answers a request");
        assert_eq!(pending.xid, header.xid.0, "replies come in the order of the requests");
        if header.zxid > 0 {
            assert!(header.zxid >= self.last_zxid, "a session never sees an older state");
            self.last_zxid = header.zxid;
        }
        let (zxid, code) = (header.zxid, header.code);
        let body = match code {
            Code::Ok => decode_reply_body(pending.op.code(), body).expect("a reply body"),
            _ => ReplyBody::Empty,
        };
        self.heard.push(format!("reply {} {code:?}", pending.xid));
        if pending.op == Op::CloseSession {
            self.state = State::Closed;
        }
        self.finish(pending, Outcome::Reply { zxid, code, body }, now);
    }
}

pub fn create(path: &str, data: &str, flags: i32) -> Op {
    Op::Write(WriteOp::Create(Create {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        acl: Some(open_acl()),
        flags,
        form: CreateForm::Plain,
    }))
}

pub fn set(path: &str, data: &str) -> Op {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Op::Write(WriteOp::SetData { path: path.into(), data, version: -1 })
}

pub fn delete(path: &str) -> Op {
    Op::Write(WriteOp::Delete { path: path.into(), version: -1 })
}

pub fn get(path: &str, watch: bool) -> Op {
    Op::Read(ReadOp::GetData { path: path.into(), watch })
}

pub fn children(path: &str) -> Op {
    Op::Read(ReadOp::GetChildren { path: path.into(), watch: false, with_stat: false })
}

pub fn sync(path: &str) -> Op {
    Op::Sync { path: path.into() }
}

fn open_acl() -> Vec<Acl> {
    vec![Acl {
        perms: 31,
        id: vivarium_core::acl::Id { scheme: "world".into(), id: "anyone".into() },
    }]
}

/// The data that a reply carries.
pub fn data_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Reply { body: ReplyBody::Data { data: Some(data), .. }, .. } => {
            Some(String::from_utf8_lossy(data).into_owned())
        }
        _ => None,
    }
}

pub fn code_of(outcome: &Outcome) -> Option<Code> {
    match outcome {
        Outcome::Reply { code, .. } => Some(*code),
        Outcome::Unknown => None,
    }
}
