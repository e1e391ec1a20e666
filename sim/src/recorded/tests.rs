//! A history that is right, and one for each way in which it can be wrong.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::wire::client::{AddMode, LastingWatches, SetWatches, WatchKind, WatchOp};

use super::*;
use crate::codec::Writer;
use crate::history::{Call, CreateCall, Life};
use crate::oracle::Oracle;
use crate::oracle::access::{Identity, Rules, of_address, proven};
use crate::oracle::predict::{Terms, predict};
use crate::oracle::txn::{Header, build};
use crate::zkclient::wire;

/// Writes a history and a log as recorder and servers would, with an oracle to know what is right.
struct Scene {
    text: String,
    log: Vec<Logged>,
    oracle: Oracle,
    zxid: Zxid,
    /// The one that all clients have, where the recorder knows it.
    address: Option<&'static str>,
    /// What sessions are known by.
    ids: BTreeMap<i64, Vec<Identity>>,
}

const A: i64 = 0x50;
const B: i64 = 0x60;

fn create(path: &str, sequential: bool) -> Call {
    let (path, data) = (path.into(), Some(Bytes::from_static(b"x")));
    let (life, acl) = (Life::Persistent, crate::oracle::access::open());
    Call::Create(CreateCall { path, data, life, sequential, acl, with_stat: false })
}

fn get(path: &str, watch: bool) -> Call {
    Call::GetData { path: path.into(), watch }
}

impl Scene {
    /// Sessions A and B are open on connections 1 and 2.
    fn begin() -> Self {
        Self::begin_at(None)
    }

    fn begin_at(address: Option<&'static str>) -> Self {
        let mut scene = Self {
            address,
            ids: BTreeMap::new(),
            text: "{\"vivarium_history\": 1, \"servers\": []}\n".into(),
            log: Vec::new(),
            oracle: Oracle::default(),
            zxid: Zxid::new(Epoch(1), 0),
        };
        for (link, session) in [(1, A), (2, B)] {
            scene.commit(session, 0, Txn::CreateSession { timeout_ms: 4000 });
            scene.connect(link, 0, session);
        }
        scene
    }

    fn line(&mut self, link: u64, rest: &str) {
        writeln!(self.text, "{{\"connection\": {link}, \"server\": {link}, {rest}}}").unwrap();
    }

    /// `frame` with its length, as it is on the wire.
    fn frame(&mut self, link: u64, from: &str, frame: &Bytes) {
        let frame = STANDARD.encode(&frame[4..]);
        self.line(link, &format!("\"from\": \"{from}\", \"frame\": \"{frame}\""));
    }

    fn connect(&mut self, link: u64, asked: i64, got: i64) {
        let address = self.address.map(|address| format!(", \"address\": \"{address}\""));
        self.line(link, &format!("\"opened\": true{}", address.unwrap_or_default()));
        self.ids.insert(got, self.address.into_iter().map(of_address).collect());
        self.frame(link, "client", &wire::connect(0, 4000, asked, &[7; 16], false));
        let mut answer = Writer::new();
        answer.i32(0).i32(if got == 0 { 0 } else { 4000 }).i64(got);
        answer.buffer(Some(&[7; 16])).bool(false);
        self.frame(link, "server", &answer.frame());
    }

    fn commit(&mut self, session: i64, cxid: i32, txn: Txn) -> Zxid {
        self.zxid = self.zxid.next().unwrap();
        let header = Header { session, cxid, zxid: self.zxid, time: 1000 };
        let payload = build::payload(header, &txn);
        self.oracle.commit(payload.clone(), |_| None).unwrap();
        self.log.push(Logged::read(payload).unwrap());
        self.zxid
    }

    fn ask(&mut self, link: u64, xid: i32, call: &Call) {
        self.frame(link, "client", &wire::request(xid, call));
    }

    fn answer(&mut self, link: u64, xid: i32, zxid: Zxid, code: i32, body: &[u8]) {
        let mut out = Writer::new();
        out.i32(xid).i64(zxid.to_wire()).i32(code).raw(body);
        self.frame(link, "server", &out.frame());
    }

