//! Classes of faults that a seed omits or keeps as a whole, and how one unit of each is drawn.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::outage::boundary;
use crate::schedule::scopes::Scopes;
use crate::schedule::{Deed, FaultKind, FaultUnit, PacketKind, RotPlace, Scope};

/// A row of the swarm.
pub(super) struct Class {
    /// Shortest and longest unit, log-uniform.
    length_ms: (u64, u64),
    draw: fn(&Scopes<'_>, &mut SimRng) -> (FaultKind, Scope),
}

/// When the faults of a swarm begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) from: SimTime,
    pub(super) until: SimTime,
}

impl Class {
    pub(super) fn unit(&self, cluster: &Cluster, phase: Phase, rng: &mut SimRng) -> FaultUnit {
        let (low, high) = self.length_ms;
        let length = rng.log_range(low * 1000, high * 1000);
        let at = SimTime(rng.range(phase.from.0, phase.until.0));
        let (kind, scope) = (self.draw)(&Scopes::of(cluster), rng);
        FaultUnit { at, length, kind, scope }
    }
}

const fn row(
    length_ms: (u64, u64),
    draw: fn(&Scopes<'_>, &mut SimRng) -> (FaultKind, Scope),
) -> Class {
    Class { length_ms, draw }
}

const DOWN: (u64, u64) = (20, 4_000);
const CUT: (u64, u64) = (50, 8_000);
const SLOW: (u64, u64) = (100, 5_000);
const ONCE: (u64, u64) = (100, 3_000);
const STALL: (u64, u64) = (10, 3_000);
/// It waits so long until there is something to damage, and a server that dies with it stays down so long.
const DAMAGE: (u64, u64) = (100, 3_000);

/// The place in the list names the random stream of a class: new ones go to the end.
pub(super) const CLASSES: &[Class] = &[
    row(DOWN, |scopes, rng| (FaultKind::Crash, scopes.one_or_leader(rng))),
    row(DOWN, |scopes, rng| (FaultKind::PowerLoss, scopes.correlated(rng))),
    row(DOWN, |scopes, rng| (boundary(rng, false), scopes.one_or_leader(rng))),
    row(DOWN, |scopes, rng| (boundary(rng, true), scopes.one_or_leader(rng))),
    row((10, 60_000), |scopes, rng| (FaultKind::Pause, scopes.one_or_leader(rng))),
    row(CUT, |scopes, rng| (FaultKind::Partition { one_way: false }, scopes.split(rng))),
    row(CUT, |scopes, rng| (FaultKind::Partition { one_way: true }, scopes.split(rng))),
    row(CUT, |scopes, rng| {
        let one_way = *rng.pick(&[None, None, Some(true), Some(false)]);
        (FaultKind::Isolate { one_way }, scopes.one_or_leader(rng))
    }),
    row(STALL, |scopes, rng| (FaultKind::StallLink, scopes.pair(rng))),
    row(ONCE, |scopes, rng| (FaultKind::ResetLinks, scopes.pair(rng))),
    row(ONCE, |scopes, rng| (FaultKind::HalfOpen, scopes.pair(rng))),
    row(SLOW, |scopes, rng| (FaultKind::DiskFull, scopes.one(rng))),
    row(SLOW, |scopes, rng| (FaultKind::FsyncSlow, scopes.one(rng))),
    row(DOWN, |scopes, rng| (FaultKind::Stop, scopes.one_or_leader(rng))),
    row(ONCE, |scopes, rng| {
        let ms = rng.log_range(1, 600_000) as i64;
        (FaultKind::ClockStep { ms: if rng.chance(500) { ms } else { -ms } }, scopes.one(rng))
    }),
    row(ONCE, |scopes, rng| {
        let (sync, snapshot) = (rng.chance(500), rng.chance(400));
        (FaultKind::DiskFail { sync, snapshot }, scopes.one(rng))
    }),
    row(DAMAGE, |scopes, rng| rots(RotPlace::Log, scopes, rng)),
    row(ONCE, |scopes, rng| (FaultKind::Wipe, scopes.one(rng))),
    row(ONCE, |scopes, rng| (FaultKind::ReadFail, scopes.one(rng))),
    row(SLOW, |scopes, rng| {
        (FaultKind::SlowCpu { factor: rng.log_range(2, 100) as u32 }, scopes.one_or_leader(rng))
    }),
    row(CUT, |scopes, rng| (FaultKind::Ring, scopes.ring(rng))),
    row(CUT, |scopes, rng| {
        let (cut_ms, whole_ms) = (rng.log_range(20, 2_000) as u32, rng.log_range(20, 2_000) as u32);
        (FaultKind::Flap { cut_ms, whole_ms }, scopes.split(rng))
    }),
    row(CUT, |scopes, rng| {
        (FaultKind::BlockDials { refused: rng.chance(500) }, scopes.split_or_all(rng))
    }),
    row(ONCE, |scopes, rng| (FaultKind::FinishLinks, scopes.pair(rng))),
    row(SLOW, |scopes, rng| {
        let (add_ms, jitter_ms) = (rng.log_range(1, 400) as u32, rng.log_range(1, 200) as u32);
        (FaultKind::SlowLink { add_ms, jitter_ms }, scopes.split_or_pair(rng))
    }),
    row(SLOW, |scopes, rng| {
        let bytes_per_ms = rng.log_range(1, 500) as u32;
        (FaultKind::Throttle { bytes_per_ms }, scopes.split_or_pair(rng))
    }),
    row(STALL, |scopes, rng| {
        let kinds: Vec<_> = PacketKind::all().collect();
        (FaultKind::DelayPacket { packet: *rng.pick(&kinds) }, scopes.split_or_all(rng))
    }),
    row(ONCE, |scopes, rng| {
        (FaultKind::StrayLinks { count: rng.range(1, 6) as u32 }, scopes.one_or_leader(rng))
    }),
    row(SLOW, |scopes, rng| {
        (FaultKind::DiskSlow { factor: rng.log_range(2, 200) as u32 }, scopes.one_or_leader(rng))
    }),
    row(STALL, |scopes, rng| (FaultKind::DiskStall, scopes.one_or_leader(rng))),
    row(SLOW, |scopes, rng| (FaultKind::WallFreeze, scopes.one_or_leader(rng))),
    row(SLOW, |scopes, rng| {
        (FaultKind::SlowMono { percent: rng.log_range(5, 95) as u32 }, scopes.one_or_leader(rng))
    }),
    row(DAMAGE, |scopes, rng| rots(RotPlace::Snapshot, scopes, rng)),
    row(ONCE, |scopes, rng| (FaultKind::Misdirect, scopes.one(rng))),
    row(SLOW, |scopes, rng| {
        let packet = *rng.pick(&[
            PacketKind::Diff,
            PacketKind::Diff,
            PacketKind::Snap,
            PacketKind::Trunc,
            PacketKind::Proposal,
            PacketKind::NewLeader,
        ]);
        let after_bytes = rng.log_range(1, 20_000) as u32;
        (FaultKind::TearPacket { packet, after_bytes }, scopes.split_or_all(rng))
    }),
    // Two rows: each unit strikes once, where others last.
    row(DOWN, at_packet),
    row(DOWN, at_packet),
];

/// Half of what rots is read soon.
fn rots(place: RotPlace, scopes: &Scopes<'_>, rng: &mut SimRng) -> (FaultKind, Scope) {
    (FaultKind::BitRot { place, while_down: rng.chance(500) }, scopes.one(rng))
}

/// Where a broadcast has reached some: what a leader says to each learner, and what they answer.
fn at_packet(scopes: &Scopes<'_>, rng: &mut SimRng) -> (FaultKind, Scope) {
    let packet = *rng.pick(&[
        PacketKind::Proposal,
        PacketKind::Proposal,
        PacketKind::Commit,
        PacketKind::Commit,
        PacketKind::LeaderInfo,
        PacketKind::LeaderInfo,
        PacketKind::NewLeader,
        PacketKind::NewLeader,
        PacketKind::UpToDate,
        PacketKind::Inform,
        PacketKind::Ping,
        PacketKind::Sync,
        PacketKind::Revalidate,
        PacketKind::Request,
        PacketKind::Diff,
        PacketKind::Snap,
        PacketKind::Trunc,
        PacketKind::FollowerInfo,
        PacketKind::AckEpoch,
        PacketKind::Ack,
    ]);
    let deed = *rng.pick(&[Deed::Crash, Deed::Crash, Deed::PowerLoss, Deed::Pause, Deed::Isolate]);
    let (nth, after) = (rng.log_range(1, 12) as u32, rng.chance(500));
    (FaultKind::AtPacket { packet, nth, after, deed }, scopes.all())
}
