//! Typed facts in causal order, for metrics, audit and checkers. Correctness never depends on them.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::config::effective::Adopted;
use crate::ids::{Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::server::action::RestartReason;
use crate::server::input::DialError;
use crate::tree::QuotaExcess;
use crate::wire::client::EventKind;

/// Fingerprints of the replicated state at one zxid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StateDigest {
    /// Apache's tree digest, version 2.
    pub tree: u64,
    /// Every node with full Stat, ACL and data, and the session table. 0 unless
    /// `Config::full_digest` is set. Definition: `tree::digest`.
    pub full: u64,
}

/// Where a server is in the protocol. Paper: phases 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Looking,
    LeadingDiscovery,
    LeadingSynchronization,
    LeadingBroadcast,
    FollowingDiscovery,
    FollowingSynchronization,
    FollowingBroadcast,
    ObservingDiscovery,
    ObservingSynchronization,
    ObservingBroadcast,
    Standalone,
    Halted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    PhaseEntered {
        phase: Phase,
        epoch: Epoch,
    },
    /// The vote of this server settled on `leader`.
    Elected {
        leader: ServerId,
        round: i64,
    },
    /// acceptedEpoch is durable at this value.
    EpochAccepted {
        epoch: Epoch,
    },
    /// currentEpoch is durable at this value. `history` is the last logged zxid it covers.
    EpochEntered {
        epoch: Epoch,
        history: Option<Zxid>,
    },
    /// Leader: a quorum acknowledged NEWLEADER. `discovery` holds what each server of the
    /// ACKEPOCH quorum reported.
    Established {
        epoch: Epoch,
        history: Option<Zxid>,
    },
    /// Leader: one per counted ACKEPOCH, its own seat included.
    Promised {
        epoch: Epoch,
        by: ServerId,
        last: Option<Zxid>,
        current: Epoch,
    },
    /// Leader: a transaction got its zxid. `hash` is `txn::payload_hash` of its log payload.
    Proposed {
        zxid: Zxid,
        hash: u64,
        payload: Bytes,
    },
    /// Appended to the log buffer; not yet durable. `source`: the epoch of the leader it came from.
    Logged {
        zxid: Zxid,
        hash: u64,
        source: Epoch,
    },
    /// A learner sends ACK of a proposal, or a leader counts its own.
    AckedTxn {
        zxid: Zxid,
        epoch: Epoch,
    },
    /// A learner sends the ACK of NEWLEADER, or a leader counts its own.
    AckedNewLeader {
        epoch: Epoch,
        history: Option<Zxid>,
    },
    /// A leader decided that this transaction is committed.
    Committed {
        zxid: Zxid,
    },
    /// Applied to the tree; `recovered` marks replay of the own log after a start.
    Applied {
        zxid: Zxid,
        hash: u64,
        digest: StateDigest,
        recovered: bool,
    },
    /// The log was cut: everything after `upto` is gone.
    Truncated {
        upto: Zxid,
    },
    /// A leader asked for a cut to below every snapshot. Nothing was touched; the server asks for a
    /// snapshot.
    Uncuttable {
        upto: Zxid,
    },
    /// The snapshot of a leader, which is sealed here, is about to replace what may hold more: from now
    /// on and until the server has synced, its history counts for nothing.
    Disowned {
        upto: Zxid,
    },
    /// A snapshot of the leader replaced the tree.
    SnapInstalled {
        zxid: Zxid,
        digest: StateDigest,
    },
    /// An own snapshot file is sealed.
    SnapshotSealed {
        zxid: Zxid,
    },
    /// The server serves clients (again), or stopped to.
    Serving {
        on: bool,
    },
    /// Recovery finished. `blank`: no usable history. `from`: the snapshot it started with.
    Recovered {
        last: Option<Zxid>,
        from: Option<Zxid>,
        blank: bool,
        digest: StateDigest,
    },
    /// Damaged files were moved aside; this server must be filled by its peers.
    MovedAside,
    SessionOpened {
        session: SessionId,
        timeout_ms: i32,
    },
    SessionClosed {
        session: SessionId,
        zxid: Zxid,
    },
    /// Leader: the expiry clock ran out; a closeSession is proposed. `idle_ms` of session time.
    SessionExpired {
        session: SessionId,
        idle_ms: u64,
        timeout_ms: i32,
    },
    /// Leader: a use of the session was counted for its expiry clock, which gives it `timeout_ms` from here.
    SessionTouched {
        session: SessionId,
        timeout_ms: i32,
    },
    /// A session is attached to a client link of this server.
    SessionAttached {
        session: SessionId,
        link: LinkId,
    },
    WatchFired {
        session: SessionId,
        kind: EventKind,
        zxid: Zxid,
    },
    /// Leader: a learner gets its history by this means.
    SyncChosen {
        learner: ServerId,
        how: SyncKind,
    },
    /// The election port of another server does not answer. Said when it starts, and again from
    /// time to time while this server looks for a leader.
    PeerUnreachable {
        peer: ServerId,
        /// `host:port` of its election port.
        at: String,
        why: DialError,
    },
    /// A connection stands to a server that was unreachable.
    PeerReachable {
        peer: ServerId,
    },
    /// A first start waits until these voters have shown that they are empty too. Said when it
    /// changes.
    FirstStartWaits {
        awaited: Vec<ServerId>,
    },
    /// What became of a configuration that was read again.
    Reloaded(Adopted),
    Halting {
        restart: Option<RestartReason>,
    },
    /// Without a quorum, the server serves those who asked to read only (again), or stopped to.
    ServingReadOnly {
        on: bool,
    },
    /// Of a session that only this server knows.
    LocalSession {
        session: SessionId,
        change: LocalChange,
    },
    /// A request goes beyond a quota. Once a second at most.
    QuotaExceeded(QuotaExcess),
}

/// What became of a local session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocalChange {
    Opened {
        timeout_ms: i32,
    },
    /// A use of it counted.
    Touched,
    /// The ensemble is asked to take it.
    Upgraded,
    /// By its client.
    Closed,
    Expired {
        /// Of session time.
        idle_ms: u64,
        timeout_ms: i32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncKind {
    DiffWindow,
    DiffDisk,
    Trunc,
    Snap,
}
