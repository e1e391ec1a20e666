//! Random streams. One seed is split by name, so that a change in what one concern draws leaves
//! every other concern's draws as they were.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Sizes, limits and timeouts of the cluster.
    Config = 1,
    /// The fault schedule.
    Schedule = 2,
    /// What clients do.
    Workload = 3,
    /// Network latencies, chunk borders, resets.
    Latency = 4,
    /// Seeds handed to the servers.
    Node = 5,
    /// madsim's own draws: order of ready tasks.
    Tasks = 6,
    /// Disk latencies, and what a power cut leaves.
    Disk = 7,
    /// Clocks: offsets, drift, order after pauses.
    Clock = 8,
    /// Choices made when a fault strikes.
    Fault = 9,
    /// Which servers are of Apache's kind, and when their habits show.
    Apache = 10,
    /// What a client does: one stream for each operation.
    Operation = 11,
    /// Habits of one server's machine.
    Machine = 12,
    /// When disks are looked at with a recovery of their own, and what a power cut then leaves.
    Shadow = 13,
    /// What a client asks about persistent watches: one stream for each operation.
    Watching = 14,
    /// Whether sessions are local, and who reads without a quorum.
    Sessions = 16,
    /// Who clients say they are, and the lists that they give to nodes.
    Access = 17,
    /// Whether clients set quotas.
    Quota = 18,
    /// In which order a process that was stopped finds what came meanwhile.
    Backlog = 19,
    /// What a search guided by coverage tries.
    Explore = 20,
}

/// A deterministic generator.
#[derive(Clone, Debug)]
pub struct SimRng(ChaCha12Rng);

impl SimRng {
    /// The stream of `seed` for this concern. `index` tells several owners of one concern apart.
    pub fn new(seed: u64, stream: Stream, index: u64) -> Self {
        Self::rolled(seed, 0, stream, index)
    }

    /// The same, drawn anew: each number of `rolls` but 0 gives another stream.
    pub fn rolled(seed: u64, rolls: u32, stream: Stream, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = stream as u8;
        key[12..16].copy_from_slice(&rolls.to_le_bytes());
        key[16..24].copy_from_slice(&index.to_le_bytes());
        key[24..].copy_from_slice(b"vivarium");
        Self(ChaCha12Rng::from_seed(key))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(low <= high);
        low + self.below(high - low + 1)
    }

    /// True with a probability of `per_mille` / 1000.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// Log-uniform in `low..=high` (`low` at least 1): each doubling is equally likely.
    pub fn log_range(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(1 <= low && low <= high);
        let doublings = u64::from((high / low).ilog2()) + 1;
        let base = low.saturating_mul(1 << self.below(doublings));
        self.range(base, base.saturating_mul(2).saturating_sub(1).clamp(base, high.max(base)))
            .min(high)
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{SimRng, Stream};

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let first = |stream, index| SimRng::new(1, stream, index).next_u64();
        assert_eq!(first(Stream::Disk, 0), first(Stream::Disk, 0));
        assert_ne!(first(Stream::Disk, 0), first(Stream::Disk, 1));
        assert_ne!(first(Stream::Disk, 0), first(Stream::Clock, 0));
        let rolled = |rolls| SimRng::rolled(1, rolls, Stream::Disk, 0).next_u64();
        assert_eq!(first(Stream::Disk, 0), rolled(0));
        assert_ne!(rolled(1), rolled(0));
        assert_ne!(rolled(1), rolled(2));
    }

    #[test]
    fn ranges_hold_their_bounds_and_reach_them() {
        let mut rng = SimRng::new(2, Stream::Config, 0);
        let (mut low, mut high) = (false, false);
        for _ in 0..2000 {
            let uniform = rng.range(3, 9);
            assert!((3..=9).contains(&uniform));
            let log = rng.log_range(3, 100);
            assert!((3..=100).contains(&log), "{log}");
            low |= log < 6;
            high |= log > 60;
        }
        assert!(low && high);
    }
}
