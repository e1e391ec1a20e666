//! A server in the hands of a hostile world: links that open and close as they like, any bytes on them,
//! disks that are slow or fail, clocks that jump.
//!
//! Everything is done twice, to two servers on folders of their own: both must say the same.

use std::collections::{BTreeMap, VecDeque};

use arbitrary::{Result, Unstructured};
use bytes::{BufMut, Bytes, BytesMut};
use vivarium_core::config::Config;
use vivarium_core::ids::{AskId, DialId, LinkId, OpId};
use vivarium_core::server::Server;
use vivarium_core::server::action::{Action, DiskAction, Halt, LinkAction};
use vivarium_core::server::input::{
    DialError, DiskFault, DiskInput, Far, Input, LinkEnd, LinkInput, Plane, Question, Queue,
};
use vivarium_core::server::outbox::Outbox;
use vivarium_core::wire::client::ConnectRequest;

use crate::folder::{Folder, config, ensemble, stamp};

const NAMES: [&str; 6] = ["/", "/a", "/a/b", "/c", "/zookeeper/config", "/a/"];
const WORDS: [&str; 8] = ["ruok", "mntr", "srvr", "cons", "dump", "wchp", "envi", "conf"];
/// A server that was woken this often at one moment and wants more spins.
const MOST_WAKES: usize = 64;

/// Alone, a voter of three, or an observer; then one event after the other until the bytes end.
pub fn run(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let config = config(match kind % 3 {
        0 => None,
        1 => Some(ensemble(0)),
        _ => Some(ensemble(1)),
    });
    let mut worlds = [World::new(config.clone()), World::new(config)];
    let mut bytes = Unstructured::new(data);
    while let Ok(event) = Event::read(&mut bytes) {
        let [one, other] = &mut worlds;
        one.play(&event);
        other.play(&event);
        assert_eq!(one.said, other.said, "told the same, they did not do the same: {event:?}");
        one.said.clear();
        other.said.clear();
    }
    for world in worlds {
        world.starts_again();
    }
}

/// What happens next. Numbers count what stands, around and around.
#[derive(Clone, Debug)]
enum Event {
    Wait { ms: u64 },
    Due,
    Open(Plane),
    Close { link: usize, end: LinkEnd },
    Bytes { link: usize, bytes: Bytes },
    Dialled { dial: usize, well: bool },
    DiskDone { queue: Queue, count: usize },
    DiskFails { queue: Queue, fault: DiskFault },
    Reads,
    Stall { link: usize },
    Ask(&'static str),
    Stop,
}

impl Event {
    fn read(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let link = |bytes: &mut Unstructured<'_>| Ok(usize::from(bytes.arbitrary::<u8>()?));
        let queue = |bytes: &mut Unstructured<'_>| {
            Ok(if bytes.arbitrary()? { Queue::Log } else { Queue::Snap })
        };
        if bytes.is_empty() {
            return Err(arbitrary::Error::NotEnoughData);
        }
        Ok(match bytes.arbitrary::<u8>()? % 20 {
            0 => Self::Wait { ms: u64::from(bytes.arbitrary::<u8>()?) },
            1 => Self::Wait { ms: u64::from(bytes.arbitrary::<u16>()?) },
            2 | 3 => Self::Due,
            4 | 5 => Self::Open(Plane::Client),
            6 => Self::Open(Plane::Quorum),
            7 => Self::Open(Plane::Election),
            8 => {
                let end = if bytes.arbitrary()? { LinkEnd::Finished } else { LinkEnd::Reset };
                Self::Close { link: link(bytes)?, end }
            }
            9 => {
                let len = bytes.int_in_range(0..=64)?;
                let chunk = bytes.bytes(len.min(bytes.len()))?;
                Self::Bytes { link: link(bytes)?, bytes: Bytes::copy_from_slice(chunk) }
            }
            10 => Self::Bytes { link: link(bytes)?, bytes: connect(bytes)? },
            11..=13 => Self::Bytes { link: link(bytes)?, bytes: request(bytes)? },
            14 => Self::Bytes { link: link(bytes)?, bytes: packet(bytes)? },
            15 => Self::Bytes { link: link(bytes)?, bytes: vote(bytes)? },
            16 => Self::Dialled { dial: link(bytes)?, well: bytes.arbitrary()? },
            17 => Self::DiskDone { queue: queue(bytes)?, count: link(bytes)? },
            18 => match bytes.arbitrary::<u8>()? {
                0 => {
                    let faults = [DiskFault::Io, DiskFault::NoSpace, DiskFault::Denied];
                    Self::DiskFails { queue: queue(bytes)?, fault: *bytes.choose(&faults)? }
                }
                1 => Self::Stop,
                2..=40 => Self::Stall { link: link(bytes)? },
                _ => Self::Ask(bytes.choose(&WORDS)?),
            },
            _ => Self::Reads,
        })
    }
}

