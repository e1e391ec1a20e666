//! How a learner's history is brought to the leader's: DIFF, TRUNC or SNAP.
//! Facts: PROTOCOL 3.6. Apache: `LearnerHandler.syncFollower`.

use crate::ids::Zxid;
use crate::zab::window::Window;

/// What the leader knows of a learner when it chooses.
#[derive(Clone, Copy, Debug)]
pub struct LearnerHistory {
    /// `None`: blank.
    pub last: Option<Zxid>,
    /// A Vivarium server copes with a TRUNC to a zxid that it does not have.
    pub vivarium: bool,
}

/// Where the learner's cursor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// The learner's history is a prefix of ours: send what follows `from`, out of the window.
    Diff {
        from: Zxid,
    },
    /// The learner cuts to `upto`, then gets what follows.
    Trunc {
        upto: Zxid,
    },
    /// The window does not reach back: the log on disk decides between the first two and SNAP.
    Disk {
        last: Zxid,
    },
    Snap,
}

/// Chooses by the window alone; `Disk` where only the log can tell.
pub fn choose(learner: LearnerHistory, window: &Window, committed: Zxid) -> CatchUp {
    let Some(last) = learner.last else { return CatchUp::Snap };
    // Java counts nothing that it did not commit: what its learners hold beyond is cut.
    if !learner.vivarium && last > committed && !last.is_epoch_start() {
        return trunc_or_snap(learner, last, window.floor(committed));
    }
    let Some(floor) = window.floor(last) else { return CatchUp::Disk { last } };
    if floor == last || last.is_epoch_start() {
        return CatchUp::Diff { from: floor };
    }
    trunc_or_snap(learner, last, Some(floor))
}

/// Also used when the log on disk was searched: `floor` is the newest common candidate.
pub fn trunc_or_snap(learner: LearnerHistory, last: Zxid, floor: Option<Zxid>) -> CatchUp {
    match floor {
        // A Java learner that lacks `upto` keeps the record behind it (PROTOCOL 4.6, truncate).
        // Within one epoch it has all that precedes its last; across epochs nobody knows.
        Some(upto) if learner.vivarium || upto.epoch() == last.epoch() => CatchUp::Trunc { upto },
        Some(_) | None => CatchUp::Snap,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::Epoch;
    use crate::zab::window::Entry;

    fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    fn window() -> Window {
        let mut window = Window::new(z(1, 2));
        for zxid in [z(1, 3), z(1, 4), z(3, 1), z(3, 2)] {
            window.push(Entry { zxid, payload: Bytes::new() });
        }
        window
    }

    #[test]
    fn every_row_of_the_sync_decision() {
        let table = [
            (None, CatchUp::Snap),
            (Some(z(3, 2)), CatchUp::Diff { from: z(3, 2) }),
            (Some(z(1, 3)), CatchUp::Diff { from: z(1, 3) }),
            (Some(z(1, 2)), CatchUp::Diff { from: z(1, 2) }),
            (Some(z(3, 0)), CatchUp::Diff { from: z(1, 4) }),
            (Some(z(3, 9)), CatchUp::Trunc { upto: z(3, 2) }),
            (Some(z(1, 7)), CatchUp::Trunc { upto: z(1, 4) }),
            (Some(z(2, 5)), CatchUp::Trunc { upto: z(1, 4) }),
            (Some(z(1, 1)), CatchUp::Disk { last: z(1, 1) }),
        ];
        for (last, expected) in table {
            let learner = LearnerHistory { last, vivarium: true };
            assert_eq!(choose(learner, &window(), z(3, 2)), expected, "learner at {last:?}");
        }
    }

    #[test]
    fn a_java_learner_is_never_cut_across_epochs() {
        let java = |last| LearnerHistory { last: Some(last), vivarium: false };
        assert_eq!(choose(java(z(2, 5)), &window(), z(3, 2)), CatchUp::Snap);
        assert_eq!(choose(java(z(1, 7)), &window(), z(3, 2)), CatchUp::Trunc { upto: z(1, 4) });
        assert_eq!(choose(java(z(3, 2)), &window(), z(3, 1)), CatchUp::Trunc { upto: z(3, 1) });
    }
}
