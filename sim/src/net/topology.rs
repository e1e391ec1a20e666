//! Who can reach whom, how long it takes, and who is there to answer.

use crate::ids::SimTime;
use crate::net::PathFault;
use crate::rng::{SimRng, Stream};
use crate::schedule::PacketKind;

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
#[derive(Clone, Debug)]
struct Path {
    base: u64,
    jitter: u64,
    /// Bytes per millisecond.
    bandwidth: u64,
    /// How many faults block it right now; nothing passes, new connections neither.
    blocked: u32,
    /// How many faults stall it right now; only what standing connections carry waits.
    stalled: u32,
    /// How many faults make new connections fail by silence, or by refusal.
    dropped: u32,
    refused: u32,
    /// What faults add to the latency, and to its jitter.
    slow: u64,
    slow_jitter: u64,
    /// Bandwidths that faults leave; the narrowest counts.
    throttles: Vec<u64>,
    delays: Vec<(PacketKind, SimTime)>,
    /// With the bytes behind the beginning of such a packet that still pass.
    tears: Vec<(PacketKind, u64)>,
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
                dropped: 0,
                refused: 0,
                slow: 0,
                slow_jitter: 0,
                throttles: Vec::new(),
                delays: Vec::new(),
                tears: Vec::new(),
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
        let slow = if path.slow > 0 { path.slow + rng.below(path.slow_jitter + 1) } else { 0 };
        path.base + rng.below(path.jitter) + tail + slow
    }

    /// Microseconds that so many bytes keep the path busy.
    pub(super) fn busy(&self, from: Host, to: Host, bytes: u64) -> u64 {
        let bandwidth = self.path(from, to).bandwidth;
        bytes * 1000 / self.narrowest(from, to).map_or(bandwidth, |rate| rate.min(bandwidth))
    }

    /// Bytes per millisecond that a fault leaves.
    pub(super) fn narrowest(&self, from: Host, to: Host) -> Option<u64> {
        self.path(from, to).throttles.iter().copied().min()
    }

    pub(super) fn is_blocked(&self, from: Host, to: Host) -> bool {
        self.path(from, to).blocked > 0
    }

    /// Whether what a standing connection carries has to wait.
    pub(super) fn is_shut(&self, from: Host, to: Host) -> bool {
        let path = self.path(from, to);
        path.blocked > 0 || path.stalled > 0
    }

    pub(super) fn are_dials_refused(&self, from: Host, to: Host) -> bool {
        self.path(from, to).refused > 0
    }

    pub(super) fn are_dials_dropped(&self, from: Host, to: Host) -> bool {
        self.path(from, to).dropped > 0
    }

    /// Until when a packet of this kind waits that leaves now.
    pub(super) fn delayed_until(&self, from: Host, to: Host, kind: PacketKind) -> Option<SimTime> {
        let delays = self.path(from, to).delays.iter();
        delays.filter(|(delayed, _)| *delayed == kind).map(|(_, until)| *until).max()
    }

    /// How many bytes behind the beginning of a packet of this kind its connection ends.
    pub(super) fn tears_behind(&self, from: Host, to: Host, kind: PacketKind) -> Option<u64> {
        let tears = self.path(from, to).tears.iter();
        tears.filter(|(torn, _)| *torn == kind).map(|(_, after)| *after).min()
    }

    pub(super) fn fault(&mut self, from: Host, to: Host, fault: PathFault, on: bool) {
        let path = self.path_mut(from, to);
        match fault {
            PathFault::Block => bump(&mut path.blocked, on),
            PathFault::Stall => bump(&mut path.stalled, on),
            PathFault::Dials { refused: true } => bump(&mut path.refused, on),
            PathFault::Dials { refused: false } => bump(&mut path.dropped, on),
            PathFault::Slow { add, jitter } if on => {
                path.slow += add;
                path.slow_jitter += jitter;
            }
            PathFault::Slow { add, jitter } => {
                path.slow -= add;
                path.slow_jitter -= jitter;
            }
            PathFault::Throttle { bytes_per_ms } => list(&mut path.throttles, bytes_per_ms, on),
            PathFault::Delay { packet, until } => list(&mut path.delays, (packet, until), on),
            PathFault::Tear { packet, after } => list(&mut path.tears, (packet, after), on),
        }
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

fn list<T: PartialEq>(faults: &mut Vec<T>, fault: T, on: bool) {
    if on {
        faults.push(fault);
    } else {
        let at = faults.iter().position(|known| *known == fault);
        faults.swap_remove(at.expect("each fault ends once"));
    }
}

/// When a segment that leaves now arrives, behind those before it on the same connection.
pub(super) fn arrival(leaves: SimTime, latency: u64, last: SimTime) -> SimTime {
    leaves.plus(latency).max(last)
}
