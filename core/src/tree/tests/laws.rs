//! Laws that hold for any transactions, legal or not: what is kept up to date change by change
//! equals what is computed anew, and a walk is exact.

use super::*;
use crate::wire::jute::Reader;

const PATHS: &[&str] = &[
    "/a",
    "/b",
    "/a-b",
    "/a/a",
    "/a/b",
    "/a/a/a",
    "/b/a",
    "/zookeeper/quota/q",
    "/zookeeper/config",
    "/zookeeper",
    "/",
    "",
    "x",
    "//",
    "/a/",
    "/a//b",
];

fn path() -> impl Strategy<Value = String> {
    prop_oneof![4 => 0..7_usize, 1 => 0..PATHS.len()].prop_map(|index| PATHS[index].into())
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

fn acl() -> impl Strategy<Value = Option<Vec<Acl>>> {
    prop::option::of(prop::collection::vec((1..4_i32).prop_map(Acl::world), 0..3))
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![8 => -1..6_i32, 1 => any::<i32>()]
}

prop_compose! {
    fn create_record()(
        path in path(), data in data(), acl in acl(),
        ephemeral in any::<bool>(), parent_cversion in prop::option::of(version()),
    ) -> CreateTxn {
        CreateTxn { path, data, acl, ephemeral, parent_cversion }
    }
}

pub(super) fn single() -> impl Strategy<Value = Txn> {
    prop_oneof![
        4 => create_record().prop_map(Txn::Create),
        2 => create_record().prop_map(Txn::Create2),
        1 => (path(), data(), acl(), version(), prop_oneof![Just(5_i64), any::<i64>()]).prop_map(
            |(path, data, acl, parent_cversion, ttl)| {
                Txn::CreateTtl { path, data, acl, parent_cversion, ttl }
            }),
        1 => (path(), data(), acl(), version()).prop_map(|(path, data, acl, parent_cversion)| {
            Txn::CreateContainer { path, data, acl, parent_cversion }
        }),
        3 => path().prop_map(|path| Txn::Delete { path }),
        1 => path().prop_map(|path| Txn::DeleteContainer { path }),
        3 => (path(), data(), version())
            .prop_map(|(path, data, version)| Txn::SetData { path, data, version }),
        1 => (path(), data(), version())
            .prop_map(|(path, data, version)| Txn::Reconfig { path, data, version }),
        2 => (path(), acl(), version())
            .prop_map(|(path, acl, version)| Txn::SetAcl { path, acl, version }),
        1 => any::<i32>().prop_map(|timeout_ms| Txn::CreateSession { timeout_ms }),
        1 => prop::option::of(prop::collection::vec(path(), 0..3))
            .prop_map(|paths| Txn::CloseSession { paths }),
        1 => (path(), version()).prop_map(|(path, version)| Txn::Check { path, version }),
        1 => prop_oneof![Just(-101), any::<i32>()].prop_map(|code| Txn::Error { code }),
    ]
}

pub(super) fn any_txn() -> impl Strategy<Value = Txn> {
    single()
        .prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Txn::Multi))
}

/// Includes owners that look like containers and TTL nodes.
fn session() -> impl Strategy<Value = SessionId> {
    prop::sample::select(vec![1, 2, 3, 0, i64::MIN, 0xff00_0000_0000_0001_u64 as i64, -1])
        .prop_map(SessionId)
}

fn txns(count: usize) -> impl Strategy<Value = Vec<LoggedTxn>> {
    prop::collection::vec((session(), any_txn()), 0..count).prop_map(|txns| {
        let number = |(index, (session, txn))| logged(index as u64 + 1, session, txn);
        txns.into_iter().enumerate().map(number).collect()
    })
}

pub(super) fn load(body: Bytes) -> Database {
    let mut reader = Reader::new(body);
    let mut builder = DatabaseBuilder::new(true);
    for _ in 0..reader.i32().unwrap() {
        builder.session(SessionId(reader.i64().unwrap()), reader.i32().unwrap());
    }
    for _ in 0..reader.i32().unwrap() {
        let id = reader.i64().unwrap();
        builder.acl(id, reader.acl_vector().unwrap().unwrap());
    }
    let listed = builder.acl_count();
    loop {
        let path = reader.string().unwrap();
        if path == "/" {
            break;
        }
        let (data, acl) = (reader.buffer().unwrap(), reader.i64().unwrap());
        let stat = StoredStat {
            czxid: reader.i64().unwrap(),
            mzxid: reader.i64().unwrap(),
            ctime: reader.i64().unwrap(),
            mtime: reader.i64().unwrap(),
            version: reader.i32().unwrap(),
            cversion: reader.i32().unwrap(),
            aversion: reader.i32().unwrap(),
            ephemeral_owner: reader.i64().unwrap(),
            pzxid: reader.i64().unwrap(),
        };
        assert!(builder.node(&path, data.as_deref(), acl, stat), "{path}");
    }
    reader.finish().unwrap();
    assert_eq!(builder.acl_count(), listed, "a node names a list that the table lacks");
    let database = builder.finish(Zxid::ZERO);
    assert_eq!(database.acl_count(), listed, "the table lists what no node names");
    database
}

fn assert_same(left: &Database, right: &Database) {
    assert_eq!(contents(left), contents(right));
    assert_eq!(left.sessions, right.sessions);
    assert_eq!(left.digest(), right.digest());
    assert_eq!(left.lifetimes.ephemerals, right.lifetimes.ephemerals);
    assert_eq!(left.lifetimes.containers, right.lifetimes.containers);
    assert_eq!(left.lifetimes.ttls, right.lifetimes.ttls);
    assert_eq!(left.data_size, right.data_size);
}

proptest! {
    /// Digests, indexes and sizes, rebuilt from the written state, are those that were kept.
    #[test]
    fn what_is_kept_equals_what_is_rebuilt(txns in txns(40), budget in 1..300_usize) {
        let mut database = Database::new(true);
        for txn in &txns {
            database.apply(txn, &mut vec![]);
        }
        let mut out = BytesMut::new();
        database.begin_walk(0);
        while database.walk(budget, &mut out) == Walk::More {}
        assert_same(&load(out.freeze()), &database);
    }

    /// A walk writes the state at its start, whatever is applied between its portions.
    #[test]
    fn a_walk_is_exact(
        before in txns(25),
        during in txns(40),
        portions in prop::collection::vec((1..400_usize, 0..5_usize), 1..60),
    ) {
        let (mut database, mut twin) = (Database::new(true), Database::new(true));
        for txn in &before {
            database.apply(txn, &mut vec![]);
            twin.apply(txn, &mut vec![]);
        }
        database.begin_walk(usize::MAX);
        let mut out = BytesMut::new();
        let mut during = during.iter();
        for (budget, count) in portions {
            for txn in during.by_ref().take(count) {
                database.apply(txn, &mut vec![]);
            }
            if database.walk(budget, &mut out) == Walk::Done {
                break;
            }
        }
        // A walk that is done already answers Dropped and writes no more.
        while database.walk(100, &mut out) == Walk::More {}
        assert_same(&load(out.freeze()), &twin);
    }
}