    /// What has to be logged for this call, at the next zxid.
    fn model(&self, session: i64, call: &Call) -> Txn {
        let header = Header { session, cxid: 1, zxid: self.zxid.next().unwrap(), time: 1000 };
        let ids = self.ids.get(&session).map_or(&[][..], Vec::as_slice);
        let terms = Terms { ids, rules: &Rules::default(), quotas: None };
        predict(&mut self.oracle.tree().clone(), header, call, terms).unwrap().txn
    }

    fn write(&mut self, link: u64, session: i64, xid: i32, call: &Call, body: &[u8]) {
        self.ask(link, xid, call);
        let txn = self.model(session, call);
        let zxid = self.commit(session, xid, txn);
        self.answer(link, xid, zxid, 0, body);
    }

    fn create(&mut self, link: u64, session: i64, xid: i32, path: &str) {
        let mut body = Writer::new();
        body.string(path);
        self.write(link, session, xid, &create(path, false), &body.finish());
    }

    /// Data and Stat of a node, as it is now.
    fn shown(&self, path: &str) -> Bytes {
        let node = self.oracle.tree().node(path).unwrap();
        let (mut out, stat) = (Writer::new(), node.stat());
        out.buffer(node.record.data.as_deref());
        out.i64(stat.czxid).i64(stat.mzxid).i64(stat.ctime).i64(stat.mtime);
        out.i32(stat.version).i32(stat.cversion).i32(stat.aversion).i64(stat.ephemeral_owner);
        out.i32(stat.data_length).i32(stat.num_children).i64(stat.pzxid);
        out.finish()
    }

    fn set(&mut self, link: u64, session: i64, xid: i32, path: &str, data: &'static [u8]) {
        let call =
            Call::SetData { path: path.into(), data: Some(Bytes::from_static(data)), version: -1 };
        self.ask(link, xid, &call);
        let txn = self.model(session, &call);
        let zxid = self.commit(session, xid, txn);
        let stat = self.shown(path).slice(4 + data.len()..);
        self.answer(link, xid, zxid, 0, &stat);
    }

    fn event(&mut self, link: u64, kind: i32, path: &str, zxid: Zxid) {
        let mut body = Writer::new();
        body.i32(kind).i32(3).string(path);
        self.answer(link, -1, zxid, 0, &body.finish());
    }

    fn judged(&self, with_log: bool) -> Report {
        self.judged_as(with_log, &Servers::default())
    }

    fn judged_as(&self, with_log: bool, servers: &Servers) -> Report {
        let log = Log { txns: self.log.clone(), newest: self.zxid.epoch() };
        check_text(self.text.as_bytes(), with_log.then_some(log), servers).unwrap()
    }

    /// Session `session` proves who it is.
    fn prove(&mut self, link: u64, session: i64, proof: &str) {
        let (scheme, proof) = ("digest".to_owned(), proof.to_owned());
        let ids = proven(&Rules::default(), &scheme, &proof).unwrap();
        self.ids.entry(session).or_default().extend(ids);
        self.ask(link, -4, &Call::AddAuth { scheme, proof });
        self.answer(link, -4, Zxid::ZERO, 0, b"");
    }

    /// A node for who proves to be `u`.
    fn closed(&mut self, link: u64, session: i64, xid: i32, path: &str) {
        let Call::Create(open) = create(path, false) else { unreachable!("it is one") };
        let acl = [(31, "auth".to_owned(), String::new())].into();
        let mut body = Writer::new();
        body.string(path);
        self.write(link, session, xid, &Call::Create(CreateCall { acl, ..open }), &body.finish());
    }

    fn watch(&mut self, link: u64, xid: i32, op: WatchOp) {
        let adds = matches!(op, WatchOp::Add { .. });
        self.ask(link, xid, &Call::Watch(op));
        self.answer(link, xid, self.zxid, 0, if adds { &[0; 4] } else { b"" });
    }

    #[track_caller]
    fn is_right(&self) -> Report {
        let report = self.judged(true);
        assert_eq!(report.verdict, Ok(()));
        report
    }

    #[track_caller]
    fn breaks(&self, check: &str, what: &str) {
        let (_, violation) = self.judged(true).verdict.unwrap_err();
        assert_eq!(violation.check, check, "{violation}");
        assert!(violation.what.contains(what), "{violation}");
    }
}

