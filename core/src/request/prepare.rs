//! Turns a request into the transaction that is logged and proposed, on the leader or standalone.
//! Facts: PROTOCOL 1.6, 1.7. Apache: `PrepRequestProcessor`.
//!
//! Nothing is logged that was not checked whole: (opcode, flags, path, ACL, version), against the
//! tree as it will be behind all proposals in flight.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::change::{Change, WriteRequest};
use super::fix_acl::fix_acl;
use super::pending::{Pending, PendingNode, SessionChange};
use crate::acl::{Acl, Id};
use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::time::Wall;
use crate::tree::{CONFIG_PATH, Database, Lifetime, ROOT_PATH, StoredStat, is_special};
use crate::txn::{CreateTxn, LoggedTxn, Txn, TxnDigest, TxnHeader};
use crate::wire::client::{Create, CreateMode, WriteOp};
use crate::wire::code::Code;

/// Version of the digest that every transaction carries (PROTOCOL 4.5).
const DIGEST_VERSION: i32 = 2;

/// Prepares requests in zxid order and remembers what is not yet applied.
#[derive(Debug)]
pub struct Preparer {
    pending: Pending,
    /// Bytes of paths that a closeSession may name.
    close_paths_max: usize,
}

impl Preparer {
    pub fn new(config: &Config) -> Self {
        Self { pending: Pending::default(), close_paths_max: config.jute_max_buffer }
    }

    /// The transaction of `zxid`. A refused request becomes `Txn::Error`, which costs its zxid all
    /// the same (T1); a failed multi becomes a `Txn::Multi` with `Error` parts (T3).
    ///
    /// Zxids come in rising order. Everything but a single error and a closeSession without paths
    /// carries the digest that the tree will have behind it.
    pub fn prepare(
        &mut self,
        db: &Database,
        request: &WriteRequest,
        zxid: Zxid,
        now: Wall,
    ) -> LoggedTxn {
        crate::invariant!(zxid > db.applied(), "{zxid:?} is prepared behind {:?}", db.applied());
        self.pending.begin(zxid);
        let session = request.session;
        let ids = &request.ids;
        let close_paths_max = self.close_paths_max;
        let pending = &mut self.pending;
        let mut preparation = Preparation { pending, db, session, ids, zxid, now, close_paths_max };
        let txn = preparation
            .change(&request.change)
            .unwrap_or_else(|code| Txn::Error { code: code.to_wire() });
        // Apache takes a digest right behind the header for the list of paths.
        let bare = matches!(txn, Txn::Error { .. } | Txn::CloseSession { paths: None });
        let digest = (!bare)
            .then(|| TxnDigest { version: DIGEST_VERSION, tree: self.pending.tree_digest(db) });
        let header = TxnHeader { session, cxid: request.cxid, zxid, time: now };
        LoggedTxn { header, txn, digest }
    }

    /// Takes back what the newest preparation does to nodes: an error is logged in its place.
    pub fn withdraw(&mut self) {
        self.pending.roll_back();
    }

    /// The tree now shows everything up to `zxid`.
    pub fn applied(&mut self, zxid: Zxid) {
        self.pending.applied(zxid);
    }

    /// Forgets all proposals in flight: this server leads no more.
    pub fn clear(&mut self) {
        self.pending = Pending::default();
    }

    /// A closeSession of this session is prepared and not yet applied.
    pub fn is_closing(&self, session: SessionId) -> bool {
        self.pending.session(session) == Some(SessionChange::Closing)
    }
}

/// Whether a write stands alone or is part of a multi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Alone,
    InMulti,
}

/// What an operation needs on a node; see [`Preparation::permit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permission {
    Read,
    Write,
    Create,
    Delete,
    Admin,
}

/// One request in preparation.
pub(super) struct Preparation<'a> {
    pub(super) pending: &'a mut Pending,
    db: &'a Database,
    session: SessionId,
    ids: &'a [Id],
    zxid: Zxid,
    now: Wall,
    close_paths_max: usize,
}

