//! The one totally ordered record of a run: what servers note, disks keep, faults do and clients see.
//! Facts: VERIFICATION 3.0.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};
use vivarium_core::server::note::Note;
use vivarium_core::wire::client::{EventKind, Stat};

/// Simulated microseconds since the start of the run: the world's own clock, without skew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(pub u64);

impl SimTime {
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// Later by this many microseconds.
    pub const fn plus(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds since `earlier`; zero where that is in fact later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A simulated server, named by its `myid`.
pub type NodeId = ServerId;

/// One simulated client process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// Everything that is recorded, in the order in which the world saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimEvent {
    /// An `Action::Note` of a server, in the order of its outbox.
    Note {
        node: NodeId,
        note: Note,
    },
    /// Recovery begins: first start, start after a crash, and after `Halt(Restart)`. `boot` counts from 1.
    Boot {
        node: NodeId,
        boot: u64,
    },
    /// The process died. `power`: the unsynced part of its disk was lost too.
    Crash {
        node: NodeId,
        power: bool,
    },
    /// The server ended itself in order: `Halt(Stop)` or `Halt(Restart)`.
    Ended {
        node: NodeId,
    },
    /// `Halt(Fatal)` or `RecoveryStep::Refused`, with its text.
    Refused {
        node: NodeId,
        why: String,
    },
    Paused {
        node: NodeId,
    },
    Resumed {
        node: NodeId,
    },
    /// The disk was emptied. `lost`: newest zxid that was durable there just before.
    Wiped {
        node: NodeId,
        lost: Option<Zxid>,
    },
    /// Durable bytes were changed. `lost`: newest zxid that was durable there just before.
    BitRot {
        node: NodeId,
        lost: Option<Zxid>,
    },
    /// Operations of this disk fail (EIO, ENOSPC) from now on, or no longer.
    DiskTrouble {
        node: NodeId,
        on: bool,
    },
    /// A unit of the fault schedule of any class begins; `fault` numbers the unit.
    FaultBegan {
        fault: u32,
    },
    FaultEnded {
        fault: u32,
    },
    /// All faults end here. `alive`: the servers that run, or are started now, for the rest of the run.
    HealBegan {
        alive: BTreeSet<NodeId>,
    },
    /// The durable image of a disk changed: after a completed SyncFile or SyncDir.
    Durable {
        node: NodeId,
        fact: DurableFact,
    },
    Client {
        client: ClientId,
        fact: ClientFact,
    },
}

/// What a durable image holds after a change of it. Read from the image, never from notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableFact {
    /// Last transaction of the durable log, or of the newest sealed snapshot where that is newer.
    Log { last: Option<Zxid> },
    /// This sealed snapshot, with its directory entry, is durable now.
    Snapshot { zxid: Zxid },
    /// Content of the durable epoch files.
    Epochs(DurableEpochs),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurableEpochs {
    pub accepted: Option<Epoch>,
    pub current: Option<Epoch>,
}

/// What happens at a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFact {
    /// A request leaves, in the order of the connection.
    Invoke {
        op: OpId,
        call: Call,
    },
    /// The reply says err 0. `zxid` is that of the reply header.
    Ok {
        op: OpId,
        zxid: i64,
        result: Reply,
    },
    /// The reply carries an error code.
    Err {
        op: OpId,
        zxid: i64,
        code: i32,
    },
    /// The connection ended before a reply: the request may or may not take effect.
    Unknown {
        op: OpId,
    },
    /// A ping leaves, and its answer arrives.
    Ping {
        session: SessionId,
        connection: u32,
    },
    Pong {
        session: SessionId,
        connection: u32,
        zxid: i64,
    },
    /// A notification. `zxid` is -1 for events made by SetWatches.
    Watch {
        session: SessionId,
        connection: u32,
        kind: EventKind,
        path: String,
        zxid: i64,
    },
    Session(SessionFact),
    /// The server broke the client protocol in a way that no other fact can express.
    Nonsense {
        session: Option<SessionId>,
        server: NodeId,
        what: String,
    },
}

/// A request: `xid` is never used twice within a session, also not over reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    pub session: SessionId,
    pub xid: i32,
    /// Number of the session's connection, from 1.
    pub connection: u32,
    /// The server on the other side of that connection.
    pub server: NodeId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionFact {
    /// A ConnectRequest leaves. `resume` is `None` for a new session.
    Asked { resume: Option<SessionId>, last_zxid: i64, timeout_ms: i32, server: NodeId },
    /// The answer grants a session: new, or the one asked for.
    Granted {
        asked: Option<SessionId>,
        got: SessionId,
        /// The answer repeats the password that the session was made with.
        same_password: bool,
        timeout_ms: i32,
        server: NodeId,
        connection: u32,
    },
    /// The answer says that the session asked for is over.
    Expired { session: SessionId, server: NodeId },
    /// The client's connection is gone; its session may live on.
    Detached { session: SessionId, connection: u32 },
    /// The client stops sending, pings included, until it is expired.
    Silent { session: SessionId },
    /// The client gives the session up: closed by request, or never to be resumed.
    Left { session: SessionId },
}

