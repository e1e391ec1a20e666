//! Applying transactions: total, and repeatable over snapshots that already hold part of what is
//! replayed (PROTOCOL 4.4). Apache: `DataTree.processTxn`.
//!
//! Whatever is illegal in a logged transaction changes nothing and is reported as a failure, except
//! where Apache lets replay repair a fuzzy snapshot: a create of a node that exists replaces its
//! ACL and raises the parent's counters; a delete of one that is missing raises the parent's pzxid;
//! a delete takes children along that only a later life of the node can have (the transactions that
//! made them are still to come).

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::node::{Node, join, split};
use super::{Database, Lifetime, StoredStat, TreeEvent, TxnResult, is_special};
use crate::acl::Acl;
use crate::ids::{SessionId, Zxid};
use crate::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};
use crate::wire::client::{EventKind, MultiResult, Stat};
use crate::wire::code::Code;

/// What the records of the four kinds of create have in common.
struct NewNode<'t> {
    path: &'t str,
    data: &'t Option<Bytes>,
    acl: Option<&'t [Acl]>,
    lifetime: Lifetime,
    /// `None`: current + 1.
    parent_cversion: Option<i32>,
}

/// Where a transaction stands and who listens.
struct Context<'a> {
    header: &'a TxnHeader,
    /// `None`: nobody does.
    events: Option<&'a mut Vec<TreeEvent>>,
}

impl Context<'_> {
    fn tell(&mut self, kind: EventKind, path: &str, acl: &Arc<[Acl]>) {
        let zxid = self.header.zxid;
        if let Some(events) = &mut self.events {
            events.push(TreeEvent { kind, path: path.into(), zxid, acl: Arc::clone(acl) });
        }
    }
}

impl Database {
    /// Applies a logged transaction; total: no bytes can make it fail. Appends what watches may
    /// fire on, in Apache's order: node events, then the parent's.
    pub fn apply(&mut self, txn: &LoggedTxn, events: &mut Vec<TreeEvent>) -> TxnResult {
        self.apply_in(txn, &mut Context { header: &txn.header, events: Some(events) })
    }

    /// As `apply`, while nobody watches.
    pub fn replay(&mut self, txn: &LoggedTxn) {
        self.apply_in(txn, &mut Context { header: &txn.header, events: None });
    }

    fn apply_in(&mut self, txn: &LoggedTxn, context: &mut Context<'_>) -> TxnResult {
        let result = if let Txn::Multi(ops) = &txn.txn {
            TxnResult::Multi(self.apply_multi(ops, context))
        } else {
            self.apply_single(&txn.txn, context)
        };
        self.applied = self.applied.max(txn.header.zxid);
        result
    }

    /// Ephemerals whose session is not in the session table are deleted, as after every load.
    /// Returns how many. Apache: `ZooKeeperServer.loadData`.
    pub fn remove_orphan_ephemerals(&mut self) -> usize {
        let orphans: Vec<String> = self
            .ephemeral_owners()
            .filter(|(session, _)| !self.sessions.contains_key(session))
            .flat_map(|(_, paths)| paths.map(String::from))
            .collect();
        let zxid = self.applied;
        orphans.iter().filter(|path| self.remove(path, zxid).is_ok()).count()
    }

