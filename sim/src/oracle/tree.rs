//! The oracle's tree: plain maps, one zxid at a time. Facts: PROTOCOL 1.7, 2.1.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::wire::client::{EventKind, Stat};

use crate::history::{AccessList, Life};
use crate::oracle::txn::{CreateTxn, Header, Txn};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub record: Record,
    pub children: BTreeSet<String>,
}

/// A node without its children: cheap to set aside before a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub data: Option<Bytes>,
    pub acl: Option<AccessList>,
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
}

/// The owner of a container.
const CONTAINER: i64 = i64::MIN;
/// The high byte of an owner that holds a TTL in its low 40 bits.
const TTL: i64 = 0xff_i64 << 56;

impl Record {
    /// What its owner says.
    pub fn life(&self) -> Life {
        match self.owner {
            0 => Life::Persistent,
            CONTAINER => Life::Container,
            owner if owner & !((1 << 40) - 1) == TTL => Life::Ttl { ms: owner & ((1 << 40) - 1) },
            _ => Life::Ephemeral,
        }
    }

    pub fn is_ephemeral(&self) -> bool {
        self.life() == Life::Ephemeral
    }
}

impl Node {
    /// As a client sees it.
    pub fn stat(&self) -> Stat {
        let Record { data, acl: _, czxid, mzxid, ctime, mtime, version, .. } = &self.record;
        let children = i32::try_from(self.children.len()).expect("small trees");
        Stat {
            czxid: *czxid,
            mzxid: *mzxid,
            ctime: *ctime,
            mtime: *mtime,
            version: *version,
            cversion: self.record.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: self.record.aversion,
            ephemeral_owner: if self.record.is_ephemeral() { self.record.owner } else { 0 },
            data_length: data.as_ref().map_or(0, |data| data.len() as i32),
            num_children: children,
            pzxid: self.record.pzxid,
        }
    }
}

/// Who knows a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everybody.
    Global,
    /// A single server, if anybody: it was never opened for all.
    Local,
    Gone,
}

/// A change that watches look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub path: String,
    /// Of the node, as it was when this happened: who may not read it is not told.
    pub acl: Option<AccessList>,
}

/// One step of a transaction, with what it takes to go back.
#[derive(Clone, Debug)]
enum Change {
    Edited { path: String, before: Record },
    Made { path: String },
    Gone { path: String, before: Node },
    Adopted { parent: String, name: String },
    Left { parent: String, name: String },
}

/// What one transaction changed.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Each node that changed, as it was; `None` where it was not.
    pub nodes: BTreeMap<String, Option<Record>>,
    /// Each child that came or went, in order.
    pub moves: Vec<Move>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub parent: String,
    pub name: String,
    pub kind: MoveKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    Adopted,
    Left,
}

