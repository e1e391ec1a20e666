//! Clocks of one machine: a wall clock that is off, and a monotonic one that drifts and starts
//! anew at every boot.

use vivarium_core::time::{Mono, Stamp, Wall};

use crate::ids::SimTime;
use crate::machine::Machine;
use crate::rng::SimRng;

/// When simulated time is 0, in milliseconds since 1970.
const ORIGIN_MS: i64 = 1_700_000_000_000;
const MILLION: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub struct ClockSim {
    rng: SimRng,
    /// Milliseconds by which the wall clock is off.
    offset_ms: i64,
    /// Parts per million by which both clocks run fast.
    drift_ppm: i64,
    booted: SimTime,
    mono_at_boot: u64,
}

impl ClockSim {
    pub fn new(machine: &Machine, rng: SimRng) -> Self {
        Self {
            offset_ms: machine.clock_offset_ms,
            drift_ppm: machine.clock_drift_ppm,
            rng,
            booted: SimTime::ZERO,
            mono_at_boot: 0,
        }
    }

    pub fn boot(&mut self, now: SimTime) {
        self.booted = now;
        self.mono_at_boot = self.rng.below(5_000_000);
    }

    /// The wall clock is set, forward or back.
    pub fn step_wall(&mut self, ms: i64) {
        self.offset_ms += ms;
    }

    pub fn stamp(&self, now: SimTime) -> Stamp {
        let since_boot = self.stretch(now.since(self.booted));
        let wall = ORIGIN_MS + self.offset_ms + (self.stretch(now.0) / 1000) as i64;
        Stamp { mono: Mono(self.mono_at_boot + since_boot), wall: Wall(wall) }
    }

    /// The earliest moment at which this machine's clock shows `mono`.
    pub fn when(&self, mono: Mono) -> SimTime {
        let Some(wanted) = mono.0.checked_sub(self.mono_at_boot) else { return self.booted };
        let real = wanted.checked_mul(MILLION).map(|wanted| wanted / self.speed());
        let mut at = self.booted.plus(real.unwrap_or(u64::MAX));
        while at != SimTime::NEVER && self.stretch(at.since(self.booted)) < wanted {
            at = at.plus(1);
        }
        at
    }

    /// Whether a process that slept over its deadline reads its sockets before its timers.
    pub fn bytes_before_wake(&mut self) -> bool {
        self.rng.chance(500)
    }

    fn stretch(&self, real: u64) -> u64 {
        real.checked_mul(self.speed()).map_or(u64::MAX, |stretched| stretched / MILLION)
    }

    /// Microseconds that the clock counts in a second.
    fn speed(&self) -> u64 {
        MILLION.saturating_add_signed(self.drift_ppm)
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::time::{Mono, Span};

    use super::ClockSim;
    use crate::ids::SimTime;
    use crate::machine::Machine;
    use crate::rng::{SimRng, Stream};
    use vivarium_core::ids::ServerId;

    #[test]
    fn a_deadline_comes_when_the_clock_shows_it_and_not_a_microsecond_before() {
        for seed in 0..200 {
            let machine = Machine::draw(seed, ServerId(1), true);
            let mut clock = ClockSim::new(&machine, SimRng::new(seed, Stream::Clock, 0));
            clock.boot(SimTime(12_345));
            let deadline = clock.stamp(SimTime(500_000)).mono + Span(seed * 7_919);
            let at = clock.when(deadline);
            assert!(clock.stamp(at).mono >= deadline);
            assert!(clock.stamp(SimTime(at.0 - 1)).mono < deadline);
        }
        let machine = Machine::draw(1, ServerId(1), true);
        let mut clock = ClockSim::new(&machine, SimRng::new(1, Stream::Clock, 0));
        clock.boot(SimTime(5));
        assert_eq!(clock.when(Mono(0)), SimTime(5), "a deadline in the past is due at once");
    }
}
