//! Named deadlines. `step` asks which is due; the host only ever sees the earliest.

use crate::time::Mono;

macro_rules! timers {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why the server wants to be woken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Timer { $($(#[$doc])* $name,)* }

        impl Timer {
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

timers! {
    /// A looking server heard nothing and sends its vote again, or has waited long enough to decide.
    Election,
    /// An election connection that failed is tried again.
    Redial,
    /// A phase of ZAB, or a learner's link, has taken longer than its limit.
    Phase,
    /// The leader pings its learners and checks that a quorum still answers.
    Ping,
    /// The next session bucket may be due.
    Sessions,
    /// A client connection that never introduced itself is closed.
    Handshakes,
    /// A snapshot that failed is tried again, or old files are purged.
    Housekeeping,
}

/// At most one deadline per reason.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    at: [Option<Mono>; Timer::ALL.len()],
}

impl Timers {
    pub fn set(&mut self, timer: Timer, at: Mono) {
        self.at[timer as usize] = Some(at);
    }

    pub fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    pub fn at(&self, timer: Timer) -> Option<Mono> {
        self.at[timer as usize]
    }

    /// The earliest deadline; ties go to the reason that is declared first.
    pub fn next(&self) -> Option<(Mono, Timer)> {
        Timer::ALL.iter().filter_map(|&timer| self.at(timer).map(|at| (at, timer))).min()
    }

    /// Takes the earliest deadline that has passed, so that a long pause replays in order.
    pub fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        let (at, timer) = self.next()?;
        (at <= now).then(|| {
            self.clear(timer);
            timer
        })
    }
}
