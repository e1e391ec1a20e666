//! Requests and replies there and back, and what tells malformed from unknown.

use alloc::vec;

use bytes::{BufMut, BytesMut};
use proptest::collection::vec as list;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::acl::Id;
use crate::wire::jute::JuteWrite;

fn payload(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    let mut frame = out.freeze();
    assert_eq!(frame.len() - 4, u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize);
    frame.split_off(4)
}

fn parsed(op: &Op) -> Parsed {
    let (header, body) =
        RequestHeader::split(payload(|out| encode_request(out, Xid(7), op))).unwrap();
    assert_eq!(header, RequestHeader { xid: Xid(7), op: op.code() });
    parse_body(header.op, body)
}

fn create(flags: i32) -> WriteOp {
    WriteOp::Create(Create {
        path: "/a".into(),
        data: None,
        acl: Some(Acl::open()),
        flags,
        form: CreateForm::Plain,
    })
}

fn create_ttl(flags: i32) -> WriteOp {
    let WriteOp::Create(plain) = create(flags) else { unreachable!("it is a create") };
    WriteOp::Create(Create { form: CreateForm::Ttl { ms: 1000 }, ..plain })
}

#[test]
fn opcodes_that_are_not_served_are_unknown_whatever_their_body() {
    let body = || payload(|out| encode_request(out, Xid(1), &Op::Write(create(4)))).split_off(8);
    for op in [-11, -2, -1, 0, 10, 13, 20, 23, 99, 108, -10, i32::MIN] {
        let expected =
            if op == OP_CLOSE_SESSION { Parsed::Op(Op::CloseSession) } else { Parsed::Unknown };
        assert_eq!(parse_body(op, body()), expected, "{op}");
        if op != OP_CLOSE_SESSION {
            assert_eq!(parse_body(op, Bytes::new()), Parsed::Unknown, "{op}");
        }
    }
}

#[test]
fn every_cut_of_a_body_is_malformed() {
    let ops = [
        Op::Write(create(0)),
        Op::Write(WriteOp::Delete { path: "/a".into(), version: 1 }),
        Op::Write(WriteOp::SetData {
            path: "/a".into(),
            data: Some(Bytes::from_static(b"x")),
            version: 1,
        }),
        Op::Read(ReadOp::Exists { path: "/a".into(), watch: true }),
        Op::Read(ReadOp::GetAcl { path: "/a".into() }),
        Op::Watch(WatchOp::Set(SetWatches { data: vec!["/a".into()], ..SetWatches::default() })),
        Op::Watch(WatchOp::Add { path: "/a".into(), mode: AddMode::PersistentRecursive }),
        Op::Watch(WatchOp::Remove { path: "/a".into(), kind: WatchKind::Persistent }),
        Op::SetAcl { path: "/a".into(), acl: Some(Acl::open()), version: 0 },
        Op::Multi(vec![create(0), WriteOp::Check { path: "/a".into(), version: 0 }]),
        Op::Sync { path: "/a".into() },
        Op::Write(create_ttl(5)),
        Op::Read(ReadOp::Multi(MultiRead::Reads(vec![
            ReadPart::GetData { path: "/a".into() },
            ReadPart::GetChildren { path: "/".into() },
        ]))),
        Op::Read(ReadOp::GetEphemerals { prefix: Some("/a".into()) }),
        Op::Read(ReadOp::GetEphemerals { prefix: None }),
        Op::Read(ReadOp::GetAllChildrenNumber { path: "/a".into() }),
        Op::Reconfig(Reconfig {
            joining: None,
            leaving: Some("3".into()),
            members: None,
            version: -1,
        }),
    ];
    for op in ops {
        assert_eq!(parsed(&op), Parsed::Op(op.clone()));
        let body = payload(|out| encode_request(out, Xid(1), &op)).split_off(8);
        for size in 0..body.len() {
            assert_eq!(
                parse_body(op.code(), body.slice(..size)),
                Parsed::Malformed,
                "{op:?} {size}"
            );
        }
        let longer = [&body[..], b"more"].concat();
        assert_eq!(parse_body(op.code(), longer.into()), Parsed::Op(op), "what follows is ignored");
    }
    assert!(RequestHeader::split(Bytes::from_static(&[0; 7])).is_err());
}

