//! Apache's snapshots are fuzzy: it walks the tree while transactions go on, and replays all of
//! them over what it wrote. Ours must come out of such a file with the state of the log.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::*;

/// What a client might try; [`Leader::prepare`] makes it legal or an error.
#[derive(Clone, Debug)]
enum Wish {
    Create { path: String, kind: u8, perms: i32 },
    Delete { path: String },
    SetData { path: String, data: u8 },
    SetAcl { path: String, perms: i32 },
    Close,
    Both(Box<(Self, Self)>),
}

fn wish() -> impl Strategy<Value = Wish> {
    // Few paths, so that nodes live several lives while the walk is on its way.
    let path = || {
        prop_oneof![
            4 => Just("/a"), 3 => Just("/a/a"), 1 => Just("/a/b"), 1 => Just("/b"), 1 => Just("/a/a/a"),
        ]
        .prop_map(String::from)
    };
    let single = prop_oneof![
        6 => (path(), 0..5_u8, 1..6_i32)
            .prop_map(|(path, kind, perms)| Wish::Create { path, kind, perms }),
        6 => path().prop_map(|path| Wish::Delete { path }),
        2 => (path(), any::<u8>()).prop_map(|(path, data)| Wish::SetData { path, data }),
        2 => (path(), 1..6_i32).prop_map(|(path, perms)| Wish::SetAcl { path, perms }),
        1 => Just(Wish::Close),
    ];
    single.prop_recursive(1, 2, 2, |inner| {
        (inner.clone(), inner).prop_map(|pair| Wish::Both(Box::new(pair)))
    })
}

/// Makes only transactions that a leader makes.
struct Leader {
    database: Database,
    zxid: u64,
}

impl Leader {
    fn propose(&mut self, wish: &Wish) -> LoggedTxn {
        self.zxid += 1;
        let txn = self.prepare(wish).unwrap_or(Txn::Error { code: -101 });
        let txn = logged(self.zxid, SESSION, txn);
        self.database.apply(&txn, &mut vec![]);
        txn
    }

    fn prepare(&self, wish: &Wish) -> Option<Txn> {
        match wish {
            Wish::Create { path, kind, perms } => self.prepare_create(path, *kind, *perms),
            Wish::Delete { path } => {
                let node = self.database.node(path)?;
                (node.num_children() == 0).then(|| delete(path))
            }
            Wish::SetData { path, data } => {
                let version = self.database.node(path)?.stat().version + 1;
                let data = Some(Bytes::copy_from_slice(&[*data]));
                Some(Txn::SetData { path: path.clone(), data, version })
            }
            Wish::SetAcl { path, perms } => {
                let version = self.database.node(path)?.stat().aversion + 1;
                let acl = Some(vec![Acl::world(*perms)]);
                Some(Txn::SetAcl { path: path.clone(), acl, version })
            }
            // Logs from before 3.6 carry no list; what the walk has missed then leaves no trace in
            // the parent's pzxid, in Apache as here.
            Wish::Close => {
                Some(Txn::CloseSession { paths: Some(self.database.ephemerals(SESSION)) })
            }
            Wish::Both(pair) => {
                let ops = vec![self.prepare(&pair.0)?, self.prepare(&pair.1)?];
                let path = |op: &Txn| match op {
                    Txn::Create(create) => Some(create.path.clone()),
                    Txn::SetData { path, .. } => Some(path.clone()),
                    Txn::Create2(_)
                    | Txn::CreateTtl { .. }
                    | Txn::CreateContainer { .. }
                    | Txn::Delete { .. }
                    | Txn::DeleteContainer { .. }
                    | Txn::Reconfig { .. }
                    | Txn::SetAcl { .. }
                    | Txn::Check { .. }
                    | Txn::CreateSession { .. }
                    | Txn::CloseSession { .. }
                    | Txn::Multi(_)
                    | Txn::Error { .. } => None,
                };
                let (one, two) = (path(&ops[0])?, path(&ops[1])?);
                // Ops that do not depend on each other, so that each is legal as prepared.
                let parent = |path: &str| String::from(&path[..path.rfind('/').unwrap()]);
                (parent(&one) != parent(&two) && !one.starts_with(&two) && !two.starts_with(&one))
                    .then_some(Txn::Multi(ops))
            }
        }
    }

    fn prepare_create(&self, path: &str, kind: u8, perms: i32) -> Option<Txn> {
        if self.database.node(path).is_some() {
            return None;
        }
        let parent = self.database.node(node::split(path).unwrap().0)?;
        if matches!(parent.lifetime(), Lifetime::Ephemeral(_)) {
            return None;
        }
        let (path, data, acl) = (path.into(), None, Some(vec![Acl::world(perms)]));
        let cversion = parent.stat().cversion + 1;
        let plain = |ephemeral| CreateTxn {
            path: String::clone(&path),
            data: data.clone(),
            acl: acl.clone(),
            ephemeral,
            parent_cversion: Some(cversion),
        };
        Some(match kind {
            0 | 1 => Txn::Create(plain(kind == 1)),
            2 => Txn::Create2(plain(false)),
            3 => Txn::CreateContainer { path, data, acl, parent_cversion: cversion },
            _ => Txn::CreateTtl { path, data, acl, parent_cversion: cversion, ttl: 9 },
        })
    }
}

/// Apache's walk: depth first, the child list as of the moment its parent is written, each node as
/// of its own moment. The ACL table and the sessions are those of the start.
struct FuzzyWalk {
    builder: DatabaseBuilder,
    ahead: VecDeque<String>,
}

impl FuzzyWalk {
    fn begin(database: &Database) -> Self {
        let mut builder = DatabaseBuilder::new(true);
        for (&session, &timeout_ms) in database.sessions() {
            builder.session(session, timeout_ms);
        }
        for (_, node) in database.iter() {
            builder.acl(node.acl_id(), database.acls.list(node.acl_id()).to_vec());
        }
        Self { builder, ahead: VecDeque::from([String::from("/")]) }
    }

    fn write_one(&mut self, database: &Database) {
        let Some(path) = self.ahead.pop_front() else { return };
        let Some(node) = database.node(&path) else { return };
        let name = if path == "/" { "" } else { path.as_str() };
        assert!(self.builder.node(name, node.data(), node.acl_id(), node.stat()));
        for name in database.children(&path).unwrap().iter() {
            self.ahead.push_front(node::join(&path, name));
        }
    }
}

proptest! {
    #[test]
    fn replay_over_a_fuzzy_snapshot_ends_in_the_state_of_the_log(
        before in prop::collection::vec(wish(), 0..20),
        during in prop::collection::vec((prop_oneof![8 => Just(0_usize), 1 => 1..4_usize], wish()), 0..40),
    ) {
        let mut leader = Leader { database: Database::new(true), zxid: 0 };
        for wish in &before {
            leader.propose(wish);
        }
        let start = leader.database.applied();
        let mut walk = FuzzyWalk::begin(&leader.database);
        let mut log = vec![];
        for (nodes, wish) in &during {
            for _ in 0..*nodes {
                walk.write_one(&leader.database);
            }
            log.push(leader.propose(wish));
        }
        while !walk.ahead.is_empty() {
            walk.write_one(&leader.database);
        }
        let mut restored = walk.builder.finish(start);
        for txn in &log {
            restored.apply(txn, &mut vec![]);
        }
        assert_eq!(contents(&restored), contents(&leader.database));
        assert_eq!(restored.digest(), leader.database.digest());
        assert_eq!(restored.applied(), leader.database.applied());
    }
}
