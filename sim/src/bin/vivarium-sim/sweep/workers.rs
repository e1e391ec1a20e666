//! The threads that run seeds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::{process, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use vivarium_sim::run::{Outcome, run_scenario, run_seed};
use vivarium_sim::scenario::{Options, Scenario};

use crate::HARNESS;
use crate::sweep::ledger::Ledger;
use crate::sweep::record::SeedRecord;

pub(crate) struct Work {
    /// In the order in which they start.
    pub(crate) todo: Vec<u64>,
    pub(crate) options: Options,
    /// In place of what seeds draw.
    pub(crate) scenario: Option<Arc<Scenario>>,
    /// `None`: one for each core.
    pub(crate) jobs: Option<usize>,
    pub(crate) ledger: Option<Arc<Ledger>>,
    pub(crate) verbose: bool,
}

pub(crate) fn start_workers(work: Work, stop: &Arc<AtomicBool>) -> mpsc::Receiver<SeedRecord> {
    let jobs = job_count(&work).min(work.todo.len());
    let todo = Arc::new(Mutex::new(work.todo.clone().into_iter()));
    let work = Arc::new(work);
    let (sender, results) = mpsc::channel();
    for _ in 0..jobs {
        let (todo, stop, sender) = (Arc::clone(&todo), Arc::clone(stop), sender.clone());
        let work = Arc::clone(&work);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(seed) = next else { break };
                announce(seed, &work);
                let record = SeedRecord::new(seed, &work.options, run_one(seed, &work));
                if sender.send(record).is_err() {
                    break;
                }
            }
        });
    }
    results
}

/// A seed, or a roll of a scenario.
fn run_one(seed: u64, work: &Work) -> Result<Outcome, String> {
    let Some(scenario) = &work.scenario else { return run_seed(seed, &work.options, None) };
    let rolls =
        u32::try_from(seed).map_err(|_| format!("there is no roll {seed}: at most 2^32"))?;
    let scenario = Scenario { rolls, ..Scenario::clone(scenario) };
    run_scenario(scenario, work.options.white_box, None)
}

pub(crate) fn job_count(work: &Work) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    work.jobs.unwrap_or_else(cores)
}

/// Whoever finds this process killed can tell what it was at.
pub(crate) fn announce(seed: u64, work: &Work) {
    if work.verbose {
        eprintln!("seed {seed}");
    }
    if let Some(Err(why)) = work.ledger.as_ref().map(|ledger| ledger.started(seed)) {
        eprintln!("{why}");
        process::exit(HARNESS.into());
    }
}

/// Set once the person has had enough (Ctrl-C). A second Ctrl-C ends the program at once.
pub(crate) fn watch_interrupts() -> Arc<AtomicBool> {
    let pressed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let at_once = flag::register_conditional_shutdown(signal, 130, Arc::clone(&pressed));
        if let Err(error) = at_once.and_then(|_| flag::register(signal, Arc::clone(&pressed))) {
            eprintln!("no partial summary on signal {signal}: {error}");
        }
    }
    pressed
}
