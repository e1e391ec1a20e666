//! Requests against a tree: which transaction or error each becomes.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::acl::{Acl, Id};
use crate::ids::ServerId;
use crate::tree::{StoredStat, TxnResult};
use crate::wire::client::{Create, CreateForm, MultiResult};

mod access;
mod forms;
mod limits;
mod random;

const ME: SessionId = SessionId(0x0100_001b_c8ba_0000);
const OTHER: SessionId = SessionId(0x0200_0000_0000_0007);
const STRANGER: SessionId = SessionId(0x0300_0000_0000_0001);

/// A leader's database and the proposals that it has not applied yet.
struct Bench {
    db: Database,
    preparer: Preparer,
    in_flight: VecDeque<LoggedTxn>,
    zxid: Zxid,
    now: Wall,
    /// Who asks.
    ids: Vec<Id>,
}

impl Bench {
    /// Two sessions exist; see [`ME`] and [`OTHER`].
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(set: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::with_defaults(ServerId(1), None, [0; 32]);
        set(&mut config);
        let mut bench = Self {
            db: Database::new(true),
            preparer: Preparer::new(&config),
            in_flight: VecDeque::new(),
            zxid: Zxid(0x1_0000_0000),
            now: Wall(1_700_000_000_000),
            ids: Vec::new(),
        };
        for session in [ME, OTHER] {
            bench.prepare(session, Change::CreateSession { timeout_ms: 5000 });
        }
        bench.apply_all();
        bench
    }

    fn prepare(&mut self, session: SessionId, change: Change) -> LoggedTxn {
        self.zxid = self.zxid.next().unwrap();
        let now = self.now;
        let request = WriteRequest {
            session,
            standing: Standing::Global,
            cxid: 9,
            ids: self.ids.clone().into(),
            change,
        };
        let txn = self.preparer.prepare(&self.db, &request, self.zxid, now);
        let header = TxnHeader { session, cxid: 9, zxid: self.zxid, time: now };
        assert_eq!(txn.header, header);
        let bare = matches!(txn.txn, Txn::Error { .. } | Txn::CloseSession { paths: None });
        assert_eq!(txn.digest.is_none(), bare);
        self.in_flight.push_back(txn.clone());
        txn
    }

    /// Applies the oldest proposal: no surprise for the result, nor for the digest.
    fn apply(&mut self) -> Option<TxnResult> {
        let txn = self.in_flight.pop_front()?;
        let result = self.db.apply(&txn, &mut vec![]);
        self.preparer.applied(txn.header.zxid);
        if let Some(digest) = txn.digest {
            let expected = TxnDigest { version: 2, tree: self.db.digest().tree };
            assert_eq!(digest, expected, "{txn:?}");
        }
        Some(result)
    }

    fn apply_all(&mut self) {
        while self.apply().is_some() {}
    }

    /// Prepares and applies; the error code, 0 for none.
    fn code(&mut self, session: SessionId, change: Change) -> i32 {
        self.apply_all();
        let txn = self.prepare(session, change);
        let result = self.apply().unwrap();
        let failed = matches!(result, TxnResult::Failed(_));
        let Txn::Error { code } = txn.txn else {
            assert!(!failed, "{result:?}");
            return 0;
        };
        code
    }

    fn create(&mut self, path: &str) {
        assert_eq!(self.code(ME, create(path, 0)), 0, "{path}");
    }
}

fn create_op(path: &str, flags: i32) -> Create {
    Create { path: path.into(), data: None, acl: Some(Acl::open()), flags, form: CreateForm::Plain }
}

fn create(path: &str, flags: i32) -> Change {
    Change::Write(WriteOp::Create(create_op(path, flags)))
}

fn create_acl(path: &str, acl: Option<Vec<Acl>>) -> Change {
    Change::Write(WriteOp::Create(Create { acl, ..create_op(path, 0) }))
}

fn delete(path: &str, version: i32) -> Change {
    Change::Write(WriteOp::Delete { path: path.into(), version })
}

fn set(path: &str, version: i32) -> Change {
    Change::Write(WriteOp::SetData { path: path.into(), data: None, version })
}

fn set_acl(path: &str, acl: Option<Vec<Acl>>, version: i32) -> Change {
    Change::SetAcl { path: path.into(), acl, version }
}

fn nosuch_scheme() -> Option<Vec<Acl>> {
    Some(vec![Acl { perms: 31, id: Id { scheme: "nosuch".into(), id: "x".into() } }])
}

