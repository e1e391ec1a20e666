//! Configuration, validated: texts in (`config::given`, `config::parse`), values out.

pub mod effective;
pub mod findings;
pub mod given;
pub mod known;
pub mod member;
pub mod parse;
pub mod properties;
mod surroundings;
pub mod text;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

pub use surroundings::Surroundings;

use crate::ids::ServerId;
use crate::time::Span;

/// Whether a server votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberRole {
    Participant,
    Observer,
}

/// Host name or address, resolved by the host at each dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// One `server.N` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub quorum: Address,
    pub election: Address,
    pub role: MemberRole,
    /// Part behind `;`, where it stood in the line.
    pub client: Option<Address>,
}

/// One configuration of the ensemble: a quorum verifier in Apache's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleConfig {
    pub members: BTreeMap<ServerId, Member>,
    /// `group.N`; empty for plain majorities.
    pub groups: BTreeMap<u64, BTreeSet<ServerId>>,
    /// `weight.N`; 1 where absent.
    pub weights: BTreeMap<ServerId, u64>,
    /// 0 for a static file with `reconfigEnabled=false`.
    pub version: u64,
}

/// Everything that shapes a server. Limits are values so that simulation can draw them small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub me: ServerId,
    /// `None`: standalone.
    pub ensemble: Option<EnsembleConfig>,
    /// Logs live in a folder of their own (`dataLogDir` differs from `dataDir`).
    pub separate_log_dir: bool,
    pub tick: Span,
    pub init_limit_ticks: u64,
    pub sync_limit_ticks: u64,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    /// Connections of one client address; 0: no limit.
    pub max_client_connections: usize,
    /// Connections of all clients; 0: no limit.
    pub max_connections: usize,
    /// A leader serves clients itself. Apache: `leaderServes`.
    pub leader_serves: bool,
    pub jute_max_buffer: usize,
    pub global_outstanding_limit: usize,
    /// Requests under way at which no further one is read from anybody; 0: no such limit. Apache:
    /// `RequestThrottler`.
    pub throttle_requests: usize,
    /// Transactions between own snapshots (Apache draws from the upper half of it).
    pub snap_count: u64,
    /// Committed transactions kept in memory for DIFF.
    pub commit_log_count: usize,
    pub pre_alloc_bytes: u64,
    /// Most bytes of one append batch (see `storage::recovery`: what tells a torn batch from rot).
    pub append_batch_bytes: usize,
    /// Bytes of a snapshot that are walked and written at once, about.
    pub snap_portion_bytes: usize,
    /// Bytes of old states that a walk may keep while changes run ahead of it, before it is dropped.
    pub snap_preimage_limit_bytes: usize,
    /// Snapshots kept by purge; 0 turns purging off.
    pub snap_retain_count: usize,
    /// The leader steps down in order when a counter reaches this (at most 2^32 - 1).
    pub zxid_counter_limit: u32,
    pub first_start: FirstStart,
    /// `sync` is answered after a quorum has confirmed this leader.
    pub linearizable_sync: bool,
    /// A reply to a read that clients with the same `jute.maxbuffer` would not take is an error instead.
    pub bounded_replies: bool,
    /// A sequential node beyond 2147483646 is refused, where ZooKeeper's names go on below zero.
    pub bounded_sequences: bool,
    /// The newest changes that are kept for clients who set persistent watches again; 0: none, and
    /// they are told nothing.
    pub event_history_bytes: usize,
    /// Bytes that may wait unsent on one link before reading from it is held.
    pub link_high_water_bytes: u64,
    /// Bytes of replies that may wait unsent before a client is closed.
    pub link_limit_bytes: u64,
    /// Silence of a client's connection without a session, after which it is closed.
    pub greeting_limit: Span,
    pub cnx_timeout: Span,
    pub min_notification: Span,
    pub max_notification: Span,
    /// Silence after which a vote with a quorum is final. Apache: `finalizeWait`.
    pub finalize_wait: Span,
    pub four_letter_words: Words,
    /// TTL nodes may be made. Every server of an ensemble must agree.
    pub extended_types: bool,
    pub containers: ContainerRules,
    pub access: AccessRules,
    /// New sessions live at the server that made them, and cost no transaction.
    pub local_sessions: bool,
    /// A local session becomes global with its first ephemeral node, which is refused otherwise.
    pub local_sessions_upgrading: bool,
    /// Without a quorum, clients that ask for it may read what this server holds.
    pub read_only_mode: bool,
    /// What a server looks for a leader, and a tick at least, before it does so.
    pub read_only_patience: Span,
    /// Hard limits of quotas refuse.
    pub enforce_quota: bool,
    /// A client may ask for other members; what it gets is an answer, not yet other members.
    pub reconfig_enabled: bool,
    /// Put the full state digest into notes (the simulator's T1); costs time per transaction.
    pub full_digest: bool,
    pub host: HostConfig,
    /// For words only: nothing depends on it.
    pub surroundings: Surroundings,
    pub seed: [u8; 32],
}

/// What only the host needs, and what words show to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Empty in simulations.
    pub data_dir: String,
    /// Equal to `data_dir` unless `dataLogDir` is set.
    pub data_log_dir: String,
    /// `myid` does not exist, and this belongs into it.
    pub new_myid: Option<ServerId>,
    /// Where clients connect; `None` where no port is configured.
    pub client: Option<Address>,
    pub listen_backlog: u32,
    /// Quorum and election ports are opened on all addresses. Apache: `quorumListenOnAllIPs`.
    pub quorum_on_all_addresses: bool,
    /// Missing data folders are made.
    pub create_folders: bool,
    /// An fsync that takes longer is logged.
    pub fsync_warning: Span,
    pub purge: Purge,
    pub standalone_enabled: bool,
}

