//! What is in force, as it would be written in `zoo.cfg`, and what may change while a server runs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::known;
use crate::config::{Address, Config, FirstStart, MemberRole, Words};

/// What [`Config::adopt`] made of a new configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Adopted {
    /// Keys whose new values are in force now.
    pub applied: Vec<String>,
    /// Keys whose new values need a restart.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// Every key that has an effect, with its value, in the order of [`known::KEYS`]. Keys without a
    /// value, as `clientPort` where no client can connect, are left out.
    pub fn effective(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for key in known::KEYS {
            match key.name {
                "server.N" => self.list_servers(&mut found),
                "group.N" => self.list_groups(&mut found),
                "weight.N" => self.list_weights(&mut found),
                name => found.extend(self.value(name).map(|value| (String::from(name), value))),
            }
        }
        found
    }

    /// Takes over those values of `new` that may change while a server runs. What else differs is
    /// named, and stays as it was.
    pub fn adopt(&mut self, new: &Self) -> Adopted {
        let (before, after) = (self.effective(), new.effective());
        let mut adopted = Adopted::default();
        let gone = before.iter().filter(|(key, _)| after.iter().all(|(other, _)| other != key));
        let new_or_changed = after.iter().filter(|entry| !before.contains(entry));
        for (key, _) in new_or_changed.chain(gone) {
            let live = known::find(key).is_some_and(|known| known.live);
            let list = if live { &mut adopted.applied } else { &mut adopted.needs_restart };
            list.push(key.clone());
        }
        self.min_session_timeout_ms = new.min_session_timeout_ms;
        self.max_session_timeout_ms = new.max_session_timeout_ms;
        self.max_client_connections = new.max_client_connections;
        self.max_connections = new.max_connections;
        self.global_outstanding_limit = new.global_outstanding_limit;
        self.four_letter_words = new.four_letter_words.clone();
        self.snap_count = new.snap_count;
        self.snap_retain_count = new.snap_retain_count;
        self.host.purge = new.host.purge;
        self.host.fsync_warning = new.host.fsync_warning;
        adopted
    }

    fn value(&self, key: &str) -> Option<String> {
        let host = &self.host;
        let client = host.client.as_ref();
        let value = match key {
            "dataDir" => host.data_dir.clone(),
            "dataLogDir" => host.data_log_dir.clone(),
            "clientPort" => client?.port.to_string(),
            "clientPortAddress" => client.map(bare_host)?,
            "clientPortListenBacklog" => host.listen_backlog.to_string(),
            "tickTime" => self.tick.as_ms().to_string(),
            "initLimit" => self.ensemble.as_ref().map(|_| self.init_limit_ticks.to_string())?,
            "syncLimit" => self.ensemble.as_ref().map(|_| self.sync_limit_ticks.to_string())?,
            "minSessionTimeout" => self.min_session_timeout_ms.to_string(),
            "maxSessionTimeout" => self.max_session_timeout_ms.to_string(),
            "maxClientCnxns" => self.max_client_connections.to_string(),
            "maxCnxns" => self.max_connections.to_string(),
            "globalOutstandingLimit" => self.global_outstanding_limit.to_string(),
            "request_throttle_max_requests" => self.throttle_requests.to_string(),
            "4lw.commands.whitelist" => self.words(),
            "jute.maxbuffer" => self.jute_max_buffer.to_string(),
            "leaderServes" => if self.leader_serves { "yes" } else { "no" }.into(),
            "snapCount" => self.snap_count.to_string(),
            "autopurge.snapRetainCount" => host.purge.retain.to_string(),
            "autopurge.purgeInterval" => host.purge.interval_hours.to_string(),
            "preAllocSize" => (self.pre_alloc_bytes >> 10).to_string(),
            "commitLogCount" => self.commit_log_count.to_string(),
            "fsync.warningthresholdms" => host.fsync_warning.as_ms().to_string(),
            "datadir.autocreate" => host.create_folders.to_string(),
            "db.autocreate" => (self.first_start == FirstStart::AutoCreate).to_string(),
            "peerType" => self.peer_type()?.into(),
            "standaloneEnabled" => host.standalone_enabled.to_string(),
            "quorumListenOnAllIPs" => host.quorum_on_all_addresses.to_string(),
            "electionAlg" => self.ensemble.as_ref().map(|_| "3".to_string())?,
            "nio.sessionlessCnxnTimeout" => self.greeting_limit.as_ms().to_string(),
            "cnxTimeout" => self.cnx_timeout.as_ms().to_string(),
            "fastleader.minNotificationInterval" => self.min_notification.as_ms().to_string(),
            "fastleader.maxNotificationInterval" => self.max_notification.as_ms().to_string(),
            "extendedTypesEnabled" => self.extended_types.to_string(),
            "znode.container.checkIntervalMs" => self.containers.check_interval.as_ms().to_string(),
            "znode.container.maxPerMinute" => self.containers.max_per_minute.to_string(),
            "znode.container.maxNeverUsedIntervalMs" => {
                self.containers.never_used.as_ms().to_string()
            }
            "localSessionsEnabled" => self.local_sessions.to_string(),
            "localSessionsUpgradingEnabled" => self.local_sessions_upgrading.to_string(),
            "readonlymode.enabled" => self.read_only_mode.to_string(),
            "enforceQuota" => self.enforce_quota.to_string(),
            "skipACL" => if self.access.skip_acl { "yes" } else { "no" }.into(),
            "DigestAuthenticationProvider.enabled" => self.access.digest_enabled.to_string(),
            "DigestAuthenticationProvider.digestAlg" => self.access.digest_alg.name().to_string(),
            "DigestAuthenticationProvider.superDigest" => self.access.super_digest.clone()?,
            "enforce.auth.enabled" => (!self.access.enforced_schemes.is_empty()).to_string(),
            "enforce.auth.schemes" => self.enforced_schemes()?,
            "reconfigEnabled" => self.reconfig_enabled.to_string(),
            "appendBatch" => self.append_batch_bytes.to_string(),
            "reply.bounded" => self.bounded_replies.to_string(),
            "sequence.bounded" => self.bounded_sequences.to_string(),
            "sync.linearizable" => self.linearizable_sync.to_string(),
            "eventHistory" => self.event_history_bytes.to_string(),
            "zxidLimit" => self.zxid_counter_limit.to_string(),
            // Without an effect, or not a value of its own.
            _ => return None,
        };
        Some(value)
    }

    fn words(&self) -> String {
        match &self.four_letter_words {
            Words::All => "*".into(),
            Words::Some(words) => words.join(","),
        }
    }

    fn enforced_schemes(&self) -> Option<String> {
        let schemes = &self.access.enforced_schemes;
        (!schemes.is_empty()).then(|| schemes.join(","))
    }

    fn peer_type(&self) -> Option<&'static str> {
        let own = self.ensemble.as_ref()?.members.get(&self.me)?;
        Some(match own.role {
            MemberRole::Participant => "participant",
            MemberRole::Observer => "observer",
        })
    }

    fn list_servers(&self, found: &mut Vec<(String, String)>) {
        let members = self.ensemble.iter().flat_map(|ensemble| &ensemble.members);
        found.extend(members.map(|(id, member)| (format!("server.{id}"), member.to_string())));
    }

    fn list_groups(&self, found: &mut Vec<(String, String)>) {
        let groups = self.ensemble.iter().flat_map(|ensemble| &ensemble.groups);
        found.extend(groups.map(|(group, members)| {
            let members: Vec<_> = members.iter().map(ToString::to_string).collect();
            (format!("group.{group}"), members.join(":"))
        }));
    }

    fn list_weights(&self, found: &mut Vec<(String, String)>) {
        let weights = self.ensemble.iter().flat_map(|ensemble| &ensemble.weights);
        found.extend(weights.map(|(id, weight)| (format!("weight.{id}"), weight.to_string())));
    }
}

