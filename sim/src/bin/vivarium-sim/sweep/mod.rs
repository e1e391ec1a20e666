//! Many seeds, side by side, and their sum.

mod explore;
mod junit;
pub(crate) mod ledger;
mod page;
mod progress;
mod range;
pub(crate) mod record;
pub(crate) mod report;
mod shard;
pub(crate) mod summary;
pub(crate) mod text;
mod workers;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::subject::read_file;
use crate::sweep::explore::{Corpus, Folders, start_search};
use crate::sweep::ledger::{Header, Ledger};
use crate::sweep::progress::Progress;
use crate::sweep::record::SeedRecord;
use crate::sweep::report::ReportArgs;
use crate::sweep::shard::{Shard, ShardArg};
use crate::sweep::summary::Summary;
use crate::sweep::workers::{Work, start_workers, watch_interrupts};
use crate::{HARNESS, OK, UNUSABLE, WorldArgs};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// How many seeds to run; with --scenario, how many rolls of it [default: 100, of a scenario 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed, or roll [default: 1, of a scenario the roll that it names]
    #[arg(long)]
    seed_start: Option<u64>,
    /// A scenario file in place of what seeds draw: latencies, disks and tasks differ from run to run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["servers", "clients", "apache_peers", "beyond_quorum"])]
    scenario: Option<PathBuf>,
    /// Seeds that run side by side [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Start no seed after the first that fails; all before it are judged
    #[arg(long)]
    fail_fast: bool,
    /// Run part K of N of the seeds; `none`: all, whatever the environment says
    /// [default: what a Slurm array, an Indexed Job, a GitLab matrix or VIVARIUM_SHARD=K/N says]
    #[arg(long, value_name = "K/N")]
    shard: Option<ShardArg>,
    /// Keep results in this file, and run no seed again that has one
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Make scenarios of those that reached something new, in place of drawing each from its seed;
    /// a search is one process's, and no shard of another
    #[arg(long, conflicts_with_all = ["ledger", "shard", "scenario"])]
    explore: bool,
    /// With --explore: begin with the scenario files in this folder, and write into it what reaches
    /// something new
    #[arg(long, value_name = "FOLDER", requires = "explore")]
    corpus: Option<PathBuf>,
    /// Name each seed on standard error before it runs
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    world: WorldArgs,
    /// `text` prints a summary, `json` one document, `jsonl` a line a seed and the summary as the last
    #[arg(short, long, value_enum, default_value = "text")]
    output: SweepFormat,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SweepFormat {
    Text,
    Json,
    Jsonl,
}

pub(crate) fn run(args: &RunArgs) -> u8 {
    let named = if args.explore { Some(ShardArg::None) } else { args.shard };
    let prepared = shard(named).and_then(|found| Sweep::prepare(args, found));
    match prepared {
        Ok(sweep) => sweep.run(args),
        Err(why) => {
            eprintln!("{why}");
            UNUSABLE
        }
    }
}

/// The part of the sweep that is ours, and who says so.
fn shard(arg: Option<ShardArg>) -> Result<Option<(Shard, &'static str)>, String> {
    match arg {
        Some(ShardArg::None) => Ok(None),
        Some(ShardArg::Part(shard)) => Ok(Some((shard, "--shard"))),
        None => {
            Shard::from_environment(|name| std::env::var(name).ok().filter(|text| !text.is_empty()))
        }
    }
}

/// A sweep that is about to begin.
struct Sweep {
    work: Work,
    summary: Summary,
    ledger: Option<Arc<Ledger>>,
    corpus: Corpus,
}

