//! The configuration in force and the one that is about to replace it. Apache: `QuorumPeer`'s
//! `quorumVerifier` and `lastSeenQuorumVerifier`.

use alloc::collections::BTreeSet;
use alloc::string::String;

use crate::config::{EnsembleConfig, Member};
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

    /// Version of the configuration in force.
    pub fn version(&self) -> u64 {
        self.current().version
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

#[cfg(test)]
mod tests {
    use super::*;

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
