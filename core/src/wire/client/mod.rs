//! Client protocol: requests parsed once into values, replies and events written from values.
//! Facts: PROTOCOL 1.2 to 1.4. Apache: `zookeeper.jute`, `ZooDefs.OpCode`.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::acl::{Acl, Id};
use crate::ids::{SessionId, Xid};
use crate::wire::code::Code;

mod connect;
mod names;
mod reply;
mod request;
mod watching;

pub use names::Names;
pub use reply::{decode_event, decode_reply, decode_reply_body, encode_event, encode_reply};
pub use request::{encode_request, needs_quorum, parse_body};
pub use watching::{
    AddMode, LastingWatches, OP_ADD_WATCH, OP_CHECK_WATCHES, OP_REMOVE_WATCHES, OP_SET_WATCHES,
    OP_SET_WATCHES2, SetWatches, WatchKind, WatchOp,
};

pub const OP_CREATE: i32 = 1;
pub const OP_DELETE: i32 = 2;
pub const OP_EXISTS: i32 = 3;
pub const OP_GET_DATA: i32 = 4;
pub const OP_SET_DATA: i32 = 5;
pub const OP_GET_ACL: i32 = 6;
pub const OP_SET_ACL: i32 = 7;
pub const OP_GET_CHILDREN: i32 = 8;
pub const OP_SYNC: i32 = 9;
pub const OP_PING: i32 = 11;
pub const OP_GET_CHILDREN2: i32 = 12;
pub const OP_CHECK: i32 = 13;
pub const OP_MULTI: i32 = 14;
pub const OP_CREATE2: i32 = 15;
pub const OP_RECONFIG: i32 = 16;
pub const OP_CREATE_CONTAINER: i32 = 19;
pub const OP_DELETE_CONTAINER: i32 = 20;
pub const OP_CREATE_TTL: i32 = 21;
pub const OP_MULTI_READ: i32 = 22;
pub const OP_AUTH: i32 = 100;
pub const OP_SASL: i32 = 102;
pub const OP_GET_EPHEMERALS: i32 = 103;
pub const OP_GET_ALL_CHILDREN_NUMBER: i32 = 104;
pub const OP_WHO_AM_I: i32 = 107;
pub const OP_ERROR: i32 = -1;
pub const OP_CREATE_SESSION: i32 = -10;
pub const OP_CLOSE_SESSION: i32 = -11;

/// A session password: a pure function of the session id (PROTOCOL 1.2).
pub type Password = [u8; 16];

/// First frame of every client connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    pub protocol_version: i32,
    /// Highest zxid that the client has seen; a server behind it must refuse (trap T7).
    pub last_zxid_seen: i64,
    pub timeout_ms: i32,
    /// `None` asks for a new session.
    pub session: Option<SessionId>,
    /// As sent: may be of any length, null is empty.
    pub password: Bytes,
    /// `None` where an old client ends before this byte; the response then has none either (T5).
    pub read_only: Option<bool>,
}

/// Answer to a [`ConnectRequest`]. Refused or expired: timeout 0, session `None`, zero password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    pub timeout_ms: i32,
    pub session: Option<SessionId>,
    pub password: Password,
    /// Mirrors whether the request carried the byte.
    pub read_only: Option<bool>,
}

/// Head of every request frame; the body's form follows from `op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub xid: Xid,
    pub op: i32,
}

/// Head of every reply and event frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    pub xid: Xid,
    pub zxid: i64,
    pub code: Code,
}

/// Xid of the frames that answer no request.
pub const XID_EVENT: Xid = Xid(-1);
pub const XID_PING: Xid = Xid(-2);
pub const XID_SET_WATCHES: Xid = Xid(-8);

/// How long a created node lives, from `CreateMode` flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
    Container,
    PersistentTtl,
    PersistentSequentialTtl,
}

impl CreateMode {
    pub const fn from_flags(flags: i32) -> Option<Self> {
        match flags {
            0 => Some(Self::Persistent),
            1 => Some(Self::Ephemeral),
            2 => Some(Self::PersistentSequential),
            3 => Some(Self::EphemeralSequential),
            4 => Some(Self::Container),
            5 => Some(Self::PersistentTtl),
            6 => Some(Self::PersistentSequentialTtl),
            _ => None,
        }
    }

    pub const fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    pub const fn is_ttl(self) -> bool {
        matches!(self, Self::PersistentTtl | Self::PersistentSequentialTtl)
    }

    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            Self::PersistentSequential | Self::EphemeralSequential | Self::PersistentSequentialTtl
        )
    }
}

