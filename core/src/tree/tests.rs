//! The tree's facts one by one, then its laws over random transactions.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};

mod fuzzy;
mod laws;
mod quota;

const SESSION: SessionId = SessionId(0x0100_001b_c8ba_0000);

fn logged(zxid: u64, session: SessionId, txn: Txn) -> LoggedTxn {
    let time = Wall(1_000 + zxid as i64);
    LoggedTxn { header: TxnHeader { session, cxid: 1, zxid: Zxid(zxid), time }, txn, digest: None }
}

fn create_txn(path: &str, data: &str, ephemeral: bool, parent_cversion: Option<i32>) -> CreateTxn {
    CreateTxn {
        path: path.into(),
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        acl: Some(Acl::open()),
        ephemeral,
        parent_cversion,
    }
}

fn create(path: &str) -> Txn {
    Txn::Create(create_txn(path, "x", false, None))
}

fn ephemeral(path: &str) -> Txn {
    Txn::Create(create_txn(path, "", true, None))
}

fn delete(path: &str) -> Txn {
    Txn::Delete { path: path.into() }
}

fn set_data(path: &str, data: &'static str, version: i32) -> Txn {
    Txn::SetData { path: path.into(), data: Some(Bytes::from_static(data.as_bytes())), version }
}

/// A tree with the next zxid at hand and the events of the last transaction.
struct Rig {
    database: Database,
    zxid: u64,
    events: Vec<TreeEvent>,
}

impl Rig {
    fn new() -> Self {
        Self { database: Database::new(true), zxid: 0, events: vec![] }
    }

    fn apply(&mut self, txn: Txn) -> TxnResult {
        self.zxid += 1;
        self.events.clear();
        self.database.apply(&logged(self.zxid, SESSION, txn), &mut self.events)
    }

    fn created(&mut self, txn: Txn) {
        let result = self.apply(txn);
        assert!(matches!(result, TxnResult::Created { .. }), "{result:?}");
    }

    fn told(&self) -> Vec<(EventKind, &str)> {
        self.events.iter().map(|event| (event.kind, event.path.as_str())).collect()
    }
}

type Content = (String, Option<Bytes>, StoredStat, Vec<Acl>, Names);

/// Node by node, so that a difference shows where it is.
fn contents(database: &Database) -> Vec<Content> {
    let all = database.iter().map(|(path, node)| {
        let acl = database.acl(&path).unwrap();
        let children = database.children(&path).unwrap();
        (path, node.data_bytes(), node.stat(), acl, children)
    });
    all.collect()
}

#[test]
fn a_fresh_tree_has_the_digest_and_stats_of_3_9_5() {
    let database = Database::new(true);
    assert_eq!(database.digest().tree, 0x51c6_d660);
    assert_eq!(database.stat("/zookeeper").unwrap().cversion, -2);
    assert!(database.children("/zookeeper").unwrap().iter().eq(["config", "quota"]));
    let config = Stat { aversion: -1, ..Stat::default() };
    assert_eq!(database.stat("/zookeeper/config"), Some(config));
    assert_eq!(database.acl("/zookeeper/config"), Some(vec![Acl::world(PERM_READ)]));
    assert_eq!(database.acl("/"), Some(Acl::open()));
    assert_eq!(Database::new(false).digest().full, 0);
}

/// The head of the client vectors: /a at 3, a child at 4, another made and deleted at 5 and 6.
#[test]
fn stats_follow_the_golden_exchange() {
    let mut rig = Rig::new();
    rig.zxid = 2;
    rig.created(Txn::Create(create_txn("/a", "x", false, Some(1))));
    rig.created(Txn::Create2(create_txn("/a/s-0000000000", "", false, Some(1))));
    rig.created(Txn::Create2(create_txn("/a/n", "", false, Some(2))));
    assert_eq!(rig.apply(delete("/a/n")), TxnResult::Deleted);
    let born = Stat {
        czxid: 3,
        mzxid: 3,
        ctime: 1003,
        mtime: 1003,
        cversion: 3,
        data_length: 1,
        num_children: 1,
        pzxid: 6,
        ..Stat::default()
    };
    assert_eq!(rig.database.stat("/a"), Some(born));
    let set = Stat { mzxid: 7, mtime: 1007, version: 1, data_length: 2, ..born };
    assert_eq!(rig.apply(set_data("/a", "yy", 1)), TxnResult::DataSet { stat: set });
    rig.created(Txn::Create(create_txn("/a/e", "", true, Some(3))));
    let grown = Stat { cversion: 4, num_children: 2, pzxid: 8, ..set };
    assert_eq!(rig.database.stat("/a"), Some(grown));
    assert_eq!(rig.database.stat("/a/e").unwrap().ephemeral_owner, SESSION.0);
}