fn framed(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut body = BytesMut::new();
    write(&mut body);
    let mut frame = BytesMut::new();
    frame.put_i32(body.len() as i32);
    frame.put(body);
    frame.freeze()
}

fn connect(bytes: &mut Unstructured<'_>) -> Result<Bytes> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: i64::from(bytes.arbitrary::<u8>()? / 128),
        timeout_ms: i32::from(bytes.arbitrary::<u16>()?),
        session: None,
        password: Bytes::from_static(&[0; 16]),
        read_only: Some(false),
    };
    let mut frame = BytesMut::new();
    request.encode(&mut frame);
    Ok(frame.freeze())
}

/// A header, a path that others use too, then anything.
fn request(bytes: &mut Unstructured<'_>) -> Result<Bytes> {
    let op = i32::from(bytes.arbitrary::<i8>()?);
    let xid = i32::from(bytes.arbitrary::<i8>()?);
    let path = *bytes.choose(&NAMES)?;
    let len = bytes.int_in_range(0..=48)?;
    let rest = bytes.bytes(len.min(bytes.len()))?;
    Ok(framed(|out| {
        out.put_i32(xid);
        out.put_i32(op);
        out.put_i32(path.len() as i32);
        out.put_slice(path.as_bytes());
        out.put_slice(rest);
    }))
}

/// Type, zxid, data, no identities: what servers send each other.
fn packet(bytes: &mut Unstructured<'_>) -> Result<Bytes> {
    let mut packet = BytesMut::new();
    packet.put_i32(i32::from(bytes.arbitrary::<u8>()? % 24));
    packet.put_i32(i32::from(bytes.arbitrary::<u8>()? % 4));
    packet.put_i32(i32::from(bytes.arbitrary::<u8>()?));
    let len = bytes.int_in_range(0..=64)?;
    let data = bytes.bytes(len.min(bytes.len()))?;
    packet.put_i32(data.len() as i32);
    packet.put_slice(data);
    packet.put_i32(-1);
    Ok(packet.freeze())
}

/// The words of a notification, in the form of 3.9.
fn vote(bytes: &mut Unstructured<'_>) -> Result<Bytes> {
    let mut small = || bytes.arbitrary::<u8>().map(|byte| i64::from(byte % 6) - 1);
    let (state, leader, zxid, round, epoch) = (small()?, small()?, small()?, small()?, small()?);
    if state < 0 {
        let mut initial = BytesMut::new();
        initial.put_i64(leader);
        return Ok(initial.freeze());
    }
    Ok(framed(|out| {
        out.put_i32(state as i32);
        for word in [leader, zxid, round, epoch] {
            out.put_i64(word);
        }
        out.put_i32(2);
        out.put_i32(0);
    }))
}

/// One server with its folder, its disk queues and its links.
struct World {
    config: Config,
    folder: Folder,
    server: Option<Box<Server>>,
    now_ms: u64,
    queues: [VecDeque<(OpId, DiskAction)>; 2],
    reads: VecDeque<DiskAction>,
    links: BTreeMap<LinkId, Wire>,
    dials: Vec<(DialId, Plane)>,
    /// Closed by the server, which is yet to hear that they are gone.
    ended: Vec<LinkId>,
    next_link: u64,
    /// What it asked for since it was compared last.
    said: Vec<Action>,
    /// It may refuse to start again: it was told that its disk is broken.
    broken: bool,
}

