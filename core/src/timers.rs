//! Names of deadlines: why the server wants to be woken. The host logs them; the simulator names them
//! when one of them spins.

/// Where several are due at once, the one declared first is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A looking server heard nothing and sends its vote again, or has waited long enough to decide.
    Election,
    /// An election connection that failed is tried again.
    Redial,
    /// A phase of ZAB, a PING or a learner's link is due, or has taken longer than its limit.
    Phase,
    /// The next session bucket may be due.
    Sessions,
    /// Containers and TTL nodes are looked through.
    Containers,
    /// A client connection that is silent is closed.
    Handshakes,
    /// A snapshot that failed is tried again, or a stop has taken too long.
    Housekeeping,
}
