//! Who can reach whom, how long it takes, and who is there to answer.

use crate::ids::SimTime;
use crate::rng::{SimRng, Stream};

/// Index of a machine: servers first, then clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub usize);

/// Whether somebody answers a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No machine: a dial times out.
    Off,
    /// A machine without a process: a dial is refused.
    NoProcess,
    /// A process that has its ports open and does not look at them yet: the kernel accepts what is
    /// dialled, and buffers what comes.
    Backlog,
    Listening,
}

/// One direction between two hosts.
#[derive(Clone, Copy, Debug)]
struct Path {
    base: u64,
    jitter: u64,
    /// Bytes per millisecond.
    bandwidth: u64,
    /// How many faults block it right now; nothing passes, new connections neither.
    blocked: u32,
    /// How many faults stall it right now; only what standing connections carry waits.
    stalled: u32,
}

#[derive(Debug)]
pub(super) struct Topology {
    hosts: usize,
    paths: Vec<Path>,
    presence: Vec<Presence>,
    /// Of a thousand segments, so many meet a queue on the way.
    tail_per_mille: u64,
    tail_max: u64,
}

impl Topology {
    pub(super) fn draw(hosts: usize, rng: &mut SimRng) -> Self {
        let (low, high) = *rng.pick(&[(50, 400), (50, 400), (100, 3000), (2000, 20_000)]);
        // Each path has a stream of its own: that a machine is there changes no other path.
        let seed = rng.next_u64();
        let mut paths = Vec::with_capacity(hosts * hosts);
        for index in 0..hosts * hosts {
            let (from, to) = ((index / hosts) as u64, (index % hosts) as u64);
            let rng = &mut SimRng::new(seed, Stream::Latency, from << 32 | to);
            let base = rng.log_range(low, high);
            paths.push(Path {
                base,
                jitter: base / rng.range(2, 10) + 1,
                bandwidth: rng.log_range(2_000, 1_000_000),
                blocked: 0,
                stalled: 0,
            });
        }
        Self {
            hosts,
            paths,
            presence: vec![Presence::Off; hosts],
            tail_per_mille: *rng.pick(&[0, 2, 10]),
            tail_max: rng.log_range(2_000, 60_000),
        }
    }

    fn path(&self, from: Host, to: Host) -> &Path {
        &self.paths[from.0 * self.hosts + to.0]
    }

    fn path_mut(&mut self, from: Host, to: Host) -> &mut Path {
        &mut self.paths[from.0 * self.hosts + to.0]
    }

    pub(super) fn latency(&self, from: Host, to: Host, rng: &mut SimRng) -> u64 {
        let path = self.path(from, to);
        let tail = if rng.chance(self.tail_per_mille) { rng.below(self.tail_max) } else { 0 };
        path.base + rng.below(path.jitter) + tail
    }

    /// Microseconds that so many bytes keep the path busy.
    pub(super) fn busy(&self, from: Host, to: Host, bytes: u64) -> u64 {
        bytes * 1000 / self.path(from, to).bandwidth
    }

    pub(super) fn is_blocked(&self, from: Host, to: Host) -> bool {
        self.path(from, to).blocked > 0
    }

    /// Whether what a standing connection carries has to wait.
    pub(super) fn is_shut(&self, from: Host, to: Host) -> bool {
        let path = self.path(from, to);
        path.blocked > 0 || path.stalled > 0
    }

    pub(super) fn block(&mut self, from: Host, to: Host, on: bool) {
        bump(&mut self.path_mut(from, to).blocked, on);
    }

    pub(super) fn stall(&mut self, from: Host, to: Host, on: bool) {
        bump(&mut self.path_mut(from, to).stalled, on);
    }

    pub(super) fn presence(&self, host: Host) -> Presence {
        self.presence[host.0]
    }

    pub(super) fn set_presence(&mut self, host: Host, presence: Presence) {
        self.presence[host.0] = presence;
    }
}

fn bump(count: &mut u32, on: bool) {
    *count = if on { *count + 1 } else { count.checked_sub(1).expect("each fault ends once") };
}

/// When a segment that leaves now arrives, behind those before it on the same connection.
pub(super) fn arrival(leaves: SimTime, latency: u64, last: SimTime) -> SimTime {
    leaves.plus(latency).max(last)
}
