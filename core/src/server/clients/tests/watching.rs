//! Watches: when they are set, what they tell, and that they tell it first.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::rig::{Rig, int};
use super::{children, create, delete, exists, get, set};
use crate::acl::{Acl, Id};
use crate::wire::client::{
    AddMode, Create, CreateForm, LastingWatches, Op, ReadOp, SetWatches, WatchKind, WatchOp,
    WriteOp,
};

/// (xid, zxid, event kind) of each frame; 0 for replies.
pub(super) fn frames(rig: &mut Rig, link: u64) -> Vec<(i32, i64, i32)> {
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
        lasting: None,
    };
    rig.request(1, -8, &Op::Watch(WatchOp::Set(wanted)));
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
    let secret = Create { path, data, acl: Some(acl), flags: 0, form: CreateForm::Plain };
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
    let half = Create { path, data, acl: Some(acl), flags: 0, form: CreateForm::Plain };
    rig.request(1, 1, &Op::Write(WriteOp::Create(half)));
    rig.work();
    rig.take_sent(1);
    rig.request(1, 2, &Op::Read(ReadOp::GetAcl { path: "/half".into() }));
    let sent = rig.take_sent(1);
    let holds = |part: &[u8]| sent.windows(part.len()).any(|window| window == part);
    assert!(holds(b"u:x") && !holds(b"hash"));
}

pub(super) fn add(path: &str, mode: AddMode) -> Op {
    Op::Watch(WatchOp::Add { path: path.into(), mode })
}

fn remove(path: &str, kind: WatchKind) -> Op {
    Op::Watch(WatchOp::Remove { path: path.into(), kind })
}

/// Kind and path of each event that a link was sent, in order.
pub(super) fn told(rig: &mut Rig, link: u64) -> Vec<(i32, String)> {
    let replies = rig.replies(link);
    let events = replies.iter().filter(|(xid, ..)| *xid == -1);
    let path = |body: &[u8]| String::from_utf8(body[12..].to_vec()).unwrap();
    events.map(|(.., body)| (int(&body[..4]), path(body))).collect()
}

pub(super) const CREATED: i32 = 1;
pub(super) const DELETED: i32 = 2;
pub(super) const CHANGED: i32 = 3;
pub(super) const CHILDREN: i32 = 4;

#[test]
fn a_persistent_watch_is_told_of_its_node_and_its_children_for_ever() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &add("/a", AddMode::Persistent));
    assert_eq!(rig.replies(1), [(1, 1, 0, vec![0; 4])], "also where nothing is yet");
    assert_eq!(rig.clients.watches().len(), 2);
    let ops =
        [create("/a"), set("/a", vec![]), create("/a/b"), set("/a/b", vec![]), delete("/a/b")];
    for (xid, op) in (2..).zip(&ops) {
        rig.request(1, xid, op);
    }
    rig.request(1, 8, &delete("/a"));
    rig.work();
    let expected = [CREATED, CHANGED, CHILDREN, CHILDREN, DELETED];
    assert_eq!(told(&mut rig, 1), expected.map(|kind| (kind, "/a".into())));
    assert_eq!(rig.clients.watches().len(), 2);
}

#[test]
fn a_recursive_watch_is_told_of_all_below_and_of_no_list_of_children() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &add("/a", AddMode::PersistentRecursive));
    let ops = [create("/a"), create("/a/b"), create("/ab"), set("/a/b", vec![]), delete("/a/b")];
    for (xid, op) in (2..).zip(&ops) {
        rig.request(1, xid, op);
    }
    rig.work();
    let of = |kind, path: &str| (kind, path.into());
    assert_eq!(
        told(&mut rig, 1),
        [of(CREATED, "/a"), of(CREATED, "/a/b"), of(CHANGED, "/a/b"), of(DELETED, "/a/b")]
    );
    assert_eq!(rig.clients.watches().len(), 1);
}

/// One event a change, whatever watches of a connection it meets; but a deletion tells the parent's
/// watches on its own.
#[test]
fn trap_10_a_link_is_told_once_of_each_change() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create("/a"));
    rig.request(1, 2, &create("/a/b"));
    for (xid, op) in (3..).zip([
        get("/a/b", true),
        children("/a/b", true),
        add("/a/b", AddMode::Persistent),
        add("/a", AddMode::PersistentRecursive),
        children("/a", true),
    ]) {
        rig.request(1, xid, &op);
    }
    rig.work();
    rig.take_sent(1);
    rig.request(1, 10, &set("/a/b", vec![]));
    rig.request(1, 11, &delete("/a/b"));
    rig.work();
    let of = |kind, path: &str| (kind, path.into());
    assert_eq!(told(&mut rig, 1), [of(CHANGED, "/a/b"), of(DELETED, "/a/b"), of(CHILDREN, "/a")]);
    assert_eq!(rig.clients.watches().len(), 3, "persistent twice, recursive once");
    rig.request(1, 12, &Op::SetAcl { path: "/a".into(), acl: Some(Acl::open()), version: -1 });
    rig.work();
    assert_eq!(told(&mut rig, 1), [], "an ACL is nothing that watches look at");
}

