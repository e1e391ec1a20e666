//! Quorum packets, typed by direction. Facts: PROTOCOL 3.4. Apache: `QuorumPacket`, `Leader`.
//!
//! Stream of jute records `int type, long zxid, buffer data, vector<Id> authinfo`, no length prefix.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::acl::Id;
use crate::ids::{Epoch, ServerId, SessionId, Zxid};
use crate::wire::frame::FrameError;
use crate::wire::jute::JuteError;

mod codec;

/// Why bytes are no packet that may come from that side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PacketError {
    #[error("a packet field is too long: {0}")]
    TooLong(#[from] FrameError),
    #[error("packet type {kind} ({name}) does not come from this side")]
    UnknownType { kind: i32, name: &'static str },
    #[error("a packet of type {name} is malformed: {error}")]
    Malformed { name: &'static str, error: JuteError },
}

/// 20 bytes as 3.9.5; ours appends 8, which 3.9.5 ignores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnerInfo {
    /// `None` where the packet carried no id (the leader then counts a private one).
    pub server: Option<ServerId>,
    pub protocol_version: i32,
    pub config_version: i64,
    /// Set when the peer is a Vivarium server.
    pub vivarium: Option<VivariumInfo>,
}

/// Trailing 8 bytes: magic `VIVA`, then a flag word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VivariumInfo {
    /// The learner has no usable history: counted in no ACKEPOCH quorum until it has synced.
    pub blank: bool,
    /// The learner has no snapshot that it could cut behind: SNAP is for it what TRUNC is for others.
    pub uncuttable: bool,
}

/// A client's request on its way from a learner to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedRequest {
    pub session: SessionId,
    pub cxid: i32,
    pub op: i32,
    /// The client's body, undecoded (createSession: int timeout).
    pub payload: Bytes,
    pub authinfo: Vec<Id>,
}

/// One session that a learner's clients used since the last PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    pub session: SessionId,
    pub timeout_ms: i32,
}

/// Learner to leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnerPacket {
    FollowerInfo {
        accepted: Epoch,
        info: LearnerInfo,
    },
    ObserverInfo {
        accepted: Epoch,
        info: LearnerInfo,
    },
    /// `current` is `None` (wire -1) when the learner had already accepted this epoch.
    /// `last_logged` is `None` (wire -1) for a blank server.
    AckEpoch {
        last_logged: Option<Zxid>,
        current: Option<Epoch>,
    },
    /// Also acknowledges NEWLEADER and UPTODATE, with the epoch's zxid.
    Ack {
        zxid: Zxid,
    },
    Ping {
        zxid: i64,
        touched: Vec<Touch>,
    },
    Revalidate {
        session: SessionId,
        timeout_ms: i32,
    },
    Request(ForwardedRequest),
}

/// Leader to learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderPacket {
    LeaderInfo {
        epoch: Epoch,
        vivarium: bool,
    },
    NewLeader {
        epoch: Epoch,
        config: Option<Bytes>,
    },
    Diff {
        upto: Zxid,
    },
    Trunc {
        upto: Zxid,
    },
    /// A raw snapshot stream follows (see `storage::snapshot`), then ustring "BenWasHere".
    /// `fuzzy`: it may hold parts of later transactions. Only said between Vivarium servers; Java's
    /// always may.
    Snap {
        zxid: Zxid,
        fuzzy: bool,
    },
    /// `payload`: TxnHeader, txn, optional TxnDigest; the bytes of the log.
    Proposal {
        zxid: Zxid,
        payload: Bytes,
    },
    Commit {
        zxid: Zxid,
    },
    CommitAndActivate {
        zxid: Zxid,
        designated: ServerId,
    },
    Inform {
        zxid: Zxid,
        payload: Bytes,
    },
    InformAndActivate {
        zxid: Zxid,
        designated: ServerId,
        payload: Bytes,
    },
    UpToDate,
    Ping {
        zxid: i64,
    },
    Revalidate {
        session: SessionId,
        valid: bool,
    },
    Sync,
}

impl LearnerPacket {
    /// Decodes one whole packet.
    pub fn decode(packet: Bytes) -> Result<Self, PacketError> {
        codec::decode_learner(packet)
    }

    /// Appends the packet as it goes on the wire.
    pub fn encode(&self, out: &mut BytesMut) {
        codec::encode_learner(self, out);
    }
}

impl LeaderPacket {
    /// Decodes one whole packet.
    pub fn decode(packet: Bytes) -> Result<Self, PacketError> {
        codec::decode_leader(packet)
    }

    /// Appends the packet as it goes on the wire.
    pub fn encode(&self, out: &mut BytesMut) {
        codec::encode_leader(self, out);
    }
}

#[cfg(test)]
pub(in crate::wire) mod tests;