    fn apply_single(&mut self, txn: &Txn, context: &mut Context<'_>) -> TxnResult {
        let session = context.header.session;
        match txn {
            Txn::CreateSession { timeout_ms } => {
                self.put_session(session, *timeout_ms);
                TxnResult::SessionCreated { timeout_ms: *timeout_ms }
            }
            Txn::CloseSession { paths } => {
                self.close_session(session, paths.as_deref().unwrap_or_default(), context);
                TxnResult::SessionClosed
            }
            Txn::Create(_)
            | Txn::Create2(_)
            | Txn::CreateTtl { .. }
            | Txn::CreateContainer { .. } => {
                let created = new_node(txn, session).and_then(|new| {
                    Ok(TxnResult::Created {
                        path: new.path.into(),
                        stat: self.create(&new, context)?,
                    })
                });
                created.unwrap_or_else(TxnResult::Failed)
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => {
                self.delete(path, context).map_or_else(TxnResult::Failed, |()| TxnResult::Deleted)
            }
            Txn::SetData { path, data, version } | Txn::Reconfig { path, data, version } => {
                match self.set_data(path, data, *version, context) {
                    Some(stat) => TxnResult::DataSet { stat },
                    None => TxnResult::Failed(Code::NoNode),
                }
            }
            Txn::SetAcl { path, acl, version } => {
                match self.set_acl(path, acl.as_deref(), *version, context) {
                    Some(stat) => TxnResult::AclSet { stat },
                    None => TxnResult::Failed(Code::NoNode),
                }
            }
            Txn::Error { code } => TxnResult::Failed(known_code(*code)),
            // Legal in a multi only, where they do not come here.
            Txn::Check { .. } | Txn::Multi(_) => TxnResult::Failed(Code::Unimplemented),
        }
    }

    /// Each op stands on its own, so that replay over a fuzzy snapshot goes past those that are
    /// already in it. A kind that has no place in a multi ends it, as in Apache.
    fn apply_multi(&mut self, ops: &[Txn], context: &mut Context<'_>) -> Vec<MultiResult> {
        if ops.iter().any(|op| matches!(op, Txn::Error { .. })) {
            return failed_multi(ops);
        }
        let mut results = Vec::with_capacity(ops.len());
        for op in ops {
            match self.apply_op(op, context) {
                Some(result) => results.push(result),
                None => {
                    results.push(MultiResult::Error(Code::MarshallingError));
                    results.resize(ops.len(), MultiResult::Error(Code::RuntimeInconsistency));
                    break;
                }
            }
        }
        results
    }

    /// `None` for what is illegal inside a multi.
    fn apply_op(&mut self, op: &Txn, context: &mut Context<'_>) -> Option<MultiResult> {
        match op {
            Txn::Create(_)
            | Txn::Create2(_)
            | Txn::CreateTtl { .. }
            | Txn::CreateContainer { .. }
            | Txn::Delete { .. }
            | Txn::DeleteContainer { .. }
            | Txn::SetData { .. } => {}
            Txn::Check { .. } => return Some(MultiResult::Check),
            Txn::CreateSession { .. }
            | Txn::CloseSession { .. }
            | Txn::Reconfig { .. }
            | Txn::SetAcl { .. }
            | Txn::Multi(_)
            | Txn::Error { .. } => return None,
        }
        Some(match self.apply_single(op, context) {
            TxnResult::Created { path, .. } if matches!(op, Txn::Create(_)) => {
                MultiResult::Create { path }
            }
            TxnResult::Created { path, stat } => MultiResult::Create2 { path, stat },
            TxnResult::Deleted => MultiResult::Delete,
            TxnResult::DataSet { stat } => MultiResult::SetData { stat },
            TxnResult::Failed(code) => MultiResult::Error(code),
            TxnResult::SessionCreated { .. }
            | TxnResult::SessionClosed
            | TxnResult::AclSet { .. }
            | TxnResult::Multi(_) => return None,
        })
    }

    fn create(&mut self, new: &NewNode<'_>, context: &mut Context<'_>) -> Result<Stat, Code> {
        let owner = new.lifetime.owner().ok_or(Code::BadArguments)?;
        let (parent, _) = split(new.path)?;
        let (zxid, time) = (context.header.zxid.to_wire(), context.header.time.0);
        let parent_acl = self.edit(parent, |parent| {
            let stat = parent.stat();
            let cversion = new.parent_cversion.unwrap_or_else(|| stat.cversion.wrapping_add(1));
            if cversion > stat.cversion {
                parent.set_stat(StoredStat { cversion, pzxid: zxid, ..stat });
            }
            parent.acl_id()
        });
        let parent_acl = parent_acl.ok_or(Code::NoNode)?;
        if self.nodes.contains(new.path) {
            self.replace_acl(new.path, new.acl);
            return Err(Code::NodeExists);
        }
        let stat = StoredStat { ephemeral_owner: owner, ..StoredStat::fresh(zxid, time) };
        let acl = self.acls.acquire(new.acl);
        self.put_node(new.path, Node::new(new.path, new.data.as_deref(), acl, stat));
        self.quota_created(new.path, new.data.as_ref().map_or(0, Bytes::len));
        context.tell(EventKind::NodeCreated, new.path, self.acls.list(acl));
        context.tell(EventKind::NodeChildrenChanged, parent, self.acls.list(parent_acl));
        Ok(stat.to_client(new.data.as_ref().map_or(0, Bytes::len), 0))
    }

    /// Replay over a fuzzy snapshot meets nodes that a later transaction made anew. What was written to
    /// the one before is no business of theirs. The deletion in between undoes it, and in Apache nothing
    /// else; it is missing where a session ended without paths.
    fn is_of_a_later_one(&self, path: &str, context: &Context<'_>) -> bool {
        let zxid = context.header.zxid.to_wire();
        self.nodes.get(path).is_some_and(|node| node.stat().czxid > zxid)
    }

    fn delete(&mut self, path: &str, context: &mut Context<'_>) -> Result<(), Code> {
        let acl = self.node(path).map(|node| Arc::clone(self.acls.list(node.acl_id())));
        let parent = self.remove(path, context.header.zxid)?;
        let acl = acl.expect("what was removed was there");
        let parent_acl = self.nodes.get(parent).expect("a parent outlives its children").acl_id();
        context.tell(EventKind::NodeDeleted, path, &acl);
        context.tell(EventKind::NodeChildrenChanged, parent, self.acls.list(parent_acl));
        Ok(())
    }

    /// Removes a node with all below it; returns its parent's path.
    fn remove<'p>(&mut self, path: &'p str, zxid: Zxid) -> Result<&'p str, Code> {
        let (parent, _) = split(path)?;
        if is_special(path) {
            return Err(Code::BadArguments);
        }
        self.edit(parent, |parent| {
            let stat = parent.stat();
            parent.set_stat(StoredStat { pzxid: stat.pzxid.max(zxid.to_wire()), ..stat });
        })
        .ok_or(Code::NoNode)?;
        if !self.nodes.contains(path) {
            return Err(Code::NoNode);
        }
        // Parents first; they go last.
        let mut doomed = vec![String::from(path)];
        let mut next = 0;
        while let Some(parent) = doomed.get(next).cloned() {
            let names = self.nodes.child_names(&parent).into_iter().flatten();
            doomed.extend(names.map(|name| join(&parent, name)));
            next += 1;
        }
        for path in doomed.iter().rev() {
            let node = self.take_node(path).expect("children's names are those of nodes");
            self.quota_removed(path, node.data_length());
        }
        Ok(parent)
    }

    fn set_data(
        &mut self,
        path: &str,
        data: &Option<Bytes>,
        version: i32,
        context: &mut Context<'_>,
    ) -> Option<Stat> {
        if self.is_of_a_later_one(path, context) {
            return None;
        }
        let header = context.header;
        let (stat, acl, before) = self.edit(path, |node| {
            let before = node.data_length();
            node.set_data(data.as_deref());
            let (mzxid, mtime) = (header.zxid.to_wire(), header.time.0);
            node.set_stat(StoredStat { mzxid, mtime, version, ..node.stat() });
            (node.client_stat(), node.acl_id(), before)
        })?;
        self.quota_changed(path, before, data.as_ref().map_or(0, Bytes::len));
        context.tell(EventKind::NodeDataChanged, path, self.acls.list(acl));
        Some(stat)
    }

    fn set_acl(
        &mut self,
        path: &str,
        acl: Option<&[Acl]>,
        version: i32,
        context: &Context<'_>,
    ) -> Option<Stat> {
        if self.is_of_a_later_one(path, context) {
            return None;
        }
        self.replace_acl(path, acl);
        self.edit(path, |node| {
            node.set_stat(StoredStat { aversion: version, ..node.stat() });
            node.client_stat()
        })
    }

    fn replace_acl(&mut self, path: &str, acl: Option<&[Acl]>) {
        if !self.nodes.contains(path) {
            return;
        }
        let new = self.acls.acquire(acl);
        if let Some(old) = self.edit(path, |node| node.set_acl_id(new)) {
            self.acls.release(old);
        }
    }

    /// The paths of the transaction first, in its order, then what the tree itself still holds.
    fn close_session(&mut self, session: SessionId, paths: &[String], context: &mut Context<'_>) {
        // A path that is gone already was deleted by what the snapshot holds.
        for path in paths {
            let _ = self.delete(path, context);
        }
        for path in self.ephemerals(session) {
            let _ = self.delete(&path, context);
        }
        self.drop_session(session);
    }
}