/// `autopurge.*` as they were written; [`Config::snap_retain_count`] is what they come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    pub retain: usize,
    /// 0: off.
    pub interval_hours: u32,
}

impl HostConfig {
    pub fn with_defaults() -> Self {
        Self {
            data_dir: String::new(),
            data_log_dir: String::new(),
            new_myid: None,
            client: None,
            listen_backlog: 1024,
            quorum_on_all_addresses: false,
            create_folders: true,
            fsync_warning: Span::from_ms(1000),
            purge: Purge { retain: 3, interval_hours: 0 },
            standalone_enabled: true,
        }
    }
}

impl Config {
    /// ZooKeeper's defaults (PROTOCOL 6.1, 6.2), with the limits of its sample file where it has none.
    pub fn with_defaults(me: ServerId, ensemble: Option<EnsembleConfig>, seed: [u8; 32]) -> Self {
        let tick = Span::from_ms(3000);
        Self {
            me,
            ensemble,
            separate_log_dir: false,
            tick,
            init_limit_ticks: 10,
            sync_limit_ticks: 5,
            min_session_timeout_ms: 2 * 3000,
            max_session_timeout_ms: 20 * 3000,
            max_client_connections: 60,
            max_connections: 0,
            leader_serves: true,
            jute_max_buffer: 0xf_ffff,
            global_outstanding_limit: 1000,
            throttle_requests: 0,
            snap_count: 100_000,
            commit_log_count: 500,
            pre_alloc_bytes: 64 << 20,
            append_batch_bytes: 256 << 10,
            snap_portion_bytes: 64 << 10,
            snap_preimage_limit_bytes: 64 << 20,
            snap_retain_count: 0,
            zxid_counter_limit: u32::MAX,
            first_start: FirstStart::AskAll,
            linearizable_sync: true,
            bounded_replies: true,
            bounded_sequences: true,
            event_history_bytes: 1 << 20,
            link_high_water_bytes: 1 << 20,
            link_limit_bytes: 16 << 20,
            greeting_limit: Span::from_ms(10_000),
            cnx_timeout: Span::from_ms(5000),
            min_notification: Span::from_ms(200),
            max_notification: Span::from_ms(60_000),
            finalize_wait: Span::from_ms(200),
            four_letter_words: Words::Some(vec![String::from("srvr")]),
            extended_types: false,
            containers: ContainerRules::DEFAULT,
            access: AccessRules::default(),
            local_sessions: false,
            local_sessions_upgrading: false,
            read_only_mode: false,
            read_only_patience: Span::from_ms(2000),
            enforce_quota: false,
            reconfig_enabled: false,
            full_digest: false,
            host: HostConfig::with_defaults(),
            surroundings: Surroundings::default(),
            seed,
        }
    }

    /// The longest transaction that is proposed: what peers with the same `jute.maxbuffer` take,
    /// Apache's included. However low that is, errors and sessions fit.
    pub fn transaction_limit(&self) -> usize {
        self.jute_max_buffer.saturating_mul(2).clamp(4096, i32::MAX as usize / 2)
    }
}

/// How a leader looks for containers and TTL nodes that have outlived their purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerRules {
    pub check_interval: Span,
    /// Most deletions in a minute.
    pub max_per_minute: u32,
    /// A container that never had a child goes when it is this old; zero: never.
    pub never_used: Span,
}

impl ContainerRules {
    pub const DEFAULT: Self = Self {
        check_interval: Span::from_ms(60_000),
        max_per_minute: 10_000,
        never_used: Span::ZERO,
    };
}

/// Who gets in, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRules {
    /// No access list is looked at.
    pub skip_acl: bool,
    /// The scheme `digest` is offered.
    pub digest_enabled: bool,
    /// What the hashes of digests are made with; the same on all servers, and for ever.
    pub digest_alg: DigestAlg,
    /// `user:hash` of who may do everything.
    pub super_digest: Option<String>,
    /// A client must have an identity of one of these schemes; empty: none is asked of it.
    pub enforced_schemes: Vec<String>,
}

impl Default for AccessRules {
    fn default() -> Self {
        Self {
            skip_acl: false,
            digest_enabled: true,
            digest_alg: DigestAlg::Sha1,
            super_digest: None,
            enforced_schemes: Vec::new(),
        }
    }
}

/// `DigestAuthenticationProvider.digestAlg`, by the names that Java knows them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlg {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3x224,
    Sha3x256,
    Sha3x384,
    Sha3x512,
}

impl DigestAlg {
    pub const ALL: [Self; 9] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3x224,
        Self::Sha3x256,
        Self::Sha3x384,
        Self::Sha3x512,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
            Self::Sha3x224 => "SHA3-224",
            Self::Sha3x256 => "SHA3-256",
            Self::Sha3x384 => "SHA3-384",
            Self::Sha3x512 => "SHA3-512",
        }
    }

    /// Java's names, in any case; SHA-1 has three.
    pub fn named(name: &str) -> Option<Self> {
        if ["SHA", "SHA-1"].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Some(Self::Sha1);
        }
        Self::ALL.into_iter().find(|alg| alg.name().eq_ignore_ascii_case(name))
    }
}

/// When a server without any state may take part in a first election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// Every voter must show that it is empty too.
    AskAll,
    /// `db.autocreate=true`: Apache's rule.
    AutoCreate,
}

/// `4lw.commands.whitelist`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    All,
    Some(Vec<String>),
}

impl Words {
    pub fn allows(&self, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => words.iter().any(|known| known == word),
        }
    }
}
