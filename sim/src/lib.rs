//! The seeded world.

pub mod checkers;
pub mod client;
pub mod event;
pub mod workload;