impl Sweep {
    fn prepare(args: &RunArgs, shard: Option<(Shard, &'static str)>) -> Result<Self, String> {
        let file = args.scenario.as_deref().map(read_file).transpose()?;
        let mut options = args.world.options();
        options.scenario.clone_from(&args.scenario);
        options.white_box &= file.as_ref().is_none_or(|file| file.white_box);
        let default = if file.is_some() { 1 } else { 100 };
        let first = file.as_ref().map_or(1, |file| file.scenario.rolls.into());
        let header = Header {
            commit: vivarium_sim::COMMIT.to_owned(),
            program: args.ledger.as_ref().map(|_| ledger::program()).unwrap_or_default(),
            options,
            seed_start: args.seed_start.unwrap_or(first),
            seeds: args.seeds.unwrap_or(default),
            shard: shard.map(|(shard, _)| shard),
        };
        let mut summary = Summary::new(&header.commit, &header.options);
        summary.shard = header.shard.map(|shard| shard.to_string());
        summary.shard_from = shard.map(|(_, from)| from.to_owned());
        let mut todo: Vec<u64> = header.seeds_of_shard().collect();
        let mut ledger = None;
        if let Some(path) = &args.ledger {
            let (opened, contents) = Ledger::open(path, &header)?;
            for seed in &todo {
                contents.ended.get(seed).into_iter().for_each(|record| summary.add(record));
            }
            summary.from_ledger = summary.seeds;
            todo.retain(|seed| !contents.ended.contains_key(seed));
            ledger = Some(Arc::new(opened));
        }
        let jobs = args.jobs.map(usize::from);
        let work = Work {
            todo,
            options: header.options,
            scenario: file.map(|file| Arc::new(file.scenario)),
            jobs,
            ledger: ledger.clone(),
            verbose: args.verbose,
        };
        let corpus = Corpus::read(args.corpus.as_deref())?;
        Ok(Self { work, summary, ledger, corpus })
    }

    fn run(self, args: &RunArgs) -> u8 {
        let Self { work, mut summary, ledger, corpus } = self;
        let progress = Progress::new((work.todo.len() + corpus.len()) as u64);
        let clock = start_clock();
        let (stop, interrupts) = (Arc::default(), watch_interrupts());
        let results = match args.explore {
            true => start_search(work, folders(args), corpus, &stop),
            false => start_workers(work, &stop),
        };
        loop {
            match results.recv_timeout(Duration::from_millis(100)) {
                Ok(record) => {
                    let kept = ledger.as_ref().map_or(Ok(()), |ledger| ledger.ended(&record));
                    if let Err(why) = kept {
                        eprintln!("{why}");
                        process::exit(HARNESS.into());
                    }
                    take(&record, args, &mut summary, &progress);
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
        summary.took(clock.elapsed());
        let code = finish(&mut summary, args);
        if summary.interrupted {
            // Seeds under way are of no use to anybody.
            process::exit(code.into());
        }
        code
    }
}

fn folders(args: &RunArgs) -> Folders {
    let failing = args.corpus.clone().unwrap_or_else(|| PathBuf::from("explored"));
    Folders { corpus: args.corpus.clone(), failing }
}

fn take(record: &SeedRecord, args: &RunArgs, summary: &mut Summary, progress: &Progress) {
    if args.output == SweepFormat::Jsonl {
        let line = serde_json::to_string(record).expect("a record is plain data");
        // A reader that has seen enough closes the pipe.
        let _ = writeln!(stdout(), "{line}");
    }
    summary.add(record);
    progress.tell(record);
    progress.step(summary);
}

/// Prints and writes what was found.
fn finish(summary: &mut Summary, args: &RunArgs) -> u8 {
    summary.close();
    let told = match args.output {
        SweepFormat::Text => text::of(summary),
        SweepFormat::Json => {
            format!("{}\n", serde_json::to_string_pretty(summary).expect("a summary is plain data"))
        }
        SweepFormat::Jsonl => format!("{}\n", serde_json::json!({ "summary": summary })),
    };
    // As above.
    let _ = stdout().write_all(told.as_bytes());
    args.report.write(summary).unwrap_or_else(|why| {
        eprintln!("{why}");
        HARNESS
    })
}

#[allow(clippy::disallowed_methods, reason = "how long a sweep takes is no input of any seed")]
fn start_clock() -> Instant {
    Instant::now()
}