fn bare_host(address: &Address) -> String {
    address.host.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given::Given;
    use crate::config::known::Standing;
    use crate::config::parse::parse;

    const QUORUM: &str = "dataDir=/d\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n\
                          server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ngroup.1=1:2:3\n\
                          weight.1=2\n";

    fn config(more: &str) -> Config {
        let mut given = Given::file("zoo.cfg", &format!("{QUORUM}{more}"));
        given.variables.push(("ZOO_MY_ID".into(), "2".into()));
        parse(&given, [0; 32]).unwrap().config
    }

    #[test]
    fn every_key_with_an_effect_is_listed() {
        let access = "DigestAuthenticationProvider.superDigest=u:x\nenforce.auth.enabled=true\n\
                      enforce.auth.schemes=digest";
        let listed = config(access).effective();
        for key in known::KEYS.iter().filter(|key| matches!(key.standing, Standing::Works(_))) {
            let found = listed.iter().any(|(name, _)| key.name == *name || key.covers(name));
            // Where the servers stand is no value of its own.
            assert_eq!(found, key.name != "dynamicConfigFile", "{}", key.name);
        }
    }

    #[test]
    fn what_is_listed_reads_back_as_the_same_configuration() {
        let before = config("maxClientCnxns=7\n4lw.commands.whitelist=ruok,stat\nleaderServes=no");
        let lines: Vec<_> =
            before.effective().iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let mut given = Given::file("zoo.cfg", &lines.concat());
        given.variables.push(("ZOO_MY_ID".into(), "2".into()));
        assert_eq!(parse(&given, [0; 32]).unwrap().config, before);
    }

    #[test]
    fn only_live_keys_change_while_a_server_runs() {
        let mut config = config("");
        let new = self::config("maxClientCnxns=7\nsnapCount=9\ncnxTimeout=4\nserver.3=x:1:2");
        let adopted = config.adopt(&new);
        assert_eq!(adopted.applied, ["maxClientCnxns", "snapCount"]);
        assert_eq!(adopted.needs_restart, ["server.3", "cnxTimeout"]);
        assert_eq!((config.max_client_connections, config.snap_count), (7, 9));
        assert_eq!(config.cnx_timeout.as_ms(), 5000);
        assert_eq!(config.adopt(&new).applied, Vec::<String>::new());
    }

    /// Whoever marks a key as live must take its value over, and nobody else's.
    #[test]
    fn live_keys_are_taken_over_and_no_others() {
        let changed = "minSessionTimeout=1\nmaxSessionTimeout=2\nmaxClientCnxns=3\nmaxCnxns=4\n\
                       globalOutstandingLimit=5\n4lw.commands.whitelist=ruok\nsnapCount=6\n\
                       autopurge.snapRetainCount=7\nautopurge.purgeInterval=8\n\
                       fsync.warningthresholdms=9\n";
        let mut config = config("");
        let new = self::config(changed);
        let live: Vec<_> = known::KEYS.iter().filter(|key| key.live).map(|key| key.name).collect();
        assert_eq!(config.adopt(&new).applied, live);
        assert_eq!(config, new);
    }
}
