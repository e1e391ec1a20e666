//! One standalone server whose disk is quick, and clients that speak bytes.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use vivarium_core::config::Config;
use vivarium_core::ids::{LinkId, ServerId};
use vivarium_core::server::action::{Action, DiskAction, Halt, LinkAction};
use vivarium_core::server::input::{DiskInput, Far, Input, LinkEnd, LinkInput, Plane};
use vivarium_core::server::outbox::Outbox;
use vivarium_core::server::{Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::storage::ops::op_of;
use vivarium_core::time::{Mono, Span, Stamp, Wall};
use vivarium_core::wire::jute::Reader;

use crate::disk::Disk;

/// Of the sessions that the rig opens.
pub(crate) const TIMEOUT_MS: i32 = 4000;

/// A frame of the server, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) xid: i32,
    pub(crate) zxid: i64,
    pub(crate) err: i32,
    pub(crate) body: Bytes,
}

/// What a new session, or one that was taken up again, is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) timeout_ms: i32,
    pub(crate) session: i64,
    pub(crate) password: Bytes,
    pub(crate) len: usize,
}

pub(crate) struct Rig {
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    server: Box<Server>,
    now_ms: u64,
    sent: BTreeMap<u64, BytesMut>,
    closed: Vec<u64>,
    next_link: u64,
}

pub(crate) fn config() -> Config {
    let mut config = Config::with_defaults(ServerId(1), None, [7; 32]);
    config.tick = Span::from_ms(1000);
    config.min_session_timeout_ms = 2000;
    config.max_session_timeout_ms = 20_000;
    config
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(config(), Disk::default())
    }

    pub(crate) fn with(config: Config, mut disk: Disk) -> Self {
        let now_ms = 1000;
        let server = start(&config, &mut disk, stamp(now_ms));
        let (sent, closed) = (BTreeMap::new(), Vec::new());
        let mut rig = Self { config, disk, server, now_ms, sent, closed, next_link: 1 };
        rig.step(Input::Wake);
        rig
    }

    /// As after a crash: what was written is there.
    pub(crate) fn restart(self) -> Self {
        Self::with(self.config, self.disk)
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        const STEP_MS: u64 = 100;
        for _ in 0..ms / STEP_MS {
            self.now_ms += STEP_MS;
            self.step(Input::Wake);
        }
    }

    pub(crate) fn applied(&self) -> u64 {
        self.server.view().applied.expect("a standalone server has a history").0
    }

    pub(crate) fn open(&mut self) -> u64 {
        let link = self.next_link;
        self.next_link += 1;
        let far = Far { ip: "10.0.0.1".into(), port: 4000 };
        let (link_id, plane) = (LinkId(link), Plane::Client);
        self.step(Input::Link(LinkInput::Opened { link: link_id, dial: None, plane, far }));
        link
    }

    /// Opens a link, and a session on it.
    pub(crate) fn session(&mut self) -> (u64, Granted) {
        let link = self.open();
        let granted = self.connect(link, &connect(0, &[0; 16], 0, true));
        (link, granted.expect("a session is granted"))
    }

    /// `None`: closed without an answer.
    pub(crate) fn connect(&mut self, link: u64, request: &[u8]) -> Option<Granted> {
        self.bytes(link, &framed(request));
        let frame = self.frames(link).pop()?;
        let mut reader = Reader::new(frame.clone());
        let _version = reader.i32().unwrap();
        Some(Granted {
            timeout_ms: reader.i32().unwrap(),
            session: reader.i64().unwrap(),
            password: reader.buffer().unwrap().unwrap(),
            len: frame.len(),
        })
    }

    pub(crate) fn bytes(&mut self, link: u64, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.step(Input::Link(LinkInput::Bytes { link: LinkId(link), bytes }));
    }

    /// Sends a request, and takes all that came back, events first.
    pub(crate) fn all(&mut self, link: u64, xid: i32, op: i32, body: &[u8]) -> Vec<Reply> {
        let mut request = BytesMut::new();
        request.put_i32(xid);
        request.put_i32(op);
        request.put_slice(body);
        self.bytes(link, &framed(&request));
        self.replies(link)
    }

    /// The one reply to a request.
    pub(crate) fn ask(&mut self, link: u64, op: i32, body: &[u8]) -> Reply {
        let replies = self.all(link, 77, op, body);
        let [reply] = &replies[..] else { panic!("one reply is due: {replies:?}") };
        assert_eq!(reply.xid, 77);
        reply.clone()
    }

    pub(crate) fn replies(&mut self, link: u64) -> Vec<Reply> {
        let reply = |frame| {
            let mut reader = Reader::new(frame);
            Reply {
                xid: reader.i32().unwrap(),
                zxid: reader.i64().unwrap(),
                err: reader.i32().unwrap(),
                body: reader.into_rest(),
            }
        };
        self.frames(link).into_iter().map(reply).collect()
    }

    pub(crate) fn is_closed(&self, link: u64) -> bool {
        self.closed.contains(&link)
    }

    fn frames(&mut self, link: u64) -> Vec<Bytes> {
        let mut reader = Reader::new(self.sent.remove(&link).unwrap_or_default().freeze());
        let mut frames = Vec::new();
        while reader.remaining() > 0 {
            frames.push(reader.buffer().unwrap().unwrap());
        }
        frames
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Outbox::new();
            self.server.step(stamp(self.now_ms), input, &mut out);
            let actions: Vec<Action> = out.drain().collect();
            let mut done = [None, None];
            for action in actions {
                match action {
                    Action::Link(action) => inputs.extend(self.on_link(action)),
                    Action::Disk(action) => match (&action, self.disk.run(&action)) {
                        (DiskAction::Read { read, .. } | DiskAction::List { read, .. }, data) => {
                            let (read, result) = (*read, Ok(data.expect("reads answer")));
                            inputs.push(Input::Disk(DiskInput::ReadDone { read, result }));
                        }
                        (write, _) => {
                            let (queue, op) = op_of(write).expect("all others are queued");
                            done[queue as usize] = Some((queue, op));
                        }
                    },
                    Action::Halt(halt @ (Halt::Stop | Halt::Restart(_) | Halt::Fatal(_))) => {
                        panic!("it ended: {halt:?}")
                    }
                    Action::Note(_) | Action::Admin { .. } => {}
                }
            }
            for (queue, upto) in done.into_iter().flatten() {
                inputs.push(Input::Disk(DiskInput::Done { queue, upto }));
            }
        }
    }

    fn on_link(&mut self, action: LinkAction) -> Option<Input> {
        match action {
            LinkAction::Send { link, bytes } => {
                self.sent.entry(link.0).or_default().extend_from_slice(&bytes);
                let bytes = bytes.len() as u64;
                Some(Input::Link(LinkInput::Sent { link, bytes }))
            }
            LinkAction::Close { link, .. } => {
                self.closed.push(link.0);
                let end = LinkEnd::Closed;
                Some(Input::Link(LinkInput::Closed { link, end }))
            }
            LinkAction::Hold { .. } | LinkAction::Resume { .. } => None,
            LinkAction::Dial { .. } => panic!("a standalone server calls nobody"),
        }
    }
}

