//! What other servers say: voters, leaders and learners, packet by packet.

use bytes::{BufMut, Bytes, BytesMut};
use vivarium_core::acl::Acl;
use vivarium_core::ids::{Epoch, ServerId, SessionId, Xid, Zxid};
use vivarium_core::server::input::{DialError, LinkInput, Plane};
use vivarium_core::time::Wall;
use vivarium_core::tree::{Database, Walk};
use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};
use vivarium_core::wire::client::{OP_CREATE_SESSION, Op, encode_request};
use vivarium_core::wire::frame::{PacketBuffer, VoteBuffer};
use vivarium_core::wire::quorum::{
    ForwardedRequest, LeaderPacket, LearnerInfo, LearnerPacket, VivariumInfo,
};
use vivarium_core::wire::vote::{InitialMessage, Notification, PeerState};

use super::Rig;
use super::hearing::{FarSide, SIGNATURE};
use super::words::{Words, zxid};
use crate::client;

impl Rig {
    /// A voter with a higher id connects for elections.
    pub(super) fn voter(&mut self, id: u64, from: u64) {
        self.far.insert(id, FarSide::Voter { greeted: true, buffer: VoteBuffer::new() });
        self.open(id, None, Plane::Election);
        let mut out = BytesMut::new();
        let from = ServerId(from);
        InitialMessage { from, address: format!("s{from}:3888") }.encode(&mut out);
        self.bytes(id, out);
    }

    pub(super) fn vote(&mut self, words: &Words<'_>) {
        let state = match words.named.get("state") {
            Some(&"leading") => PeerState::Leading,
            Some(&"following") => PeerState::Following,
            Some(_) | None => PeerState::Looking,
        };
        let mut out = BytesMut::new();
        Notification {
            state,
            leader: Some(ServerId(words.number(2))),
            zxid: Some(words.named.get("zxid").map_or(Zxid::ZERO, |text| zxid(text))),
            round: words.named("round", 1) as i64,
            peer_epoch: Some(Epoch(words.named("epoch", 0) as u32)),
            version: 2,
            config: None,
        }
        .encode(&mut out);
        self.bytes(words.number(1), out);
    }

    /// The server's newest attempt to reach a leader succeeds.
    pub(super) fn dialled(&mut self, id: u64) {
        let dial = self.last_dial.take();
        assert!(dial.is_some(), "the server dials nobody");
        self.far.insert(id, FarSide::Leader(PacketBuffer::new()));
        self.open(id, dial, Plane::Quorum);
    }

    /// Nobody listens where the server dialled.
    pub(super) fn refused(&mut self) {
        let dial = self.last_dial.take().expect("the server dials somebody");
        self.link(LinkInput::DialFailed { dial, why: DialError::Refused });
    }

    /// `leader 10 COMMIT 1:1 + SYNC`: what `+` joins arrives in one chunk.
    pub(super) fn leader_says(&mut self, words: &Words<'_>) {
        let mut out = BytesMut::new();
        for packet in words.plain[2..].split(|word| *word == "+") {
            self.leader_packet(packet).encode(&mut out);
        }
        self.bytes(words.number(1), out);
    }

    /// All but the last byte of a PROPOSAL with so many bytes of payload.
    pub(super) fn leader_begins(&mut self, id: u64, payload: usize) {
        let (zxid, payload) = (Zxid(1 << 32 | 1), Bytes::from(vec![0; payload]));
        let mut out = BytesMut::new();
        LeaderPacket::Proposal { zxid, payload }.encode(&mut out);
        out.truncate(out.len() - 1);
        self.bytes(id, out);
    }

    /// A packet of a leader from its words.
    pub(super) fn leader_packet(&self, words: &[&str]) -> LeaderPacket {
        let arg = words.get(1).copied().unwrap_or("0:0");
        let epoch = || Epoch(arg.parse().expect("an epoch"));
        match words[0] {
            "LEADERINFO" => {
                let vivarium = words.get(2) != Some(&"apache");
                LeaderPacket::LeaderInfo { epoch: epoch(), vivarium }
            }
            "NEWLEADER" => LeaderPacket::NewLeader { epoch: epoch(), config: None },
            "DIFF" => LeaderPacket::Diff { upto: zxid(arg) },
            "TRUNC" => LeaderPacket::Trunc { upto: zxid(arg) },
            "PROPOSAL" => LeaderPacket::Proposal { zxid: zxid(arg), payload: payload(zxid(arg)) },
            // It names another zxid than its transaction.
            "FORGED" => {
                let other = zxid(arg).next().expect("a small counter");
                LeaderPacket::Proposal { zxid: zxid(arg), payload: payload(other) }
            }
            "SESSION" => {
                let session = self.asked_session.expect("the server asked for a session");
                let payload = new_session(zxid(arg), session);
                LeaderPacket::Proposal { zxid: zxid(arg), payload }
            }
            "COMMIT" => LeaderPacket::Commit { zxid: zxid(arg) },
            "UPTODATE" => LeaderPacket::UpToDate,
            "PING" => LeaderPacket::Ping { zxid: zxid(arg).to_wire() },
            "SYNC" => LeaderPacket::Sync,
            which @ ("LIVES" | "OVER") => {
                let session = self.asked_session.expect("the server asked for a session");
                LeaderPacket::Revalidate { session, valid: which == "LIVES" }
            }
            other => panic!("no leader says {other}"),
        }
    }

