//! One side of a connection: what it sends, and what it has received and not read yet.

use std::collections::VecDeque;

use bytes::Bytes;
use vivarium_core::server::input::Plane;

use crate::ids::SimTime;
use crate::net::sniffer::Sniffer;
use crate::net::topology::Host;

/// One side of one connection; also the `LinkId` that a server sees. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndId(pub u64);

impl EndId {
    pub(super) fn peer(self) -> Self {
        Self(self.0 ^ 1)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Segment {
    Bytes(Bytes),
    Fin,
    Rst,
}

impl Segment {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Fin | Self::Rst => 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    Open,
    /// Closed by its process; what was sent is still on its way, then FIN.
    Flushing,
    Closed,
    /// The machine lost power: nobody will answer, and nobody said so.
    Vanished,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) host: Host,
    pub(super) plane: Plane,
    /// Number of our attempt, where we dialled.
    pub(super) dial: Option<u64>,
    pub(super) state: EndState,
    /// Taken from the process, not yet by the kernel.
    pub(super) unsent: VecDeque<Bytes>,
    /// Taken by our kernel, not yet read by the far process.
    pub(super) in_flight: u64,
    pub(super) busy_until: SimTime,
    pub(super) last_arrival: SimTime,
    /// Bytes taken by the kernel that the process was not told of.
    pub(super) credit: u64,
    pub(super) credit_due: bool,
    pub(super) pump_due: bool,
    /// What we sent and what cannot get through; kept in order until the path opens.
    pub(super) parked: VecDeque<Segment>,
    /// What we sent is lost from here on, up to the RST.
    pub(super) lost: bool,
    /// A middlebox forgot this connection: nothing passes any more, and nobody is told.
    pub(super) black_hole: bool,
    /// Bytes from here to where the connection ends, once a packet that tears it has begun.
    pub(super) tears_in: Option<u64>,
    /// It has ended on the way: what we send now is lost.
    pub(super) torn: bool,
    /// Our kernel has accepted it for a process that does not look yet.
    pub(super) queued: bool,
    /// The process does not read.
    pub(super) held: bool,
    pub(super) drain_due: bool,
    /// Received and not read.
    pub(super) unread: VecDeque<Segment>,
    /// Reads along with what our kernel sends.
    pub(super) sniffer: Option<Sniffer>,
    /// Reads along with what our process writes, which the kernel may send much later.
    pub(super) written: Option<Sniffer>,
}

impl End {
    pub(super) fn new(host: Host, plane: Plane, dial: Option<u64>) -> Self {
        Self {
            host,
            plane,
            dial,
            state: EndState::Open,
            unsent: VecDeque::new(),
            in_flight: 0,
            busy_until: SimTime::ZERO,
            last_arrival: SimTime::ZERO,
            credit: 0,
            credit_due: false,
            pump_due: false,
            parked: VecDeque::new(),
            lost: false,
            black_hole: false,
            tears_in: None,
            torn: false,
            queued: false,
            held: false,
            drain_due: false,
            unread: VecDeque::new(),
            sniffer: None,
            written: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == EndState::Open
    }

    pub(super) fn can_send(&self) -> bool {
        matches!(self.state, EndState::Open | EndState::Flushing)
    }
}
