//! The seeded world: everything that drives vivarium-core's `Server` through its contract, with
//! faults, judges what it does, and replays any seed.

#[cfg(not(madsim))]
compile_error!(
    "vivarium-sim needs `--cfg madsim`. It comes from .cargo/config.toml, which an environment \
     RUSTFLAGS replaces: unset RUSTFLAGS, or add `--cfg madsim` to it."
);

pub mod apache;
mod armed_crash;
pub mod checkers;
pub mod client;
mod client_host;
pub mod clock;
pub mod cluster;
pub mod codec;
pub mod coverage;
pub mod disk;
pub mod disk_view;
pub mod divergence;
pub mod explore;
pub mod failure;
mod faults;
mod groups;
mod hashed;
pub mod history;
pub mod ids;
mod inbox;
pub mod machine;
pub mod net;
pub mod observe;
pub mod oracle;
mod panics;
mod process;
pub mod recorded;
pub mod recording;
pub mod report;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod schedule;
mod shadow;
pub mod shrink;
mod trace;
pub mod workload;
mod world;
pub mod zkclient;

pub use self::trace::{TraceLine, TraceSink};

/// The commit that this program was built from.
pub const COMMIT: &str = match option_env!("VIVARIUM_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// How notes name the payload of a log record.
fn payload_hash(payload: &[u8]) -> u64 {
    vivarium_core::txn::payload_hash(payload)
}