#[derive(Clone, Debug)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<i64, i32>,
    /// Those that were in `sessions`.
    ended: BTreeSet<i64>,
    /// A session that never was there may live at one server alone.
    has_local_sessions: bool,
    /// What was done since the last `settle`.
    journal: Vec<Change>,
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
        let mut tree = Self {
            nodes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            ended: BTreeSet::new(),
            has_local_sessions: false,
            journal: Vec::new(),
        };
        for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            // Empty, not null: `DataTree` makes them of a byte array of length 0.
            let record = Record { data: Some(Bytes::new()), ..Record::default() };
            tree.nodes.insert(path.into(), Node { record, ..Node::default() });
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

    /// From now on, a session that nobody opened for all may be one of a single server.
    pub fn allow_local_sessions(&mut self) {
        self.has_local_sessions = true;
    }

    pub fn standing(&self, session: i64) -> Standing {
        if self.is_open(session) {
            Standing::Global
        } else if self.has_local_sessions && !self.ended.contains(&session) {
            Standing::Local
        } else {
            Standing::Gone
        }
    }

    pub fn ephemerals(&self, session: i64) -> BTreeSet<String> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.record.owner == session && session != 0)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Forgets how to undo what was done so far, and says what it was.
    pub fn settle(&mut self) -> Settled {
        let mut settled = Settled::default();
        for change in self.journal.drain(..) {
            let (path, before) = match change {
                Change::Edited { path, before } => (path, Some(before)),
                Change::Made { path } => (path, None),
                Change::Gone { path, before } => {
                    // Whatever the log says: who is gone has no children.
                    settled.moves.extend(before.children.into_iter().map(|name| Move {
                        parent: path.clone(),
                        name,
                        kind: MoveKind::Left,
                    }));
                    (path, Some(before.record))
                }
                Change::Adopted { parent, name } => {
                    settled.moves.push(Move { parent, name, kind: MoveKind::Adopted });
                    continue;
                }
                Change::Left { parent, name } => {
                    settled.moves.push(Move { parent, name, kind: MoveKind::Left });
                    continue;
                }
            };
            // What it was before its first change is what counts.
            settled.nodes.entry(path).or_insert(before);
        }
        settled
    }

    /// Takes back every change to nodes since the last `settle`.
    pub fn undo(&mut self) {
        while let Some(change) = self.journal.pop() {
            match change {
                Change::Edited { path, before } => self.present(&path).record = before,
                Change::Made { path } => {
                    self.nodes.remove(&path);
                }
                Change::Gone { path, before } => {
                    self.nodes.insert(path, before);
                }
                Change::Adopted { parent, name } => {
                    self.present(&parent).children.remove(&name);
                }
                Change::Left { parent, name } => {
                    self.present(&parent).children.insert(name);
                }
            }
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
                if self.sessions.remove(&header.session).is_some() {
                    self.ended.insert(header.session);
                }
                let own = self.ephemerals(header.session);
                for path in paths.clone().unwrap_or_else(|| own.into_iter().collect()) {
                    self.delete(&path, zxid, events);
                }
            }
            Txn::Create(create) => self.create(header, create, events),
            Txn::Delete { path } | Txn::DeleteContainer { path } => self.delete(path, zxid, events),
            Txn::SetData { path, data, version } => {
                if self.nodes.contains_key(path) {
                    let node = self.edit(path);
                    node.data.clone_from(data);
                    (node.version, node.mzxid, node.mtime) = (*version, zxid, header.time);
                    let (kind, acl) = (EventKind::NodeDataChanged, node.acl.clone());
                    events.push(Event { kind, path: path.clone(), acl });
                }
            }
            Txn::SetAcl { path, acl, version } => {
                if self.nodes.contains_key(path) {
                    let node = self.edit(path);
                    node.acl.clone_from(acl);
                    node.aversion = *version;
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
        let above = self.edit(&parent);
        if create.parent_cversion > above.cversion {
            (above.cversion, above.pzxid) = (create.parent_cversion, zxid);
        }
        let acl_above = above.acl.clone();
        let name = name_of(&create.path).to_owned();
        self.present(&parent).children.insert(name.clone());
        self.journal.push(Change::Adopted { parent: parent.clone(), name });
        self.journal.push(Change::Made { path: create.path.clone() });
        let record = Record {
            data: create.data.clone(),
            acl: create.acl.clone(),
            czxid: zxid,
            mzxid: zxid,
            ctime: header.time,
            mtime: header.time,
            owner: match create.life {
                Life::Persistent => 0,
                Life::Ephemeral => header.session,
                Life::Container => CONTAINER,
                Life::Ttl { ms } => TTL | ms,
            },
            pzxid: zxid,
            ..Record::default()
        };
        self.nodes.insert(create.path.clone(), Node { record, ..Node::default() });
        let (path, acl) = (create.path.clone(), create.acl.clone());
        events.push(Event { kind: EventKind::NodeCreated, path, acl });
        let (path, acl) = (parent, acl_above);
        events.push(Event { kind: EventKind::NodeChildrenChanged, path, acl });
    }

    fn delete(&mut self, path: &str, zxid: i64, events: &mut Vec<Event>) {
        let parent = parent_of(path).to_owned();
        let mut acl_above = None;
        if self.nodes.contains_key(&parent) {
            let above = self.edit(&parent);
            above.pzxid = above.pzxid.max(zxid);
            acl_above.clone_from(&above.acl);
            if self.present(&parent).children.remove(name_of(path)) {
                let name = name_of(path).to_owned();
                self.journal.push(Change::Left { parent: parent.clone(), name });
            }
        }
        if let Some(before) = self.nodes.remove(path) {
            let (kind, acl) = (EventKind::NodeDeleted, before.record.acl.clone());
            events.push(Event { kind, path: path.into(), acl });
            let (kind, acl) = (EventKind::NodeChildrenChanged, acl_above);
            events.push(Event { kind, path: parent, acl });
            self.journal.push(Change::Gone { path: path.into(), before });
        }
    }

    /// The record of a node that exists, to be changed.
    fn edit(&mut self, path: &str) -> &mut Record {
        let node = self.nodes.get_mut(path).expect("the caller looked");
        self.journal.push(Change::Edited { path: path.into(), before: node.record.clone() });
        &mut node.record
    }

    fn present(&mut self, path: &str) -> &mut Node {
        self.nodes.get_mut(path).expect("the caller looked, or the journal names it")
    }
}
