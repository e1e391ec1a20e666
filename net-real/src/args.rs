//! What may be typed behind `vivarium`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::dev::DevArgs;

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
    #[command(after_help = "Logs go to standard error; VIVARIUM_LOG=debug shows more.\n\
        Exit codes: 0 stopped in order, 1 a failure while running, 2 wrong usage or configuration.")]
    Serve {
        /// ZooKeeper's configuration file.
        #[arg(value_name = "ZOO_CFG")]
        config: PathBuf,
        /// Ends with this process, which started it; for `vivarium dev`.
        #[arg(long, value_name = "PID", hide = true)]
        exit_with_parent: Option<u32>,
    },
    Dev(DevArgs),
}
