//! What may be typed behind `vivarium dev`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::Format;

use crate::dev::registry::Name;
use crate::dev::talk::{Deed, Group, Request, Target};

/// Run a whole ensemble on loopback, or steer one that runs.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        vivarium dev                          three servers; Ctrl-C ends them\n  \
        vivarium dev -- cargo test            a command with ZOOKEEPER_CONNECT in its environment\n  \
        vivarium dev kill leader              from another terminal\n\n\
        Standard output carries the connect string in its first line; logs go to files.\n\
        Exit codes: 0 stopped in order, 1 a failure while running, 2 wrong usage; with a command, its own."
)]
pub struct DevArgs {
    #[command(subcommand)]
    pub steer: Option<Steer>,
    #[command(flatten)]
    pub start: StartArgs,
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// How many servers
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub servers: u8,
    /// Clients connect to PORT, PORT+1, ..; without it the system picks free ports
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
    /// Where the servers keep data and logs, also after the end; servers found there go on
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Keep the temporary folder at the end
    #[arg(long, conflicts_with = "dir")]
    pub keep: bool,
    /// How commands from other terminals call it; without it dev, dev-2, ..
    #[arg(long)]
    pub name: Option<Name>,
    /// ZooKeeper's tickTime in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub tick_time: u32,
    /// How standard output is written
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Run this with ZOOKEEPER_CONNECT set, stop the servers when it ends, and end with its code
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub enum Steer {
    /// Show each server: address, state, process, mode, zxid
    Status(Which),
    /// End servers with SIGKILL
    Kill(Servers),
    /// Stop servers in order, with SIGTERM
    Stop(Servers),
    /// Start servers that were killed or stopped, and wait until they serve
    Start(Servers),
    /// Let servers stand still, with SIGSTOP
    Pause(Servers),
    /// Let paused servers go on, with SIGCONT
    Resume(Servers),
    /// Kill servers, empty their data folders, and start them blank
    Wipe(Servers),
    /// Cut the connections between groups of servers, and wait until a minority serves no more
    Partition(PartitionArgs),
    /// End the partition, and wait until all servers serve again
    Heal(Which),
}

/// Which ensemble is meant, and how it answers.
#[derive(Debug, Args)]
pub struct Which {
    /// The ensemble; needed only where several run, and VIVARIUM_DEV does not name it
    #[arg(long)]
    pub name: Option<Name>,
    /// How standard output is written
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Debug, Args)]
pub struct Servers {
    /// Numbers of servers, or `leader`
    #[arg(value_name = "N", required = true)]
    servers: Vec<Target>,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub struct PartitionArgs {
    /// Servers that stay together, as 2,3; those that are not named form one more group
    #[arg(value_name = "GROUP", required = true)]
    groups: Vec<Group>,
    /// Only what the first group sends is lost
    #[arg(long)]
    one_way: bool,
    #[command(flatten)]
    which: Which,
}

impl Steer {
    pub fn split(self) -> (Request, Which) {
        let (deed, Servers { servers, which }) = match self {
            Self::Status(which) => return (Request::Status, which),
            Self::Heal(which) => return (Request::Heal, which),
            Self::Partition(PartitionArgs { groups, one_way, which }) => {
                return (Request::Partition { groups, one_way }, which);
            }
            Self::Kill(servers) => (Deed::Kill, servers),
            Self::Stop(servers) => (Deed::Stop, servers),
            Self::Start(servers) => (Deed::Start, servers),
            Self::Pause(servers) => (Deed::Pause, servers),
            Self::Resume(servers) => (Deed::Resume, servers),
            Self::Wipe(servers) => (Deed::Wipe, servers),
        };
        (Request::Do { deed, servers }, which)
    }
}
