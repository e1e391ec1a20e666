//! Which servers reach which: the partition in force.

use std::collections::{BTreeMap, BTreeSet};

use crate::dev::talk::{Number, Refusal, list};

/// Directions (from, to) in which nothing passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    lost: BTreeSet<(Number, Number)>,
}

impl Cuts {
    /// Parts the groups from each other. `one_way`: only what the first sends is lost.
    pub fn between(groups: &[Vec<Number>], one_way: bool) -> Self {
        let group_of = |index: usize| groups[index].iter().map(move |&number| (index, number));
        let all: Vec<_> = (0..groups.len()).flat_map(group_of).collect();
        let mut lost = BTreeSet::new();
        for &(from_group, from) in &all {
            for &(to_group, to) in &all {
                if from_group != to_group && (!one_way || from_group == 0) {
                    lost.insert((from, to));
                }
            }
        }
        Self { lost }
    }

    pub fn passes(&self, from: Number, to: Number) -> bool {
        !self.lost.contains(&(from, to))
    }

    /// A connection can be made: it needs both directions.
    pub fn connects(&self, one: Number, other: Number) -> bool {
        self.passes(one, other) && self.passes(other, one)
    }

    pub fn lost(&self) -> Vec<(Number, Number)> {
        self.lost.iter().copied().collect()
    }
}

/// Adds those that nobody named, as one more group.
pub fn complete(mut groups: Vec<Vec<Number>>, all: &[Number]) -> Result<Vec<Vec<Number>>, Refusal> {
    let mut named: BTreeMap<Number, usize> = BTreeMap::new();
    for (index, &number) in
        groups.iter().enumerate().flat_map(|(index, group)| group.iter().map(move |n| (index, n)))
    {
        if named.insert(number, index).is_some() {
            return Err(Refusal::usage(format!("server {number} is named twice")));
        }
    }
    let rest: Vec<_> = all.iter().copied().filter(|one| !named.contains_key(one)).collect();
    if !rest.is_empty() {
        groups.push(rest);
    }
    if groups.len() < 2 {
        let what = format!("{} would be one group, parted from nobody", list(&groups.concat()));
        return Err(Refusal::usage(what));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(of: &[u8]) -> Vec<Number> {
        of.iter().copied().map(Number).collect()
    }

    #[test]
    fn groups_are_parted_and_stay_together() {
        let cuts = Cuts::between(&[numbers(&[1]), numbers(&[2, 3])], false);
        let pairs = [(1, 2), (1, 3), (2, 1), (3, 1)].map(|(a, b)| (Number(a), Number(b)));
        assert_eq!(cuts.lost(), pairs);
        assert!(cuts.connects(Number(2), Number(3)));
    }

    #[test]
    fn one_way_loses_only_what_the_first_group_sends() {
        let cuts = Cuts::between(&[numbers(&[1]), numbers(&[2]), numbers(&[3])], true);
        assert_eq!(cuts.lost(), [(1, 2), (1, 3)].map(|(a, b)| (Number(a), Number(b))));
        assert!(cuts.passes(Number(2), Number(1)) && !cuts.connects(Number(2), Number(1)));
        assert!(cuts.connects(Number(2), Number(3)));
    }

    #[test]
    fn those_that_are_not_named_are_a_group() {
        let all = numbers(&[1, 2, 3]);
        let isolated = complete(vec![numbers(&[3])], &all).unwrap();
        assert_eq!(isolated, [numbers(&[3]), numbers(&[1, 2])]);
        let full = complete(vec![numbers(&[1]), numbers(&[2, 3])], &all).unwrap();
        assert_eq!(full.len(), 2);
        assert!(complete(vec![numbers(&[1, 2, 3])], &all).unwrap_err().usage);
        assert!(complete(vec![numbers(&[1]), numbers(&[1, 2])], &all).unwrap_err().usage);
        assert!(complete(vec![numbers(&[1])], &numbers(&[1])).is_err());
    }
}
