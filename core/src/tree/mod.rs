//! The replicated state: data tree, ACL table and session table at one zxid.
//! Apache: `DataTree`, `ZKDatabase`.

mod acl_table;
mod apply;
mod builder;
pub mod digest;
mod lifetime;
mod node;
mod nodes;
mod quota;
mod walk;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

pub use acl_table::OPEN_ACL_ID;
pub use builder::DatabaseBuilder;
pub use lifetime::Lifetime;
pub use node::{Node, StoredStat};
pub use nodes::Below;
pub use quota::{Counted, QuotaExcess, QuotaFigures, namespace};
pub use walk::Walk;

use crate::acl::{Acl, PERM_READ};
use crate::ids::{SessionId, Zxid};
use crate::server::note::StateDigest;
use crate::time::Wall;
use crate::wire::client::{EventKind, MultiResult, Names, Stat};
use crate::wire::code::Code;
use acl_table::AclTable;
use digest::Digests;
use lifetime::Lifetimes;
use nodes::Nodes;
use quota::Quotas;
use walk::Walker;

pub const ROOT_PATH: &str = "/";
pub const ZOOKEEPER_PATH: &str = "/zookeeper";
pub const CONFIG_PATH: &str = "/zookeeper/config";
pub const QUOTA_PATH: &str = "/zookeeper/quota";

/// Nodes that exist from the start and are never deleted. Apache: `DataTree.isSpecialPath`.
pub fn is_special(path: &str) -> bool {
    [ROOT_PATH, ZOOKEEPER_PATH, CONFIG_PATH, QUOTA_PATH].contains(&path)
}

/// A change that watches may look at, in firing order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEvent {
    pub kind: EventKind,
    /// For `NodeChildrenChanged` the parent.
    pub path: String,
    pub zxid: Zxid,
    /// List of the node at `path` at that moment (of a deleted one: its last): a watcher is told
    /// only if it grants READ (PROTOCOL 2.1).
    pub acl: Arc<[Acl]>,
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

/// The replicated state. Every mutation is the total function [`Database::apply`], except for the
/// configuration node, whose content is local until a reconfig.
#[derive(Debug)]
pub struct Database {
    nodes: Nodes,
    acls: AclTable,
    lifetimes: Lifetimes,
    sessions: BTreeMap<SessionId, i32>,
    /// Highest id seen of each server (the high byte), closed sessions included. Not part of the
    /// replicated state: it only keeps a server whose clock was set back from using an id twice.
    newest_sessions: BTreeMap<u8, SessionId>,
    applied: Zxid,
    digests: Digests,
    /// Bytes of all paths and data, as `approximate_data_size` reports them.
    data_size: u64,
    walker: Walker,
    quotas: Quotas,
}