#[test]
fn a_history_that_is_right_passes() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    scene.ask(2, 1, &get("/a", true));
    let shown = scene.shown("/a");
    scene.answer(2, 1, scene.zxid, 0, &shown);
    scene.set(1, A, 2, "/a", b"second");
    scene.event(2, 3, "/a", scene.zxid);
    scene.ask(2, 2, &get("/a", false));
    let shown = scene.shown("/a");
    scene.answer(2, 2, scene.zxid, 0, &shown);
    // The same session over another server, where numbers begin anew.
    scene.line(1, "\"closed\": true");
    scene.connect(3, A, A);
    scene.create(3, A, 1, "/b");
    scene.line(2, "\"closed\": true");
    let report = scene.is_right();
    assert_eq!((report.sessions, report.requests, report.transactions), (2, 5, 5));
    assert_eq!(report.judged_by.len(), 18, "nobody knows who asked");
    assert!(report.unjudged.is_empty());
}

#[test]
fn a_write_that_was_answered_and_is_nowhere_is_found() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    scene.log.pop();
    scene.breaks("K1", "no place in the order");
}

#[test]
fn a_read_that_shows_the_past_is_found() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    let before = scene.shown("/a");
    scene.set(1, A, 2, "/a", b"second");
    scene.ask(2, 1, &get("/a", false));
    scene.answer(2, 1, scene.zxid, 0, &before);
    scene.breaks("K4", "the model");
}

#[test]
fn a_read_behind_a_sync_that_misses_an_answered_write_is_found() {
    let mut scene = Scene::begin();
    let start = scene.zxid;
    scene.create(1, A, 1, "/a");
    scene.ask(2, 1, &Call::Sync { path: "/".into() });
    scene.ask(2, 2, &get("/a", false));
    scene.answer(2, 1, start, 0, b"\0\0\0\x01/");
    scene.answer(2, 2, start, -101, b"");
    scene.breaks("K5", "is a sync that shows");
    let log = Log { txns: scene.log.clone(), newest: Epoch(1) };
    let weak = check_text(scene.text.as_bytes(), Some(log), &Servers::new(true, false)).unwrap();
    assert_eq!(weak.verdict, Ok(()), "as Apache answers sync");
    assert!(weak.left_out.iter().any(|(name, _)| *name == "K5"));
}

#[test]
fn zxids_that_go_down_are_found() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    scene.ask(1, 2, &get("/b", false));
    scene.answer(1, 2, Zxid::new(Epoch(1), 2), -101, b"");
    scene.breaks("K3", "after");
    let without_log = scene.judged(false);
    assert_eq!(without_log.verdict.unwrap_err().1.check, "K3");
}

#[test]
fn a_sequential_name_that_was_given_before_is_found() {
    let mut scene = Scene::begin();
    scene.write(1, A, 1, &create("/q-", true), b"\0\0\0\x0d/q-0000000000");
    let again = create("/q-", true);
    scene.ask(2, 1, &again);
    let Txn::Create(mut made) = scene.model(B, &again) else { unreachable!("it can be created") };
    made.path = "/q-0000000000".into();
    let zxid = scene.commit(B, 1, Txn::Create(made));
    scene.answer(2, 1, zxid, 0, b"\0\0\0\x0d/q-0000000000");
    scene.breaks("D2", "has to be");
}

#[test]
fn a_write_against_its_version_is_found() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    let wrong = Call::Delete { path: "/a".into(), version: 7 };
    scene.ask(1, 2, &wrong);
    let zxid = scene.commit(A, 2, Txn::Delete { path: "/a".into() });
    scene.answer(1, 2, zxid, 0, b"");
    scene.breaks("D1", "has to be");
}

#[test]
fn an_event_behind_its_data_is_found() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    scene.ask(2, 1, &get("/a", true));
    let shown = scene.shown("/a");
    scene.answer(2, 1, scene.zxid, 0, &shown);
    scene.set(1, A, 2, "/a", b"second");
    let quiet = scene.text.clone();
    scene.ask(2, 2, &get("/a", false));
    let shown = scene.shown("/a");
    scene.answer(2, 2, scene.zxid, 0, &shown);
    scene.event(2, 3, "/a", scene.zxid);
    scene.breaks("W3", "was not told");
    assert_eq!(scene.judged(false).verdict.unwrap_err().1.check, "W2");
    scene.text = quiet;
    scene.event(2, 2, "/a", scene.zxid);
    scene.breaks("W4", "did not happen");
}

