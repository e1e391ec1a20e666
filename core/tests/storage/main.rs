//! Disk formats, recovery and crash safety, over files of Apache ZooKeeper 3.9.5 and over a disk in
//! memory that forgets what was not synced.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test fails like the test itself"
)]

mod apache;
mod damage;
mod disk;
mod formats;
mod full;
mod golden;
mod power;
mod removal;
mod setup;
mod unsynced;
mod writing;
