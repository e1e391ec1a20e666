//! What checkers know of the cluster before the run.

use std::collections::BTreeSet;

use vivarium_core::config::{Config, MemberRole};
use vivarium_core::ids::ServerId;

use crate::oracle::access::{Members, Rules};

/// Facts of the cluster that its configuration tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub voters: BTreeSet<ServerId>,
    pub observers: BTreeSet<ServerId>,
    /// Voters that decide nothing: their groups give them no weight. The others decide by majority.
    pub weightless: BTreeSet<ServerId>,
    pub standalone: bool,
    pub tick_us: u64,
    pub init_limit_ticks: u64,
    pub sync_limit_ticks: u64,
    pub zxid_counter_limit: u32,
    /// A server that looks for a leader gives up a silent connection within this time.
    pub silence_us: u64,
    pub min_session_timeout_ms: u64,
    pub max_session_timeout_ms: u64,
    /// Servers that answer a sync without asking a quorum, when they lead.
    pub weak_sync: BTreeSet<ServerId>,
    /// Servers that behave as Apache's do.
    pub apache: BTreeSet<ServerId>,
    pub full_digest: bool,
    /// New sessions live at their server alone ..
    pub local_sessions: bool,
    /// .. until they are to own a node.
    pub upgrading: bool,
    pub read_only_mode: bool,
    /// Snapshots that a purge leaves; 0: nothing is purged.
    pub snap_retain_count: usize,
    /// Age at which a container goes that was never used; 0: never.
    pub never_used_ms: u64,
    /// Between two looks of a leader at what may have outlived its purpose, and behind each node that goes.
    pub sweep_interval_us: u64,
    pub sweep_pause_us: u64,
    /// Changes are kept for persistent watches that are set again.
    pub keeps_changes: bool,
    pub access: Rules,
}

impl Cluster {
    pub(super) fn read(configs: &[Config]) -> Self {
        let Some(first) = configs.first() else { return Self::default() };
        let mut cluster = Self {
            standalone: first.ensemble.is_none(),
            tick_us: first.tick.0,
            init_limit_ticks: first.init_limit_ticks,
            sync_limit_ticks: first.sync_limit_ticks,
            zxid_counter_limit: first.zxid_counter_limit,
            silence_us: 3 * first.cnx_timeout.0 + 2 * first.max_notification.0,
            min_session_timeout_ms: u64::try_from(first.min_session_timeout_ms).unwrap_or(0),
            max_session_timeout_ms: u64::try_from(first.max_session_timeout_ms).unwrap_or(0),
            weak_sync: configs
                .iter()
                .filter(|config| !config.linearizable_sync)
                .map(|config| config.me)
                .collect(),
            never_used_ms: first.containers.never_used.as_ms(),
            local_sessions: first.local_sessions && first.ensemble.is_some(),
            upgrading: first.local_sessions_upgrading,
            read_only_mode: first.read_only_mode,
            sweep_interval_us: first.containers.check_interval.0,
            sweep_pause_us: 60_000_000 / u64::from(first.containers.max_per_minute.max(1)),
            keeps_changes: configs.iter().any(|config| config.event_history_bytes > 0),
            access: Rules {
                skip_acl: first.access.skip_acl,
                digest_alg: first.access.digest_alg,
                super_digest: first.access.super_digest.clone(),
                enforce_quota: first.enforce_quota,
                members: match &first.ensemble {
                    _ if !first.reconfig_enabled => Members::Fixed,
                    None => Members::Alone,
                    Some(ensemble) => {
                        Members::Of { version: i64::try_from(ensemble.version).unwrap_or(-2) }
                    }
                },
            },
            snap_retain_count: first.snap_retain_count,
            full_digest: configs.iter().all(|config| config.full_digest),
            ..Self::default()
        };
        match &first.ensemble {
            None => {
                cluster.voters.insert(first.me);
            }
            Some(ensemble) => {
                for (id, member) in &ensemble.members {
                    match member.role {
                        MemberRole::Participant => {
                            if !ensemble.groups.is_empty() && ensemble.weights.get(id) == Some(&0) {
                                cluster.weightless.insert(*id);
                            }
                            cluster.voters.insert(*id)
                        }
                        MemberRole::Observer => cluster.observers.insert(*id),
                    };
                }
            }
        }
        cluster
    }

    /// Within how many microseconds a leader gives up a follower that is silent from now on: one tick until it
    /// looks, one more for when the silence began.
    pub(crate) fn notices_us(&self) -> u64 {
        (self.sync_limit_ticks + 2) * self.tick_us
    }

    /// What a session gets that asks for this.
    pub(crate) fn negotiated_ms(&self, asked_ms: i32) -> i32 {
        let asked = u64::try_from(asked_ms).unwrap_or(0);
        let due = asked.min(self.max_session_timeout_ms).max(self.min_session_timeout_ms);
        i32::try_from(due).unwrap_or(i32::MAX)
    }

    /// Whether these decide; each is named once.
    pub(crate) fn is_quorum<'a>(&self, ids: impl IntoIterator<Item = &'a ServerId>) -> bool {
        let counts = |id: &&ServerId| self.decides(**id);
        ids.into_iter().filter(counts).count() * 2 > self.voters.len() - self.weightless.len()
    }

    /// Whether that voter is one of those who decide.
    pub(crate) fn decides(&self, id: ServerId) -> bool {
        self.voters.contains(&id) && !self.weightless.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::configs;

    #[test]
    fn who_has_no_weight_decides_nothing() {
        let mut configs = configs();
        let quorums = |configs: &[Config]| {
            let cluster = Cluster::read(configs);
            let is_quorum = |ids: &[u64]| {
                let ids: Vec<ServerId> = ids.iter().copied().map(ServerId).collect();
                cluster.is_quorum(&ids)
            };
            (
                [&[1][..], &[3], &[1, 3], &[1, 2], &[1, 2, 9]].map(is_quorum),
                cluster.decides(ServerId(3)),
            )
        };
        assert_eq!(quorums(&configs), ([false, false, true, true, true], true));
        let ensemble = configs[0].ensemble.as_mut().expect("three servers are an ensemble");
        ensemble.groups = [(1, ensemble.members.keys().copied().collect())].into();
        ensemble.weights = [(ServerId(3), 0)].into();
        assert_eq!(quorums(&configs), ([false, false, false, true, true], false));
    }
}
