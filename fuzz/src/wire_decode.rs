//! Bytes from a socket: requests and replies of clients, packets between servers, votes, transactions.
//!
//! Two laws beside "no panic": what was decoded is written and read back as the same value, and a stream
//! means the same however it was cut into chunks.

use std::fmt::Debug;

use bytes::{Buf, Bytes, BytesMut};
use vivarium_core::ids::Xid;
use vivarium_core::txn::{LoggedTxn, Txn, TxnDigest, TxnHeader};
use vivarium_core::wire::client::{
    ConnectRequest, ConnectResponse, Parsed, RequestHeader, decode_event, decode_reply,
    decode_reply_body, encode_event, encode_reply, encode_request, parse_body,
};
use vivarium_core::wire::frame::{FrameBuffer, PacketBuffer, VoteBuffer};
use vivarium_core::wire::quorum::{LeaderPacket, LearnerPacket};
use vivarium_core::wire::vote::{InitialMessage, Notification};

/// Of frames and packets: small, so that the limit is met.
const LIMIT: usize = 1024;
const DECODERS: &[fn(Bytes)] = &[
    request,
    connect_request,
    connect_response,
    reply,
    event,
    frames,
    packets_of_a_learner,
    packets_of_a_leader,
    votes,
    transaction,
];

/// The first byte says which decoder takes the rest.
pub fn run(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    DECODERS[usize::from(first) % DECODERS.len()](Bytes::copy_from_slice(rest));
}

fn request(frame: Bytes) {
    let Ok((header, body)) = RequestHeader::split(frame) else { return };
    let Parsed::Op(op) = parse_body(header.op, body) else { return };
    let mut again = BytesMut::new();
    encode_request(&mut again, header.xid, &op);
    let (header, body) = RequestHeader::split(unframed(again)).expect("we wrote a header");
    assert_eq!(header.op, op.code(), "an operation goes by its own opcode");
    assert_eq!(parse_body(header.op, body), Parsed::Op(op));
}

fn connect_request(frame: Bytes) {
    holds(
        frame,
        |bytes| ConnectRequest::decode(bytes).ok(),
        |value, out| {
            value.encode(out);
            out.advance(4);
        },
    );
}

fn connect_response(frame: Bytes) {
    holds(
        frame,
        |bytes| ConnectResponse::decode(bytes).ok(),
        |value, out| {
            value.encode(out);
            out.advance(4);
        },
    );
}

fn reply(mut frame: Bytes) {
    let Some(op) = frame.try_get_i32().ok() else { return };
    let Ok((header, body)) = decode_reply(frame) else { return };
    let Ok(body) = decode_reply_body(op, body) else { return };
    let mut again = BytesMut::new();
    encode_reply(&mut again, header.xid, header.zxid, header.code, &body);
    let (same, rest) = decode_reply(unframed(again)).expect("we wrote a header");
    assert_eq!(same, header);
    if header.code.to_wire() == 0 {
        assert_eq!(decode_reply_body(op, rest).as_ref(), Ok(&body));
    }
}

fn event(body: Bytes) {
    let Ok((kind, path)) = decode_event(body) else { return };
    let mut again = BytesMut::new();
    encode_event(&mut again, 7, kind, &path);
    let (header, body) = decode_reply(unframed(again)).expect("we wrote a header");
    assert_eq!((header.xid, header.zxid), (Xid(-1), 7));
    assert_eq!(decode_event(body), Ok((kind, path)));
}

fn frames(stream: Bytes) {
    same_in_chunks(stream, |chunks| {
        let mut buffer = FrameBuffer::new();
        let mut got = Vec::new();
        for chunk in chunks {
            buffer.push(chunk);
            loop {
                match buffer.next_frame(LIMIT) {
                    Ok(Some(frame)) => got.push(Ok(frame)),
                    Ok(None) => break,
                    Err(refused) => {
                        got.push(Err(refused));
                        return got;
                    }
                }
            }
        }
        got
    });
}

fn packets_of_a_learner(stream: Bytes) {
    let packets =
        same_in_chunks(stream, |chunks| packets(chunks, PacketBuffer::next_learner_packet));
    for packet in packets.into_iter().flatten().filter(|packet| !is_older(packet)) {
        let mut again = BytesMut::new();
        packet.encode(&mut again);
        assert_eq!(LearnerPacket::decode(again.freeze()), Ok(packet));
    }
}

