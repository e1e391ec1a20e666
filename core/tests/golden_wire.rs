//! Every codec against bytes of Apache ZooKeeper 3.9.5 (see `golden/README.md`): what it sent and
//! accepted must be read, and written back to the same bytes.

#![allow(clippy::unwrap_used, reason = "a test may fail where its data is not what it claims")]

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};
use vivarium_core::txn::{LoggedTxn, Txn, TxnHeader};
use vivarium_core::wire::client::{
    ConnectRequest, ConnectResponse, Parsed, ReplyBody, RequestHeader, XID_EVENT, decode_event,
    decode_reply, decode_reply_body, encode_event, encode_reply, encode_request, parse_body,
};
use vivarium_core::wire::code::Code;
use vivarium_core::wire::frame::{FrameBuffer, VoteBuffer, put_frame};
use vivarium_core::wire::quorum::{LeaderPacket, LearnerPacket};
use vivarium_core::wire::vote::{InitialMessage, Notification, PeerState};

const GOLDEN: &str = include_str!("golden/client-vectors.txt");
const LOGS: [&[u8]; 3] = [
    include_bytes!("golden/zookeeper-3.9.5/standalone/version-2/log.1"),
    include_bytes!("golden/zookeeper-3.9.5/ensemble-1/version-2/log.100000001"),
    include_bytes!("golden/zookeeper-3.9.5/ensemble-2/version-2/log.100000001"),
];
const MAX_FRAME: usize = 0xf_ffff;

#[derive(Debug, Default)]
struct Exchange {
    title: String,
    request: Bytes,
    replies: Vec<Reply>,
}

#[derive(Debug)]
struct Reply {
    xid: i32,
    zxid: i64,
    err: i32,
    body: Bytes,
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

fn payload(frame: &Bytes) -> Bytes {
    let mut buffer = FrameBuffer::new();
    buffer.push(frame.clone());
    let payload = buffer.next_frame(MAX_FRAME).unwrap().expect("a whole frame");
    assert_eq!(buffer.buffered(), 0);
    payload
}

/// "(xid, zxid, err) hex"
fn reply(text: &str) -> Reply {
    let (header, body) = text.strip_prefix('(').unwrap().split_once(')').unwrap();
    let mut fields = header.split(", ").map(|field| field.parse::<i64>().unwrap());
    let mut field = || fields.next().unwrap();
    Reply { xid: field() as i32, zxid: field(), err: field() as i32, body: unhex(body) }
}

fn exchanges() -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    let mut title = "";
    for line in GOLDEN.lines() {
        if let Some(hex) = line.strip_prefix("  > ") {
            all.push(Exchange { title: title.into(), request: unhex(hex), replies: vec![] });
        } else if let Some(text) = line.strip_prefix("  < ") {
            all.last_mut().unwrap().replies.push(reply(text));
        } else if !line.starts_with([' ', '#']) {
            title = line;
        }
    }
    all
}

impl Reply {
    /// The frame as it was on the wire.
    fn frame(&self) -> Bytes {
        written(|out| {
            put_frame(out, |out| {
                out.extend_from_slice(&self.xid.to_be_bytes());
                out.extend_from_slice(&self.zxid.to_be_bytes());
                out.extend_from_slice(&self.err.to_be_bytes());
                out.extend_from_slice(&self.body);
            });
        })
    }
}

#[test]
fn every_request_is_read_and_written_back() {
    let (mut unknown, mut malformed, mut known) = (vec![], vec![], 0);
    for exchange in exchanges() {
        let (header, body) = RequestHeader::split(payload(&exchange.request)).unwrap();
        match parse_body(header.op, body) {
            Parsed::Unknown => unknown.push(header.op),
            Parsed::Malformed => malformed.push(exchange.title),
            Parsed::Op(op) => {
                known += 1;
                let again = written(|out| encode_request(out, header.xid, &op));
                assert_eq!(again, exchange.request, "{}", exchange.title);
            }
        }
    }
    assert_eq!(malformed, ["truncated create"]);
    assert_eq!(unknown, [13, 999, 13], "not served, by Apache neither");
    assert_eq!(known, 50);
}

