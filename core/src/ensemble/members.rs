//! The configuration in force and the one that is about to replace it. Apache: `QuorumPeer`'s
//! `quorumVerifier` and `lastSeenQuorumVerifier`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use core::fmt::Write;

use thiserror::Error;

use crate::config::properties::{Entry, entries};
use crate::config::{EnsembleConfig, Member, MemberRole};
use crate::ensemble::QuorumVerifier;
use crate::ids::ServerId;

/// Every quorum test takes the current and, while there is one, the next configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensemble {
    current: Configuration,
    /// Proposed by a reconfiguration that is not yet committed.
    next: Option<Configuration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Configuration {
    config: EnsembleConfig,
    verifier: QuorumVerifier,
}

impl Configuration {
    fn new(config: EnsembleConfig) -> Self {
        Self { verifier: QuorumVerifier::new(&config), config }
    }
}

impl Ensemble {
    pub fn new(current: EnsembleConfig) -> Self {
        Self { current: Configuration::new(current), next: None }
    }

    /// From now on every quorum needs both.
    pub fn propose(&mut self, next: EnsembleConfig) {
        self.next = Some(Configuration::new(next));
    }

    /// The proposed configuration takes over; without one nothing changes.
    pub fn activate(&mut self) {
        if let Some(next) = self.next.take() {
            self.current = next;
        }
    }

    pub fn current(&self) -> &EnsembleConfig {
        &self.current.config
    }

    pub fn next(&self) -> Option<&EnsembleConfig> {
        self.next.as_ref().map(|next| &next.config)
    }

    pub fn has_quorum(&self, servers: impl Iterator<Item = ServerId> + Clone) -> bool {
        self.each().all(|one| one.verifier.has_quorum(servers.clone()))
    }

    /// Of the current or the next configuration.
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.each().any(|one| one.verifier.is_voter(id))
    }

    /// 0 where no configuration gives the server a say.
    pub fn weight(&self, id: ServerId) -> u64 {
        self.each().map(|one| one.verifier.weight(id)).max().unwrap_or(0)
    }

    /// Voters of both configurations, each once, in order.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> {
        let all: BTreeSet<ServerId> = self.each().flat_map(|one| one.verifier.voters()).collect();
        all.into_iter()
    }

    /// The newer configuration knows better where a server is.
    pub fn member(&self, id: ServerId) -> Option<&Member> {
        self.next()
            .and_then(|next| next.members.get(&id))
            .or_else(|| self.current.config.members.get(&id))
    }

    /// Every server of both configurations, observers too, each once, in order.
    pub fn servers(&self) -> impl Iterator<Item = ServerId> {
        let all: BTreeSet<ServerId> =
            self.each().flat_map(|one| one.config.members.keys().copied()).collect();
        all.into_iter()
    }

    /// Of the configuration in force, as notifications, NEWLEADER and /zookeeper/config carry it.
    pub fn text(&self) -> String {
        self.current.config.to_text()
    }

    fn each(&self) -> impl Iterator<Item = &Configuration> {
        core::iter::once(&self.current).chain(&self.next)
    }
}

/// What is wrong with a configuration text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, {key}: {what}")]
pub struct TextError {
    pub line: u32,
    pub key: String,
    pub what: String,
}

