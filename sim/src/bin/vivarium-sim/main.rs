//! `vivarium-sim`: runs seeds, replays any of them, and judges recorded histories.

mod check;
mod diff;
mod merge;
mod replay;
mod report;
mod scenario;
mod shrink;
mod subject;
mod sweep;
mod when;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vivarium_sim::scenario::Options;

/// Seeded simulation of Vivarium ensembles: faults, workload, checkers, replay.
///
/// Exit codes: 0 ok, 1 a violation was found, 2 usage, 3 a fault of the harness itself.
#[derive(Debug, Parser)]
#[command(name = "vivarium-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run many seeds and sum up.
    Run(sweep::RunArgs),
    /// Join the ledgers of a sweep to one report.
    Merge(merge::MergeArgs),
    /// Run one seed again and print its trace.
    Replay(replay::ReplayArgs),
    /// Draw one run as a page for a browser, and as a trace for Perfetto.
    Report(report::ReportArgs),
    /// Find the first event in which two runs differ.
    Diff(diff::DiffArgs),
    /// Write a seed as a scenario file; look a scenario file through.
    Scenario(scenario::ScenarioArgs),
    /// Make a failing seed or scenario as small as it gets.
    Shrink(shrink::ShrinkArgs),
    /// Say from which moment on a failure was likely.
    When(when::WhenArgs),
    /// Judge a recorded history of real servers and clients.
    Check(check::CheckArgs),
}

/// A run is thousands of short lives of small objects: a fifth of its time was the allocator's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Options that change what a seed means; a failure prints them with its replay command.
#[derive(Clone, Debug, Args)]
struct WorldArgs {
    /// Number of voting servers [default: drawn from the seed]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    servers: Option<u8>,
    /// Number of clients [default: drawn from the seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    clients: Option<u8>,
    /// Simulated seconds of the fault phase; a calm phase follows
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    sim_seconds: u64,
    /// Judge without the checks that look into disks
    #[arg(long)]
    no_white_box: bool,
    /// Number of servers that behave as Apache ZooKeeper's do; one of ours stays [default: drawn]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
    apache_peers: Option<u8>,
    /// Let faults take more disks than a quorum can bear: then it is right to refuse service
    #[arg(long)]
    beyond_quorum: bool,
}

impl WorldArgs {
    fn options(&self) -> Options {
        Options {
            servers: self.servers.map(usize::from),
            clients: self.clients.map(usize::from),
            sim_seconds: self.sim_seconds,
            white_box: !self.no_white_box,
            apache_peers: self.apache_peers.map(usize::from),
            beyond_quorum: self.beyond_quorum,
            scenario: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The command that shows a failure again.
fn replay_command(seed: u64, options: &Options) -> String {
    let mut command = match &options.scenario {
        Some(path) => format!("vivarium-sim replay --scenario {} --rolls {seed}", path.display()),
        None => format!("vivarium-sim replay {seed}"),
    };
    if let Some(servers) = options.servers {
        command.push_str(&format!(" --servers {servers}"));
    }
    if let Some(clients) = options.clients {
        command.push_str(&format!(" --clients {clients}"));
    }
    if options.sim_seconds != Options::default().sim_seconds {
        command.push_str(&format!(" --sim-seconds {}", options.sim_seconds));
    }
    if !options.white_box {
        command.push_str(" --no-white-box");
    }
    if let Some(peers) = options.apache_peers {
        command.push_str(&format!(" --apache-peers {peers}"));
    }
    if options.beyond_quorum {
        command.push_str(" --beyond-quorum");
    }
    command
}

const OK: u8 = 0;
const VIOLATION: u8 = 1;
/// The files that were given cannot be judged.
const UNUSABLE: u8 = 2;
const HARNESS: u8 = 3;

fn main() -> ExitCode {
    // clap ends the process with 2 where the usage is wrong.
    let code = match Cli::parse().command {
        Command::Run(args) => sweep::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Scenario(args) => scenario::run(&args),
        Command::Shrink(args) => shrink::run(&args),
        Command::When(args) => when::run(&args),
        Command::Check(args) => check::run(&args),
    };
    ExitCode::from(code)
}
