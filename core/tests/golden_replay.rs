//! The recorded exchanges of a standalone Apache ZooKeeper 3.9.5, sent to a whole server of ours: clients' bytes
//! in, clients' bytes out, its log on a disk in memory, its clock ours. Equal byte for byte but for what
//! `golden_replay/form.rs` names: session ids and passwords, times, the order of children.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, unreachable_pub)]
#[path = "cluster/harness/disk.rs"]
mod disk;
#[path = "golden_replay/form.rs"]
mod form;
#[allow(dead_code, unreachable_pub)]
#[path = "cluster/harness/rng.rs"]
mod rng;

use std::collections::BTreeMap;

use bytes::Bytes;
use vivarium_core::config::Config;
use vivarium_core::ids::{LinkId, ServerId, SessionId};
use vivarium_core::server::action::{Action, LinkAction};
use vivarium_core::server::input::{DiskInput, Far, LinkEnd, LinkInput, Plane};
use vivarium_core::server::{Input, Outbox, Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::session::password::password;
use vivarium_core::storage::ops::op_of;
use vivarium_core::time::{Mono, Span, Stamp, Wall};

use disk::Disk;
use form::{Former, Reply};

const VECTORS: &str = include_str!("golden/client-vectors.txt");
const CLOSED: &str = "   then server closed the connection";
/// What differs on purpose (DESIGN.md section 3, T2, T24), by the name of the exchange. The recording meets
/// none of it: the body of T2 in it differs in the log alone, and nothing in it is of T24.
const INTENDED: &[(&str, &str)] = &[];

/// A server with its disk and its clock.
struct Rig {
    server: Box<Server>,
    disk: Disk,
    mono: u64,
    wall: i64,
    sent: BTreeMap<u64, Vec<u8>>,
    closed: Vec<u64>,
}

fn config() -> Config {
    let mut config = Config::with_defaults(ServerId(1), None, [0; 32]);
    config.tick = Span::from_ms(1000);
    config.min_session_timeout_ms = 2000;
    config.max_session_timeout_ms = 20_000;
    config.pre_alloc_bytes = 4096;
    config.extended_types = true;
    config
}

impl Rig {
    fn boot() -> Self {
        let (mut disk, mono, wall) = (Disk::default(), 1_000_000, 1_700_000_000_000);
        let at = Stamp { mono: Mono(mono), wall: Wall(wall) };
        let mut recovery = Recovery::start(config(), at);
        let mut got = RecoveryInput::Begin;
        let (server, mut out) = loop {
            got = match recovery.next(got) {
                RecoveryStep::Disk(action) => match disk.run(&action) {
                    Some(data) => RecoveryInput::Read(data),
                    None => RecoveryInput::Done,
                },
                RecoveryStep::Progress(_) => RecoveryInput::Done,
                RecoveryStep::Done(server, out) => break (server, out),
                RecoveryStep::Refused(why) => panic!("refused: {why}"),
            };
        };
        let mut rig = Self { server, disk, mono, wall, sent: BTreeMap::new(), closed: Vec::new() };
        let actions = out.drain().collect();
        rig.carry_out(actions);
        rig.step(Input::Wake);
        rig
    }

    fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        let at = Stamp { mono: Mono(self.mono), wall: Wall(self.wall) };
        self.server.step(at, input, &mut out);
        let actions = out.drain().collect();
        self.carry_out(actions);
    }

    /// The disk is done with everything at once, in order.
    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Link(LinkAction::Send { link, bytes }) => {
                    self.sent.entry(link.0).or_default().extend_from_slice(&bytes);
                }
                Action::Link(LinkAction::Close { link, .. }) => {
                    self.closed.push(link.0);
                    self.step(Input::Link(LinkInput::Closed { link, end: LinkEnd::Closed }));
                }
                Action::Disk(action) => {
                    self.disk.run(&action);
                    let (queue, upto) = op_of(&action).expect("a server that runs reads nothing");
                    self.step(Input::Disk(DiskInput::Done { queue, upto }));
                }
                Action::Halt(why) => panic!("halt: {why:?}"),
                Action::Link(
                    LinkAction::Dial { .. } | LinkAction::Hold { .. } | LinkAction::Resume { .. },
                )
                | Action::Admin { .. }
                | Action::Note(_) => {}
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.mono += 10_000;
            self.wall += 10;
            self.step(Input::Wake);
        }
    }

    fn connect(&mut self, link: u64, greeting: &[u8]) {
        let far = Far { ip: "127.0.0.1".into(), port: 4000 };
        let opened =
            LinkInput::Opened { link: LinkId(link), dial: None, plane: Plane::Client, far };
        self.step(Input::Link(opened));
        self.bytes(link, greeting);
    }

    fn bytes(&mut self, link: u64, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.step(Input::Link(LinkInput::Bytes { link: LinkId(link), bytes }));
        // So that no two exchanges have one time.
        self.pass(10);
    }

    fn hang_up(&mut self, link: u64) {
        if !self.closed.contains(&link) {
            let link = LinkId(link);
            self.step(Input::Link(LinkInput::Closed { link, end: LinkEnd::Finished }));
        }
    }

    fn frames(&mut self, link: u64) -> Vec<Vec<u8>> {
        let bytes = self.sent.remove(&link).unwrap_or_default();
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            frames.push(rest[4..4 + len].to_vec());
            rest = &rest[4 + len..];
        }
        frames
    }
}

