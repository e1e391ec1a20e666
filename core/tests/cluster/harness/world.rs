//! The world: an ordered queue of events, servers with their disks and links, clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use vivarium_core::config::Config;
use vivarium_core::ids::{LinkId, OpId};
use vivarium_core::server::action::{Close, DiskAction, Halt, LinkAction};
use vivarium_core::server::input::{DialError, DiskInput, Far, LinkEnd, LinkInput, Plane, Queue};
use vivarium_core::server::note::Note;
use vivarium_core::server::view::View;
use vivarium_core::server::{Action, Input, Outbox, Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::storage::ops::op_of;
use vivarium_core::time::{Mono, Stamp, Wall};
use vivarium_core::wire::client::Op;

use super::audit::Audit;
use super::client::{Client, Finished, Outcome, State};
use super::disk::{Disk, Survivors};
use super::net::{Conn, End, KERNEL_BYTES};
use super::rng::Rng;
use super::setup;

pub const MS: u64 = 1000;
pub const SECOND: u64 = 1_000_000;

#[derive(Debug)]
enum Event {
    Wake {
        node: usize,
        boot: u64,
    },
    Drain {
        node: usize,
        boot: u64,
    },
    RunDisk {
        node: usize,
        boot: u64,
        queue: Queue,
    },
    Read {
        node: usize,
        boot: u64,
        action: DiskAction,
    },
    Input {
        node: usize,
        boot: u64,
        input: Input,
    },
    Deliver {
        conn: u64,
        side: usize,
    },
    /// That side learns that the connection is gone.
    End {
        conn: u64,
        side: usize,
        end: LinkEnd,
    },
    Tick {
        client: usize,
    },
    Boot {
        node: usize,
        boot: u64,
    },
}

pub struct Node {
    pub config: Config,
    pub disk: Disk,
    pub server: Option<Box<Server>>,
    pub boot: u64,
    mono_base: u64,
    booted_at: u64,
    pub paused: bool,
    stalled: Vec<Input>,
    wake_at: u64,
    spins: u32,
    out: Outbox,
    queues: [VecDeque<DiskAction>; 2],
    busy: [bool; 2],
    /// Power is cut once the disk has carried out so many operations; then the next entry counts.
    pub cuts: VecDeque<(u64, Survivors)>,
    /// For each cut, whether it came while the server recovered.
    pub cuts_in_recovery: Vec<bool>,
    /// Instead of a restart by itself after a cut.
    pub stay_down: bool,
    pub halted: Option<Halt>,
    /// Set where a test expects the server to give up.
    pub may_fail: bool,
}

pub struct World {
    pub rng: Rng,
    pub now: u64,
    seq: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub nodes: Vec<Node>,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    pub clients: Vec<Client>,
    /// Ordered pairs of servers whose packets do not pass.
    pub blocked: BTreeSet<(usize, usize)>,
    pub audit: Audit,
    pub hook: Option<fn(&mut Self, usize)>,
    pub latency: (u64, u64),
    pub disk_time: (u64, u64),
    pub trace: bool,
    /// Free for the workload of a test.
    pub book: super::audit::Book,
    pub steps: u64,
}

impl World {
    /// `servers` voters, none of them started. 0 stands for one standalone server.
    pub fn new(seed: u64, servers: u64, observers: u64, tune: impl Fn(&mut Config)) -> Self {
        let mut rng = Rng::new(seed);
        let ensemble = (servers > 0).then(|| setup::ensemble(servers, observers));
        let nodes = (1..=(servers + observers).max(1)).map(|id| {
            let mut config = setup::config(id, ensemble.clone());
            tune(&mut config);
            Node::new(config)
        });
        let nodes: Vec<Node> = nodes.collect();
        let count = nodes.len();
        let trace = std::env::var_os("TRACE").is_some();
        let latency = (100, 100 + rng.range(200, 4000));
        let disk_time = (20, 20 + rng.range(50, 3000));
        Self {
            rng,
            now: 5 * SECOND,
            seq: 0,
            events: BTreeMap::new(),
            nodes,
            conns: BTreeMap::new(),
            next_conn: 1,
            clients: Vec::new(),
            blocked: BTreeSet::new(),
            audit: Audit::new(count),
            hook: None,
            latency,
            disk_time,
            trace,
            book: super::audit::Book::default(),
            steps: 0,
        }
    }

    pub fn with_servers(seed: u64, servers: u64, tune: impl Fn(&mut Config)) -> Self {
        let mut world = Self::new(seed, servers, 0, tune);
        for node in 0..world.nodes.len() {
            world.boot(node);
        }
        world
    }

    fn at(&mut self, time: u64, event: Event) {
        self.seq += 1;
        self.events.insert((time.max(self.now), self.seq), event);
    }

    fn soon(&mut self, event: Event) {
        let delay = self.rng.range(1, 50);
        self.at(self.now + delay, event);
    }

    fn draw_latency(&mut self) -> u64 {
        let (low, high) = self.latency;
        self.rng.range(low, high)
    }

    // ---- running ----

    /// Handles the next event. False where there is none.
    pub fn turn(&mut self) -> bool {
        let Some(((time, _), event)) = self.events.pop_first() else { return false };
        self.now = time;
        self.steps += 1;
        match event {
            Event::Wake { node, boot } => {
                if self.is_up(node, boot) && self.nodes[node].wake_at == time {
                    self.nodes[node].wake_at = u64::MAX;
                    self.step(node, Input::Wake);
                }
            }
            Event::Drain { node, boot } => {
                if self.is_up(node, boot) {
                    self.drain(node);
                }
            }
            Event::RunDisk { node, boot, queue } => self.run_disk(node, boot, queue),
            Event::Read { node, boot, action } => self.run_read(node, boot, action),
            Event::Input { node, boot, input } => {
                if self.is_up(node, boot) {
                    self.step(node, input);
                }
            }
            Event::Deliver { conn, side } => {
                if let Some(record) = self.conns.get_mut(&conn)
                    && record.streams[side].armed == Some(time)
                {
                    record.streams[side].armed = None;
                    self.deliver(conn, side);
                }
            }
            Event::End { conn, side, end } => self.end(conn, side, end),
            Event::Tick { client } => self.tick(client),
            Event::Boot { node, boot } => {
                if self.nodes[node].boot == boot && self.nodes[node].server.is_none() {
                    self.boot(node);
                }
            }
        }
        true
    }

    pub fn run_for(&mut self, span: u64) {
        let end = self.now + span;
        while self.events.first_key_value().is_some_and(|((time, _), _)| *time <= end) {
            self.turn();
        }
        self.now = end;
    }

    /// True when `done` came within `limit`.
    pub fn run_until(&mut self, limit: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.now > end || !self.turn() {
                return false;
            }
        }
        true
    }

    // ---- servers ----

    pub fn is_up(&self, node: usize, boot: u64) -> bool {
        self.nodes[node].boot == boot && self.nodes[node].server.is_some()
    }

    pub fn view(&self, node: usize) -> Option<View> {
        self.nodes[node].server.as_ref().map(|server| server.view())
    }

    pub fn serving(&self, node: usize) -> bool {
        self.view(node).is_some_and(|view| view.serving)
    }

    pub fn all_serve(&self) -> bool {
        (0..self.nodes.len()).all(|node| self.serving(node))
    }

    pub fn leader(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|&node| {
            self.view(node)
                .is_some_and(|view| view.serving && view.leader == Some(self.nodes[node].config.me))
        })
    }

    fn stamp(&self, node: usize) -> Stamp {
        let node = &self.nodes[node];
        let mono = Mono(node.mono_base + self.now - node.booted_at);
        Stamp { mono, wall: Wall(1_600_000_000_000 + (self.now / MS) as i64) }
    }

    pub fn boot(&mut self, node: usize) {
        assert!(self.nodes[node].server.is_none(), "booted twice");
        let base = self.rng.range(1, 5000);
        let this = &mut self.nodes[node];
        this.boot += 1;
        this.mono_base = base;
        this.booted_at = self.now;
        this.paused = false;
        this.halted = None;
        this.wake_at = u64::MAX;
        this.config.seed[1] = this.boot as u8;
        let mut recovery = Recovery::start(this.config.clone(), self.stamp(node));
        let mut input = RecoveryInput::Begin;
        loop {
            match recovery.next(input) {
                RecoveryStep::Disk(action) => {
                    let writes = op_of(&action).is_some();
                    if writes && self.cut_is_due(node) {
                        self.cut_now(node, true);
                        return;
                    }
                    self.log(|| format!("s{} recovers {action:?}", node + 1));
                    input = match self.nodes[node].disk.run(&action) {
                        Some(data) => RecoveryInput::Read(data),
                        None => RecoveryInput::Done,
                    };
                }
                RecoveryStep::Progress(_) => input = RecoveryInput::Done,
                RecoveryStep::Done(server, out) => {
                    self.nodes[node].server = Some(server);
                    self.nodes[node].out = out;
                    break;
                }
                RecoveryStep::Refused(why) => {
                    assert!(self.nodes[node].may_fail, "s{} refuses: {why}", node + 1);
                    self.nodes[node].halted = Some(Halt::Fatal(why));
                    return;
                }
            }
        }
        self.audit.booted(node);
        self.drain(node);
    }

    /// Feeds an input; actions are carried out now or, joined with later ones, a little later.
    pub fn step(&mut self, node: usize, input: Input) {
        if self.nodes[node].paused {
            self.nodes[node].stalled.push(input);
            return;
        }
        let stamp = self.stamp(node);
        if self.trace {
            self.log(|| format!("s{} <- {}", node + 1, short_input(&input)));
        }
        let this = &mut self.nodes[node];
        let Some(server) = &mut this.server else { return };
        let woken = matches!(input, Input::Wake);
        server.step(stamp, input, &mut this.out);
        let past = server.deadline().is_some_and(|(at, _)| at <= stamp.mono);
        this.spins = if woken && past { this.spins + 1 } else { 0 };
        assert!(this.spins < 3, "s{} spins: {:?}", node + 1, server.deadline());
        if self.rng.one_in(2) {
            self.drain(node);
        } else {
            let boot = self.nodes[node].boot;
            self.soon(Event::Drain { node, boot });
        }
    }

    fn drain(&mut self, node: usize) {
        let actions: Vec<Action> = self.nodes[node].out.drain().collect();
        for action in actions {
            if self.nodes[node].server.is_none() {
                return;
            }
            self.carry_out(node, action);
        }
        self.arm(node);
    }

    fn arm(&mut self, node: usize) {
        let this = &self.nodes[node];
        let Some((at, _)) = this.server.as_ref().and_then(|server| server.deadline()) else {
            return;
        };
        let time = (at.0 + this.booted_at).saturating_sub(this.mono_base).max(self.now + 1);
        if time < this.wake_at {
            let boot = this.boot;
            self.nodes[node].wake_at = time;
            self.at(time, Event::Wake { node, boot });
        }
    }

    fn carry_out(&mut self, node: usize, action: Action) {
        match action {
            Action::Link(action) => self.link_action(node, action),
            Action::Disk(action) => self.disk_action(node, action),
            Action::Admin { .. } => {}
            Action::Note(note) => {
                self.log(|| format!("s{} note {}", node + 1, short_note(&note)));
                let at = (self.now, node);
                self.audit.note(at, &note);
            }
            Action::Halt(halt) => {
                self.log(|| format!("s{} halts {halt:?}", node + 1));
                self.halted(node, halt);
            }
        }
    }

    fn halted(&mut self, node: usize, halt: Halt) {
        self.die(node, 0);
        match &halt {
            Halt::Restart(_) => {
                let boot = self.nodes[node].boot;
                self.at(self.now + 5 * MS, Event::Boot { node, boot });
            }
            Halt::Stop => {}
            Halt::Fatal(why) => {
                assert!(self.nodes[node].may_fail, "s{} halts: {why}", node + 1);
            }
        }
        self.nodes[node].halted = Some(halt);
    }

    /// The process is gone; the kernel closes its connections within `silence`.
    fn die(&mut self, node: usize, silence: u64) {
        let this = &mut self.nodes[node];
        this.server = None;
        this.paused = false;
        this.stalled.clear();
        this.out.drain().for_each(drop);
        this.queues = Default::default();
        this.busy = [false; 2];
        this.spins = 0;
        let boot = this.boot;
        let gone = End::Server { node, boot };
        let ids: Vec<(u64, usize)> = self
            .conns
            .iter()
            .filter_map(|(id, conn)| {
                conn.ends.iter().position(|end| *end == gone).map(|s| (*id, s))
            })
            .collect();
        for (id, side) in ids {
            let conn = self.conns.get_mut(&id).expect("listed above");
            conn.open[side] = false;
            conn.streams[side].out.clear();
            let delay = self.rng.range(silence / 2, silence) + self.draw_latency();
            self.at(self.now + delay, Event::End { conn: id, side: 1 - side, end: LinkEnd::Reset });
        }
    }

    pub fn kill(&mut self, node: usize) {
        if self.nodes[node].server.is_some() {
            self.log(|| format!("s{} is killed", node + 1));
            self.die(node, 0);
        }
    }

    pub fn power_cut(&mut self, node: usize, survivors: Survivors) {
        self.log(|| format!("s{} loses power: {survivors:?} survives", node + 1));
        let silence = self.rng.range(0, SECOND);
        self.die(node, silence);
        let this = &mut self.nodes[node];
        this.disk.power_cut(survivors, &mut self.rng);
    }

    pub fn pause(&mut self, node: usize) {
        if self.nodes[node].server.is_some() {
            self.log(|| format!("s{} is paused", node + 1));
            self.nodes[node].paused = true;
        }
    }

    pub fn resume(&mut self, node: usize) {
        if !self.nodes[node].paused {
            return;
        }
        self.log(|| format!("s{} goes on", node + 1));
        self.nodes[node].paused = false;
        let mut inputs = std::mem::take(&mut self.nodes[node].stalled);
        if self.rng.one_in(2) {
            inputs.insert(0, Input::Wake);
        }
        for input in inputs {
            if self.nodes[node].server.is_some() {
                self.step(node, input);
            }
        }
        if self.nodes[node].server.is_some() {
            self.step(node, Input::Wake);
        }
    }

    pub fn block(&mut self, from: usize, to: usize) {
        self.log(|| format!("s{} does not reach s{}", from + 1, to + 1));
        self.blocked.insert((from, to));
    }

    pub fn heal_network(&mut self) {
        self.log(|| "the network heals".into());
        self.blocked.clear();
    }

    /// Everybody runs again, and reaches everybody.
    pub fn heal(&mut self) {
        self.heal_network();
        for node in 0..self.nodes.len() {
            self.nodes[node].cuts.clear();
            self.resume(node);
            if self.nodes[node].server.is_none() {
                self.boot(node);
            }
        }
    }

    // ---- disk ----

    fn disk_action(&mut self, node: usize, action: DiskAction) {
        let boot = self.nodes[node].boot;
        let Some((queue, _)) = op_of(&action) else {
            let (low, high) = self.disk_time;
            let delay = self.rng.range(low, high);
            self.at(self.now + delay, Event::Read { node, boot, action });
            return;
        };
        self.nodes[node].queues[queue as usize].push_back(action);
        self.kick_disk(node, queue);
    }

    fn kick_disk(&mut self, node: usize, queue: Queue) {
        let this = &mut self.nodes[node];
        if this.busy[queue as usize] || this.queues[queue as usize].is_empty() {
            return;
        }
        this.busy[queue as usize] = true;
        let boot = this.boot;
        let (low, high) = self.disk_time;
        let delay = self.rng.range(low, high);
        self.at(self.now + delay, Event::RunDisk { node, boot, queue });
    }

    fn run_disk(&mut self, node: usize, boot: u64, queue: Queue) {
        if !self.is_up(node, boot) {
            return;
        }
        // Several operations complete at once, as they do behind one wake-up of a disk thread.
        let waiting = self.nodes[node].queues[queue as usize].len() as u64;
        let batch = self.rng.range(1, waiting.min(4));
        let mut upto = OpId(0);
        for _ in 0..batch {
            if self.cut_is_due(node) {
                self.cut_now(node, false);
                return;
            }
            let this = &mut self.nodes[node];
            let action = this.queues[queue as usize].pop_front().expect("counted above");
            let (_, op) = op_of(&action).expect("queues hold writes");
            assert!(op > upto, "ids rise within a queue");
            upto = op;
            let ops = this.disk.ops;
            this.disk.run(&action);
            self.log(|| format!("s{} disk {ops} {}", node + 1, short_disk(&action)));
        }
        self.nodes[node].busy[queue as usize] = false;
        self.step(node, Input::Disk(DiskInput::Done { queue, upto }));
        self.kick_disk(node, queue);
    }

    fn run_read(&mut self, node: usize, boot: u64, action: DiskAction) {
        if !self.is_up(node, boot) {
            return;
        }
        let data = self.nodes[node].disk.run(&action).expect("reads answer");
        let (DiskAction::Read { read, .. } | DiskAction::List { read, .. }) = action else {
            unreachable!("only reads are scheduled here")
        };
        self.step(node, Input::Disk(DiskInput::ReadDone { read, result: Ok(data) }));
    }

    fn cut_is_due(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.cuts.front().is_some_and(|(ops, _)| node.disk.ops >= *ops)
    }

    fn cut_now(&mut self, node: usize, recovering: bool) {
        let (_, survivors) = self.nodes[node].cuts.pop_front().expect("a cut is due");
        self.nodes[node].cuts_in_recovery.push(recovering);
        self.power_cut(node, survivors);
        if !self.nodes[node].stay_down {
            let boot = self.nodes[node].boot;
            self.at(self.now + 100 * MS, Event::Boot { node, boot });
        }
    }

    // ---- links ----

    fn link_action(&mut self, node: usize, action: LinkAction) {
        match action {
            LinkAction::Dial { dial, plane, host, port } => {
                let to = host.strip_prefix('s').and_then(|id| id.parse::<usize>().ok());
                let to = to.expect("hosts are named s1, s2, ..") - 1;
                assert_eq!(plane == Plane::Quorum, port == 2888, "ports belong to planes");
                let boot = self.nodes[node].boot;
                let blocked =
                    self.blocked.contains(&(node, to)) || self.blocked.contains(&(to, node));
                let answer = if blocked {
                    Some((SECOND, DialError::TimedOut))
                } else if self.nodes[to].server.is_none() {
                    Some((self.draw_latency(), DialError::Refused))
                } else {
                    None
                };
                if let Some((delay, why)) = answer {
                    let input = Input::Link(LinkInput::DialFailed { dial, why });
                    self.at(self.now + delay, Event::Input { node, boot, input });
                    return;
                }
                let far_boot = self.nodes[to].boot;
                let ends = [End::Server { node, boot }, End::Server { node: to, boot: far_boot }];
                let conn = self.connect(ends);
                let there = self.now + self.draw_latency();
                let back = there + self.draw_latency();
                self.open_at(conn, 1, there, None, plane, node);
                self.open_at(conn, 0, back, Some(dial), plane, to);
            }
            LinkAction::Send { link, bytes } => {
                let (conn, side) = split(link);
                self.send(conn, side, bytes);
            }
            LinkAction::Hold { link } => {
                let (conn, side) = split(link);
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.streams[1 - side].held = true;
                }
            }
            LinkAction::Resume { link } => {
                let (id, side) = split(link);
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.streams[1 - side].held = false;
                    self.deliver_at(self.now + 20, id, 1 - side);
                }
            }
            LinkAction::Close { link, how, why } => {
                self.log(|| format!("s{} closes {link}: {why:?} {how:?}", node + 1));
                let (conn, side) = split(link);
                self.close(conn, side, how);
            }
        }
    }

    fn connect(&mut self, ends: [End; 2]) -> u64 {
        let id = self.next_conn;
        self.next_conn += 1;
        self.conns.insert(id, Conn { ends, open: [true; 2], streams: Default::default() });
        id
    }

    fn open_at(
        &mut self,
        conn: u64,
        side: usize,
        time: u64,
        dial: Option<vivarium_core::ids::DialId>,
        plane: Plane,
        far: usize,
    ) {
        let record = self.conns.get_mut(&conn).expect("just made");
        let End::Server { node, boot } = record.ends[side] else { return };
        record.streams[1 - side].last_arrival = time + 1;
        let far = Far { ip: format!("10.0.0.{}", far + 1), port: 40_000 };
        let input = Input::Link(LinkInput::Opened { link: link(conn, side), dial, plane, far });
        self.at(time, Event::Input { node, boot, input });
    }

    fn send(&mut self, id: u64, side: usize, bytes: Bytes) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.open[side] || conn.streams[side].fin {
            return;
        }
        conn.streams[side].out.push_back(bytes);
        self.pump(id, side);
    }

    /// Moves bytes into the kernel as far as it takes them.
    fn pump(&mut self, id: u64, side: usize) {
        let latency = self.draw_latency();
        let whole = self.rng.one_in(2);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let stream = &mut conn.streams[side];
        let mut arrival = stream.last_arrival.max(self.now + latency);
        let mut sent = 0;
        while let Some(front) = stream.out.front_mut() {
            let room = KERNEL_BYTES - stream.in_kernel;
            if room == 0 {
                break;
            }
            let most = room.min(front.len());
            let size = if whole { most } else { self.rng.range(1, most as u64) as usize };
            let piece = front.split_to(size);
            if front.is_empty() {
                stream.out.pop_front();
            }
            stream.in_kernel += size;
            sent += size as u64;
            stream.flight.push_back((arrival, piece));
            arrival += 1;
        }
        stream.last_arrival = arrival;
        let ends = conn.ends;
        let finished = stream.fin && stream.out.is_empty() && !stream.fin_queued;
        if finished {
            stream.fin_queued = true;
        }
        let due = stream.flight.front().map(|(arrival, _)| *arrival);
        if sent > 0 {
            if let End::Server { node, boot } = ends[side] {
                let input = Input::Link(LinkInput::Sent { link: link(id, side), bytes: sent });
                if self.conns[&id].open[side] {
                    self.soon(Event::Input { node, boot, input });
                }
            }
            self.deliver_at(due.unwrap_or(arrival), id, side);
        }
        if finished {
            self.deliver_at(due.unwrap_or(arrival), id, side);
        }
    }

    fn deliver_at(&mut self, time: u64, conn: u64, side: usize) {
        let time = time.max(self.now);
        let Some(record) = self.conns.get_mut(&conn) else { return };
        let armed = &mut record.streams[side].armed;
        if armed.is_none_or(|known| time < known) {
            *armed = Some(time);
            self.at(time, Event::Deliver { conn, side });
        }
    }

    /// Hands what has arrived of the stream from `side` to the other side.
    fn deliver(&mut self, id: u64, side: usize) {
        let Some(conn) = self.conns.get(&id) else { return };
        if !conn.open[1 - side] {
            return;
        }
        if self.is_blocked(conn, side) {
            self.deliver_at(self.now + 20 * MS, id, side);
            return;
        }
        let receiver = conn.ends[1 - side];
        if let End::Server { node, .. } = receiver
            && self.nodes[node].paused
        {
            self.deliver_at(self.now + 10 * MS, id, side);
            return;
        }
        loop {
            let now = self.now;
            let Some(conn) = self.conns.get_mut(&id) else { return };
            if !conn.open[1 - side] {
                return;
            }
            let stream = &mut conn.streams[side];
            if stream.held {
                return;
            }
            match stream.flight.front() {
                Some((arrival, _)) if *arrival <= now => {}
                Some((arrival, _)) => {
                    let arrival = *arrival;
                    self.deliver_at(arrival, id, side);
                    return;
                }
                None => break,
            }
            let (_, bytes) = stream.flight.pop_front().expect("looked at above");
            stream.in_kernel -= bytes.len();
            match receiver {
                End::Server { node, .. } => {
                    let link = link(id, 1 - side);
                    self.step(node, Input::Link(LinkInput::Bytes { link, bytes }));
                }
                End::Client(client) => {
                    if !self.clients[client].on_bytes(bytes, now) {
                        self.leave(client);
                    }
                }
            }
            self.pump(id, side);
        }
        let Some(conn) = self.conns.get(&id) else { return };
        let stream = &conn.streams[side];
        if stream.fin_queued && stream.out.is_empty() && stream.flight.is_empty() {
            self.end(id, 1 - side, LinkEnd::Finished);
        }
    }

    fn is_blocked(&self, conn: &Conn, side: usize) -> bool {
        match (conn.ends[side], conn.ends[1 - side]) {
            (End::Server { node: from, .. }, End::Server { node: to, .. }) => {
                self.blocked.contains(&(from, to))
            }
            _ => false,
        }
    }

    fn close(&mut self, id: u64, side: usize, how: Close) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.open[side] {
            return;
        }
        conn.open[side] = false;
        let end = conn.ends[side];
        if let End::Server { node, boot } = end {
            let link = link(id, side);
            let input = Input::Link(LinkInput::Closed { link, end: LinkEnd::Closed });
            self.soon(Event::Input { node, boot, input });
        }
        match how {
            Close::Flush => {
                let conn = self.conns.get_mut(&id).expect("looked up above");
                conn.streams[side].fin = true;
                self.pump(id, side);
            }
            Close::Abort => {
                let conn = self.conns.get_mut(&id).expect("looked up above");
                conn.streams[side].out.clear();
                let last = conn.streams[side].last_arrival;
                let latency = self.draw_latency();
                // A reset overtakes what was not read, or it does not.
                let time = if self.rng.one_in(2) {
                    last.max(self.now + latency) + 2
                } else {
                    self.now + latency
                };
                self.at(time, Event::End { conn: id, side: 1 - side, end: LinkEnd::Reset });
            }
        }
    }

    fn end(&mut self, id: u64, side: usize, end: LinkEnd) {
        let Some(conn) = self.conns.get(&id) else { return };
        if self.is_blocked(conn, 1 - side) {
            self.at(self.now + 20 * MS, Event::End { conn: id, side, end });
            return;
        }
        let conn = self.conns.remove(&id).expect("looked up above");
        if !conn.open[side] {
            return;
        }
        match conn.ends[side] {
            End::Server { node, boot } => {
                if self.is_up(node, boot) {
                    let link = link(id, side);
                    // Opened comes first, however quickly the other side gave up.
                    let input = Input::Link(LinkInput::Closed { link, end });
                    let time = conn.streams[1 - side].last_arrival.max(self.now);
                    self.at(time, Event::Input { node, boot, input });
                }
            }
            End::Client(client) => {
                let now = self.now;
                if self.clients[client].conn == Some(id) {
                    self.clients[client].broken(now);
                }
            }
        }
    }

    // ---- clients ----

    pub fn add_client(&mut self, timeout_ms: i32) -> usize {
        let index = self.clients.len();
        self.clients.push(Client::new(index, timeout_ms));
        index
    }

    /// Adds a client that connects by itself and keeps its session alive.
    pub fn add_lively_client(&mut self, timeout_ms: i32) -> usize {
        let client = self.add_client(timeout_ms);
        self.soon(Event::Tick { client });
        client
    }

    pub fn join(&mut self, client: usize, node: usize) -> bool {
        if self.nodes[node].server.is_none() {
            return false;
        }
        let ends = [End::Client(client), End::Server { node, boot: self.nodes[node].boot }];
        let conn = self.connect(ends);
        let there = self.now + self.draw_latency();
        self.open_at(conn, 1, there, None, Plane::Client, 100 + client);
        let now = self.now;
        self.clients[client].conn = Some(conn);
        self.clients[client].server = node;
        let hello = self.clients[client].greet(now);
        self.send(conn, 0, hello);
        true
    }

    pub fn leave(&mut self, client: usize) {
        let Some(conn) = self.clients[client].conn.take() else { return };
        let now = self.now;
        self.clients[client].broken(now);
        self.close(conn, 0, Close::Abort);
    }

    pub fn ask(&mut self, client: usize, op: Op, tag: u64) {
        let now = self.now;
        let Some(conn) = self.clients[client].conn else { panic!("client {client} is apart") };
        self.log(|| format!("c{client} -> {op:?}"));
        let bytes = self.clients[client].request(op, tag, now);
        self.send(conn, 0, bytes);
    }

    /// Asks and waits for the end of it.
    pub fn call(&mut self, client: usize, op: Op) -> Finished {
        self.try_call(client, op.clone()).unwrap_or_else(|| panic!("no answer to {op:?}"))
    }

    /// As `call`; `None` where the connection broke.
    pub fn try_call(&mut self, client: usize, op: Op) -> Option<Finished> {
        self.clients[client].conn?;
        let before = self.clients[client].finished.len();
        assert_eq!(self.clients[client].outstanding(), 0, "one call at a time");
        self.ask(client, op.clone(), u64::MAX);
        let done = self.run_until(20 * SECOND, |w| w.clients[client].finished.len() > before);
        assert!(done, "neither answer nor end for {op:?}");
        let done = self.clients[client].finished.pop_back().expect("just counted");
        (done.outcome != Outcome::Unknown).then_some(done)
    }

    /// Connects and waits until the session stands.
    pub fn join_and_wait(&mut self, client: usize, node: usize) -> bool {
        self.join(client, node)
            && self.run_until(10 * SECOND, |w| w.clients[client].state != State::Greeting)
            && self.clients[client].state == State::Live
    }

    fn tick(&mut self, client: usize) {
        let now = self.now;
        let (state, timeout) = {
            let this = &self.clients[client];
            (this.state, this.timeout_ms as u64 * MS)
        };
        match state {
            State::Apart => {
                let node = self.rng.below(self.nodes.len() as u64) as usize;
                self.join(client, node);
            }
            State::Greeting | State::Live => {
                let silent = now - self.clients[client].last_heard;
                if silent > timeout * 2 / 3 {
                    self.leave(client);
                } else if state == State::Live && now - self.clients[client].last_sent > timeout / 4
                {
                    let ping = self.clients[client].ping(now);
                    let conn = self.clients[client].conn.expect("live clients are connected");
                    self.send(conn, 0, ping);
                }
            }
            State::Closed => {}
        }
        if let Some(hook) = self.hook {
            hook(self, client);
        }
        let delay = self.rng.range(5 * MS, 60 * MS);
        self.at(now + delay, Event::Tick { client });
    }

    pub fn log(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>10.3} {}", self.now as f64 / 1000.0, text());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.out.drain().for_each(drop);
        }
    }
}

