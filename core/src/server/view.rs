//! What a server looks like from outside, for hosts, words and checkers.

use alloc::vec::Vec;

use crate::ids::{Epoch, ServerId, Zxid};
use crate::server::note::{Phase, StateDigest};

/// Whom a server serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    #[default]
    None,
    /// No quorum is there: clients that asked for it may read what this server holds.
    ReadOnly,
    Full,
}

/// A snapshot by value of the facts that others may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub me: ServerId,
    pub phase: Phase,
    pub leader: Option<ServerId>,
    pub accepted: Epoch,
    pub current: Epoch,
    /// `None`: blank.
    pub logged: Option<Zxid>,
    pub durable: Option<Zxid>,
    pub committed: Option<Zxid>,
    pub applied: Option<Zxid>,
    pub digest: StateDigest,
    pub serving: bool,
    /// Serves those alone who asked to read without a quorum.
    pub read_only: bool,
    pub sessions: usize,
    /// Sessions that only this server knows.
    pub local_sessions: usize,
    /// Sessions of the ensemble whose time this server watches over (leader and standalone only).
    pub tracked_sessions: usize,
    pub clients: usize,
    pub nodes: usize,
    pub watches: usize,
    /// Client requests that wait for an answer.
    pub outstanding: usize,
    /// Frames that clients sent, since the start or the last reset of the statistics.
    pub received: u64,
    /// Voters whose word a first start still waits for.
    pub awaited: Vec<ServerId>,
    /// Learners whose NEWLEADER ack was counted (leader only).
    pub synced: usize,
    pub counters: Counters,
}

/// Monotonic counts since the start of this incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub steps: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    /// As a leader, or standalone.
    pub proposals: u64,
    pub commits: u64,
    /// As a learner, since it serves.
    pub proposals_received: u64,
    pub commits_received: u64,
    pub log_batches: u64,
    pub log_records: u64,
    pub elections: u64,
    pub snapshots: u64,
    /// Learners that a leader brought up to date, and how.
    pub diffs: u64,
    pub truncs: u64,
    pub snaps: u64,
    /// Snapshots of a leader that replaced the own tree.
    pub snaps_installed: u64,
    pub expired: u64,
}
