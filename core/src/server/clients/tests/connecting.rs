//! From the first bytes to an attached session, and what ends a connection before and after.

use alloc::vec::Vec;

use super::rig::{FIRST_SESSION, Rig, config, connect, frame, int};
use super::{create, get};
use crate::ids::{Epoch, LinkId, SessionId};
use crate::server::input::Far;
use crate::session::password::password;
use crate::time::{Mono, Span};
use crate::wire::client::Op;

const SESSION: SessionId = SessionId(FIRST_SESSION);

/// Timeout and session of a ConnectResponse.
fn response(sent: &[u8]) -> (i32, i64) {
    (int(&sent[8..12]), i64::from_be_bytes(sent[12..20].try_into().unwrap()))
}

#[test]
fn the_response_comes_when_the_session_is_applied() {
    let mut rig = Rig::new();
    rig.open(1);
    rig.bytes(1, &connect(None, &[], 0));
    assert!(rig.take_sent(1).is_empty());
    rig.work();
    assert_eq!(response(&rig.take_sent(1)), (5000, FIRST_SESSION));
    assert_eq!(rig.seen(), ["attached 1"]);
    assert_eq!((rig.clients.sessions(), rig.clients.links()), (1, 1));
}

#[test]
fn frames_behind_the_connect_request_wait() {
    let mut rig = Rig::new();
    rig.open(1);
    let mut stream = connect(None, &[], 0);
    stream.extend(frame(1, &create("/a")));
    rig.bytes(1, &stream);
    assert_eq!(rig.seen(), ["hold 1"]);
    assert!(rig.asked_cxids().is_empty());
    rig.work();
    assert_eq!(rig.seen(), ["attached 1", "resume 1"]);
    assert!(rig.db.node("/a").is_some());
}

/// A Java leader of epoch 3 showed 3:0 to its clients before it wrote anything; a server that was started
/// without a quorum showed 3:9, which was never committed.
#[test]
fn a_client_is_not_ahead_with_the_start_of_an_epoch_or_what_came_before_it() {
    let (begin, late) = (3 << 32, (3 << 32) + 9);
    let cases = [
        (3, begin, true),
        (4, begin, true),
        (2, begin, false),
        (4, late, true),
        (3, late, false),
        (2, late, false),
    ];
    for (epoch, seen, admitted) in cases {
        let mut rig = Rig::new();
        rig.epoch = Epoch(epoch);
        rig.open(1);
        rig.bytes(1, &connect(None, &[], seen));
        rig.work();
        let expected = if admitted { "attached 1" } else { "close 1 ahead" };
        assert_eq!(rig.seen(), [expected], "epoch {epoch}, seen {seen}");
    }
}

#[test]
fn a_client_is_shown_no_zxid_below_the_one_it_came_with() {
    let mut rig = Rig::new();
    rig.epoch = Epoch(3);
    let session = rig.session(1);
    rig.open(2);
    rig.bytes(2, &connect(Some(session), &password(session), 3 << 32));
    rig.work();
    rig.take_sent(2);
    rig.request(2, 1, &get("/", false));
    rig.request(2, 2, &Op::Ping);
    rig.request(2, 3, &Op::Sync { path: "/".into() });
    rig.work();
    let shown: Vec<i64> = rig.replies(2).into_iter().map(|(_, zxid, ..)| zxid).collect();
    assert_eq!(shown, [3 << 32; 3]);
}

#[test]
fn refused_connections() {
    let wrong = [1; 16];
    let right = password(SESSION);
    for (name, request, answered, seen) in [
        ("ahead", connect(None, &[], 99), false, "close 2 ahead"),
        ("wrong password", connect(Some(SESSION), &wrong, 0), true, "close 2 finished"),
        ("short password", connect(Some(SESSION), &right[..8], 0), true, "close 2 finished"),
        ("no connect request", [0, 0, 0, 4, 0, 0, 0, 0].to_vec(), false, "close 2 protocol"),
        ("too long", [0, 0x10, 0, 0].to_vec(), false, "close 2 too long"),
        ("negative", [0xff, 0xff, 0xff, 0xff].to_vec(), false, "close 2 too long"),
        ("not a word", b"abcd".to_vec(), false, "close 2 too long"),
    ] {
        let mut rig = Rig::new();
        rig.session(1);
        rig.open(2);
        rig.seen();
        rig.bytes(2, &request);
        rig.work();
        assert_eq!(rig.seen(), [seen], "{name}");
        let sent = rig.take_sent(2);
        assert_eq!(!sent.is_empty(), answered, "{name}");
        if answered {
            assert_eq!(response(&sent), (0, 0), "{name}");
            assert_eq!(&sent[20..40], [&[0, 0, 0, 16][..], &[0; 16]].concat(), "{name}");
        }
        rig.request(1, -2, &Op::Ping);
        assert_eq!(rig.xids(1), [-2], "{name}: the live client keeps its link");
    }
}

#[test]
fn an_expired_session_is_told_so() {
    let mut rig = Rig::new();
    let gone = SessionId(0x1_2345);
    rig.open(1);
    rig.bytes(1, &connect(Some(gone), &password(gone), 0));
    rig.work();
    assert_eq!(response(&rig.take_sent(1)), (0, 0));
    assert_eq!(rig.seen(), ["close 1 finished"]);
}

