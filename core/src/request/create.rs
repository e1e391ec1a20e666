//! The four requests that make a node. Facts: PROTOCOL 1.4, 1.6, 2.5, 2.6.
//! Apache: `PrepRequestProcessor.pRequest2TxnCreate`, `EphemeralType`, `Op.Create`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::fix_acl::fix_acl;
use super::pending::PendingNode;
use super::prepare::{Place, Preparation, parent_of_unchecked, validate};
use crate::acl::{Acl, PERM_CREATE};
use crate::tree::{Lifetime, StoredStat};
use crate::txn::{CreateTxn, Txn};
use crate::wire::client::{Create, CreateForm, CreateMode};
use crate::wire::code::Code;

impl Preparation<'_> {
    /// Each check in the order of PROTOCOL 1.6.
    pub(super) fn create(&mut self, create: &Create, place: Place) -> Result<Txn, Code> {
        let mode = CreateMode::from_flags(create.flags).ok_or(Code::BadArguments)?;
        let lifetime = self.lifetime(mode, create.form, place)?;
        let owner = lifetime.owner().ok_or(Code::BadArguments)?;
        match lifetime {
            Lifetime::Ephemeral(_) => self.check_global_session()?,
            Lifetime::Persistent | Lifetime::Container | Lifetime::Ttl { .. } => {
                self.check_session()?;
            }
        }
        let parent_path = parent_of_unchecked(&create.path)?;
        let acl = fix_acl(self.rules, create.acl.as_deref(), self.ids)?;
        let parent = self.existing(parent_path)?;
        self.permit(&parent, PERM_CREATE)?;
        let path = if mode.is_sequential() {
            self.check_sequence(parent.stat.cversion)?;
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
        self.check_quota(&path, data_len(create.data.as_ref()), 1)?;
        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        self.add(&path, create.data.clone(), &acl, owner);
        self.add_child(parent_path, parent, parent_cversion);
        Ok(create_txn(create, path, acl, lifetime, parent_cversion))
    }

    /// The counter stays at its end once it has got there (`DataTree.createNode` takes greater ones only),
    /// and names would come twice, or begin with a minus sign and sort in front of all others.
    fn check_sequence(&self, number: i32) -> Result<(), Code> {
        let is_used_up = !(0..i32::MAX).contains(&number);
        if self.bounded_sequences && is_used_up { Err(Code::BadArguments) } else { Ok(()) }
    }

    fn add(&mut self, path: &str, data: Option<Bytes>, acl: &[Acl], owner: i64) {
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
        self.put(path, Some(PendingNode { stat, data, acl: acl.into(), children: 0 }));
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

    /// Every triple of form, flags and TTL is checked before anything of it is logged (T31).
    fn lifetime(&self, mode: CreateMode, form: CreateForm, place: Place) -> Result<Lifetime, Code> {
        if mode.is_ttl() {
            return match form {
                _ if !self.extended_types => Err(Code::Unimplemented),
                CreateForm::Ttl { ms } => Ok(Lifetime::Ttl { ms }),
                CreateForm::Plain | CreateForm::WithStat | CreateForm::Container => {
                    Err(Code::BadArguments)
                }
            };
        }
        let fits = match (form, place) {
            (CreateForm::Container, _) => mode == CreateMode::Container,
            // Apache would log a plain node with the digest of a container (T30).
            (CreateForm::Plain | CreateForm::WithStat, Place::Alone) => {
                mode != CreateMode::Container
            }
            // There the flags alone say what it is.
            (CreateForm::Plain | CreateForm::WithStat | CreateForm::Ttl { .. }, Place::InMulti) => {
                true
            }
            (CreateForm::Ttl { .. }, Place::Alone) => false,
        };
        if !fits {
            return Err(Code::BadArguments);
        }
        if mode == CreateMode::Container {
            return Ok(Lifetime::Container);
        }
        if !mode.is_ephemeral() {
            return Ok(Lifetime::Persistent);
        }
        // The id of a session can look like a TTL (server 255): such a node would outlive it.
        let lifetime = Lifetime::Ephemeral(self.session);
        let legible = Lifetime::of(self.session.0) == lifetime;
        if legible { Ok(lifetime) } else { Err(Code::BadArguments) }
    }
}

fn data_len(data: Option<&Bytes>) -> i64 {
    data.map_or(0, |data| data.len() as i64)
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
        if create.form == CreateForm::WithStat { Txn::Create2(txn) } else { Txn::Create(txn) }
    };
    match lifetime {
        Lifetime::Persistent => plain(false, path, data, acl),
        Lifetime::Ephemeral(_) => plain(true, path, data, acl),
        Lifetime::Container => Txn::CreateContainer { path, data, acl, parent_cversion },
        Lifetime::Ttl { ms } => Txn::CreateTtl { path, data, acl, parent_cversion, ttl: ms },
    }
}
