//! What simulated clients observe.

/// One fact of a client's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFact {}
