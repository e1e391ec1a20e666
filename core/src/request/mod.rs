//! Client requests: reads, transactions to be, the replies of both, and the order they leave in.

pub mod access;
pub mod change;
mod fix_acl;
pub mod identity;
mod multi;
pub mod order;
mod pending;
pub mod prepare;
pub mod read;
pub mod reply;

pub use prepare::Preparer;
