//! Election messages there and back, and the forms of older servers.

use proptest::collection::vec as list;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn unframed(notification: &Notification) -> Bytes {
    let mut out = BytesMut::new();
    notification.encode(&mut out);
    let mut message = out.freeze();
    message.split_off(4)
}

fn plain() -> Notification {
    Notification {
        state: PeerState::Following,
        leader: Some(ServerId(3)),
        zxid: Some(Zxid(0x5_0000_0009)),
        round: 4,
        peer_epoch: Some(Epoch(6)),
        version: 2,
        config: Some(Bytes::from_static(b"version=0")),
    }
}

#[test]
fn shorter_forms_of_older_servers() {
    let whole = unframed(&plain());
    let old = Notification { version: 0, config: None, ..plain() };
    let oldest = Notification { peer_epoch: Some(Epoch(5)), ..old.clone() };
    assert_eq!(Notification::decode(whole.slice(..28)), Ok(oldest), "the zxid's epoch stands in");
    assert_eq!(Notification::decode(whole.slice(..40)), Ok(old));
    for size in (0..28).chain(29..40).chain(41..whole.len()) {
        assert!(Notification::decode(whole.slice(..size)).is_err(), "{size}");
    }
    let mut version_1 = BytesMut::from(&whole[..41]);
    version_1[39] = 1;
    let found = Notification::decode(version_1.freeze()).unwrap();
    assert_eq!((found.version, found.config), (1, None), "no config below version 2");
}

#[test]
fn trap_38_a_config_length_beyond_the_message_is_an_error() {
    for len in [10, -1, i32::MAX, i32::MIN] {
        let mut message = BytesMut::from(&unframed(&plain())[..]);
        message[40..44].copy_from_slice(&len.to_be_bytes());
        assert!(Notification::decode(message.freeze()).is_err(), "{len}");
    }
}

#[test]
fn a_state_out_of_range_is_an_error() {
    for state in [-1, 4, i32::MAX] {
        let mut message = BytesMut::from(&unframed(&plain())[..]);
        message[..4].copy_from_slice(&state.to_be_bytes());
        assert_eq!(Notification::decode(message.freeze()), Err(JuteError::BadValue(state)));
    }
}

#[test]
fn who_cannot_vote_and_who_is_blank_differ_on_the_wire() {
    let blank = unframed(&Notification { zxid: None, ..plain() });
    assert_eq!(blank[12..20], i64::to_be_bytes(-1));
    let observer =
        unframed(&Notification { leader: None, zxid: None, peer_epoch: None, ..plain() });
    for field in [4..12, 12..20, 28..36] {
        assert_eq!(observer[field], i64::to_be_bytes(i64::MIN));
    }
    let read = Notification::decode(observer).unwrap();
    assert_eq!((read.leader, read.zxid, read.peer_epoch), (None, None, None));
}

#[test]
fn initial_messages_of_every_form() {
    let with = |protocol: i64, address: &[u8]| {
        let mut out = BytesMut::new();
        out.put_i64(protocol);
        out.put_i64(5);
        out.put_buffer(Some(address));
        InitialMessage::decode(out.freeze())
    };
    let found = |address: &str| Ok(InitialMessage { from: ServerId(5), address: address.into() });
    assert_eq!(with(-65_536, b"[::1]:3888"), found("[::1]:3888"));
    assert_eq!(with(-65_535, b"a:1|b:2"), found("a:1"));
    assert_eq!(with(-65_536, &[b'x'; 2048]), found(&"x".repeat(2048)));
    assert!(with(-65_536, &[b'x'; 2049]).is_err());
    assert!(with(-65_536, b"").is_err());
    assert!(with(-65_537, b"a:1").is_err());
    let old = Bytes::copy_from_slice(&i64::to_be_bytes(5));
    assert_eq!(InitialMessage::decode(old), found(""));
}

prop_compose! {
    fn notification()(
        state in 0..4_i32, leader in option::of(0..=i64::MAX), zxid in option::of(0..=i64::MAX),
        round: i64, epoch in option::of(any::<u32>()),
        config in option::of(list(any::<u8>(), 1..50)),
    ) -> Notification {
        Notification {
            state: PeerState::from_wire(state).unwrap(),
            leader: leader.map(|id| ServerId(id.cast_unsigned())),
            zxid: zxid.and_then(Zxid::from_wire),
            round,
            peer_epoch: epoch.map(Epoch),
            version: VERSION,
            config: config.map(Bytes::from),
        }
    }
}

proptest! {
    #[test]
    fn notifications_come_back(notification in notification()) {
        prop_assert_eq!(Notification::decode(unframed(&notification)), Ok(notification));
    }

    #[test]
    fn initial_messages_come_back(id in 0..=i64::MAX, address in "[a-z0-9.:é]{1,40}") {
        let message = InitialMessage { from: ServerId(id.cast_unsigned()), address };
        let mut out = BytesMut::new();
        message.encode(&mut out);
        prop_assert_eq!(InitialMessage::decode(out.freeze()), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in list(any::<u8>(), 0..60), calm: bool) {
        if calm && bytes.len() > 4 {
            bytes[..4].fill(0);
        }
        let _ = Notification::decode(bytes.clone().into());
        let _ = InitialMessage::decode(bytes.into());
    }
}
