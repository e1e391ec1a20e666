//! A crash that waits for a disk operation of its server: one side of a persistence boundary.

use vivarium_core::server::note::Phase;

use crate::disk::Boundary;
use crate::observe::CrashKind;
use crate::schedule::{Counted, Since};

#[derive(Clone, Copy, Debug)]
pub(crate) struct ArmedCrash {
    /// Strikes at the n-th operation that counts.
    pub(crate) left: u32,
    /// Strikes when the operation has taken effect, not before.
    pub(crate) after: bool,
    pub(crate) kind: CrashKind,
    pub(crate) counts: Counted,
    /// What it still waits for before it counts.
    pub(crate) since: Since,
    /// How long the server stays down.
    pub(crate) down: u64,
}

impl ArmedCrash {
    /// The server enters a phase.
    pub(crate) fn entered(&mut self, phase: Phase) {
        let synchronizes = matches!(
            phase,
            Phase::LeadingSynchronization
                | Phase::FollowingSynchronization
                | Phase::ObservingSynchronization
        );
        if synchronizes {
            self.since = Since::Now;
        }
    }

    /// Counts an operation that is about to take effect, or has; whether the crash strikes.
    pub(crate) fn strikes(&mut self, boundary: Boundary, done: bool) -> bool {
        let counts = match boundary {
            Boundary::None => false,
            Boundary::Write => self.counts == Counted::All,
            Boundary::Sync => self.counts != Counted::Names,
            Boundary::Names => true,
        };
        if !counts || self.after != done || self.since != Since::Now {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(counts: Counted, since: Since) -> ArmedCrash {
        ArmedCrash { left: 2, after: true, kind: CrashKind::PowerLoss, counts, since, down: 1 }
    }

    #[test]
    fn only_its_own_side_of_what_counts_brings_it_nearer() {
        let mut crash = armed(Counted::Syncs, Since::Now);
        for (boundary, done) in [
            (Boundary::Write, true),
            (Boundary::None, true),
            (Boundary::Sync, false),
            (Boundary::Sync, true),
        ] {
            assert!(!crash.strikes(boundary, done), "{boundary:?} {done}");
        }
        assert!(crash.strikes(Boundary::Names, true));
    }

    #[test]
    fn one_for_a_synchronization_counts_nothing_before_it() {
        let mut crash = armed(Counted::Names, Since::Synchronization);
        for phase in [Phase::Looking, Phase::FollowingDiscovery] {
            crash.entered(phase);
            assert!(!crash.strikes(Boundary::Names, true));
        }
        assert_eq!(crash.left, 2);
        crash.entered(Phase::FollowingSynchronization);
        assert!(!crash.strikes(Boundary::Names, true));
        crash.entered(Phase::FollowingBroadcast);
        assert!(crash.strikes(Boundary::Names, true));
    }
}
