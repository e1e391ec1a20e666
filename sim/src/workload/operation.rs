//! What a client does: one operation, drawn or written by hand.

use std::sync::Arc;

use bytes::Bytes;
use vivarium_core::wire::client::WatchOp;

use super::Memory;
use crate::history::{AccessList, Call, CreateCall, Life, ReadCall, SubCall};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Write(Write),
    Multi(Vec<Part>),
    Read(Read),
    MultiRead(Vec<Read>),
    Sync {
        path: Target,
    },
    /// A sync and the read behind it, sent together.
    SyncThenRead {
        path: Target,
        read: Read,
    },
    /// Shows who it is.
    AddAuth {
        scheme: String,
        proof: String,
        /// It asks who it is just before: that request has nothing of the new identity.
        asks: bool,
    },
    /// All that it has shown of itself on older connections, shown again.
    Reauth,
    SetAcl {
        path: Target,
        acl: AccessList,
        version: Version,
    },
    WhoAmI,
    Reconfig {
        version: i64,
    },
    /// About persistent watches.
    Watch(WatchOp),
    /// All watches that the client had before it lost its connection, set again.
    Rewatch,
    /// An opcode that no server serves.
    UnknownOp {
        code: i32,
    },
    /// A write opcode whose body does not decode.
    Malformed {
        code: i32,
    },
    CloseSession,
    /// The connection is reset; the client comes back with its session.
    DropConnection,
    /// The client goes on elsewhere with its session and leaves the connection open. What it sends
    /// over that one afterwards comes from a server that the session has left.
    Move {
        stray: Option<Stray>,
    },
    /// The client's process is killed and starts anew: its session is left to expire.
    Restart,
    /// Says nothing for so many microseconds, not even a ping.
    FallSilent {
        us: u64,
    },
}

/// What comes late over a connection that the session has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stray {
    Write(Write),
    /// It was to end a session that goes on.
    Close,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Create(Create),
    Delete { path: Target, version: Version },
    SetData { path: Target, data: Option<Content>, version: Version },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    pub path: String,
    pub data: Option<Content>,
    pub life: Life,
    pub sequential: bool,
    pub with_stat: bool,
    pub acl: AccessList,
}

/// Of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Write(Write),
    Check { path: Target, version: Version },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub what: Reading,
    pub path: Target,
    pub watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Exists,
    Data,
    Children {
        with_stat: bool,
    },
    /// The own ones below the path.
    Ephemerals,
    CountAll,
    AccessList,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Path(String),
    /// One that the client has seen, chosen by so many per mille of them; the path where it has seen
    /// none.
    Seen {
        per_mille: u16,
        otherwise: String,
    },
    /// The newest ephemeral node of its own; the path where it has none.
    Own {
        otherwise: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Any,
    Is(i32),
    /// The one last seen, any where none was.
    Seen,
}

/// What is written: a word that tells writes apart, cut or filled with dots to a length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub word: String,
    pub len: Option<usize>,
}

impl Operation {
    /// The same operation with nothing left to what the client has seen.
    #[must_use]
    pub fn settled(mut self, memory: &Memory) -> Self {
        match &mut self {
            Self::Write(write) => write.settle(memory),
            Self::Multi(parts) => parts.iter_mut().for_each(|part| part.settle(memory)),
            Self::Read(read) => read.path.settle(memory),
            Self::MultiRead(reads) => reads.iter_mut().for_each(|read| read.path.settle(memory)),
            Self::Sync { path } => path.settle(memory),
            Self::SyncThenRead { path, read } => {
                path.settle(memory);
                read.path.settle(memory);
            }
            Self::SetAcl { path, .. } => path.settle(memory),
            Self::AddAuth { .. }
            | Self::Reauth
            | Self::WhoAmI
            | Self::Reconfig { .. }
            | Self::Watch(_)
            | Self::Rewatch
            | Self::UnknownOp { .. }
            | Self::Malformed { .. }
            | Self::CloseSession
            | Self::DropConnection
            | Self::Move { .. }
            | Self::Restart
            | Self::FallSilent { .. } => {}
        }
        self
    }

    /// It asks something and leaves session and connection as they are.
    pub const fn is_request(&self) -> bool {
        match self {
            Self::Write(_)
            | Self::Multi(_)
            | Self::Read(_)
            | Self::MultiRead(_)
            | Self::Sync { .. }
            | Self::SyncThenRead { .. }
            | Self::AddAuth { .. }
            | Self::Reauth
            | Self::SetAcl { .. }
            | Self::WhoAmI
            | Self::Reconfig { .. }
            | Self::Watch(_)
            | Self::Rewatch
            | Self::UnknownOp { .. }
            | Self::Malformed { .. } => true,
            Self::CloseSession
            | Self::DropConnection
            | Self::Move { .. }
            | Self::Restart
            | Self::FallSilent { .. } => false,
        }
    }

