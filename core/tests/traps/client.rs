//! T1 to T31: what clients meet.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use vivarium_core::storage::files::Dir;

use crate::rig::{Granted, Reply, Rig, TIMEOUT_MS, buffer, config, connect, framed};

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const SET_ACL: i32 = 7;
const GET_CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const PING: i32 = 11;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE2: i32 = 15;
const CREATE_CONTAINER: i32 = 19;
const DELETE_CONTAINER: i32 = 20;
const AUTH: i32 = 100;
const SET_WATCHES: i32 = 101;
const SASL: i32 = 102;
const CREATE_SESSION: i32 = -10;

const EVENT_XID: i32 = -1;
const PING_XID: i32 = -2;
const WATCHES_XID: i32 = -8;

const MARSHALLING_ERROR: i32 = -5;
const UNIMPLEMENTED: i32 = -6;
const BAD_ARGUMENTS: i32 = -8;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const AUTH_FAILED: i32 = -115;

const READ: i32 = 1;
const ALL: i32 = 31;

fn body(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.into()
}

fn text(out: &mut BytesMut, text: &str) {
    buffer(out, Some(text.as_bytes()));
}

fn list(out: &mut BytesMut, entries: &[(i32, &str, &str)]) {
    out.put_i32(entries.len() as i32);
    for (perms, scheme, id) in entries {
        out.put_i32(*perms);
        text(out, scheme);
        text(out, id);
    }
}

fn create_as(path: &str, data: Option<&[u8]>, acl: &[(i32, &str, &str)], flags: i32) -> Vec<u8> {
    body(|out| {
        text(out, path);
        buffer(out, data);
        list(out, acl);
        out.put_i32(flags);
    })
}

fn create(path: &str) -> Vec<u8> {
    create_as(path, Some(b"x"), &[(ALL, "world", "anyone")], 0)
}

fn ephemeral(path: &str) -> Vec<u8> {
    create_as(path, Some(b"x"), &[(ALL, "world", "anyone")], 1)
}

fn sequential(path: &str) -> Vec<u8> {
    create_as(path, Some(b"x"), &[(ALL, "world", "anyone")], 2)
}

/// delete, check.
fn at_version(path: &str, version: i32) -> Vec<u8> {
    body(|out| {
        text(out, path);
        out.put_i32(version);
    })
}

fn set_data(path: &str) -> Vec<u8> {
    body(|out| {
        text(out, path);
        buffer(out, Some(b"y"));
        out.put_i32(-1);
    })
}

fn watching(path: &str, watch: bool) -> Vec<u8> {
    body(|out| {
        text(out, path);
        out.put_u8(u8::from(watch));
    })
}

fn set_watches(relative_zxid: i64, data: &str, exists: &str, child: &str) -> Vec<u8> {
    body(|out| {
        out.put_i64(relative_zxid);
        for path in [data, exists, child] {
            out.put_i32(i32::from(!path.is_empty()));
            if !path.is_empty() {
                text(out, path);
            }
        }
    })
}

fn auth(scheme: &str, proof: &[u8]) -> Vec<u8> {
    body(|out| {
        out.put_i32(0);
        text(out, scheme);
        buffer(out, Some(proof));
    })
}

fn multi(ops: &[(i32, Vec<u8>)]) -> Vec<u8> {
    body(|out| {
        for (op, body) in ops {
            out.put_i32(*op);
            out.put_u8(0);
            out.put_i32(-1);
            out.put_slice(body);
        }
        out.put_i32(-1);
        out.put_u8(1);
        out.put_i32(-1);
    })
}

/// The types and codes of a multi's results, taken from the headers; `bodies` says how long each body is.
fn results(mut reply: Bytes, bodies: impl Fn(i32, &Bytes) -> usize) -> Vec<(i32, i32)> {
    let mut found = Vec::new();
    loop {
        let (kind, done, err) = (reply.get_i32(), reply.get_u8() == 1, reply.get_i32());
        if done {
            assert!(reply.is_empty(), "nothing follows the last header");
            return found;
        }
        found.push((kind, err));
        let len = bodies(kind, &reply);
        reply.advance(len);
    }
}