#[test]
fn containers_and_ttl_nodes_show_no_owner_and_die_with_no_session() {
    let mut rig = Rig::new();
    let acl = Some(Acl::open());
    rig.created(Txn::CreateContainer {
        path: "/c".into(),
        data: None,
        acl: acl.clone(),
        parent_cversion: 2,
    });
    rig.created(Txn::CreateTtl {
        path: "/t".into(),
        data: None,
        acl: acl.clone(),
        parent_cversion: 3,
        ttl: 60_000,
    });
    for (path, owner) in [("/c", i64::MIN), ("/t", 0xff00_0000_0000_ea60_u64 as i64)] {
        assert_eq!(rig.database.node(path).unwrap().stat().ephemeral_owner, owner);
        assert_eq!(rig.database.stat(path).unwrap().ephemeral_owner, 0);
    }
    assert_eq!(rig.database.containers().collect::<Vec<_>>(), ["/c"]);
    assert_eq!(rig.database.ttls().collect::<Vec<_>>(), ["/t"]);
    assert_eq!(rig.database.ephemeral_owners().count(), 0);
    let before = rig.database.digest();
    let endless =
        Txn::CreateTtl { path: "/u".into(), data: None, acl, parent_cversion: 4, ttl: 1 << 40 };
    assert_eq!(rig.apply(endless), TxnResult::Failed(Code::BadArguments));
    assert_eq!(rig.database.digest(), before);
    assert_eq!(rig.apply(Txn::DeleteContainer { path: "/c".into() }), TxnResult::Deleted);
    assert_eq!(rig.database.containers().len(), 0);
}

#[test]
fn events_come_in_the_order_in_which_apache_fires_them() {
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    let mut rig = Rig::new();
    rig.created(create("/a"));
    assert_eq!(rig.told(), [(NodeCreated, "/a"), (NodeChildrenChanged, "/")]);
    rig.created(ephemeral("/a/b"));
    assert_eq!(rig.told(), [(NodeCreated, "/a/b"), (NodeChildrenChanged, "/a")]);
    rig.created(ephemeral("/a/c"));
    rig.apply(set_data("/a", "y", 1));
    assert_eq!(rig.told(), [(NodeDataChanged, "/a")]);
    rig.apply(Txn::SetAcl { path: "/a".into(), acl: None, version: 1 });
    assert_eq!(rig.told(), []);
    rig.apply(Txn::CloseSession { paths: Some(vec!["/a/c".into(), "/gone".into()]) });
    assert_eq!(
        rig.told(),
        [
            (NodeDeleted, "/a/c"),
            (NodeChildrenChanged, "/a"),
            (NodeDeleted, "/a/b"),
            (NodeChildrenChanged, "/a"),
        ]
    );
    rig.apply(Txn::Multi(vec![delete("/a"), create("/a")]));
    assert_eq!(
        rig.told(),
        [
            (NodeDeleted, "/a"),
            (NodeChildrenChanged, "/"),
            (NodeCreated, "/a"),
            (NodeChildrenChanged, "/"),
        ]
    );
    assert!(rig.events.iter().all(|event| event.zxid == Zxid(rig.zxid)));
}

/// A reader who lost the right to read is not told, so events carry the list of their moment.
#[test]
fn events_carry_the_list_that_decides_who_may_hear_of_them() {
    let mut rig = Rig::new();
    rig.created(create("/a"));
    rig.created(create("/a/b"));
    let closed = |path: &str, perms| Txn::SetAcl {
        path: path.into(),
        acl: Some(vec![Acl::world(perms)]),
        version: 1,
    };
    rig.apply(closed("/a", 2));
    rig.apply(closed("/a/b", 4));
    rig.apply(set_data("/a/b", "", 1));
    assert_eq!(*rig.events[0].acl, [Acl::world(4)]);
    let TxnResult::Multi(_) = rig.apply(Txn::Multi(vec![delete("/a/b"), create("/a/b")])) else {
        panic!("no multi")
    };
    let lists: Vec<i32> = rig.events.iter().map(|event| event.acl[0].perms).collect();
    assert_eq!(lists, [4, 2, 31, 2]);
}

