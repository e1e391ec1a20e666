//! The fault schedule: an explicit list of everything that will go wrong in a run, and the only
//! source of faults. Drawn from the seed, or written by hand.

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::ids::{NodeId, SimTime};
use crate::rng::{SimRng, Stream};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultUnit {
    pub at: SimTime,
    /// Microseconds until it is undone: until the server is started again, the link heals ..
    pub length: u64,
    pub kind: FaultKind,
    pub scope: Scope,
}

/// A machine on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Server(u64),
    Client(u32),
}

/// Whom it hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Servers(Vec<u64>),
    /// Whoever leads when the fault strikes; nobody where nobody does.
    Leader,
    /// What goes from any of these to any of those.
    Between {
        from: Vec<Peer>,
        to: Vec<Peer>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FaultKind {
    /// kill -9: the page cache survives.
    Crash,
    /// All servers of the scope lose power at once.
    PowerLoss,
    /// Dies just before, or just after, the n-th disk operation has taken effect.
    CrashAtBoundary {
        nth: u32,
        after: bool,
        power: bool,
        counts: Counted,
        #[serde(default)]
        since: Since,
    },
    /// The operator stops the server in order.
    Stop,
    /// A long stop of the world: garbage collection, SIGSTOP, a migrating machine.
    Pause,
    /// Nothing passes, new connections neither.
    Partition {
        one_way: bool,
    },
    /// The server is cut off from all other servers; `Some(true)`: it still hears them.
    Isolate {
        one_way: Option<bool>,
    },
    /// Standing connections deliver nothing for a while.
    StallLink,
    ResetLinks,
    /// Standing connections become black holes.
    HalfOpen,
    DiskFull,
    FsyncSlow,
    /// The wall clock is set.
    ClockStep {
        ms: i64,
    },
    /// The next such operation fails.
    DiskFail {
        sync: bool,
    },
    /// A read meets a bad sector, once.
    ReadFail,
    BitRot,
    /// The server comes back with an empty disk.
    Wipe,
}

/// Which disk operations a crash at a boundary counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Counted {
    All,
    Syncs,
    /// Syncs of a folder: a name takes effect, that of an epoch file, a snapshot, a new log file.
    Names,
}

/// From when on a crash at a boundary counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Since {
    /// The unit's own time.
    #[default]
    Now,
    /// The server's next synchronization, as leader or learner: between two of its writes.
    Synchronization,
}

impl Scope {
    /// Whether it names this machine, or may come to mean it.
    pub fn may_hit(&self, node: NodeId) -> bool {
        let is = |peer: &Peer| match (*peer, node) {
            (Peer::Server(id), NodeId::Server(server)) => id == server.0,
            (Peer::Client(id), NodeId::Client(client)) => id == client.0,
            (Peer::Server(_) | Peer::Client(_), _) => false,
        };
        match self {
            Self::Servers(ids) => ids.iter().any(|&id| is(&Peer::Server(id))),
            Self::Leader => matches!(node, NodeId::Server(_)),
            Self::Between { from, to } => from.iter().chain(to).any(is),
        }
    }
}

impl FaultKind {
    /// Every name that a summary may show.
    pub const NAMES: [&str; 19] = [
        "crash",
        "power_loss",
        "crash_at_boundary",
        "crash_in_sync",
        "stop",
        "pause",
        "partition",
        "partition_one_way",
        "isolate",
        "stall_link",
        "reset_links",
        "half_open",
        "disk_full",
        "fsync_slow",
        "clock_step",
        "disk_fail",
        "read_fail",
        "bit_rot",
        "wipe",
    ];

    /// A short name for summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power_loss",
            Self::CrashAtBoundary { since: Since::Now, .. } => "crash_at_boundary",
            Self::CrashAtBoundary { since: Since::Synchronization, .. } => "crash_in_sync",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Partition { one_way: false } => "partition",
            Self::Partition { one_way: true } => "partition_one_way",
            Self::Isolate { .. } => "isolate",
            Self::StallLink => "stall_link",
            Self::ResetLinks => "reset_links",
            Self::HalfOpen => "half_open",
            Self::DiskFull => "disk_full",
            Self::FsyncSlow => "fsync_slow",
            Self::ClockStep { .. } => "clock_step",
            Self::DiskFail { .. } => "disk_fail",
            Self::ReadFail => "read_fail",
            Self::BitRot => "bit_rot",
            Self::Wipe => "wipe",
        }
    }

    /// Whether the server of the scope goes down for the length of the unit.
    const fn kills(self) -> bool {
        matches!(self, Self::Crash | Self::PowerLoss | Self::CrashAtBoundary { .. })
    }

    /// Whether it can destroy what a server has promised to keep, or its disk: charged to the
    /// fault atlas.
    pub const fn is_charged(self) -> bool {
        matches!(self, Self::DiskFail { .. } | Self::BitRot | Self::Wipe)
    }
}

