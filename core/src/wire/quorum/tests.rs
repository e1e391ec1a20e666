//! Packets there and back, the short forms of old peers, and our own trailing bytes.

use alloc::string::String;
use alloc::vec;

use bytes::BufMut;
use proptest::collection::vec as list;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::wire::jute::JuteWrite;

const FOLLOWERINFO: i32 = 11;
const LEADERINFO: i32 = 17;

fn raw(kind: i32, zxid: i64, data: Option<&[u8]>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i32(kind);
    out.put_i64(zxid);
    out.put_buffer(data);
    out.put_i32(-1);
    out.freeze()
}

fn info_of(data: Option<&[u8]>) -> LearnerInfo {
    match LearnerPacket::decode(raw(FOLLOWERINFO, 5 << 32, data)) {
        Ok(LearnerPacket::FollowerInfo { accepted: Epoch(5), info }) => info,
        other => panic!("{other:?}"),
    }
}

#[test]
fn learner_info_of_every_length() {
    let mut data = BytesMut::new();
    data.put_u64(3);
    data.put_i32(0x10000);
    data.put_i64(0x1_0000_0002);
    data.put_i32(0x5649_5641);
    data.put_i32(1);
    let info = |protocol_version, config_version, vivarium| LearnerInfo {
        server: Some(ServerId(3)),
        protocol_version,
        config_version,
        vivarium,
    };
    assert_eq!(info_of(Some(&data[..8])), info(1, 0, None));
    assert_eq!(info_of(Some(&data[..12])), info(0x10000, 0, None));
    assert_eq!(info_of(Some(&data[..20])), info(0x10000, 0x1_0000_0002, None));
    let ours = Some(VivariumInfo { blank: true, uncuttable: false });
    assert_eq!(info_of(Some(&data)), info(0x10000, 0x1_0000_0002, ours));
    assert_eq!(info_of(None).server, None);
    assert_eq!(info_of(Some(&[0xff; 20])).server, None, "a negative id is none");
    data[20] ^= 1;
    assert_eq!(info_of(Some(&data)).vivarium, None, "another magic is not ours");
    assert!(LearnerPacket::decode(raw(FOLLOWERINFO, 0, Some(&[0; 7]))).is_err());
    assert!(LearnerPacket::decode(raw(FOLLOWERINFO, -1, Some(&[0; 20]))).is_err());
}

#[test]
fn leader_info_with_and_without_our_bytes() {
    for (vivarium, size) in [(false, 4), (true, 12)] {
        let mut out = BytesMut::new();
        LeaderPacket::LeaderInfo { epoch: Epoch(2), vivarium }.encode(&mut out);
        assert_eq!(out.len(), 20 + size);
        assert_eq!(out[16..20], [0, 1, 0, 0]);
    }
    assert!(LeaderPacket::decode(raw(LEADERINFO, 0, Some(&[0, 0, 0, 1]))).is_err());
    assert!(LeaderPacket::decode(raw(LEADERINFO, 0, None)).is_err());
}

#[test]
fn a_type_from_the_wrong_side_is_named() {
    let learner = |kind| LearnerPacket::decode(raw(kind, 0, None));
    let leader = |kind| LeaderPacket::decode(raw(kind, 0, None));
    let unknown = |kind, name| PacketError::UnknownType { kind, name };
    for (kind, name) in [(4, "COMMIT"), (12, "UPTODATE"), (7, "SYNC"), (99, "unknown")] {
        assert_eq!(learner(kind), Err(unknown(kind, name)));
    }
    for (kind, name) in [(1, "REQUEST"), (3, "ACK"), (18, "ACKEPOCH"), (0, "unknown")] {
        assert_eq!(leader(kind), Err(unknown(kind, name)));
    }
}

#[test]
fn missing_and_torn_data_is_malformed() {
    for (kind, data) in
        [(18, None), (18, Some(&[0; 3][..])), (6, None), (1, Some(&[0; 15])), (5, Some(&[0; 13]))]
    {
        let found = LearnerPacket::decode(raw(kind, 0, data));
        assert!(matches!(found, Err(PacketError::Malformed { .. })), "{kind}: {found:?}");
    }
    for (kind, data) in
        [(2, None), (8, None), (9, Some(&[0; 7][..])), (19, None), (6, Some(&[0; 8]))]
    {
        let found = LeaderPacket::decode(raw(kind, 0, data));
        assert!(matches!(found, Err(PacketError::Malformed { .. })), "{kind}: {found:?}");
    }
    for kind in [2, 4, 8, 9, 10, 13, 14, 15, 17, 19] {
        assert!(LeaderPacket::decode(raw(kind, -1, Some(&[0, 1, 0, 0, 0, 0, 0, 0]))).is_err());
    }
}

fn zxid() -> impl Strategy<Value = Zxid> {
    (0..=i64::MAX).prop_map(|raw| Zxid(raw.cast_unsigned()))
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (0..=0x7fff_ffff_u32).prop_map(Epoch)
}

