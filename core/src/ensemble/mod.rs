//! Who votes, and what is a majority of them.

mod members;
mod quorum;

pub use members::Ensemble;
pub use quorum::QuorumVerifier;
