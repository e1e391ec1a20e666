//! The default mix of faults and clients finds nothing wrong in 200 seeds, and every kind of fault
//! strikes in them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use vivarium_sim::run::run_seed;
use vivarium_sim::scenario::Options;
use vivarium_sim::schedule::FaultKind;

const SEEDS: u64 = 200;

#[test]
fn two_hundred_seeds_of_the_default_mix_pass() {
    let next = Arc::new(AtomicU64::new(1));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let sweep = || {
        let next = Arc::clone(&next);
        thread::spawn(move || {
            let (mut failed, mut commits, mut struck) = (Vec::new(), 0, BTreeSet::new());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > SEEDS {
                    return (failed, commits, struck);
                }
                let outcome = run_seed(seed, &Options::default(), None).expect("the harness works");
                commits += outcome.stats.commits;
                struck.extend(outcome.stats.faults.into_keys());
                if let Err(violation) = outcome.verdict {
                    failed.push(format!("vivarium-sim replay {seed}: {violation}"));
                }
            }
        })
    };
    let workers: Vec<_> = (0..workers).map(|_| sweep()).collect();
    let (mut failed, mut commits, mut struck) = (Vec::new(), 0, BTreeSet::new());
    for worker in workers {
        let (of_worker, done, kinds) = worker.join().expect("no seed panics the sweep");
        failed.extend(of_worker);
        commits += done;
        struck.extend(kinds);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // A world in which nothing happens violates nothing either.
    assert!(commits > 20 * SEEDS, "only {commits} commits in {SEEDS} seeds");
    let idle: Vec<_> = FaultKind::NAMES.iter().filter(|name| !struck.contains(*name)).collect();
    assert!(idle.is_empty(), "these faults never struck: {idle:?}");
}
