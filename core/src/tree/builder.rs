//! A database read back from a snapshot, part by part. Apache: `DataTree.deserialize`.

use alloc::vec::Vec;

use super::node::{Node, split};
use super::{Database, StoredStat};
use crate::acl::Acl;
use crate::ids::{SessionId, Zxid};

/// Builds a [`Database`] from a snapshot, part by part.
#[derive(Debug)]
pub struct DatabaseBuilder {
    database: Database,
}

impl DatabaseBuilder {
    pub fn new(full_digest: bool) -> Self {
        Self { database: Database::without_nodes(full_digest) }
    }

    pub fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.database.put_session(session, timeout_ms);
    }

    /// Lists come before nodes; those that no node names are dropped at the end.
    pub fn acl(&mut self, id: i64, acl: Vec<Acl>) {
        self.database.acls.insert(id, acl.into());
    }

    /// Nodes come parents first; the root's path is "". False where the parent is missing, the
    /// path cannot name a node, or it came before: the snapshot is damaged.
    ///
    /// An ACL id that the table lacks is no damage, as Apache's fuzzy snapshots may hold one: the
    /// node lets nobody but super in until replay brings its list.
    #[must_use]
    pub fn node(&mut self, path: &str, data: Option<&[u8]>, acl: i64, stat: StoredStat) -> bool {
        let path = if path.is_empty() { "/" } else { path };
        let nodes = &self.database.nodes;
        let has_place = match split(path) {
            Ok((parent, _)) => nodes.contains(parent),
            Err(_) => path == "/",
        };
        if !has_place || nodes.contains(path) {
            return false;
        }
        self.database.acls.acquire_id(acl);
        self.database.put_node(path, Node::new(path, data, acl, stat));
        true
    }

    /// Lists so far, those included that were only named by a node.
    pub fn acl_count(&self) -> usize {
        self.database.acl_count()
    }

    /// The special nodes are added where they are missing.
    pub fn finish(mut self, zxid: Zxid) -> Database {
        self.database.add_special_nodes();
        self.database.acls.purge_unused();
        self.database.find_quotas();
        self.database.applied = zxid;
        self.database
    }
}
