//! The world: an ordered queue of events, servers with their disks and links, clients.

mod disks;
mod links;
mod process;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::config::Config;
use vivarium_core::server::Input;
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{LinkEnd, Queue};
use vivarium_core::server::view::View;

use self::process::Node;
use super::audit::Audit;
use super::client::Client;
use super::net::Conn;
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
    /// Calls of [`Server::step`](vivarium_core::server::Server::step).
    pub core_steps: u64,
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
            core_steps: 0,
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
