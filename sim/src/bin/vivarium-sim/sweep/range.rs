//! Seeds that follow each other, as one.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SeedRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl SeedRange {
    /// The ranges of these seeds, which come in order.
    pub(crate) fn of(seeds: &[u64]) -> Vec<Self> {
        let mut ranges: Vec<Self> = Vec::new();
        for &seed in seeds {
            match ranges.last_mut() {
                Some(range) if range.last.checked_add(1) == Some(seed) => range.last = seed,
                Some(_) | None => ranges.push(Self { first: seed, last: seed }),
            }
        }
        ranges
    }
}

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::SeedRange;

    #[test]
    fn neighbours_are_one_range() {
        let told: Vec<_> =
            SeedRange::of(&[1, 2, 3, 7, 9, 10]).iter().map(SeedRange::to_string).collect();
        assert_eq!(told, ["1-3", "7", "9-10"]);
        assert!(SeedRange::of(&[]).is_empty());
    }
}