/// As a list they would make a record that peers and recovery refuse: the ensemble could not go on.
#[test]
fn a_session_with_too_many_ephemerals_is_closed_without_their_names() {
    let mut bench = Bench::new();
    let long = |n: usize| format!("/{n:04}-{}", "x".repeat(10_000));
    let most = 0xf_ffff / (long(0).len() + 4);
    for n in 0..=most {
        assert_eq!(bench.code(ME, create(&long(n), 1)), 0);
    }
    let mut fits = Bench::new();
    for n in 0..most {
        assert_eq!(fits.code(ME, create(&long(n), 1)), 0);
    }
    let Txn::CloseSession { paths } = fits.prepare(ME, Change::CloseSession).txn else { panic!() };
    assert_eq!(paths.unwrap().len(), most, "a list that fits is logged, as Apache does");

    let closed = bench.prepare(ME, Change::CloseSession);
    assert_eq!((&closed.txn, &closed.digest), (&Txn::CloseSession { paths: None }, &None));
    let behind = bench.prepare(OTHER, set("/zookeeper", -1));
    bench.apply_all();
    assert!(bench.db.ephemerals(ME).is_empty());
    let tree = bench.db.digest().tree;
    assert_eq!(behind.digest, Some(TxnDigest { version: 2, tree }), "prepared behind the removal");
}

#[test]
fn refusals_are_those_of_3_9_5() {
    let mut bench = Bench::new();
    bench.create("/a");
    bench.create("/a/child");
    assert_eq!(bench.code(ME, create("/e", 1)), 0);
    let table = [
        // GOLDEN, second run.
        (create("/a//b", 0), -101),
        (create("a", 0), -8),
        (create_acl("/noacl", Some(vec![])), -114),
        (create("/f9", 9), -8),
        (create("/a", 0), -110),
        (delete("/a", -1), -111),
        (delete("/zookeeper", -1), -8),
        (create("/\u{1f600}", 0), -8),
        (create("/\u{ffff}", 0), -8),
        (set("/a", 77), -103),
        // PROTOCOL 1.6, 1.8.
        (create("", 0), -8),
        (create("/", 0), -110),
        (create("/\0", 0), -8),
        (create("/nope\0/x", 0), -8),
        (create("/a/", 0), -8),
        (create("//a", 0), -8),
        (create("/a/..", 0), -8),
        (create("/nope/x", 0), -101),
        (create("/e/x", 0), -108),
        (create_acl("/noacl", None), -114),
        (create_acl("/noacl", nosuch_scheme()), -114),
        (delete("/", -1), -8),
        (delete("/zookeeper/quota", -1), -8),
        (delete("/zookeeper/config", -1), -8),
        (delete("a", -1), -8),
        (delete("/a/\0", -1), -8),
        (delete("/nope", -1), -101),
        (delete("/nope/x", -1), -101),
        (delete("/a/", -1), -101),
        (delete("//a", -1), -101),
        (delete("/a/child", 3), -103),
        (set("/nope", -1), -101),
        (set("nope", -1), -8),
        (set("/a/", -1), -8),
        (set_acl("/a", None, -1), -114),
        (set_acl("/nope", Some(Acl::open()), -1), -101),
        (set_acl("/nope/", Some(Acl::open()), -1), -8),
        (set_acl("/a", Some(Acl::open()), 4), -103),
        // The configuration node's own ACL lets clients read it.
        (set("/zookeeper/config", -1), -102),
        (set_acl("/zookeeper/config", Some(Acl::open()), -1), -102),
        (create("/zookeeper/config/x", 0), -102),
        // Only inside a multi.
        (Change::Write(WriteOp::Check { path: "/a".into(), version: -1 }), -6),
    ];
    for (change, code) in table {
        assert_eq!(bench.code(ME, change.clone()), code, "{change:?}");
    }
}

