//! Election port: the initial message and notifications. Facts: PROTOCOL 3.1, 3.2.
//! Apache: `QuorumCnxManager.InitialMessage`, `FastLeaderElection.Notification`.

use alloc::string::String;

use bytes::Bytes;

use crate::ids::{Epoch, ServerId, Zxid};

/// State of the sender of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    Looking,
    Following,
    Leading,
    Observing,
}

/// First bytes that the initiator of an election connection writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMessage {
    pub from: ServerId,
    /// "host:port" of the sender's election address; several in the V2 form, first one kept.
    pub address: String,
}

/// One notification, decoded from a length-prefixed message (len 1..524288).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub state: PeerState,
    /// `None`: the sender cannot vote (Long.MIN_VALUE on the wire).
    pub leader: Option<ServerId>,
    /// `None` (wire -1 or Long.MIN_VALUE): a blank server or a non-voter.
    pub zxid: Option<Zxid>,
    pub round: i64,
    /// `None` for Long.MIN_VALUE / negative.
    pub peer_epoch: Option<Epoch>,
    /// 0 in old forms; 2 is written.
    pub version: i32,
    /// Text of the sender's quorum verifier; null or absent is `None`.
    pub config: Option<Bytes>,
}
