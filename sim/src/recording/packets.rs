//! Streams of bytes read as the messages that they carry.
//!
//! core's own decoders are good enough here: nothing is judged by what they say.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::input::Plane;
use vivarium_core::wire::client::{
    ConnectRequest, ConnectResponse, RequestHeader, XID_EVENT, XID_PING, decode_event, decode_reply,
};
use vivarium_core::wire::code::Code;
use vivarium_core::wire::frame::{FrameBuffer, PacketBuffer, VoteBuffer};
use vivarium_core::wire::quorum::{LeaderPacket, LearnerPacket};
use vivarium_core::wire::vote::{Notification, PeerState};

use super::describe;

/// Longer ones than any run holds.
const MAX_LEN: usize = 64 << 20;
/// What ends the snapshot behind SNAP: a string with its length.
const SNAP_ENDS: &[u8] = b"\0\0\0\x0aBenWasHere";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) zxid: Option<Zxid>,
    /// Offset in the stream behind its last byte.
    pub(super) end: u64,
}

/// Requests of a client connection that are not answered yet: the two directions share them.
pub(super) type Asked = BTreeMap<i32, String>;

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Stream {
    reader: Reader,
    /// Bytes that came so far.
    pub(super) pushed: u64,
}

#[derive(Debug)]
enum Reader {
    FromLearner(PacketBuffer),
    FromLeader(PacketBuffer),
    /// A SNAP is under way; the bytes that may be the start of its end.
    Snapshot(BytesMut),
    Votes {
        buffer: VoteBuffer,
        greeted: bool,
    },
    Requests {
        buffer: FrameBuffer,
        connected: bool,
    },
    Replies {
        buffer: FrameBuffer,
        connected: bool,
    },
    /// What came cannot be read, nor can what follows.
    Lost,
}

impl Stream {
    /// `dialled`: the bytes are those of the side that asked for the connection.
    pub(super) fn new(plane: Plane, dialled: bool) -> Self {
        let reader = match (plane, dialled) {
            (Plane::Quorum, true) => Reader::FromLearner(PacketBuffer::new()),
            (Plane::Quorum, false) => Reader::FromLeader(PacketBuffer::new()),
            (Plane::Election, _) => Reader::Votes { buffer: VoteBuffer::new(), greeted: !dialled },
            (Plane::Client, true) => {
                Reader::Requests { buffer: FrameBuffer::new(), connected: false }
            }
            (Plane::Client, false) => {
                Reader::Replies { buffer: FrameBuffer::new(), connected: false }
            }
        };
        Self { reader, pushed: 0 }
    }

    /// The messages that end in `bytes`.
    pub(super) fn push(&mut self, bytes: Bytes, asked: &mut Asked) -> Vec<Packet> {
        self.pushed += bytes.len() as u64;
        self.reader.push(bytes);
        let mut packets = Vec::new();
        loop {
            match self.reader.next(asked) {
                Ok(Some(packet)) => {
                    let end = self.pushed - self.reader.buffered();
                    packets.push(Packet { end, ..packet });
                }
                Ok(None) => return packets,
                Err(Unreadable) => {
                    self.reader = Reader::Lost;
                    let packet = packet("unreadable", String::from("unreadable bytes"), None);
                    packets.push(Packet { end: self.pushed, ..packet });
                    return packets;
                }
            }
        }
    }
}

struct Unreadable;

impl Reader {
    fn push(&mut self, bytes: Bytes) {
        match self {
            Self::FromLearner(buffer) | Self::FromLeader(buffer) => buffer.push(bytes),
            Self::Snapshot(tail) => tail.extend_from_slice(&bytes),
            Self::Votes { buffer, .. } => buffer.push(bytes),
            Self::Requests { buffer, .. } | Self::Replies { buffer, .. } => buffer.push(bytes),
            Self::Lost => {}
        }
    }

    fn buffered(&self) -> u64 {
        let len = match self {
            Self::FromLearner(buffer) | Self::FromLeader(buffer) => buffer.buffered(),
            Self::Snapshot(tail) => tail.len(),
            Self::Votes { buffer, .. } => buffer.buffered(),
            Self::Requests { buffer, .. } | Self::Replies { buffer, .. } => buffer.buffered(),
            Self::Lost => 0,
        };
        len as u64
    }

