//! A database read back from a snapshot, part by part. Apache: `DataTree.deserialize`.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::node::{Node, split};
use super::{Database, StoredStat};
use crate::acl::Acl;
use crate::ids::{SessionId, Zxid};

/// Builds a [`Database`] from a snapshot, part by part.
#[derive(Debug)]
pub struct DatabaseBuilder {
    database: Database,
    ordered: Ordered,
}

/// Nodes in path order, as our own snapshots hold them: gathered side by side, and made a tree at once,
/// which costs a fraction of what as many insertions do. Apache's come in the order of its hash maps.
#[derive(Debug, Default)]
struct Ordered {
    nodes: Vec<(String, Node)>,
    /// Names of each one's children, in order.
    children: Vec<Vec<Box<str>>>,
    /// Where the parent of the newest node stands: most have the same.
    parent: usize,
}

impl Ordered {
    /// Whether this one comes behind all others.
    fn is_next(&self, path: &str) -> bool {
        self.nodes.last().is_none_or(|(last, _)| last.as_str() < path)
    }

    /// Lists a child; false where its parent is missing.
    fn list(&mut self, parent: &str, name: &str) -> bool {
        if self.nodes.get(self.parent).is_none_or(|(known, _)| known != parent) {
            match self.nodes.binary_search_by(|(known, _)| known.as_str().cmp(parent)) {
                Ok(place) => self.parent = place,
                Err(_) => return false,
            }
        }
        self.children[self.parent].push(name.into());
        true
    }

    fn push(&mut self, path: String, node: Node) {
        self.nodes.push((path, node));
        self.children.push(Vec::new());
    }

    fn into_nodes(self) -> BTreeMap<String, Node> {
        let mut nodes = self.nodes;
        for ((_, node), children) in nodes.iter_mut().zip(self.children) {
            if !children.is_empty() {
                node.children = children.into_iter().collect();
            }
        }
        nodes.into_iter().collect()
    }
}

impl DatabaseBuilder {
    pub fn new(full_digest: bool) -> Self {
        Self { database: Database::without_nodes(full_digest), ordered: Ordered::default() }
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
    pub fn node(&mut self, path: &str, data: Option<Bytes>, acl: i64, stat: StoredStat) -> bool {
        let path = if path.is_empty() { "/" } else { path };
        let split = if path == "/" { None } else { Some(split(path)) };
        let parent = match split {
            None => None,
            Some(Ok(split)) => Some(split),
            Some(Err(_)) => return false,
        };
        if self.database.nodes.is_empty() && self.ordered.is_next(path) {
            if parent.is_some_and(|(parent, name)| !self.ordered.list(parent, name)) {
                return false;
            }
            let mut node = Node::new(data, acl, stat);
            self.database.acls.acquire_id(acl);
            self.database.count_node(path, &mut node);
            self.ordered.push(path.into(), node);
            return true;
        }
        self.give_up_order();
        let is_new = match parent {
            None => !self.database.nodes.contains_key(path),
            // A node that came before is listed by its parent.
            Some((parent, name)) => self
                .database
                .nodes
                .get_mut(parent)
                .is_some_and(|parent| parent.children.insert(name.into())),
        };
        if is_new {
            self.database.acls.acquire_id(acl);
            self.database.put_node(path, Node::new(data, acl, stat));
        }
        is_new
    }

    fn give_up_order(&mut self) {
        if !self.ordered.nodes.is_empty() {
            self.database.nodes = core::mem::take(&mut self.ordered).into_nodes();
        }
    }

    /// Lists so far, those included that were only named by a node.
    pub fn acl_count(&self) -> usize {
        self.database.acl_count()
    }

    /// The special nodes are added where they are missing.
    pub fn finish(mut self, zxid: Zxid) -> Database {
        self.give_up_order();
        self.database.add_special_nodes();
        self.database.acls.purge_unused();
        self.database.applied = zxid;
        self.database
    }
}