#[test]
fn every_reply_and_event_is_read_and_written_back() {
    let (mut events, mut bodies, mut errors) = (0, 0, 0);
    for exchange in exchanges() {
        let (request, body) = RequestHeader::split(payload(&exchange.request)).unwrap();
        let served = matches!(parse_body(request.op, body), Parsed::Op(_));
        for reply in &exchange.replies {
            let frame = reply.frame();
            let (header, body) = decode_reply(payload(&frame)).unwrap();
            let again = if header.xid == XID_EVENT {
                events += 1;
                let (kind, path) = decode_event(body).unwrap();
                written(|out| encode_event(out, header.zxid, kind, &path))
            } else if header.code != Code::Ok {
                errors += 1;
                let (xid, zxid) = (header.xid, header.zxid);
                written(|out| encode_reply(out, xid, zxid, header.code, &ReplyBody::Empty))
            } else if served {
                bodies += 1;
                let body = decode_reply_body(request.op, body).expect(&exchange.title);
                written(|out| encode_reply(out, header.xid, header.zxid, header.code, &body))
            } else {
                continue;
            };
            assert_eq!(again, frame, "{}", exchange.title);
        }
    }
    assert_eq!((events, bodies, errors), (7, 36, 18));
}

#[test]
fn connect_records_keep_their_optional_byte() {
    let line = |start: &str| GOLDEN.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    let request = unhex(line("CONNECT > "));
    let read = ConnectRequest::decode(payload(&request)).unwrap();
    assert_eq!((read.session, read.timeout_ms, read.read_only), (None, 5000, Some(true)));
    assert_eq!(written(|out| read.encode(out)), request);

    let with = unhex(line("CONNECT < 37 "));
    let without = unhex(line("CONNECT no-ro < 36 "));
    for (bytes, session, read_only) in
        [(with, 0x0100_001b_c8ba_0000, Some(false)), (without, 0x0100_001b_c8ba_0001, None)]
    {
        let read = ConnectResponse::decode(bytes.clone()).unwrap();
        assert_eq!(read.session, Some(SessionId(session)));
        assert_eq!((read.timeout_ms, read.read_only), (5000, read_only));
        assert_eq!(payload(&written(|out| read.encode(out))), bytes);
    }
}

fn learner_packet(hex: &str) -> LearnerPacket {
    let bytes = unhex(hex);
    let packet = LearnerPacket::decode(bytes.clone()).unwrap();
    assert_eq!(written(|out| packet.encode(out)), bytes);
    packet
}

fn leader_packet(hex: &str) -> LeaderPacket {
    let bytes = unhex(hex);
    let packet = LeaderPacket::decode(bytes.clone()).unwrap();
    assert_eq!(written(|out| packet.encode(out)), bytes);
    packet
}

#[test]
fn quorum_packets_of_3_9_5() {
    let info = learner_packet(
        "0000000b 0000000100000000 00000014 0000000000000003 00010000 0000000000000000 ffffffff",
    );
    let LearnerPacket::FollowerInfo { accepted, info } = info else { panic!("{info:?}") };
    assert_eq!((accepted, info.server), (Epoch(1), Some(ServerId(3))));
    assert_eq!((info.protocol_version, info.config_version, info.vivarium), (0x10000, 0, None));

    let last_logged = Some(Zxid(0x1_0000_0007));
    assert_eq!(
        learner_packet("00000012 0000000100000007 00000004 00000001 ffffffff"),
        LearnerPacket::AckEpoch { last_logged, current: Some(Epoch(1)) }
    );
    assert_eq!(
        learner_packet("00000012 0000000100000007 00000004 ffffffff ffffffff"),
        LearnerPacket::AckEpoch { last_logged, current: None }
    );
    assert_eq!(
        learner_packet("00000003 0000000100000007 ffffffff ffffffff"),
        LearnerPacket::Ack { zxid: Zxid(0x1_0000_0007) }
    );
    assert_eq!(
        leader_packet("00000009 0000000100000007 00000008 0000000000000002 ffffffff"),
        LeaderPacket::CommitAndActivate { zxid: Zxid(0x1_0000_0007), designated: ServerId(2) }
    );
    assert_eq!(
        leader_packet("00000011 0000000200000000 00000004 00010000 ffffffff"),
        LeaderPacket::LeaderInfo { epoch: Epoch(2), vivarium: false }
    );
    assert_eq!(
        leader_packet("0000000c ffffffffffffffff ffffffff ffffffff"),
        LeaderPacket::UpToDate,
        "T32"
    );
    let proposal = leader_packet(
        "00000002 0000000100000001 00000030
         0200000f00bc0000 00000000 0000000100000001 000001a1f7208899 fffffff6 00001388
         00000002 0000000051c6d660 ffffffff",
    );
    let LeaderPacket::Proposal { zxid, payload } = proposal else { panic!("{proposal:?}") };
    assert_eq!(TxnHeader::peek(&payload).map(|header| header.zxid), Some(zxid));
}

