//! The oracle's tree: plain maps, one zxid at a time. Facts: PROTOCOL 1.7, 2.1.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use vivarium_core::wire::client::{EventKind, Stat};

use crate::oracle::txn::{AclEntry, CreateTxn, Header, Txn};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub data: Option<Bytes>,
    pub acl: Option<Vec<AclEntry>>,
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    /// Number of creates below this node, ever.
    pub cversion: i32,
    pub aversion: i32,
    pub owner: i64,
    pub pzxid: i64,
    pub children: BTreeSet<String>,
}

impl Node {
    /// As a client sees it.
    pub fn stat(&self) -> Stat {
        let children = i32::try_from(self.children.len()).expect("small trees");
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: self.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children: children,
            pzxid: self.pzxid,
        }
    }
}

/// A change that watches look at.
pub type Event = (EventKind, String);

#[derive(Clone, Debug)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<i64, i32>,
    /// What nodes were before the current transaction; the first entry of a path counts.
    journal: Vec<(String, Option<Node>)>,
}

pub fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(cut) => &path[..cut],
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().expect("rsplit yields at least one part")
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree =
            Self { nodes: BTreeMap::new(), sessions: BTreeMap::new(), journal: Vec::new() };
        for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            // Empty, not null: `DataTree` makes them of a byte array of length 0.
            let node = Node { data: Some(Bytes::new()), ..Node::default() };
            tree.nodes.insert(path.into(), node);
            if path != "/" {
                let parent = tree.nodes.get_mut(parent_of(path)).expect("parents come first");
                parent.children.insert(name_of(path).into());
            }
        }
        tree
    }
}

impl Tree {
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    pub fn sessions(&self) -> &BTreeMap<i64, i32> {
        &self.sessions
    }

    pub fn is_open(&self, session: i64) -> bool {
        self.sessions.contains_key(&session)
    }

    pub fn ephemerals(&self, session: i64) -> BTreeSet<String> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.owner == session && session != 0)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Forgets how to undo what was done so far, and says which nodes changed from what.
    pub fn settle(&mut self) -> BTreeMap<String, Option<Node>> {
        let mut first = BTreeMap::new();
        for (path, before) in self.journal.drain(..) {
            first.entry(path).or_insert(before);
        }
        first
    }

    /// Takes back every change to nodes since the last `settle`.
    pub fn undo(&mut self) {
        while let Some((path, before)) = self.journal.pop() {
            match before {
                Some(node) => self.nodes.insert(path, node),
                None => self.nodes.remove(&path),
            };
        }
    }

    /// Applies what is in the log, whatever it is.
    pub fn apply(&mut self, header: Header, txn: &Txn, events: &mut Vec<Event>) {
        let zxid = header.zxid.to_wire();
        match txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.session, *timeout_ms);
            }
            Txn::CloseSession { paths } => {
                self.sessions.remove(&header.session);
                let own = self.ephemerals(header.session);
                for path in paths.clone().unwrap_or_else(|| own.into_iter().collect()) {
                    self.delete(&path, zxid, events);
                }
            }
            Txn::Create(create) => self.create(header, create, events),
            Txn::Delete { path } => self.delete(path, zxid, events),
            Txn::SetData { path, data, version } => {
                if self.nodes.contains_key(path) {
                    let node = self.touch(path);
                    node.data.clone_from(data);
                    (node.version, node.mzxid, node.mtime) = (*version, zxid, header.time);
                    events.push((EventKind::NodeDataChanged, path.clone()));
                }
            }
            Txn::Multi(subs) => {
                if !subs.iter().any(|sub| matches!(sub, Txn::Error { .. })) {
                    for sub in subs {
                        self.apply(header, sub, events);
                    }
                }
            }
            Txn::Check { .. } | Txn::Error { .. } => {}
        }
    }

    fn create(&mut self, header: Header, create: &CreateTxn, events: &mut Vec<Event>) {
        let parent = parent_of(&create.path).to_owned();
        if self.nodes.contains_key(&create.path) || !self.nodes.contains_key(&parent) {
            return;
        }
        let zxid = header.zxid.to_wire();
        let above = self.touch(&parent);
        if create.parent_cversion > above.cversion {
            (above.cversion, above.pzxid) = (create.parent_cversion, zxid);
        }
        above.children.insert(name_of(&create.path).into());
        self.journal.push((create.path.clone(), None));
        let node = Node {
            data: create.data.clone(),
            acl: create.acl.clone(),
            czxid: zxid,
            mzxid: zxid,
            ctime: header.time,
            mtime: header.time,
            owner: if create.ephemeral { header.session } else { 0 },
            pzxid: zxid,
            ..Node::default()
        };
        self.nodes.insert(create.path.clone(), node);
        events.push((EventKind::NodeCreated, create.path.clone()));
        events.push((EventKind::NodeChildrenChanged, parent));
    }

    fn delete(&mut self, path: &str, zxid: i64, events: &mut Vec<Event>) {
        let parent = parent_of(path).to_owned();
        if self.nodes.contains_key(&parent) {
            let above = self.touch(&parent);
            above.children.remove(name_of(path));
            above.pzxid = above.pzxid.max(zxid);
        }
        if let Some(node) = self.nodes.remove(path) {
            self.journal.push((path.into(), Some(node)));
            events.push((EventKind::NodeDeleted, path.into()));
            events.push((EventKind::NodeChildrenChanged, parent));
        }
    }

    /// The node, to be changed; it exists.
    fn touch(&mut self, path: &str) -> &mut Node {
        let node = self.nodes.get_mut(path).expect("the caller looked");
        self.journal.push((path.into(), Some(node.clone())));
        node
    }
}
