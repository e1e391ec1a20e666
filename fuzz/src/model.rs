//! A small tree of znodes, written from PROTOCOL's rules of application alone: whole paths in one map,
//! children found by looking at all of them, nothing kept that could be counted.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::acl::Acl;
use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};
use vivarium_core::wire::client::Stat;

const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];
const LONGEST_TTL_MS: i64 = (1 << 40) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Ends(Option<i64>),
    Ephemeral(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    data: Option<Vec<u8>>,
    acl: Vec<Acl>,
    life: Life,
    stat: Stat,
    /// Creates below it: what `cversion` is made of.
    creates: i32,
}

/// What a client can see of one node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) acl: Vec<Acl>,
    pub(crate) children: Vec<String>,
    pub(crate) stat: Stat,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    nodes: BTreeMap<String, Node>,
    pub(crate) sessions: BTreeMap<i64, i32>,
}

/// What the four kinds of create have in common.
struct New<'t> {
    path: &'t str,
    data: Option<&'t [u8]>,
    acl: Option<&'t [Acl]>,
    life: Life,
    cversion: Option<i32>,
}

impl Model {
    /// The tree that every server starts with, each node with this list.
    pub(crate) fn new(acl_of: impl Fn(&str) -> Vec<Acl>, stat_of: impl Fn(&str) -> Stat) -> Self {
        let node = |path: &str| Node {
            data: Some(Vec::new()),
            acl: acl_of(path),
            life: Life::Ends(None),
            stat: stat_of(path),
            creates: 0,
        };
        let nodes = SPECIAL.iter().map(|path| ((*path).to_owned(), node(path))).collect();
        Self { nodes, sessions: BTreeMap::new() }
    }

    pub(crate) fn apply(&mut self, logged: &LoggedTxn) {
        let header = &logged.header;
        if let Txn::Multi(ops) = &logged.txn {
            self.multi(ops, header);
        } else {
            self.single(&logged.txn, header);
        }
    }

    fn multi(&mut self, ops: &[Txn], header: &TxnHeader) {
        if ops.iter().any(|op| matches!(op, Txn::Error { .. })) {
            return;
        }
        for op in ops {
            let is_legal = matches!(
                op,
                Txn::Create(_)
                    | Txn::Create2(_)
                    | Txn::CreateTtl { .. }
                    | Txn::CreateContainer { .. }
                    | Txn::Delete { .. }
                    | Txn::DeleteContainer { .. }
                    | Txn::SetData { .. }
                    | Txn::Check { .. }
            );
            if !is_legal {
                return;
            }
            self.single(op, header);
        }
    }