#[test]
fn a_session_takes_its_ephemerals_along_with_and_without_a_list() {
    for paths in [None, Some(vec![]), Some(vec!["/e".into()])] {
        let mut rig = Rig::new();
        let empty = rig.database.digest().full;
        rig.apply(Txn::CreateSession { timeout_ms: 4000 });
        rig.apply(Txn::CreateSession { timeout_ms: 5000 });
        assert_eq!(rig.database.sessions().get(&SESSION), Some(&5000));
        assert_ne!(rig.database.digest().full, empty);
        rig.created(ephemeral("/e"));
        rig.created(ephemeral("/f"));
        assert_eq!(rig.database.ephemerals(SESSION), ["/e", "/f"]);
        assert!(rig.database.has_ephemerals(SESSION));
        assert_eq!(rig.apply(Txn::CloseSession { paths }), TxnResult::SessionClosed);
        assert!(!rig.database.has_ephemerals(SESSION));
        assert!(rig.database.sessions().is_empty());
        assert_eq!(rig.database.node_count(), 4);
    }
}

/// Recovery goes by these, so that a clock that was set back gives no id of a closed session again.
#[test]
fn the_newest_session_of_each_server_stays_known_when_it_is_closed() {
    let mut database = Database::new(false);
    let ids = [0x0100_0000_0005_0000, 0x0100_0000_0009_0000, 0x0100_0000_0007_0000, 0x02 << 56];
    for (zxid, id) in (1..).zip(ids) {
        let session = SessionId(id);
        let open = Txn::CreateSession { timeout_ms: 5000 };
        database.apply(&logged(2 * zxid, session, open), &mut Vec::new());
        let close = Txn::CloseSession { paths: None };
        database.apply(&logged(2 * zxid + 1, session, close), &mut Vec::new());
    }
    assert!(database.sessions().is_empty());
    let newest: Vec<SessionId> = database.newest_sessions().collect();
    assert_eq!(newest, [SessionId(ids[1]), SessionId(ids[3])]);
}

#[test]
fn ephemerals_without_a_session_go_after_a_load() {
    let mut rig = Rig::new();
    rig.created(ephemeral("/e"));
    rig.created(create("/p"));
    assert_eq!(rig.database.remove_orphan_ephemerals(), 1);
    assert!(rig.database.children("/").unwrap().iter().eq(["p", "zookeeper"]));
    assert_eq!(rig.database.remove_orphan_ephemerals(), 0);
}

#[test]
fn replay_over_what_is_there_changes_only_what_apache_changes() {
    let mut rig = Rig::new();
    rig.created(Txn::Create(create_txn("/a", "x", false, Some(1))));
    let mut again = create_txn("/a", "other", true, Some(5));
    again.acl = Some(vec![Acl::world(PERM_READ)]);
    assert_eq!(rig.apply(Txn::Create(again)), TxnResult::Failed(Code::NodeExists));
    let node = rig.database.node("/a").unwrap();
    assert_eq!((node.data(), node.stat().czxid), (Some(&b"x"[..]), 1));
    assert_eq!(rig.database.acl("/a"), Some(vec![Acl::world(PERM_READ)]));
    let root = rig.database.node("/").unwrap().stat();
    assert_eq!((root.cversion, root.pzxid), (5, 2));
    // A lower count of the parent is old news.
    rig.created(Txn::Create(create_txn("/b", "", false, Some(3))));
    let root = rig.database.node("/").unwrap().stat();
    assert_eq!((root.cversion, root.pzxid), (5, 2));
    assert_eq!(rig.apply(delete("/gone")), TxnResult::Failed(Code::NoNode));
    assert_eq!(rig.database.node("/").unwrap().stat().pzxid, 4);
    assert_eq!(rig.events, []);
    assert_eq!(rig.apply(set_data("/gone", "", 3)), TxnResult::Failed(Code::NoNode));
}

