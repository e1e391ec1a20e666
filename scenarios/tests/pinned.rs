//! Scenarios that once found a bug, and the published traces of ZooKeeper's: each ends as its file
//! expects.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use vivarium_sim::run::run_scenario;
use vivarium_sim::scenario::file::ScenarioFile;

fn files(folder: &str) -> Vec<(PathBuf, ScenarioFile)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
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
            let file = text.parse().unwrap_or_else(|mistake| panic!("{path:?}: {mistake}"));
            (path, file)
        })
        .collect()
}

fn all_end_as_expected(folder: &str) {
    let all = files(folder);
    assert!(!all.is_empty(), "{folder} holds no scenario");
    let runs: Vec<_> = all
        .into_iter()
        .map(|(path, file)| {
            thread::spawn(move || {
                assert!(!file.why.is_empty(), "{path:?} does not say what it is kept for");
                let outcome = run_scenario(file.scenario, file.white_box, None);
                let outcome = outcome.expect("the harness works");
                let (met, verdict) = (file.expect.is_met(&outcome), &outcome.verdict);
                (!met).then(|| {
                    format!("{path:?}: {verdict:?}, not {}\n  kept for: {}", file.expect, file.why)
                })
            })
        })
        .collect();
    let failed: Vec<String> =
        runs.into_iter().filter_map(|run| run.join().expect("every file is in order")).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn pinned_scenarios_end_as_expected() {
    all_end_as_expected("pinned");
}

#[test]
fn published_traces_do_no_harm_to_core() {
    all_end_as_expected("published");
}
