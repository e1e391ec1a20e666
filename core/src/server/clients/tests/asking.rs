//! Reads beyond a single node, and who may ask at all.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::rig::{Rig, config};
use super::{create, delete};
use crate::acl::{Acl, Id};
use crate::wire::client::{
    Create, CreateForm, MultiRead, OP_GET_ALL_CHILDREN_NUMBER, OP_GET_EPHEMERALS, OP_MULTI_READ,
    OP_WHO_AM_I, Op, ReadOp, ReadPart, ReadResult, ReplyBody, WriteOp, decode_reply_body,
};
use crate::wire::code::Code;

fn ask(op: ReadOp) -> Op {
    Op::Read(op)
}

fn ephemeral(path: &str) -> Op {
    Op::Write(WriteOp::Create(Create {
        path: path.into(),
        data: None,
        acl: Some(Acl::open()),
        flags: 1,
        form: CreateForm::Plain,
    }))
}

fn auth(proof: &'static [u8]) -> Op {
    Op::Auth { scheme: "digest".into(), proof: Some(Bytes::from_static(proof)) }
}

fn body(op: i32, bytes: &[u8]) -> ReplyBody {
    decode_reply_body(op, Bytes::copy_from_slice(bytes)).expect("it was just sent")
}

#[test]
fn the_own_ephemerals_are_named_below_a_prefix() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.session(2);
    for path in ["/a", "/ab", "/b"] {
        rig.request(1, 1, &ephemeral(path));
    }
    rig.request(2, 1, &ephemeral("/other"));
    rig.work();
    rig.take_sent(1);
    for (prefix, names) in [
        (None, &["/a", "/ab", "/b"][..]),
        (Some(""), &["/a", "/ab", "/b"]),
        (Some(" / "), &["/a", "/ab", "/b"]),
        (Some("/a"), &["/a", "/ab"]),
        (Some("/a/"), &[]),
        (Some(" /a"), &[]),
    ] {
        let prefix = prefix.map(Into::into);
        rig.request(1, 2, &ask(ReadOp::GetEphemerals { prefix }));
        let (_, zxid, err, bytes) = rig.replies(1).remove(0);
        assert_eq!((zxid, err), (rig.db.applied().to_wire(), 0));
        let expected = ReplyBody::Children(names.iter().collect());
        assert_eq!(body(OP_GET_EPHEMERALS, &bytes), expected);
    }
}

#[test]
fn all_below_a_node_are_counted() {
    let mut rig = Rig::new();
    rig.session(1);
    for path in ["/a", "/a/b", "/a/b/c", "/ab"] {
        rig.request(1, 1, &create(path));
    }
    rig.work();
    rig.take_sent(1);
    for (path, expected) in
        [("/", Ok(7)), ("/a", Ok(2)), ("/a/b/c", Ok(0)), ("/a/", Err(-101)), ("/no", Err(-101))]
    {
        rig.request(1, 2, &ask(ReadOp::GetAllChildrenNumber { path: path.into() }));
        let (_, _, err, bytes) = rig.replies(1).remove(0);
        match expected {
            Ok(count) => {
                assert_eq!(body(OP_GET_ALL_CHILDREN_NUMBER, &bytes), ReplyBody::Count(count));
            }
            Err(code) => assert_eq!((err, bytes.len()), (code, 0), "{path}"),
        }
    }
}

#[test]
fn reads_of_a_multi_read_fail_each_on_its_own() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &create("/a"));
    rig.work();
    rig.take_sent(1);
    let parts = vec![
        ReadPart::GetChildren { path: "/a".into() },
        ReadPart::GetData { path: "/no".into() },
        ReadPart::GetData { path: "/a".into() },
    ];
    rig.request(1, 2, &ask(ReadOp::Multi(MultiRead::Reads(parts))));
    rig.request(1, 3, &delete("/a"));
    rig.work();
    let replies = rig.replies(1);
    assert_eq!(replies.len(), 2, "none of them watches");
    let ReplyBody::MultiRead(results) = body(OP_MULTI_READ, &replies[0].3) else { panic!() };
    assert_eq!(results[0], ReadResult::Children(core::iter::empty::<&str>().collect()));
    assert_eq!(results[1], ReadResult::Error(Code::NoNode));
    assert!(matches!(&results[2], ReadResult::Data { data: Some(data), .. } if data == "x"));
}

/// The one error with a body behind it.
#[test]
fn a_multi_read_of_writes_is_an_error_with_an_empty_list() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, 1, &ask(ReadOp::Multi(MultiRead::OfWrites)));
    let (_, _, err, bytes) = rig.replies(1).remove(0);
    let end = [0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff];
    assert_eq!((err, bytes.as_slice()), (-5, end.as_slice()));
}

#[test]
fn who_asks_is_told_who_it_is_and_no_secret() {
    let mut rig = Rig::new();
    rig.session(1);
    rig.request(1, -4, &auth(b"u:p"));
    rig.request(1, 1, &ask(ReadOp::WhoAmI));
    let (_, _, _, bytes) = rig.replies(1).remove(1);
    let id = |scheme: &str, id: &str| Id { scheme: scheme.into(), id: id.into() };
    let expected = vec![id("ip", "10.0.0.1"), id("digest", "u")];
    assert_eq!(body(OP_WHO_AM_I, &bytes), ReplyBody::Clients(expected));
}

#[test]
fn the_super_user_reads_and_writes_what_is_closed() {
    let mut config = config();
    config.access.super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".into());
    let mut rig = Rig::with(config);
    rig.session(1);
    let closed = Acl { perms: 31, id: Id { scheme: "digest".into(), id: "x:y".into() } };
    let secret = Create {
        path: "/a".into(),
        data: None,
        acl: Some(vec![closed]),
        flags: 0,
        form: CreateForm::Plain,
    };
    rig.request(1, 1, &Op::Write(WriteOp::Create(secret)));
    rig.request(1, 2, &super::set("/a", b"z".to_vec()));
    rig.work();
    rig.request(1, 3, &super::get("/a", false));
    rig.request(1, -4, &auth(b"super:test"));
    rig.request(1, 4, &super::get("/a", false));
    rig.request(1, 5, &super::set("/a", b"z".to_vec()));
    rig.work();
    let codes: Vec<(i32, i32)> = rig.replies(1).iter().map(|reply| (reply.0, reply.2)).collect();
    assert_eq!(codes, [(1, 0), (2, -102), (3, -102), (-4, 0), (4, 0), (5, 0)]);
}

#[test]
fn where_identities_are_asked_for_a_stranger_is_answered_once() {
    let mut config = config();
    config.access.enforced_schemes = vec!["digest".into()];
    let mut rig = Rig::with(config);
    rig.session(1);
    rig.session(2);
    rig.seen();
    rig.request(1, 1, &create("/a"));
    rig.request(1, 2, &create("/b"));
    rig.request(2, -4, &auth(b"u:p"));
    rig.request(2, 1, &create("/c"));
    rig.work();
    let heads = |rig: &mut Rig, link| -> Vec<(i32, i64, i32)> {
        rig.replies(link).iter().map(|reply| (reply.0, reply.1, reply.2)).collect()
    };
    assert_eq!(heads(&mut rig, 1), [(1, 0, -124)]);
    assert_eq!(rig.seen(), ["close 1 protocol"]);
    assert_eq!(heads(&mut rig, 2).iter().map(|head| head.2).collect::<Vec<_>>(), [0, 0]);
    assert!(rig.db.node("/a").is_none() && rig.db.node("/c").is_some());
}
