//! Several servers in one thread: virtual time, byte links, disks that can lose power, clients.
#![allow(dead_code, unreachable_pub, clippy::wildcard_enum_match_arm)]

pub mod audit;
pub mod client;
pub mod disk;
pub mod net;
pub mod rng;
pub mod setup;
pub mod world;
