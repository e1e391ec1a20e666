//! The transaction codec against records of 3.9.5, its legal variants, and arbitrary bytes.

use alloc::vec;

use proptest::prelude::*;

use super::*;

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

fn encoded(logged: &LoggedTxn) -> Bytes {
    let mut out = BytesMut::new();
    logged.encode(&mut out);
    out.freeze()
}

fn logged(txn: Txn, digest: Option<TxnDigest>) -> LoggedTxn {
    let header = TxnHeader {
        session: SessionId(0x0200_000f_00bc_0000),
        cxid: 7,
        zxid: Zxid(0x1_0000_0001),
        time: Wall(1_795_000_000_000),
    };
    LoggedTxn { header, txn, digest }
}

#[test]
fn a_create_session_record_of_3_9_5_reads_and_writes_back() {
    let bytes = unhex(
        "0200000f00bc0000 00000000 0000000100000001 000001a1f7208899 fffffff6 00001388
         00000002 0000000051c6d660",
    );
    let read = LoggedTxn::decode(bytes.clone()).unwrap();
    assert_eq!(read.txn, Txn::CreateSession { timeout_ms: 5000 });
    assert_eq!(read.digest, Some(TxnDigest { version: 2, tree: 0x51c6_d660 }));
    assert_eq!(TxnHeader::peek(&bytes), Some(read.header));
    assert_eq!(encoded(&read), bytes);
}

#[test]
fn a_create_without_parent_cversion_is_the_v0_record() {
    let create = |parent_cversion| CreateTxn {
        path: "/a".into(),
        data: None,
        acl: Some(Acl::open()),
        ephemeral: true,
        parent_cversion,
    };
    let digest = Some(TxnDigest { version: 2, tree: u64::MAX });
    for txn in
        [Txn::Create(create(None)), Txn::Create(create(Some(3))), Txn::Create2(create(Some(-1)))]
    {
        for digest in [None, digest] {
            let x = logged(txn.clone(), digest);
            assert_eq!(LoggedTxn::decode(encoded(&x)), Ok(x));
        }
    }
    let mut v0 = BytesMut::from(&encoded(&logged(Txn::Create(create(None)), None))[..]);
    v0[31] = 15;
    assert!(LoggedTxn::decode(v0.freeze()).is_err(), "only type 1 has a V0 form");
}

#[test]
fn a_close_session_may_lack_its_list() {
    let digest = Some(TxnDigest { version: 2, tree: 9 });
    for paths in
        [None, Some(vec![]), Some(vec!["/abc".into()]), Some(vec!["/a".into(), "/b".into()])]
    {
        for digest in [None, digest] {
            let x = logged(Txn::CloseSession { paths: paths.clone() }, digest);
            assert_eq!(LoggedTxn::decode(encoded(&x)), Ok(x));
        }
    }
}

#[test]
fn types_that_are_illegal_where_they_stand_are_errors() {
    let top = |kind: i32| {
        let mut bytes =
            BytesMut::from(&encoded(&logged(Txn::Delete { path: "/a".into() }, None))[..]);
        bytes[28..32].copy_from_slice(&kind.to_be_bytes());
        LoggedTxn::decode(bytes.freeze())
    };
    for kind in [0, 3, 4, 13, 22, 100, -12] {
        assert_eq!(top(kind), Err(JuteError::BadValue(kind)));
    }
    for sub in [
        Txn::SetAcl { path: "/a".into(), acl: None, version: 0 },
        Txn::CreateSession { timeout_ms: 1 },
        Txn::CloseSession { paths: None },
        Txn::Multi(vec![]),
        Txn::Reconfig { path: "/a".into(), data: None, version: 0 },
    ] {
        assert!(LoggedTxn::decode(encoded(&logged(Txn::Multi(vec![sub]), None))).is_err());
    }
}

