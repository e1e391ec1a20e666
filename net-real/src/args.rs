//! What may be typed behind `vivarium`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config_command::ConfigCommand;
use crate::dev::DevArgs;
use crate::logs::LogFormat;

/// A ZooKeeper-compatible coordination service.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one server in the foreground, until SIGTERM or SIGINT.
    #[command(
        after_help = "Logs go to standard error; VIVARIUM_LOG=debug shows more, as does RUST_LOG.\n\
        SIGTERM and SIGINT stop in order, a second one at once; SIGHUP reads the configuration again.\n\
        Exit codes: 0 stopped in order, 1 a failure while running, 2 wrong usage or configuration."
    )]
    Serve(ServeArgs),
    /// Check a configuration, or show what is in force.
    #[command(subcommand)]
    Config(ConfigCommand),
    Dev(DevArgs),
    /// Say whether Apache ZooKeeper would start on a data folder, and what is in it.
    #[command(
        long_about = "Says in one line whether Apache ZooKeeper 3.9.5 would start on a data \
            folder, and why not, then what is in it. Of a single transaction log or snapshot it \
            prints the content, entry by entry. Never writes, and works beside a running server.",
        after_help = "Exit codes: 0 Apache would start, or the file is whole; 1 it would not, or \
            the file is damaged; 2 wrong usage."
    )]
    Data(DataArgs),
}

#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// A dataDir, its version-2, or one file: log.*, snapshot.*
    #[arg(value_name = "FOLDER|FILE")]
    pub path: PathBuf,
    /// Where the transaction logs are, if dataLogDir differs from dataDir.
    #[arg(long, value_name = "FOLDER")]
    pub log_dir: Option<PathBuf>,
    /// Judge it as the folder of this kind of server; told by epoch files and myid otherwise.
    #[arg(long, value_enum, value_name = "KIND")]
    pub standing: Option<StandingArg>,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StandingArg {
    Standalone,
    Member,
}

/// How standard output reads, in every command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    /// One document; of a log or snapshot file, one for each entry.
    Json,
}

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// ZooKeeper's configuration file. Where it does not exist, ZOO_* variables stand in for it.
    #[arg(value_name = "ZOO_CFG")]
    pub config: PathBuf,
    /// Form of log lines; auto is text on a terminal and JSON elsewhere.
    #[arg(long, value_enum, env = "VIVARIUM_LOG_FORMAT", default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// Ends with this process, which started it; for `vivarium dev`.
    #[arg(long, value_name = "PID", hide = true)]
    pub exit_with_parent: Option<u32>,
}