#[test]
fn a_client_that_comes_back_takes_its_session_over() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.seen();
    rig.open(2);
    rig.open(3);
    rig.bytes(2, &connect(Some(session), &password(session), 1));
    rig.bytes(3, &connect(Some(session), &password(session), 1));
    assert_eq!(rig.seen(), ["abort 1 superseded", "abort 2 superseded"]);
    rig.work();
    assert_eq!(rig.seen(), ["attached 3"]);
    assert!(rig.take_sent(2).is_empty());
    assert_eq!(response(&rig.take_sent(3)), (5000, session.0));
    assert_eq!((rig.clients.sessions(), rig.clients.links()), (1, 1));
}

#[test]
fn without_service_only_words_are_answered() {
    let mut rig = Rig::new();
    rig.call(|clients, cx| clients.stop_serving(cx));
    rig.open(1);
    rig.open(2);
    rig.bytes(1, &connect(None, &[], 0));
    rig.bytes(2, b"ruok");
    rig.work();
    assert_eq!(rig.seen(), ["close 1 not serving", "close 2 finished"]);
    assert_eq!(rig.take_sent(2), b"ruok");
}

#[test]
fn connections_per_address_are_limited() {
    let mut rig = Rig::with(crate::config::Config { max_client_connections: 2, ..config() });
    for link in 1..=3 {
        rig.open(link);
    }
    assert_eq!(rig.seen(), ["abort 3 too many"]);
    let far = Far { ip: "10.0.0.2".into(), port: 1 };
    rig.call(|clients, cx| clients.on_opened(LinkId(4), far, cx));
    rig.call(|clients, cx| clients.on_closed(LinkId(3), cx));
    rig.open(5);
    assert_eq!(rig.seen(), ["abort 5 too many"], "a refused link was never counted");
    rig.call(|clients, cx| clients.on_closed(LinkId(1), cx));
    rig.open(6);
    assert!(rig.seen().is_empty());
    assert_eq!(rig.clients.links(), 3);
}

#[test]
fn connections_of_all_clients_are_limited() {
    let mut rig = Rig::with(crate::config::Config { max_connections: 2, ..config() });
    for (link, ip) in [(1, "10.0.0.1"), (2, "10.0.0.2"), (3, "10.0.0.3")] {
        let far = Far { ip: ip.into(), port: 1 };
        rig.call(|clients, cx| clients.on_opened(LinkId(link), far, cx));
    }
    assert_eq!(rig.seen(), ["abort 3 too many"]);
    rig.call(|clients, cx| clients.on_closed(LinkId(1), cx));
    rig.open(4);
    assert!(rig.seen().is_empty());
}

#[test]
fn a_frame_over_the_limit_closes_without_a_reply() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.seen();
    rig.bytes(1, &[0, 0x0f, 0xff, 0xff]);
    assert!(rig.seen().is_empty(), "the limit itself is legal");
    rig.session(2);
    rig.seen();
    rig.bytes(2, &[0, 0x10, 0, 0]);
    assert_eq!(rig.seen(), ["close 2 too long"]);
    assert!(rig.take_sent(2).is_empty());
}

#[test]
fn silence_ends_connections() {
    let mut rig = Rig::new();
    rig.open(9);
    rig.session(1);
    rig.seen();
    let start = rig.now;
    let wake_at = |rig: &mut Rig, ms: u64| {
        rig.now = start + Span::from_ms(ms);
        rig.call(|clients, cx| clients.on_wake(cx));
        rig.seen()
    };
    assert_eq!(rig.clients.deadline(), Some(start + Span::from_ms(5000)));
    rig.now = Mono(start.0 + 4_000_000);
    rig.request(1, 1, &get("/", false));
    assert_eq!(wake_at(&mut rig, 5000), Vec::<&str>::new());
    assert_eq!(wake_at(&mut rig, 8999), Vec::<&str>::new());
    assert_eq!(wake_at(&mut rig, 9000), ["abort 1 silent"]);
    assert_eq!(rig.clients.deadline(), Some(start + Span::from_ms(10_000)));
    assert_eq!(wake_at(&mut rig, 10_000), ["close 9 silent"]);
    assert_eq!(rig.clients.deadline(), None);
}

/// The timeout that it asked for now binds, even if it says nothing more.
#[test]
fn to_come_back_is_a_use_of_the_session() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    rig.open(2);
    rig.bytes(2, &connect(Some(session), &password(session), 0));
    assert!(rig.work_one(), "the question whether it lives");
    assert!(matches!(
        rig.asked.front(),
        Some(super::super::Submission::Touch { session: used, timeout_ms: 5000 }) if *used == session
    ));
}

#[test]
fn a_use_of_the_session_is_reported_once_per_moment() {
    let mut rig = Rig::new();
    rig.session(1);
    let touches = |rig: &mut Rig| {
        rig.asked
            .drain(..)
            .filter(|ask| matches!(ask, super::super::Submission::Touch { .. }))
            .count()
    };
    rig.request(1, 1, &get("/", false));
    rig.request(1, 2, &get("/", false));
    assert_eq!(touches(&mut rig), 1);
    rig.now = rig.now + Span(1);
    rig.request(1, -2, &Op::Ping);
    assert_eq!(touches(&mut rig), 1);
}
