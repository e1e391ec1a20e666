//! What a client is told that comes back and sets its watches again.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::rig::{FIRST_SESSION, Rig, connect, frame, int};
use super::watching::{CHANGED, CREATED, DELETED, add, frames, told};
use super::{create, delete, get, set};
use crate::acl::{Acl, Id};
use crate::ids::{LinkId, SessionId};
use crate::session::password::password;
use crate::wire::client::{
    AddMode, Create, CreateForm, LastingWatches, Op, SetWatches, WatchKind, WatchOp, WriteOp,
};

const RECURSIVE: WatchKind = WatchKind::PersistentRecursive;

/// Persistent watches of `/p` and of all below `/r`, set again by link 2 that has seen `seen`; what it
/// is told, and the zxids of that.
fn rewatched(rig: &mut Rig, seen: i64) -> Vec<(i64, i32, String)> {
    let paths = |path: &str| [path.into()].into();
    let lasting = LastingWatches { persistent: paths("/p"), recursive: paths("/r") };
    let wanted =
        SetWatches { relative_zxid: seen, lasting: Some(lasting), ..SetWatches::default() };
    rig.take_sent(2);
    rig.request(2, -8, &Op::Watch(WatchOp::Set(wanted)));
    let replies = rig.replies(2);
    let (last, events) = replies.split_last().unwrap();
    assert_eq!((last.0, last.2), (-8, 0), "the reply comes behind all events");
    let path = |body: &[u8]| String::from_utf8(body[12..].to_vec()).unwrap();
    events.iter().map(|(_, zxid, _, body)| (*zxid, int(&body[..4]), path(body))).collect()
}

/// zxids 3 to 8: /p, /r, /r/old; /r/old goes, /r/new comes, /p is written.
fn changed() -> Rig {
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    let ops = [
        create("/p"),
        create("/r"),
        create("/r/old"),
        delete("/r/old"),
        create("/r/new"),
        set("/p", vec![]),
    ];
    for (xid, op) in (1..).zip(&ops) {
        rig.request(1, xid, op);
        rig.work();
    }
    rig
}

#[test]
fn persistent_watches_that_are_set_again_are_told_all_that_they_missed() {
    let mut rig = changed();
    let of = |zxid, kind, path: &str| (zxid, kind, path.into());
    let (gone, new, written) =
        (of(6, DELETED, "/r/old"), of(7, CREATED, "/r/new"), of(8, CHANGED, "/p"));
    assert_eq!(rewatched(&mut rig, 5), [gone, new.clone(), written.clone()]);
    assert_eq!(rewatched(&mut rig, 6), [new, written]);
    assert_eq!(rewatched(&mut rig, 8), []);
    rig.request(1, 10, &set("/r/new", vec![]));
    rig.work();
    assert_eq!(told(&mut rig, 2), [(CHANGED, "/r/new".into())]);
}

#[test]
fn where_it_is_forgotten_the_client_is_told_where_to_look() {
    let mut rig = changed();
    rig.config.event_history_bytes = 1;
    rig.request(1, 10, &create("/other"));
    rig.work();
    let of = |kind, path: &str| (-1, kind, path.into());
    assert_eq!(
        rewatched(&mut rig, 5),
        [of(CHANGED, "/p"), of(CHANGED, "/r"), of(CREATED, "/r/new")],
        "that /r/old is gone shows in /r"
    );
    assert_eq!(rewatched(&mut rig, 9), [], "nothing is forgotten that came later");
    rig.request(1, 11, &delete("/p"));
    rig.work();
    assert_eq!(rewatched(&mut rig, 8), [of(DELETED, "/p")]);
    rig.config.event_history_bytes = 0;
    assert_eq!(rewatched(&mut rig, 1), [], "as ZooKeeper does");
}

#[test]
fn a_client_that_may_not_read_is_told_neither_what_happened_nor_where_to_look() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    let digest = Id { scheme: "digest".into(), id: "u:hash".into() };
    let acl = Some([Acl { perms: 31, id: digest }].to_vec());
    let (path, data) = ("/p".into(), Some(bytes::Bytes::new()));
    let secret = Create { path, data, acl, flags: 0, form: CreateForm::Plain };
    rig.request(1, 1, &Op::Write(WriteOp::Create(secret)));
    rig.work();
    assert_eq!(rewatched(&mut rig, 2), []);
    rig.config.event_history_bytes = 1;
    rig.request(1, 2, &create("/other"));
    rig.work();
    assert_eq!(rewatched(&mut rig, 2), [(-1, DELETED, "/r".into())], "not that /p is there");
}

/// A list of more than that is no list: the client is told to look at the whole.
#[test]
fn looking_again_is_bounded() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    rig.config.event_history_bytes = 1;
    rig.config.link_high_water_bytes = 1 << 30;
    rig.request(1, 1, &create("/r"));
    for number in 0..10_005 {
        rig.request(1, number + 2, &create(&alloc::format!("/r/{number:05}")));
        rig.work();
    }
    let told = rewatched(&mut rig, 2);
    assert_eq!(told.len(), 10_002, "/p is missing; /r and 9,999 children; and /r once more");
    assert_eq!(told[1..3], [(-1, CREATED, "/r".into()), (-1, CREATED, "/r/00000".into())]);
    assert_eq!(told.last().unwrap(), &(-1, CHANGED, "/r".into()));
}