#[test]
fn the_first_failing_check_answers() {
    let mut bench = Bench::new();
    bench.create("/a");
    bench.create("/a/b");
    assert_eq!(bench.code(ME, create("/e", 1)), 0);
    assert_eq!(bench.code(ME, create("/a/q0000000002", 0)), 0);
    let table = [
        ("flags before session", STRANGER, create("a", 9), -8),
        ("TTL before session", STRANGER, create("a", 5), -6),
        ("session before path", STRANGER, create("a", 0), -112),
        ("path before ACL", ME, create_acl("a", None), -8),
        ("ACL before parent", ME, create_acl("/nope/x", None), -114),
        ("parent before full validation", ME, create("/nope/./x/..", 0), -101),
        ("sequence before validation", ME, create("/a/", 2), 0),
        ("validation before existence", ME, create("/a/.", 0), -8),
        ("existence before ephemeral parent", ME, create("/e", 0), -110),
        ("delete: session before path", STRANGER, delete("a", 0), -112),
        ("delete: special before parent", ME, delete("/zookeeper", 9), -8),
        ("delete: version before children", ME, delete("/a", 9), -103),
        ("setData: session before path", STRANGER, set("a", 0), -112),
        ("setData: node before version", ME, set("/nope", 9), -101),
        ("setACL: session before path", STRANGER, set_acl("a", None, 0), -112),
        ("setACL: path before ACL", ME, set_acl("a", None, 0), -8),
        ("setACL: ACL before node", ME, set_acl("/nope", None, 0), -114),
        ("setACL: node before version", ME, set_acl("/nope", Some(Acl::open()), 9), -101),
    ];
    for (why, session, change, code) in table {
        assert_eq!(bench.code(session, change), code, "{why}");
    }
}

#[test]
fn a_container_in_a_multi_is_one() {
    let mut bench = Bench::new();
    bench.prepare(ME, Change::Multi(vec![WriteOp::Create(create_op("/c", 4))]));
    let Some(TxnResult::Multi(results)) = bench.apply() else { panic!() };
    assert!(matches!(&results[0], MultiResult::Create2 { path, .. } if path == "/c"));
    assert_eq!(bench.db.node("/c").unwrap().stat().ephemeral_owner, i64::MIN);
    assert_eq!(bench.code(ME, create("/c/x", 0)), 0);
}

#[test]
fn sequence_numbers_count_all_creates_of_the_parent() {
    let mut bench = Bench::new();
    bench.create("/p");
    bench.create("/p/plain");
    assert_eq!(bench.code(ME, delete("/p/plain", -1)), 0);
    let mut made = vec![];
    // None of these is applied in between.
    for (path, flags) in [("/p/s-", 2), ("/p/", 3), ("/p/nope/x", 2), ("/p/s-", 2)] {
        let prepared = bench.prepare(ME, create(path, flags)).txn;
        if let Txn::Create(txn) = prepared {
            made.push((txn.path, txn.ephemeral, txn.parent_cversion));
        } else {
            assert_eq!(prepared, Txn::Error { code: -101 });
        }
    }
    let expected = [
        ("/p/s-0000000001".into(), false, Some(2)),
        ("/p/0000000002".into(), true, Some(3)),
        ("/p/s-0000000003".into(), false, Some(4)),
    ];
    assert_eq!(made, expected);
    bench.apply_all();
}

/// The count sticks at its highest value, because the tree's only ever rises.
/// A node "/p" below which so many were created.
fn with_count_of_creates(cversion: i32) -> Database {
    let mut builder = crate::tree::DatabaseBuilder::new(true);
    builder.session(ME, 5000);
    assert!(builder.node("", None, -1, StoredStat::default()));
    let stat = StoredStat { cversion, ..StoredStat::default() };
    assert!(builder.node("/p", None, -1, stat));
    builder.finish(Zxid(5))
}

#[test]
fn sequence_numbers_at_the_end_of_their_range() {
    for (stored, name, next) in [
        (i32::MAX - 1, "/p/2147483646", i32::MAX),
        (i32::MAX, "/p/2147483647", i32::MAX),
        (i32::MIN, "/p/-2147483648", i32::MIN + 1),
        (-5, "/p/-000000005", -4),
        (-2, "/p/-000000002", -1),
    ] {
        let db = with_count_of_creates(stored);
        let mut bench = Bench { db, ..Bench::with(|config| config.bounded_sequences = false) };
        let Txn::Create(txn) = bench.prepare(ME, create("/p/", 2)).txn else { panic!() };
        assert_eq!(txn.path, name);
        bench.prepare(ME, create("/p/other", 0));
        bench.apply();
        assert_eq!(bench.db.node("/p").unwrap().stat().cversion, next, "{name}");
        bench.apply_all();
    }
}

/// ZooKeeper's names go on below zero, or come twice.
#[test]
fn a_sequence_that_is_used_up_refuses() {
    for (stored, is_good) in
        [(i32::MAX - 1, true), (i32::MAX, false), (i32::MIN, false), (-1, false)]
    {
        let mut bench = Bench { db: with_count_of_creates(stored), ..Bench::new() };
        let plain = bench.prepare(ME, create("/p/plain", 0)).txn;
        assert!(matches!(plain, Txn::Create(_)), "others are not concerned");
        bench.apply_all();
        let mut bench = Bench { db: with_count_of_creates(stored), ..Bench::new() };
        let next = bench.prepare(ME, create("/p/", 2)).txn;
        assert_eq!(matches!(next, Txn::Create(_)), is_good, "{stored}");
        assert!(is_good || matches!(next, Txn::Error { code: -8 }), "{next:?}");
    }
}

