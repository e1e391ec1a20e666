//! Search guided by coverage: scenarios that reached something new are kept, and changed a little.
//!
//! What is tried for a seed follows from that seed and from what was kept before. Who runs a whole
//! generation before it learns from any of it gets the same search with any number of threads.

mod mutate;

use crate::coverage::Marks;
use crate::rng::{SimRng, Stream};
use crate::run::Outcome;
use crate::scenario::{Options, Scenario};

pub use self::mutate::mutate;

/// Seeds whose scenario is drawn and not made of a kept one, in per mille.
const FRESH: u64 = 250;

/// Fingerprints of paths have 16 bits.
const PATHS: usize = 1 << 16;

/// The scenarios that reached something new, in the order in which they did.
#[derive(Debug)]
pub struct Explorer {
    options: Options,
    marks: Marks,
    paths: Vec<bool>,
    corpus: Vec<Scenario>,
}

impl Explorer {
    pub fn new(options: Options) -> Self {
        Self { options, marks: Marks::default(), paths: vec![false; PATHS], corpus: Vec::new() }
    }

    pub fn corpus(&self) -> &[Scenario] {
        &self.corpus
    }

    /// How many fingerprints of paths were seen.
    pub fn paths(&self) -> usize {
        self.paths.iter().filter(|seen| **seen).count()
    }

    /// What to run for this seed; whether it was made of a kept one.
    pub fn candidate(&self, seed: u64) -> (Scenario, bool) {
        let mut rng = SimRng::new(seed, Stream::Explore, 0);
        if self.corpus.is_empty() || rng.chance(FRESH) {
            return (Scenario::draw(seed, &self.options), false);
        }
        let mut scenario = self.pick(&mut rng).clone();
        let donor = self.pick(&mut rng);
        for _ in 0..rng.log_range(1, 8) {
            mutate(&mut scenario, donor, &mut rng);
        }
        (scenario, true)
    }

    /// Of two, the one that was found later: what is new is least explored.
    fn pick(&self, rng: &mut SimRng) -> &Scenario {
        let mut draw = || rng.below(self.corpus.len() as u64) as usize;
        &self.corpus[draw().max(draw())]
    }

    /// Takes in what a run reached; true where the scenario is kept.
    pub fn learn(&mut self, scenario: &Scenario, outcome: &Outcome) -> bool {
        let mut is_new = self.marks.lacks_any_of(&outcome.marks);
        self.marks.join(&outcome.marks);
        for &path in &outcome.paths {
            let seen = &mut self.paths[usize::from(path)];
            is_new |= !*seen;
            *seen = true;
        }
        // What fails is a finding; more of its kind would hide others.
        let is_kept = is_new && outcome.verdict.is_ok();
        if is_kept {
            self.corpus.push(scenario.clone());
        }
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::Explorer;
    use crate::run::run_scenario;
    use crate::scenario::Options;

    /// Kept scenarios and their hashes, and the hashes of all runs.
    fn explore(seeds: u64) -> (usize, Vec<u64>) {
        let options = Options { sim_seconds: 1, servers: Some(3), ..Options::default() };
        let mut explorer = Explorer::new(options);
        let mut hashes = Vec::new();
        for seed in 1..=seeds {
            let (scenario, _) = explorer.candidate(seed);
            let outcome = run_scenario(scenario.clone(), true, None).unwrap();
            hashes.push(outcome.trace_hash);
            explorer.learn(&scenario, &outcome);
        }
        (explorer.corpus().len(), hashes)
    }

    #[test]
    fn a_search_repeats_and_keeps_what_is_new() {
        let (kept, hashes) = explore(8);
        assert_eq!((kept, hashes.clone()), explore(8));
        assert!(kept > 1, "the first runs reach something each");
    }

    #[test]
    fn what_was_seen_is_not_new_again() {
        let mut explorer = Explorer::new(Options { sim_seconds: 1, ..Options::default() });
        let (scenario, made) = explorer.candidate(1);
        assert!(!made, "there is nothing to make it of");
        let outcome = run_scenario(scenario.clone(), true, None).unwrap();
        assert!(explorer.learn(&scenario, &outcome));
        assert!(!explorer.learn(&scenario, &outcome));
        assert!(explorer.paths() > 0);
        assert!((2..40).any(|seed| explorer.candidate(seed).1));
    }
}
