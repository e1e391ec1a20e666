//! A seed is a bug report: it must mean the same run on any thread, in any order.

use std::process::Command;
use std::thread;

use vivarium_sim::TraceLine;
use vivarium_sim::run::run_seed;
use vivarium_sim::scenario::Options;

fn hashes(seeds: impl Iterator<Item = u64>) -> Vec<(u64, u64, u64)> {
    let options = Options { sim_seconds: 2, ..Options::default() };
    let mut hashes: Vec<_> = seeds
        .map(|seed| {
            let outcome = run_seed(seed, &options, None).expect("the harness works");
            (seed, outcome.trace_hash, outcome.events)
        })
        .collect();
    hashes.sort_unstable();
    hashes
}

#[test]
fn a_seed_gives_one_trace_in_any_order_and_beside_any_other() {
    let alone = hashes(1..=12);
    let beside = thread::spawn(|| hashes(5..=16));
    let backwards = hashes((1..=12).rev());
    beside.join().expect("the other sweep works");
    assert_eq!(alone, backwards);
    assert!(alone.iter().all(|(_, _, events)| *events > 100), "{alone:?}");
}

#[test]
fn reading_the_trace_changes_nothing() {
    let options = Options { sim_seconds: 1, ..Options::default() };
    for seed in 1..=3 {
        let silent = run_seed(seed, &options, None).expect("the harness works");
        let (sender, lines) = std::sync::mpsc::channel();
        let sink = Box::new(move |line: &TraceLine<'_>| {
            sender.send(line.to_string()).expect("we listen");
        });
        let told = run_seed(seed, &options, Some(sink)).expect("the harness works");
        assert_eq!(silent.trace_hash, told.trace_hash);
        assert_eq!(told.events, lines.iter().count() as u64);
    }
}

/// Addresses, environment and the order of start differ between processes; the trace must not.
#[test]
fn a_seed_gives_one_trace_in_every_process() {
    let in_process = |seed: &str| {
        let replay = Command::new(env!("CARGO_BIN_EXE_vivarium-sim"))
            .args(["replay", seed, "--sim-seconds", "2", "-o", "json"])
            .output()
            .expect("the simulator starts");
        let document: serde_json::Value =
            serde_json::from_slice(&replay.stdout).expect("a replay prints one document");
        document["trace_hash"].as_str().expect("it names the hash").to_owned()
    };
    for (seed, hash, _) in hashes(1..=4) {
        let seed = seed.to_string();
        let (first, second) = (in_process(&seed), in_process(&seed));
        assert_eq!(first, second, "seed {seed}");
        assert_eq!(first, format!("{hash:016x}"), "seed {seed} in this process and in another");
    }
}

/// A sweep of nothing would pass.
#[test]
fn a_run_of_no_seeds_is_a_mistake_of_the_caller() {
    let run = Command::new(env!("CARGO_BIN_EXE_vivarium-sim"))
        .args(["run", "--seeds", "0"])
        .output()
        .expect("the simulator starts");
    assert_eq!(run.status.code(), Some(2));
}
