//! Turns a request into the transaction that is logged and proposed, on the leader or standalone.
//! Facts: PROTOCOL 1.6, 1.7. Apache: `PrepRequestProcessor`.
//!
//! Nothing is logged that was not checked whole: (opcode, flags, path, ACL, version), against the
//! tree as it will be behind all proposals in flight.

use alloc::vec::Vec;

use bytes::Bytes;

use super::auth::permits;
use super::change::{Change, Standing, WriteRequest};
use super::fix_acl::fix_acl;
use super::outlived::outlived;
use super::pending::{Pending, PendingNode, SessionChange};
use crate::acl::{Acl, Id, PERM_ADMIN, PERM_DELETE, PERM_READ, PERM_WRITE};
use crate::config::{AccessRules, Config};
use crate::ids::{SessionId, Zxid};
use crate::time::{Span, Wall};
use crate::tree::{Database, Lifetime, QuotaExcess, ROOT_PATH, is_special};
use crate::txn::{LoggedTxn, Txn, TxnDigest, TxnHeader};
use crate::wire::client::{Reconfig, WriteOp};
use crate::wire::code::Code;

/// Version of the digest that every transaction carries (PROTOCOL 4.5).
const DIGEST_VERSION: i32 = 2;

/// Prepares requests in zxid order and remembers what is not yet applied.
#[derive(Debug)]
pub struct Preparer {
    pending: Pending,
    rules: Rules,
    /// Limits that the newest request goes beyond.
    excesses: Vec<QuotaExcess>,
}

/// What the configuration says about requests.
#[derive(Debug)]
struct Rules {
    access: AccessRules,
    /// Bytes of paths that a closeSession may name.
    close_paths_max: usize,
    /// TTL nodes may be made.
    extended_types: bool,
    /// How long a container may stay that never had a child; zero: for ever.
    never_used: Span,
    /// Hard limits of quotas refuse.
    enforce_quota: bool,
    bounded_sequences: bool,
    reconfig: Reconfiguring,
}

/// How a client that asks for other members is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reconfiguring {
    Disabled,
    /// A server alone has no members.
    Alone,
    /// Version of the configuration in force.
    Static {
        version: u64,
    },
}

