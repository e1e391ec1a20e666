//! The whole behaviour of a ZooKeeper-compatible server as one state machine without IO.
//!
//! A host feeds [`server::Input`]s to [`server::Server::step`] and carries out the
//! [`server::Action`]s that it finds in the [`server::Outbox`]. Nothing here reads a clock, opens
//! a socket or a file, or draws randomness that the host did not seed: the list of inputs is the run.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acl;
pub mod admin;
pub mod config;
pub mod election;
pub mod ensemble;
pub mod ids;
pub mod path;
pub mod prng;
pub mod request;
pub mod server;
pub mod session;
pub mod storage;
pub mod time;
pub mod timers;
pub mod tree;
pub mod txn;
pub mod watch;
pub mod wire;
pub mod zab;

mod invariant;
