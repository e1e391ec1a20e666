//! Watches: when they are set, what they tell, and that they tell it first.

use alloc::vec::Vec;

use super::rig::{Rig, int};
use super::{children, create, delete, exists, get, set};
use crate::acl::{Acl, Id};
use crate::wire::client::{Create, Op, ReadOp, SetWatches, WriteOp};

/// (xid, zxid, event kind) of each frame; 0 for replies.
fn frames(rig: &mut Rig, link: u64) -> Vec<(i32, i64, i32)> {
    let kind = |xid: i32, body: &[u8]| if xid == -1 { int(&body[..4]) } else { 0 };
    rig.replies(link).iter().map(|(xid, zxid, _, body)| (*xid, *zxid, kind(*xid, body))).collect()
}

#[test]
fn the_event_comes_before_the_reply_that_shows_it() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    rig.request(1, 1, &create("/a"));
    rig.work();
    rig.request(1, 2, &get("/a", true));
    rig.request(2, 1, &get("/a", true));
    rig.take_sent(1);
    rig.take_sent(2);
    rig.seen();
    rig.request(1, 3, &set("/a", b"y".to_vec()));
    rig.request(1, 4, &get("/a", false));
    rig.work();
    assert_eq!(frames(&mut rig, 1), [(-1, 4, 3), (3, 4, 0), (4, 4, 0)]);
    assert_eq!(frames(&mut rig, 2), [(-1, 4, 3)]);
    assert_eq!(rig.seen(), ["fired NodeDataChanged", "fired NodeDataChanged"]);
    rig.request(1, 5, &set("/a", b"z".to_vec()));
    rig.work();
    assert_eq!(frames(&mut rig, 1), [(5, 5, 0)], "a watch fires once");
}

#[test]
fn only_exists_watches_what_is_not_there() {
    let mut rig = Rig::new();
    rig.session(1);
    for (xid, op, watches) in [
        (1, get("/a", true), 0),
        (2, children("/a", true), 0),
        (3, exists("/a", false), 0),
        (4, exists("/a\0", true), 0),
        (5, exists("/a", true), 1),
    ] {
        rig.request(1, xid, &op);
        assert_eq!(rig.clients.watches().len(), watches, "{op:?}");
    }
    let errors: Vec<i32> = rig.replies(1).iter().map(|reply| reply.2).collect();
    assert_eq!(errors, [-101, -101, -101, -8, -101]);
    rig.request(1, 6, &create("/a"));
    rig.work();
    assert_eq!(frames(&mut rig, 1), [(-1, 2, 1), (6, 2, 0)]);
}

#[test]
fn a_watch_behind_a_write_is_set_in_its_turn() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create("/a"));
    rig.request(1, 2, &children("/a", true));
    rig.request(1, 3, &create("/a/b"));
    rig.request(1, 4, &delete("/a/b"));
    rig.work();
    assert_eq!(frames(&mut rig, 1), [(1, 2, 0), (2, 2, 0), (-1, 3, 4), (3, 3, 0), (4, 4, 0)]);
}

#[test]
fn set_watches_tells_what_was_missed_and_watches_the_rest() {
    let mut rig = Rig::new();
    rig.session(1);
    for (xid, path) in [(1, "/old"), (2, "/new")] {
        rig.request(1, xid, &create(path));
    }
    rig.work();
    rig.take_sent(1);
    let paths = |list: &[&str]| list.iter().map(|&path| path.into()).collect();
    let wanted = SetWatches {
        relative_zxid: 2,
        data: paths(&["/old", "/new", "/gone"]),
        exist: paths(&["/old", "/none"]),
        child: paths(&["/old", "/", "/gone"]),
    };
    rig.request(1, -8, &Op::Read(ReadOp::SetWatches(wanted)));
    assert_eq!(
        frames(&mut rig, 1),
        [(-1, -1, 3), (-1, -1, 2), (-1, -1, 1), (-1, -1, 4), (-1, -1, 2), (-8, 3, 0)]
    );
    assert_eq!(rig.clients.watches().len(), 3, "data /old, exist /none, child /old");
    rig.request(1, 9, &create("/none"));
    rig.work();
    assert_eq!(frames(&mut rig, 1), [(-1, 4, 1), (9, 4, 0)]);
}

#[test]
fn watches_die_with_their_link() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    rig.request(1, 1, &exists("/a", true));
    rig.call(|clients, cx| clients.on_closed(crate::ids::LinkId(1), cx));
    assert_eq!(rig.clients.watches().len(), 0);
    rig.take_sent(1);
    rig.request(2, 1, &create("/a"));
    rig.work();
    assert!(rig.take_sent(1).is_empty());
}

#[test]
fn unreadable_nodes_are_neither_shown_nor_told() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &exists("/secret", true));
    let digest = Id { scheme: "digest".into(), id: "u:hash".into() };
    let acl = [Acl { perms: 31, id: digest }].to_vec();
    let data = Some(bytes::Bytes::new());
    let path = "/secret".into();
    let secret = Create { path, data, acl: Some(acl), flags: 0, with_stat: false };
    rig.request(1, 2, &Op::Write(WriteOp::Create(secret)));
    rig.work();
    rig.request(1, 3, &get("/secret", true));
    rig.request(1, 4, &exists("/secret", true));
    rig.request(1, 5, &Op::Read(ReadOp::GetAcl { path: "/secret".into() }));
    let replies: Vec<_> = rig.replies(1).iter().map(|reply| (reply.0, reply.2)).collect();
    assert_eq!(replies, [(1, -101), (2, 0), (3, -102), (4, -102), (5, -102)]);
    assert_eq!(rig.clients.watches().len(), 0);
}

#[test]
fn digest_secrets_are_hidden_from_those_who_may_only_read() {
    let mut rig = Rig::new();
    rig.session(1);
    let digest = Id { scheme: "digest".into(), id: "u:hash".into() };
    let acl = [Acl { perms: 31, id: digest }, Acl::world(1)].to_vec();
    let data = Some(bytes::Bytes::new());
    let path = "/half".into();
    let half = Create { path, data, acl: Some(acl), flags: 0, with_stat: false };
    rig.request(1, 1, &Op::Write(WriteOp::Create(half)));
    rig.work();
    rig.take_sent(1);
    rig.request(1, 2, &Op::Read(ReadOp::GetAcl { path: "/half".into() }));
    let sent = rig.take_sent(1);
    let holds = |part: &[u8]| sent.windows(part.len()).any(|window| window == part);
    assert!(holds(b"u:x") && !holds(b"hash"));
}