/// Classes that the swarm generator omits or keeps.
const CLASSES: usize = 19;

/// Streams of what is no class.
const ROLLING: u64 = 19;
const IS_ALONE: u64 = 20;
const DENSITY: u64 = 21;
const THINNING: u64 = 22;

/// Seeds with a rolling outage and no other fault, in per mille.
const ALONE: u64 = 200;

/// The calmest seed has one fault where the stormiest has so many: times this, for each five seconds
/// of the phase.
const DENSITIES: u64 = 4;

/// Draws the schedule of a seed: each class is left out with probability one half, and how often
/// the others strike is log-uniform; so is the density of all of them together.
pub fn draw(seed: u64, cluster: &Cluster, faults_for: SimTime) -> Vec<FaultUnit> {
    let mut rng = SimRng::new(seed, Stream::Schedule, 0);
    let mut units = Vec::new();
    // A long phase of faults has more of them, a short one still some.
    let scale = (faults_for.0 / 5_000_000).max(1);
    let density = density(seed, scale);
    // A chain of several steps completes only where nothing else comes between them.
    let alone = is_alone(seed, cluster);
    for class in 0..CLASSES {
        let (keep, count) = (rng.chance(500) && !alone, rng.log_range(1, 8) * scale);
        let mut class_rng = SimRng::new(seed, Stream::Schedule, class_stream(class));
        if keep {
            units.extend((0..count).map(|_| draw_unit(class, cluster, faults_for, &mut class_rng)));
        }
    }
    let mut thinning = SimRng::new(seed, Stream::Schedule, THINNING);
    units.retain(|_| thinning.chance(density));
    let mut rng = SimRng::new(seed, Stream::Schedule, ROLLING);
    let rolls = rng.chance(400) || alone;
    if rolls {
        units.extend(rolling_outage(cluster, faults_for, &mut rng));
    }
    let share = if alone { 0 } else { *rng.pick(&[0, 0, 300, 800]) };
    units.extend(relapses(share, &units, faults_for, &mut rng));
    units.sort_by_key(|unit| unit.at);
    units
}

/// Those of the first 18 classes stand before the streams of what is no class.
fn class_stream(class: usize) -> u64 {
    let next = class as u64 + 1;
    if next < ROLLING { next } else { next + 100 }
}

/// How many of the faults of the stormiest seed this one has, in per mille: storms stop whatever takes
/// several steps, and long calm stretches are what lets a server fall far behind, or catch up.
fn density(seed: u64, scale: u64) -> u64 {
    SimRng::new(seed, Stream::Schedule, DENSITY)
        .log_range((1000 / (DENSITIES * scale)).max(1), 1000)
}

/// Whether the seed has nothing but a rolling outage. One voter has no other to follow it.
fn is_alone(seed: u64, cluster: &Cluster) -> bool {
    let draw = SimRng::new(seed, Stream::Schedule, IS_ALONE).chance(ALONE);
    draw && cluster.voters.len() > 2
}

/// As many voters as a quorum can spare lose power, and about when they are back the next ones do:
/// each quorum consists of those who know everything and those who know nothing of late.
fn rolling_outage(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let mut voters: Vec<u64> = cluster.voters.iter().map(|id| id.0).collect();
    rng.shuffle(&mut voters);
    let spare = (voters.len() - 1) / 2;
    let mut next = voters.iter().copied().cycle();
    // The next ones fall before the last are back: the old epoch cannot take those in any more.
    let overlaps = rng.chance(600);
    // Late enough for a first quorum with something to lose.
    let mut at = SimTime(rng.range(until.0 / 20, until.0 / 4));
    let mut units = Vec::new();
    while spare > 0 && at <= until {
        let length = rng.log_range(700_000, 1_600_000);
        let hit: Vec<u64> = next.by_ref().take(spare).collect();
        for &server in &hit {
            // Too late to have part in this quorum, early enough for the next.
            let falls = rng.chance(700);
            let at = at.plus(length + rng.log_range(1_000, 100_000));
            let kind = match rng.below(4) {
                0 => entering(rng),
                1 => boundary(rng, true),
                _ => synchronizing(rng),
            };
            let length = rng.range(length / 2, length);
            if falls && at <= until {
                units.push(FaultUnit { at, length, kind, scope: Scope::Servers(vec![server]) });
            }
        }
        // The others see a process die at once; that a machine is gone, only by its silence.
        let kind = if rng.chance(500) { FaultKind::Crash } else { FaultKind::PowerLoss };
        units.push(FaultUnit { at, length, kind, scope: Scope::Servers(hit) });
        let gap = rng.log_range(1_000, 300_000);
        at = at.plus(if overlaps { length - gap } else { length + gap });
    }
    units
}