#[test]
fn log_records_of_3_9_5() {
    for (hex, txn, digest) in [
        (
            "0100000cd6f10000 00000000 0000000000000001 000001a1f71e9a03 fffffff6 00001388
             00000002 0000000051c6d660",
            Txn::CreateSession { timeout_ms: 5000 },
            true,
        ),
        (
            "0100000cd6f10000 00000002 0000000000000004 000001a1f71e9a03 ffffffff ffffff99",
            Txn::Error { code: -103 },
            false,
        ),
    ] {
        let bytes = unhex(hex);
        let read = LoggedTxn::decode(bytes.clone()).unwrap();
        assert_eq!((&read.txn, read.digest.is_some()), (&txn, digest));
        assert_eq!(written(|out| read.encode(out)), bytes);
    }
}

/// Payloads of a log file: behind 16 bytes, each between {long crc, int len} and one more byte.
fn payloads(log: &[u8]) -> Vec<Bytes> {
    let (mut found, mut at) = (Vec::new(), 16);
    while let Some(len) = log.get(at + 8..at + 12) {
        let len = u32::from_be_bytes(len.try_into().unwrap()) as usize;
        if len == 0 {
            break;
        }
        found.push(Bytes::copy_from_slice(&log[at + 12..at + 12 + len]));
        at += 12 + len + 1;
    }
    found
}

#[test]
fn whole_logs_of_3_9_5_are_read_and_written_back() {
    let mut count = 0;
    for bytes in LOGS.into_iter().flat_map(payloads) {
        let read = LoggedTxn::decode(bytes.clone()).unwrap();
        assert_eq!(TxnHeader::peek(&bytes), Some(read.header));
        assert_eq!(written(|out| read.encode(out)), bytes);
        count += 1;
    }
    assert_eq!(count, 118 + 7 + 7);
}

#[test]
fn election_messages_of_3_9_5() {
    let initial =
        unhex("ffffffffffff0000 0000000000000001 0000000f 3132372e302e302e313a3331383331");
    let config = [b'x'; 186];
    let head = "000000e6 00000000 0000000000000001 0000000000000000 0000000000000001
                0000000000000000 00000002 000000ba";
    let notification = [&unhex(head)[..], &config].concat();

    let mut buffer = VoteBuffer::new();
    buffer.push([&initial[..], &notification].concat().into());
    let read = buffer.next_initial().unwrap().unwrap();
    assert_eq!(read, InitialMessage { from: ServerId(1), address: "127.0.0.1:31831".into() });
    assert_eq!(written(|out| read.encode(out)), initial);

    let read = Notification::decode(buffer.next_message().unwrap().unwrap()).unwrap();
    assert_eq!((read.state, read.leader, read.round), (PeerState::Looking, Some(ServerId(1)), 1));
    assert_eq!((read.zxid, read.peer_epoch), (Some(Zxid::ZERO), Some(Epoch::ZERO)));
    assert_eq!(read.config.as_deref(), Some(&config[..]));
    assert_eq!(&written(|out| read.encode(out))[..], &notification[..]);
}
