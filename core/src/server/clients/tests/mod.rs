//! Tests of the client plane as a client sees it.

mod golden;
mod rig;