impl EnsembleConfig {
    /// As `QuorumMaj.toString` and `QuorumHierarchical.toString`: no newline at the end.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (id, member) in &self.members {
            let _ = writeln!(text, "server.{id}={member}");
        }
        if !self.groups.is_empty() {
            for (group, members) in &self.groups {
                let _ = write!(text, "group.{group}=");
                for (index, id) in members.iter().enumerate() {
                    let _ = write!(text, "{}{id}", if index == 0 { "" } else { ":" });
                }
                text.push('\n');
            }
            let verifier = QuorumVerifier::new(self);
            for id in verifier.voters() {
                let _ = writeln!(text, "weight.{id}={}", verifier.weight(id));
            }
        }
        let _ = write!(text, "version={:x}", self.version);
        text
    }

    /// Reads what [`EnsembleConfig::to_text`] and ZooKeeper's dynamic files hold.
    pub fn from_text(text: &str) -> Result<Self, TextError> {
        let mut config = Self {
            members: BTreeMap::new(),
            groups: BTreeMap::new(),
            weights: BTreeMap::new(),
            version: 0,
        };
        let mut last = 1;
        for entry in entries(text) {
            last = entry.line;
            let failed = |what| TextError { line: entry.line, key: entry.key.clone(), what };
            if entry.key == "version" {
                config.version = u64::from_str_radix(&entry.value, 16)
                    .map_err(|_| failed(format!("'{}' is not hexadecimal", entry.value)))?;
            } else if !config.take(&entry).map_err(failed)?.known {
                return Err(failed("not a server, group or weight".into()));
            }
        }
        let failed = |(key, what)| TextError { line: last, key, what };
        config.check().map_err(failed)?;
        Ok(config)
    }

    /// Takes a `server.N`, `group.N` or `weight.N` entry; any other key is left alone.
    pub fn take(&mut self, entry: &Entry) -> Result<Taken, String> {
        let number = |rest: &str| match rest.parse::<u64>() {
            Ok(number) if i64::try_from(number).is_ok() => Ok(number),
            Ok(_) | Err(_) => Err(format!("'{rest}' is not a server or group number")),
        };
        let mut taken = Taken { known: true, more_addresses: false };
        if let Some(id) = entry.key.strip_prefix("server.") {
            let parsed = Member::parse(&entry.value)?;
            taken.more_addresses = parsed.more_addresses;
            self.members.insert(ServerId(number(id)?), parsed.member);
        } else if let Some(group) = entry.key.strip_prefix("group.") {
            let members = entry.value.split(':').map(|id| number(id.trim()).map(ServerId));
            self.groups.insert(number(group)?, members.collect::<Result<_, _>>()?);
        } else if let Some(id) = entry.key.strip_prefix("weight.") {
            let weight = entry.value.parse::<u32>();
            let weight = weight.map_err(|_| format!("'{}' is not a weight", entry.value))?;
            self.weights.insert(ServerId(number(id)?), weight.into());
        } else {
            taken.known = false;
        }
        Ok(taken)
    }

    /// What must hold between the lines: key and complaint of the first that does not.
    pub fn check(&self) -> Result<(), (String, String)> {
        let mut grouped = BTreeSet::new();
        for (group, members) in &self.groups {
            let key = || format!("group.{group}");
            for id in members {
                match self.members.get(id).map(|member| member.role) {
                    None => return Err((key(), format!("there is no server.{id}"))),
                    Some(MemberRole::Observer) => {
                        return Err((key(), format!("server {id} is an observer and has no vote")));
                    }
                    Some(MemberRole::Participant) if !grouped.insert(*id) => {
                        return Err((key(), format!("server {id} is in two groups")));
                    }
                    Some(MemberRole::Participant) => {}
                }
            }
        }
        let verifier = QuorumVerifier::new(self);
        match verifier.voters().find(|id| !self.groups.is_empty() && !grouped.contains(id)) {
            Some(id) => Err((format!("server.{id}"), "is in no group".into())),
            None if verifier.has_quorum(verifier.voters()) => Ok(()),
            None => Err(("server.N".into(), "no server has a vote".into())),
        }
    }
}

/// What [`EnsembleConfig::take`] made of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub known: bool,
    /// Addresses behind `|` were left out.
    pub more_addresses: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_apaches_and_reads_back() {
        let text = "server.1=127.0.0.1:31821:31831:participant;127.0.0.1:31841\n\
                    server.2=127.0.0.1:31822:31832:participant;127.0.0.1:31842\n\
                    server.3=127.0.0.1:31823:31833:observer;127.0.0.1:31843\n\
                    version=100000007";
        assert_eq!(EnsembleConfig::from_text(text).unwrap().to_text(), text);
        let groups = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                      server.3=c:1:2:participant\ngroup.1=1:2\ngroup.2=3\n\
                      weight.1=1\nweight.2=4\nweight.3=1\nversion=0";
        let parsed = EnsembleConfig::from_text(groups).unwrap();
        assert_eq!(parsed.to_text(), groups);
    }

    #[test]
    fn wrong_texts_are_refused() {
        for (text, what) in [
            ("version=x", "hexadecimal"),
            ("version=0", "no server has a vote"),
            ("server.1=a:1:2:observer", "no server has a vote"),
            ("server.x=a:1:2", "not a server or group number"),
            ("server.-1=a:1:2", "not a server or group number"),
            ("server.9223372036854775808=a:1:2", "not a server or group number"),
            ("server.1=a:1:2\ngroup.1=1:2", "no server.2"),
            ("server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1", "is in no group"),
            ("server.1=a:1:2\ngroup.1=1\ngroup.2=1", "two groups"),
            ("server.1=a:1:2\nweight.1=-1", "not a weight"),
            ("server.1=a:1:2\ntickTime=1", "not a server, group"),
        ] {
            let error = EnsembleConfig::from_text(text).unwrap_err();
            assert!(error.what.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn a_proposed_configuration_doubles_every_test() {
        let config = |text| EnsembleConfig::from_text(text).unwrap();
        let mut ensemble = Ensemble::new(config("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2"));
        let has = |ensemble: &Ensemble, ids: &[u64]| {
            ensemble.has_quorum(ids.iter().map(|&id| ServerId(id)))
        };
        assert!(has(&ensemble, &[1, 2]));
        ensemble.propose(config("server.3=c:1:2\nserver.4=d:1:2\nserver.5=e:9:9"));
        assert!(!has(&ensemble, &[1, 2]), "no quorum of the next");
        assert!(!has(&ensemble, &[4, 5]), "no quorum of the current");
        assert!(has(&ensemble, &[1, 3, 4]));
        assert_eq!(
            ensemble.voters().map(|id| id.0).collect::<alloc::vec::Vec<_>>(),
            [1, 2, 3, 4, 5]
        );
        assert_eq!(ensemble.member(ServerId(5)).unwrap().quorum.port, 9);
        ensemble.activate();
        assert!(has(&ensemble, &[4, 5]));
        assert!(!ensemble.is_voter(ServerId(1)));
    }
}
