//! The seeded world: everything that drives vivarium-core's `Server` through its contract, with
//! faults, judges what it does, and replays any seed.

#[cfg(not(madsim))]
compile_error!(
    "vivarium-sim needs `--cfg madsim`. It comes from .cargo/config.toml, which an environment \
     RUSTFLAGS replaces: unset RUSTFLAGS, or add `--cfg madsim` to it."
);

pub mod checkers;
pub mod client;
pub mod clock;
pub mod disk;
pub mod disk_view;
pub mod history;
pub mod ids;
pub mod net;
pub mod observe;
pub mod oracle;
pub mod rng;
pub mod workload;
pub mod zkclient;