#[test]
fn a_check_stands_only_inside_a_multi() {
    let check = WriteOp::Check { path: "/a".into(), version: 3 };
    assert_eq!(parsed(&Op::Write(check.clone())), Parsed::Unknown);
    let multi = Op::Multi(vec![check]);
    assert_eq!(parsed(&multi), Parsed::Op(multi));
}

#[test]
fn a_multi_with_what_it_may_not_hold_is_malformed() {
    let multi = |op: i32, body: &[u8]| {
        let mut out = BytesMut::new();
        out.put_i32(op);
        out.put_bool(false);
        out.put_i32(-1);
        out.put_slice(body);
        out.put_i32(-1);
        out.put_bool(true);
        out.put_i32(-1);
        parse_body(OP_MULTI, out.freeze())
    };
    // "/a" and an int or more read as any of these records.
    let body = [0, 0, 0, 2, b'/', b'a', 0, 0, 0, 0];
    assert!(matches!(multi(OP_DELETE, &body), Parsed::Op(Op::Multi(_))));
    for op in [
        OP_EXISTS,
        OP_GET_DATA,
        OP_GET_CHILDREN,
        OP_SET_ACL,
        OP_SYNC,
        OP_PING,
        OP_MULTI,
        20,
        -1,
        0,
        999,
    ] {
        assert_eq!(multi(op, &body), Parsed::Malformed, "{op}");
    }
    // Only a createTTL says how long.
    for flags in [-1, 5, 6, 7, 9, i32::MAX] {
        assert_eq!(parsed(&Op::Multi(vec![create(flags)])), Parsed::Malformed, "{flags}");
        for one in [Op::Write(create(flags)), Op::Multi(vec![create_ttl(flags)])] {
            assert_eq!(parsed(&one), Parsed::Op(one), "it gets an answer of its own");
        }
    }
    for flags in 0..=4 {
        let multi = Op::Multi(vec![create(flags)]);
        assert_eq!(parsed(&multi), Parsed::Op(multi));
    }
    let WriteOp::Create(mut open) = create(0) else { unreachable!() };
    open.acl = None;
    let create = WriteOp::Create(open);
    assert_eq!(parsed(&Op::Multi(vec![create.clone()])), Parsed::Malformed);
    let alone = Op::Write(create);
    assert_eq!(parsed(&alone), Parsed::Op(alone), "alone it is INVALIDACL");
}

#[test]
fn a_multi_read_of_writes_is_none_and_of_both_is_malformed() {
    let of = |ops: &[i32]| {
        let mut out = BytesMut::new();
        for op in ops {
            out.put_i32(*op);
            out.put_bool(false);
            out.put_i32(-1);
            // A path and an int: enough for any of them.
            out.put_slice(&[0, 0, 0, 2, b'/', b'a', 1]);
            if *op == OP_DELETE {
                out.put_slice(&[0, 0, 0]);
            }
        }
        out.put_i32(-1);
        out.put_bool(true);
        out.put_i32(-1);
        parse_body(OP_MULTI_READ, out.freeze())
    };
    let read = |read| Parsed::Op(Op::Read(ReadOp::Multi(read)));
    assert_eq!(of(&[]), read(MultiRead::Reads(vec![])));
    let path = || "/a".into();
    let both = vec![ReadPart::GetData { path: path() }, ReadPart::GetChildren { path: path() }];
    assert_eq!(of(&[OP_GET_DATA, OP_GET_CHILDREN]), read(MultiRead::Reads(both)));
    assert_eq!(of(&[OP_DELETE]), read(MultiRead::OfWrites));
    assert_eq!(of(&[OP_DELETE, OP_DELETE]), read(MultiRead::OfWrites));
    for mixed in [[OP_GET_DATA, OP_DELETE], [OP_DELETE, OP_GET_DATA], [OP_GET_DATA, OP_EXISTS]] {
        assert_eq!(of(&mixed), Parsed::Malformed, "{mixed:?}");
    }
}

/// The last header says that it is the last; what else stands there is not looked at.
#[test]
fn a_multi_of_either_kind_ends_where_a_header_says_done() {
    for kind in [-1, 0, OP_DELETE, i32::MIN] {
        let mut out = BytesMut::new();
        out.put_i32(kind);
        out.put_bool(true);
        out.put_i32(-1);
        let body = out.freeze();
        let none = Op::Read(ReadOp::Multi(MultiRead::Reads(vec![])));
        assert_eq!(parse_body(OP_MULTI_READ, body.clone()), Parsed::Op(none), "{kind}");
        assert_eq!(parse_body(OP_MULTI, body), Parsed::Op(Op::Multi(vec![])), "{kind}");
    }
}