const STAT_LEN: usize = 68;

/// Of the client's form.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cversion: i32,
    owner: i64,
}

fn stat(mut bytes: Bytes) -> Stat {
    assert_eq!(bytes.len(), STAT_LEN);
    bytes.advance(4 * 8 + 4);
    let cversion = bytes.get_i32();
    bytes.advance(4);
    Stat { cversion, owner: bytes.get_i64() }
}

fn path_of(reply: &Reply) -> String {
    let mut bytes = reply.body.clone();
    let len = bytes.get_i32() as usize;
    String::from_utf8(bytes.split_to(len).to_vec()).unwrap()
}

/// Kind and path.
fn event(reply: &Reply) -> (i32, String) {
    assert_eq!(reply.xid, EVENT_XID, "an event: {reply:?}");
    let mut bytes = reply.body.clone();
    let kind = bytes.get_i32();
    assert_eq!(bytes.get_i32(), 3, "SyncConnected");
    let len = bytes.get_i32() as usize;
    (kind, String::from_utf8(bytes.split_to(len).to_vec()).unwrap())
}

fn opened() -> (Rig, u64) {
    let mut rig = Rig::new();
    let (link, _) = rig.session();
    (rig, link)
}

#[test]
fn trap_01_a_failed_write_takes_a_zxid_and_a_place_in_the_log() {
    let (mut rig, link) = opened();
    let before = rig.applied() as i64;
    let failed = rig.ask(link, CREATE, &create("/missing/a"));
    assert_eq!((failed.err, failed.zxid), (NO_NODE, before + 1));
    let read = rig.ask(link, EXISTS, &watching("/missing", false));
    assert_eq!((read.err, read.zxid), (NO_NODE, before + 1), "a failed read takes none");
    assert_eq!(rig.ask(link, CREATE, &create("/a")).zxid, before + 2);
    rig.ask(link, DELETE, &at_version("/b", -1));
    let rig = rig.restart();
    assert_eq!(rig.applied() as i64, before + 3, "the last record is that of a failure");
}

#[test]
fn trap_02_a_body_that_cannot_be_read_is_answered_and_not_logged() {
    let (mut rig, link) = opened();
    let before = rig.applied() as i64;
    let mut cut = set_data("/a");
    cut.truncate(5);
    for (op, body) in [(SET_DATA, cut), (MULTI, vec![0, 0, 0, 99, 0, 0, 0, 0, 0])] {
        let refused = rig.ask(link, op, &body);
        assert_eq!((refused.err, refused.zxid), (MARSHALLING_ERROR, before));
        assert!(!rig.is_closed(link));
    }
    assert_eq!(rig.ask(link, CREATE, &create("/a")).zxid, before + 1, "no zxid comes twice");
}

#[test]
fn trap_03_a_failed_multi_is_ok_in_its_header_alone() {
    let (mut rig, link) = opened();
    let ops = [
        (CREATE, create("/a")),
        (DELETE, at_version("/missing", -1)),
        (SET_DATA, set_data("/b")),
        (CREATE, create("/c")),
    ];
    let reply = rig.ask(link, MULTI, &multi(&ops));
    assert_eq!(reply.err, 0);
    let found = results(reply.body, |_, _| 4);
    assert_eq!(found, [(-1, 0), (-1, NO_NODE), (-1, -2), (-1, -2)]);
    assert_eq!(rig.ask(link, EXISTS, &watching("/a", false)).err, NO_NODE, "nothing is left of it");
}

#[test]
fn trap_04_results_of_a_multi_name_their_kinds() {
    let (mut rig, link) = opened();
    let container = create_as("/k", None, &[(ALL, "world", "anyone")], 4);
    let ops = [
        (CREATE, create("/a")),
        (CREATE2, create("/b")),
        (CREATE_CONTAINER, container),
        (CHECK, at_version("/a", 0)),
        (SET_DATA, set_data("/a")),
        (DELETE, at_version("/b", -1)),
    ];
    let reply = rig.ask(link, MULTI, &multi(&ops));
    let found = results(reply.body, |kind, rest| {
        let path = || 4 + rest.clone().get_i32() as usize;
        match kind {
            CREATE => path(),
            CREATE2 => path() + STAT_LEN,
            SET_DATA => STAT_LEN,
            _ => 0,
        }
    });
    let kinds: Vec<_> = found.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [CREATE, CREATE2, CREATE2, CHECK, SET_DATA, DELETE]);
}