#[test]
fn trap_17_versions_wrap_through_minus_one() {
    let mut bench = Bench::new();
    bench.create("/v");
    for (current, next) in [(i32::MAX, i32::MIN), (-2, -1), (-1, 0), (0, 1)] {
        let header = TxnHeader { session: ME, cxid: 1, zxid: bench.zxid, time: Wall(1) };
        let txn = Txn::SetData { path: "/v".into(), data: None, version: current };
        bench.db.apply(&LoggedTxn { header, txn, digest: None }, &mut vec![]);
        let change = set("/v", current);
        let Txn::SetData { version, .. } = bench.prepare(ME, change).txn else { panic!() };
        assert_eq!(version, next);
        bench.apply_all();
    }
}

#[test]
fn requests_see_what_is_in_flight() {
    let mut bench = Bench::new();
    let refused = |code| Txn::Error { code };
    let in_flight = [
        (create("/a", 0), None),
        (create("/a/b", 1), None),
        (create("/a/b", 0), Some(refused(-110))),
        (create("/a/b/c", 0), Some(refused(-108))),
        (delete("/a", 0), Some(refused(-111))),
        (set("/a/b", 0), None),
        (set("/a/b", 0), Some(refused(-103))),
        (delete("/a/b", 1), None),
        (delete("/a/b", -1), Some(refused(-101))),
        (delete("/a", 0), None),
        (create("/a/b", 0), Some(refused(-101))),
        (create("/a", 0), None),
    ];
    for (change, expected) in in_flight {
        let got = bench.prepare(ME, change.clone()).txn;
        match expected {
            Some(expected) => assert_eq!(got, expected, "{change:?}"),
            None => assert!(!matches!(got, Txn::Error { .. }), "{change:?}: {got:?}"),
        }
    }
    bench.apply_all();
    assert!(bench.db.node("/a").is_some());
}

#[test]
fn a_session_opens_and_closes_in_flight() {
    let mut bench = Bench::new();
    assert_eq!(bench.prepare(STRANGER, create("/x", 1)).txn, Txn::Error { code: -112 });
    bench.prepare(STRANGER, Change::CreateSession { timeout_ms: 5000 });
    assert!(!bench.preparer.is_closing(STRANGER));
    let opened = bench.prepare(STRANGER, create("/x", 1)).txn;
    assert!(matches!(opened, Txn::Create(_)), "{opened:?}");
    bench.prepare(ME, create("/mine", 1));
    bench.apply_all();
    bench.prepare(STRANGER, create("/z", 1));
    bench.prepare(STRANGER, create("/b", 1));
    bench.prepare(STRANGER, create("/gone", 1));
    bench.prepare(STRANGER, delete("/gone", -1));
    let closed = bench.prepare(STRANGER, Change::CloseSession).txn;
    let paths = ["/b", "/x", "/z"].map(String::from).to_vec();
    assert_eq!(closed, Txn::CloseSession { paths: Some(paths) });
    assert!(bench.preparer.is_closing(STRANGER));
    assert_eq!(bench.prepare(STRANGER, set("/mine", -1)).txn, Txn::Error { code: -112 });
    let again = bench.prepare(STRANGER, Change::CloseSession).txn;
    assert_eq!(again, Txn::CloseSession { paths: Some(vec![]) });
    let opened = bench.prepare(ME, create("/x", 0)).txn;
    assert!(matches!(opened, Txn::Create(_)), "the path is free at once: {opened:?}");
    bench.apply_all();
    assert!(!bench.preparer.is_closing(STRANGER));
    assert_eq!(bench.prepare(STRANGER, set("/mine", -1)).txn, Txn::Error { code: -112 });
    assert!(bench.db.node("/mine").is_some());
}

#[test]
fn a_close_outlives_the_opening_before_it() {
    let mut bench = Bench::new();
    bench.prepare(STRANGER, Change::CreateSession { timeout_ms: 5000 });
    bench.prepare(STRANGER, Change::CloseSession);
    bench.apply();
    assert!(bench.db.sessions().contains_key(&STRANGER) && bench.preparer.is_closing(STRANGER));
    assert_eq!(bench.prepare(STRANGER, create("/x", 1)).txn, Txn::Error { code: -112 });
    bench.prepare(STRANGER, Change::CreateSession { timeout_ms: 5000 });
    bench.apply();
    assert!(!bench.preparer.is_closing(STRANGER));
    let opened = bench.prepare(STRANGER, create("/x", 1)).txn;
    assert!(matches!(opened, Txn::Create(_)), "{opened:?}");
}

