//! Client requests on their way to transactions and replies.

pub mod change;
mod fix_acl;
mod multi;
mod pending;
pub mod prepare;