/// One connection as the far side sees it.
struct Wire {
    plane: Plane,
    stalled: bool,
    unsent: u64,
}

impl World {
    fn new(config: Config) -> Self {
        let mut world = Self {
            config,
            folder: Folder::default(),
            server: None,
            now_ms: 5,
            queues: [VecDeque::new(), VecDeque::new()],
            reads: VecDeque::new(),
            links: BTreeMap::new(),
            dials: Vec::new(),
            ended: Vec::new(),
            next_link: 1,
            said: Vec::new(),
            broken: false,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        match self.folder.start(&self.config, stamp(self.now_ms)) {
            Ok((server, actions)) => {
                self.server = Some(server);
                self.carry_out(actions);
                self.step(Input::Wake);
            }
            Err(refused) => assert!(self.broken, "a folder of its own is refused: {refused}"),
        }
    }

    fn starts_again(mut self) {
        self.forget();
        self.start();
    }

    /// What was not done is lost, as in a crash.
    fn forget(&mut self) {
        self.server = None;
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.reads.clear();
        self.links.clear();
        self.dials.clear();
        self.ended.clear();
    }

    fn play(&mut self, event: &Event) {
        match event {
            Event::Wait { ms } => {
                self.now_ms += ms;
                self.wake();
            }
            Event::Due => {
                self.sleep_until_due();
                self.wake();
            }
            Event::Open(plane) => self.open(*plane, None),
            Event::Close { link, end } => {
                if let Some(link) = self.link(*link) {
                    self.links.remove(&link);
                    self.step(Input::Link(LinkInput::Closed { link, end: *end }));
                }
            }
            Event::Bytes { link, bytes } => {
                if let Some(link) = self.link(*link) {
                    self.step(Input::Link(LinkInput::Bytes { link, bytes: bytes.clone() }));
                }
            }
            Event::Dialled { dial, well } => self.dialled(*dial, *well),
            Event::DiskDone { queue, count } => self.disk_done(*queue, *count),
            Event::DiskFails { queue, fault } => {
                if let Some((op, _)) = self.queues[*queue as usize].front() {
                    let (queue, op, fault) = (*queue, *op, *fault);
                    self.queues[queue as usize].clear();
                    self.broken = true;
                    self.step(Input::Disk(DiskInput::Failed { queue, op, fault }));
                }
            }
            Event::Reads => self.serve_reads(),
            Event::Stall { link } => {
                if let Some(wire) = self.link(*link).and_then(|link| self.links.get_mut(&link)) {
                    wire.stalled = true;
                }
            }
            Event::Ask(word) => {
                let question = Question::Word((*word).into());
                self.step(Input::Admin { ask: AskId(1), question });
            }
            Event::Stop => self.step(Input::Stop),
        }
    }

    fn link(&self, number: usize) -> Option<LinkId> {
        let count = self.links.len().max(1);
        self.links.keys().nth(number % count).copied()
    }

    fn sleep_until_due(&mut self) {
        const MOST_MS: u64 = 60_000;
        let Some((due, _)) = self.server.as_ref().and_then(|server| server.deadline()) else {
            return;
        };
        let wait = due.since(stamp(self.now_ms).mono).as_ms().min(MOST_MS);
        self.now_ms += wait + 1;
    }

    /// Until nothing is due at this moment.
    fn wake(&mut self) {
        for _ in 0..MOST_WAKES {
            self.step(Input::Wake);
            let due = self.server.as_ref().and_then(|server| server.deadline());
            if due.is_none_or(|(due, _)| due > stamp(self.now_ms).mono) {
                return;
            }
        }
        panic!("woken {MOST_WAKES} times at one moment, the server wants to be woken at once");
    }

    fn open(&mut self, plane: Plane, dial: Option<DialId>) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(link, Wire { plane, stalled: false, unsent: 0 });
        let far = Far { ip: "127.0.0.1".into(), port: 4000 };
        self.step(Input::Link(LinkInput::Opened { link, dial, plane, far }));
    }

