//! The tree against files of Apache ZooKeeper 3.9.5: what a fresh one looks like byte by byte, and
//! the digest that the leader wrote behind every transaction.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too, fail by panic")]

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::tree::{Database, DatabaseBuilder, StoredStat, Walk};
use vivarium_core::txn::{LoggedTxn, Txn};
use vivarium_core::wire::jute::Reader;

const SNAPSHOT: &[u8] = include_bytes!("golden/zookeeper-3.9.5/standalone/version-2/snapshot.0");
const LOG: &[u8] = include_bytes!("golden/zookeeper-3.9.5/standalone/version-2/log.1");
const ENSEMBLE_SNAPSHOTS: [&[u8]; 2] = [
    include_bytes!("golden/zookeeper-3.9.5/ensemble-1/version-2/snapshot.0"),
    include_bytes!("golden/zookeeper-3.9.5/ensemble-2/version-2/snapshot.0"),
];
const ENSEMBLE_LOGS: [&[u8]; 2] = [
    include_bytes!("golden/zookeeper-3.9.5/ensemble-1/version-2/log.100000001"),
    include_bytes!("golden/zookeeper-3.9.5/ensemble-2/version-2/log.100000001"),
];
/// Magic, version, dbid.
const HEADER: usize = 16;
/// Three seals of 13 bytes, the digest of 20, the last zxid of 8.
const TRAILER: usize = 67;

fn records(log: &'static [u8]) -> Vec<LoggedTxn> {
    let mut reader = Reader::new(Bytes::from_static(&log[HEADER..]));
    let mut found = Vec::new();
    while reader.remaining() > 0 {
        let _crc = reader.i64().unwrap();
        let payload = reader.buffer().unwrap().unwrap();
        if payload.is_empty() {
            break;
        }
        assert_eq!(reader.u8().unwrap(), 0x42);
        found.push(LoggedTxn::decode(payload).unwrap());
    }
    found
}

fn body(snapshot: &[u8]) -> &[u8] {
    &snapshot[HEADER..snapshot.len() - TRAILER]
}

fn load(body: &[u8]) -> Database {
    let mut reader = Reader::new(Bytes::copy_from_slice(body));
    let mut builder = DatabaseBuilder::new(true);
    for _ in 0..reader.i32().unwrap() {
        builder.session(SessionId(reader.i64().unwrap()), reader.i32().unwrap());
    }
    for _ in 0..reader.i32().unwrap() {
        builder.acl(reader.i64().unwrap(), reader.acl_vector().unwrap().unwrap());
    }
    loop {
        let path = reader.string().unwrap();
        if path == "/" {
            break;
        }
        let data = reader.buffer().unwrap();
        let acl = reader.i64().unwrap();
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
    builder.finish(Zxid::ZERO)
}

fn walk(database: &mut Database) -> BytesMut {
    let mut out = BytesMut::new();
    database.begin_walk(usize::MAX);
    while database.walk(64, &mut out) == Walk::More {}
    out
}

/// Applies all and holds our digest against the one that is written behind each.
fn replay(database: &mut Database, log: &[LoggedTxn]) -> usize {
    let mut compared = 0;
    for txn in log {
        database.apply(txn, &mut Vec::new());
        if let Some(theirs) = txn.digest {
            assert_eq!(database.digest().tree, theirs.tree, "{txn:?}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn a_fresh_tree_is_written_as_3_9_5_writes_it() {
    assert_eq!(walk(&mut Database::new(false)), body(SNAPSHOT));
}

#[test]
fn a_loaded_snapshot_is_written_back_unchanged() {
    for snapshot in ENSEMBLE_SNAPSHOTS.into_iter().chain([SNAPSHOT]) {
        assert_eq!(walk(&mut load(body(snapshot))), body(snapshot));
    }
    assert_eq!(load(body(SNAPSHOT)).digest(), Database::new(true).digest());
}

#[test]
fn our_digest_equals_theirs_after_every_transaction() {
    let log = records(LOG);
    assert_eq!(log.len(), 118);
    let mut database = Database::new(true);
    let compared = replay(&mut database, &log);
    let errors = log.iter().filter(|txn| matches!(txn.txn, Txn::Error { .. })).count();
    assert_eq!(compared, log.len() - errors);
    assert!(errors > 0);
    assert_eq!(load(&walk(&mut database)).digest(), database.digest());
}

#[test]
fn servers_of_an_ensemble_agree_with_their_leader_and_with_each_other() {
    let mut full = Vec::new();
    for (snapshot, log) in ENSEMBLE_SNAPSHOTS.into_iter().zip(ENSEMBLE_LOGS) {
        let log = records(log);
        assert_eq!(log.len(), 7);
        let mut database = load(body(snapshot));
        assert!(replay(&mut database, &log) >= 6);
        assert_eq!(database.applied(), Zxid(0x1_0000_0007));
        let Txn::Reconfig { data, .. } = &log[6].txn else { panic!("{:?}", log[6]) };
        let config = database.node("/zookeeper/config").unwrap();
        assert_eq!(&config.data_bytes(), data);
        assert_eq!((config.stat().version, config.stat().mzxid), (-1, 0x1_0000_0007));
        full.push(database.digest().full);
    }
    assert_eq!(full[0], full[1]);
}