fn start(config: &Config, disk: &mut Disk, at: Stamp) -> Box<Server> {
    let mut recovery = Recovery::start(config.clone(), at);
    let mut got = RecoveryInput::Begin;
    loop {
        got = match recovery.next(got) {
            RecoveryStep::Disk(action) => {
                disk.run(&action).map_or(RecoveryInput::Done, RecoveryInput::Read)
            }
            RecoveryStep::Progress(_) => RecoveryInput::Done,
            RecoveryStep::Done(server, mut out) => {
                out.drain().for_each(drop);
                return server;
            }
            RecoveryStep::Refused(reason) => panic!("it does not start: {reason}"),
        };
    }
}

fn stamp(ms: u64) -> Stamp {
    let wall = Wall(1_700_000_000_000 + ms as i64);
    Stamp { mono: Mono::default() + Span::from_ms(ms), wall }
}

pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_i32(payload.len() as i32);
    frame.put_slice(payload);
    frame.into()
}

/// A connect request as ZooKeeper's clients of today send it, or without their last byte.
pub(crate) fn connect(session: i64, password: &[u8], last_seen: i64, read_only: bool) -> Vec<u8> {
    let mut request = BytesMut::new();
    request.put_i32(0);
    request.put_i64(last_seen);
    request.put_i32(TIMEOUT_MS);
    request.put_i64(session);
    buffer(&mut request, Some(password));
    if read_only {
        request.put_u8(0);
    }
    request.into()
}

pub(crate) fn buffer(out: &mut BytesMut, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return out.put_i32(-1) };
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}
