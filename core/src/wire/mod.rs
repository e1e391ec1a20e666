//! Bytes from outside become values here, once; every length is bounded before it is believed.

pub mod client;
pub mod code;
pub mod frame;
pub mod jute;
pub mod quorum;
pub mod vote;