fn new_node(txn: &Txn, session: SessionId) -> Result<NewNode<'_>, Code> {
    // V0 records and -1 both mean current + 1. Apache: `DataTree.createNode`.
    let counted = |cversion: i32| Some(cversion).filter(|&cversion| cversion != -1);
    match txn {
        Txn::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion })
        | Txn::Create2(CreateTxn { path, data, acl, ephemeral, parent_cversion }) => Ok(NewNode {
            path,
            data,
            acl: acl.as_deref(),
            lifetime: if *ephemeral { Lifetime::Ephemeral(session) } else { Lifetime::Persistent },
            parent_cversion: parent_cversion.and_then(counted),
        }),
        Txn::CreateTtl { path, data, acl, parent_cversion, ttl } => Ok(NewNode {
            path,
            data,
            acl: acl.as_deref(),
            lifetime: Lifetime::Ttl { ms: *ttl },
            parent_cversion: counted(*parent_cversion),
        }),
        Txn::CreateContainer { path, data, acl, parent_cversion } => Ok(NewNode {
            path,
            data,
            acl: acl.as_deref(),
            lifetime: Lifetime::Container,
            parent_cversion: counted(*parent_cversion),
        }),
        Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Delete { .. }
        | Txn::DeleteContainer { .. }
        | Txn::SetData { .. }
        | Txn::Reconfig { .. }
        | Txn::SetAcl { .. }
        | Txn::Check { .. }
        | Txn::Multi(_)
        | Txn::Error { .. } => Err(Code::Unimplemented),
    }
}

/// T3: ops before the failure read as fine, those behind it carry their own codes or -2.
fn failed_multi(ops: &[Txn]) -> Vec<MultiResult> {
    let mut failed = false;
    let result = |op: &Txn| {
        if let Txn::Error { code } = op {
            failed = true;
            return MultiResult::Error(known_code(*code));
        }
        MultiResult::Error(if failed { Code::RuntimeInconsistency } else { Code::Ok })
    };
    ops.iter().map(result).collect()
}

/// Codes of other versions have no name here.
fn known_code(raw: i32) -> Code {
    Code::from_wire(raw).unwrap_or(Code::SystemError)
}