/// A server that has just come back dies again before it is in step: while it recovers, takes the
/// leader's history, or enters its epoch. Where the order of two writes matters, it matters here.
/// `share`: how many do, in per mille.
fn relapses(share: u64, units: &[FaultUnit], until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let mut relapses = Vec::new();
    for unit in units.iter().filter(|unit| unit.kind.kills()) {
        let Scope::Servers(hit) = &unit.scope else { continue };
        // Those that lose power together come back together, and may fall together once more.
        let back = unit.at.plus(unit.length);
        for &server in hit {
            let (again, delay) = (rng.chance(share), rng.log_range(1_000, 500_000));
            let kind = match rng.chance(400) {
                true => synchronizing(rng),
                false => boundary(rng, true),
            };
            let length = rng.log_range(20_000, 4_000_000);
            let at = back.plus(delay);
            if again && at <= until {
                relapses.push(FaultUnit { at, length, kind, scope: Scope::Servers(vec![server]) });
            }
        }
    }
    relapses
}

/// Right behind one of the first names that take effect: acceptedEpoch, a log file, currentEpoch.
fn entering(rng: &mut SimRng) -> FaultKind {
    let nth = rng.range(1, 4) as u32;
    let (counts, since) = (Counted::Names, Since::Now);
    FaultKind::CrashAtBoundary { nth, after: true, power: true, counts, since }
}

/// Between two of the writes that bring a server in step: of history, names, currentEpoch.
fn synchronizing(rng: &mut SimRng) -> FaultKind {
    let counts = *rng.pick(&[Counted::All, Counted::Syncs, Counted::Names]);
    let most = match counts {
        Counted::All => 16,
        Counted::Syncs => 6,
        Counted::Names => 3,
    };
    let nth = rng.range(1, most) as u32;
    let since = Since::Synchronization;
    FaultKind::CrashAtBoundary { nth, after: rng.chance(500), power: true, counts, since }
}

fn boundary(rng: &mut SimRng, power: bool) -> FaultKind {
    let counts = *rng.pick(&[Counted::All, Counted::Syncs, Counted::Names]);
    // Names take effect far less often than bytes.
    let most = if counts == Counted::Names { 8 } else { 30 };
    let nth = rng.log_range(1, most) as u32;
    FaultKind::CrashAtBoundary { nth, after: rng.chance(500), power, counts, since: Since::Now }
}