/// As Apache 3.9.5 answers; only sync sends a null path back.
#[test]
fn a_null_path_is_malformed() {
    let mut body = [0; 40];
    body[..4].fill(0xff);
    for op in [
        OP_CREATE,
        OP_CREATE2,
        OP_DELETE,
        OP_EXISTS,
        OP_GET_DATA,
        OP_SET_DATA,
        OP_GET_ACL,
        OP_SET_ACL,
        OP_GET_CHILDREN,
        OP_GET_CHILDREN2,
    ] {
        let bytes = Bytes::copy_from_slice(&body);
        assert_eq!(parse_body(op, bytes), Parsed::Malformed, "{op}");
        let empty = Bytes::from_static(&[0; 40]);
        assert!(matches!(parse_body(op, empty), Parsed::Op(_)), "{op}: an empty one is a path");
    }
}

#[test]
fn an_error_reply_has_no_body() {
    let frame = payload(|out| {
        encode_reply(out, Xid(3), 9, Code::NoNode, &ReplyBody::Path("/a".into()));
    });
    let (header, body) = decode_reply(frame).unwrap();
    assert_eq!(header, ReplyHeader { xid: Xid(3), zxid: 9, code: Code::NoNode });
    assert!(body.is_empty());
}

#[test]
fn a_connect_request_may_lack_password_and_read_only() {
    for (read_only, size) in [(None, 28), (Some(false), 29), (Some(true), 29)] {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: -1,
            timeout_ms: 5000,
            session: None,
            password: Bytes::new(),
            read_only,
        };
        let bytes = payload(|out| request.encode(out));
        assert_eq!(bytes.len(), size);
        assert_eq!(ConnectRequest::decode(bytes.clone()), Ok(request.clone()));
        let mut null = BytesMut::from(&bytes[..]);
        null[24..28].fill(0xff);
        assert_eq!(ConnectRequest::decode(null.freeze()), Ok(request));
        for cut in 0..28 {
            assert!(ConnectRequest::decode(bytes.slice(..cut)).is_err());
        }
    }
}

fn path() -> impl Strategy<Value = String> {
    "(/[a-zé]{0,4}){0,3}"
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    option::of(list(any::<u8>(), 0..20).prop_map(Bytes::from))
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let entry = (any::<i32>(), "[a-z]{0,6}", "[a-z:]{0,6}")
        .prop_map(|(perms, scheme, id)| Acl { perms, id: Id { scheme, id } });
    list(entry, 0..3)
}

fn form() -> impl Strategy<Value = CreateForm> {
    prop_oneof![
        Just(CreateForm::Plain),
        Just(CreateForm::WithStat),
        Just(CreateForm::Container),
        any::<i64>().prop_map(|ms| CreateForm::Ttl { ms }),
    ]
}

fn write(flags: impl Strategy<Value = i32>) -> impl Strategy<Value = WriteOp> {
    prop_oneof![
        (path(), data(), option::of(acl()), flags, form()).prop_map(
            |(path, data, acl, flags, form)| WriteOp::Create(Create {
                path,
                data,
                acl,
                flags,
                form
            })
        ),
        (path(), any::<i32>()).prop_map(|(path, version)| WriteOp::Delete { path, version }),
        (path(), data(), any::<i32>()).prop_map(|(path, data, version)| WriteOp::SetData {
            path,
            data,
            version
        }),
    ]
}

fn read_part() -> impl Strategy<Value = ReadPart> {
    prop_oneof![
        path().prop_map(|path| ReadPart::GetData { path }),
        path().prop_map(|path| ReadPart::GetChildren { path }),
    ]
}

fn reconfig() -> impl Strategy<Value = Op> {
    let text = || option::of(path());
    (text(), text(), text(), any::<i64>()).prop_map(|(joining, leaving, members, version)| {
        Op::Reconfig(Reconfig { joining, leaving, members, version })
    })
}

fn read_result() -> impl Strategy<Value = ReadResult> {
    prop_oneof![
        (data(), stat()).prop_map(|(data, stat)| ReadResult::Data { data, stat }),
        list(path(), 0..3).prop_map(|names| ReadResult::Children(names.into_iter().collect())),
        Just(ReadResult::Error(Code::NoNode)),
    ]
}

