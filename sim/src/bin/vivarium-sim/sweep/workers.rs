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
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = work.jobs.unwrap_or_else(cores).min(work.todo.len());
    let todo = Arc::new(Mutex::new(work.todo.into_iter()));
    let (sender, results) = mpsc::channel();
    for _ in 0..jobs {
        let (todo, stop, sender) = (Arc::clone(&todo), Arc::clone(stop), sender.clone());
        let (options, ledger, verbose) = (work.options.clone(), work.ledger.clone(), work.verbose);
        let scenario = work.scenario.clone();
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(seed) = next else { break };
                announce(seed, ledger.as_deref(), verbose);
                let record =
                    SeedRecord::new(seed, &options, run_one(seed, &options, scenario.as_deref()));
                if sender.send(record).is_err() {
                    break;
                }
            }
        });
    }
    results
}

/// A seed, or a roll of a scenario.
fn run_one(seed: u64, options: &Options, scenario: Option<&Scenario>) -> Result<Outcome, String> {
    let Some(scenario) = scenario else { return run_seed(seed, options, None) };
    let rolls =
        u32::try_from(seed).map_err(|_| format!("there is no roll {seed}: at most 2^32"))?;
    run_scenario(Scenario { rolls, ..scenario.clone() }, options.white_box, None)
}

/// Whoever finds this process killed can tell what it was at.
fn announce(seed: u64, ledger: Option<&Ledger>, verbose: bool) {
    if verbose {
        eprintln!("seed {seed}");
    }
    if let Some(Err(why)) = ledger.map(|ledger| ledger.started(seed)) {
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
