//! How much of what was not synced a power cut leaves.

use crate::rng::SimRng;

#[derive(Clone, Copy, Debug)]
pub(super) enum Survivors {
    Nothing,
    Everything,
    Prefix,
    AnySubset,
}

impl Survivors {
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        *rng.pick(&[
            Self::Nothing,
            Self::Nothing,
            Self::Everything,
            Self::Prefix,
            Self::AnySubset,
            Self::AnySubset,
        ])
    }

    /// Those of `all`, oldest first, that survive.
    pub(super) fn keep<T>(self, mut all: Vec<T>, rng: &mut SimRng) -> Vec<T> {
        match self {
            Self::Nothing => all.clear(),
            Self::Everything => {}
            Self::Prefix => all.truncate(rng.below(all.len() as u64 + 1) as usize),
            Self::AnySubset => all.retain(|_| rng.chance(500)),
        }
        all
    }
}