impl Database {
    /// A fresh tree: "/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota", zero stats.
    pub fn new(full_digest: bool) -> Self {
        let mut database = Self::without_nodes(full_digest);
        database.add_special_nodes();
        database
    }

    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// A new leader's epoch start counts as processed (PROTOCOL 3.5 step 8).
    pub fn set_applied(&mut self, zxid: Zxid) {
        self.applied = zxid;
    }

    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Client form of a node's Stat.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.node(path).map(Node::client_stat)
    }

    /// The null list reads as open to everybody.
    pub fn acl(&self, path: &str) -> Option<Vec<Acl>> {
        self.acl_entries(path).map(<[Acl]>::to_vec)
    }

    /// As [`Database::acl`], borrowed: for permission checks.
    pub fn acl_entries(&self, path: &str) -> Option<&[Acl]> {
        self.node(path).map(|node| &**self.acls.list(node.acl_id()))
    }

    /// The list of a node of this tree.
    pub fn acl_list(&self, node: &Node) -> &Arc<[Acl]> {
        self.acls.list(node.acl_id())
    }

    /// How many nodes lie below this one; `None` where it is missing.
    pub fn descendants(&self, path: &str) -> Option<usize> {
        self.node(path).map(|node| node.below().nodes as usize)
    }

    /// Looks at every node below one that is there, parents first.
    fn each_below(&self, path: &str, mut look: impl FnMut(&str, &Node)) {
        let mut walk = self.nodes.walk(Some(path));
        while let Some((below, node)) = walk.node() {
            let rest = below.strip_prefix(path).filter(|_| path != ROOT_PATH);
            if path != ROOT_PATH && !rest.is_some_and(|rest| rest.starts_with('/')) {
                return;
            }
            look(below, node);
            walk.advance();
        }
    }

    /// Names in byte order; `None` where the node is missing.
    pub fn children(&self, path: &str) -> Option<Names> {
        self.nodes.child_names(path).map(|names| names.collect())
    }

    /// The highest ids that each server is known to have given out.
    pub fn newest_sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.newest_sessions.values().copied()
    }

    pub fn sessions(&self) -> &BTreeMap<SessionId, i32> {
        &self.sessions
    }

    /// Paths of a session's ephemerals, in byte order.
    pub fn ephemerals(&self, session: SessionId) -> Vec<String> {
        let paths = self.lifetimes.ephemerals.get(&session);
        paths.map_or_else(Vec::new, |paths| paths.iter().cloned().collect())
    }

    pub fn has_ephemerals(&self, session: SessionId) -> bool {
        self.lifetimes.ephemerals.contains_key(&session)
    }

    /// Every session that owns ephemerals, with their paths.
    pub fn ephemeral_owners(
        &self,
    ) -> impl Iterator<Item = (SessionId, impl ExactSizeIterator<Item = &str>)> {
        let owners = self.lifetimes.ephemerals.iter();
        owners.map(|(&session, paths)| (session, paths.iter().map(String::as_str)))
    }

    /// Paths of container nodes, in byte order.
    pub fn containers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lifetimes.containers.iter().map(String::as_str)
    }

    /// Paths of TTL nodes, in byte order.
    pub fn ttls(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lifetimes.ttls.iter().map(String::as_str)
    }

    /// The first container or TTL node behind `path`, in byte order.
    pub fn next_mortal(&self, path: &str) -> Option<&str> {
        self.lifetimes.next_mortal(path)
    }

    /// Every node, parents first, siblings by name.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Node)> {
        let mut walk = self.nodes.walk(None);
        core::iter::from_fn(move || {
            let (path, node) = walk.node()?;
            let found = (path.into(), node);
            walk.advance();
            Some(found)
        })
    }

    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes of all paths and data.
    pub fn data_size(&self) -> u64 {
        self.data_size
    }

    pub fn acl_count(&self) -> usize {
        self.acls.len()
    }

    pub fn digest(&self) -> StateDigest {
        self.digests.sum()
    }

    /// Apache's digest of one node as it is now.
    pub fn node_digest_of(&self, path: &str) -> Option<u64> {
        self.node(path).map(|node| node.digest.tree())
    }

    /// Puts the text of the configuration in force into its node: at load and when a config is
    /// activated, outside any transaction. Apache: `initConfigInZKDatabase`.
    pub fn set_config(
        &mut self,
        text: Bytes,
        version: Zxid,
        now: Wall,
        events: &mut Vec<TreeEvent>,
    ) {
        let acl = self.edit(CONFIG_PATH, |node| {
            node.set_data(Some(&text));
            node.set_stat(StoredStat {
                mzxid: version.to_wire(),
                mtime: now.0,
                version: -1,
                ..node.stat()
            });
            node.acl_id()
        });
        let acl = Arc::clone(self.acls.list(acl.expect("special nodes are never deleted")));
        let (kind, path) = (EventKind::NodeDataChanged, CONFIG_PATH.into());
        events.push(TreeEvent { kind, path, zxid: version, acl });
    }

    /// Starts a walk that writes the state of exactly this zxid while changes go on. One at a time:
    /// a walk under way is cancelled.
    pub fn begin_walk(&mut self, preimage_limit_bytes: usize) {
        let mut head = BytesMut::new();
        head.put_i32(self.sessions.len() as i32);
        for (session, &timeout_ms) in &self.sessions {
            head.put_i64(session.0);
            head.put_i32(timeout_ms);
        }
        self.acls.write(&mut head);
        self.walker = Walker::begin(head, preimage_limit_bytes);
    }

    /// Writes about `budget` bytes more of the snapshot body (PROTOCOL 4.4: sessions, ACL map,
    /// nodes, final "/"; no header, no seals) to `out`. A portion ends behind a whole node, so
    /// that it may be longer than the budget by one node.
    pub fn walk(&mut self, budget: usize, out: &mut BytesMut) -> Walk {
        self.walker.step(&self.nodes, budget, out)
    }

    pub fn cancel_walk(&mut self) {
        self.walker = Walker::Idle;
    }

    fn without_nodes(full_digest: bool) -> Self {
        Self {
            nodes: Nodes::default(),
            acls: AclTable::new(),
            lifetimes: Lifetimes::default(),
            sessions: BTreeMap::new(),
            newest_sessions: BTreeMap::new(),
            applied: Zxid::ZERO,
            digests: Digests::new(full_digest),
            data_size: 0,
            walker: Walker::Idle,
            quotas: Quotas::default(),
        }
    }

    fn add_special_nodes(&mut self) {
        for path in [ROOT_PATH, ZOOKEEPER_PATH, CONFIG_PATH, QUOTA_PATH] {
            if self.nodes.contains(path) {
                continue;
            }
            let mut stat = StoredStat::default();
            let mut acl = OPEN_ACL_ID;
            if path == CONFIG_PATH {
                acl = self.acls.acquire(Some(&[Acl::world(PERM_READ)]));
                stat.aversion = -1;
            }
            self.put_node(path, Node::new(path, Some(&[]), acl, stat));
        }
    }

    /// Inserts a node whose parent is there and whose ACL is already counted.
    fn put_node(&mut self, path: &str, mut node: Node) {
        self.walker.keep(path, None);
        let acl = self.acls.stored(node.acl_id());
        self.digests.replace(path, &mut node, acl);
        self.lifetimes.insert(path, node.lifetime());
        self.data_size += size_of(path, &node);
        let is_placed = self.nodes.insert(path, node);
        crate::invariant!(is_placed, "{path} has no parent");
    }

    /// Removes a node without children.
    fn take_node(&mut self, path: &str) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        self.walker.keep(path, Some(&node));
        self.digests.remove(&node);
        self.lifetimes.remove(path, node.lifetime());
        self.data_size -= size_of(path, &node);
        self.acls.release(node.acl_id());
        Some(node)
    }

    /// Changes a node in place; `None` where it is missing. The owner never changes.
    fn edit<R>(&mut self, path: &str, change: impl FnOnce(&mut Node) -> R) -> Option<R> {
        let node = self.nodes.get_mut(path)?;
        self.walker.keep(path, Some(node));
        let before = node.data_length();
        let result = change(node);
        let after = node.data_length();
        self.data_size = self.data_size - before as u64 + after as u64;
        let acl = self.acls.stored(node.acl_id());
        self.digests.replace(path, node, acl);
        if before != after {
            self.nodes.resized(path, after as i64 - before as i64);
        }
        Some(result)
    }

    fn put_session(&mut self, session: SessionId, timeout_ms: i32) {
        let newest = self.newest_sessions.entry((session.0 as u64 >> 56) as u8).or_insert(session);
        *newest = (*newest).max(session);
        self.drop_session(session);
        self.sessions.insert(session, timeout_ms);
        self.digests.add_session(session, timeout_ms);
    }

    fn drop_session(&mut self, session: SessionId) {
        if let Some(timeout_ms) = self.sessions.remove(&session) {
            self.digests.remove_session(session, timeout_ms);
        }
    }
}

fn size_of(path: &str, node: &Node) -> u64 {
    (path.len() + node.data_length()) as u64
}

#[cfg(test)]
mod tests;
