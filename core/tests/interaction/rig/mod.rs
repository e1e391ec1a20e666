//! A server of which every input is a command and every action a line.

mod clients;
mod hearing;
mod peers;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use vivarium_core::config::FirstStart;
use vivarium_core::ids::{DialId, LinkId, SessionId};
use vivarium_core::server::action::{Action, DiskAction};
use vivarium_core::server::input::{DiskFault, DiskInput, Far, LinkEnd, LinkInput, Plane, Queue};
use vivarium_core::server::{Input, Outbox, Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::storage::ops::{DiskIds, op_of};
use vivarium_core::time::{Mono, Stamp, Wall};

use crate::disk::Disk;
use crate::setup;

use hearing::FarSide;
use words::{Words, zxid};

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
}

fn queue(name: &str) -> Queue {
    match name {
        "log" => Queue::Log,
        "snap" => Queue::Snap,
        other => panic!("no queue is called {other}"),
    }
}