#[test]
fn trap_05_the_read_only_byte_is_echoed_to_who_sent_it() {
    let mut rig = Rig::new();
    for (has_byte, len) in [(true, 37), (false, 36)] {
        let link = rig.open();
        let granted = rig.connect(link, &connect(0, &[0; 16], 0, has_byte)).unwrap();
        assert_eq!((granted.len, granted.timeout_ms), (len, TIMEOUT_MS));
    }
}

#[test]
fn trap_06_a_wrong_password_is_told_and_harms_nobody() {
    let mut rig = Rig::new();
    let (link, granted) = rig.session();
    let stranger = rig.open();
    let refused = rig.connect(stranger, &connect(granted.session, &[9; 16], 0, true)).unwrap();
    let zeros = Bytes::from_static(&[0; 16]);
    let nothing = Granted { timeout_ms: 0, session: 0, password: zeros, len: 37 };
    assert_eq!(refused, nothing);
    assert!(rig.is_closed(stranger));
    assert!(!rig.is_closed(link), "whoever guesses an id kicks nobody out");
    assert_eq!(rig.ask(link, CREATE, &create("/a")).err, 0);
}

#[test]
fn trap_07_a_client_that_saw_more_is_sent_away_without_a_word() {
    let mut rig = Rig::new();
    let link = rig.open();
    let ahead = rig.applied() as i64 + 1;
    assert_eq!(rig.connect(link, &connect(0, &[0; 16], ahead, true)), None);
    assert!(rig.is_closed(link));
}

#[test]
fn trap_08_each_kind_of_reply_has_a_zxid_of_its_own() {
    let (mut rig, link) = opened();
    let last = rig.ask(link, CREATE, &create("/a")).zxid;
    assert_eq!(last, rig.applied() as i64);
    let pong = rig.all(link, PING_XID, PING, &[]);
    assert_eq!((pong[0].xid, pong[0].zxid), (PING_XID, last));
    assert_eq!(rig.ask(link, SYNC, &body(|out| text(out, "/"))).zxid, last);
    let identity = rig.all(link, -4, AUTH, &auth("digest", b"me:secret"));
    assert_eq!((identity[0].xid, identity[0].zxid, identity[0].err), (-4, 0, 0));
    assert_eq!(rig.ask(link, SASL, &body(|out| buffer(out, Some(b"")))).zxid, 0);
    let set = rig.all(link, WATCHES_XID, SET_WATCHES, &set_watches(0, "", "/a", "/gone"));
    let told: Vec<_> = set.iter().map(|reply| (reply.xid, reply.zxid)).collect();
    assert_eq!(told, [(EVENT_XID, -1), (EVENT_XID, -1), (WATCHES_XID, last)]);
    let unknown = rig.ask(link, 99, &[]);
    assert_eq!((unknown.err, unknown.zxid), (UNIMPLEMENTED, -1));
}

#[test]
fn trap_09_an_event_comes_before_the_reply_that_shows_it() {
    let (mut rig, link) = opened();
    let (other, _) = rig.session();
    rig.ask(link, EXISTS, &watching("/a", true));
    rig.ask(other, EXISTS, &watching("/a", true));
    let own = rig.all(link, 5, CREATE, &create("/a"));
    assert_eq!(event(&own[0]), (1, "/a".into()));
    assert_eq!((own[1].xid, own.len()), (5, 2));
    let shown = rig.all(other, 6, GET_DATA, &watching("/a", false));
    assert_eq!(event(&shown[0]), (1, "/a".into()));
    assert_eq!((shown[1].xid, shown.len()), (6, 2));
}

