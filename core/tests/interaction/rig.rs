//! A server of which every input is a command and every action a line.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use vivarium_core::acl::Acl;
use vivarium_core::config::FirstStart;
use vivarium_core::ids::{DialId, Epoch, LinkId, ServerId, SessionId, Xid, Zxid};
use vivarium_core::server::action::{Action, DiskAction, LinkAction};
use vivarium_core::server::input::{
    DialError, DiskFault, DiskInput, Far, LinkEnd, LinkInput, Plane, Queue,
};
use vivarium_core::server::note::{LocalChange, Note};
use vivarium_core::server::{Input, Outbox, Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::session::password::password;
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::storage::ops::{DiskIds, op_of};
use vivarium_core::time::{Mono, Stamp, Wall};
use vivarium_core::tree::{Database, Walk};
use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};
use vivarium_core::wire::client::{OP_CREATE_SESSION, Op, ReplyBody, encode_request};
use vivarium_core::wire::frame::{PacketBuffer, VoteBuffer};
use vivarium_core::wire::quorum::{
    ForwardedRequest, LeaderPacket, LearnerInfo, LearnerPacket, VivariumInfo,
};
use vivarium_core::wire::vote::{InitialMessage, Notification, PeerState};

use crate::client::{self, Client, Outcome};
use crate::disk::Disk;
use crate::setup;

/// The far side of a link, as far as it must be to read what the server sends.
enum FarSide {
    Voter {
        greeted: bool,
        buffer: VoteBuffer,
    },
    /// `in_snapshot`: the raw stream behind SNAP is on its way.
    Learner {
        in_snapshot: bool,
        buffer: PacketBuffer,
    },
    Leader(PacketBuffer),
    Client(Box<Client>),
    /// It asks with four letters; the lines of the answer that begin so are of interest.
    Operator,
}

pub(crate) struct Rig {
    server: Option<Box<Server>>,
    disk: Disk,
    queues: [VecDeque<DiskAction>; 2],
    /// Reads that wait for `reads go`; `None`: each is answered at once.
    slow_reads: Option<Vec<DiskAction>>,
    now: u64,
    far: BTreeMap<u64, FarSide>,
    last_dial: Option<DialId>,
    /// The newest session that the server asked its leader for.
    asked_session: Option<SessionId>,
    /// Sessions that clients were given, of all lives of the server.
    given: BTreeSet<SessionId>,
    said: Vec<String>,
}

/// Words of a command line, `key=value` apart.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn parse(line: &'a str) -> Self {
        let (named, plain): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        let named = named.into_iter().filter_map(|word| word.split_once('=')).collect();
        Self { plain, named }
    }

    fn number(&self, at: usize) -> u64 {
        self.plain[at].parse().expect("a number")
    }

    fn named(&self, key: &str, default: u64) -> u64 {
        self.named.get(key).map_or(default, |text| text.parse().expect("a number"))
    }
}

