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
    /// Hundredths of its speed that the monotonic clock runs at.
    mono_percent: u64,
    /// What the monotonic clock showed when its present speed began, at its boot at the latest.
    since: SimTime,
    mono_then: u64,
    /// Faults that hold the wall clock, and what it shows meanwhile.
    freezes: u32,
    frozen_ms: i64,
}

impl ClockSim {
    pub fn new(machine: &Machine, rng: SimRng) -> Self {
        Self {
            offset_ms: machine.clock_offset_ms,
            drift_ppm: machine.clock_drift_ppm,
            rng,
            mono_percent: 100,
            since: SimTime::ZERO,
            mono_then: 0,
            freezes: 0,
            frozen_ms: 0,
        }
    }

    pub(crate) fn reroll(&mut self, rng: SimRng) {
        self.rng = rng;
    }

    pub fn boot(&mut self, now: SimTime) {
        self.since = now;
        self.mono_then = self.rng.below(5_000_000);
    }

    /// The wall clock is set, forward or back.
    pub fn step_wall(&mut self, ms: i64) {
        self.offset_ms += ms;
        self.frozen_ms += ms;
    }

    /// The wall clock stands still; when the last fault that holds it ends, it goes on from there.
    pub fn freeze_wall(&mut self, now: SimTime, on: bool) {
        let shown = self.wall_ms(now);
        if on {
            self.frozen_ms = shown;
            self.freezes += 1;
        } else {
            self.freezes -= 1;
            let behind = shown - self.wall_ms(now);
            self.offset_ms += if self.freezes == 0 { behind } else { 0 };
        }
    }

    /// From now on the monotonic clock runs at so many hundredths of its speed.
    pub fn set_mono_speed(&mut self, now: SimTime, percent: u64) {
        self.mono_then = self.stamp(now).mono.0;
        self.since = now;
        self.mono_percent = percent;
    }

    pub fn stamp(&self, now: SimTime) -> Stamp {
        let since = stretch(now.since(self.since), self.mono_speed());
        Stamp { mono: Mono(self.mono_then + since), wall: Wall(self.wall_ms(now)) }
    }

    fn wall_ms(&self, now: SimTime) -> i64 {
        if self.freezes > 0 {
            return self.frozen_ms;
        }
        ORIGIN_MS + self.offset_ms + (stretch(now.0, self.speed()) / 1000) as i64
    }

    /// The earliest moment at which this machine's clock shows `mono`.
    pub fn when(&self, mono: Mono) -> SimTime {
        let Some(wanted) = mono.0.checked_sub(self.mono_then) else { return self.since };
        let real = wanted.checked_mul(MILLION).map(|wanted| wanted / self.mono_speed());
        let mut at = self.since.plus(real.unwrap_or(u64::MAX));
        while at != SimTime::NEVER && stretch(at.since(self.since), self.mono_speed()) < wanted {
            at = at.plus(1);
        }
        at
    }

    /// Whether a process that slept over its deadline reads its sockets before its timers.
    pub fn bytes_before_wake(&mut self) -> bool {
        self.rng.chance(500)
    }

    /// Microseconds that the clock counts in a second.
    fn speed(&self) -> u64 {
        MILLION.saturating_add_signed(self.drift_ppm)
    }

    fn mono_speed(&self) -> u64 {
        self.speed() * self.mono_percent / 100
    }
}

fn stretch(real: u64, speed: u64) -> u64 {
    real.checked_mul(speed).map_or(u64::MAX, |stretched| stretched / MILLION)
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

    #[test]
    fn a_frozen_wall_goes_on_from_where_it_stood_and_mono_does_not_care() {
        let machine = Machine::draw(3, ServerId(1), false);
        let mut clock = ClockSim::new(&machine, SimRng::new(3, Stream::Clock, 0));
        clock.boot(SimTime::ZERO);
        let (start, later) = (SimTime::from_secs(1), SimTime::from_secs(3));
        let before = clock.stamp(start);
        clock.freeze_wall(start, true);
        clock.freeze_wall(start, true);
        clock.freeze_wall(later, false);
        assert_eq!(clock.stamp(later).wall, before.wall);
        clock.freeze_wall(later, false);
        assert_eq!(clock.stamp(later).wall, before.wall);
        assert!(clock.stamp(SimTime::from_secs(4)).wall.0 - before.wall.0 >= 999);
        assert!(clock.stamp(later).mono.0 - before.mono.0 > 1_999_000);
    }

    #[test]
    fn a_slow_mono_never_goes_back_and_deadlines_come_late() {
        let machine = Machine::draw(3, ServerId(1), false);
        let mut clock = ClockSim::new(&machine, SimRng::new(3, Stream::Clock, 0));
        clock.boot(SimTime::ZERO);
        let start = SimTime::from_secs(1);
        let before = clock.stamp(start).mono;
        clock.set_mono_speed(start, 10);
        assert_eq!(clock.stamp(start).mono, before);
        let due = clock.when(before + Span(100_000)).since(start);
        assert!((990_000..1_010_000).contains(&due), "{due}");
        let slow = clock.stamp(SimTime::from_secs(2)).mono;
        clock.set_mono_speed(SimTime::from_secs(2), 100);
        assert_eq!(clock.stamp(SimTime::from_secs(2)).mono, slow);
    }
}
