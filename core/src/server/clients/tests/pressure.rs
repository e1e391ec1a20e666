//! Back pressure: reading stops first, and only replies that pile up close a link.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::rig::{Rig, config, frame};
use super::{children, create, get, set};
use crate::config::Config;
use crate::ids::LinkId;
use crate::wire::client::{MultiRead, Op, ReadOp, ReadPart, SetWatches, WatchOp};

fn small() -> Rig {
    let mut rig = Rig::with(Config {
        link_high_water_bytes: 1000,
        link_limit_bytes: 4000,
        global_outstanding_limit: 3,
        ..config()
    });
    rig.session(1);
    rig.request(1, 1, &create("/a"));
    rig.work();
    rig.request(1, 2, &set("/a", vec![7; 400]));
    rig.work();
    let sent = 10_000;
    rig.call(|clients, cx| clients.on_sent(LinkId(1), sent, cx));
    rig.take_sent(1);
    rig.seen();
    rig
}

/// A getData reply: frame length, header, data, Stat.
const REPLY: u64 = 4 + 16 + 4 + 400 + 68;

#[test]
fn a_client_that_does_not_read_is_not_read() {
    let mut rig = small();
    let mut chunk = Vec::new();
    for xid in 10..20 {
        chunk.extend(frame(xid, &get("/a", false)));
    }
    rig.bytes(1, &chunk);
    assert_eq!(rig.xids(1), [10, 11, 12], "the third reply went over the mark");
    assert_eq!(rig.seen(), ["hold 1"]);
    rig.call(|clients, cx| clients.on_sent(LinkId(1), 2 * REPLY - 100, cx));
    assert_eq!(rig.xids(1), [], "not yet below half of the mark");
    rig.call(|clients, cx| clients.on_sent(LinkId(1), 100, cx));
    assert_eq!(rig.xids(1), [13, 14]);
    assert!(rig.seen().is_empty(), "over the mark again, still held");
    for _ in 0..5 {
        rig.call(|clients, cx| clients.on_sent(LinkId(1), 3 * REPLY, cx));
    }
    assert_eq!(rig.xids(1), [15, 16, 17, 18, 19]);
    assert_eq!(rig.seen(), ["resume 1"]);
}

#[test]
fn reads_behind_the_last_write_wait_for_credit() {
    let mut rig = small();
    rig.config.global_outstanding_limit = 100;
    rig.request(1, 9, &set("/a", vec![7; 400]));
    for xid in 10..30 {
        rig.request(1, xid, &get("/a", false));
    }
    rig.work();
    assert_eq!(rig.xids(1), [9, 10, 11], "then the mark is reached");
    assert_eq!(rig.seen(), ["hold 1"]);
    assert_eq!(rig.clients.outstanding(), 18);
    for _ in 0..20 {
        rig.call(|clients, cx| clients.on_sent(LinkId(1), 2 * REPLY, cx));
    }
    assert_eq!(rig.xids(1), (12..30).collect::<Vec<_>>());
    assert_eq!(rig.seen(), ["resume 1"]);
    assert_eq!(rig.clients.outstanding(), 0);
}

#[test]
fn reads_in_front_of_a_write_never_wait_and_may_cost_the_link() {
    let mut rig = small();
    rig.config.global_outstanding_limit = 100;
    rig.request(1, 9, &set("/a", vec![7; 400]));
    for xid in 10..14 {
        rig.request(1, xid, &get("/a", false));
    }
    rig.request(1, 14, &set("/a", vec![8; 400]));
    rig.work_one();
    rig.work_one();
    assert_eq!(rig.xids(1), [9, 10, 11, 12, 13], "they must not see the write behind them");
    rig.work();

    let mut rig = small();
    rig.config.global_outstanding_limit = 100;
    rig.request(1, 9, &set("/a", vec![7; 400]));
    for xid in 10..30 {
        rig.request(1, xid, &get("/a", false));
    }
    rig.request(1, 30, &set("/a", vec![8; 400]));
    rig.work();
    assert_eq!(rig.seen(), ["abort 1 too slow"]);
    assert_eq!(rig.clients.outstanding(), 0);
}

#[test]
fn events_that_pile_up_close_the_link() {
    let mut rig = small();
    rig.session(2);
    let paths: Vec<String> = (0..200).map(|number| format!("/n{number}")).collect();
    let wanted = SetWatches { exist: paths.clone(), ..SetWatches::default() };
    rig.request(2, -8, &Op::Watch(WatchOp::Set(wanted)));
    rig.seen();
    for (xid, path) in (10..).zip(&paths) {
        rig.request(1, xid, &create(path));
        rig.work();
        rig.call(|clients, cx| clients.on_sent(LinkId(1), 1000, cx));
    }
    let mut seen = rig.seen();
    let fired = seen.iter().filter(|what| what.starts_with("fired")).count();
    seen.retain(|what| !what.starts_with("fired"));
    assert_eq!(seen, ["hold 2", "abort 2 too slow"]);
    assert!((100..130).contains(&fired), "{fired} events fill the cap");
    assert_eq!(rig.clients.watches().len(), 0);
}

