//! The deployed host of `vivarium-core`: sockets, files, clocks and signals, and no opinions.
//!
//! [`host`] is the loop: it gathers inputs, lets the server step, and carries out its actions. What
//! it carries them out on are two small traits, [`host::Net`] and [`host::Disk`], that
//! [`links::Sockets`] and [`disk::Disks`] implement for the kernel and that tests implement with
//! fakes which fail. Whoever needs an `if` on a packet type here is in the wrong package.

#![forbid(unsafe_code)]

pub mod args;
pub mod clock;
pub mod config_command;
pub mod configuration;
pub mod data;
pub mod dev;
pub mod dial;
pub mod disk;
pub mod failure;
pub mod files;
pub mod folders;
pub mod host;
pub mod links;
pub mod logs;
pub mod operator;
pub mod ready;
pub mod serve;
pub mod surroundings;
