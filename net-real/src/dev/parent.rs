//! A server of `vivarium dev` ends with the process that started it, however that one ends.
//!
//! The kernel is asked for SIGKILL at the parent's death: it reaches a server that is paused, too,
//! which a server that watches a pipe would sleep through.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::failure::Failure;

/// `parent`: who started this process. It may have died before the kernel was asked.
pub fn end_with(parent: u32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| {
        Failure::running(format!("asking for the end of process {parent}: {error}"))
    })?;
    let is_there = |now: Pid| now.as_raw_nonzero().get().unsigned_abs() == parent;
    if getppid().is_some_and(is_there) {
        Ok(())
    } else {
        Err(Failure::running(format!("process {parent}, which started this server, has ended")))
    }
}