fn read() -> impl Strategy<Value = ReadOp> {
    prop_oneof![
        (path(), any::<bool>()).prop_map(|(path, watch)| ReadOp::Exists { path, watch }),
        (path(), any::<bool>()).prop_map(|(path, watch)| ReadOp::GetData { path, watch }),
        path().prop_map(|path| ReadOp::GetAcl { path }),
        path().prop_map(|path| ReadOp::GetAllChildrenNumber { path }),
        option::of(path()).prop_map(|prefix| ReadOp::GetEphemerals { prefix }),
        list(read_part(), 0..4).prop_map(|parts| ReadOp::Multi(MultiRead::Reads(parts))),
        Just(ReadOp::Multi(MultiRead::OfWrites)),
        Just(ReadOp::WhoAmI),
        (path(), any::<bool>(), any::<bool>())
            .prop_map(|(path, watch, with_stat)| ReadOp::GetChildren { path, watch, with_stat }),
    ]
}

fn watch() -> impl Strategy<Value = WatchOp> {
    let paths = || list(path(), 0..3);
    let lasting = (paths(), paths())
        .prop_map(|(persistent, recursive)| LastingWatches { persistent, recursive });
    let mode = prop::sample::select(vec![AddMode::Persistent, AddMode::PersistentRecursive]);
    let kind = || (1..=5).prop_map(|raw| WatchKind::from_wire(raw).expect("1 to 5 are all there"));
    prop_oneof![
        (any::<i64>(), paths(), paths(), paths(), option::of(lasting)).prop_map(
            |(relative_zxid, data, exist, child, lasting)| {
                WatchOp::Set(SetWatches { relative_zxid, data, exist, child, lasting })
            }
        ),
        (path(), mode).prop_map(|(path, mode)| WatchOp::Add { path, mode }),
        (path(), kind()).prop_map(|(path, kind)| WatchOp::Check { path, kind }),
        (path(), kind()).prop_map(|(path, kind)| WatchOp::Remove { path, kind }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let check = (path(), any::<i32>()).prop_map(|(path, version)| WriteOp::Check { path, version });
    prop_oneof![
        read().prop_map(Op::Read),
        watch().prop_map(Op::Watch),
        write(any::<i32>()).prop_map(Op::Write),
        list(prop_oneof![3 => write(0..7_i32).prop_map(with_acl), 1 => check], 0..5)
            .prop_map(Op::Multi),
        (path(), option::of(acl()), any::<i32>()).prop_map(|(path, acl, version)| Op::SetAcl {
            path,
            acl,
            version
        }),
        path().prop_map(|path| Op::Sync { path }),
        (path(), data()).prop_map(|(scheme, proof)| Op::Auth { scheme, proof }),
        data().prop_map(|token| Op::Sasl { token }),
        reconfig(),
        Just(Op::Ping),
        Just(Op::CloseSession),
    ]
}

/// A null list makes a whole multi malformed, and so does a TTL that nobody names.
fn with_acl(op: WriteOp) -> WriteOp {
    let WriteOp::Create(create) = op else { return op };
    let form = match create.form {
        form if (0..=4).contains(&create.flags) => form,
        form @ CreateForm::Ttl { .. } => form,
        CreateForm::Plain | CreateForm::WithStat | CreateForm::Container => {
            CreateForm::Ttl { ms: 1 }
        }
    };
    WriteOp::Create(Create { acl: create.acl.or(Some(Vec::new())), form, ..create })
}

prop_compose! {
    fn stat()(longs: [i64; 6], ints: [i32; 5]) -> Stat {
        Stat {
            czxid: longs[0],
            mzxid: longs[1],
            ctime: longs[2],
            mtime: longs[3],
            version: ints[0],
            cversion: ints[1],
            aversion: ints[2],
            ephemeral_owner: longs[4],
            data_length: ints[3],
            num_children: ints[4],
            pzxid: longs[5],
        }
    }
}

fn result() -> impl Strategy<Value = MultiResult> {
    prop_oneof![
        path().prop_map(|path| MultiResult::Create { path }),
        (path(), stat()).prop_map(|(path, stat)| MultiResult::Create2 { path, stat }),
        Just(MultiResult::Delete),
        stat().prop_map(|stat| MultiResult::SetData { stat }),
        Just(MultiResult::Check),
        prop_oneof![Just(Code::Ok), Just(Code::NoNode), Just(Code::RuntimeInconsistency)]
            .prop_map(MultiResult::Error),
    ]
}

/// A body with an opcode that it answers.
fn reply() -> impl Strategy<Value = (i32, ReplyBody)> {
    let children = || list(path(), 0..4).prop_map(|names| names.into_iter().collect());
    prop_oneof![
        Just((OP_DELETE, ReplyBody::Empty)),
        path().prop_map(|path| (OP_CREATE, ReplyBody::Path(path))),
        (path(), stat()).prop_map(|(path, stat)| (OP_CREATE2, ReplyBody::PathStat { path, stat })),
        stat().prop_map(|stat| (OP_SET_DATA, ReplyBody::Stat(stat))),
        (data(), stat()).prop_map(|(data, stat)| (OP_GET_DATA, ReplyBody::Data { data, stat })),
        (acl(), stat()).prop_map(|(acl, stat)| (OP_GET_ACL, ReplyBody::Acl { acl, stat })),
        children().prop_map(|children| (OP_GET_CHILDREN, ReplyBody::Children(children))),
        (children(), stat()).prop_map(|(children, stat)| {
            (OP_GET_CHILDREN2, ReplyBody::ChildrenStat { children, stat })
        }),
        list(result(), 0..5).prop_map(|results| (OP_MULTI, ReplyBody::Multi(results))),
        data().prop_map(|token| (OP_SASL, ReplyBody::Token(token))),
        list(read_result(), 0..4)
            .prop_map(|results| (OP_MULTI_READ, ReplyBody::MultiRead(results))),
        any::<i32>().prop_map(|count| (OP_GET_ALL_CHILDREN_NUMBER, ReplyBody::Count(count))),
        acl().prop_map(|acl| {
            let ids = acl.into_iter().map(|entry| entry.id).collect();
            (OP_WHO_AM_I, ReplyBody::Clients(ids))
        }),
    ]
}

proptest! {
    #[test]
    fn requests_come_back(op in op()) {
        prop_assert_eq!(parsed(&op), Parsed::Op(op));
    }

    #[test]
    fn replies_come_back((op, body) in reply(), xid: i32, zxid: i64) {
        let frame = payload(|out| encode_reply(out, Xid(xid), zxid, Code::Ok, &body));
        let (header, bytes) = decode_reply(frame).unwrap();
        prop_assert_eq!(header, ReplyHeader { xid: Xid(xid), zxid, code: Code::Ok });
        prop_assert_eq!(decode_reply_body(op, bytes), Ok(body));
    }

    #[test]
    fn events_come_back(zxid: i64, kind in 1..5_i32, path in path()) {
        let kind = EventKind::from_wire(kind).unwrap();
        let (header, body) = decode_reply(payload(|out| encode_event(out, zxid, kind, &path))).unwrap();
        prop_assert_eq!(header, ReplyHeader { xid: XID_EVENT, zxid, code: Code::Ok });
        prop_assert_eq!(decode_event(body), Ok((kind, path)));
    }

    #[test]
    fn connect_records_come_back(
        ints: [i32; 2], zxid: i64, id: i64, password: [u8; 16], read_only: Option<bool>,
    ) {
        let session = Some(SessionId(id)).filter(|_| id != 0);
        let request = ConnectRequest {
            protocol_version: ints[0],
            last_zxid_seen: zxid,
            timeout_ms: ints[1],
            session,
            password: Bytes::copy_from_slice(&password),
            read_only,
        };
        prop_assert_eq!(ConnectRequest::decode(payload(|out| request.encode(out))), Ok(request));
        let response = ConnectResponse { timeout_ms: ints[1], session, password, read_only };
        prop_assert_eq!(ConnectResponse::decode(payload(|out| response.encode(out))), Ok(response));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in list(any::<u8>(), 0..80)) {
        let bytes = Bytes::from(bytes);
        for op in -12..110 {
            let _ = parse_body(op, bytes.clone());
            let _ = decode_reply_body(op, bytes.clone());
        }
        let _ = RequestHeader::split(bytes.clone());
        let _ = ConnectRequest::decode(bytes.clone());
        let _ = ConnectResponse::decode(bytes.clone());
        let _ = decode_reply(bytes.clone());
        let _ = decode_event(bytes);
    }

    #[test]
    fn a_damaged_request_never_panics(op in op(), at: prop::sample::Index, byte: u8) {
        let mut bytes = payload(|out| encode_request(out, Xid(1), &op)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (header, body) = RequestHeader::split(bytes.into()).unwrap();
        let _ = parse_body(header.op, body);
    }
}