#[test]
fn trap_10_a_deletion_is_told_once_and_then_to_the_parent() {
    let (mut rig, link) = opened();
    rig.ask(link, CREATE, &create("/a"));
    rig.ask(link, CREATE, &create("/a/b"));
    for (op, path) in
        [(EXISTS, "/a/b"), (GET_DATA, "/a/b"), (GET_CHILDREN, "/a/b"), (GET_CHILDREN, "/a")]
    {
        rig.ask(link, op, &watching(path, true));
    }
    let told = rig.all(link, 5, DELETE, &at_version("/a/b", -1));
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(event(&told[0]), (2, "/a/b".into()));
    assert_eq!(event(&told[1]), (4, "/a".into()));
    rig.ask(link, EXISTS, &watching("/a", true));
    let acl = body(|out| {
        text(out, "/a");
        list(out, &[(ALL, "world", "anyone")]);
        out.put_i32(-1);
    });
    assert_eq!(rig.all(link, 6, SET_ACL, &acl).len(), 1, "a new access list is told to nobody");
    assert_eq!(event(&rig.all(link, 7, SET_DATA, &set_data("/a"))[0]), (3, "/a".into()));
}

#[test]
fn trap_11_who_may_not_read_a_node_hears_nothing_of_it() {
    let (mut rig, link) = opened();
    let (other, _) = rig.session();
    rig.all(link, -4, AUTH, &auth("digest", b"me:secret"));
    rig.ask(other, EXISTS, &watching("/a", true));
    let mine = create_as("/a", None, &[(ALL, "auth", "")], 0);
    assert_eq!(rig.ask(link, CREATE, &mine).err, 0);
    assert_eq!(rig.replies(other), [], "its creation is not told");
    assert_eq!(rig.ask(other, EXISTS, &watching("/a", false)).err, NO_AUTH);
    assert_eq!(rig.ask(link, EXISTS, &watching("/a", false)).err, 0);
}

#[test]
fn trap_12_reads_take_any_path_for_one_that_is_not_there() {
    let (mut rig, link) = opened();
    for path in ["a", "//", "/a//b", "/a/../b", "/a/"] {
        assert_eq!(rig.ask(link, EXISTS, &watching(path, false)).err, NO_NODE, "{path}");
    }
    for (path, err) in [("a", BAD_ARGUMENTS), ("/..", BAD_ARGUMENTS), ("/a/../b", NO_NODE)] {
        assert_eq!(rig.ask(link, CREATE, &create(path)).err, err, "{path}");
    }
}

#[test]
fn trap_13_children_are_sorted() {
    let (mut rig, link) = opened();
    for name in ["/b", "/a", "/c", "/B"] {
        rig.ask(link, CREATE, &create(name));
    }
    let mut names = rig.ask(link, GET_CHILDREN, &watching("/", false)).body;
    let count = names.get_i32();
    let name = |_| {
        let len = names.get_i32() as usize;
        String::from_utf8(names.split_to(len).to_vec()).unwrap()
    };
    let names: Vec<_> = (0..count).map(name).collect();
    assert_eq!(names, ["B", "a", "b", "c", "zookeeper"]);
}

#[test]
fn trap_14_only_ephemeral_nodes_show_an_owner() {
    let mut rig = Rig::new();
    let (link, granted) = rig.session();
    rig.ask(link, CREATE, &ephemeral("/e"));
    let container = create_as("/k", None, &[(ALL, "world", "anyone")], 4);
    assert_eq!(rig.ask(link, CREATE_CONTAINER, &container).err, 0);
    for (path, owner) in [("/e", granted.session), ("/k", 0)] {
        let found = rig.ask(link, EXISTS, &watching(path, false));
        assert_eq!(stat(found.body).owner, owner, "{path}");
    }
}