fn zxid(text: &str) -> Zxid {
    let (epoch, counter) = text.split_once(':').expect("a zxid is epoch:counter");
    Zxid::new(Epoch(epoch.parse().expect("epoch")), counter.parse().expect("counter"))
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            server: None,
            disk: Disk::default(),
            queues: Default::default(),
            slow_reads: None,
            now: 1_000_000,
            far: BTreeMap::new(),
            last_dial: None,
            asked_session: None,
            given: BTreeSet::new(),
            said: Vec::new(),
        }
    }

    pub(crate) fn take_said(&mut self) -> String {
        std::mem::take(&mut self.said).join("\n")
    }

    pub(crate) fn command(&mut self, line: &str) {
        let words = Words::parse(line);
        match words.plain[0] {
            "boot" => self.boot(&words),
            "quiet" => self.said.clear(),
            "voter" => self.voter(words.number(1), words.number(2)),
            "vote" => self.vote(&words),
            "dialled" => self.dialled(words.number(1)),
            "refused" => self.refused(),
            "leader" => self.leader_says(&words),
            "part" => self.leader_begins(words.number(1), words.number(2) as usize),
            "learner" => self.learner_says(&words),
            "snap" => self.snap(words.number(1), zxid(words.plain[2]), words.plain.len() > 3),
            "rename" => self.rename(words.plain[1], words.plain[2]),
            "damage" => self.damage(words.plain[1], words.number(2) as usize),
            "client" => self.connect(&words),
            "ask" => self.ask(&words),
            "word" => self.word(words.number(1), words.plain[2]),
            "close" => {
                let link = LinkId(words.number(1));
                self.link(LinkInput::Closed { link, end: LinkEnd::Reset });
            }
            "disk" => self.complete(&words),
            "fail" => self.fail(words.plain[1]),
            "reads" => self.reads(words.plain[1]),
            "wait" => self.wait(words.number(1)),
            "files" => self.files(),
            "stop" => self.step(Input::Stop),
            other => panic!("no command is called {other}"),
        }
    }

    // ---- commands ----

    fn boot(&mut self, words: &Words<'_>) {
        self.queues = Default::default();
        self.slow_reads = None;
        self.far.clear();
        let servers = words.named("servers", 0);
        let ensemble = (servers > 0).then(|| setup::ensemble(servers, words.named("observers", 0)));
        let mut config = setup::config(words.named("me", 1), ensemble);
        config.first_start = FirstStart::AutoCreate;
        config.full_digest = false;
        config.commit_log_count = words.named("window", 50) as usize;
        let limit = words.named("limit", config.zxid_counter_limit.into());
        config.zxid_counter_limit = u32::try_from(limit).expect("a counter");
        config.snap_count = words.named("snapshots", config.snap_count);
        config.local_sessions = words.named("local", 0) > 0;
        config.local_sessions_upgrading = words.named("local", 0) > 1;
        config.read_only_mode = words.named("readonly", 0) > 0;
        config.four_letter_words = vivarium_core::config::Words::All;
        let mut recovery = Recovery::start(config, self.stamp());
        let mut input = RecoveryInput::Begin;
        let mut out = loop {
            input = match recovery.next(input) {
                RecoveryStep::Disk(action) => match self.disk.run(&action) {
                    Some(data) => RecoveryInput::Read(data),
                    None => RecoveryInput::Done,
                },
                RecoveryStep::Progress(_) => RecoveryInput::Done,
                RecoveryStep::Done(server, out) => {
                    self.server = Some(server);
                    break out;
                }
                RecoveryStep::Refused(why) => panic!("refused: {why}"),
            };
        };
        out.drain().for_each(drop);
        self.step(Input::Wake);
    }

    fn files(&mut self) {
        let files = self.disk.list(Dir::Data);
        self.said.extend(files.into_iter().map(|file| file.name));
    }

    /// One byte of a file rots.
    fn damage(&mut self, name: &str, at: usize) {
        let file = FileName::new(Dir::Data, name);
        let content = self.disk.content(&file).expect("the file is there");
        let bytes = Bytes::from(vec![content[at] ^ 1]);
        self.disk.run(&DiskIds::new().write(Queue::Log, file, at as u64, bytes));
    }

    /// A snapshot under the name of an older zxid than the one that it was finished at is what Apache
    /// writes while changes go on.
    fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (FileName::new(Dir::Data, from), FileName::new(Dir::Data, to));
        self.disk.run(&DiskIds::new().rename(Queue::Snap, from, to));
    }

    fn open(&mut self, id: u64, dial: Option<DialId>, plane: Plane) {
        let far = Far { ip: format!("10.0.0.{id}"), port: 4000 };
        self.link(LinkInput::Opened { link: LinkId(id), dial, plane, far });
    }

    /// A voter with a higher id connects for elections.
    fn voter(&mut self, id: u64, from: u64) {
        self.far.insert(id, FarSide::Voter { greeted: true, buffer: VoteBuffer::new() });
        self.open(id, None, Plane::Election);
        let mut out = BytesMut::new();
        let from = ServerId(from);
        InitialMessage { from, address: format!("s{from}:3888") }.encode(&mut out);
        self.bytes(id, out);
    }

    fn vote(&mut self, words: &Words<'_>) {
        let state = match words.named.get("state") {
            Some(&"leading") => PeerState::Leading,
            Some(&"following") => PeerState::Following,
            Some(_) | None => PeerState::Looking,
        };
        let mut out = BytesMut::new();
        Notification {
            state,
            leader: Some(ServerId(words.number(2))),
            zxid: Some(words.named.get("zxid").map_or(Zxid::ZERO, |text| zxid(text))),
            round: words.named("round", 1) as i64,
            peer_epoch: Some(Epoch(words.named("epoch", 0) as u32)),
            version: 2,
            config: None,
        }
        .encode(&mut out);
        self.bytes(words.number(1), out);
    }

    /// The server's newest attempt to reach a leader succeeds.
    fn dialled(&mut self, id: u64) {
        let dial = self.last_dial.take();
        assert!(dial.is_some(), "the server dials nobody");
        self.far.insert(id, FarSide::Leader(PacketBuffer::new()));
        self.open(id, dial, Plane::Quorum);
    }

    /// Nobody listens where the server dialled.
    fn refused(&mut self) {
        let dial = self.last_dial.take().expect("the server dials somebody");
        self.link(LinkInput::DialFailed { dial, why: DialError::Refused });
    }

    /// `leader 10 COMMIT 1:1 + SYNC`: what `+` joins arrives in one chunk.
    fn leader_says(&mut self, words: &Words<'_>) {
        let mut out = BytesMut::new();
        for packet in words.plain[2..].split(|word| *word == "+") {
            self.leader_packet(packet).encode(&mut out);
        }
        self.bytes(words.number(1), out);
    }

    /// All but the last byte of a PROPOSAL with so many bytes of payload.
    fn leader_begins(&mut self, id: u64, payload: usize) {
        let (zxid, payload) = (Zxid(1 << 32 | 1), Bytes::from(vec![0; payload]));
        let mut out = BytesMut::new();
        LeaderPacket::Proposal { zxid, payload }.encode(&mut out);
        out.truncate(out.len() - 1);
        self.bytes(id, out);
    }

    /// A packet of a leader from its words.
    fn leader_packet(&self, words: &[&str]) -> LeaderPacket {
        let arg = words.get(1).copied().unwrap_or("0:0");
        let epoch = || Epoch(arg.parse().expect("an epoch"));
        match words[0] {
            "LEADERINFO" => {
                let vivarium = words.get(2) != Some(&"apache");
                LeaderPacket::LeaderInfo { epoch: epoch(), vivarium }
            }
            "NEWLEADER" => LeaderPacket::NewLeader { epoch: epoch(), config: None },
            "DIFF" => LeaderPacket::Diff { upto: zxid(arg) },
            "TRUNC" => LeaderPacket::Trunc { upto: zxid(arg) },
            "PROPOSAL" => LeaderPacket::Proposal { zxid: zxid(arg), payload: payload(zxid(arg)) },
            // It names another zxid than its transaction.
            "FORGED" => {
                let other = zxid(arg).next().expect("a small counter");
                LeaderPacket::Proposal { zxid: zxid(arg), payload: payload(other) }
            }
            "SESSION" => {
                let session = self.asked_session.expect("the server asked for a session");
                let payload = new_session(zxid(arg), session);
                LeaderPacket::Proposal { zxid: zxid(arg), payload }
            }
            "COMMIT" => LeaderPacket::Commit { zxid: zxid(arg) },
            "UPTODATE" => LeaderPacket::UpToDate,
            "PING" => LeaderPacket::Ping { zxid: zxid(arg).to_wire() },
            "SYNC" => LeaderPacket::Sync,
            other => panic!("no leader says {other}"),
        }
    }

    fn learner_says(&mut self, words: &Words<'_>) {
        let id = words.number(1);
        let arg = words.plain.get(3).copied().unwrap_or("0:0");
        let packet = match words.plain[2] {
            which @ ("FOLLOWERINFO" | "OBSERVERINFO") => {
                let buffer = PacketBuffer::new();
                self.far.insert(id, FarSide::Learner { in_snapshot: false, buffer });
                self.open(id, None, Plane::Quorum);
                let server = Some(ServerId(words.named("id", 2)));
                let vivarium = words.named.get("vivarium").map(|text| VivariumInfo {
                    blank: *text == "blank",
                    uncuttable: *text == "uncuttable",
                });
                let config_version = words.named("config", 0) as i64;
                let info =
                    LearnerInfo { server, protocol_version: 0x10000, config_version, vivarium };
                let accepted = Epoch(arg.parse().expect("epoch"));
                match which {
                    "OBSERVERINFO" => LearnerPacket::ObserverInfo { accepted, info },
                    _ => LearnerPacket::FollowerInfo { accepted, info },
                }
            }
            "ACKEPOCH" => LearnerPacket::AckEpoch {
                last_logged: Some(zxid(arg)),
                // Bound: the epoch was accepted from another leader before.
                current: (words.named("bound", 0) == 0)
                    .then(|| Epoch(words.named("current", 0) as u32)),
            },
            "ACK" => LearnerPacket::Ack { zxid: zxid(arg) },
            "REVALIDATE" => {
                let session = SessionId(words.named("session", 0) as i64);
                LearnerPacket::Revalidate { session, timeout_ms: 4000 }
            }
            "PING" => LearnerPacket::Ping { zxid: zxid(arg).to_wire(), touched: Vec::new() },
            // A session of its own, or that of the server it names.
            "CREATE" | "EPHEMERAL" | "OPEN" | "END" => {
                let server = words.named("of", 2) << 56;
                let session = SessionId((server + words.named("session", 1)) as i64);
                LearnerPacket::Request(forwarded(words.plain[2], session, arg))
            }
            other => panic!("no learner says {other}"),
        };
        let mut out = BytesMut::new();
        packet.encode(&mut out);
        self.bytes(id, out);
    }

    /// An empty tree as a leader's snapshot of `zxid`; `cut`: its end stays away.
    fn snap(&mut self, id: u64, zxid: Zxid, cut: bool) {
        let mut out = BytesMut::new();
        LeaderPacket::Snap { zxid, fuzzy: false }.encode(&mut out);
        let mut database = Database::new(false);
        database.begin_walk(usize::MAX);
        while database.walk(usize::MAX, &mut out) == Walk::More {}
        out.put_i32(10);
        out.put_slice(SIGNATURE);
        if cut {
            out.truncate(out.len() - SIGNATURE.len());
        }
        self.bytes(id, out);
    }

    fn word(&mut self, id: u64, word: &str) {
        self.far.insert(id, FarSide::Operator);
        self.open(id, None, Plane::Client);
        self.bytes(id, BytesMut::from(word.as_bytes()));
    }

    /// `client 30`, `client 30 session=5`: it comes back with that one; `client 31 as=30`: with the session
    /// of the other.
    fn connect(&mut self, words: &Words<'_>) {
        let id = words.number(1);
        let mut far = Box::new(Client::new(0, words.named("timeout", 4000) as i32));
        far.read_only = words.named("readonly", 0) > 0;
        let session = words.named("session", 0);
        let session = match self.far.get(&words.named("as", 0)) {
            Some(FarSide::Client(other)) => other.session,
            Some(_) | None => (session > 0).then_some(SessionId(session as i64)),
        };
        if let Some(session) = session {
            far.session = Some(session);
            far.password = Bytes::copy_from_slice(&password(session));
        }
        let hello = far.greet(0);
        self.far.insert(id, FarSide::Client(far));
        self.open(id, None, Plane::Client);
        self.bytes(id, BytesMut::from(&hello[..]));
    }

    fn ask(&mut self, words: &Words<'_>) {
        let id = words.number(1);
        let path = words.plain.get(3).copied().unwrap_or("/");
        let op = match words.plain[2] {
            "create" => client::create(path, "x", 0),
            "ephemeral" => client::create(path, "x", 1),
            "multi" => {
                let Op::Write(write) = client::create(path, "x", 1) else {
                    unreachable!("a write")
                };
                Op::Multi(vec![write])
            }
            "set" => client::set(path, "y"),
            "get" => client::get(path, false),
            "watch" => client::get(path, true),
            "sync" => client::sync(path),
            "close" => Op::CloseSession,
            other => panic!("no client asks {other}"),
        };
        let Some(FarSide::Client(far)) = self.far.get_mut(&id) else { panic!("no client {id}") };
        let bytes = far.request(op, 0, 0);
        self.bytes(id, BytesMut::from(&bytes[..]));
    }

    /// `disk log` completes the whole queue, `disk log 2` two operations of it.
    fn complete(&mut self, words: &Words<'_>) {
        let queue = queue(words.plain[1]);
        let all = self.queues[queue as usize].len();
        let count = words.plain.get(2).map_or(all, |text| text.parse().expect("a number"));
        let mut upto = None;
        for _ in 0..count {
            let action = self.queues[queue as usize].pop_front().expect("a queued operation");
            self.disk.run(&action);
            upto = op_of(&action).map(|(_, op)| op);
        }
        let Some(upto) = upto else {
            self.said.push("(nothing is queued)".into());
            return;
        };
        self.step(Input::Disk(DiskInput::Done { queue, upto }));
    }

    fn fail(&mut self, which: &str) {
        let queue = queue(which);
        let action = self.queues[queue as usize].pop_front().expect("a queued operation");
        let (_, op) = op_of(&action).expect("queues hold writes");
        self.step(Input::Disk(DiskInput::Failed { queue, op, fault: DiskFault::Io }));
    }

    /// `reads wait`: the disk is slow to read; `reads go`: it answers what was asked meanwhile.
    fn reads(&mut self, how: &str) {
        match how {
            "wait" => self.slow_reads = Some(Vec::new()),
            "go" => {
                let asked = self.slow_reads.take().unwrap_or_default();
                asked.into_iter().for_each(|action| self.answer_read(action));
            }
            other => panic!("reads cannot {other}"),
        }
    }

    /// Time passes, one deadline at a time.
    fn wait(&mut self, ms: u64) {
        let end = self.now + ms * 1000;
        loop {
            let due = self.server.as_ref().and_then(|server| server.deadline());
            let Some((at, _)) = due.filter(|(at, _)| at.0 <= end) else { break };
            self.now = at.0.max(self.now + 1);
            self.step(Input::Wake);
        }
        self.now = end.max(self.now);
        self.step(Input::Wake);
    }

    // ---- the server ----

    fn stamp(&self) -> Stamp {
        Stamp { mono: Mono(self.now), wall: Wall(1_600_000_000_000) }
    }

    fn link(&mut self, input: LinkInput) {
        self.step(Input::Link(input));
    }

    fn bytes(&mut self, id: u64, bytes: BytesMut) {
        self.link(LinkInput::Bytes { link: LinkId(id), bytes: bytes.freeze() });
    }

    fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        let stamp = self.stamp();
        self.server.as_mut().expect("a booted server").step(stamp, input, &mut out);
        let actions: Vec<Action> = out.drain().collect();
        for action in actions {
            self.hear(action);
        }
    }

    fn hear(&mut self, action: Action) {
        match action {
            Action::Link(LinkAction::Dial { dial, plane, host, .. }) => {
                if plane == Plane::Quorum {
                    self.last_dial = Some(dial);
                    self.said.push(format!("dial {host} for the quorum"));
                }
            }
            Action::Link(LinkAction::Send { link, bytes }) => self.decode(link, bytes),
            Action::Link(LinkAction::Hold { link }) => self.said.push(format!("hold {link}")),
            Action::Link(LinkAction::Resume { link }) => self.said.push(format!("resume {link}")),
            Action::Link(LinkAction::Close { link, why, .. }) => {
                self.said.push(format!("close {link} {why:?}"));
            }
            Action::Disk(action) => self.queue(action),
            Action::Admin { answer, .. } => self.said.push(answer),
            Action::Halt(halt) => self.said.push(format!("halt {halt:?}")),
            Action::Note(note) => self.note(&note),
        }
    }

    fn queue(&mut self, action: DiskAction) {
        let text = match &action {
            DiskAction::Write { file, .. } => format!("write {}", file.name),
            DiskAction::SetLen { file, .. } => format!("set_len {}", file.name),
            DiskAction::SyncFile { file, .. } => format!("sync {}", file.name),
            DiskAction::Rename { to, .. } => format!("rename to {}", to.name),
            DiskAction::SyncDir { .. } => "sync folder".into(),
            DiskAction::Remove { file, .. } => format!("remove {}", file.name),
            DiskAction::Read { file, .. } => format!("read {}", file.name),
            DiskAction::List { .. } => "list".into(),
        };
        match op_of(&action) {
            Some((queue, _)) => {
                self.said.push(format!("{queue:?}: {text}").to_lowercase());
                self.queues[queue as usize].push_back(action);
            }
            None => {
                self.said.push(text);
                match &mut self.slow_reads {
                    Some(asked) => asked.push(action),
                    None => self.answer_read(action),
                }
            }
        }
    }

    fn answer_read(&mut self, action: DiskAction) {
        let data = self.disk.run(&action).expect("reads answer");
        let (DiskAction::Read { read, .. } | DiskAction::List { read, .. }) = action else {
            unreachable!("only reads have no queue")
        };
        self.step(Input::Disk(DiskInput::ReadDone { read, result: Ok(data) }));
    }

    /// Only what shows in no other action.
    #[allow(clippy::wildcard_enum_match_arm)]
    fn note(&mut self, note: &Note) {
        match note {
            Note::PhaseEntered { .. }
            | Note::Elected { .. }
            | Note::Established { .. }
            | Note::AckedTxn { .. }
            | Note::AckedNewLeader { .. }
            | Note::Committed { .. }
            | Note::Serving { .. }
            | Note::ServingReadOnly { .. }
            | Note::SnapInstalled { .. }
            | Note::Truncated { .. }
            | Note::Disowned { .. }
            | Note::Uncuttable { .. } => {
                let text = format!("{note:?}");
                let text = text.split(", digest").next().unwrap_or("");
                self.said.push(format!("note {text}"));
            }
            Note::SessionExpired { idle_ms, timeout_ms, .. } => {
                self.said.push(format!("note SessionExpired after {idle_ms} of {timeout_ms} ms"));
            }
            Note::LocalSession { change: LocalChange::Touched, .. } => {}
            Note::LocalSession { change, .. } => {
                self.said.push(format!("note LocalSession {change:?}"));
            }
            Note::Applied { zxid, .. } => self.said.push(format!("note Applied {zxid:?}")),
            _ => {}
        }
    }

    fn decode(&mut self, link: LinkId, bytes: Bytes) {
        let mut lines = Vec::new();
        match self.far.get_mut(&link.0).unwrap_or_else(|| panic!("nobody at {link}")) {
            FarSide::Voter { greeted, buffer } => {
                buffer.push(bytes);
                if !*greeted {
                    *greeted = buffer.next_initial().expect("initial message").is_some();
                }
                while let Some(message) = buffer.next_message().expect("a message") {
                    let said = Notification::decode(message).expect("a notification");
                    let leader = said.leader.map_or(0, |leader| leader.0);
                    let vote = match said.zxid {
                        Some(_) => format!("for {leader}"),
                        None => "without a vote".into(),
                    };
                    lines.push(format!("{:?} {vote}, round {}", said.state, said.round));
                }
            }
            FarSide::Learner { in_snapshot, buffer } => {
                buffer.push(bytes);
                loop {
                    if *in_snapshot {
                        *in_snapshot = !skip_snapshot(buffer);
                    }
                    if *in_snapshot {
                        break;
                    }
                    let packet = buffer.next_leader_packet(1 << 20).expect("a packet");
                    let Some(packet) = packet else { break };
                    lines.push(short(&format!("{packet:?}")));
                    *in_snapshot = matches!(packet, LeaderPacket::Snap { .. });
                }
            }
            FarSide::Leader(buffer) => {
                buffer.push(bytes);
                while let Some(packet) = buffer.next_learner_packet(1 << 20).expect("a packet") {
                    if let LearnerPacket::Request(request) = &packet
                        && request.op == OP_CREATE_SESSION
                    {
                        self.asked_session = Some(request.session);
                    }
                    lines.push(short(&format!("{packet:?}")));
                }
            }
            FarSide::Operator => {
                let text = String::from_utf8_lossy(&bytes);
                let telling =
                    ["ro", "rw", "null", "Mode", "This", "Local", "Global", "zk_server_state"];
                let telling = [&telling[..], &["zk_global_sessions", "zk_local_sessions"]].concat();
                let told = |line: &&str| telling.iter().any(|start| line.starts_with(start));
                lines.extend(text.lines().filter(told).map(str::to_owned));
            }
            FarSide::Client(client) => {
                let known = client.session;
                client.on_bytes(bytes, 0);
                let new = client.session.filter(|_| known.is_none());
                if new.is_some_and(|new| !self.given.insert(new)) {
                    lines.push("a session id that was given before".into());
                }
                lines.append(&mut client.heard);
                lines.extend(client.finished.drain(..).filter_map(|done| text_of(&done.outcome)));
            }
        }
        self.said.extend(lines.into_iter().map(|line| format!("{link} <- {line}")));
    }
}

