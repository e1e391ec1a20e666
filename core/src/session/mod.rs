//! Client sessions: their ids, passwords, and the clock that ends them.

pub mod id;
pub mod password;
pub mod touched;
pub mod tracker;

pub use id::SessionIds;
pub use touched::TouchTable;
pub use tracker::SessionTracker;