impl Preparation<'_> {
    fn change(&mut self, change: &Change) -> Result<Txn, Code> {
        match change {
            Change::CreateSession { timeout_ms } => self.create_session(*timeout_ms),
            Change::CloseSession => self.close_session(),
            Change::Write(write) => self.write(write, Place::Alone),
            Change::SetAcl { path, acl, version } => self.set_acl(path, acl.as_deref(), *version),
            Change::Multi(ops) => Ok(self.multi(ops)),
        }
    }

    /// Each check in the order of PROTOCOL 1.6: the first that fails is the client's answer.
    pub(super) fn write(&mut self, write: &WriteOp, place: Place) -> Result<Txn, Code> {
        match write {
            WriteOp::Create(create) => self.create(create, place),
            WriteOp::Delete { path, version } => self.delete(path, *version),
            WriteOp::SetData { path, data, version } => self.set_data(path, data.clone(), *version),
            WriteOp::Check { path, version } => match place {
                Place::InMulti => self.check(path, *version),
                Place::Alone => Err(Code::Unimplemented),
            },
        }
    }

    fn create_session(&mut self, timeout_ms: i32) -> Result<Txn, Code> {
        self.refuse_reserved_session()?;
        self.pending.put_session(self.zxid, self.session, SessionChange::Opening);
        Ok(Txn::CreateSession { timeout_ms })
    }

    /// Never refused for a session that is unknown or already closing, as in Apache: expiry and
    /// the client may both close, and the second close simply finds nothing left to delete.
    fn close_session(&mut self) -> Result<Txn, Code> {
        self.refuse_reserved_session()?;
        let paths = self.pending.ephemerals(self.db, self.session);
        for path in &paths {
            self.remove(path);
        }
        self.pending.put_session(self.zxid, self.session, SessionChange::Closing);
        let len = 4 + paths.iter().map(|path| 4 + path.len()).sum::<usize>();
        // The list only helps replay over a fuzzy snapshot; without it the tree's own is used. A
        // record that no peer and no recovery takes would end the ensemble.
        Ok(Txn::CloseSession { paths: (len <= self.close_paths_max).then_some(paths) })
    }

    /// As owners, 0 means "nobody" and the lowest value "container".
    fn refuse_reserved_session(&self) -> Result<(), Code> {
        match Lifetime::of(self.session.0) {
            Lifetime::Persistent | Lifetime::Container => Err(Code::SessionExpired),
            Lifetime::Ephemeral(_) | Lifetime::Ttl { .. } => Ok(()),
        }
    }

    fn create(&mut self, create: &Create, place: Place) -> Result<Txn, Code> {
        let mode = CreateMode::from_flags(create.flags).ok_or(Code::BadArguments)?;
        let lifetime = self.lifetime(mode, place)?;
        let owner = lifetime.owner().ok_or(Code::BadArguments)?;
        self.check_session()?;
        let parent_path = parent_of_unchecked(&create.path)?;
        let acl = fix_acl(create.acl.as_deref(), self.ids)?;
        let parent = self.existing(parent_path)?;
        self.permit(parent_path, Permission::Create)?;
        let path = if mode.is_sequential() {
            // Width 10 includes the sign, as in Java's "%010d" (T16).
            format!("{}{:010}", create.path, parent.stat.cversion)
        } else {
            create.path.clone()
        };
        validate(&path)?;
        if self.pending.node(self.db, &path).is_some() {
            return Err(Code::NodeExists);
        }
        if matches!(Lifetime::of(parent.stat.ephemeral_owner), Lifetime::Ephemeral(_)) {
            return Err(Code::NoChildrenForEphemerals);
        }
        // Quota: limits are checked here, behind all other checks.

        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        self.add(&path, create.data.clone(), owner);
        self.add_child(parent_path, parent, parent_cversion);
        Ok(create_txn(create, path, acl, lifetime, parent_cversion))
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<Txn, Code> {
        self.check_session()?;
        let parent_path = parent_of_unchecked(path)?;
        if is_special(path) {
            return Err(Code::BadArguments);
        }
        self.existing(parent_path)?;
        self.permit(parent_path, Permission::Delete)?;
        let node = self.existing(path)?;
        check_version(node.stat.version, version)?;
        if node.children > 0 {
            return Err(Code::NotEmpty);
        }
        self.remove(path);
        Ok(Txn::Delete { path: path.into() })
    }

    fn set_data(&mut self, path: &str, data: Option<Bytes>, version: i32) -> Result<Txn, Code> {
        self.check_session()?;
        validate(path)?;
        let mut node = self.existing(path)?;
        self.permit(path, Permission::Write)?;
        // Quota: limits are checked here, before the version.
        let version = next_version(node.stat.version, version)?;
        node.data.clone_from(&data);
        node.stat.version = version;
        node.stat.mzxid = self.zxid.to_wire();
        node.stat.mtime = self.now.0;
        self.put(path, Some(node));
        Ok(Txn::SetData { path: path.into(), data, version })
    }

    fn set_acl(&mut self, path: &str, acl: Option<&[Acl]>, version: i32) -> Result<Txn, Code> {
        self.check_session()?;
        validate(path)?;
        let acl = fix_acl(acl, self.ids)?;
        let mut node = self.existing(path)?;
        self.permit(path, Permission::Admin)?;
        let version = next_version(node.stat.aversion, version)?;
        node.stat.aversion = version;
        self.put(path, Some(node));
        Ok(Txn::SetAcl { path: path.into(), acl: Some(acl), version })
    }

    /// Changes nothing; the logged version is the next one, as Apache writes it.
    fn check(&self, path: &str, version: i32) -> Result<Txn, Code> {
        self.check_session()?;
        validate(path)?;
        let node = self.existing(path)?;
        self.permit(path, Permission::Read)?;
        let version = next_version(node.stat.version, version)?;
        Ok(Txn::Check { path: path.into(), version })
    }

    /// Leader's answer for a session that is unknown or on its way out (PROTOCOL 1.2).
    fn check_session(&self) -> Result<(), Code> {
        let open = match self.pending.session(self.session) {
            Some(SessionChange::Opening) => true,
            Some(SessionChange::Closing) => false,
            None => self.db.sessions().contains_key(&self.session),
        };
        if open { Ok(()) } else { Err(Code::SessionExpired) }
    }

    /// The one place where permissions are decided. ACLs are not enforced yet; the configuration
    /// node is, because its ACL gives everyone READ alone and only reconfig may write it (T20).
    fn permit(&self, path: &str, needed: Permission) -> Result<(), Code> {
        let open = match needed {
            Permission::Read => true,
            Permission::Write | Permission::Create | Permission::Delete | Permission::Admin => {
                path != CONFIG_PATH
            }
        };
        if open { Ok(()) } else { Err(Code::NoAuth) }
    }

    fn existing(&self, path: &str) -> Result<PendingNode, Code> {
        if has_empty_component(path) {
            return Err(Code::NoNode);
        }
        self.pending.node(self.db, path).ok_or(Code::NoNode)
    }

    fn add(&mut self, path: &str, data: Option<Bytes>, owner: i64) {
        let zxid = self.zxid.to_wire();
        let stat = StoredStat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: self.now.0,
            mtime: self.now.0,
            ephemeral_owner: owner,
            ..StoredStat::default()
        };
        self.put(path, Some(PendingNode { stat, data, children: 0 }));
    }

    /// Mirrors how the tree applies a create: cversion and pzxid only ever rise, so that the count
    /// stays at its highest value rather than wrap.
    fn add_child(&mut self, path: &str, mut parent: PendingNode, cversion: i32) {
        parent.children += 1;
        if cversion > parent.stat.cversion {
            parent.stat.cversion = cversion;
            parent.stat.pzxid = self.zxid.to_wire();
        }
        self.put(path, Some(parent));
    }

    fn remove(&mut self, path: &str) {
        self.put(path, None);
        let parent_path = parent_text(path).unwrap_or(ROOT_PATH);
        if let Some(mut parent) = self.pending.node(self.db, parent_path) {
            parent.children = parent.children.saturating_sub(1);
            parent.stat.pzxid = parent.stat.pzxid.max(self.zxid.to_wire());
            self.put(parent_path, Some(parent));
        }
    }

    fn put(&mut self, path: &str, node: Option<PendingNode>) {
        self.pending.put(self.db, self.zxid, path, node);
    }

    /// A container by way of create or create2 is a container inside a multi, where Apache derives
    /// the opcode from the flags, and is refused alone, where Apache logs a plain node with the
    /// digest of a container (T30). TTL modes are refused as a server without extended types does.
    fn lifetime(&self, mode: CreateMode, place: Place) -> Result<Lifetime, Code> {
        match mode {
            CreateMode::Persistent | CreateMode::PersistentSequential => Ok(Lifetime::Persistent),
            CreateMode::Ephemeral | CreateMode::EphemeralSequential => {
                // The id of a session can look like a TTL (server 255): such a node would outlive it.
                let lifetime = Lifetime::Ephemeral(self.session);
                let legible = Lifetime::of(self.session.0) == lifetime;
                if legible { Ok(lifetime) } else { Err(Code::BadArguments) }
            }
            CreateMode::Container => match place {
                Place::Alone => Err(Code::BadArguments),
                Place::InMulti => Ok(Lifetime::Container),
            },
            CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl => {
                Err(Code::Unimplemented)
            }
        }
    }
}

