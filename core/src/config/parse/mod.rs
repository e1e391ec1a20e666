//! `zoo.cfg` to [`Config`]. Apache: `QuorumPeerConfig`. Facts: PROTOCOL 6.

mod access;
mod keys;
mod members;
mod nodes;
mod sessions;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use core::ops::RangeInclusive;

use crate::config::findings::{ConfigError, Finding, Origin, Severity};
use crate::config::given::Given;
use crate::config::member::parse_port;
use crate::config::{Address, Config, FirstStart, Purge, Words};
use crate::ids::ServerId;
use crate::time::Span;

use keys::Keys;

/// A configuration that can be started, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub config: Config,
    /// Warnings and notes, no errors.
    pub findings: Vec<Finding>,
    origins: BTreeMap<String, Origin>,
}

/// A value that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    pub key: String,
    pub value: String,
    pub from: Origin,
}

impl Parsed {
    /// What is in force, and who says so.
    pub fn effective(&self) -> Vec<Effective> {
        let placed = self.config.effective().into_iter().map(|(key, value)| {
            let from = self.origin(&key);
            Effective { key, value, from }
        });
        placed.collect()
    }

    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// ZooKeeper's own number of a standalone server, which its session ids carry.
const STANDALONE: ServerId = ServerId(1);
/// Longest tick: twenty of them still fit a session timeout.
const LONGEST_TICK_MS: i64 = 100_000_000;
const MOST: i64 = i32::MAX as i64;
/// Lower values of `commitLogCount` are raised to this, as in ZooKeeper.
const LEAST_COMMIT_LOG: usize = 500;
const LEAST_SNAPSHOTS_KEPT: usize = 3;

/// What the texts say, or why no server can start with them.
pub fn parse(given: &Given, seed: [u8; 32]) -> Result<Parsed, ConfigError> {
    let mut keys = Keys::read(given);
    let (data_dir, data_log_dir) = folders(&mut keys);
    let client = client_address(&mut keys);
    let membership = members::read(&mut keys, given, client);
    let me = membership.me.unwrap_or(STANDALONE);
    let mut config = Config::with_defaults(me, membership.ensemble, seed);
    config.separate_log_dir = data_dir != data_log_dir;
    config.host.data_dir = data_dir;
    config.host.data_log_dir = data_log_dir;
    config.host.client = membership.client;
    config.host.new_myid = membership.new_myid;
    config.host.standalone_enabled = membership.standalone_enabled;
    times(&mut keys, &mut config);
    limits(&mut keys, &mut config);
    disk(&mut keys, &mut config);
    ports(&mut keys, &mut config);
    election(&mut keys, &mut config);
    nodes::nodes(&mut keys, &mut config);
    access::access(&mut keys, &mut config);
    words(&mut keys, &mut config);
    sessions::sessions(&mut keys, &mut config);
    keys.finish();
    if config.host.client.is_none() && keys.errors() == 0 {
        let what = "is not set, so that no client can connect";
        keys.warn(&keys.at("clientPort"), "clientPort", what, "add a line 'clientPort=2181'");
    }
    let Keys { mut findings, origins, .. } = keys;
    findings.sort_by_key(|finding| finding.severity);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(ConfigError { findings });
    }
    Ok(Parsed { config, findings, origins })
}

fn folders(keys: &mut Keys) -> (String, String) {
    let data = keys.take("dataDir").filter(|setting| !setting.value.is_empty());
    let Some(data) = data else {
        keys.error(&keys.at("dataDir"), "dataDir", "is missing", "name the folder of the data");
        return (String::new(), String::new());
    };
    let log = keys.take("dataLogDir").filter(|setting| !setting.value.is_empty());
    let log = log.map_or_else(|| data.value.clone(), |setting| setting.value);
    (data.value, log)
}

