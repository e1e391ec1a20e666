//! Many seeds, side by side, and their sum.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{process, thread};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use vivarium_sim::observe::Violation;
use vivarium_sim::run::{Outcome, run_seed};
use vivarium_sim::scenario::Options;

use crate::{Format, HARNESS, OK, VIOLATION, WorldArgs, replay_command};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// How many seeds to run
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed_start: u64,
    /// Seeds that run side by side [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Start no seed after the first that fails; all before it are judged
    #[arg(long)]
    fail_fast: bool,
    #[command(flatten)]
    world: WorldArgs,
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// What a sweep found.
#[derive(Debug, Default, Serialize)]
struct Summary {
    commit: &'static str,
    seeds: u64,
    seeds_per_second: f64,
    wall_seconds: f64,
    sim_seconds: f64,
    events: u64,
    messages: u64,
    disk_ops: u64,
    commits: u64,
    elections: u64,
    boots: u64,
    faults: BTreeMap<&'static str, u64>,
    skipped: BTreeMap<&'static str, u64>,
    mixed: Mixed,
    interrupted: bool,
    failures: Vec<Failure>,
    harness_faults: Vec<String>,
}

/// Seeds with servers that behave as Apache's do.
#[derive(Debug, Default, Serialize)]
struct Mixed {
    seeds: u64,
    peers: u64,
    /// How often each habit showed.
    habits: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct Failure {
    seed: u64,
    violation: Violation,
    trace_hash: String,
    replay: String,
}

/// How many failures the text names.
const SHOWN: usize = 20;

pub(crate) fn run(args: &RunArgs) -> u8 {
    let options = args.world.options();
    let stop = Arc::new(AtomicBool::new(false));
    let results = start_workers(args, &options, &stop);
    let interrupts = watch_interrupts();
    let progress = Progress::new(args.seeds);
    let clock = start_clock();
    let mut summary = Summary { commit: vivarium_sim::COMMIT, ..Summary::default() };
    loop {
        match results.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => {
                summary.add(result, &options, &progress);
                progress.step(&summary);
                if args.fail_fast && summary.exit_code() != OK {
                    // Seeds start in order: all before the one that failed are under way or done.
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if interrupts.load(Ordering::Relaxed) {
            summary.interrupted = true;
            stop.store(true, Ordering::Relaxed);
            break;
        }
    }
    progress.finish();
    summary.wall_seconds = clock.elapsed().as_secs_f64();
    summary.seeds_per_second = summary.seeds as f64 / summary.wall_seconds.max(1e-9);
    summary.failures.sort_by_key(|failure| failure.seed);
    print(&summary, args.output);
    let code = summary.exit_code();
    if summary.interrupted {
        // Seeds under way are of no use to anybody.
        process::exit(code.into());
    }
    code
}

fn start_workers(
    args: &RunArgs,
    options: &Options,
    stop: &Arc<AtomicBool>,
) -> mpsc::Receiver<(u64, Result<Outcome, String>)> {
    let cores = || thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let jobs = args.jobs.map_or_else(cores, u64::from).min(args.seeds.max(1));
    let next = Arc::new(AtomicU64::new(0));
    let (sender, results) = mpsc::channel();
    for _ in 0..jobs {
        let (next, stop, sender) = (Arc::clone(&next), Arc::clone(stop), sender.clone());
        let (options, seeds, start) = (options.clone(), args.seeds, args.seed_start);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= seeds {
                    break;
                }
                let seed = start.wrapping_add(index);
                if sender.send((seed, run_seed(seed, &options, None))).is_err() {
                    break;
                }
            }
        });
    }
    results
}

/// Set once the person has had enough (Ctrl-C). A second Ctrl-C ends the program at once.
fn watch_interrupts() -> Arc<AtomicBool> {
    let pressed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let at_once = flag::register_conditional_shutdown(signal, 130, Arc::clone(&pressed));
        if let Err(error) = at_once.and_then(|_| flag::register(signal, Arc::clone(&pressed))) {
            eprintln!("no partial summary on signal {signal}: {error}");
        }
    }
    pressed
}

#[allow(clippy::disallowed_methods, reason = "how long a sweep takes is no input of any seed")]
fn start_clock() -> Instant {
    Instant::now()
}