/// Its sender says less of itself than ours ever do.
fn is_older(packet: &LearnerPacket) -> bool {
    let (LearnerPacket::FollowerInfo { info, .. } | LearnerPacket::ObserverInfo { info, .. }) =
        packet
    else {
        return false;
    };
    info.server.is_none()
}

fn packets_of_a_leader(stream: Bytes) {
    let packets =
        same_in_chunks(stream, |chunks| packets(chunks, PacketBuffer::next_leader_packet));
    for packet in packets.into_iter().flatten() {
        let mut again = BytesMut::new();
        packet.encode(&mut again);
        assert_eq!(LeaderPacket::decode(again.freeze()), Ok(packet));
    }
}

fn packets<P, E>(
    chunks: Vec<Bytes>,
    next: impl Fn(&mut PacketBuffer, usize) -> Result<Option<P>, E>,
) -> Vec<Result<P, E>> {
    let mut buffer = PacketBuffer::new();
    let mut got = Vec::new();
    for chunk in chunks {
        buffer.push(chunk);
        loop {
            match next(&mut buffer, LIMIT) {
                Ok(Some(packet)) => got.push(Ok(packet)),
                Ok(None) => break,
                Err(refused) => {
                    got.push(Err(refused));
                    return got;
                }
            }
        }
    }
    got
}

/// The message that opens an election connection, then notifications.
fn votes(stream: Bytes) {
    let messages = same_in_chunks(stream, |chunks| {
        let mut buffer = VoteBuffer::new();
        let mut initial = None;
        let mut messages = Vec::new();
        for chunk in chunks {
            buffer.push(chunk);
            if initial.is_none() {
                match buffer.next_initial() {
                    Ok(None) => continue,
                    Ok(Some(first)) => initial = Some(first),
                    Err(_) => return (None, messages),
                }
            }
            loop {
                match buffer.next_message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    // Its connection is useless from here on.
                    Err(_) => return (initial, messages),
                }
            }
        }
        (initial, messages)
    });
    // The form without an address is an older one, which is read and never written.
    if let Some(initial) = messages.0.filter(|initial| !initial.address.is_empty()) {
        let mut again = BytesMut::new();
        initial.encode(&mut again);
        assert_eq!(InitialMessage::decode(again.freeze()), Ok(initial));
    }
    // Of whatever version they came, ours are of today's.
    let decode = |message| Notification::decode(message).ok();
    let decode = |message| decode(message).map(|found| Notification { version: 2, ..found });
    for message in messages.1 {
        holds(message, decode, |value, out| {
            value.encode(out);
            out.advance(4);
        });
    }
}

fn transaction(payload: Bytes) {
    let peeked = TxnHeader::peek(&payload);
    let Ok(txn) = LoggedTxn::decode(payload) else { return };
    assert_eq!(peeked, Some(txn.header), "a whole transaction has a header");
    // A digest of an unknown version right behind the header reads like a list of paths.
    let is_known = |digest: &TxnDigest| digest.version == 2;
    let is_bare = matches!(txn.txn, Txn::CloseSession { paths: None });
    if is_bare && !txn.digest.as_ref().is_none_or(is_known) {
        return;
    }
    let mut again = BytesMut::new();
    txn.encode(&mut again);
    assert_eq!(LoggedTxn::decode(again.freeze()), Ok(txn));
}

/// What was decoded is written and read back as the same value.
fn holds<T: Debug + PartialEq>(
    bytes: Bytes,
    decode: impl Fn(Bytes) -> Option<T>,
    encode: impl Fn(&T, &mut BytesMut),
) {
    let Some(value) = decode(bytes) else { return };
    let mut again = BytesMut::new();
    encode(&value, &mut again);
    assert_eq!(decode(again.freeze()), Some(value));
}

fn unframed(mut frame: BytesMut) -> Bytes {
    let len = frame.get_i32();
    assert_eq!(usize::try_from(len), Ok(frame.len()), "a frame says how long it is");
    frame.freeze()
}

/// What a stream means in one piece; asserts that it means the same byte by byte, and by uneven cuts.
fn same_in_chunks<T: Debug + PartialEq>(stream: Bytes, read: impl Fn(Vec<Bytes>) -> T) -> T {
    let whole = read(vec![stream.clone()]);
    for most in [1, 7] {
        let mut rest = stream.clone();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let len = (1 + usize::from(rest[0]) % most).min(rest.len());
            chunks.push(rest.split_to(len));
        }
        assert_eq!(read(chunks), whole, "cut into pieces of at most {most} bytes");
    }
    whole
}