/// Which of the four requests that make a node this is. They differ in what they may make, and in
/// whether the reply carries the Stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateForm {
    /// create (1): the reply is the path alone.
    Plain,
    /// create2 (15).
    WithStat,
    /// createContainer (19).
    Container,
    /// createTTL (21). Raw, as the flags are.
    Ttl { ms: i64 },
}

impl CreateForm {
    /// The opcode that carries it.
    pub const fn code(self) -> i32 {
        match self {
            Self::Plain => OP_CREATE,
            Self::WithStat => OP_CREATE2,
            Self::Container => OP_CREATE_CONTAINER,
            Self::Ttl { .. } => OP_CREATE_TTL,
        }
    }
}

/// A request for a new node. Flags stay raw: a bad value is BADARGUMENTS, not malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    pub path: String,
    pub data: Option<Bytes>,
    /// `None` where the vector was null.
    pub acl: Option<Vec<Acl>>,
    pub flags: i32,
    pub form: CreateForm,
}

/// A write that may stand alone or inside a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp {
    Create(Create),
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    /// Inside a multi only; alone it is refused as an unknown opcode.
    Check {
        path: String,
        version: i32,
    },
}

/// A request that is answered from the local tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOp {
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    GetAcl {
        path: String,
    },
    GetChildren {
        path: String,
        watch: bool,
        with_stat: bool,
    },
    Multi(MultiRead),
    /// Of the session that asks. Null, blank and "/" name all of them.
    GetEphemerals {
        prefix: Option<String>,
    },
    /// How many nodes lie below this one.
    GetAllChildrenNumber {
        path: String,
    },
    /// The identities of the connection that asks.
    WhoAmI,
}

/// Reads that are answered in one reply, each on its own; none of them watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiRead {
    Reads(Vec<ReadPart>),
    /// Well formed, but of writes: an error with an empty list behind it.
    OfWrites,
}

/// One read of a [`MultiRead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadPart {
    GetData { path: String },
    GetChildren { path: String },
}

/// A client request, decoded whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Read(ReadOp),
    Watch(WatchOp),
    Write(WriteOp),
    SetAcl {
        path: String,
        acl: Option<Vec<Acl>>,
        version: i32,
    },
    /// Ops of a multi in order; reads or unknown ops inside make the multi malformed.
    Multi(Vec<WriteOp>),
    Sync {
        path: String,
    },
    /// Presents an identity. Apache: `AuthPacket`, whose type means nothing.
    Auth {
        scheme: String,
        proof: Option<Bytes>,
    },
    Sasl {
        token: Option<Bytes>,
    },
    Reconfig(Reconfig),
    Ping,
    CloseSession,
}

/// Asks for other members of the ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconfig {
    pub joining: Option<String>,
    pub leaving: Option<String>,
    /// The whole membership, in the place of the two above.
    pub members: Option<String>,
    /// Of the configuration that is to be replaced; -1: whichever it is.
    pub version: i64,
}

/// What a frame behind the request header turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Op(Op),
    /// Known opcode, body does not decode: answered -5, the connection stays (T2).
    Malformed,
    /// Opcode that this server does not serve: answered -6 with zxid -1, then closed.
    Unknown,
}

/// 11 fields, 68 bytes. Client form: `cversion` is `2 * creates - num_children`,
/// `ephemeral_owner` is 0 for containers and TTL nodes (T14, T15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: i64,
}

/// Result of one op of a multi (T3, T4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiResult {
    Create { path: String },
    Create2 { path: String, stat: Stat },
    Delete,
    SetData { stat: Stat },
    Check,
    Error(Code),
}

/// Result of one read of a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadResult {
    Data { data: Option<Bytes>, stat: Stat },
    Children(Names),
    Error(Code),
}

/// Body of a reply whose `err` is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyBody {
    Empty,
    Path(String),
    PathStat {
        path: String,
        stat: Stat,
    },
    Stat(Stat),
    Data {
        data: Option<Bytes>,
        stat: Stat,
    },
    Acl {
        acl: Vec<Acl>,
        stat: Stat,
    },
    Children(Names),
    ChildrenStat {
        children: Names,
        stat: Stat,
    },
    Multi(Vec<MultiResult>),
    MultiRead(Vec<ReadResult>),
    Count(i32),
    /// Schemes and users.
    Clients(Vec<Id>),
    Token(Option<Bytes>),
    /// addWatch says a second time that all is well. Apache: `ErrorResponse`.
    Code(Code),
}

/// What a watch tells: wire values 1 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

impl EventKind {
    pub const fn to_wire(self) -> i32 {
        self as i32
    }

    pub const fn from_wire(raw: i32) -> Option<Self> {
        match raw {
            1 => Some(Self::NodeCreated),
            2 => Some(Self::NodeDeleted),
            3 => Some(Self::NodeDataChanged),
            4 => Some(Self::NodeChildrenChanged),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
