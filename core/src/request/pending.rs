//! Effects of transactions that are prepared but not yet applied.
//! Apache: `ZooKeeperServer.outstandingChanges`, `PrepRequestProcessor.ChangeRecord`.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::acl::Acl;
use crate::ids::{SessionId, Zxid};
use crate::tree::digest::node_digest;
use crate::tree::{Database, Lifetime, StoredStat};

/// A node as it will be once everything prepared so far is applied.
#[derive(Clone, Debug)]
pub(super) struct PendingNode {
    pub(super) stat: StoredStat,
    pub(super) data: Option<Bytes>,
    pub(super) acl: Arc<[Acl]>,
    pub(super) children: usize,
}

/// Newest record of one path.
#[derive(Clone, Debug)]
struct Record {
    zxid: Zxid,
    /// `None` where it will be deleted.
    node: Option<PendingNode>,
    /// Its share of the tree digest.
    digest: u64,
}

impl Record {
    fn owner(&self) -> Option<SessionId> {
        match Lifetime::of(self.node.as_ref()?.stat.ephemeral_owner) {
            Lifetime::Ephemeral(session) => Some(session),
            Lifetime::Persistent | Lifetime::Container | Lifetime::Ttl { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionChange {
    Opening,
    Closing,
}

/// The records, newest per path, and their order.
///
/// Invariant: a path has a record exactly while `order` names it with a zxid that is not applied;
/// `ephemerals` names exactly the records of ephemeral nodes, by session; `digest` is the tree
/// digest after the newest record and is meaningless while `order` is empty.
#[derive(Debug, Default)]
pub(super) struct Pending {
    order: VecDeque<(Zxid, String)>,
    nodes: HashMap<String, Record, FixedState>,
    ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
    session_order: VecDeque<(Zxid, SessionId)>,
    sessions: BTreeMap<SessionId, (Zxid, SessionChange)>,
    digest: u64,
    /// What the records of the transaction in preparation replaced, for [`Self::roll_back`].
    replaced: Vec<(String, Option<Record>)>,
    digest_before: u64,
}

impl Pending {
    /// The node behind all pending changes; `path` of the root is "/".
    pub(super) fn node(&self, db: &Database, path: &str) -> Option<PendingNode> {
        if let Some(record) = self.nodes.get(path) {
            return record.node.clone();
        }
        let node = db.node(path)?;
        Some(PendingNode {
            stat: node.stat(),
            data: node.data_bytes(),
            acl: Arc::clone(db.acl_list(node)),
            children: node.num_children(),
        })
    }

    /// What the tree digest will be once everything pending is applied.
    pub(super) fn tree_digest(&self, db: &Database) -> u64 {
        if self.order.is_empty() { db.digest().tree } else { self.digest }
    }

    /// Every record from here on can be taken back by [`Self::roll_back`].
    pub(super) fn begin(&mut self, zxid: Zxid) {
        let newest = self.order.back().map(|&(newest, _)| newest);
        crate::invariant!(newest < Some(zxid), "{zxid:?} is prepared behind {newest:?}");
        self.replaced.clear();
        self.digest_before = self.digest;
    }

    pub(super) fn roll_back(&mut self) {
        while let Some((path, before)) = self.replaced.pop() {
            self.order.pop_back();
            match before {
                Some(record) => self.insert(&path, record),
                None => self.remove(&path),
            };
        }
        self.digest = self.digest_before;
    }

    /// Records what `path` turns into; `None` deletes it.
    pub(super) fn put(&mut self, db: &Database, zxid: Zxid, path: &str, node: Option<PendingNode>) {
        let removed = match self.nodes.get(path) {
            Some(record) => record.digest,
            None => db.node_digest_of(path).unwrap_or(0),
        };
        let digest =
            node.as_ref().map_or(0, |node| node_digest(path, node.data.as_deref(), &node.stat));
        self.digest = self.tree_digest(db).wrapping_sub(removed).wrapping_add(digest);
        self.order.push_back((zxid, path.into()));
        let replaced = self.insert(path, Record { zxid, node, digest });
        self.replaced.push((path.into(), replaced));
    }

    pub(super) fn session(&self, session: SessionId) -> Option<SessionChange> {
        self.sessions.get(&session).map(|&(_, change)| change)
    }

    pub(super) fn put_session(&mut self, zxid: Zxid, session: SessionId, change: SessionChange) {
        self.session_order.push_back((zxid, session));
        self.sessions.insert(session, (zxid, change));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
            && self.nodes.is_empty()
            && self.ephemerals.is_empty()
            && self.session_order.is_empty()
            && self.sessions.is_empty()
    }

    /// The session's ephemerals behind all pending changes, in byte order.
    pub(super) fn ephemerals(&self, db: &Database, session: SessionId) -> Vec<String> {
        let mut paths: BTreeSet<String> = db
            .ephemerals(session)
            .into_iter()
            .filter(|path| !self.nodes.contains_key(path))
            .collect();
        paths.extend(self.ephemerals.get(&session).into_iter().flatten().cloned());
        paths.into_iter().collect()
    }

    /// Forgets what the tree itself shows from now on.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some((_, path)) = self.order.pop_front_if(|(at, _)| *at <= zxid) {
            if self.nodes.get(&path).is_some_and(|record| record.zxid <= zxid) {
                self.remove(&path);
            }
        }
        while let Some((_, session)) = self.session_order.pop_front_if(|(at, _)| *at <= zxid) {
            if self.sessions.get(&session).is_some_and(|&(at, _)| at <= zxid) {
                self.sessions.remove(&session);
            }
        }
    }

    fn insert(&mut self, path: &str, record: Record) -> Option<Record> {
        let before = self.remove(path);
        if let Some(session) = record.owner() {
            self.ephemerals.entry(session).or_default().insert(path.into());
        }
        self.nodes.insert(path.into(), record);
        before
    }

    fn remove(&mut self, path: &str) -> Option<Record> {
        let before = self.nodes.remove(path)?;
        if let Some(session) = before.owner()
            && let Some(paths) = self.ephemerals.get_mut(&session)
        {
            paths.remove(path);
            if paths.is_empty() {
                self.ephemerals.remove(&session);
            }
        }
        Some(before)
    }
}