/// A walk met /a in its second life; the end of the session that owned the first one names no path.
#[test]
fn replay_of_an_earlier_life_leaves_a_node_alone() {
    let (first, second) = (SessionId(7), SESSION);
    let life = |data| Txn::Create(create_txn("/a", data, true, Some(1)));
    let acl = Some(vec![Acl::world(PERM_READ)]);
    let txns = [
        logged(1, first, life("one")),
        logged(2, first, set_data("/a", "two", 1)),
        logged(3, first, Txn::SetAcl { path: "/a".into(), acl, version: 1 }),
        logged(4, first, delete("/a")),
        logged(5, first, Txn::CloseSession { paths: None }),
        logged(6, second, Txn::Create(create_txn("/a", "new", true, Some(2)))),
    ];
    for bare in [false, true] {
        let (mut exact, mut fuzzy) = (Database::new(true), Database::new(true));
        fuzzy.replay(&txns[5]);
        for txn in txns.iter().filter(|txn| !bare || !matches!(txn.txn, Txn::Delete { .. })) {
            exact.replay(txn);
            fuzzy.replay(txn);
        }
        assert_eq!(contents(&fuzzy), contents(&exact), "bare {bare}");
        assert_eq!(fuzzy.ephemerals(second), ["/a"]);
    }
}

#[test]
fn what_is_illegal_changes_nothing() {
    let mut rig = Rig::new();
    let before = rig.database.digest();
    for (txn, code) in [
        (create("a"), Code::BadArguments),
        (create(""), Code::BadArguments),
        (create("/"), Code::BadArguments),
        (create("//b"), Code::BadArguments),
        (create("/a/"), Code::BadArguments),
        (create("/a//b"), Code::NoNode),
        (create("/no/parent"), Code::NoNode),
        (delete("/"), Code::BadArguments),
        (delete("/zookeeper"), Code::BadArguments),
        (delete("/zookeeper/config"), Code::BadArguments),
        (delete("/zookeeper/quota"), Code::BadArguments),
        (delete("/no/parent"), Code::NoNode),
        (Txn::Error { code: -103 }, Code::BadVersion),
        (Txn::Error { code: -31337 }, Code::SystemError),
        (Txn::Check { path: "/".into(), version: 0 }, Code::Unimplemented),
    ] {
        assert_eq!(rig.apply(txn.clone()), TxnResult::Failed(code), "{txn:?}");
        assert_eq!(rig.database.digest(), before, "{txn:?}");
        assert_eq!(rig.database.applied(), Zxid(rig.zxid));
    }
}

#[test]
fn a_multi_with_an_error_applies_nothing() {
    let mut rig = Rig::new();
    let before = rig.database.digest();
    let ops = vec![create("/m"), Txn::Error { code: -101 }, Txn::Error { code: -2 }, create("/n")];
    let codes = [Code::Ok, Code::NoNode, Code::RuntimeInconsistency, Code::RuntimeInconsistency];
    let want = codes.map(MultiResult::Error).to_vec();
    assert_eq!(rig.apply(Txn::Multi(ops)), TxnResult::Multi(want));
    assert_eq!(rig.database.digest(), before);
    assert_eq!(rig.apply(Txn::Multi(vec![])), TxnResult::Multi(vec![]));
}

#[test]
fn a_multi_answers_each_op_and_stops_at_what_has_no_place_in_it() {
    let mut rig = Rig::new();
    let check = Txn::Check { path: "/m".into(), version: 1 };
    let set_acl = Txn::SetAcl { path: "/m".into(), acl: None, version: 1 };
    let ops = vec![
        create("/m"),
        Txn::Create2(create_txn("/m2", "", false, None)),
        set_data("/m", "1", 1),
        check,
        delete("/gone"),
        set_acl,
        delete("/m"),
    ];
    let TxnResult::Multi(results) = rig.apply(Txn::Multi(ops)) else { panic!("no multi") };
    let (set, made) = (rig.database.stat("/m").unwrap(), rig.database.stat("/m2").unwrap());
    assert_eq!(
        results,
        [
            MultiResult::Create { path: "/m".into() },
            MultiResult::Create2 { path: "/m2".into(), stat: made },
            MultiResult::SetData { stat: set },
            MultiResult::Check,
            MultiResult::Error(Code::NoNode),
            MultiResult::Error(Code::MarshallingError),
            MultiResult::Error(Code::RuntimeInconsistency),
        ]
    );
}

