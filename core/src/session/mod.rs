//! Client sessions: their ids, passwords, and the clock that ends them.

pub mod closed;
pub mod id;
pub mod local;
pub mod password;
pub mod touched;
pub mod tracker;

pub use closed::ClosedSessions;
pub use id::SessionIds;
pub use local::LocalSessions;
pub use touched::TouchTable;
pub use tracker::SessionTracker;
