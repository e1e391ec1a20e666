//! Client requests: reads, transactions to be, the replies of both, and the order they leave in.

pub mod auth;
pub mod change;
mod create;
mod fix_acl;
mod multi;
pub mod order;
mod outlived;
mod pending;
pub mod prepare;
pub mod read;
pub mod reply;

pub use prepare::Preparer;
