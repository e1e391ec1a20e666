//! The two clocks of the operating system as core's [`Stamp`]s.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vivarium_core::time::{Mono, Span, Stamp, Wall};

/// `mono` starts here rather than at zero, so that no subtraction meets the edge.
const FIRST: Mono = Mono(1_000_000);

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { started: now() }
    }

    pub fn stamp(&self) -> Stamp {
        let elapsed = now().duration_since(self.started);
        Stamp { mono: FIRST + Span(micros(elapsed)), wall: wall() }
    }

    /// When `mono` shows `at`.
    pub fn instant(&self, at: Mono) -> Instant {
        self.started + Duration::from_micros(at.since(FIRST).0)
    }
}

#[expect(clippy::disallowed_methods, reason = "the adapter is where clocks are read")]
pub fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the adapter is where clocks are read")]
fn wall() -> Wall {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Wall(ms(after)),
        Err(before) => Wall(-ms(before.duration())),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_leads_back_to_its_instant() {
        let clock = Clock::start();
        let stamp = clock.stamp();
        assert!(clock.instant(stamp.mono) <= now());
        assert!(clock.instant(stamp.mono + Span::from_ms(60_000)) > now());
    }
}
