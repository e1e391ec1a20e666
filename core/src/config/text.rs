//! The text of a configuration, as notifications, NEWLEADER and `/zookeeper/config` carry it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use core::fmt::Write;

use thiserror::Error;

use crate::config::properties::entries;
use crate::config::{EnsembleConfig, Member, MemberRole};
use crate::ids::ServerId;

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
            for id in self.participants() {
                let _ = writeln!(text, "weight.{id}={}", self.weight(id));
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
            } else if !config.take(&entry.key, &entry.value).map_err(failed)?.known {
                return Err(failed("not a server, group or weight".into()));
            }
        }
        let failed = |(key, what)| TextError { line: last, key, what };
        config.check().map_err(failed)?;
        Ok(config)
    }

    /// Takes a `server.N`, `group.N` or `weight.N` entry; any other key is left alone.
    pub fn take(&mut self, key: &str, value: &str) -> Result<Taken, String> {
        let number = |rest: &str| match rest.parse::<u64>() {
            Ok(number) if i64::try_from(number).is_ok() => Ok(number),
            Ok(_) | Err(_) => Err(format!("'{rest}' is not a server or group number")),
        };
        let mut taken = Taken { known: true, more_addresses: false };
        if let Some(id) = key.strip_prefix("server.") {
            let parsed = Member::parse(value)?;
            taken.more_addresses = parsed.more_addresses;
            self.members.insert(ServerId(number(id)?), parsed.member);
        } else if let Some(group) = key.strip_prefix("group.") {
            let members = value.split(':').map(|id| number(id.trim()).map(ServerId));
            self.groups.insert(number(group)?, members.collect::<Result<_, _>>()?);
        } else if let Some(id) = key.strip_prefix("weight.") {
            let weight = value.parse::<u32>();
            let weight = weight.map_err(|_| format!("'{}' is not a weight", value))?;
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
        let lone = |id: &ServerId| !self.groups.is_empty() && !grouped.contains(id);
        match self.participants().find(lone) {
            Some(id) => Err((format!("server.{id}"), "is in no group".into())),
            None if self.participants().any(|id| self.weight(id) > 0) => Ok(()),
            None => Err(("server.N".into(), "no server has a vote".into())),
        }
    }

    fn participants(&self) -> impl Iterator<Item = ServerId> + '_ {
        let votes = |member: &Member| member.role == MemberRole::Participant;
        self.members.iter().filter(move |(_, member)| votes(member)).map(|(&id, _)| id)
    }

    /// Weights count within groups only.
    fn weight(&self, id: ServerId) -> u64 {
        let given = self.weights.get(&id).filter(|_| !self.groups.is_empty());
        given.copied().unwrap_or(1)
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
}
