//! A request that changes the replicated state, as the leader prepares it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::acl::{Acl, Id};
use crate::ids::SessionId;
use crate::wire::client::{Op, Reconfig, WriteOp};

/// What a request wants to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    CreateSession {
        timeout_ms: i32,
    },
    CloseSession,
    Write(WriteOp),
    SetAcl {
        path: String,
        acl: Option<Vec<Acl>>,
        version: i32,
    },
    Multi(Vec<WriteOp>),
    Reconfig(Reconfig),
    /// By the leader itself alone: the node has outlived its purpose.
    DeleteContainer {
        path: String,
    },
}

/// Who answers for the session that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The ensemble: it must be in the session table.
    Global,
    /// The server of its client alone. It may own no node.
    Local,
}

/// A change with the session and the client's request number that its transaction will carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    pub session: SessionId,
    pub standing: Standing,
    pub cxid: i32,
    /// Who asks: for access lists, and for the scheme `auth` in new ones.
    pub ids: Arc<[Id]>,
    pub change: Change,
}

impl TryFrom<Op> for Change {
    /// The request itself, where it changes nothing.
    type Error = Op;

    fn try_from(op: Op) -> Result<Self, Op> {
        match op {
            Op::Write(write) => Ok(Self::Write(write)),
            Op::SetAcl { path, acl, version } => Ok(Self::SetAcl { path, acl, version }),
            Op::Multi(ops) => Ok(Self::Multi(ops)),
            Op::Reconfig(reconfig) => Ok(Self::Reconfig(reconfig)),
            Op::CloseSession => Ok(Self::CloseSession),
            Op::Read(_)
            | Op::Watch(_)
            | Op::Sync { .. }
            | Op::Auth { .. }
            | Op::Sasl { .. }
            | Op::Ping => Err(op),
        }
    }
}
