//! A sweep whose scenarios are made of those that reached something new.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::{fs, thread};

use serde::{Deserialize, Serialize};
use vivarium_sim::explore::Explorer;
use vivarium_sim::run::{Outcome, run_scenario};
use vivarium_sim::scenario::Scenario;
use vivarium_sim::scenario::file::{Expect, ScenarioFile};

use crate::sweep::record::SeedRecord;
use crate::sweep::workers::{Work, announce, job_count};

/// Seeds that are tried before anything is learnt from them: with any number of threads the search is
/// the same one.
const GENERATION: usize = 64;

/// What a search adds to the record of a seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Explored {
    /// It was made of kept ones, and not drawn.
    pub(crate) mutated: bool,
    /// It reached something new.
    pub(crate) kept: bool,
    /// Where it is, if it was written down.
    pub(crate) scenario: Option<PathBuf>,
}

/// Where scenarios are written to.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// What reached something new; `None`: kept in memory alone.
    pub(crate) corpus: Option<PathBuf>,
    /// What failed.
    pub(crate) failing: PathBuf,
}

pub(crate) fn start_search(
    work: Work,
    folders: Folders,
    stop: &Arc<AtomicBool>,
) -> mpsc::Receiver<SeedRecord> {
    let (sender, results) = mpsc::channel();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let mut explorer = Explorer::new(work.options.clone());
        for seeds in work.todo.chunks(GENERATION) {
            let runs = generation(&work, &explorer, seeds, &stop);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            for run in runs {
                let record = learn(&mut explorer, &work, &folders, run);
                if sender.send(record).is_err() {
                    return;
                }
            }
        }
    });
    results
}

struct Run {
    seed: u64,
    scenario: Scenario,
    mutated: bool,
    result: Result<Outcome, String>,
}

/// In the order of their seeds.
fn generation(work: &Work, explorer: &Explorer, seeds: &[u64], stop: &AtomicBool) -> Vec<Run> {
    let todo = Mutex::new(seeds.iter());
    let runs = Mutex::new(Vec::with_capacity(seeds.len()));
    thread::scope(|scope| {
        for _ in 0..job_count(work).min(seeds.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(&seed) = next else { break };
                    announce(seed, work);
                    let (scenario, mutated) = explorer.candidate(seed);
                    let result = run_scenario(scenario.clone(), work.options.white_box, None);
                    let run = Run { seed, scenario, mutated, result };
                    runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    runs.sort_by_key(|run| seeds.iter().position(|&seed| seed == run.seed));
    runs
}

fn learn(explorer: &mut Explorer, work: &Work, folders: &Folders, run: Run) -> SeedRecord {
    let Run { seed, scenario, mutated, result } = run;
    let kept = result.as_ref().is_ok_and(|outcome| explorer.learn(&scenario, outcome));
    let violation = result.as_ref().ok().and_then(|outcome| outcome.verdict.as_ref().err());
    let place = match violation {
        Some(violation) if mutated => Some((
            folders.failing.join(format!("failing-{seed}.toml")),
            Expect::Violation { check: Some(violation.check.clone()) },
        )),
        Some(_) => None,
        None => folders
            .corpus
            .as_ref()
            .filter(|_| kept)
            .map(|folder| (folder.join(format!("kept-{seed}.toml")), Expect::Ok)),
    };
    let written = place.map(|(path, expect)| {
        let why = format!("found by a search from seed {seed}, commit {}", vivarium_sim::COMMIT);
        let file = ScenarioFile { why, expect, white_box: work.options.white_box, scenario };
        write(&path, &file).map(|()| path)
    });
    let mut record = SeedRecord::new(seed, &work.options, result);
    let scenario = match written.transpose() {
        Ok(path) => path,
        Err(why) => {
            record.fail_harness(why);
            None
        }
    };
    record.explored = Some(Explored { mutated, kept, scenario });
    record
}

fn write(path: &Path, file: &ScenarioFile) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(path, file.to_string()).map_err(fail)
}
