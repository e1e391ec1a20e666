//! The fault atlas: who has lost what he promised to keep.

use std::collections::BTreeMap;

use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Phase;

/// Which servers lost, or may have lost, what they promised to keep, and have not been filled by
/// their peers since. Never more than the others can bear. A server that was never in step with a
/// leader holds nothing yet and counts as lost too: until a quorum has formed, no disk is destroyed
/// and nobody stays dead.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    voters: Vec<ServerId>,
    /// The incarnation that the loss happened in: only a later one can heal it.
    charged: BTreeMap<ServerId, u32>,
}

impl Atlas {
    pub(crate) fn new(voters: Vec<ServerId>) -> Self {
        let charged = voters.iter().map(|&id| (id, 0)).collect();
        Self { voters, charged }
    }

    /// Whether one more server may lose its disk.
    pub(super) fn bears(&self, server: ServerId) -> bool {
        let charged = self.charged.keys().filter(|id| self.voters.contains(id));
        let others = charged.filter(|id| **id != server).count();
        !self.voters.contains(&server) || others < (self.voters.len() - 1) / 2
    }

    pub(crate) fn charge(&mut self, server: ServerId, incarnation: u32) {
        self.charged.insert(server, incarnation);
    }

    /// A loss waits for its moment: until it is charged with an incarnation, none heals it.
    pub(super) fn arm(&mut self, server: ServerId) {
        self.charged.insert(server, u32::MAX);
    }

    /// A server is in step with a leader, in an incarnation that began after its loss.
    pub(crate) fn entered(&mut self, server: ServerId, phase: Phase, incarnation: u32) {
        let synced = matches!(
            phase,
            Phase::LeadingBroadcast | Phase::FollowingBroadcast | Phase::ObservingBroadcast
        );
        if synced && self.charged.get(&server).is_some_and(|&lost_in| incarnation > lost_in) {
            self.charged.remove(&server);
        }
    }

    pub(super) fn is_charged(&self, server: ServerId) -> bool {
        self.charged.contains_key(&server)
    }

    /// How many more voters may stay dead without a quorum of whole disks being lost.
    pub(super) fn spare(&self) -> usize {
        let charged = self.voters.iter().filter(|id| self.charged.contains_key(id)).count();
        ((self.voters.len() - 1) / 2).saturating_sub(charged)
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::ids::ServerId;
    use vivarium_core::server::note::Phase;

    use super::Atlas;

    #[test]
    fn the_atlas_lets_a_minority_lose_its_disks_until_it_is_filled_again() {
        let ids: Vec<_> = (1..=3).map(ServerId).collect();
        let mut atlas = Atlas::new(ids.clone());
        assert!(!atlas.bears(ids[0]), "nobody holds anything yet");
        for &id in &ids {
            assert_eq!(atlas.spare(), 0);
            atlas.entered(id, Phase::FollowingBroadcast, 1);
        }
        assert_eq!(atlas.spare(), 1);
        assert!(atlas.bears(ids[0]));
        atlas.charge(ids[0], 4);
        assert!(atlas.bears(ids[0]), "what is lost can be lost again");
        assert!(!atlas.bears(ids[1]), "two of three is a quorum");
        assert!(atlas.bears(ServerId(9)), "observers keep no promise");
        assert_eq!(atlas.spare(), 0);

        atlas.entered(ids[0], Phase::FollowingBroadcast, 4);
        assert!(!atlas.bears(ids[1]), "the incarnation that suffered it has not been filled");
        atlas.entered(ids[0], Phase::FollowingSynchronization, 5);
        assert!(!atlas.bears(ids[1]));
        atlas.entered(ids[0], Phase::FollowingBroadcast, 5);
        assert!(atlas.bears(ids[1]));
        assert_eq!(atlas.spare(), 1);

        atlas.arm(ids[2]);
        atlas.entered(ids[2], Phase::FollowingBroadcast, 7);
        assert!(!atlas.bears(ids[1]), "it is still to come");
        atlas.charge(ids[2], 7);
        atlas.entered(ids[2], Phase::FollowingBroadcast, 8);
        assert!(atlas.bears(ids[1]));
    }
}
