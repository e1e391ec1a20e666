//! Client requests: reads, the replies of writes, and the order in which both leave.

pub mod access;
pub mod order;
pub mod read;
pub mod reply;