#[test]
fn reserved_session_ids_touch_nothing() {
    let mut bench = Bench::new();
    bench.prepare(ME, Change::Multi(vec![WriteOp::Create(create_op("/c", 4))]));
    for id in [0, i64::MIN] {
        for change in [Change::CreateSession { timeout_ms: 1 }, Change::CloseSession] {
            let txn = bench.prepare(SessionId(id), change).txn;
            assert_eq!(txn, Txn::Error { code: -112 });
        }
    }
    // Reads as a TTL of 7 ms.
    let odd = SessionId(0xff00_0000_0000_0007_u64 as i64);
    bench.prepare(odd, Change::CreateSession { timeout_ms: 1 });
    assert_eq!(bench.prepare(odd, create("/e", 1)).txn, Txn::Error { code: -8 });
    bench.apply_all();
    assert!(bench.db.node("/c").is_some());
}

#[test]
fn a_failed_multi_leaves_no_trace() {
    let mut bench = Bench::new();
    bench.prepare(ME, create("/a", 0));
    let before = bench.prepare(ME, Change::CreateSession { timeout_ms: 1 }).digest;
    // GOLDEN "multi fail".
    let failed = bench.prepare(
        ME,
        Change::Multi(vec![
            WriteOp::Create(create_op("/m", 0)),
            WriteOp::Create(create_op("/m/", 2)),
            WriteOp::SetData { path: "/a".into(), data: None, version: 0 },
            WriteOp::Delete { path: "/nope".into(), version: -1 },
            WriteOp::Delete { path: "/nope2".into(), version: -1 },
        ]),
    );
    assert_eq!(failed.digest, before);
    let Txn::Multi(parts) = failed.txn else { panic!() };
    assert!(matches!(&parts[1], Txn::Create(create) if create.path == "/m/0000000000"));
    assert_eq!(parts[3..], [Txn::Error { code: -101 }, Txn::Error { code: -2 }]);
    assert_eq!(bench.prepare(ME, set("/a", 1)).txn, Txn::Error { code: -103 });
    assert_eq!(bench.prepare(ME, set("/m", -1)).txn, Txn::Error { code: -101 });
    let made = bench.prepare(ME, create("/", 2)).txn;
    assert!(matches!(&made, Txn::Create(create) if create.path == "/0000000001"), "{made:?}");
    bench.apply_all();
}

#[test]
fn parts_of_a_multi_see_each_other() {
    let mut bench = Bench::new();
    let multi = Change::Multi(vec![
        WriteOp::Create(create_op("/m", 0)),
        WriteOp::SetData { path: "/m".into(), data: Some("1".into()), version: 0 },
        WriteOp::Check { path: "/m".into(), version: 1 },
        WriteOp::Create(create_op("/m/c", 1)),
        WriteOp::Delete { path: "/m/c".into(), version: 0 },
        WriteOp::Delete { path: "/m".into(), version: 1 },
    ]);
    let Txn::Multi(parts) = bench.prepare(ME, multi).txn else { panic!() };
    assert_eq!(parts[2], Txn::Check { path: "/m".into(), version: 2 });
    assert!(!parts.iter().any(|part| matches!(part, Txn::Error { .. })), "{parts:?}");
    bench.apply_all();
    assert!(bench.db.node("/m").is_none());
    let empty = bench.prepare(ME, Change::Multi(vec![]));
    assert_eq!(empty.txn, Txn::Multi(vec![]));
    let multi = Change::Multi(vec![WriteOp::Create(create_op("/m", 0))]);
    let Txn::Multi(parts) = bench.prepare(STRANGER, multi).txn else { panic!() };
    assert_eq!(parts, [Txn::Error { code: -112 }]);
}

#[test]
fn a_new_reign_forgets_what_was_in_flight() {
    let mut bench = Bench::new();
    bench.prepare(ME, create("/a", 0));
    bench.prepare(OTHER, Change::CloseSession);
    bench.in_flight.clear();
    bench.preparer.clear();
    assert!(!bench.preparer.is_closing(OTHER));
    assert_eq!(bench.code(ME, create("/a", 0)), 0);
    assert_eq!(bench.code(OTHER, create("/b", 1)), 0);
}
