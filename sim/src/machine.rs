//! What kind of machine a simulated server runs on.

use vivarium_core::ids::ServerId;

use crate::ids::SimTime;
use crate::rng::{SimRng, Stream};

/// Most that a clock drifts, in parts per million; twice as much passes between two of them.
pub const MOST_DRIFT_PPM: i64 = 1000;

/// Habits of the machine of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// When its server is started for the first time.
    pub starts: SimTime,
    pub clock_offset_ms: i64,
    pub clock_drift_ppm: i64,
    /// CPU of one input, in microseconds.
    pub cpu_us: u64,
    /// A quick sync, in microseconds.
    pub sync_us: u64,
    /// Of a thousand syncs, so many take 10 to 80 ms.
    pub slow_syncs_per_mille: u64,
    /// Most that a write of a snapshot waits for its turn, in microseconds: whatever is served goes first.
    pub snap_writes_us: u64,
}

/// Machines on which snapshots take long, so that changes run ahead of the walk, in per mille.
const SNAPSHOTS_WAIT: u64 = 300;

/// Behind the streams of servers.
const SNAPSHOTS: u64 = 1 << 32;

impl Machine {
    /// `skewed`: its clock may be off by up to ten minutes and 1000 ppm; else it is nearly right.
    pub fn draw(seed: u64, server: ServerId, skewed: bool) -> Self {
        let mut rng = SimRng::new(seed, Stream::Machine, server.0);
        let mut snapshots = SimRng::new(seed, Stream::Machine, SNAPSHOTS + server.0);
        let waits = snapshots.chance(SNAPSHOTS_WAIT);
        let (offset, drift) = if skewed { (600_000, MOST_DRIFT_PPM) } else { (50, 10) };
        Self {
            starts: SimTime(rng.below(200_000)),
            clock_offset_ms: around_zero(offset, &mut rng),
            clock_drift_ppm: around_zero(drift, &mut rng),
            cpu_us: rng.log_range(2, 60),
            sync_us: rng.log_range(50, 3_000),
            slow_syncs_per_mille: *rng.pick(&[0, 0, 100, 300]),
            snap_writes_us: if waits { snapshots.log_range(200, 10_000) } else { 0 },
        }
    }
}

fn around_zero(most: i64, rng: &mut SimRng) -> i64 {
    rng.below(2 * most.unsigned_abs() + 1).cast_signed() - most
}