#[test]
fn too_many_outstanding_requests_hold_those_who_have_some() {
    let mut rig = small();
    rig.session(2);
    rig.seen();
    let mut chunk = Vec::new();
    for xid in 10..20 {
        chunk.extend(frame(xid, &set("/a", vec![1])));
    }
    rig.bytes(1, &chunk);
    assert_eq!(rig.asked_cxids(), [10, 11, 12, 13], "one over the limit");
    assert_eq!(rig.seen(), ["hold 1"]);
    rig.request(2, 1, &Op::Ping);
    rig.request(2, 2, &set("/a", vec![2]));
    rig.request(2, 3, &set("/a", vec![2]));
    assert_eq!(rig.asked_cxids(), [10, 11, 12, 13, 2], "a link without any is still served");
    assert_eq!(rig.seen(), ["hold 2"]);
    rig.work();
    assert_eq!(rig.xids(1), (10..20).collect::<Vec<_>>());
    assert_eq!(rig.xids(2), [-2, 2, 3]);
    let mut seen = rig.seen();
    seen.sort();
    seen.dedup();
    assert!(seen.contains(&"resume 1".into()) && seen.contains(&"resume 2".into()));
    assert_eq!(rig.clients.outstanding(), 0);
}

#[test]
fn a_held_link_goes_on_when_others_are_answered() {
    let mut rig = small();
    rig.session(2);
    for xid in 10..14 {
        rig.request(1, xid, &set("/a", vec![1]));
    }
    rig.seen();
    rig.bytes(2, &[frame(1, &set("/a", vec![2])), frame(2, &set("/a", vec![2]))].concat());
    assert_eq!(rig.seen(), ["hold 2"]);
    assert_eq!(rig.asked_cxids(), [10, 11, 12, 13, 1]);
    while rig.asked_cxids()[0] < 11 {
        rig.work_one();
    }
    assert_eq!(rig.asked_cxids(), [11, 12, 13, 1], "four are outstanding");
    while rig.asked_cxids()[0] < 12 {
        rig.work_one();
    }
    assert_eq!(rig.asked_cxids(), [12, 13, 1, 2], "the freed place is link 2's");
    assert_eq!(rig.seen(), ["resume 1"], "link 2 filled the last place again");
}

fn throttled() -> Rig {
    let mut rig = small();
    rig.config.throttle_requests = 2;
    rig.config.global_outstanding_limit = 100;
    for link in 2..5 {
        rig.session(link);
    }
    rig.seen();
    rig
}

fn writes(first: i32, count: i32) -> Vec<u8> {
    (first..first + count).flat_map(|xid| frame(xid, &set("/a", vec![1])).to_vec()).collect()
}

#[test]
fn where_requests_are_throttled_nobody_asks_for_more() {
    let mut rig = throttled();
    rig.bytes(1, &writes(10, 5));
    assert_eq!(rig.asked_cxids(), [10, 11]);
    assert_eq!(rig.seen(), ["hold 1"]);
    rig.bytes(2, &frame(1, &get("/a", false)));
    assert_eq!(
        (rig.xids(2), rig.seen()),
        (vec![], vec![String::from("hold 2")]),
        "not even to read"
    );
    rig.work();
    assert_eq!(rig.xids(1), (10..15).collect::<Vec<_>>());
    assert_eq!(rig.xids(2), [1]);
    assert_eq!(rig.clients.outstanding(), 0);
}

#[test]
fn those_who_are_throttled_take_turns() {
    let mut rig = throttled();
    for link in 1..5 {
        rig.bytes(link, &writes(100 * link as i32, 3));
    }
    assert_eq!(rig.asked_cxids(), [100, 101]);
    let mut order = Vec::new();
    while let Some(first) = rig.asked_cxids().first().copied() {
        order.push(first);
        rig.work_one();
    }
    // A use of a session is work of its own.
    order.dedup();
    let places: Vec<i32> = order.iter().map(|cxid| cxid / 100).collect();
    assert_eq!(places, [1, 1, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4]);
    let seen = rig.seen();
    for link in 1..5 {
        let resumed = format!("resume {link}");
        assert_eq!(seen.iter().rfind(|what| what.ends_with(&resumed[6..])), Some(&resumed));
    }
}

#[test]
fn a_reply_to_a_read_that_no_client_would_take_is_an_error() {
    for (bounded_replies, code) in [(true, -5), (false, 0)] {
        let mut rig = Rig::with(Config { jute_max_buffer: 200, bounded_replies, ..config() });
        rig.session(1);
        for number in 0..20 {
            rig.request(1, number, &create(&format!("/a-long-name-{number}")));
        }
        rig.work();
        rig.take_sent(1);
        rig.request(1, 50, &children("/", false));
        let listing = rig.replies(1).remove(0);
        assert_eq!((listing.0, listing.2), (50, code));
        rig.request(1, 51, &get("/", false));
        assert_eq!(rig.replies(1)[0].2, 0, "the connection goes on");
    }
}

/// Each part names the same node of 400 bytes; with or without the switch, so many are never put together.
#[test]
fn a_multi_read_that_asks_for_one_node_again_and_again_ends_in_an_error() {
    for (parts, bounded_replies, code) in
        [(7, false, 0), (9, false, -5), (7, true, 0), (9, true, -5)]
    {
        let mut rig = small();
        rig.config.bounded_replies = bounded_replies;
        rig.config.jute_max_buffer = 4000;
        let part = ReadPart::GetData { path: "/a".into() };
        let reads = ReadOp::Multi(MultiRead::Reads(vec![part; parts]));
        rig.request(1, 50, &Op::Read(reads));
        assert_eq!(rig.replies(1)[0].2, code, "{parts} parts, bounded: {bounded_replies}");
    }
}
