//! What a server looks like from outside, for hosts, words and checkers.

use alloc::vec::Vec;

use crate::ids::{Epoch, ServerId, Zxid};
use crate::server::note::{Phase, StateDigest};

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
    pub sessions: usize,
    pub clients: usize,
    pub nodes: usize,
    pub watches: usize,
    /// Client requests that wait for an answer.
    pub outstanding: usize,
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
    pub client_received: u64,
    pub client_sent: u64,
    pub proposals: u64,
    pub commits: u64,
    pub log_batches: u64,
    pub log_records: u64,
    pub elections: u64,
    pub snapshots: u64,
    pub diffs: u64,
    pub truncs: u64,
    pub snaps: u64,
    pub expired: u64,
}