/// A client operation as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Create(CreateCall),
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    Multi(Vec<SubCall>),
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    GetChildren {
        path: String,
        watch: bool,
        with_stat: bool,
    },
    Sync {
        path: String,
    },
    CloseSession,
    /// An opcode that no server serves: answered -6 with zxid -1, then closed.
    UnknownOp {
        code: i32,
    },
    /// A known write opcode whose body does not decode: answered -5, nothing logged.
    Malformed {
        code: i32,
    },
}

impl Call {
    /// Whether it takes a zxid, also when it fails.
    pub const fn is_write(&self) -> bool {
        match self {
            Self::Create(_)
            | Self::Delete { .. }
            | Self::SetData { .. }
            | Self::Multi(_)
            | Self::CloseSession => true,
            Self::Exists { .. }
            | Self::GetData { .. }
            | Self::GetChildren { .. }
            | Self::Sync { .. }
            | Self::UnknownOp { .. }
            | Self::Malformed { .. } => false,
        }
    }

    /// Whether the reply shows the tree at the zxid of its header.
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::Exists { .. } | Self::GetData { .. } | Self::GetChildren { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateCall {
    pub path: String,
    pub data: Option<Bytes>,
    pub ephemeral: bool,
    pub sequential: bool,
    /// create2: the reply carries the Stat.
    pub with_stat: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubCall {
    Create(CreateCall),
    Delete { path: String, version: i32 },
    SetData { path: String, data: Option<Bytes>, version: i32 },
    Check { path: String, version: i32 },
}

/// Body of a reply whose err is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Empty,
    Path(String),
    PathStat(String, Stat),
    Stat(Stat),
    Data(Option<Bytes>, Stat),
    Children(Vec<String>),
    ChildrenStat(Vec<String>, Stat),
    Multi(Vec<SubReply>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubReply {
    Path(String),
    PathStat(String, Stat),
    Stat(Stat),
    /// delete and check.
    Empty,
    Error(i32),
}

/// A statement that a run has broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the checker's file: `p05_total_order`.
    pub checker: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

impl std::error::Error for Violation {}

/// Sees every event of a run, in order, and stops the run at the first violation.
pub trait Observer {
    /// `disk` shows the durable images as they are at this moment, the event's own effect included.
    fn event(
        &mut self,
        at: SimTime,
        event: &SimEvent,
        disk: &dyn DiskView,
    ) -> Result<(), Violation>;

    /// The run is over: whatever is still owed is a violation.
    fn finish(&mut self, at: SimTime, disk: &dyn DiskView) -> Result<(), Violation>;
}

/// What white-box checkers may ask of the durable images of the disks: what would be there after
/// a power cut at this moment in which everything unsynced is lost. Never derived from notes.
pub trait DiskView {
    /// Last transaction of the durable log, or of the newest sealed snapshot where that is newer.
    fn durable_last(&self, node: NodeId) -> Option<Zxid>;

    /// Whether the transaction is in the durable log, or covered by a sealed durable snapshot.
    /// False for zxids beyond both, and for zxids that a later log has jumped over.
    fn has_durable(&self, node: NodeId, zxid: Zxid) -> bool;

    fn durable_epochs(&self, node: NodeId) -> DurableEpochs;
}

/// For runs without disks that can be looked into: recorded histories of a real quorum.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDisk;

impl DiskView for NoDisk {
    fn durable_last(&self, _: NodeId) -> Option<Zxid> {
        None
    }

    fn has_durable(&self, _: NodeId, _: Zxid) -> bool {
        false
    }

    fn durable_epochs(&self, _: NodeId) -> DurableEpochs {
        DurableEpochs::default()
    }
}

/// What checkers must know about the run that they judge.
#[derive(Clone, Debug)]
pub struct RunSpec {
    pub voters: BTreeSet<NodeId>,
    pub observers: BTreeSet<NodeId>,
    /// One server without an ensemble: no epochs, no leader.
    pub standalone: bool,
    pub tick_us: u64,
    pub init_limit_ticks: u64,
    pub sync_limit_ticks: u64,
    pub zxid_counter_limit: u32,
    /// Highest session timeout that a server grants.
    pub max_session_timeout_ms: i32,
    /// `Config::linearizable_sync`: K5 is judged.
    pub linearizable_sync: bool,
    /// `Config::full_digest`: T1 compares full digests with the oracle's.
    pub full_digest: bool,
    /// Highest clock drift of a node, in parts per million.
    pub drift_ppm: u64,
    /// Longest time that a ready recovery or disk operation may take without trouble.
    pub op_bound_us: u64,
}

impl RunSpec {
    /// Plain majority of the voters.
    pub fn is_quorum(&self, count: usize) -> bool {
        count * 2 > self.voters.len()
    }
}
