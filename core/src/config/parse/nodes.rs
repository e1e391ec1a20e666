//! Keys about kinds of nodes. Apache: `EphemeralType`, `ZooKeeperServerMain`, `LeaderZooKeeperServer`.

use crate::config::Config;
use crate::time::Span;

use super::{MOST, keys::Keys};

/// The high byte 0xff of an owner says that it is a TTL, so that no session may have it.
const HIGHEST_SERVER: u64 = 254;

pub(super) fn nodes(keys: &mut Keys, config: &mut Config) {
    if let Some(on) = keys.flag("extendedTypesEnabled") {
        config.extended_types = on;
    }
    if config.extended_types && config.me.0 > HIGHEST_SERVER {
        let key = "extendedTypesEnabled";
        let what = "needs a server number of 254 at most";
        keys.error(&keys.at(key), key, what, "give this server another number in myid");
    }
    if let Some(on) = keys.flag("enforceQuota") {
        config.enforce_quota = on;
    }
    let rules = &mut config.containers;
    if let Some(ms) = keys.number("znode.container.checkIntervalMs", 1..=MOST) {
        rules.check_interval = Span::from_ms(ms.unsigned_abs());
    }
    if let Some(count) = keys.number("znode.container.maxPerMinute", 1..=MOST) {
        rules.max_per_minute = u32::try_from(count).unwrap_or(u32::MAX);
    }
    if let Some(ms) = keys.number("znode.container.maxNeverUsedIntervalMs", 0..=MOST) {
        rules.never_used = Span::from_ms(ms.unsigned_abs());
    }
}
