//! The sections of a scenario file as TOML has them, nothing judged.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use toml::Spanned;

/// A text, and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    #[serde(default)]
    pub(super) why: String,
    pub(super) seed: Seed,
    #[serde(default)]
    pub(super) rolls: u32,
    pub(super) white_box: Option<bool>,
    pub(super) fault_phase: Option<Text>,
    pub(super) stay_dead: Option<Vec<Text>>,
    #[serde(default)]
    pub(super) beyond_quorum: bool,
    pub(super) looks_every: Option<Spanned<u64>>,
    pub(super) faults: Option<Text>,
    pub(super) expect: Option<ExpectSection>,
    pub(super) client: Option<Vec<Spanned<ClientSection>>>,
    pub(super) workload: Option<Spanned<WorkloadSection>>,
    #[serde(default)]
    pub(super) cluster: ClusterSection,
    #[serde(default)]
    pub(super) server: BTreeMap<Text, ServerSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectSection {
    pub(super) verdict: Verdict,
    pub(super) check: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    Refusal,
    Violation,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientSection {
    pub(super) servers: Option<Vec<Text>>,
    pub(super) session_timeout_ms: Option<i32>,
    pub(super) seed: Option<u64>,
    pub(super) starts: Option<Text>,
    pub(super) pipeline: Option<u64>,
    pub(super) think: Option<Text>,
    pub(super) reads_only: Option<bool>,
    pub(super) fresh_xids: Option<bool>,
    pub(super) other_timeout_ms: Option<i32>,
    pub(super) returns: Option<bool>,
    pub(super) asks_ahead: Option<bool>,
    pub(super) operations: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkloadSection {
    pub(super) mix: Option<BTreeMap<Text, u64>>,
    pub(super) roots: Option<u64>,
    pub(super) names: Option<u64>,
    pub(super) watching_per_mille: Option<u64>,
    pub(super) lasting_per_mille: Option<u64>,
    pub(super) rewatching_per_mille: Option<u64>,
    pub(super) guarded_per_mille: Option<u64>,
    pub(super) showing_per_mille: Option<u64>,
    pub(super) data_bytes: Option<u64>,
}

/// Keys of zoo.cfg have the names and units that they have there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterSection {
    pub(super) servers: Option<Spanned<u64>>,
    pub(super) observers: Option<Spanned<u64>>,
    pub(super) standalone: Option<Spanned<bool>>,
    pub(super) groups: Option<Text>,
    pub(super) marked_first_start: Option<bool>,
    pub(super) separate_log_dir: Option<bool>,
    #[serde(rename = "localSessionsEnabled")]
    pub(super) local_sessions: Option<bool>,
    #[serde(rename = "localSessionsUpgradingEnabled")]
    pub(super) local_sessions_upgrading: Option<bool>,
    /// What a server looks for a leader, before it serves readers; not there: it never does.
    pub(super) read_only_after_ms: Option<Spanned<u64>>,
    #[serde(rename = "tickTime")]
    pub(super) tick_time: Option<Spanned<u64>>,
    #[serde(rename = "initLimit")]
    pub(super) init_limit: Option<Spanned<u64>>,
    #[serde(rename = "syncLimit")]
    pub(super) sync_limit: Option<Spanned<u64>>,
    #[serde(rename = "minSessionTimeout")]
    pub(super) min_session_timeout: Option<Spanned<u64>>,
    #[serde(rename = "maxSessionTimeout")]
    pub(super) max_session_timeout: Option<Spanned<u64>>,
    #[serde(rename = "snapCount")]
    pub(super) snap_count: Option<Spanned<u64>>,
    #[serde(rename = "commitLogCount")]
    pub(super) commit_log_count: Option<Spanned<u64>>,
    /// In KiB, as in zoo.cfg.
    #[serde(rename = "preAllocSize")]
    pub(super) pre_alloc_size: Option<Spanned<u64>>,
    #[serde(rename = "eventHistory")]
    pub(super) event_history: Option<Spanned<u64>>,
    #[serde(rename = "appendBatch")]
    pub(super) append_batch: Option<Spanned<u64>>,
    #[serde(rename = "snapRetainCount")]
    pub(super) snap_retain_count: Option<Spanned<u64>>,
    #[serde(rename = "globalOutstandingLimit")]
    pub(super) global_outstanding_limit: Option<Spanned<u64>>,
    /// 0: requests are not throttled.
    #[serde(rename = "request_throttle_max_requests")]
    pub(super) throttle_requests: Option<Spanned<u64>>,
    #[serde(rename = "zxidLimit")]
    pub(super) zxid_limit: Option<Spanned<u64>>,
    #[serde(rename = "maxClientCnxns")]
    pub(super) max_client_connections: Option<Spanned<u64>>,
    #[serde(rename = "skipACL")]
    pub(super) skip_acl: Option<bool>,
    /// `user:hash`; empty: nobody is.
    #[serde(rename = "superDigest")]
    pub(super) super_digest: Option<String>,
    #[serde(rename = "digestAlg")]
    pub(super) digest_alg: Option<Text>,
    #[serde(rename = "enforceQuota")]
    pub(super) enforce_quota: Option<bool>,
    #[serde(rename = "reconfigEnabled")]
    pub(super) reconfig_enabled: Option<bool>,
    #[serde(rename = "containerCheckIntervalMs")]
    pub(super) container_check_interval: Option<Spanned<u64>>,
    #[serde(rename = "containerMaxPerMinute")]
    pub(super) container_max_per_minute: Option<Spanned<u64>>,
    /// 0: a container without any child stays for ever.
    #[serde(rename = "containerMaxNeverUsedIntervalMs")]
    pub(super) container_never_used: Option<Spanned<u64>>,
    pub(super) link_high_water_bytes: Option<Spanned<u64>>,
    pub(super) snap_portion_bytes: Option<Spanned<u64>>,
    pub(super) snap_preimage_limit_bytes: Option<Spanned<u64>>,
    #[serde(rename = "cnxTimeout")]
    pub(super) cnx_timeout: Option<Spanned<u64>>,
    #[serde(rename = "minNotificationInterval")]
    pub(super) min_notification: Option<Spanned<u64>>,
    #[serde(rename = "maxNotificationInterval")]
    pub(super) max_notification: Option<Spanned<u64>>,
    #[serde(rename = "finalizeWait")]
    pub(super) finalize_wait: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSection {
    pub(super) starts: Option<Text>,
    pub(super) clock_offset_ms: Option<i64>,
    pub(super) clock_drift_ppm: Option<Spanned<i64>>,
    pub(super) cpu_us: Option<u64>,
    pub(super) sync_us: Option<u64>,
    pub(super) slow_syncs_per_mille: Option<u64>,
    pub(super) snap_writes_us: Option<u64>,
    /// Habits of Apache's servers; none: it is one of ours.
    pub(super) apache: Option<Vec<Text>>,
}

/// A seed: a number, or a text where TOML's numbers end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(pub(super) u64);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfSeed;
        impl Visitor<'_> for OfSeed {
            type Value = Seed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a seed: a number from 0 to 18446744073709551615, above 2^63 in quotes")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Seed, E> {
                u64::try_from(number).map(Seed).map_err(|_| E::custom("a seed is not negative"))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Seed, E> {
                Ok(Seed(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Seed, E> {
                text.parse().map(Seed).map_err(|_| E::custom("this is no seed: a number in quotes"))
            }
        }
        deserializer.deserialize_any(OfSeed)
    }
}