fn server() -> impl Strategy<Value = ServerId> {
    (0..=i64::MAX).prop_map(|raw| ServerId(raw.cast_unsigned()))
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<i64>().prop_map(SessionId)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    list(any::<u8>(), 0..60).prop_map(Bytes::from)
}

fn info() -> impl Strategy<Value = LearnerInfo> {
    let vivarium = option::of(
        any::<(bool, bool)>().prop_map(|(blank, uncuttable)| VivariumInfo { blank, uncuttable }),
    );
    (server(), any::<i32>(), any::<i64>(), vivarium).prop_map(
        |(server, protocol_version, config_version, vivarium)| LearnerInfo {
            server: Some(server),
            protocol_version,
            config_version,
            vivarium,
        },
    )
}

fn forwarded() -> impl Strategy<Value = ForwardedRequest> {
    let id = ("[a-z]{0,6}", "[a-z:=]{0,20}")
        .prop_map(|(scheme, id): (String, String)| Id { scheme, id });
    (session(), any::<i32>(), any::<i32>(), bytes(), list(id, 0..4)).prop_map(
        |(session, cxid, op, payload, authinfo)| ForwardedRequest {
            session,
            cxid,
            op,
            payload,
            authinfo,
        },
    )
}

pub(in crate::wire) fn learner() -> impl Strategy<Value = LearnerPacket> {
    let touch =
        (session(), any::<i32>()).prop_map(|(session, timeout_ms)| Touch { session, timeout_ms });
    prop_oneof![
        (epoch(), info())
            .prop_map(|(accepted, info)| LearnerPacket::FollowerInfo { accepted, info }),
        (epoch(), info())
            .prop_map(|(accepted, info)| LearnerPacket::ObserverInfo { accepted, info }),
        (option::of(zxid()), option::of(epoch()))
            .prop_map(|(last_logged, current)| LearnerPacket::AckEpoch { last_logged, current }),
        zxid().prop_map(|zxid| LearnerPacket::Ack { zxid }),
        (any::<i64>(), list(touch, 0..5))
            .prop_map(|(zxid, touched)| LearnerPacket::Ping { zxid, touched }),
        (session(), any::<i32>())
            .prop_map(|(session, timeout_ms)| LearnerPacket::Revalidate { session, timeout_ms }),
        forwarded().prop_map(LearnerPacket::Request),
    ]
}

fn leader() -> impl Strategy<Value = LeaderPacket> {
    use LeaderPacket as P;
    prop_oneof![
        (epoch(), any::<bool>()).prop_map(|(epoch, vivarium)| P::LeaderInfo { epoch, vivarium }),
        (epoch(), option::of(bytes())).prop_map(|(epoch, config)| P::NewLeader { epoch, config }),
        zxid().prop_map(|upto| P::Diff { upto }),
        zxid().prop_map(|upto| P::Trunc { upto }),
        (zxid(), any::<bool>()).prop_map(|(zxid, fuzzy)| P::Snap { zxid, fuzzy }),
        (zxid(), bytes()).prop_map(|(zxid, payload)| P::Proposal { zxid, payload }),
        zxid().prop_map(|zxid| P::Commit { zxid }),
        (zxid(), server()).prop_map(|(zxid, designated)| P::CommitAndActivate { zxid, designated }),
        (zxid(), bytes()).prop_map(|(zxid, payload)| P::Inform { zxid, payload }),
        (zxid(), server(), bytes()).prop_map(|(zxid, designated, payload)| {
            P::InformAndActivate { zxid, designated, payload }
        }),
        Just(P::UpToDate),
        any::<i64>().prop_map(|zxid| P::Ping { zxid }),
        (session(), any::<bool>()).prop_map(|(session, valid)| P::Revalidate { session, valid }),
        Just(P::Sync),
    ]
}

proptest! {
    #[test]
    fn learner_packets_come_back(packet in learner()) {
        let mut out = BytesMut::new();
        packet.encode(&mut out);
        prop_assert_eq!(LearnerPacket::decode(out.freeze()), Ok(packet));
    }

    #[test]
    fn leader_packets_come_back(packet in leader()) {
        let mut out = BytesMut::new();
        packet.encode(&mut out);
        prop_assert_eq!(LeaderPacket::decode(out.freeze()), Ok(packet));
    }

    #[test]
    fn arbitrary_data_never_panics(kind in 0..21_i32, zxid: i64, data in option::of(list(any::<u8>(), 0..40))) {
        let bytes = raw(kind, zxid, data.as_deref());
        let _ = LearnerPacket::decode(bytes.clone());
        let _ = LeaderPacket::decode(bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in bytes()) {
        let _ = LearnerPacket::decode(bytes.clone());
        let _ = LeaderPacket::decode(bytes);
    }
}

#[test]
fn bytes_behind_a_packet_are_an_error() {
    let mut out = BytesMut::new();
    LeaderPacket::Sync.encode(&mut out);
    out.put_u8(0);
    let error = JuteError::Trailing(1);
    assert_eq!(
        LeaderPacket::decode(out.freeze()),
        Err(PacketError::Malformed { name: "SYNC", error })
    );
}