fn draw_unit(class: usize, cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> FaultUnit {
    let (low, high) = length_ms(class);
    let length = rng.log_range(low * 1000, high * 1000);
    let at = SimTime(rng.range((until.0 / 25).min(until.0), until.0));
    let all: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    let one = Scope::Servers(vec![*rng.pick(&all)]);
    let one_or_leader = if rng.chance(400) { Scope::Leader } else { one.clone() };
    let (kind, scope) = match class {
        0 => (FaultKind::Crash, one_or_leader),
        1 => (FaultKind::PowerLoss, Scope::Servers(correlated(&all, rng))),
        2 => (boundary(rng, false), one_or_leader),
        3 => (boundary(rng, true), one_or_leader),
        4 => (FaultKind::Pause, one_or_leader),
        5 => (FaultKind::Partition { one_way: false }, split(cluster, &all, rng)),
        6 => (FaultKind::Partition { one_way: true }, split(cluster, &all, rng)),
        7 => {
            let one_way = *rng.pick(&[None, None, Some(true), Some(false)]);
            (FaultKind::Isolate { one_way }, one_or_leader)
        }
        8 => (FaultKind::StallLink, pair(&all, cluster, rng)),
        9 => (FaultKind::ResetLinks, pair(&all, cluster, rng)),
        10 => (FaultKind::HalfOpen, pair(&all, cluster, rng)),
        11 => (FaultKind::DiskFull, one),
        12 => (FaultKind::FsyncSlow, one),
        13 => (FaultKind::Stop, one_or_leader),
        14 => {
            let ms = rng.log_range(1, 600_000) as i64;
            (FaultKind::ClockStep { ms: if rng.chance(500) { ms } else { -ms } }, one)
        }
        15 => (FaultKind::DiskFail { sync: rng.chance(500) }, one),
        16 => (FaultKind::BitRot, one),
        17 => (FaultKind::Wipe, one),
        _ => (FaultKind::ReadFail, one),
    };
    FaultUnit { at, length, kind, scope }
}

fn length_ms(class: usize) -> (u64, u64) {
    match class {
        0..=3 | 13 => (20, 4_000),
        4 => (10, 60_000),
        5..=7 => (50, 8_000),
        8 => (10, 3_000),
        11 | 12 => (100, 5_000),
        _ => (100, 3_000),
    }
}

/// Each server with probability 0.7, at least one.
fn correlated(all: &[u64], rng: &mut SimRng) -> Vec<u64> {
    let hit: Vec<_> = all.iter().copied().filter(|_| rng.chance(700)).collect();
    if hit.is_empty() { vec![*rng.pick(all)] } else { hit }
}

/// Two sides of a cut; clients keep to a side of their own choice, or are not hindered.
fn split(cluster: &Cluster, all: &[u64], rng: &mut SimRng) -> Scope {
    let mut order = all.to_vec();
    rng.shuffle(&mut order);
    let border = rng.range(1, order.len().max(2) as u64 - 1) as usize;
    let (left, right) = order.split_at(border.min(order.len()));
    let mut from: Vec<_> = left.iter().map(|&id| Peer::Server(id)).collect();
    let mut to: Vec<_> = right.iter().map(|&id| Peer::Server(id)).collect();
    let with_clients = rng.chance(500);
    for client in 0..cluster.clients as u32 {
        let side = rng.chance(500);
        if with_clients {
            if side { &mut from } else { &mut to }.push(Peer::Client(client));
        }
    }
    Scope::Between { from, to }
}

/// Two machines, one of them perhaps a client.
fn pair(all: &[u64], cluster: &Cluster, rng: &mut SimRng) -> Scope {
    let mut order = all.to_vec();
    rng.shuffle(&mut order);
    let client = rng.below(cluster.clients as u64) as u32;
    let to = match order.get(1) {
        Some(&id) if !rng.chance(300) => Peer::Server(id),
        Some(_) | None => Peer::Client(client),
    };
    let (from, to) = (Peer::Server(order[0]), to);
    if rng.chance(500) {
        Scope::Between { from: vec![from], to: vec![to] }
    } else {
        Scope::Between { from: vec![to], to: vec![from] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FaultKind, draw};
    use crate::cluster::Cluster;
    use crate::ids::SimTime;

    #[test]
    fn a_schedule_repeats_survives_json_and_keeps_to_its_phase() {
        let phase = SimTime::from_secs(5);
        for seed in 0..50 {
            let cluster = Cluster::draw(seed, None);
            let units = draw(seed, &cluster, phase);
            assert_eq!(units, draw(seed, &cluster, phase));
            assert!(units.iter().all(|unit| unit.at <= phase && unit.length > 0));
            let json = serde_json::to_string(&units).unwrap();
            assert_eq!(units, serde_json::from_str::<Vec<_>>(&json).unwrap());
        }
    }

    #[test]
    fn some_seeds_have_nothing_but_a_rolling_outage() {
        let chain = ["crash", "power_loss", "crash_at_boundary", "crash_in_sync"];
        let phase = SimTime::from_secs(5);
        let alone = (0..200).filter(|&seed| {
            let cluster = Cluster::draw(seed, None);
            let is_alone = super::is_alone(seed, &cluster);
            let units = draw(seed, &cluster, phase);
            let only_chain = units.iter().all(|unit| chain.contains(&unit.kind.name()));
            assert!(!is_alone || only_chain && units.len() > 1, "seed {seed}: {units:?}");
            is_alone
        });
        assert!((20..=60).contains(&alone.count()));
        let single = Cluster::draw(1, Some(1));
        assert!((0..200).all(|seed| !super::is_alone(seed, &single)));
    }

    #[test]
    fn the_swarm_omits_classes_and_reaches_all_of_them() {
        let mut seen = BTreeSet::new();
        let mut omitted = 0;
        for seed in 0..300 {
            let cluster = Cluster::draw(seed, None);
            let units = draw(seed, &cluster, SimTime::from_secs(5));
            let names: BTreeSet<_> = units.iter().map(|unit| unit.kind.name()).collect();
            omitted += usize::from(!names.contains("pause"));
            seen.extend(names);
        }
        assert_eq!(seen, FaultKind::NAMES.into_iter().collect());
        // Thin schedules happen to omit it, too.
        assert!((120..=240).contains(&omitted), "pause was omitted in {omitted} of 300 seeds");
    }
}