    fn next(&mut self, asked: &mut Asked) -> Result<Option<Packet>, Unreadable> {
        match self {
            Self::FromLearner(buffer) => {
                let found = buffer.next_learner_packet(MAX_LEN).map_err(|_| Unreadable)?;
                Ok(found.map(|found| from_learner(&found)))
            }
            Self::FromLeader(buffer) => {
                let found = buffer.next_leader_packet(MAX_LEN).map_err(|_| Unreadable)?;
                let Some(found) = found else { return Ok(None) };
                if matches!(found, LeaderPacket::Snap { .. }) {
                    let rest = buffer.take_rest();
                    *self = Self::Snapshot(BytesMut::from(&rest[..]));
                }
                Ok(Some(from_leader(found)))
            }
            Self::Snapshot(tail) => Ok(snapshot_end(tail).map(|rest| {
                let mut buffer = PacketBuffer::new();
                buffer.push(rest);
                *self = Self::FromLeader(buffer);
                packet("snapshot", String::from("the last byte of the snapshot"), None)
            })),
            Self::Votes { buffer, greeted: greeted @ false } => {
                let found = buffer.next_initial().map_err(|_| Unreadable)?;
                Ok(found.map(|found| {
                    *greeted = true;
                    packet("hello", format!("hello of s{}", found.from), None)
                }))
            }
            Self::Votes { buffer, greeted: true } => {
                let found = buffer.next_message().map_err(|_| Unreadable)?;
                Ok(found.map(|found| {
                    Notification::decode(found).map_or_else(
                        |error| packet("vote", format!("vote that cannot be read: {error}"), None),
                        |vote| notification(&vote),
                    )
                }))
            }
            Self::Requests { buffer, connected } => {
                let found = buffer.next_frame(MAX_LEN).map_err(|_| Unreadable)?;
                let Some(frame) = found else { return Ok(None) };
                if !std::mem::replace(connected, true) {
                    let asks = ConnectRequest::decode(frame).map_err(|_| Unreadable)?;
                    return Ok(Some(connect(&asks)));
                }
                request(frame, asked).map(Some)
            }
            Self::Replies { buffer, connected } => {
                let found = buffer.next_frame(MAX_LEN).map_err(|_| Unreadable)?;
                let Some(frame) = found else { return Ok(None) };
                if !std::mem::replace(connected, true) {
                    let answer = ConnectResponse::decode(frame).map_err(|_| Unreadable)?;
                    return Ok(Some(connected_as(&answer)));
                }
                reply(frame, asked).map(Some)
            }
            Self::Lost => Ok(None),
        }
    }
}

fn packet(name: &'static str, text: String, zxid: Option<Zxid>) -> Packet {
    Packet { name, text, zxid, end: 0 }
}

/// What follows a snapshot, where its end has come; else all but its last bytes is dropped.
fn snapshot_end(tail: &mut BytesMut) -> Option<Bytes> {
    let at = tail.windows(SNAP_ENDS.len()).position(|window| window == SNAP_ENDS);
    if let Some(at) = at {
        let mut rest = tail.split().freeze();
        return Some(rest.split_off(at + SNAP_ENDS.len()));
    }
    let known = tail.len().saturating_sub(SNAP_ENDS.len() - 1);
    drop(tail.split_to(known));
    None
}

fn from_learner(found: &LearnerPacket) -> Packet {
    match found {
        LearnerPacket::FollowerInfo { accepted, .. } => {
            packet("FOLLOWERINFO", format!("FOLLOWERINFO accepted epoch {}", accepted.0), None)
        }
        LearnerPacket::ObserverInfo { accepted, .. } => {
            packet("OBSERVERINFO", format!("OBSERVERINFO accepted epoch {}", accepted.0), None)
        }
        LearnerPacket::AckEpoch { last_logged, current } => {
            let (last, current) = (zxid_or(*last_logged), epoch_or(*current));
            packet("ACKEPOCH", format!("ACKEPOCH last {last}, current epoch {current}"), None)
        }
        LearnerPacket::Ack { zxid } => packet("ACK", format!("ACK {zxid:?}"), Some(*zxid)),
        LearnerPacket::Ping { zxid, touched } => {
            let zxid = zxid_or(Zxid::from_wire(*zxid));
            packet("PING", format!("PING {zxid}, {} sessions touched", touched.len()), None)
        }
        LearnerPacket::Revalidate { session, .. } => {
            packet("REVALIDATE", format!("REVALIDATE {session}"), None)
        }
        LearnerPacket::Request(request) => {
            let (_, text) = describe::request(request.op, request.payload.clone());
            let owner = request.session;
            let text = format!("REQUEST {text} of {owner}, xid {}", request.cxid);
            packet("REQUEST", text, None)
        }
    }
}