fn client_address(keys: &mut Keys) -> Option<(Origin, Address)> {
    let host = keys.take("clientPortAddress");
    let port = keys.take("clientPort");
    let Some(port) = port else {
        if let Some(host) = host {
            let what = "is set, but clientPort is not";
            keys.error(&host.at, &host.key, what, "add a line 'clientPort=2181'");
        }
        return None;
    };
    match parse_port(&port.value) {
        Ok(number) => {
            let host = host.map_or_else(|| "0.0.0.0".to_string(), |setting| setting.value);
            let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
            Some((port.at, Address { host, port: number }))
        }
        Err(what) => {
            keys.error(&port.at, "clientPort", what, "write a port, as 2181");
            None
        }
    }
}

/// The ports, beside their addresses.
fn ports(keys: &mut Keys, config: &mut Config) {
    match keys.number("clientPortListenBacklog", -1..=65_535) {
        Some(-1) | None => {}
        Some(backlog) => config.host.listen_backlog = u32::try_from(backlog).unwrap_or(1024).max(1),
    }
    if let Some(on) = keys.flag("quorumListenOnAllIPs") {
        config.host.quorum_on_all_addresses = on;
    }
    if let Some(on) = keys.flag("leaderServes") {
        config.leader_serves = on;
    }
}

fn times(keys: &mut Keys, config: &mut Config) {
    if let Some(tick) = keys.number("tickTime", 1..=LONGEST_TICK_MS) {
        config.tick = Span::from_ms(tick.unsigned_abs());
    }
    for (key, slot) in
        [("initLimit", &mut config.init_limit_ticks), ("syncLimit", &mut config.sync_limit_ticks)]
    {
        let given = keys.is_given(key);
        if let Some(ticks) = keys.number(key, 1..=MOST) {
            *slot = ticks.unsigned_abs();
        } else if config.ensemble.is_some() && !given {
            let help = format!("add a line '{key}={slot}' (a number of ticks)");
            keys.error(&keys.at(key), key, "is missing, and an ensemble needs it", help);
        }
    }
    let tick = i32::try_from(config.tick.as_ms()).unwrap_or(i32::MAX);
    let given =
        ["minSessionTimeout", "maxSessionTimeout"].into_iter().find(|key| keys.is_given(key));
    let at = given.map(|key| keys.at(key));
    let mut timeout = |key, ticks| match keys.number(key, -1..=MOST) {
        Some(-1) | None => tick.saturating_mul(ticks),
        Some(ms) => i32::try_from(ms).unwrap_or(i32::MAX),
    };
    config.min_session_timeout_ms = timeout("minSessionTimeout", 2);
    config.max_session_timeout_ms = timeout("maxSessionTimeout", 20);
    if config.min_session_timeout_ms > config.max_session_timeout_ms {
        let (min, max) = (config.min_session_timeout_ms, config.max_session_timeout_ms);
        let what = format!("{min} ms is above maxSessionTimeout, {max} ms");
        let at = at.unwrap_or(Origin::Default);
        keys.error(&at, "minSessionTimeout", what, "lower it, or raise maxSessionTimeout");
    }
}

fn limits(keys: &mut Keys, config: &mut Config) {
    let set = |keys: &mut Keys, key, range: RangeInclusive<i64>, slot: &mut usize| {
        if let Some(number) = keys.number(key, range) {
            *slot = usize::try_from(number).unwrap_or(usize::MAX);
        }
    };
    set(keys, "maxClientCnxns", 0..=MOST, &mut config.max_client_connections);
    set(keys, "maxCnxns", 0..=MOST, &mut config.max_connections);
    set(keys, "jute.maxbuffer", 1..=MOST, &mut config.jute_max_buffer);
    set(keys, "globalOutstandingLimit", 1..=MOST, &mut config.global_outstanding_limit);
    set(keys, "request_throttle_max_requests", 0..=MOST, &mut config.throttle_requests);
    set(keys, "appendBatch", 512..=64 << 20, &mut config.append_batch_bytes);
    set(keys, "eventHistory", 0..=1 << 40, &mut config.event_history_bytes);
    set(keys, "commitLogCount", 0..=MOST, &mut config.commit_log_count);
    raise(keys, "commitLogCount", &mut config.commit_log_count, LEAST_COMMIT_LOG);
    if let Some(ms) = keys.number("nio.sessionlessCnxnTimeout", 1..=MOST) {
        config.greeting_limit = Span::from_ms(ms.unsigned_abs());
    }
    if let Some(limit) = keys.number("zxidLimit", 1..=i64::from(u32::MAX)) {
        config.zxid_counter_limit = u32::try_from(limit).unwrap_or(u32::MAX);
    }
    for (key, slot) in [
        ("sync.linearizable", &mut config.linearizable_sync),
        ("reply.bounded", &mut config.bounded_replies),
        ("sequence.bounded", &mut config.bounded_sequences),
    ] {
        if let Some(on) = keys.flag(key) {
            *slot = on;
        }
    }
}