    fn dialled(&mut self, number: usize, well: bool) {
        if self.dials.is_empty() {
            return;
        }
        let (dial, plane) = self.dials.remove(number % self.dials.len());
        if well {
            self.open(plane, Some(dial));
        } else {
            let why = DialError::Refused;
            self.step(Input::Link(LinkInput::DialFailed { dial, why }));
        }
    }

    fn disk_done(&mut self, queue: Queue, count: usize) {
        let mut upto = None;
        for _ in 0..=count {
            let Some((op, action)) = self.queues[queue as usize].pop_front() else { break };
            self.folder.run(action);
            upto = Some(op);
        }
        if let Some(upto) = upto {
            self.step(Input::Disk(DiskInput::Done { queue, upto }));
        }
    }

    fn serve_reads(&mut self) {
        for action in std::mem::take(&mut self.reads) {
            let (read, data) = self.folder.run(action).expect("only reads wait here");
            self.step(Input::Disk(DiskInput::ReadDone { read, result: Ok(data) }));
        }
    }

    fn step(&mut self, input: Input) {
        let at = stamp(self.now_ms);
        let Some(server) = &mut self.server else { return };
        let mut out = Outbox::new();
        server.step(at, input, &mut out);
        let actions = out.drain().collect();
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.said.push(action.clone());
            match action {
                Action::Link(action) => self.on_link(action),
                Action::Disk(action) => self.on_disk(action),
                Action::Admin { .. } | Action::Note(_) => {}
                Action::Halt(Halt::Restart(_)) => {
                    self.forget();
                    return self.start();
                }
                Action::Halt(Halt::Stop) => self.server = None,
                Action::Halt(Halt::Fatal(reason)) => {
                    assert!(self.broken, "its disk never failed, and yet: {reason}");
                    self.server = None;
                }
            }
        }
        for link in std::mem::take(&mut self.ended) {
            self.step(Input::Link(LinkInput::Closed { link, end: LinkEnd::Closed }));
        }
        self.kernel_takes();
    }

    fn on_link(&mut self, action: LinkAction) {
        match action {
            LinkAction::Dial { dial, plane, .. } => self.dials.push((dial, plane)),
            LinkAction::Send { link, bytes } => {
                let wire = self.links.get_mut(&link).expect("bytes go to links that stand");
                wire.unsent += bytes.len() as u64;
                let most = 2 * self.config.link_limit_bytes;
                let is_client = wire.plane == Plane::Client;
                assert!(
                    !is_client || wire.unsent <= most,
                    "a client that takes nothing costs memory"
                );
            }
            LinkAction::Close { link, .. } => {
                self.links.remove(&link).expect("links that stand are closed");
                self.ended.push(link);
            }
            LinkAction::Hold { .. } | LinkAction::Resume { .. } => {}
        }
    }

    fn on_disk(&mut self, action: DiskAction) {
        let (queue, op) = match &action {
            DiskAction::Write { op, queue, .. }
            | DiskAction::SetLen { op, queue, .. }
            | DiskAction::SyncFile { op, queue, .. }
            | DiskAction::Rename { op, queue, .. }
            | DiskAction::SyncDir { op, queue, .. }
            | DiskAction::Remove { op, queue, .. } => (*queue, *op),
            DiskAction::Read { .. } | DiskAction::List { .. } => {
                return self.reads.push_back(action);
            }
        };
        self.queues[queue as usize].push_back((op, action));
    }

    fn kernel_takes(&mut self) {
        let taken = |(link, wire): (&LinkId, &mut Wire)| {
            let bytes = std::mem::take(&mut wire.unsent);
            (bytes > 0).then_some((*link, bytes))
        };
        let free = self.links.iter_mut().filter(|(_, wire)| !wire.stalled);
        let sent: Vec<_> = free.filter_map(taken).collect();
        for (link, bytes) in sent {
            self.step(Input::Link(LinkInput::Sent { link, bytes }));
        }
    }
}