#[test]
fn a_reply_out_of_order_is_found() {
    let mut scene = Scene::begin();
    scene.ask(1, 1, &get("/a", false));
    scene.ask(1, 2, &get("/b", false));
    scene.answer(1, 2, scene.zxid, -101, b"");
    scene.breaks("K2", "request 2 where 1");
}

#[test]
fn a_request_that_takes_effect_twice_is_found() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    scene.set(1, A, 2, "/a", b"once");
    let again = scene.log.last().unwrap().txn.clone();
    scene.commit(A, 2, again);
    scene.ask(2, 1, &get("/b", false));
    scene.answer(2, 1, scene.zxid, -101, b"");
    // Both K2 and K6 say so; K2 comes first.
    scene.breaks("K2", "takes effect after");
}

#[test]
fn a_transaction_that_no_client_asked_for_is_found() {
    let mut scene = Scene::begin();
    scene.commit(A, 9, Txn::Error { code: -101 });
    // The history stops before the clients do: it may have been asked for later.
    assert_eq!(scene.is_right().foreign, 1);
    let shown = scene.zxid;
    scene.ask(2, 1, &get("/a", false));
    scene.answer(2, 1, shown, -101, b"");
    scene.breaks("K6", "no client sent it");
}

#[test]
fn an_ephemeral_that_stays_behind_its_session_is_found() {
    let mut scene = Scene::begin();
    let Call::Create(open) = create("/e", false) else { unreachable!("it is one") };
    let body = b"\0\0\0\x02/e";
    scene.write(1, A, 1, &Call::Create(CreateCall { life: Life::Ephemeral, ..open }), body);
    scene.commit(A, 0, Txn::CloseSession { paths: Some(Vec::new()) });
    scene.breaks("E2", "");
}

#[test]
fn an_end_of_a_session_that_nobody_closed_is_found() {
    let mut scene = Scene::begin();
    scene.line(1, "\"closed\": true");
    scene.connect(3, A, 0);
    scene.breaks("E5", "it is not closed");
    let end = scene.commit(A, 0, Txn::CloseSession { paths: Some(Vec::new()) });
    assert!(end > Zxid::ZERO);
    scene.is_right();
}

#[test]
fn an_answer_that_never_came_is_judged_by_the_log_alone() {
    for logged in [true, false] {
        let mut scene = Scene::begin();
        let call = create("/a", false);
        scene.ask(1, 5, &call);
        if logged {
            let txn = scene.model(A, &call);
            scene.commit(A, 5, txn);
        }
        scene.line(1, "\"closed\": true");
        scene.is_right();
    }
}

/// Both connections used the same number, and neither was answered: what was made tells whose it is.
#[test]
fn unanswered_requests_of_one_number_are_told_apart() {
    let mut scene = Scene::begin();
    scene.ask(1, 1, &create("/a", false));
    scene.line(1, "\"closed\": true");
    scene.connect(3, A, A);
    scene.ask(3, 1, &create("/b", false));
    let txn = scene.model(A, &create("/b", false));
    scene.commit(A, 1, txn);
    assert_eq!(scene.is_right().ambiguous, 0);
    // The first one was left behind when the session moved, and takes effect all the same.
    let txn = scene.model(A, &create("/a", false));
    scene.commit(A, 1, txn);
    scene.breaks("K2", "takes effect after");
}

