//! Majorities of one configuration. Apache: `QuorumMaj`, `QuorumHierarchical`.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::config::{EnsembleConfig, MemberRole};
use crate::ids::ServerId;

/// Answers whether a set of servers is a quorum. Any two quorums of one verifier share a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumVerifier {
    voters: BTreeSet<ServerId>,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Majority,
    /// More than half of the weight in more than half of the groups that have any.
    Groups {
        weights: BTreeMap<ServerId, u64>,
        groups: BTreeMap<u64, Group>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// Voters only; an observer has no weight anywhere.
    members: BTreeSet<ServerId>,
    total: u64,
}

impl QuorumVerifier {
    pub fn new(config: &EnsembleConfig) -> Self {
        let voters: BTreeSet<ServerId> = config
            .members
            .iter()
            .filter(|(_, member)| member.role == MemberRole::Participant)
            .map(|(&id, _)| id)
            .collect();
        let rule = if config.groups.is_empty() {
            Rule::Majority
        } else {
            let weights: BTreeMap<ServerId, u64> = voters
                .iter()
                .map(|&id| (id, config.weights.get(&id).copied().unwrap_or(1)))
                .collect();
            let groups = config.groups.iter().map(|(&number, members)| {
                let members: BTreeSet<ServerId> = members.intersection(&voters).copied().collect();
                let total = total_weight(&weights, members.iter());
                (number, Group { members, total })
            });
            Rule::Groups { groups: groups.collect(), weights }
        };
        Self { voters, rule }
    }

    pub fn has_quorum(&self, servers: impl Iterator<Item = ServerId> + Clone) -> bool {
        // Voters are few, and a leader asks at every step: nothing is collected.
        let is_there = |voter: &&ServerId| servers.clone().any(|id| id == **voter);
        match &self.rule {
            Rule::Majority => {
                let half = self.voters.len() / 2;
                // So few are none, whoever they are.
                servers.clone().nth(half).is_some()
                    && self.voters.iter().filter(is_there).count() > half
            }
            Rule::Groups { weights, groups } => {
                let counted = groups.values().filter(|group| group.total > 0);
                let won = counted.clone().filter(|group| {
                    let there = group.members.iter().filter(is_there);
                    total_weight(weights, there) > group.total / 2
                });
                won.count() > counted.count() / 2
            }
        }
    }

    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.contains(&id)
    }

    /// A candidate of weight 0 never wins; who is no voter has none.
    pub fn weight(&self, id: ServerId) -> u64 {
        match &self.rule {
            Rule::Majority => u64::from(self.is_voter(id)),
            Rule::Groups { weights, .. } => weights.get(&id).copied().unwrap_or(0),
        }
    }

    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.voters.iter().copied()
    }
}

fn total_weight<'a>(
    weights: &BTreeMap<ServerId, u64>,
    servers: impl Iterator<Item = &'a ServerId>,
) -> u64 {
    servers.fold(0, |sum, id| sum.saturating_add(weights.get(id).copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Address, Member};

    fn config(voters: u64, observers: u64, groups: &[&[u64]], weights: &[u64]) -> EnsembleConfig {
        let member = |role| Member {
            quorum: Address { host: "h".into(), port: 1 },
            election: Address { host: "h".into(), port: 2 },
            role,
            client: None,
        };
        EnsembleConfig {
            members: (1..=voters)
                .map(|id| (ServerId(id), member(MemberRole::Participant)))
                .chain((1..=observers).map(|n| (ServerId(100 + n), member(MemberRole::Observer))))
                .collect(),
            groups: (1..)
                .zip(groups)
                .map(|(n, ids)| (n, ids.iter().map(|&id| ServerId(id)).collect()))
                .collect(),
            weights: (1..).zip(weights).map(|(id, &w)| (ServerId(id), w)).collect(),
            version: 0,
        }
    }

    fn quorum(config: &EnsembleConfig, ids: &[u64]) -> bool {
        QuorumVerifier::new(config).has_quorum(ids.iter().map(|&id| ServerId(id)))
    }

    #[test]
    fn majorities_count_voters_once_and_observers_never() {
        let three = config(3, 2, &[], &[]);
        for (ids, want) in [
            (&[][..], false),
            (&[1], false),
            (&[1, 1, 1], false),
            (&[1, 101, 102], false),
            (&[1, 9], false),
            (&[1, 3], true),
            (&[1, 2, 3], true),
        ] {
            assert_eq!(quorum(&three, ids), want, "{ids:?}");
        }
        assert!(!quorum(&config(4, 0, &[], &[]), &[1, 2]), "half is no majority");
        assert!(quorum(&config(1, 0, &[], &[]), &[1]));
        assert!(!quorum(&config(0, 1, &[], &[]), &[101]));
    }

    #[test]
    fn groups_need_most_weight_in_most_groups() {
        let nine = config(9, 0, &[&[1, 2, 3], &[4, 5, 6], &[7, 8, 9]], &[]);
        assert!(quorum(&nine, &[1, 2, 4, 5]));
        assert!(!quorum(&nine, &[1, 2, 3, 4, 7]), "one group won, two lost");
        let weighted = config(6, 0, &[&[1, 2, 3], &[4, 5, 6]], &[3, 1, 1, 0, 0, 0]);
        assert!(quorum(&weighted, &[1]), "group 2 has no weight and is not counted");
        assert!(!quorum(&weighted, &[2, 3, 4, 5, 6]));
        assert_eq!(QuorumVerifier::new(&weighted).weight(ServerId(4)), 0);
        assert_eq!(QuorumVerifier::new(&weighted).weight(ServerId(9)), 0);
        let none = config(2, 0, &[&[1, 2]], &[0, 0]);
        assert!(!quorum(&none, &[1, 2]), "without any weight nobody ever wins");
    }

    /// The definition, by counting: doubled sums instead of integer halves.
    fn model(config: &EnsembleConfig, ids: &[u64]) -> bool {
        let there = |id: &ServerId| ids.contains(&id.0);
        let voters: Vec<ServerId> = QuorumVerifier::new(config).voters().collect();
        if config.groups.is_empty() {
            return voters.iter().filter(|id| there(id)).count() * 2 > voters.len();
        }
        let weight = |id: &ServerId| config.weights.get(id).copied().unwrap_or(1);
        let (mut counted, mut won) = (0, 0);
        for members in config.groups.values() {
            let all: u64 = members.iter().map(weight).sum();
            let have: u64 = members.iter().filter(|id| there(id)).map(weight).sum();
            counted += usize::from(all > 0);
            won += usize::from(have * 2 > all);
        }
        won * 2 > counted
    }

    proptest! {
        #[test]
        fn agrees_with_the_model_and_quorums_intersect(
            weights in proptest::collection::vec(0u64..4, 9),
            grouped in any::<bool>(),
            voters in 1u64..=9,
            left in 0u32..512,
            right in 0u32..512,
        ) {
            let all: Vec<u64> = (1..=voters).collect();
            let groups: Vec<&[u64]> = if grouped { all.chunks(3).collect() } else { Vec::new() };
            let config = config(voters, 1, &groups, &weights);
            let set = |bits: u32| -> Vec<u64> {
                (1..=9).filter(|id| bits & (1 << (id - 1)) != 0).collect()
            };
            let (left, right) = (set(left), set(right));
            prop_assert_eq!(quorum(&config, &left), model(&config, &left));
            if quorum(&config, &left) && quorum(&config, &right) {
                prop_assert!(left.iter().any(|id| right.contains(id)));
            }
        }
    }
}
