//! `zoo.cfg` to [`Config`]. Apache: `QuorumPeerConfig`. Facts: PROTOCOL 6.

mod keys;
mod members;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};

use core::ops::RangeInclusive;

use crate::config::findings::{ConfigError, Warning};
use crate::config::member::parse_port;
use crate::config::{Address, Config, FirstStart, Words};
use crate::ids::ServerId;
use crate::time::Span;

use alloc::vec::Vec;
use keys::Keys;

/// A configuration that can be started, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub config: Config,
    pub host: HostConfig,
    pub warnings: Vec<Warning>,
}

/// What only the host needs. Quorum and election addresses are those of the own member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    pub data_dir: String,
    /// Equal to `data_dir` unless `dataLogDir` is set.
    pub data_log_dir: String,
    /// Where clients connect; `None` where no port is configured.
    pub client: Option<Address>,
}

/// ZooKeeper's own number of a standalone server, which its session ids carry.
const STANDALONE: ServerId = ServerId(1);
/// Longest tick: twenty of them still fit a session timeout.
const LONGEST_TICK_MS: i64 = 100_000_000;
const MOST: i64 = i32::MAX as i64;
/// Lower values of `commitLogCount` are raised to this, as in ZooKeeper.
const LEAST_COMMIT_LOG: usize = 500;
const LEAST_SNAPSHOTS_KEPT: usize = 3;

/// `myid`: the text of that file, where there is one.
pub fn parse(text: &str, myid: Option<&str>, seed: [u8; 32]) -> Result<Parsed, ConfigError> {
    let mut keys = Keys::read(text);
    let (data_dir, data_log_dir) = folders(&mut keys);
    let client = client_address(&mut keys);
    let membership = members::read(&mut keys, myid, client);
    let me = membership.me.unwrap_or(STANDALONE);
    let mut config = Config::with_defaults(me, membership.ensemble, seed);
    config.separate_log_dir = data_dir != data_log_dir;
    times(&mut keys, &mut config);
    limits(&mut keys, &mut config);
    disk(&mut keys, &mut config);
    election(&mut keys, &mut config);
    words(&mut keys, &mut config);
    keys.finish();
    if keys.errors.is_empty() {
        let host = HostConfig { data_dir, data_log_dir, client: membership.client };
        Ok(Parsed { config, host, warnings: keys.warnings })
    } else {
        Err(ConfigError { findings: keys.errors })
    }
}

fn folders(keys: &mut Keys) -> (String, String) {
    let data = keys.take("dataDir").filter(|entry| !entry.value.is_empty());
    let Some(data) = data else {
        keys.error(None, "dataDir", "is missing", "name the folder that holds the data");
        return (String::new(), String::new());
    };
    let log = keys.take("dataLogDir").filter(|entry| !entry.value.is_empty());
    let log = log.map_or_else(|| data.value.clone(), |entry| entry.value);
    (data.value, log)
}

fn client_address(keys: &mut Keys) -> Option<(Option<u32>, Address)> {
    let host = keys.take("clientPortAddress");
    let port = keys.take("clientPort");
    let Some(port) = port else {
        if let Some(host) = host {
            let what = "is set, but clientPort is not";
            keys.error(Some(host.line), &host.key, what, "add a line 'clientPort=2181'");
        }
        return None;
    };
    match parse_port(&port.value) {
        Ok(number) => {
            let host = host.map_or_else(|| "0.0.0.0".to_string(), |entry| entry.value);
            let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
            Some((Some(port.line), Address { host, port: number }))
        }
        Err(what) => {
            keys.error(Some(port.line), "clientPort", what, "write a port, as 2181");
            None
        }
    }
}