fn create_txn(
    create: &Create,
    path: String,
    acl: Vec<Acl>,
    lifetime: Lifetime,
    parent_cversion: i32,
) -> Txn {
    let (data, acl) = (create.data.clone(), Some(acl));
    let plain = |ephemeral, path, data, acl| {
        let parent_cversion = Some(parent_cversion);
        let txn = CreateTxn { path, data, acl, ephemeral, parent_cversion };
        if create.with_stat { Txn::Create2(txn) } else { Txn::Create(txn) }
    };
    match lifetime {
        Lifetime::Persistent => plain(false, path, data, acl),
        Lifetime::Ephemeral(_) => plain(true, path, data, acl),
        Lifetime::Container => Txn::CreateContainer { path, data, acl, parent_cversion },
        Lifetime::Ttl { ms } => Txn::CreateTtl { path, data, acl, parent_cversion, ttl: ms },
    }
}

/// The parent's text, before anything else is known about the path: so "/a//b" fails for its
/// missing parent "/a/" (PROTOCOL 1.6).
fn parent_of_unchecked(path: &str) -> Result<&str, Code> {
    if path.contains('\0') {
        return Err(Code::BadArguments);
    }
    parent_text(path).ok_or(Code::BadArguments)
}

/// Text before the last slash.
fn parent_text(path: &str) -> Option<&str> {
    path.rfind('/').map(|slash| if slash == 0 { ROOT_PATH } else { &path[..slash] })
}

/// No node has such a path, however leniently a tree would look it up.
fn has_empty_component(path: &str) -> bool {
    path != ROOT_PATH && (!path.starts_with('/') || path.ends_with('/') || path.contains("//"))
}

fn check_version(current: i32, expected: i32) -> Result<(), Code> {
    if expected == -1 || expected == current { Ok(()) } else { Err(Code::BadVersion) }
}

/// Wraps and does not skip -1, as 3.9 (T17).
fn next_version(current: i32, expected: i32) -> Result<i32, Code> {
    check_version(current, expected).map(|()| current.wrapping_add(1))
}

fn validate(path: &str) -> Result<(), Code> {
    crate::path::validate(path).map_err(|_| Code::BadArguments)
}

#[cfg(test)]
mod tests;
