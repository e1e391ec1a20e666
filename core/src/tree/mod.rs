//! The replicated state: data tree, ACL table and session table at one zxid.
//! Apache: `DataTree`, `ZKDatabase`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::acl::Acl;
use crate::ids::{SessionId, Zxid};
use crate::server::note::StateDigest;
use crate::txn::LoggedTxn;
use crate::wire::client::{EventKind, MultiResult, Stat};
use crate::wire::code::Code;

/// Stat as it is stored and written to snapshots: 60 bytes, `cversion` counts creates (T15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredStat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub pzxid: i64,
}

/// A change that watches may look at, in firing order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEvent {
    pub kind: EventKind,
    pub path: String,
    pub zxid: Zxid,
}

/// What applying one transaction meant; replies are built from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnResult {
    SessionCreated { timeout_ms: i32 },
    SessionClosed,
    Created { path: String, stat: Stat },
    Deleted,
    DataSet { stat: Stat },
    AclSet { stat: Stat },
    Multi(Vec<MultiResult>),
    Failed(Code),
}

/// One node as readers see it.
#[derive(Debug)]
pub struct Node {
    pub data: Option<Bytes>,
    pub stat: StoredStat,
}

/// The replicated state. Every mutation is the total function [`Database::apply`].
#[derive(Debug)]
pub struct Database {
    applied: Zxid,
}

impl Database {
    /// A fresh tree: "/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota", zero stats.
    pub fn new(full_digest: bool) -> Self {
        let _ = full_digest;
        todo!()
    }

    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// A new leader's epoch start counts as processed (PROTOCOL 3.5 step 8).
    pub fn set_applied(&mut self, zxid: Zxid) {
        self.applied = zxid;
    }

    pub fn node(&self, path: &str) -> Option<&Node> {
        let _ = path;
        todo!()
    }

    /// Client form of a node's Stat.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        let _ = path;
        todo!()
    }

    pub fn acl(&self, path: &str) -> Option<Vec<Acl>> {
        let _ = path;
        todo!()
    }

    /// Names in byte order; `None` where the node is missing.
    pub fn children(&self, path: &str) -> Option<Vec<String>> {
        let _ = path;
        todo!()
    }

    pub fn sessions(&self) -> &BTreeMap<SessionId, i32> {
        todo!()
    }

    /// Paths of a session's ephemerals, in byte order.
    pub fn ephemerals(&self, session: SessionId) -> Vec<String> {
        let _ = session;
        todo!()
    }

    pub fn node_count(&self) -> usize {
        todo!()
    }

    pub fn digest(&self) -> StateDigest {
        todo!()
    }

    /// Applies a logged transaction; total: no bytes can make it fail. Appends what watches may
    /// fire on, in Apache's order: node events, then the parent's.
    pub fn apply(&mut self, txn: &LoggedTxn, events: &mut Vec<TreeEvent>) -> TxnResult {
        let _ = (txn, events);
        todo!()
    }

    /// Starts a walk that writes the state of exactly this zxid while changes go on. One at a time.
    pub fn begin_walk(&mut self, preimage_limit_bytes: usize) {
        let _ = preimage_limit_bytes;
        todo!()
    }

    /// Writes about `budget` bytes more of the snapshot body (PROTOCOL 4.4: sessions, ACL map,
    /// nodes, final "/"; no header, no seals) to `out`.
    pub fn walk(&mut self, budget: usize, out: &mut BytesMut) -> Walk {
        let _ = (budget, out);
        todo!()
    }

    pub fn cancel_walk(&mut self) {
        todo!()
    }
}

/// State of a walk after one more portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    More,
    Done,
    /// Pre-images outgrew their limit: the walk is cancelled; try again later.
    Dropped,
}

/// Builds a [`Database`] from a snapshot, part by part.
#[derive(Debug)]
pub struct DatabaseBuilder {}

impl DatabaseBuilder {
    pub fn new(full_digest: bool) -> Self {
        let _ = full_digest;
        todo!()
    }

    pub fn session(&mut self, session: SessionId, timeout_ms: i32) {
        let _ = (session, timeout_ms);
        todo!()
    }

    pub fn acl(&mut self, id: i64, acl: Vec<Acl>) {
        let _ = (id, acl);
        todo!()
    }

    /// Nodes come parents first; the root's path is "". False where the parent is missing or the
    /// ACL id is unknown: the snapshot is damaged.
    #[must_use]
    pub fn node(&mut self, path: &str, data: Option<Bytes>, acl: i64, stat: StoredStat) -> bool {
        let _ = (path, data, acl, stat);
        todo!()
    }

    /// The special nodes are added where they are missing.
    pub fn finish(self, zxid: Zxid) -> Database {
        let _ = zxid;
        todo!()
    }
}
