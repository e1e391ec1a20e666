//! The threads that run seeds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::{process, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use vivarium_sim::run::run_seed;
use vivarium_sim::scenario::Options;

use crate::HARNESS;
use crate::sweep::ledger::Ledger;
use crate::sweep::record::SeedRecord;

pub(crate) struct Work {
    /// In the order in which they start.
    pub(crate) todo: Vec<u64>,
    pub(crate) options: Options,
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
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(seed) = next else { break };
                announce(seed, ledger.as_deref(), verbose);
                let record = SeedRecord::new(seed, &options, run_seed(seed, &options, None));
                if sender.send(record).is_err() {
                    break;
                }
            }
        });
    }
    results
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
