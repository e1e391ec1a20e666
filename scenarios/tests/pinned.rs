//! Seeds that once found a bug in core. They must pass now.
//!
//! A pinned seed is only as good as the generator stays the same: when the generator changes, the
//! seed draws another schedule and proves nothing of the old bug.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use serde::Deserialize;
use vivarium_sim::run::run_seed;
use vivarium_sim::scenario::Options;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    seed: u64,
    /// The check that caught it.
    checker: String,
    /// What was wrong.
    why: String,
    options: PinnedOptions,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinnedOptions {
    servers: Option<usize>,
    clients: Option<usize>,
    sim_seconds: u64,
    white_box: bool,
    /// Servers that behave as Apache's do: part of what the seed draws, and so of the run.
    apache_peers: usize,
}

fn pinned() -> Vec<(PathBuf, Pinned)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pinned");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is part of the tree")
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("the file is readable");
            let pinned = toml::from_str(&text).unwrap_or_else(|why| panic!("{path:?}: {why}"));
            (path, pinned)
        })
        .collect()
}

#[test]
fn pinned_seeds_pass() {
    let all = pinned();
    assert!(!all.is_empty(), "nothing is pinned");
    let runs: Vec<_> = all
        .into_iter()
        .map(|(path, pinned)| {
            thread::spawn(move || {
                let Pinned { seed, checker, why, options } = pinned;
                let PinnedOptions { servers, clients, sim_seconds, white_box, apache_peers } =
                    options;
                let apache_peers = Some(apache_peers);
                let options = Options { servers, clients, sim_seconds, white_box, apache_peers };
                let outcome = run_seed(seed, &options, None).expect("the harness works");
                outcome.verdict.err().map(|violation| {
                    format!("{path:?}: seed {seed}: {violation}\n  once caught by {checker}: {why}")
                })
            })
        })
        .collect();
    let failed: Vec<String> =
        runs.into_iter().filter_map(|run| run.join().expect("no run panics")).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