    /// What is sent for it, once it is settled. Empty for what is done to the connection, and where
    /// the client alone knows.
    pub fn calls(&self) -> Vec<Call> {
        match self {
            Self::Write(write) => vec![write.call()],
            Self::Multi(parts) => vec![Call::Multi(parts.iter().map(Part::call).collect())],
            Self::Read(read) => vec![read.call()],
            Self::MultiRead(reads) => {
                vec![Call::MultiRead(reads.iter().map(Read::part).collect())]
            }
            Self::Sync { path } => vec![Call::Sync { path: path.path() }],
            Self::SyncThenRead { path, read } => {
                vec![Call::Sync { path: path.path() }, read.call()]
            }
            Self::AddAuth { scheme, proof, asks } => {
                let shows = Call::AddAuth { scheme: scheme.clone(), proof: proof.clone() };
                let before = asks.then_some(Call::WhoAmI);
                before.into_iter().chain([shows]).collect()
            }
            Self::SetAcl { path, acl, version } => vec![Call::SetAcl {
                path: path.path(),
                acl: Arc::clone(acl),
                version: version.number(),
            }],
            Self::WhoAmI => vec![Call::WhoAmI],
            Self::Reconfig { version } => vec![Call::Reconfig { version: *version }],
            Self::Watch(watch) => vec![Call::Watch(watch.clone())],
            Self::UnknownOp { code } => vec![Call::UnknownOp { code: *code }],
            Self::Malformed { code } => vec![Call::Malformed { code: *code }],
            Self::CloseSession => vec![Call::CloseSession],
            Self::Reauth
            | Self::Rewatch
            | Self::DropConnection
            | Self::Move { .. }
            | Self::Restart
            | Self::FallSilent { .. } => Vec::new(),
        }
    }
}

impl Write {
    fn settle(&mut self, memory: &Memory) {
        match self {
            Self::Create(_) => {}
            Self::Delete { path, version } | Self::SetData { path, version, .. } => {
                settle(path, version, memory);
            }
        }
    }

    fn call(&self) -> Call {
        match self.clone() {
            Self::Create(create) => Call::Create(create.call()),
            Self::Delete { path, version } => {
                Call::Delete { path: path.path(), version: version.number() }
            }
            Self::SetData { path, data, version } => Call::SetData {
                path: path.path(),
                data: data.map(|data| data.bytes()),
                version: version.number(),
            },
        }
    }
}

impl Create {
    fn call(self) -> CreateCall {
        CreateCall {
            path: self.path,
            data: self.data.map(|data| data.bytes()),
            life: self.life,
            sequential: self.sequential,
            acl: self.acl,
            with_stat: self.with_stat,
        }
    }
}

impl Part {
    fn settle(&mut self, memory: &Memory) {
        match self {
            Self::Write(write) => write.settle(memory),
            Self::Check { path, version } => settle(path, version, memory),
        }
    }

    fn call(&self) -> SubCall {
        match self.clone() {
            Self::Write(Write::Create(create)) => SubCall::Create(create.call()),
            Self::Write(Write::Delete { path, version }) => {
                SubCall::Delete { path: path.path(), version: version.number() }
            }
            Self::Write(Write::SetData { path, data, version }) => SubCall::SetData {
                path: path.path(),
                data: data.map(|data| data.bytes()),
                version: version.number(),
            },
            Self::Check { path, version } => {
                SubCall::Check { path: path.path(), version: version.number() }
            }
        }
    }
}

impl Read {
    fn call(&self) -> Call {
        let (path, watch) = (self.path.clone().path(), self.watch);
        match self.what {
            Reading::Exists => Call::Exists { path, watch },
            Reading::Data => Call::GetData { path, watch },
            Reading::Children { with_stat } => Call::GetChildren { path, watch, with_stat },
            Reading::Ephemerals => Call::GetEphemerals { prefix: path },
            Reading::CountAll => Call::CountAll { path },
            Reading::AccessList => Call::GetAcl { path },
        }
    }

    /// In a multiRead, which knows data and children alone.
    fn part(&self) -> ReadCall {
        let path = self.path.clone().path();
        match self.what {
            Reading::Children { .. } => ReadCall::Children { path },
            Reading::Exists
            | Reading::Data
            | Reading::Ephemerals
            | Reading::CountAll
            | Reading::AccessList => ReadCall::Data { path },
        }
    }
}

fn settle(path: &mut Target, version: &mut Version, memory: &Memory) {
    path.settle(memory);
    if *version == Version::Seen {
        let (Target::Path(path)
        | Target::Seen { otherwise: path, .. }
        | Target::Own { otherwise: path }) = path;
        *version = memory.version(path).map_or(Version::Any, Version::Is);
    }
}

impl Target {
    fn settle(&mut self, memory: &Memory) {
        if let Self::Seen { per_mille, otherwise } = self {
            let seen = memory.pick(*per_mille).unwrap_or(otherwise);
            *self = Self::Path(seen.to_owned());
        } else if let Self::Own { otherwise } = self {
            let own = memory.own().unwrap_or(otherwise);
            *self = Self::Path(own.to_owned());
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Path(path)
            | Self::Seen { otherwise: path, .. }
            | Self::Own { otherwise: path } => path.clone(),
        }
    }
}

impl Version {
    const fn number(self) -> i32 {
        match self {
            Self::Any | Self::Seen => -1,
            Self::Is(version) => version,
        }
    }
}

impl Content {
    fn bytes(&self) -> Bytes {
        let mut bytes = self.word.clone().into_bytes();
        if let Some(len) = self.len {
            bytes.resize(len, b'.');
        }
        bytes.into()
    }
}