impl Preparer {
    pub fn new(config: &Config) -> Self {
        let reconfig = match &config.ensemble {
            _ if !config.reconfig_enabled => Reconfiguring::Disabled,
            None => Reconfiguring::Alone,
            Some(ensemble) => Reconfiguring::Static { version: ensemble.version },
        };
        let rules = Rules {
            access: config.access.clone(),
            close_paths_max: config.jute_max_buffer,
            extended_types: config.extended_types,
            never_used: config.containers.never_used,
            enforce_quota: config.enforce_quota,
            bounded_sequences: config.bounded_sequences,
            reconfig,
        };
        Self { pending: Pending::default(), rules, excesses: Vec::new() }
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
        self.excesses.clear();
        let session = request.session;
        let ids = &request.ids;
        let mut preparation = Preparation {
            pending: &mut self.pending,
            excesses: &mut self.excesses,
            db,
            session,
            standing: request.standing,
            ids,
            zxid,
            now,
            rules: &self.rules.access,
            close_paths_max: self.rules.close_paths_max,
            extended_types: self.rules.extended_types,
            never_used: self.rules.never_used,
            enforce_quota: self.rules.enforce_quota,
            bounded_sequences: self.rules.bounded_sequences,
            reconfig: self.rules.reconfig,
        };
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

    /// The limits of quotas that the newest request goes beyond, refused or not.
    pub fn take_excesses(&mut self) -> Vec<QuotaExcess> {
        core::mem::take(&mut self.excesses)
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

    /// Whether the leader may delete this node by itself at `now`, behind all proposals in flight.
    pub fn is_outlived(&self, db: &Database, path: &str, now: Wall) -> bool {
        let node = self.pending.node(db, path);
        node.is_some_and(|node| outlived(&node, now, self.rules.never_used).is_ok())
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

/// One request in preparation.
pub(super) struct Preparation<'a> {
    pub(super) pending: &'a mut Pending,
    excesses: &'a mut Vec<QuotaExcess>,
    pub(super) db: &'a Database,
    pub(super) session: SessionId,
    standing: Standing,
    pub(super) ids: &'a [Id],
    pub(super) zxid: Zxid,
    pub(super) now: Wall,
    pub(super) rules: &'a AccessRules,
    close_paths_max: usize,
    pub(super) extended_types: bool,
    pub(super) never_used: Span,
    enforce_quota: bool,
    pub(super) bounded_sequences: bool,
    reconfig: Reconfiguring,
}

impl Preparation<'_> {
    fn change(&mut self, change: &Change) -> Result<Txn, Code> {
        match change {
            Change::CreateSession { timeout_ms } => self.create_session(*timeout_ms),
            Change::CloseSession => self.close_session(),
            Change::Write(write) => self.write(write, Place::Alone),
            Change::SetAcl { path, acl, version } => self.set_acl(path, acl.as_deref(), *version),
            Change::Multi(ops) => Ok(self.multi(ops)),
            Change::DeleteContainer { path } => self.delete_container(path),
            Change::Reconfig(reconfig) => Err(self.refuse_reconfig(reconfig)),
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

    fn delete(&mut self, path: &str, version: i32) -> Result<Txn, Code> {
        self.check_session()?;
        let parent_path = parent_of_unchecked(path)?;
        if is_special(path) {
            return Err(Code::BadArguments);
        }
        self.permit(&self.existing(parent_path)?, PERM_DELETE)?;
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
        self.permit(&node, PERM_WRITE)?;
        let len = |data: Option<&Bytes>| data.map_or(0, |data| data.len() as i64);
        self.check_quota(path, len(data.as_ref()) - len(node.data.as_ref()), 0)?;
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
        let acl = fix_acl(self.rules, acl, self.ids)?;
        let mut node = self.existing(path)?;
        self.permit(&node, PERM_ADMIN)?;
        let version = next_version(node.stat.aversion, version)?;
        node.stat.aversion = version;
        node.acl = acl.as_slice().into();
        self.put(path, Some(node));
        Ok(Txn::SetAcl { path: path.into(), acl: Some(acl), version })
    }

    /// Changes nothing; the logged version is the next one, as Apache writes it.
    fn check(&self, path: &str, version: i32) -> Result<Txn, Code> {
        self.check_session()?;
        validate(path)?;
        let node = self.existing(path)?;
        self.permit(&node, PERM_READ)?;
        let version = next_version(node.stat.version, version)?;
        Ok(Txn::Check { path: path.into(), version })
    }

    /// Leader's answer for a session that is unknown or on its way out (PROTOCOL 1.2).
    pub(super) fn check_session(&self) -> Result<(), Code> {
        match self.standing {
            Standing::Global => self.check_global_session(),
            Standing::Local => Ok(()),
        }
    }

    /// The same for what makes a node that goes with its session.
    pub(super) fn check_global_session(&self) -> Result<(), Code> {
        let open = match self.pending.session(self.session) {
            Some(SessionChange::Opening) => true,
            Some(SessionChange::Closing) => false,
            None => self.db.sessions().contains_key(&self.session),
        };
        if open { Ok(()) } else { Err(Code::SessionExpired) }
    }

    /// The one place where permissions are decided.
    pub(super) fn permit(&self, node: &PendingNode, perms: i32) -> Result<(), Code> {
        if permits(self.rules, &node.acl, perms, self.ids) { Ok(()) } else { Err(Code::NoAuth) }
    }

    /// Hard limits alone refuse.
    pub(super) fn check_quota(&mut self, path: &str, bytes: i64, count: i64) -> Result<(), Code> {
        if !self.enforce_quota {
            return Ok(());
        }
        let excesses = self.db.quota_excesses(path, bytes, count);
        let refused = excesses.iter().any(|excess| excess.hard);
        self.excesses.extend(excesses);
        if refused { Err(Code::QuotaExceeded) } else { Ok(()) }
    }

    /// Members do not change at run time yet: what the client gets is the first check of PROTOCOL 1.4
    /// that fails, or that there is no such operation.
    fn refuse_reconfig(&self, reconfig: &Reconfig) -> Code {
        let version = match self.reconfig {
            Reconfiguring::Disabled => return Code::ReconfigDisabled,
            Reconfiguring::Alone => None,
            Reconfiguring::Static { version } => Some(version),
        };
        if let Err(code) = self.check_session() {
            return code;
        }
        let is_stale = |version: u64| i64::try_from(version) != Ok(reconfig.version);
        if reconfig.version != -1 && version.is_some_and(is_stale) {
            return Code::BadVersion;
        }
        Code::Unimplemented
    }

    pub(super) fn existing(&self, path: &str) -> Result<PendingNode, Code> {
        if has_empty_component(path) {
            return Err(Code::NoNode);
        }
        self.pending.node(self.db, path).ok_or(Code::NoNode)
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.put(path, None);
        let parent_path = parent_text(path).unwrap_or(ROOT_PATH);
        if let Some(mut parent) = self.pending.node(self.db, parent_path) {
            parent.children = parent.children.saturating_sub(1);
            parent.stat.pzxid = parent.stat.pzxid.max(self.zxid.to_wire());
            self.put(parent_path, Some(parent));
        }
    }

    pub(super) fn put(&mut self, path: &str, node: Option<PendingNode>) {
        self.pending.put(self.db, self.zxid, path, node);
    }
}

/// The parent's text, before anything else is known about the path: so "/a//b" fails for its
/// missing parent "/a/" (PROTOCOL 1.6).
pub(super) fn parent_of_unchecked(path: &str) -> Result<&str, Code> {
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

pub(super) fn validate(path: &str) -> Result<(), Code> {
    crate::path::validate(path).map_err(|_| Code::BadArguments)
}

#[cfg(test)]
mod tests;