fn from_leader(found: LeaderPacket) -> Packet {
    let named =
        |name: &'static str, zxid: Zxid| packet(name, format!("{name} {zxid:?}"), Some(zxid));
    let with = |name: &'static str, zxid: Zxid, payload: Bytes| {
        packet(name, format!("{name} {zxid:?} {}", describe::payload(payload)), Some(zxid))
    };
    match found {
        LeaderPacket::LeaderInfo { epoch, .. } => {
            packet("LEADERINFO", format!("LEADERINFO epoch {}", epoch.0), None)
        }
        LeaderPacket::NewLeader { epoch, .. } => {
            packet("NEWLEADER", format!("NEWLEADER epoch {}", epoch.0), None)
        }
        LeaderPacket::Diff { upto } => named("DIFF", upto),
        LeaderPacket::Trunc { upto } => named("TRUNC", upto),
        LeaderPacket::Snap { zxid, .. } => named("SNAP", zxid),
        LeaderPacket::Proposal { zxid, payload } => with("PROPOSAL", zxid, payload),
        LeaderPacket::Commit { zxid } | LeaderPacket::CommitAndActivate { zxid, .. } => {
            named("COMMIT", zxid)
        }
        LeaderPacket::Inform { zxid, payload }
        | LeaderPacket::InformAndActivate { zxid, payload, .. } => with("INFORM", zxid, payload),
        LeaderPacket::UpToDate => packet("UPTODATE", String::from("UPTODATE"), None),
        LeaderPacket::Ping { zxid } => {
            packet("PING", format!("PING {}", zxid_or(Zxid::from_wire(zxid))), None)
        }
        LeaderPacket::Revalidate { session, valid } => {
            let is = if valid { "is valid" } else { "is not known" };
            packet("REVALIDATE", format!("REVALIDATE {session} {is}"), None)
        }
        LeaderPacket::Sync => packet("SYNC", String::from("SYNC"), None),
    }
}

fn notification(vote: &Notification) -> Packet {
    let state = match vote.state {
        PeerState::Looking => "looking",
        PeerState::Following => "following",
        PeerState::Leading => "leading",
        PeerState::Observing => "observing",
    };
    let leader =
        vote.leader.map_or_else(|| String::from("nobody"), |ServerId(id)| format!("s{id}"));
    let (zxid, epoch) = (zxid_or(vote.zxid), epoch_or(vote.peer_epoch));
    let round = vote.round;
    let text = format!("vote for {leader} at {zxid}, epoch {epoch}, round {round}, {state}");
    packet("vote", text, None)
}

fn connect(asks: &ConnectRequest) -> Packet {
    let text = asks.session.map_or_else(
        || String::from("connect, a new session"),
        |session| format!("connect, session {session}"),
    );
    packet("connect", text, None)
}

fn connected_as(answer: &ConnectResponse) -> Packet {
    let text = answer.session.map_or_else(
        || String::from("session expired or refused"),
        |session| format!("connected as {session}, {} ms", answer.timeout_ms),
    );
    packet("connected", text, None)
}

fn request(frame: Bytes, asked: &mut Asked) -> Result<Packet, Unreadable> {
    let (header, body) = RequestHeader::split(frame).map_err(|_| Unreadable)?;
    let (name, text) = describe::request(header.op, body);
    if header.xid != XID_PING {
        asked.insert(header.xid.0, text.clone());
    }
    Ok(packet(name, text, None))
}

fn reply(frame: Bytes, asked: &mut Asked) -> Result<Packet, Unreadable> {
    // A code that core does not know is still a reply; only its head is needed here.
    let (header, body) = decode_reply(frame).map_err(|_| Unreadable)?;
    let zxid = Zxid::from_wire(header.zxid);
    if header.xid == XID_EVENT {
        let text = decode_event(body).map_or_else(
            |_| String::from("event"),
            |(kind, path)| format!("event {kind:?} {path}"),
        );
        return Ok(packet("event", text, zxid));
    }
    if header.xid == XID_PING {
        return Ok(packet("pong", format!("pong at {}", zxid_or(zxid)), None));
    }
    let to = asked.remove(&header.xid.0).unwrap_or_else(|| format!("xid {}", header.xid.0));
    let how = if header.code == Code::Ok { String::new() } else { format!(" {:?}", header.code) };
    Ok(packet("reply", format!("reply{how} at {} to {to}", zxid_or(zxid)), zxid))
}