fn raise(keys: &mut Keys, key: &str, slot: &mut usize, least: usize) {
    if *slot < least {
        let what = format!("{slot} is too low, {least} is used");
        *slot = least;
        keys.warn(&keys.at(key), key, what, format!("write {least} or more"));
    }
}

fn disk(keys: &mut Keys, config: &mut Config) {
    if let Some(count) = keys.number("snapCount", 2..=MOST) {
        config.snap_count = count.unsigned_abs();
    }
    if let Some(kilobytes) = keys.number("preAllocSize", 0..=1 << 30) {
        config.pre_alloc_bytes = kilobytes.unsigned_abs() << 10;
    }
    let mut keep = LEAST_SNAPSHOTS_KEPT;
    if let Some(count) = keys.number("autopurge.snapRetainCount", 0..=MOST) {
        keep = usize::try_from(count).unwrap_or(usize::MAX);
        raise(keys, "autopurge.snapRetainCount", &mut keep, LEAST_SNAPSHOTS_KEPT);
    }
    let hours = keys.number("autopurge.purgeInterval", 0..=MOST).unwrap_or(0);
    config.snap_retain_count = if hours > 0 { keep } else { 0 };
    let interval_hours = u32::try_from(hours).unwrap_or(u32::MAX);
    config.host.purge = Purge { retain: keep, interval_hours };
    if hours == 0 && keep != LEAST_SNAPSHOTS_KEPT {
        let what = "has no effect while autopurge.purgeInterval is 0";
        let help = "add a line 'autopurge.purgeInterval=1' to purge old snapshots";
        let at = keys.at("autopurge.snapRetainCount");
        keys.warn(&at, "autopurge.snapRetainCount", what, help);
    }
    if let Some(ms) = keys.number("fsync.warningthresholdms", 0..=MOST) {
        config.host.fsync_warning = Span::from_ms(ms.unsigned_abs());
    }
    if let Some(on) = keys.flag("datadir.autocreate") {
        config.host.create_folders = on;
    }
    if keys.flag("db.autocreate") == Some(true) {
        config.first_start = FirstStart::AutoCreate;
        let what = "lets a server vote at once whose data is lost, so committed data can be lost";
        let help = "remove the line once the ensemble has started";
        keys.warn(&keys.at("db.autocreate"), "db.autocreate", what, help);
    }
}

fn election(keys: &mut Keys, config: &mut Config) {
    for (key, slot) in [
        ("cnxTimeout", &mut config.cnx_timeout),
        ("fastleader.minNotificationInterval", &mut config.min_notification),
        ("fastleader.maxNotificationInterval", &mut config.max_notification),
    ] {
        if let Some(ms) = keys.number(key, 1..=MOST) {
            *slot = Span::from_ms(ms.unsigned_abs());
        }
    }
    if config.max_notification < config.min_notification {
        let key = "fastleader.maxNotificationInterval";
        keys.error(&keys.at(key), key, "is below the minimum interval", "raise it");
    }
    match keys.number("electionAlg", 0..=3) {
        Some(3) | None => {}
        Some(other) => {
            let what = format!("{other} is not offered, only 3 is");
            keys.error(&keys.at("electionAlg"), "electionAlg", what, "remove the line");
        }
    }
}

fn words(keys: &mut Keys, config: &mut Config) {
    let Some(entry) = keys.take("4lw.commands.whitelist") else { return };
    let words = entry.value.split(',').map(str::trim).filter(|word| !word.is_empty());
    config.four_letter_words = if words.clone().any(|word| word == "*") {
        Words::All
    } else {
        Words::Some(words.map(String::from).collect())
    };
}