#[test]
fn trap_15_cversion_counts_creates_twice_and_takes_the_children_off() {
    let (mut rig, link) = opened();
    let cversion =
        |rig: &mut Rig, path| stat(rig.ask(link, EXISTS, &watching(path, false)).body).cversion;
    assert_eq!(cversion(&mut rig, "/zookeeper"), -2);
    rig.ask(link, CREATE, &create("/a"));
    for (step, expected) in [("/a/x", 1), ("/a/y", 2)] {
        rig.ask(link, CREATE, &create(step));
        assert_eq!(cversion(&mut rig, "/a"), expected);
    }
    rig.ask(link, DELETE, &at_version("/a/x", -1));
    assert_eq!(cversion(&mut rig, "/a"), 3);
}

#[test]
fn trap_16_a_sequence_number_counts_all_that_was_ever_created_beside() {
    let (mut rig, link) = opened();
    rig.ask(link, CREATE, &create("/a"));
    rig.ask(link, CREATE, &create("/a/plain"));
    rig.ask(link, DELETE, &at_version("/a/plain", -1));
    assert_eq!(path_of(&rig.ask(link, CREATE, &sequential("/a/s-"))), "/a/s-0000000001");
    assert_eq!(path_of(&rig.ask(link, CREATE, &sequential("/a/t-"))), "/a/t-0000000002");
}

#[test]
fn trap_20_the_configuration_is_for_everybody_to_read_and_for_nobody_to_write() {
    let (mut rig, link) = opened();
    assert_eq!(rig.ask(link, GET_DATA, &watching("/zookeeper/config", false)).err, 0);
    assert_eq!(rig.ask(link, SET_DATA, &set_data("/zookeeper/config")).err, NO_AUTH);
}

#[test]
fn trap_21_a_session_ends_with_a_tick_and_names_what_goes_with_it() {
    let (mut rig, link) = opened();
    rig.ask(link, CREATE, &ephemeral("/e"));
    let before = rig.applied();
    rig.wait_ms(TIMEOUT_MS as u64 - 1000);
    assert_eq!(rig.applied(), before, "not before its timeout");
    rig.wait_ms(2000);
    assert_eq!(rig.applied(), before + 1, "one tick behind it at most");
    assert!(rig.is_closed(link));
    let logged = rig.disk.list(Dir::Data).into_iter().find(|file| file.name.starts_with("log."));
    let name = logged.expect("a log").name;
    let log = rig.disk.content(&vivarium_core::storage::files::FileName::new(Dir::Data, name));
    let closed = body(|out| {
        out.put_i32(-11);
        out.put_i32(1);
        text(out, "/e");
    });
    let log = log.expect("a log");
    assert!(log.windows(closed.len()).any(|part| part == closed), "the path is in the record");
}

#[test]
fn trap_22_the_connection_that_a_session_left_is_closed_without_a_word() {
    let mut rig = Rig::new();
    let (old, granted) = rig.session();
    let new = rig.open();
    let again = rig.connect(new, &connect(granted.session, &granted.password, 0, true)).unwrap();
    assert_eq!(again.session, granted.session);
    assert!(rig.is_closed(old));
    assert_eq!(rig.replies(old), []);
    assert_eq!(rig.ask(new, CREATE, &create("/a")).err, 0);
}

#[test]
fn trap_24_what_servers_say_among_themselves_is_refused_from_clients() {
    for (op, body) in [
        (CREATE_SESSION, body(|out| out.put_i32(4000))),
        (DELETE_CONTAINER, body(|out| text(out, "/a"))),
    ] {
        let (mut rig, link) = opened();
        let refused = rig.ask(link, op, &body);
        assert_eq!((refused.err, refused.zxid), (UNIMPLEMENTED, -1), "opcode {op}");
        assert!(rig.is_closed(link));
    }
}

#[test]
fn trap_25_some_characters_are_in_no_path() {
    let (mut rig, link) = opened();
    for path in ["/\u{1f600}", "/\u{f000}", "/\u{fff1}", "/\u{1}", "/\u{7f}"] {
        assert_eq!(rig.ask(link, CREATE, &create(path)).err, BAD_ARGUMENTS, "{path:?}");
    }
    assert_eq!(rig.ask(link, CREATE, &create("/ü中")).err, 0);
}

