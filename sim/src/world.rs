//! The world: all machines, the network between them, and the one order in which things happen.
//!
//! Every server, every client and the control of the run is a madsim node with one task, which
//! does nothing but call [`World::poll`] for its host. madsim owns the clock, the order of ready
//! tasks, and kill, restart, pause and resume; all state lives here, so that a killed task leaves
//! nothing behind that could still act.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use madsim::runtime::Handle;
use madsim::task::NodeId as TaskNode;
use madsim::time::TimeHandle;
use vivarium_core::ids::ServerId;
use vivarium_core::server::Outbox;
use vivarium_core::server::input::Plane;

use crate::apache::Guise;
use crate::client::SimClient;
use crate::client_host::ClientSlot;
use crate::cluster::Cluster;
use crate::coverage::Coverage;
use crate::disk::{DiskSim, Disks};
use crate::faults::{Ambush, Atlas};
use crate::ids::{ClientId, NodeId, SimTime};
use crate::inbox::{Inbox, What};
use crate::net::{Delivery, EndId, Host, NetSim};
use crate::observe::{CrashKind, Observer, SimEvent, Violation};
use crate::process::ServerSlot;
use crate::recording::Recorder;
use crate::rng::{SimRng, Stream};
use crate::schedule::{FaultUnit, Peer};
use crate::shadow::Shadows;
use crate::trace::{Mark, Trace, TraceSink, hash_value};

/// Counts for the summary.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Packets and frames that servers and clients decoded.
    pub messages: u64,
    /// Chunks of bytes that reached a process.
    pub chunks: u64,
    pub disk_ops: u64,
    pub boots: u64,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Units that could not strike: nobody led, the server was down, or a quorum could not bear it.
    pub skipped: BTreeMap<&'static str, u64>,
    pub commits: u64,
    pub elections: u64,
    /// How often habits of Apache's peers showed.
    pub habits: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
pub(crate) struct Shared(Mutex<Option<World>>);

pub(crate) struct World {
    seed: u64,
    handle: Handle,
    time: TimeHandle,
    nodes: Vec<TaskNode>,
    pub(crate) now: SimTime,
    pub(crate) cluster: Cluster,
    pub(crate) net: NetSim,
    pub(crate) disks: Disks,
    pub(crate) inboxes: Vec<Inbox>,
    pub(crate) servers: Vec<ServerSlot>,
    pub(crate) clients: Vec<ClientSlot>,
    pub(crate) stay_dead: Vec<ServerId>,
    pub(crate) observer: Box<dyn Observer + Send>,
    pub(crate) trace: Trace,
    /// Absent in bulk runs.
    pub(crate) recorder: Option<Box<Recorder>>,
    pub(crate) stats: Stats,
    pub(crate) coverage: Coverage,
    pub(crate) faults: Vec<FaultUnit>,
    pub(crate) undo: BTreeMap<usize, crate::faults::Undo>,
    pub(crate) ambushes: Vec<Ambush>,
    pub(crate) fault_rng: SimRng,
    pub(crate) backlog_rng: SimRng,
    pub(crate) atlas: Atlas,
    pub(crate) shadows: Shadows,
    pub(crate) phase: RunPhase,
    /// When all faults end.
    pub(crate) heal_at: SimTime,
    /// When a server last entered a phase, booted or died.
    pub(crate) quiet_since: SimTime,
    pub(crate) verdict: Option<Result<(), Violation>>,
    pub(crate) calm_min: u64,
    pub(crate) calm_max: u64,
    pub(crate) scratch: Scratch,
}

/// Lists that every turn of a host fills and empties, kept for their room.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) outbox: Outbox,
    pub(crate) deliveries: Vec<Delivery>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunPhase {
    Faults,
    Calm {
        since: SimTime,
    },
    /// As calm, with a quorum of disks lost.
    Refusing {
        since: SimTime,
    },
    /// The clients leave.
    Leaving {
        since: SimTime,
    },
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World at {}", self.now)
    }
}

/// From a moment on, whatever is still open is drawn anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reroll {
    pub at: SimTime,
    pub rolls: u32,
}