impl Summary {
    fn add(
        &mut self,
        (seed, result): (u64, Result<Outcome, String>),
        options: &Options,
        progress: &Progress,
    ) {
        self.seeds += 1;
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(fault) => {
                progress.say(&fault);
                self.harness_faults.push(fault);
                return;
            }
        };
        self.sim_seconds += outcome.end.0 as f64 / 1e6;
        self.events += outcome.events;
        self.messages += outcome.stats.messages;
        self.disk_ops += outcome.stats.disk_ops;
        self.commits += outcome.stats.commits;
        self.elections += outcome.stats.elections;
        self.boots += outcome.stats.boots;
        for (sum, part) in
            [(&mut self.faults, &outcome.stats.faults), (&mut self.skipped, &outcome.stats.skipped)]
        {
            for (name, count) in part {
                *sum.entry(name).or_default() += count;
            }
        }
        self.mixed.seeds += u64::from(!outcome.apache.is_empty());
        self.mixed.peers += outcome.apache.len() as u64;
        for (habit, count) in &outcome.stats.habits {
            *self.mixed.habits.entry(habit).or_default() += count;
        }
        if let Err(violation) = outcome.verdict {
            let replay = replay_command(seed, options);
            if self.failures.len() < SHOWN {
                progress.say(&format!("seed {seed}: {violation}\n  {replay}"));
            }
            let trace_hash = format!("{:016x}", outcome.trace_hash);
            self.failures.push(Failure { seed, violation, trace_hash, replay });
        }
    }

    fn exit_code(&self) -> u8 {
        if !self.harness_faults.is_empty() {
            HARNESS
        } else if self.failures.is_empty() {
            OK
        } else {
            VIOLATION
        }
    }
}

fn print(summary: &Summary, format: Format) {
    match format {
        Format::Json => {
            let text = serde_json::to_string_pretty(summary).expect("a summary is plain data");
            println!("{text}");
        }
        Format::Text => print_text(summary),
    }
}

fn print_text(summary: &Summary) {
    let partial = if summary.interrupted { " (interrupted)" } else { "" };
    println!(
        "{} seeds{partial} in {:.1} s: {:.1} seeds/s, {:.0} simulated seconds ({:.0}x real time)",
        summary.seeds,
        summary.wall_seconds,
        summary.seeds_per_second,
        summary.sim_seconds,
        summary.sim_seconds / summary.wall_seconds.max(1e-9),
    );
    println!(
        "{} messages, {} disk operations, {} commits, {} leaders established, {} boots, {} events",
        summary.messages,
        summary.disk_ops,
        summary.commits,
        summary.elections,
        summary.boots,
        summary.events
    );
    println!("faults: {}", counts(&summary.faults));
    println!("could not strike: {}", counts(&summary.skipped));
    let mixed = &summary.mixed;
    println!(
        "mixed ensembles: {} seeds, {} Apache peers, habits seen: {}",
        mixed.seeds,
        mixed.peers,
        counts(&mixed.habits)
    );
    println!("{} failures{}", summary.failures.len(), by_check(&summary.failures));
    for failure in summary.failures.iter().take(SHOWN) {
        println!("seed {}: {}\n  {}", failure.seed, failure.violation, failure.replay);
    }
    if summary.failures.len() > SHOWN {
        println!("and {} more; -o json lists them all", summary.failures.len() - SHOWN);
    }
    for fault in &summary.harness_faults {
        println!("harness: {fault}");
    }
}

fn by_check(failures: &[Failure]) -> String {
    let mut checks = BTreeMap::<&str, u64>::new();
    for failure in failures {
        *checks.entry(&failure.violation.check).or_default() += 1;
    }
    let all: Vec<_> = checks.iter().map(|(check, count)| format!("{check} {count}")).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
}

fn counts(counts: &BTreeMap<&'static str, u64>) -> String {
    let all: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if all.is_empty() { String::from("none") } else { all.join(", ") }
}

/// A bar for people, a line now and then for logs; always on standard error.
struct Progress {
    bar: Option<ProgressBar>,
    every: u64,
    total: u64,
}

impl Progress {
    fn new(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:30} {pos}/{len} seeds, {per_sec}, {eta} left {msg}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        });
        Self { bar, every: (total / 10).max(1), total }
    }

    fn step(&self, summary: &Summary) {
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                bar.set_message(format!("{} failures", summary.failures.len()));
            }
            None if summary.seeds.is_multiple_of(self.every) => {
                let (done, failed) = (summary.seeds, summary.failures.len());
                eprintln!("{done}/{} seeds, {failed} failures", self.total);
            }
            None => {}
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