/// The data of a node in a reply, where it is more than the letter that `ask` writes.
fn text_of(outcome: &Outcome) -> Option<String> {
    let Outcome::Reply { body: ReplyBody::Data { data: Some(data), .. }, .. } = outcome else {
        return None;
    };
    (data.len() > 1).then(|| format!("data {:?}", String::from_utf8_lossy(data)))
}

/// What a learner forwards for a client.
fn forwarded(what: &str, session: SessionId, path: &str) -> ForwardedRequest {
    let timeout_ms = 4000_i32.to_be_bytes();
    let (op, payload) = match what {
        "OPEN" => (OP_CREATE_SESSION, Bytes::copy_from_slice(&timeout_ms)),
        "END" => (Op::CloseSession.code(), Bytes::new()),
        _ => {
            let op = client::create(path, "x", i32::from(what == "EPHEMERAL"));
            let mut out = BytesMut::new();
            encode_request(&mut out, Xid(1), &op);
            // Without length, xid and opcode.
            (op.code(), out.freeze().slice(12..))
        }
    };
    ForwardedRequest { session, cxid: 1, op, payload, authinfo: Vec::new() }
}

/// What ends a leader's snapshot stream.
const SIGNATURE: &[u8] = b"BenWasHere";

/// Whether the end of it is here.
fn skip_snapshot(buffer: &mut PacketBuffer) -> bool {
    let rest = buffer.take_rest();
    let start = rest.windows(SIGNATURE.len()).position(|at| at == SIGNATURE);
    let used = start.map_or(0, |start| start + SIGNATURE.len());
    buffer.unread(rest.slice(used..));
    start.is_some()
}