/// What a world is made of.
pub(crate) struct WorldSpec {
    pub(crate) seed: u64,
    pub(crate) rolls: u32,
    pub(crate) cluster: Cluster,
    /// Each with the moment at which it starts.
    pub(crate) clients: Vec<(SimTime, Box<dyn SimClient + Send>)>,
    /// Servers that stay dead behind the fault phase, as many of them as can be spared.
    pub(crate) stay_dead: Vec<ServerId>,
    /// Faults may take more disks than a quorum can bear.
    pub(crate) beyond_quorum: bool,
    /// Disk operations from one look at a disk to the next, on average.
    pub(crate) looks_every: u64,
    pub(crate) observer: Box<dyn Observer + Send>,
    pub(crate) faults: Vec<FaultUnit>,
    pub(crate) faults_for: SimTime,
    pub(crate) sink: Option<TraceSink>,
    pub(crate) records: bool,
    /// The run ends there if nothing was violated before.
    pub(crate) until: Option<SimTime>,
    pub(crate) reroll: Option<Reroll>,
    pub(crate) calm_min: u64,
    pub(crate) calm_max: u64,
}

impl Shared {
    /// Builds the world inside madsim's runtime: one node and task for each host.
    pub(crate) fn build(handle: &Handle, spec: WorldSpec) -> Arc<Self> {
        let WorldSpec { faults_for, until, reroll, .. } = spec;
        let shared = Arc::new(Self(Mutex::new(Some(World::new(handle, spec)))));
        let hosts = shared.with(|world| world.inboxes.len() - 1);
        for index in 0..hosts {
            let world = Arc::clone(&shared);
            let node = handle.create_node().init(move || {
                let world = Arc::clone(&world);
                std::future::poll_fn(move |context| world.poll(Host(index), context))
            });
            let id = node.build().id();
            shared.with(|world| world.nodes.push(id));
        }
        shared.with(|world| {
            world.open(faults_for);
            let control = world.control();
            if let Some(until) = until {
                world.post(until, control, What::Cut);
            }
            if let Some(Reroll { at, rolls }) = reroll {
                world.post(at, control, What::Reroll(rolls));
            }
        });
        shared
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(world.as_mut().expect("nothing runs after the world is taken"))
    }

    /// Ends the world. madsim's nodes hold on to this `Shared`, and the world to madsim: left in
    /// its place it would never be freed.
    pub(crate) fn take(&self) -> World {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        world.take().expect("a world is taken once")
    }

    fn poll(&self, host: Host, context: &mut Context<'_>) -> Poll<()> {
        self.with(|world| world.poll(host, context.waker()));
        Poll::Pending
    }

    /// Runs the control of the run until there is a verdict.
    pub(crate) async fn run(&self) -> Result<(), Violation> {
        std::future::poll_fn(|context| {
            self.with(|world| {
                let control = world.control();
                world.poll(control, context.waker());
                world.verdict.clone().map_or(Poll::Pending, Poll::Ready)
            })
        })
        .await
    }
}

impl World {
    fn new(handle: &Handle, spec: WorldSpec) -> Self {
        let WorldSpec { seed, rolls, cluster, clients, observer, faults, .. } = spec;
        let time = TimeHandle::current();
        let hosts = cluster.configs.len() + clients.len();
        let stream = |stream, index| SimRng::rolled(seed, rolls, stream, index);
        let machines = || cluster.configs.iter().zip(&cluster.machines);
        let disks = machines().map(|(config, machine)| {
            let torn = stream(Stream::Disk, config.me.0 + 1000);
            let rng = stream(Stream::Disk, config.me.0);
            DiskSim::new(machine, rng, torn, crate::payload_hash)
        });
        let servers = machines().map(|(config, machine)| {
            let mut config = config.clone();
            if rolls > 0 {
                config.seed = stream(Stream::Node, config.me.0).bytes32();
            }
            let clock = stream(Stream::Clock, config.me.0);
            let rng = stream(Stream::Clock, config.me.0 + 1000);
            let guise = cluster.apache.get(&config.me).map(|habits| {
                Box::new(Guise::new(*habits, &config, stream(Stream::Apache, config.me.0)))
            });
            let mut slot = ServerSlot::new(config, machine, clock, rng);
            slot.guise = guise;
            slot
        });
        let mut net = NetSim::new(cluster.configs.len(), hosts, stream(Stream::Latency, 0));
        // Servers that want little to wait before they stop to send find little taken from them, too.
        let room = cluster.configs.iter().map(|config| config.link_high_water_bytes).min();
        net.narrow(room.unwrap_or(u64::MAX));
        if faults.iter().any(|unit| unit.kind.names_packets()) {
            net.watch_packets();
        }
        let inboxes = (0..=hosts).map(|_| Inbox::new(&time)).collect();
        let recorder = spec.records.then(|| {
            let servers = cluster.configs.iter().map(|config| NodeId::Server(config.me));
            let clients = (0..clients.len()).map(|index| NodeId::Client(ClientId(index as u32)));
            Box::new(Recorder::new(servers.chain(clients).collect(), faults.clone()))
        });
        Self {
            seed,
            handle: handle.clone(),
            time,
            nodes: Vec::new(),
            now: SimTime::ZERO,
            net,
            disks: Disks(disks.collect()),
            inboxes,
            servers: servers.collect(),
            clients: clients.into_iter().map(|(at, client)| ClientSlot::new(at, client)).collect(),
            stay_dead: spec.stay_dead,
            observer,
            trace: Trace::new(spec.sink),
            recorder,
            stats: Stats::default(),
            coverage: Coverage::default(),
            faults,
            undo: BTreeMap::new(),
            ambushes: Vec::new(),
            fault_rng: stream(Stream::Fault, 0),
            backlog_rng: stream(Stream::Backlog, 0),
            atlas: Atlas::new(cluster.voters.clone(), spec.beyond_quorum),
            shadows: Shadows::new(
                spec.looks_every,
                stream(Stream::Shadow, 0),
                stream(Stream::Shadow, 1),
            ),
            phase: RunPhase::Faults,
            heal_at: spec.faults_for,
            quiet_since: SimTime::ZERO,
            verdict: None,
            calm_min: spec.calm_min,
            calm_max: spec.calm_max,
            scratch: Scratch::default(),
            cluster,
        }
    }