/// The reply to setWatches has the last zxid, what it found has none.
#[test]
fn trap_08_what_set_watches_finds_has_no_zxid() {
    let mut rig = changed();
    rig.take_sent(2);
    let wanted = SetWatches { data: ["/p".into()].into(), ..SetWatches::default() };
    rig.request(2, -8, &Op::Watch(WatchOp::Set(wanted)));
    assert_eq!(frames(&mut rig, 2), [(-1, -1, CHANGED), (-8, 8, 0)]);
}

#[test]
fn a_client_with_many_watches_goes_in_time() {
    let mut rig = Rig::new();
    rig.session(1);
    let paths: Vec<String> =
        (0..100_000).map(|number| alloc::format!("/some/folder/node-{number:06}")).collect();
    let lasting = LastingWatches { recursive: paths.clone(), ..LastingWatches::default() };
    let wanted = SetWatches { exist: paths, lasting: Some(lasting), ..SetWatches::default() };
    rig.config.jute_max_buffer = 64 << 20;
    rig.request(1, -8, &Op::Watch(WatchOp::Set(wanted)));
    assert_eq!(rig.clients.watches().len(), 100_000);
    rig.call(|clients, cx| clients.on_closed(LinkId(1), cx));
    assert!(rig.clients.watches().is_empty());
}

/// As Java's client comes back: its session, its identities, its watches, what it asked for.
#[test]
fn what_a_client_sends_at_once_when_it_comes_back_is_answered_in_order() {
    let mut rig = Rig::new();
    let session = rig.session(1);
    assert_eq!(session, SessionId(FIRST_SESSION));
    let digest = Id { scheme: "digest".into(), id: "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=".into() };
    let auth = Op::Auth { scheme: "digest".into(), proof: Some(b"u:p".as_slice().into()) };
    rig.request(1, -4, &auth);
    let (path, data) = ("/mine".into(), Some(bytes::Bytes::new()));
    let acl = Some([Acl { perms: 31, id: digest }].to_vec());
    let mine = Create { path, data, acl, flags: 0, form: CreateForm::Plain };
    rig.request(1, 1, &Op::Write(WriteOp::Create(mine)));
    rig.request(1, 2, &get("/mine", true));
    rig.request(1, 3, &add("/mine", AddMode::Persistent));
    rig.work();
    rig.call(|clients, cx| clients.on_closed(LinkId(1), cx));
    rig.session(2);
    rig.request(2, -4, &auth);
    rig.request(2, 1, &set("/mine", vec![]));
    rig.work();
    rig.open(3);
    let mut all = connect(Some(session), &password(session), 2);
    let lasting =
        LastingWatches { persistent: ["/mine".into()].into(), ..LastingWatches::default() };
    let again = SetWatches {
        relative_zxid: 2,
        data: ["/mine".into()].into(),
        lasting: Some(lasting),
        ..SetWatches::default()
    };
    for (xid, op) in [
        (-4, auth),
        (-8, Op::Watch(WatchOp::Set(again))),
        (4, set("/mine", vec![])),
        (5, get("/mine", false)),
    ] {
        all.extend_from_slice(&frame(xid, &op));
    }
    rig.bytes(3, &all);
    rig.work();
    // The first frame is the ConnectResponse.
    assert_eq!(
        frames(&mut rig, 3)[1..],
        [
            (-4, 0, 0),
            (-1, -1, CHANGED),
            (-1, 4, CHANGED),
            (-8, 4, 0),
            (-1, 5, CHANGED),
            (4, 5, 0),
            (5, 5, 0)
        ]
    );
}

#[test]
fn an_event_that_was_missed_answers_one_shot_watches_of_its_path_too() {
    for history in [1 << 20, 1] {
        let mut rig = changed();
        rig.config.event_history_bytes = history;
        rig.request(1, 10, &create("/other"));
        rig.work();
        let paths = |path: &str| vec![String::from(path)];
        let lasting = LastingWatches { persistent: vec![], recursive: paths("/r") };
        let wanted = SetWatches {
            relative_zxid: 5,
            data: paths("/r"),
            exist: paths("/r/old"),
            lasting: Some(lasting),
            ..SetWatches::default()
        };
        rig.request(2, -8, &Op::Watch(WatchOp::Set(wanted)));
        rig.request(2, 1, &Op::Watch(WatchOp::Remove { path: "/r".into(), kind: RECURSIVE }));
        rig.work();
        let missed = told(&mut rig, 2);
        let answered = |kind, path: &str| missed.contains(&(kind, path.into()));
        let (root, old) = (answered(CHANGED, "/r"), answered(DELETED, "/r/old"));
        assert_eq!((root, old), if history == 1 { (true, false) } else { (false, true) });
        rig.request(1, 11, &set("/r", vec![]));
        rig.request(1, 12, &create("/r/old"));
        rig.work();
        let mut left = Vec::new();
        if !root {
            left.push((CHANGED, "/r".into()));
        }
        if !old {
            left.push((CREATED, "/r/old".into()));
        }
        assert_eq!(told(&mut rig, 2), left);
    }
}
