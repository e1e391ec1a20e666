//! Which ways servers went: what each did last, in threes, and what all were doing at one moment.

use std::collections::BTreeSet;

use vivarium_core::ids::ServerId;
use vivarium_core::server::action::{FatalReason, Halt, RestartReason};

use crate::coverage::labels::{Blow, Means, Part};
use crate::coverage::seat::Seat;
use crate::trace::mix;

/// Something that a server does, or that is done to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    Part(Part),
    Blow(Blow),
    Sync(Means),
    Exit(&'a Halt),
}

impl Step<'_> {
    const fn code(self) -> u8 {
        match self {
            Self::Part(part) => part as u8,
            Self::Blow(blow) => 32 + blow as u8,
            Self::Sync(means) => 64 + means as u8,
            Self::Exit(Halt::Stop) => 96,
            Self::Exit(Halt::Restart(RestartReason::Truncated)) => 97,
            Self::Exit(Halt::Restart(RestartReason::SnapIncomplete)) => 98,
            Self::Exit(Halt::Restart(RestartReason::LogUnreadable)) => 99,
            Self::Exit(Halt::Fatal(FatalReason::Disk { .. })) => 100,
            Self::Exit(Halt::Fatal(FatalReason::Corrupt { .. })) => 101,
            Self::Exit(Halt::Fatal(FatalReason::Config(_))) => 102,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// The last steps of each server.
    last: Vec<[u8; 3]>,
    seen: BTreeSet<u16>,
}

impl Paths {
    pub(crate) fn step(&mut self, id: ServerId, step: Step<'_>) {
        let place = id.0 as usize - 1;
        if self.last.len() <= place {
            self.last.resize(place + 1, [u8::MAX; 3]);
        }
        let [_, before, last] = self.last[place];
        let three = [before, last, step.code()];
        self.last[place] = three;
        self.see(three.iter().fold(1, |hash, &code| mix(hash, u64::from(code))));
    }

    /// What all servers are doing, whoever does what.
    pub(crate) fn constellation(&mut self, seats: &[Seat]) {
        let mut counts = [0_u64; Part::COUNT + 1];
        for seat in seats {
            counts[seat.part.map_or(Part::COUNT, |part| part as usize)] += 1;
        }
        self.see(counts.iter().fold(2, |hash, &count| mix(hash, count)));
    }

    fn see(&mut self, hash: u64) {
        self.seen.insert((hash >> 48) as u16);
    }

    pub(crate) fn into_sorted(self) -> Vec<u16> {
        self.seen.into_iter().collect()
    }
}