#[test]
fn watches_are_checked_and_removed_by_kind() {
    use WatchKind::{Any, Children, Data, Persistent, PersistentRecursive};
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    rig.request(1, 1, &exists("/a", true));
    rig.request(1, 2, &add("/a", AddMode::Persistent));
    rig.request(2, 1, &add("/a", AddMode::PersistentRecursive));
    rig.replies(1);
    let check = |kind| Op::Watch(WatchOp::Check { path: "/a".into(), kind });
    let mut xid = 10;
    let mut code = |rig: &mut Rig, op: &Op| {
        xid += 1;
        rig.request(1, xid, op);
        rig.replies(1)[0].2
    };
    let kinds = [Children, Data, Any, Persistent, PersistentRecursive];
    assert_eq!(kinds.map(|kind| code(&mut rig, &check(kind))), [-121, 0, 0, 0, -121]);
    assert_eq!(code(&mut rig, &remove("/a", Children)), -121);
    assert_eq!(code(&mut rig, &remove("/a", PersistentRecursive)), -121, "another link's");
    assert_eq!(code(&mut rig, &remove("/a", Data)), 0);
    assert_eq!(kinds.map(|kind| code(&mut rig, &check(kind))), [-121, -121, 0, 0, -121]);
    assert_eq!(code(&mut rig, &remove("/b", Any)), -121);
    assert_eq!(code(&mut rig, &remove("/a", Any)), 0);
    assert_eq!(code(&mut rig, &remove("/a", Any)), -121);
    assert_eq!(rig.clients.watches().len(), 1, "that of the other link");
}

#[test]
fn set_watches_2_watches_again_what_lasts() {
    let mut rig = Rig::new();
    rig.session(1);
    let lasting =
        LastingWatches { persistent: ["/p".into()].into(), recursive: ["/r".into()].into() };
    let wanted = SetWatches { lasting: Some(lasting), ..SetWatches::default() };
    rig.request(1, -8, &Op::Watch(WatchOp::Set(wanted)));
    assert_eq!(rig.replies(1), [(-8, 1, 0, vec![])]);
    for (xid, path) in [(1, "/p"), (2, "/r"), (3, "/r/s")] {
        rig.request(1, xid, &create(path));
    }
    rig.work();
    let of = |path: &str| (CREATED, path.into());
    assert_eq!(told(&mut rig, 1), [of("/p"), of("/r"), of("/r/s")]);
}

#[test]
fn a_mode_or_kind_that_does_not_exist_is_a_malformed_body() {
    let mut rig = Rig::new();
    rig.session(1);
    for (xid, op, last) in [(1, 106, 2), (2, 17, 6), (3, 18, 0), (4, 106, -1)] {
        let mut frame = Vec::new();
        for part in [22_i32, xid, op, 2] {
            frame.extend_from_slice(&part.to_be_bytes());
        }
        frame.extend_from_slice(b"/a");
        frame.extend_from_slice(&i32::to_be_bytes(last));
        frame[3] = (frame.len() - 4) as u8;
        rig.bytes(1, &frame);
        assert_eq!(rig.replies(1), [(xid, 1, -5, vec![])]);
    }
}

/// What a connection is told comes before the reply that shows it, whatever kind of watch it has.
#[test]
fn trap_09_persistent_watches_too_are_told_first() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &add("/", AddMode::PersistentRecursive));
    rig.request(1, 2, &create("/a"));
    rig.request(1, 3, &get("/a", false));
    rig.work();
    assert_eq!(frames(&mut rig, 1), [(1, 1, 0), (-1, 2, 1), (2, 2, 0), (3, 2, 0)]);
}

/// An event that is hidden uses up the watch all the same.
#[test]
fn trap_11_events_are_filtered_by_the_acl_of_their_node() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    rig.request(2, 1, &exists("/secret", true));
    rig.request(2, 2, &add("/", AddMode::PersistentRecursive));
    rig.request(2, 3, &add("/", AddMode::Persistent));
    rig.work();
    rig.take_sent(2);
    let digest = Id { scheme: "digest".into(), id: "u:hash".into() };
    let acl = Some([Acl { perms: 31, id: digest }].to_vec());
    let (path, data) = ("/secret".into(), Some(bytes::Bytes::new()));
    let secret = Create { path, data, acl, flags: 0, form: CreateForm::Plain };
    rig.request(1, 1, &Op::Write(WriteOp::Create(secret)));
    rig.work();
    assert_eq!(told(&mut rig, 2), [(CHILDREN, "/".into())], "the list is the parent's to show");
    assert_eq!(rig.clients.watches().len(), 2, "one in each table");
}