#[test]
fn what_the_model_does_not_know_is_counted() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    let mut set_acl = Writer::new();
    set_acl.i32(2).i32(7).string("/a").i32(1).i32(1).string("ip").string("127.0.0.1").i32(-1);
    scene.frame(1, "client", &set_acl.frame());
    let acl = Some([(1, "ip".into(), "127.0.0.1".into())].into());
    let zxid = scene.commit(A, 2, Txn::SetAcl { path: "/a".into(), acl, version: 1 });
    let stat = scene.shown("/a").slice(5..);
    scene.answer(1, 2, zxid, 0, &stat);
    scene.ask(2, 1, &get("/a", false));
    scene.answer(2, 1, zxid, -102, b"");
    // Wrong arguments: refused with a place in the order, or without.
    scene.ask(1, 3, &create("/bad\u{1}", false));
    let zxid = scene.commit(A, 3, Txn::Error { code: -8 });
    scene.answer(1, 3, zxid, -8, b"");
    scene.ask(1, 4, &create("/bad\u{1}", false));
    scene.answer(1, 4, zxid, -8, b"");
    let report = scene.is_right();
    assert_eq!(report.unjudged.get("setACL"), Some(&1));
    assert_eq!(report.unjudged.values().sum::<u64>(), 4);
}

/// A session that sets its watches again after a reconnect is told more than its reads explain.
#[test]
fn watches_that_are_set_again_are_judged() {
    let again = |since: Zxid| {
        let (data, relative_zxid) = (vec!["/a".to_owned()], since.to_wire());
        WatchOp::Set(SetWatches { relative_zxid, data, ..SetWatches::default() })
    };
    let mut scene = Scene::begin();
    let before = scene.zxid;
    scene.create(1, A, 1, "/a");
    scene.watch(2, -8, again(scene.zxid));
    scene.set(1, A, 2, "/a", b"second");
    let quiet = scene.text.clone();
    scene.event(2, 3, "/a", scene.zxid);
    assert!(scene.is_right().unjudged.is_empty());
    scene.event(2, 3, "/a", scene.zxid);
    scene.breaks("W4", "without a watch");
    scene.text = quiet;
    scene.ask(2, 1, &get("/b", false));
    scene.answer(2, 1, scene.zxid, -101, b"");
    scene.breaks("W3", "was not told");

    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    scene.watch(2, -8, again(before));
    scene.breaks("W5", "NodeDataChanged");
}

#[test]
fn persistent_watches_are_judged() {
    let add = || WatchOp::Add { path: "/".into(), mode: AddMode::PersistentRecursive };
    let mut scene = Scene::begin();
    scene.watch(2, 1, add());
    scene.create(1, A, 1, "/a");
    let quiet = scene.text.clone();
    scene.event(2, 1, "/a", scene.zxid);
    let told = scene.text.clone();
    assert!(scene.is_right().unjudged.is_empty());
    scene.text = quiet;
    scene.ask(2, 2, &get("/b", false));
    scene.answer(2, 2, scene.zxid, -101, b"");
    scene.breaks("W1", "were not told");
    scene.text = told;
    scene.watch(2, 2, WatchOp::Remove { path: "/".into(), kind: WatchKind::Any });
    scene.create(1, A, 2, "/b");
    scene.is_right();
    scene.event(2, 1, "/b", scene.zxid);
    scene.breaks("W4", "without a watch");
}

/// What persistent watches missed is told by our servers, and by Apache's not.
#[test]
fn what_was_missed_is_told_by_those_who_keep_it() {
    let mut scene = Scene::begin();
    let since = scene.zxid;
    scene.create(1, A, 1, "/a");
    let lasting = LastingWatches { persistent: vec!["/a".into()], ..LastingWatches::default() };
    let (relative_zxid, lasting) = (since.to_wire(), Some(lasting));
    let again = || {
        WatchOp::Set(SetWatches { relative_zxid, lasting: lasting.clone(), ..Default::default() })
    };
    let before = scene.text.clone();
    scene.watch(2, -8, again());
    let apache = Servers::new(false, true);
    assert_eq!(scene.judged_as(true, &apache).verdict, Ok(()));
    scene.breaks("W5", "missed");
    scene.text = before;
    scene.ask(2, -8, &Call::Watch(again()));
    scene.event(2, 1, "/a", scene.zxid);
    scene.answer(2, -8, scene.zxid, 0, b"");
    scene.is_right();
    assert_eq!(scene.judged_as(true, &apache).verdict, Ok(()), "it may be one of ours");
}

fn guarded() -> Scene {
    let mut scene = Scene::begin_at(Some("127.0.0.1"));
    scene.prove(1, A, "u:p");
    scene.closed(1, A, 1, "/a");
    scene
}

