//! Effects of transactions that are prepared but not yet applied.
//! Apache: `ZooKeeperServer.outstandingChanges`, `PrepRequestProcessor.ChangeRecord`.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::ids::{SessionId, Zxid};
use crate::tree::digest::node_digest;
use crate::tree::{Database, Lifetime, StoredStat};

/// A node as it will be once everything prepared so far is applied.
#[derive(Clone, Debug)]
pub(super) struct PendingNode {
    pub(super) stat: StoredStat,
    pub(super) data: Option<Bytes>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionChange {
    Opening,
    Closing,
}

/// The records, newest per path, and their order.
///
/// Invariant: a path has a record exactly while `order` names it with a zxid that is not applied;
/// `digest` is the tree digest after the newest record and is meaningless while `order` is empty.
#[derive(Debug, Default)]
pub(super) struct Pending {
    order: VecDeque<(Zxid, String)>,
    nodes: HashMap<String, Record, FixedState>,
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
            stat: node.stat,
            data: node.data.clone(),
            children: node.num_children(),
        })
    }

    /// What the tree digest will be once everything pending is applied.
    pub(super) fn tree_digest(&self, db: &Database) -> u64 {
        if self.order.is_empty() { db.digest().tree } else { self.digest }
    }

    /// Every record from here on can be taken back by [`Self::roll_back`].
    pub(super) fn begin(&mut self) {
        self.replaced.clear();
        self.digest_before = self.digest;
    }

    pub(super) fn roll_back(&mut self) {
        while let Some((path, before)) = self.replaced.pop() {
            self.order.pop_back();
            match before {
                Some(record) => self.nodes.insert(path, record),
                None => self.nodes.remove(&path),
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
        let replaced = self.nodes.insert(path.into(), Record { zxid, node, digest });
        self.replaced.push((path.into(), replaced));
    }

    pub(super) fn session(&self, session: SessionId) -> Option<SessionChange> {
        self.sessions.get(&session).map(|&(_, change)| change)
    }

    pub(super) fn put_session(&mut self, zxid: Zxid, session: SessionId, change: SessionChange) {
        self.session_order.push_back((zxid, session));
        self.sessions.insert(session, (zxid, change));
    }

    /// The session's ephemerals behind all pending changes, in byte order.
    pub(super) fn ephemerals(&self, db: &Database, session: SessionId) -> Vec<String> {
        let mut paths: BTreeSet<String> = db
            .ephemerals(session)
            .into_iter()
            .filter(|path| !self.nodes.contains_key(path))
            .collect();
        for (_, path) in &self.order {
            let node = self.nodes.get(path).and_then(|record| record.node.as_ref());
            let lifetime = node.map(|node| Lifetime::of(node.stat.ephemeral_owner));
            if lifetime == Some(Lifetime::Ephemeral(session)) {
                paths.insert(path.clone());
            }
        }
        paths.into_iter().collect()
    }

    /// Forgets what the tree itself shows from now on.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some((_, path)) = self.order.pop_front_if(|(at, _)| *at <= zxid) {
            if self.nodes.get(&path).is_some_and(|record| record.zxid <= zxid) {
                self.nodes.remove(&path);
            }
        }
        while let Some((_, session)) = self.session_order.pop_front_if(|(at, _)| *at <= zxid) {
            if self.sessions.get(&session).is_some_and(|&(at, _)| at <= zxid) {
                self.sessions.remove(&session);
            }
        }
    }
}
