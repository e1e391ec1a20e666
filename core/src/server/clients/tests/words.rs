//! Four-letter words on the client port.

use alloc::vec::Vec;

use super::rig::Rig;
use super::{create, exists};
use crate::admin::report::AttachedSession;
use crate::admin::summary::Summary;
use crate::admin::traffic::{LinkTraffic, Traffic};
use crate::ids::{LinkId, Xid};
use crate::server::clients::Submission;
use crate::time::Mono;
use crate::wire::client::Op;

#[test]
fn words_are_answered_and_end_the_connection() {
    let mut rig = Rig::new();
    rig.open(1);
    for byte in b"srvr\n" {
        rig.bytes(1, &[*byte]);
    }
    assert!(matches!(rig.asked.front(), Some(Submission::Word { word: "srvr", .. })));
    rig.work();
    assert_eq!(rig.take_sent(1), b"srvr", "the rig answers with the word itself");
    assert_eq!(rig.seen(), ["close 1 finished"]);
}

#[test]
fn words_are_looked_for_in_the_first_four_bytes_only() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.seen();
    rig.bytes(1, b"ruok");
    assert_eq!(rig.seen(), ["close 1 too long"], "the length of a frame");
}

#[test]
fn telnet_may_leave() {
    let mut rig = Rig::new();
    rig.open(1);
    rig.bytes(1, &[0xff, 0xf4, 0xff, 0xfd]);
    assert_eq!(rig.seen(), ["close 1 finished"]);
}

#[test]
fn connections_count_what_they_carried() {
    let mut rig = Rig::new();
    let session = rig.session(2);
    rig.open(1);
    rig.now = Mono(rig.now.0 + 4_000);
    rig.request(2, 7, &create("/a"));
    rig.now = Mono(rig.now.0 + 6_000);
    rig.work();
    rig.request(2, -2, &Op::Ping);
    let connections = rig.clients.connections();
    assert_eq!(connections.iter().map(|one| one.link).collect::<Vec<_>>(), [LinkId(1), LinkId(2)]);
    let attached = &connections[1];
    let expected = AttachedSession { id: session, timeout_ms: 5000 };
    assert_eq!(attached.session, Some(expected));
    let traffic = attached.traffic;
    assert_eq!((traffic.received, traffic.sent), (3, 3), "connect, create, ping");
    let last = traffic.last.expect("a ping was answered");
    assert_eq!((last.operation, traffic.last_xid), ("PING", Some(Xid(7))));
    let latency = Summary { count: 3, total: 6, min: 0, max: 6 };
    assert_eq!(traffic.latency, latency);

    let all = rig.clients.traffic();
    assert_eq!((all.latency, all.reads.count, all.updates.count), (latency, 1, 2));
    assert_eq!((all.received, all.sent, all.connection_requests), (3, 3, 1));
    assert_eq!(all.response_bytes, (16 + 4 + 2) + 16, "the reply to create, the reply to ping");

    rig.call(|clients, _| clients.reset_links());
    assert_eq!(rig.clients.connections()[1].traffic, LinkTraffic::default());
    assert_eq!(rig.clients.traffic().sent, 3);
    rig.call(|clients, _| clients.reset_traffic());
    assert_eq!(*rig.clients.traffic(), Traffic::default());
}

#[test]
fn watch_events_are_counted_apart_from_replies() {
    let mut rig = Rig::new();
    for link in [1, 2] {
        rig.session(link);
        rig.request(link, 1, &exists("/a", true));
    }
    let before = rig.clients.traffic().response_bytes;
    rig.request(1, 2, &create("/a"));
    rig.work();
    let traffic = rig.clients.traffic();
    assert_eq!(traffic.told.created, Summary { count: 1, total: 2, min: 2, max: 2 });
    assert_eq!(traffic.watch_bytes, 2 * (16 + 8 + 4 + 2));
    assert_eq!(traffic.response_bytes - before, 16 + 4 + 2);
}
