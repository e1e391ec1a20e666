//! One thing that happened.

use vivarium_core::ids::Zxid;
use vivarium_core::server::action::Halt;
use vivarium_core::server::input::{DialError, LinkEnd, Plane, Queue};
use vivarium_core::server::note::Note;
use vivarium_core::timers::Timer;

use crate::history::ClientFact;
use crate::ids::{NodeId, SimTime};
use crate::net::EndId;
use crate::observe::{CrashKind, Durable, LossKind, Violation};

/// Place of an event in its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u32);

impl EventId {
    pub(crate) fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("a run has fewer than four thousand million events"))
    }

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug)]
pub struct Event {
    pub at: SimTime,
    pub node: NodeId,
    /// Which process of a server: counts its boots from 1. 0 for everybody else.
    pub incarnation: u32,
    pub what: What,
    /// What it came of: the input that a server was stepping, the send of what was delivered, the
    /// operation that completed, and what the same server did about the same transaction before.
    pub causes: Vec<EventId>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    Boot,
    Up,
    Crash(CrashKind),
    Exit(Halt),
    Paused,
    Resumed,
    /// A server was woken since a deadline had passed.
    Woken(Option<Timer>),
    StopAsked,
    /// A guise gave the server what no link carried.
    Disguised,
    Dialled {
        to: NodeId,
        plane: Plane,
    },
    DialFailed {
        why: DialError,
    },
    Opened {
        end: EndId,
        far: NodeId,
        plane: Plane,
        /// This side asked for the connection.
        dialled: bool,
    },
    /// Bytes leave a process; which messages they hold is told by [`Message::sent`].
    Sent {
        end: EndId,
        /// Offset in the stream behind the last byte.
        upto: u64,
        bytes: u64,
    },
    /// Bytes reach a process.
    Received {
        end: EndId,
        upto: u64,
        bytes: u64,
    },
    /// A process ends a connection.
    Closes {
        end: EndId,
        why: String,
    },
    Closed {
        end: EndId,
        how: LinkEnd,
    },
    Disk {
        op: DiskOp,
        text: String,
    },
    DiskDone,
    DiskFailed,
    Durable(Durable),
    HistoryLost(LossKind),
    Note(Note),
    Client(ClientFact),
    ClientStarts,
    ClientWoken,
    /// Unit of the schedule, by number.
    FaultBegins(usize),
    FaultSkipped(usize),
    FaultEnds(usize),
    Healed {
        dead: Vec<NodeId>,
    },
    /// An Apache peer sends a SNAP with parts of later transactions.
    FuzzySnap {
        base: Zxid,
        end: Zxid,
    },
    Violation(Violation),
}

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// One operation of a queue.
    Queued { queue: Queue, syncs: bool },
    /// A read, or a listing.
    Read,
    /// A recovering server does one thing after the other.
    Recovery { syncs: bool },
}

impl DiskOp {
    /// Whether it makes something durable.
    pub fn syncs(self) -> bool {
        match self {
            Self::Queued { syncs, .. } | Self::Recovery { syncs } => syncs,
            Self::Read => false,
        }
    }
}

/// One packet or frame on its way from a process to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub plane: Plane,
    pub from: NodeId,
    pub to: NodeId,
    /// `PROPOSAL`, `vote`, `create` ..
    pub name: &'static str,
    /// The whole of it in one line.
    pub text: String,
    pub zxid: Option<Zxid>,
    pub sent: EventId,
    /// `None`: its last byte never reached the other process.
    pub received: Option<EventId>,
}
