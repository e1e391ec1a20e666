//! The default mix of faults and clients finds nothing wrong in 200 seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use vivarium_sim::run::{Options, run_seed};

const SEEDS: u64 = 200;

#[test]
fn two_hundred_seeds_of_the_default_mix_pass() {
    let next = Arc::new(AtomicU64::new(1));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let sweep = || {
        let next = Arc::clone(&next);
        thread::spawn(move || {
            let (mut failed, mut commits) = (Vec::new(), 0);
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > SEEDS {
                    return (failed, commits);
                }
                let outcome = run_seed(seed, &Options::default(), None).expect("the harness works");
                commits += outcome.stats.commits;
                if let Err(violation) = outcome.verdict {
                    failed.push(format!("vivarium-sim replay {seed}: {violation}"));
                }
            }
        })
    };
    let workers: Vec<_> = (0..workers).map(|_| sweep()).collect();
    let (mut failed, mut commits) = (Vec::new(), 0);
    for worker in workers {
        let (of_worker, done) = worker.join().expect("no seed panics the sweep");
        failed.extend(of_worker);
        commits += done;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // A world in which nothing happens violates nothing either.
    assert!(commits > 20 * SEEDS, "only {commits} commits in {SEEDS} seeds");
}
