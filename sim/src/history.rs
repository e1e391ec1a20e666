//! What simulated clients observe.

use std::sync::Arc;

use bytes::Bytes;
use vivarium_core::ids::{ServerId, SessionId};
use vivarium_core::wire::client::{EventKind, Names, Stat, WatchOp};

/// What happens at a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFact {
    /// A request leaves, in the order of the connection.
    Invoke {
        op: RequestId,
        call: Call,
    },
    /// The reply says err 0. `zxid` is that of the reply header.
    Ok {
        op: RequestId,
        zxid: i64,
        result: Reply,
    },
    /// The reply carries an error code.
    Err {
        op: RequestId,
        zxid: i64,
        code: i32,
    },
    /// The connection ended before a reply: the request may or may not take effect.
    Unknown {
        op: RequestId,
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
        server: ServerId,
        what: String,
    },
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub session: SessionId,
    /// Its place among the requests of the session, over all connections.
    pub xid: i32,
    /// Number of the session's connection, from 1.
    pub connection: u32,
    /// The server on the other side of that connection.
    pub server: ServerId,
    /// Its number on the wire and in the log. Real clients begin with 1 on each connection.
    pub cxid: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionFact {
    /// A ConnectRequest leaves. `resume` is `None` for a new session.
    Asked { resume: Option<SessionId>, last_zxid: i64, timeout_ms: i32, server: ServerId },
    /// The answer grants a session: new, or the one asked for.
    Granted {
        asked: Option<SessionId>,
        got: SessionId,
        /// The answer repeats the password that the session was made with.
        same_password: bool,
        timeout_ms: i32,
        server: ServerId,
        connection: u32,
    },
    /// The answer that was just told is of a server without a quorum.
    ReadOnly { session: SessionId, server: ServerId },
    /// The answer to a ConnectRequest with the session's id and a wrong password.
    Forged { session: SessionId, server: ServerId, forgery: Forgery, granted: bool },
    /// The client waits no longer for the answer to its ConnectRequest.
    GaveUp { server: ServerId },
    /// The answer says that the session asked for is over.
    Expired { session: SessionId, server: ServerId },
    /// The client's connection is gone; its session may live on. `cut_off`: the server's end of it went away, and
    /// the client knows of nothing that it did to deserve that.
    Detached { session: SessionId, connection: u32, cut_off: bool },
    /// The client stops sending, pings included, until it is expired.
    Silent { session: SessionId },
    /// The client gives the session up: closed by request, or never to be resumed.
    Left { session: SessionId },
}

/// What is wrong with a request for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    WrongPassword,
    /// It claims to have seen more than anybody has.
    ClientAhead,
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
    /// Several reads in one request; none of them watches.
    MultiRead(Vec<ReadCall>),
    /// Of the session that asks, below a prefix.
    GetEphemerals {
        prefix: String,
    },
    /// How many nodes lie below this one.
    CountAll {
        path: String,
    },
    Sync {
        path: String,
    },
    /// The requests behind it on the same connection have this identity.
    AddAuth {
        scheme: String,
        proof: String,
    },
    GetAcl {
        path: String,
    },
    SetAcl {
        path: String,
        acl: AccessList,
        version: i32,
    },
    WhoAmI,
    /// Asks for other members, if this is the version of the configuration in force; -1: whichever is.
    Reconfig {
        version: i64,
    },
    Watch(WatchOp),
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
            | Self::SetAcl { .. }
            | Self::Reconfig { .. }
            | Self::CloseSession => true,
            Self::Exists { .. }
            | Self::GetData { .. }
            | Self::GetChildren { .. }
            | Self::MultiRead(_)
            | Self::GetEphemerals { .. }
            | Self::CountAll { .. }
            | Self::GetAcl { .. }
            | Self::WhoAmI
            | Self::AddAuth { .. }
            | Self::Sync { .. }
            | Self::Watch(_)
            | Self::UnknownOp { .. }
            | Self::Malformed { .. } => false,
        }
    }

    /// Whether the reply shows the tree at the zxid of its header.
    pub const fn is_read(&self) -> bool {
        matches!(
            self,
            Self::Exists { .. }
                | Self::GetData { .. }
                | Self::GetChildren { .. }
                | Self::MultiRead(_)
                | Self::GetEphemerals { .. }
                | Self::CountAll { .. }
                | Self::GetAcl { .. }
                | Self::WhoAmI
        )
    }
}

/// Permissions, scheme, id.
pub type AclEntry = (i32, String, String);

/// Who may do what with a node, as it is asked for and as it is kept.
pub type AccessList = Arc<[AclEntry]>;

/// What ends a node, if not a client's delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Persistent,
    /// The end of its session.
    Ephemeral,
    /// That its last child went.
    Container,
    /// That its data was not set for so long.
    Ttl {
        ms: i64,
    },
}

impl Life {
    /// As a scenario file and a report say it; nothing for what is usual.
    pub fn words(self) -> String {
        match self {
            Self::Persistent => String::new(),
            Self::Ephemeral => " ephemeral".into(),
            Self::Container => " container".into(),
            Self::Ttl { ms } => format!(" ttl {ms}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateCall {
    pub path: String,
    pub data: Option<Bytes>,
    pub life: Life,
    pub sequential: bool,
    pub acl: AccessList,
    /// create2: the reply carries the Stat. That to a request for a container or with a TTL always does.
    pub with_stat: bool,
}

impl CreateCall {
    /// The opcode that asks for it.
    pub const fn code(&self) -> i32 {
        match self.life {
            Life::Container => 19,
            Life::Ttl { .. } => 21,
            Life::Persistent | Life::Ephemeral if self.with_stat => 15,
            Life::Persistent | Life::Ephemeral => 1,
        }
    }

    /// As `CreateMode` numbers them.
    pub const fn flags(&self) -> i32 {
        match (self.life, self.sequential) {
            (Life::Persistent, false) => 0,
            (Life::Ephemeral, false) => 1,
            (Life::Persistent, true) => 2,
            (Life::Ephemeral, true) => 3,
            (Life::Container, _) => 4,
            (Life::Ttl { .. }, false) => 5,
            (Life::Ttl { .. }, true) => 6,
        }
    }

    pub const fn shows_stat(&self) -> bool {
        self.code() != 1
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubCall {
    Create(CreateCall),
    Delete { path: String, version: i32 },
    SetData { path: String, data: Option<Bytes>, version: i32 },
    Check { path: String, version: i32 },
}

/// One read of a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadCall {
    Data { path: String },
    Children { path: String },
}

/// Body of a reply whose err is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Empty,
    Path(String),
    PathStat(String, Stat),
    Stat(Stat),
    Data(Option<Bytes>, Stat),
    Children(Names),
    ChildrenStat(Names, Stat),
    Multi(Vec<SubReply>),
    MultiRead(Vec<ReadReply>),
    Count(i32),
    /// With the secrets that may be seen.
    Acl(Vec<AclEntry>, Stat),
    /// Schemes and users, in byte order.
    Clients(Vec<(String, String)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadReply {
    Data(Option<Bytes>, Stat),
    Children(Names),
    Error(i32),
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
