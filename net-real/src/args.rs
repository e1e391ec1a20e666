//! What may be typed behind `vivarium`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
