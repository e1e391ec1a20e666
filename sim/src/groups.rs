//! Ensembles whose voters stand in groups and have weights. All that is drawn here has the quorums that a
//! majority would have of those with a weight, so that what may fail at once is no other than elsewhere.

use std::fmt;

use vivarium_core::config::{EnsembleConfig, MemberRole};
use vivarium_core::ids::ServerId;

use crate::rng::SimRng;

/// Seeds whose ensemble counts by groups, in per mille; more of those with a voter to spare, which are few.
const GROUPED: u64 = 80;
const GROUPED_AND_EVEN: u64 = 400;

/// Of those with a voter to spare, where the last one has no weight, in per mille.
const WEIGHTLESS: u64 = 700;

/// How voters are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Groups {
    /// Each is one, and there is no group.
    #[default]
    None,
    /// All are in one group, and have the same weight.
    One,
    /// The same, and the last voter has no weight: it follows, and decides nothing.
    LastWeightless,
    /// Each is a group of its own, and weighs something else.
    Each,
}

impl Groups {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::None, "none"),
        (Self::One, "one"),
        (Self::LastWeightless, "last_weightless"),
        (Self::Each, "each"),
    ];

    pub(crate) fn draw(rng: &mut SimRng, voters: usize) -> Self {
        // Those that are left can then lose as many as all could.
        let can_spare = voters.is_multiple_of(2);
        if !rng.chance(if can_spare { GROUPED_AND_EVEN } else { GROUPED }) {
            return Self::None;
        }
        if can_spare && rng.chance(WEIGHTLESS) {
            return Self::LastWeightless;
        }
        *rng.pick(&[Self::One, Self::Each])
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(groups, _)| *groups)
    }

    /// As it was drawn for this ensemble.
    pub(crate) fn of(ensemble: &EnsembleConfig) -> Self {
        match ensemble.groups.len() {
            0 => Self::None,
            _ if ensemble.weights.values().any(|weight| *weight == 0) => Self::LastWeightless,
            1 if ensemble.weights.is_empty() => Self::One,
            _ => Self::Each,
        }
    }

    pub(crate) fn arrange(self, ensemble: &mut EnsembleConfig) {
        let ids = || ensemble.members.keys().copied();
        let (groups, weights) = match self {
            Self::None => Default::default(),
            Self::One => ([(1, ids().collect())].into(), [].into()),
            Self::LastWeightless => {
                let voters = ensemble.members.iter();
                let mut voters = voters.filter(|(_, one)| one.role == MemberRole::Participant);
                let last = voters.next_back().map(|(id, _)| (*id, 0));
                ([(1, ids().collect())].into(), last.into_iter().collect())
            }
            Self::Each => (
                ids().map(|id| (id.0, [id].into())).collect(),
                ids().map(|id: ServerId| (id, 1 + id.0 % 3)).collect(),
            ),
        };
        (ensemble.groups, ensemble.weights) = (groups, weights);
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(groups, _)| groups == self).map(|(_, name)| *name);
        f.write_str(name.expect("all have a name"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vivarium_core::ensemble::Ensemble;

    use super::*;
    use crate::cluster::Cluster;

    #[test]
    fn quorums_are_the_majorities_of_those_with_a_weight() {
        for voters in 1..=7_usize {
            for (groups, _) in Groups::NAMES {
                let mut cluster = Cluster::draw(1, Some(voters));
                cluster.group(groups);
                let config = cluster.configs[0].ensemble.clone().expect("it was asked for");
                if voters > 1 {
                    assert_eq!(Groups::of(&config), groups);
                }
                let weighty = voters - usize::from(groups == Groups::LastWeightless);
                let ensemble = Ensemble::new(config);
                for set in 0..1_u64 << voters {
                    let ids = (1..=voters as u64).filter(|id| set >> (id - 1) & 1 == 1);
                    let counted = ids.clone().filter(|id| *id <= weighty as u64).count();
                    let is_quorum = ensemble.has_quorum(ids.map(ServerId));
                    assert_eq!(is_quorum, counted > weighty / 2, "{groups} {set:b} of {voters}");
                }
            }
        }
    }

    #[test]
    fn all_kinds_are_drawn_and_read_back() {
        let drawn: BTreeSet<String> = (0..3000)
            .filter_map(|seed| Cluster::draw(seed, None).configs[0].ensemble.clone())
            .map(|ensemble| Groups::of(&ensemble).to_string())
            .collect();
        assert_eq!(drawn.len(), Groups::NAMES.len(), "{drawn:?}");
        assert!(drawn.iter().all(|name| Groups::named(name).is_some()));
    }
}