#[test]
fn the_configuration_node_is_local_until_a_reconfig() {
    let mut rig = Rig::new();
    let (mut events, before) = (vec![], rig.database.digest());
    rig.database.set_config(Bytes::from_static(b"server.1=.."), Zxid(9), Wall(77), &mut events);
    assert_eq!(rig.database.digest(), before);
    let stat = rig.database.stat(CONFIG_PATH).unwrap();
    assert_eq!((stat.mzxid, stat.mtime, stat.version, stat.aversion), (9, 77, -1, -1));
    assert_eq!(events[0].kind, EventKind::NodeDataChanged);
    let data = Some(Bytes::from_static(b"new"));
    rig.apply(Txn::Reconfig { path: CONFIG_PATH.into(), data, version: -1 });
    let stat = rig.database.stat(CONFIG_PATH).unwrap();
    assert_eq!((stat.mzxid, stat.version), (1, -1));
    assert_eq!(rig.told(), [(EventKind::NodeDataChanged, CONFIG_PATH)]);
}

/// The bytes of the definition in `digest`, spelled out once more by hand.
#[test]
fn the_full_digest_is_what_its_definition_says() {
    let hash = |bytes: &[u8]| {
        let mut state = 0xcbf2_9ce4_8422_2325_u64;
        for part in bytes.chunks(8) {
            let word = part.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
            state = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            state ^= state >> 32;
        }
        state
    };
    let mut rig = Rig::new();
    let before = rig.database.digest().full;
    let root = |cversion: u8, pzxid: u8| {
        let mut bytes = b"\x01/\0\x01\0\0\0\0".to_vec();
        bytes.extend([0; 36]);
        bytes.extend([0, 0, 0, cversion, 0, 0, 0, 0]);
        bytes.extend([0; 8]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, pzxid, 0, 0, 0, 0]);
        hash(&bytes)
    };
    rig.created(create("/a"));
    let mut node = b"\x01/a\0\x01\0\0\0\x01x".to_vec();
    for long in [1_i64, 1, 1001, 1001] {
        node.extend(long.to_be_bytes());
    }
    node.extend([0; 12 + 8]);
    node.extend(1_i64.to_be_bytes());
    node.extend(b"\0\0\0\x01\0\0\0\x1fworld\0anyone\0");
    let want = before.wrapping_sub(root(0, 0)).wrapping_add(root(1, 1)).wrapping_add(hash(&node));
    assert_eq!(rig.database.digest().full, want);
    rig.apply(Txn::CreateSession { timeout_ms: 5000 });
    let mut session = vec![2];
    session.extend(SESSION.0.to_be_bytes());
    session.extend(5000_i32.to_be_bytes());
    assert_eq!(rig.database.digest().full, want.wrapping_add(hash(&session)));
}

#[test]
fn a_walk_is_dropped_when_its_images_outgrow_their_limit() {
    let mut rig = Rig::new();
    rig.created(create("/a"));
    rig.database.begin_walk(400);
    let mut out = BytesMut::new();
    assert_eq!(rig.database.walk(1, &mut out), Walk::More);
    rig.apply(set_data("/a", "again and again", 1));
    rig.apply(set_data("/a", "and again", 2));
    assert_eq!(rig.database.walk(1, &mut out), Walk::More);
    rig.created(create("/b"));
    rig.created(create("/c"));
    assert_eq!(rig.database.walk(1, &mut out), Walk::Dropped);
    rig.database.begin_walk(usize::MAX);
    while rig.database.walk(1, &mut out) == Walk::More {}
    assert_eq!(rig.database.walk(1, &mut out), Walk::Dropped);
}

#[test]
fn a_builder_refuses_what_cannot_be_a_tree() {
    let mut builder = DatabaseBuilder::new(false);
    let stat = StoredStat::default();
    assert!(!builder.node("/a", None, -1, stat));
    assert!(builder.node("", None, -1, stat));
    assert!(!builder.node("", None, -1, stat));
    assert!(builder.node("/a", None, -1, stat));
    for path in ["/a", "/b/c", "x", "//b", "/a/"] {
        assert!(!builder.node(path, None, -1, stat), "{path}");
    }
    builder.acl(4, Acl::open());
    assert!(builder.node("/known", None, 4, stat));
    assert!(builder.node("/unknown", None, 9, stat));
    let mut database = builder.finish(Zxid(5));
    assert_eq!(database.applied(), Zxid(5));
    let children = database.children("/").unwrap();
    assert!(children.iter().eq(["a", "known", "unknown", "zookeeper"]));
    assert_eq!(database.acl("/unknown").unwrap(), [Acl::world(0)]);
    database.apply(&logged(6, SESSION, create("/unknown")), &mut vec![]);
    assert_eq!(database.acl("/unknown").unwrap(), Acl::open());
}