/// A packet without the fields that say nothing here.
fn short(packet: &str) -> String {
    let noise = [", payload", ", config:", ", info:", ", touched:", ", vivarium:", " Request("];
    let end = noise.iter().filter_map(|noise| packet.find(noise)).min().unwrap_or(packet.len());
    packet[..end].to_owned()
}

fn queue(name: &str) -> Queue {
    match name {
        "log" => Queue::Log,
        "snap" => Queue::Snap,
        other => panic!("no queue is called {other}"),
    }
}

/// A create of `/n<counter>`.
fn payload(zxid: Zxid) -> Bytes {
    let header = TxnHeader { session: SessionId(1), cxid: 1, zxid, time: Wall(0) };
    let create = CreateTxn {
        path: format!("/n{}", zxid.counter()),
        data: None,
        acl: Some(Acl::open()),
        ephemeral: false,
        parent_cversion: Some(zxid.counter() as i32),
    };
    let mut out = BytesMut::new();
    LoggedTxn { header, txn: Txn::Create(create), digest: None }.encode(&mut out);
    out.freeze()
}

fn new_session(zxid: Zxid, session: SessionId) -> Bytes {
    let header = TxnHeader { session, cxid: 0, zxid, time: Wall(0) };
    let txn = Txn::CreateSession { timeout_ms: 4000 };
    let mut out = BytesMut::new();
    LoggedTxn { header, txn, digest: None }.encode(&mut out);
    out.freeze()
}
