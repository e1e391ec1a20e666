//! What may be done to core from outside, as functions of bytes. `cargo fuzz` looks for bytes that break
//! them (`make fuzz`); the corpora that it grew are replayed by every `make test`.
//!
//! No input may panic, hang, or make two servers differ that were told the same.

pub mod config_text;
mod folder;
mod model;
pub mod server_step;
pub mod snapshot_scan;
pub mod tree_vs_model;
pub mod txnlog_scan;
pub mod wire_decode;

/// One function that takes any bytes, and panics where core breaks a law.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of the corpus folder, and of the binary of `cargo fuzz`.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All there are.
pub const TARGETS: &[Target] = &[
    Target { name: "config_text", run: config_text::run },
    Target { name: "server_step", run: server_step::run },
    Target { name: "snapshot_scan", run: snapshot_scan::run },
    Target { name: "tree_vs_model", run: tree_vs_model::run },
    Target { name: "txnlog_scan", run: txnlog_scan::run },
    Target { name: "wire_decode", run: wire_decode::run },
];