impl Node {
    fn new(config: Config) -> Self {
        Self {
            config,
            disk: Disk::default(),
            server: None,
            boot: 0,
            mono_base: 0,
            booted_at: 0,
            paused: false,
            stalled: Vec::new(),
            wake_at: u64::MAX,
            spins: 0,
            out: Outbox::new(),
            queues: Default::default(),
            busy: [false; 2],
            cuts: VecDeque::new(),
            cuts_in_recovery: Vec::new(),
            stay_down: false,
            halted: None,
            may_fail: false,
        }
    }
}

const fn link(conn: u64, side: usize) -> LinkId {
    LinkId(conn * 2 + side as u64)
}

const fn split(link: LinkId) -> (u64, usize) {
    (link.0 / 2, (link.0 % 2) as usize)
}

fn short_input(input: &Input) -> String {
    match input {
        Input::Link(LinkInput::Bytes { link, bytes }) => format!("bytes {link} {}", bytes.len()),
        other => format!("{other:?}").chars().take(140).collect(),
    }
}

fn short_note(note: &Note) -> String {
    format!("{note:?}").chars().take(160).collect()
}

pub fn short_disk(action: &DiskAction) -> String {
    match action {
        DiskAction::Write { file, offset, bytes, .. } => {
            format!("write {} at {offset} +{}", file.name, bytes.len())
        }
        DiskAction::SetLen { file, len, .. } => format!("set_len {} {len}", file.name),
        DiskAction::SyncFile { file, .. } => format!("sync {}", file.name),
        DiskAction::Rename { from, to, .. } => format!("rename {} {}", from.name, to.name),
        DiskAction::SyncDir { dir, .. } => format!("sync_dir {dir:?}"),
        DiskAction::Remove { file, .. } => format!("remove {}", file.name),
        DiskAction::Read { file, offset, len, .. } => format!("read {} {offset} {len}", file.name),
        DiskAction::List { dir, .. } => format!("list {dir:?}"),
    }
}