#[test]
fn the_hash_is_fixed_and_sees_every_byte_and_the_length() {
    let base = [7_u8; 37];
    assert_eq!(payload_hash(b""), 0x0000_0000_0000_0000);
    assert_eq!(payload_hash(b"vivarium"), 0xff54_628a_febe_d5f2);
    assert_eq!(payload_hash(b"vivarium."), 0xfb3d_5133_658d_4c21);
    for at in 0..base.len() {
        let mut other = base;
        other[at] ^= 0x80;
        assert_ne!(payload_hash(&base), payload_hash(&other));
        assert_ne!(payload_hash(&base[..at]), payload_hash(&base));
    }
    assert_ne!(payload_hash(&[0; 8]), payload_hash(&[0; 16]));
}

fn path() -> impl Strategy<Value = String> {
    "(/[a-zé0-9]{1,6}){0,3}"
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from))
}

fn acl() -> impl Strategy<Value = Option<Vec<Acl>>> {
    let entry = (any::<i32>(), "[a-z]{0,5}", "[a-z:]{0,9}")
        .prop_map(|(perms, scheme, id)| Acl { perms, id: crate::acl::Id { scheme, id } });
    proptest::option::of(proptest::collection::vec(entry, 0..3))
}

/// `v0`: now and then without the parent's cversion.
fn create(v0: bool) -> impl Strategy<Value = CreateTxn> {
    (path(), data(), acl(), any::<bool>(), any::<i32>(), 0..5_u8).prop_map(
        move |(path, data, acl, ephemeral, cversion, dice)| {
            let parent_cversion = if v0 && dice == 0 { None } else { Some(cversion) };
            CreateTxn { path, data, acl, ephemeral, parent_cversion }
        },
    )
}

fn sub() -> impl Strategy<Value = Txn> {
    prop_oneof![
        create(true).prop_map(Txn::Create),
        create(false).prop_map(Txn::Create2),
        (path(), data(), acl(), any::<i32>(), any::<i64>()).prop_map(
            |(path, data, acl, parent_cversion, ttl)| Txn::CreateTtl {
                path,
                data,
                acl,
                parent_cversion,
                ttl
            }
        ),
        (path(), data(), acl(), any::<i32>()).prop_map(|(path, data, acl, parent_cversion)| {
            Txn::CreateContainer { path, data, acl, parent_cversion }
        }),
        path().prop_map(|path| Txn::Delete { path }),
        path().prop_map(|path| Txn::DeleteContainer { path }),
        (path(), data(), any::<i32>()).prop_map(|(path, data, version)| Txn::SetData {
            path,
            data,
            version
        }),
        any::<i32>().prop_map(|code| Txn::Error { code }),
    ]
}

fn check() -> impl Strategy<Value = Txn> {
    (path(), any::<i32>()).prop_map(|(path, version)| Txn::Check { path, version })
}

fn txn() -> impl Strategy<Value = Txn> {
    prop_oneof![
        4 => sub(),
        2 => proptest::collection::vec(prop_oneof![6 => sub(), 1 => check()], 0..4).prop_map(Txn::Multi),
        1 => any::<i32>().prop_map(|timeout_ms| Txn::CreateSession { timeout_ms }),
        1 => proptest::option::of(proptest::collection::vec("/[a-z]{1,9}", 0..4))
            .prop_map(|paths| Txn::CloseSession { paths }),
        1 => (path(), data(), any::<i32>())
            .prop_map(|(path, data, version)| Txn::Reconfig { path, data, version }),
        1 => (path(), acl(), any::<i32>())
            .prop_map(|(path, acl, version)| Txn::SetAcl { path, acl, version }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(txn in txn(), tree in proptest::option::of(any::<u64>())) {
        let x = logged(txn, tree.map(|tree| TxnDigest { version: 2, tree }));
        prop_assert_eq!(LoggedTxn::decode(encoded(&x)), Ok(x));
    }

    #[test]
    fn a_damaged_record_never_panics(txn in txn(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut bytes = encoded(&logged(txn, None)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = TxnHeader::peek(&bytes);
        let _ = LoggedTxn::decode(bytes.into());
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in -12..25_i32, tail in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = [0; 32].to_vec();
        bytes[28..].copy_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&tail);
        let _ = LoggedTxn::decode(bytes.into());
        let _ = LoggedTxn::decode(tail.into());
    }
}