    pub(super) fn learner_says(&mut self, words: &Words<'_>) {
        let id = words.number(1);
        let arg = words.plain.get(3).copied().unwrap_or("0:0");
        let packet = match words.plain[2] {
            which @ ("FOLLOWERINFO" | "OBSERVERINFO") => {
                let buffer = PacketBuffer::new();
                self.far.insert(id, FarSide::Learner { in_snapshot: false, buffer });
                self.open(id, None, Plane::Quorum);
                let server = Some(ServerId(words.named("id", 2)));
                let vivarium = words.named.get("vivarium").map(|text| VivariumInfo {
                    blank: *text == "blank",
                    uncuttable: *text == "uncuttable",
                });
                let config_version = words.named("config", 0) as i64;
                let info =
                    LearnerInfo { server, protocol_version: 0x10000, config_version, vivarium };
                let accepted = Epoch(arg.parse().expect("epoch"));
                match which {
                    "OBSERVERINFO" => LearnerPacket::ObserverInfo { accepted, info },
                    _ => LearnerPacket::FollowerInfo { accepted, info },
                }
            }
            "ACKEPOCH" => LearnerPacket::AckEpoch {
                last_logged: Some(zxid(arg)),
                // Bound: the epoch was accepted from another leader before.
                current: (words.named("bound", 0) == 0)
                    .then(|| Epoch(words.named("current", 0) as u32)),
            },
            "ACK" => LearnerPacket::Ack { zxid: zxid(arg) },
            "REVALIDATE" => {
                let session = SessionId(words.named("session", 0) as i64);
                LearnerPacket::Revalidate { session, timeout_ms: 4000 }
            }
            "PING" => LearnerPacket::Ping { zxid: zxid(arg).to_wire(), touched: Vec::new() },
            // A session of its own, or that of the server it names.
            "CREATE" | "EPHEMERAL" | "OPEN" | "END" => {
                let server = words.named("of", 2) << 56;
                let session = SessionId((server + words.named("session", 1)) as i64);
                LearnerPacket::Request(forwarded(words.plain[2], session, arg))
            }
            other => panic!("no learner says {other}"),
        };
        let mut out = BytesMut::new();
        packet.encode(&mut out);
        self.bytes(id, out);
    }

    /// An empty tree as a leader's snapshot of `zxid`; `cut`: its end stays away.
    pub(super) fn snap(&mut self, id: u64, zxid: Zxid, cut: bool) {
        let mut out = BytesMut::new();
        LeaderPacket::Snap { zxid, fuzzy: false }.encode(&mut out);
        let mut database = Database::new(false);
        database.begin_walk(usize::MAX);
        while database.walk(usize::MAX, &mut out) == Walk::More {}
        out.put_i32(10);
        out.put_slice(SIGNATURE);
        if cut {
            out.truncate(out.len() - SIGNATURE.len());
        }
        self.bytes(id, out);
    }
}

/// What a learner forwards for a client.
fn forwarded(what: &str, session: SessionId, path: &str) -> ForwardedRequest {
    let timeout_ms = 4000_i32.to_be_bytes();
    let (op, payload) = match what {
        "OPEN" => (OP_CREATE_SESSION, Bytes::copy_from_slice(&timeout_ms)),
        "END" => (Op::CloseSession.code(), Bytes::new()),
        _ => {
            let op = client::create(path, "x", i32::from(what == "EPHEMERAL"));
            let mut out = BytesMut::new();
            encode_request(&mut out, Xid(1), &op);
            // Without length, xid and opcode.
            (op.code(), out.freeze().slice(12..))
        }
    };
    ForwardedRequest { session, cxid: 1, op, payload, authinfo: Vec::new() }
}

/// A create of `/n<counter>`.
fn payload(zxid: Zxid) -> Bytes {
    let header = TxnHeader { session: SessionId(1), cxid: 1, zxid, time: Wall(0) };
    let create = CreateTxn {
        path: format!("/n{}", zxid.counter()),
        data: None,
        acl: Some(Acl::open()),
        ephemeral: false,
        parent_cversion: Some(zxid.counter() as i32),
    };
    let mut out = BytesMut::new();
    LoggedTxn { header, txn: Txn::Create(create), digest: None }.encode(&mut out);
    out.freeze()
}

fn new_session(zxid: Zxid, session: SessionId) -> Bytes {
    let header = TxnHeader { session, cxid: 0, zxid, time: Wall(0) };
    let txn = Txn::CreateSession { timeout_ms: 4000 };
    let mut out = BytesMut::new();
    LoggedTxn { header, txn, digest: None }.encode(&mut out);
    out.freeze()
}
