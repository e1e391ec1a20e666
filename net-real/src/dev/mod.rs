//! `vivarium dev`: a whole ensemble on loopback in one command, for whoever writes or tests an
//! application, and the commands from other terminals that kill, pause, wipe and part its servers.
//!
//! Each server is this same binary as a process of its own, so what an application meets here is
//! what it meets in production. [`foreground`] holds the ensemble; [`control`] is how others talk
//! to it.

pub mod args;
pub mod control;
pub mod cuts;
pub mod deeds;
pub mod ensemble;
pub mod folder;
pub mod foreground;
pub mod forwarder;
pub mod parent;
pub mod plan;
pub mod ports;
pub mod process;
pub mod registry;
pub mod server;
pub mod srvr;
pub mod talk;

use std::process::ExitCode;

pub use args::DevArgs;

use crate::failure::Failure;

pub fn run(args: DevArgs) -> Result<ExitCode, Failure> {
    match args.steer {
        Some(steer) => control::steer(steer),
        None => foreground::run(args.start),
    }
}