/// A request of the recording, and what came of it.
struct Exchange {
    name: &'static str,
    request: Vec<u8>,
    replies: Vec<Reply>,
    closed: bool,
}

#[test]
fn the_recording_replays_against_a_whole_server() {
    let (first, second) = VECTORS.split_once("# second run").expect("the file has two parts");
    let greeting = greetings();
    let mut replay = Replay { rig: Rig::boot(), former: Former::new(), link: 1, compared: 0 };
    replay.greet(&greeting[0]);
    replay.rig.connect(2, &greeting[1].0);
    assert_eq!(greeted(&replay.rig.frames(2)[0]), greeted(&greeting[1].1), "an old client");
    replay.play(&exchanges(first), &greeting[0]);
    // The sessions of the first run had ended when the second began.
    for link in 1..=replay.link {
        replay.rig.hang_up(link);
    }
    replay.rig.pass(7000);
    replay.next(&greeting[0]);
    replay.play(&exchanges(second), &greeting[0]);
    assert_eq!(replay.compared, 54, "all of the recording");
}

struct Replay {
    rig: Rig,
    former: Former,
    link: u64,
    compared: usize,
}

impl Replay {
    /// A connection greets, and is answered as it was then but for its session.
    fn greet(&mut self, (request, reply): &(Vec<u8>, Vec<u8>)) {
        self.rig.connect(self.link, request);
        let frames = self.rig.frames(self.link);
        assert_eq!(frames.len(), 1, "one answer to a greeting");
        assert_eq!(greeted(&frames[0]), greeted(reply), "a greeting");
    }

    fn next(&mut self, greeting: &(Vec<u8>, Vec<u8>)) {
        self.link = self.link.max(2) + 1;
        self.greet(greeting);
    }

    fn play(&mut self, exchanges: &[Exchange], greeting: &(Vec<u8>, Vec<u8>)) {
        for (at, exchange) in exchanges.iter().enumerate() {
            self.exchange(exchange);
            if exchange.closed {
                assert!(self.rig.closed.contains(&self.link), "{} closes", exchange.name);
                if at + 1 < exchanges.len() {
                    self.next(greeting);
                }
            }
        }
    }

    fn exchange(&mut self, exchange: &Exchange) {
        self.rig.bytes(self.link, &exchange.request);
        let ours = self.rig.frames(self.link).iter().map(|frame| Reply::of(frame)).collect();
        let op = i32::from_be_bytes(exchange.request[8..12].try_into().unwrap());
        let (theirs, ours) = self.former.both(op, &exchange.replies, ours);
        if INTENDED.iter().any(|(name, _)| *name == exchange.name) {
            assert_ne!(ours, theirs, "{}: no difference any more", exchange.name);
        } else {
            assert_eq!(ours, theirs, "{} (left: ours)", exchange.name);
            self.compared += 1;
        }
    }
}

/// What a greeting's answer says apart from who the session is. The password must be that of the session.
fn greeted(frame: &[u8]) -> (Vec<u8>, Vec<u8>, bool) {
    let session = i64::from_be_bytes(frame[8..16].try_into().unwrap());
    let right = frame[20..36] == password(SessionId(session));
    (frame[..8].to_vec(), frame[36..].to_vec(), right && session != 0)
}

/// The two greetings at the head of the file, with and without the readOnly byte, and their answers.
fn greetings() -> [(Vec<u8>, Vec<u8>); 2] {
    let lines: Vec<&str> = VECTORS.lines().filter(|line| line.starts_with("CONNECT")).collect();
    let last = |line: &str| hex(line.rsplit(' ').next().unwrap());
    let request = last(lines[0]);
    let mut old = request.clone();
    old.truncate(request.len() - 1);
    old[3] -= 1;
    [(request, last(lines[1])), (old, last(lines[2]))]
}

fn exchanges(text: &'static str) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(request) = line.strip_prefix("  > ") {
            let request = hex(request);
            all.push(Exchange { name, request, replies: Vec::new(), closed: false });
        } else if let Some(reply) = line.strip_prefix("  < ") {
            all.last_mut().expect("a reply follows its request").replies.push(recorded(reply));
        } else if line == CLOSED {
            all.last_mut().expect("a request closed it").closed = true;
        } else {
            name = line;
        }
    }
    all
}

/// `(xid, zxid, err) body`.
fn recorded(text: &str) -> Reply {
    let (header, body) = text.trim_start_matches('(').split_once(')').unwrap();
    let numbers: Vec<i64> = header.split(", ").map(|number| number.parse().unwrap()).collect();
    Reply { xid: numbers[0] as i32, zxid: numbers[1], code: numbers[2] as i32, body: hex(body) }
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim();
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    (0..text.len() / 2).map(byte).collect()
}