    fn single(&mut self, txn: &Txn, header: &TxnHeader) {
        let session = header.session.0;
        match txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(session, *timeout_ms);
            }
            Txn::CloseSession { paths } => {
                for path in paths.iter().flatten() {
                    self.delete(path, header);
                }
                let own = |node: &Node| node.life == Life::Ephemeral(session);
                let left: Vec<_> = self.nodes.iter().filter(|(_, node)| own(node)).collect();
                let left: Vec<_> = left.into_iter().map(|(path, _)| path.clone()).collect();
                left.iter().for_each(|path| self.delete(path, header));
                self.sessions.remove(&session);
            }
            Txn::Create(create) | Txn::Create2(create) => {
                let CreateTxn { path, data, acl, ephemeral, parent_cversion } = create;
                let life = if *ephemeral { Life::Ephemeral(session) } else { Life::Ends(None) };
                let (data, acl) = (data.as_deref(), acl.as_deref());
                self.create(&New { path, data, acl, life, cversion: *parent_cversion }, header);
            }
            Txn::CreateTtl { path, data, acl, parent_cversion, ttl } => {
                let (data, acl, life) = (data.as_deref(), acl.as_deref(), Life::Ends(Some(*ttl)));
                let cversion = Some(*parent_cversion);
                self.create(&New { path, data, acl, life, cversion }, header);
            }
            Txn::CreateContainer { path, data, acl, parent_cversion } => {
                let (data, acl, life) = (data.as_deref(), acl.as_deref(), Life::Ends(None));
                let cversion = Some(*parent_cversion);
                self.create(&New { path, data, acl, life, cversion }, header);
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => self.delete(path, header),
            Txn::SetData { path, data, version } | Txn::Reconfig { path, data, version } => {
                if let Some(node) = self.nodes.get_mut(path) {
                    node.data = data.as_ref().map(|data| data.to_vec());
                    node.stat.mzxid = header.zxid.to_wire();
                    node.stat.mtime = header.time.0;
                    node.stat.version = *version;
                }
            }
            Txn::SetAcl { path, acl, version } => {
                if let Some(node) = self.nodes.get_mut(path) {
                    node.acl = list_of(acl.as_deref());
                    node.stat.aversion = *version;
                }
            }
            Txn::Check { .. } | Txn::Multi(_) | Txn::Error { .. } => {}
        }
    }

    /// A create of a node that exists sets its list and counts at the parent, so that a replay over a
    /// fuzzy snapshot mends it (PROTOCOL 4.4).
    fn create(&mut self, new: &New<'_>, header: &TxnHeader) {
        if matches!(new.life, Life::Ends(Some(ttl)) if !(1..=LONGEST_TTL_MS).contains(&ttl)) {
            return;
        }
        let zxid = header.zxid.to_wire();
        let Some(parent) = parent_of(new.path).and_then(|parent| self.nodes.get_mut(parent)) else {
            return;
        };
        let counted = new.cversion.filter(|cversion| *cversion != -1);
        let cversion = counted.unwrap_or_else(|| parent.creates.wrapping_add(1));
        if cversion > parent.creates {
            parent.creates = cversion;
            parent.stat.pzxid = zxid;
        }
        let acl = list_of(new.acl);
        if let Some(there) = self.nodes.get_mut(new.path) {
            there.acl = acl;
            return;
        }
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: header.time.0,
            mtime: header.time.0,
            ..Stat::default()
        };
        let data = new.data.map(<[u8]>::to_vec);
        let node = Node { data, acl, life: new.life, stat, creates: 0 };
        self.nodes.insert(new.path.to_owned(), node);
    }

    fn delete(&mut self, path: &str, header: &TxnHeader) {
        if SPECIAL.contains(&path) {
            return;
        }
        let Some(parent) = parent_of(path).and_then(|parent| self.nodes.get_mut(parent)) else {
            return;
        };
        parent.stat.pzxid = parent.stat.pzxid.max(header.zxid.to_wire());
        let below = format!("{path}/");
        self.nodes.retain(|other, _| other != path && !other.starts_with(&below));
    }

    /// Everything, in the order of paths.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = |(path, node): (&String, &Node)| {
            let children = self.nodes.keys().filter(|other| parent_of(other) == Some(path));
            let name = |child: &String| child.rsplit('/').next().unwrap_or_default().to_owned();
            let children: Vec<String> =
                children.map(name).collect::<BTreeSet<_>>().into_iter().collect();
            let owner = match node.life {
                Life::Ephemeral(session) => session,
                Life::Ends(_) => 0,
            };
            let stat = Stat {
                cversion: node.creates.wrapping_mul(2).wrapping_sub(children.len() as i32),
                ephemeral_owner: owner,
                data_length: node.data.as_ref().map_or(0, Vec::len) as i32,
                num_children: children.len() as i32,
                ..node.stat
            };
            let (data, acl) = (node.data.clone(), node.acl.clone());
            Seen { path: path.clone(), data, acl, children, stat }
        };
        self.nodes.iter().map(seen).collect()
    }

    pub(crate) fn ephemerals(&self, session: i64) -> Vec<String> {
        let own = self.nodes.iter().filter(|(_, node)| node.life == Life::Ephemeral(session));
        own.map(|(path, _)| path.clone()).collect()
    }
}

/// A null list is the open one. Apache: `ReferenceCountedACLCache.OPEN_UNSAFE_ACL_ID`.
fn list_of(acl: Option<&[Acl]>) -> Vec<Acl> {
    acl.map_or_else(|| vec![Acl::world(31)], <[Acl]>::to_vec)
}

/// `None` for what is no path of a node that can be made or deleted.
fn parent_of(path: &str) -> Option<&str> {
    let (parent, name) = path.rsplit_once('/')?;
    match (parent, name) {
        (_, "") | ("/", _) => None,
        ("", _) => Some("/"),
        (parent, _) => parent.starts_with('/').then_some(parent),
    }
}