fn times(keys: &mut Keys, config: &mut Config) {
    if let Some(tick) = keys.number("tickTime", 1..=LONGEST_TICK_MS) {
        config.tick = Span::from_ms(tick.unsigned_abs());
    }
    for (key, slot) in
        [("initLimit", &mut config.init_limit_ticks), ("syncLimit", &mut config.sync_limit_ticks)]
    {
        let given = keys.line(key).is_some();
        if let Some(ticks) = keys.number(key, 1..=MOST) {
            *slot = ticks.unsigned_abs();
        } else if config.ensemble.is_some() && !given {
            let help = format!("add a line '{key}={slot}' (a number of ticks)");
            keys.error(None, key, "is missing, and an ensemble needs it", help);
        }
    }
    let tick = i32::try_from(config.tick.as_ms()).unwrap_or(i32::MAX);
    let line = keys.line("minSessionTimeout").or_else(|| keys.line("maxSessionTimeout"));
    let mut timeout = |key, ticks| match keys.number(key, -1..=MOST) {
        Some(-1) | None => tick.saturating_mul(ticks),
        Some(ms) => i32::try_from(ms).unwrap_or(i32::MAX),
    };
    config.min_session_timeout_ms = timeout("minSessionTimeout", 2);
    config.max_session_timeout_ms = timeout("maxSessionTimeout", 20);
    if config.min_session_timeout_ms > config.max_session_timeout_ms {
        let (min, max) = (config.min_session_timeout_ms, config.max_session_timeout_ms);
        let what = format!("{min} ms is above maxSessionTimeout, {max} ms");
        keys.error(line, "minSessionTimeout", what, "lower it, or raise maxSessionTimeout");
    }
}

fn limits(keys: &mut Keys, config: &mut Config) {
    let set = |keys: &mut Keys, key, range: RangeInclusive<i64>, slot: &mut usize| {
        if let Some(number) = keys.number(key, range) {
            *slot = usize::try_from(number).unwrap_or(usize::MAX);
        }
    };
    set(keys, "maxClientCnxns", 0..=MOST, &mut config.max_client_connections);
    set(keys, "jute.maxbuffer", 1..=MOST, &mut config.jute_max_buffer);
    set(keys, "globalOutstandingLimit", 1..=MOST, &mut config.global_outstanding_limit);
    set(keys, "appendBatch", 512..=64 << 20, &mut config.append_batch_bytes);
    let line = keys.line("commitLogCount");
    set(keys, "commitLogCount", 0..=MOST, &mut config.commit_log_count);
    raise(keys, line, "commitLogCount", &mut config.commit_log_count, LEAST_COMMIT_LOG);
    if let Some(limit) = keys.number("zxidLimit", 1..=i64::from(u32::MAX)) {
        config.zxid_counter_limit = u32::try_from(limit).unwrap_or(u32::MAX);
    }
    if let Some(on) = keys.flag("sync.linearizable") {
        config.linearizable_sync = on;
    }
}

fn raise(keys: &mut Keys, line: Option<u32>, key: &str, slot: &mut usize, least: usize) {
    if *slot < least {
        let what = format!("{slot} is too low, {least} is used");
        *slot = least;
        keys.warn(line, key, what, format!("write {least} or more"));
    }
}

fn disk(keys: &mut Keys, config: &mut Config) {
    if let Some(count) = keys.number("snapCount", 2..=MOST) {
        config.snap_count = count.unsigned_abs();
    }
    if let Some(kilobytes) = keys.number("preAllocSize", 0..=1 << 30) {
        config.pre_alloc_bytes = kilobytes.unsigned_abs() << 10;
    }
    let line = keys.line("autopurge.snapRetainCount");
    let mut keep = LEAST_SNAPSHOTS_KEPT;
    if let Some(count) = keys.number("autopurge.snapRetainCount", 0..=MOST) {
        keep = usize::try_from(count).unwrap_or(usize::MAX);
        raise(keys, line, "autopurge.snapRetainCount", &mut keep, LEAST_SNAPSHOTS_KEPT);
    }
    let hours = keys.number("autopurge.purgeInterval", 0..=MOST).unwrap_or(0);
    config.snap_retain_count = if hours > 0 { keep } else { 0 };
    if hours == 0 && line.is_some() {
        let what = "has no effect while autopurge.purgeInterval is 0";
        let help = "add a line 'autopurge.purgeInterval=1' to purge old snapshots";
        keys.warn(line, "autopurge.snapRetainCount", what, help);
    }
    if keys.flag("db.autocreate") == Some(true) {
        config.first_start = FirstStart::AutoCreate;
        let what = "a server whose data is lost votes at once, so committed data can be lost";
        keys.warn(None, "db.autocreate", what, "remove the line once the ensemble has started");
    }
}

fn election(keys: &mut Keys, config: &mut Config) {
    let line = keys.line("fastleader.maxNotificationInterval");
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
        keys.error(line, key, "is below the minimum interval", "raise it");
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
