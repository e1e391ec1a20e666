//! How a learner's history is brought to the leader's: DIFF, TRUNC or SNAP.
//! Facts: PROTOCOL 3.6. Apache: `LearnerHandler.syncFollower`.

use crate::ids::{Epoch, Zxid};
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

/// Chooses by the window alone; `Disk` where only the log can tell. `brought`: the epoch that this leader was in
/// before.
pub fn choose(
    learner: LearnerHistory,
    window: &Window,
    committed: Zxid,
    brought: Epoch,
) -> CatchUp {
    let Some(last) = learner.last else { return CatchUp::Snap };
    // Java counts nothing that it did not commit: what its learners hold beyond is cut.
    if !learner.vivarium && last > committed && !last.is_epoch_start() {
        return trunc_or_snap(learner, last, window.floor(committed));
    }
    let Some(floor) = window.floor(last) else { return CatchUp::Disk { last } };
    let next = window.next_after(floor).map_or(brought, |next| next.zxid.epoch());
    go_on(learner, last, Some(floor), next)
}

/// How a learner goes on from `floor`, the newest zxid of ours that is not above its last. `next` is the epoch of
/// what follows there, or the one that this leader was in where nothing does.
///
/// The start of an epoch is no transaction: a Java leader names a SNAP by it. It stands for all that this epoch
/// began with, and ours began alike where it went through that epoch. Elsewhere the learner may hold what only a
/// leader that was never established had (Apache takes any such zxid for a prefix: `isPeerNewEpochZxid`).
pub fn go_on(learner: LearnerHistory, last: Zxid, floor: Option<Zxid>, next: Epoch) -> CatchUp {
    let stands_for_all = last.is_epoch_start() && next == last.epoch();
    match floor {
        Some(floor) if floor == last || stands_for_all => CatchUp::Diff { from: floor },
        Some(_) | None => trunc_or_snap(learner, last, floor),
    }
}

fn trunc_or_snap(learner: LearnerHistory, last: Zxid, floor: Option<Zxid>) -> CatchUp {
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
            (Some(z(2, 0)), CatchUp::Trunc { upto: z(1, 4) }),
            (Some(z(4, 0)), CatchUp::Diff { from: z(3, 2) }),
            (Some(z(5, 0)), CatchUp::Trunc { upto: z(3, 2) }),
            (Some(z(3, 9)), CatchUp::Trunc { upto: z(3, 2) }),
            (Some(z(1, 7)), CatchUp::Trunc { upto: z(1, 4) }),
            (Some(z(2, 5)), CatchUp::Trunc { upto: z(1, 4) }),
            (Some(z(1, 1)), CatchUp::Disk { last: z(1, 1) }),
        ];
        for (last, expected) in table {
            let learner = LearnerHistory { last, vivarium: true };
            let chosen = choose(learner, &window(), z(3, 2), Epoch(4));
            assert_eq!(chosen, expected, "learner at {last:?}");
        }
    }

    #[test]
    fn a_java_learner_is_never_cut_across_epochs() {
        let chosen = |last, committed| {
            let java = LearnerHistory { last: Some(last), vivarium: false };
            choose(java, &window(), committed, Epoch(3))
        };
        assert_eq!(chosen(z(2, 5), z(3, 2)), CatchUp::Snap);
        assert_eq!(chosen(z(1, 7), z(3, 2)), CatchUp::Trunc { upto: z(1, 4) });
        assert_eq!(chosen(z(3, 2), z(3, 1)), CatchUp::Trunc { upto: z(3, 1) });
        assert_eq!(chosen(z(3, 0), z(3, 2)), CatchUp::Diff { from: z(1, 4) });
        assert_eq!(chosen(z(2, 0), z(3, 2)), CatchUp::Snap);
    }
}