    /// Puts the first entries into the heaps.
    fn open(&mut self, faults_for: SimTime) {
        let servers = self.cluster.configs.clone();
        let apache = self.cluster.apache.keys().copied().collect();
        self.observe(NodeId::World, &SimEvent::Cluster { servers, apache });
        for index in 0..self.servers.len() {
            self.plant_marker(index);
            let at = self.cluster.machines[index].starts;
            self.post(at, Host(index), What::Boot);
        }
        for index in 0..self.clients.len() {
            let host = self.client_host(index);
            self.net.set_presence(SimTime::ZERO, host, crate::net::Presence::NoProcess);
            let at = self.clients[index].starts;
            self.post(at, host, What::ClientStart);
        }
        let control = self.control();
        for unit in 0..self.faults.len() {
            self.post(self.faults[unit].at, control, What::FaultBegins(unit));
        }
        self.post(faults_for, control, What::Heal);
    }

    /// The task of a host runs: takes everything that is due for it.
    pub(crate) fn poll(&mut self, host: Host, waker: &Waker) {
        self.tick();
        self.inboxes[host.0].polled(self.now, waker);
        if self.verdict.is_some() {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.now);
        }
        let next = match self.role(host) {
            Role::Server(index) => self.poll_server(index),
            Role::Client(index) => self.poll_client(index),
            Role::Control => self.poll_control(),
        };
        self.forward_posts();
        self.watch_black_holes();
        if let Some(at) = next {
            self.inboxes[host.0].arm(self.now, at);
        }
        if self.verdict.is_some() {
            // The control task reads the verdict.
            let control = self.control();
            self.inboxes[control.0].arm(self.now, self.now);
        }
    }

    fn tick(&mut self) {
        self.now = SimTime(u64::try_from(self.time.elapsed().as_micros()).unwrap_or(u64::MAX));
    }

    fn role(&self, host: Host) -> Role {
        let clients = self.servers.len();
        if host.0 < clients {
            Role::Server(host.0)
        } else if host.0 < clients + self.clients.len() {
            Role::Client(host.0 - clients)
        } else {
            Role::Control
        }
    }

    pub(crate) fn control(&self) -> Host {
        Host(self.servers.len() + self.clients.len())
    }

    pub(crate) fn client_host(&self, index: usize) -> Host {
        Host(self.servers.len() + index)
    }

    /// Servers are numbered from 1 without gaps.
    pub(crate) fn server_host(&self, id: ServerId) -> Option<Host> {
        let index = usize::try_from(id.0.checked_sub(1)?).ok()?;
        (index < self.servers.len()).then_some(Host(index))
    }

    pub(crate) fn peer_host(&self, peer: Peer) -> Option<Host> {
        match peer {
            Peer::Server(id) => self.server_host(ServerId(id)),
            Peer::Client(id) => {
                let index = id as usize;
                (index < self.clients.len()).then(|| self.client_host(index))
            }
        }
    }

    pub(crate) fn node(&self, host: Host) -> NodeId {
        match self.role(host) {
            Role::Server(index) => NodeId::Server(self.servers[index].id()),
            Role::Client(index) => NodeId::Client(ClientId(index as u32)),
            Role::Control => NodeId::World,
        }
    }

    pub(crate) fn post(&mut self, at: SimTime, host: Host, what: What) {
        self.inboxes[host.0].post(self.now, at, what);
    }

    /// Moves what the network wants to happen into the heaps of its hosts.
    pub(crate) fn forward_posts(&mut self) {
        if !self.net.has_posts() {
            return;
        }
        for (at, host, event) in self.net.take_posts() {
            self.inboxes[host.0].post(self.now, at, What::Net(event));
        }
    }

    /// Shows an event to the observers; the first violation ends the run.
    pub(crate) fn observe(&mut self, node: NodeId, event: &SimEvent) {
        if self.verdict.is_some() {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.observe(node, event);
        }
        self.coverage.event(self.now, node, event);
        if let Err(violation) = self.observer.event(self.now, node, event, &self.disks) {
            self.violated(node, violation);
        }
    }

    pub(crate) fn violated(&mut self, node: NodeId, violation: Violation) {
        if self.verdict.is_none() {
            if let Some(recorder) = &mut self.recorder {
                recorder.violated(node, &violation);
            }
            let hash = hash_value(&violation.to_string());
            self.trace
                .event(self.now, node, Mark::Fault, hash, || format!("VIOLATION {violation}"));
            self.verdict = Some(Err(violation));
        }
    }

    /// A server changed its part. What is sick may do so for ever.
    pub(crate) fn stirred(&mut self, index: usize) {
        if self.servers[index].sick.is_none() {
            self.quiet_since = self.now;
        }
    }

    /// The process of a server dies, or its machine does.
    pub(crate) fn crash(&mut self, index: usize, kind: CrashKind) {
        let host = Host(index);
        let id = self.servers[index].id();
        let was_up = self.servers[index].is_up();
        self.stirred(index);
        self.trace.event(self.now, NodeId::Server(id), Mark::Crash, kind as u64, || {
            format!("crash: {kind:?}")
        });
        let pending = self.disks.of(id).progress().take_pending();
        self.coverage.crash(self.now, id, kind, &pending);
        self.collect_counters(index);
        self.servers[index].died();
        self.inboxes[index].clear();
        self.net.host_died(self.now, host, kind);
        let changes = self.disks.of(id).crash(kind);
        self.tell_strayed(id);
        for change in changes {
            self.observe(NodeId::Server(id), &SimEvent::Durable(change));
        }
        // Restarting alone would leave madsim's own simulators as they were.
        self.handle.kill(self.nodes[index]);
        self.handle.restart(self.nodes[index]);
        if was_up || kind == CrashKind::PowerLoss {
            self.observe(NodeId::Server(id), &SimEvent::Crash(kind));
        }
    }

    fn plant_marker(&mut self, index: usize) {
        use vivarium_core::storage::files::{Dir, FileName};
        if self.cluster.marked_first_start {
            let id = self.servers[index].id();
            self.disks.of(id).plant(FileName::new(Dir::LogRoot, "initialize"), b"");
        }
    }

    pub(crate) fn pause_task(&mut self, index: usize, paused: bool) {
        if paused {
            self.handle.pause(self.nodes[index]);
        } else {
            self.handle.resume(self.nodes[index]);
        }
    }

    /// Draws anew what is not drawn yet: latencies, disks, clocks, what servers draw behind their next
    /// boot, when clients come back.
    pub(crate) fn reroll(&mut self, rolls: u32) {
        let seed = self.seed;
        let stream = |stream, index| SimRng::rolled(seed, rolls, stream, index);
        self.net.reroll(stream(Stream::Latency, 0));
        self.fault_rng = stream(Stream::Fault, 0);
        self.backlog_rng = stream(Stream::Backlog, 0);
        for slot in &mut self.servers {
            let id = slot.id().0;
            let disk = self.disks.of(slot.id());
            disk.reroll(stream(Stream::Disk, id), stream(Stream::Disk, id + 1000));
            slot.reroll(
                stream(Stream::Clock, id),
                stream(Stream::Clock, id + 1000),
                stream(Stream::Node, id).bytes32(),
            );
        }
        for slot in &mut self.clients {
            slot.reroll(rolls);
        }
    }

    /// What an accepted connection shows of the other side.
    pub(crate) fn far(
        &self,
        host: Host,
        end: EndId,
        plane: Plane,
    ) -> vivarium_core::server::input::Far {
        use crate::cluster::{client_ip, server_ip};
        let ip = match self.role(host) {
            Role::Server(index) => server_ip(self.servers[index].id()),
            Role::Client(index) => client_ip(index),
            Role::Control => String::from("10.0.2.1"),
        };
        let port = 30_000 + (end.0 % 30_000) as u16 + plane as u16;
        vivarium_core::server::input::Far { ip, port }
    }
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Server(usize),
    Client(usize),
    Control,
}