#[test]
fn who_may_read_is_judged_where_it_is_known_who_asks() {
    let mut scene = guarded();
    let shown = scene.shown("/a");
    scene.ask(1, 2, &get("/a", false));
    scene.answer(1, 2, scene.zxid, 0, &shown);
    scene.ask(2, 1, &get("/a", false));
    let before = scene.text.clone();
    scene.answer(2, 1, scene.zxid, -102, b"");
    let report = scene.is_right();
    assert!(report.judged_by.contains(&"D5") && report.unjudged.is_empty(), "{report:?}");
    scene.text = before;
    scene.answer(2, 1, scene.zxid, 0, &shown);
    scene.breaks("K4", "the model");
}

#[test]
fn who_may_write_is_judged_where_it_is_known_who_asks() {
    let mut scene = guarded();
    let call = Call::SetData { path: "/a".into(), data: None, version: -1 };
    scene.ask(2, 1, &call);
    let refused = scene.model(B, &call);
    assert_eq!(refused, Txn::Error { code: -102 });
    let mut right = Scene { log: scene.log.clone(), text: scene.text.clone(), ..guarded() };
    let zxid = right.commit(B, 1, refused);
    right.answer(2, 1, zxid, -102, b"");
    right.is_right();
    let zxid = scene.commit(B, 1, Txn::SetData { path: "/a".into(), data: None, version: 1 });
    let stat = scene.shown("/a").slice(4..);
    scene.answer(2, 1, zxid, 0, &stat);
    scene.breaks("D5", "has to be");
}

#[test]
fn who_a_client_is_called_is_judged() {
    for (user, right) in [("u", true), ("v", false)] {
        let mut scene = guarded();
        scene.ask(1, 2, &Call::WhoAmI);
        let mut body = Writer::new();
        body.i32(2).string("ip").string("127.0.0.1").string("digest").string(user);
        scene.answer(1, 2, scene.zxid, 0, &body.finish());
        match right {
            true => drop(scene.is_right()),
            false => scene.breaks("K4", "the model"),
        }
    }
}

/// Who may not read a node is not told of it, and need not be.
#[test]
fn events_of_closed_nodes_are_judged() {
    let mut scene = guarded();
    let path = || "/".to_owned();
    scene.watch(2, 1, WatchOp::Add { path: path(), mode: AddMode::PersistentRecursive });
    scene.set(1, A, 2, "/a", b"second");
    scene.ask(2, 2, &get("/b", false));
    scene.answer(2, 2, scene.zxid, -101, b"");
    scene.is_right();
    scene.event(2, 3, "/a", scene.zxid);
    let (_, violation) = scene.judged(true).verdict.unwrap_err();
    assert!(["W1", "W4"].contains(&&*violation.check), "{violation}");
}

/// Apache answers a proof at once, whatever waits in front of it.
#[test]
fn a_proof_may_be_answered_ahead_by_apache_alone() {
    let mut scene = Scene::begin_at(Some("127.0.0.1"));
    scene.ask(1, 1, &get("/b", false));
    scene.prove(1, A, "u:p");
    scene.answer(1, 1, scene.zxid, -101, b"");
    assert_eq!(scene.judged_as(true, &Servers::new(false, true)).verdict, Ok(()));
    scene.breaks("K2", "ends before");
}

/// A leader that wrote nothing yet shows the first zxid of its epoch, and an epoch that never was is
/// not committed.
#[test]
fn the_first_zxid_of_an_epoch_is_shown_before_anything_is_written() {
    for (epoch, right) in [(2, true), (3, false)] {
        let mut scene = Scene::begin();
        scene.ask(1, 1, &get("/a", false));
        scene.answer(1, 1, Zxid::new(Epoch(epoch), 0), -101, b"");
        scene.zxid = Zxid::new(Epoch(2), 0);
        scene.create(2, B, 1, "/a");
        match right {
            true => drop(scene.is_right()),
            false => scene.breaks("K4", "not committed"),
        }
    }
}

#[test]
fn a_large_history_takes_linear_time() {
    let mut scene = Scene::begin();
    scene.create(1, A, 1, "/a");
    for xid in 2..20_000 {
        scene.set(1, A, xid, "/a", b"again");
    }
    assert_eq!(scene.is_right().frames, 4 + 2 * 19_999);
}
