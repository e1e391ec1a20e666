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

use crate::subject::read_file;
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
    /// An earlier search had kept it.
    #[serde(default)]
    pub(crate) taken_up: bool,
    /// Where it is, if it was written down.
    pub(crate) scenario: Option<PathBuf>,
}

/// Where scenarios are written to.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// What reached something new, now and in earlier searches; `None`: kept in memory alone.
    pub(crate) corpus: Option<PathBuf>,
    /// What failed.
    pub(crate) failing: PathBuf,
}

/// What earlier searches kept: the scenario files of a corpus, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Corpus(Vec<(PathBuf, ScenarioFile)>);

impl Corpus {
    /// A folder that is not there yet holds nothing.
    ///
    /// # Errors
    /// Which file is no scenario, or what could not be read.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self, String> {
        let Some(folder) = folder.filter(|folder| folder.exists()) else {
            return Ok(Self::default());
        };
        let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
        let entries = fs::read_dir(folder).map_err(fail)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(fail)?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        paths.sort();
        let files = paths.into_iter().map(|path| read_file(&path).map(|file| (path, file)));
        let mut files = files.collect::<Result<Vec<_>, _>>()?;
        // What failed lies there too, for people.
        files.retain(|(_, file)| file.expect == Expect::Ok);
        Ok(Self(files))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

pub(crate) fn start_search(
    work: Work,
    folders: Folders,
    corpus: Corpus,
    stop: &Arc<AtomicBool>,
) -> mpsc::Receiver<SeedRecord> {
    let (sender, results) = mpsc::channel();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let mut explorer = Explorer::new(work.options.clone());
        let taken_up = corpus.0.into_iter().map(|(path, file)| Candidate {
            seed: file.scenario.seed,
            scenario: file.scenario,
            origin: Origin::Corpus(path),
        });
        for candidates in chunked(taken_up) {
            if !try_out(&mut explorer, &work, &folders, candidates, &stop, &sender) {
                return;
            }
        }
        for seeds in work.todo.chunks(GENERATION) {
            let candidates = seeds.iter().map(|&seed| candidate(&explorer, seed)).collect();
            if !try_out(&mut explorer, &work, &folders, candidates, &stop, &sender) {
                return;
            }
        }
    });
    results
}

fn chunked<T>(mut items: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let chunk: Vec<T> = items.by_ref().take(GENERATION).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}

struct Candidate {
    seed: u64,
    scenario: Scenario,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Drawn,
    /// Made of kept ones.
    Mutated,
    /// A file of an earlier search.
    Corpus(PathBuf),
}

fn candidate(explorer: &Explorer, seed: u64) -> Candidate {
    let (scenario, mutated) = explorer.candidate(seed);
    let origin = if mutated { Origin::Mutated } else { Origin::Drawn };
    Candidate { seed, scenario, origin }
}

/// Runs a generation, then learns from it; false where nobody wants more.
fn try_out(
    explorer: &mut Explorer,
    work: &Work,
    folders: &Folders,
    candidates: Vec<Candidate>,
    stop: &AtomicBool,
    sender: &mpsc::Sender<SeedRecord>,
) -> bool {
    let runs = generation(work, candidates, stop);
    if stop.load(Ordering::Relaxed) {
        return false;
    }
    runs.into_iter()
        .all(|(run, result)| sender.send(learn(explorer, work, folders, run, result)).is_ok())
}

type Run = (Candidate, Result<Outcome, String>);

/// In the order of the candidates.
fn generation(work: &Work, candidates: Vec<Candidate>, stop: &AtomicBool) -> Vec<Run> {
    let jobs = job_count(work).min(candidates.len());
    let todo = Mutex::new(candidates.into_iter().enumerate());
    let runs = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, candidate)) = next else { break };
                    announce(candidate.seed, work);
                    let scenario = candidate.scenario.clone();
                    let result = run_scenario(scenario, work.options.white_box, None);
                    let run = (place, (candidate, result));
                    runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    runs.sort_by_key(|(place, _)| *place);
    runs.into_iter().map(|(_, run)| run).collect()
}

fn learn(
    explorer: &mut Explorer,
    work: &Work,
    folders: &Folders,
    candidate: Candidate,
    result: Result<Outcome, String>,
) -> SeedRecord {
    let Candidate { seed, scenario, origin } = candidate;
    let kept = result.as_ref().is_ok_and(|outcome| explorer.learn(&scenario, outcome));
    let mutated = origin == Origin::Mutated;
    let (written, taken_up) = match origin {
        Origin::Corpus(path) => (Ok(Some(path)), true),
        Origin::Drawn | Origin::Mutated => {
            let place = result.as_ref().ok().and_then(|it| place(folders, it, mutated, kept));
            let written = place.map(|(path, expect)| {
                let why =
                    format!("found by a search from seed {seed}, commit {}", vivarium_sim::COMMIT);
                let white_box = work.options.white_box;
                write(&path, &ScenarioFile { why, expect, white_box, scenario }).map(|()| path)
            });
            (written.transpose(), false)
        }
    };
    let mut record = SeedRecord::new(seed, &work.options, result);
    let scenario = written.unwrap_or_else(|why| {
        record.fail_harness(why);
        None
    });
    record.explored = Some(Explored { mutated, kept, taken_up, scenario });
    record
}

/// Where a scenario is written to, and what it expects. Its name follows from the run: no search takes
/// the place of what another one found.
fn place(
    folders: &Folders,
    outcome: &Outcome,
    mutated: bool,
    kept: bool,
) -> Option<(PathBuf, Expect)> {
    let hash = outcome.trace_hash;
    match &outcome.verdict {
        Err(violation) => mutated.then(|| {
            let expect = Expect::Violation { check: Some(violation.check.clone()) };
            (folders.failing.join(format!("failing-{hash:016x}.toml")), expect)
        }),
        Ok(()) => {
            let folder = folders.corpus.as_ref().filter(|_| kept)?;
            Some((folder.join(format!("kept-{hash:016x}.toml")), Expect::Ok))
        }
    }
}

fn write(path: &Path, file: &ScenarioFile) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(path, file.to_string()).map_err(fail)
}