fn zxid_or(zxid: Option<Zxid>) -> String {
    zxid.map_or_else(|| String::from("none"), |zxid| format!("{zxid:?}"))
}

fn epoch_or(epoch: Option<Epoch>) -> String {
    epoch.map_or_else(|| String::from("none"), |epoch| epoch.0.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use vivarium_core::ids::{ServerId, Xid, Zxid};
    use vivarium_core::server::input::Plane;
    use vivarium_core::wire::client::{ConnectRequest, Op, encode_request};
    use vivarium_core::wire::quorum::LeaderPacket;
    use vivarium_core::wire::vote::InitialMessage;

    use super::{Asked, Packet, SNAP_ENDS, Stream};

    fn texts(packets: &[Packet]) -> Vec<&str> {
        packets.iter().map(|packet| packet.text.as_str()).collect()
    }

    #[test]
    fn a_packet_is_named_by_the_chunk_that_ends_it() {
        let mut bytes = BytesMut::new();
        LeaderPacket::Commit { zxid: Zxid(0x1_0000_0007) }.encode(&mut bytes);
        let whole = bytes.len() as u64;
        LeaderPacket::UpToDate.encode(&mut bytes);
        let mut stream = Stream::new(Plane::Quorum, false);
        let asked = &mut Asked::new();
        assert!(stream.push(bytes.split_to(5).freeze(), asked).is_empty());
        let packets = stream.push(bytes.freeze(), asked);
        assert_eq!(texts(&packets), ["COMMIT 1:7", "UPTODATE"]);
        assert_eq!((packets[0].end, packets[1].end), (whole, stream.pushed));
    }

    #[test]
    fn packets_go_on_behind_a_snapshot_that_is_cut_anywhere() {
        let mut bytes = BytesMut::new();
        LeaderPacket::Snap { zxid: Zxid(9), fuzzy: false }.encode(&mut bytes);
        bytes.extend_from_slice(b"a tree that nobody reads here");
        bytes.extend_from_slice(SNAP_ENDS);
        LeaderPacket::UpToDate.encode(&mut bytes);
        let bytes = bytes.freeze();
        for border in 0..bytes.len() {
            let mut stream = Stream::new(Plane::Quorum, false);
            let asked = &mut Asked::new();
            let mut packets = stream.push(bytes.slice(..border), asked);
            packets.extend(stream.push(bytes.slice(border..), asked));
            let names: Vec<_> = packets.iter().map(|packet| packet.name).collect();
            assert_eq!(names, ["SNAP", "snapshot", "UPTODATE"], "cut at {border}");
        }
    }

    #[test]
    fn requests_are_known_when_their_replies_come() {
        let mut bytes = BytesMut::new();
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: 1000,
            session: None,
            password: Bytes::new(),
            read_only: None,
        };
        connect.encode(&mut bytes);
        encode_request(&mut bytes, Xid(7), &Op::Sync { path: "/a".into() });
        let asked = &mut Asked::new();
        let packets = Stream::new(Plane::Client, true).push(bytes.freeze(), asked);
        assert_eq!(texts(&packets), ["connect, a new session", "sync /a"]);
        assert_eq!(asked.get(&7).map(String::as_str), Some("sync /a"));
    }

    #[test]
    fn what_cannot_be_read_ends_the_reading() {
        let asked = &mut Asked::new();
        let mut votes = Stream::new(Plane::Election, true);
        let mut bytes = BytesMut::new();
        InitialMessage { from: ServerId(2), address: "h:1".into() }.encode(&mut bytes);
        assert_eq!(texts(&votes.push(bytes.freeze(), asked)), ["hello of s2"]);
        let packets = votes.push(Bytes::from_static(&[0xff; 8]), asked);
        assert_eq!(texts(&packets), ["unreadable bytes"]);
        assert!(votes.push(Bytes::from_static(&[0; 64]), asked).is_empty());
    }
}