#[test]
fn trap_26_no_data_is_not_empty_data() {
    let (mut rig, link) = opened();
    for (path, data, len) in [("/null", None, -1), ("/empty", Some(&b""[..]), 0)] {
        rig.ask(link, CREATE, &create_as(path, data, &[(ALL, "world", "anyone")], 0));
        let mut found = rig.ask(link, GET_DATA, &watching(path, false)).body;
        assert_eq!(found.get_i32(), len, "{path}");
    }
}

#[test]
fn trap_27_who_fails_to_say_who_he_is_is_told_and_sent_away() {
    for scheme in ["nosuch", "sasl"] {
        let (mut rig, link) = opened();
        let refused = rig.all(link, -4, AUTH, &auth(scheme, b"x"));
        assert_eq!((refused[0].xid, refused[0].err), (-4, AUTH_FAILED), "{scheme}");
        assert!(rig.is_closed(link));
    }
    let (mut rig, link) = opened();
    let token = rig.ask(link, SASL, &body(|out| buffer(out, Some(b"token"))));
    assert_eq!((token.err, &token.body[..]), (0, &(-1_i32).to_be_bytes()[..]));
    assert!(!rig.is_closed(link));
}

#[test]
fn trap_28_an_identity_ends_with_its_connection() {
    let mut rig = Rig::new();
    let (link, granted) = rig.session();
    rig.all(link, -4, AUTH, &auth("digest", b"me:secret"));
    rig.ask(link, CREATE, &create_as("/mine", None, &[(READ, "auth", "")], 0));
    assert_eq!(rig.ask(link, GET_DATA, &watching("/mine", false)).err, 0);
    let again = rig.open();
    rig.connect(again, &connect(granted.session, &granted.password, 0, true)).unwrap();
    assert_eq!(rig.ask(again, GET_DATA, &watching("/mine", false)).err, NO_AUTH);
    rig.all(again, -4, AUTH, &auth("digest", b"me:secret"));
    assert_eq!(rig.ask(again, GET_DATA, &watching("/mine", false)).err, 0);
}

#[test]
fn trap_29_a_frame_beyond_the_limit_closes_the_connection_without_a_word() {
    let mut small = config();
    small.jute_max_buffer = 200;
    let mut rig = Rig::with(small, crate::disk::Disk::default());
    let (link, _) = rig.session();
    rig.bytes(link, &framed(&[0; 201])[..4]);
    assert!(rig.is_closed(link), "before the bytes themselves come");
    assert_eq!(rig.replies(link), []);
}

/// Whatever a client asks for is a clean answer, and what is logged of it can be started on.
#[test]
fn trap_31_every_form_flag_and_lifetime_of_a_create_is_survived() {
    const CREATE_TTL: i32 = 21;
    for extended_types in [false, true] {
        let mut own = config();
        own.extended_types = extended_types;
        let mut rig = Rig::with(own, crate::disk::Disk::default());
        let (link, _) = rig.session();
        let mut made = 0;
        for op in [CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL] {
            for flags in -1..=8 {
                for ttl in [i64::MIN, -1, 0, 1, 1 << 39, 1 << 40, i64::MAX] {
                    let path = format!("/n{made}");
                    let mut asked = create_as(&path, None, &[(ALL, "world", "anyone")], flags);
                    if op == CREATE_TTL {
                        asked.put_i64(ttl);
                    }
                    let reply = rig.ask(link, op, &asked);
                    let known = [0, MARSHALLING_ERROR, UNIMPLEMENTED, BAD_ARGUMENTS];
                    assert!(known.contains(&reply.err), "{op} {flags} {ttl}: {}", reply.err);
                    assert!(!rig.is_closed(link), "{op} {flags} {ttl}");
                    made += i32::from(reply.err == 0);
                }
            }
        }
        assert!(made > 0);
        let applied = rig.applied();
        let mut rig = rig.restart();
        assert_eq!(rig.applied(), applied, "it starts on what it logged");
        let (link, _) = rig.session();
        let found = rig.ask(link, GET_CHILDREN, &watching("/", false));
        assert_eq!(found.err, 0);
    }
}
