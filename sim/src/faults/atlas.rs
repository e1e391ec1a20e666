//! The fault atlas: who has lost what he promised to keep.

use std::collections::BTreeMap;

use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Phase;

/// Which servers lost, or may have lost, what they promised to keep, and have not been filled by
/// their peers since. Never more than the others can bear, unless a scenario asks for it. A server
/// that was never in step with a leader holds nothing yet and counts as lost too: until a quorum has
/// formed, no disk is destroyed and nobody stays dead.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    voters: Vec<ServerId>,
    charged: BTreeMap<ServerId, Charge>,
    beyond_quorum: bool,
}

#[derive(Clone, Copy, Debug)]
struct Charge {
    /// The incarnation that the loss happened in: only a later one can heal it.
    incarnation: u32,
    loss: Loss,
}

/// What is missing from a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// Something, or maybe nothing; the server can tell.
    Part,
    /// It never held anything.
    NeverFilled,
    Everything,
}

impl Atlas {
    /// `beyond_quorum`: more may be lost than the others can bear.
    pub(crate) fn new(voters: Vec<ServerId>, beyond_quorum: bool) -> Self {
        let empty = Charge { incarnation: 0, loss: Loss::NeverFilled };
        let charged = voters.iter().map(|&id| (id, empty)).collect();
        Self { voters, charged, beyond_quorum }
    }

    /// Whether one more server may lose so much of its disk. Beyond what a quorum can bear, one voter
    /// keeps at least the trace of its past: where all are empty, what begins is a first start, and
    /// no server could know better.
    pub(super) fn bears(&self, server: ServerId, loss: Loss) -> bool {
        if !self.voters.contains(&server) {
            return true;
        }
        let others = || self.voters.iter().filter(|id| **id != server);
        if self.beyond_quorum {
            let own = loss == Loss::Part && self.holds_something(server);
            return own || others().any(|id| self.holds_something(*id));
        }
        others().filter(|id| self.is_charged(**id)).count() < self.bearable()
    }

    /// How many voters can be spared.
    fn bearable(&self) -> usize {
        (self.voters.len() - 1) / 2
    }

    fn holds_something(&self, server: ServerId) -> bool {
        self.charged.get(&server).is_none_or(|charge| charge.loss == Loss::Part)
    }

    pub(crate) fn charge(&mut self, server: ServerId, incarnation: u32) {
        self.charge_with(server, incarnation, Loss::Part);
    }

    pub(super) fn charge_with(&mut self, server: ServerId, incarnation: u32, loss: Loss) {
        let charge = self.charged.entry(server).or_insert(Charge { incarnation, loss });
        *charge = Charge { incarnation, loss: charge.loss.max(loss) };
    }

    /// A server gives up a history for the snapshot of a leader. Until it is in step, which this
    /// incarnation can get to, it keeps neither.
    pub(crate) fn disowned(&mut self, server: ServerId, incarnation: u32) {
        self.charge(server, incarnation.saturating_sub(1));
    }

    /// A loss waits for its moment: until it is charged with an incarnation, none heals it.
    pub(super) fn arm(&mut self, server: ServerId) {
        self.charge(server, u32::MAX);
    }

    /// A server is in step with a leader, in an incarnation that began after its loss.
    pub(crate) fn entered(&mut self, server: ServerId, phase: Phase, incarnation: u32) {
        let synced = matches!(
            phase,
            Phase::LeadingBroadcast | Phase::FollowingBroadcast | Phase::ObservingBroadcast
        );
        let is_later = |charge: &Charge| incarnation > charge.incarnation;
        if synced && self.charged.get(&server).is_some_and(is_later) {
            self.charged.remove(&server);
        }
    }

    pub(super) fn is_charged(&self, server: ServerId) -> bool {
        self.charged.contains_key(&server)
    }

    /// How many more voters may stay dead without a quorum of whole disks being lost.
    pub(super) fn spare(&self) -> usize {
        let charged = self.voters.iter().filter(|id| self.charged.contains_key(id)).count();
        self.bearable().saturating_sub(charged)
    }

    /// The voters that lost something or never held anything, where the others are no quorum, and a loss
    /// made it so.
    pub(super) fn lost_quorum(&self) -> Option<Vec<ServerId>> {
        let charge = |id: &ServerId| self.charged.get(id).map(|charge| charge.loss);
        let is_lost =
            self.voters.iter().any(|id| charge(id).is_some_and(|l| l != Loss::NeverFilled));
        let empty: Vec<ServerId> =
            self.voters.iter().copied().filter(|id| charge(id).is_some()).collect();
        (is_lost && empty.len() > self.bearable()).then_some(empty)
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::ids::ServerId;
    use vivarium_core::server::note::Phase;

    use super::{Atlas, Loss};

    #[test]
    fn the_atlas_lets_a_minority_lose_its_disks_until_it_is_filled_again() {
        let ids: Vec<_> = (1..=3).map(ServerId).collect();
        let mut atlas = Atlas::new(ids.clone(), false);
        assert!(!atlas.bears(ids[0], Loss::Everything), "nobody holds anything yet");
        for &id in &ids {
            assert_eq!(atlas.spare(), 0);
            atlas.entered(id, Phase::FollowingBroadcast, 1);
        }
        assert_eq!(atlas.spare(), 1);
        assert!(atlas.bears(ids[0], Loss::Everything));
        atlas.charge(ids[0], 4);
        assert!(atlas.bears(ids[0], Loss::Everything), "what is lost can be lost again");
        assert!(!atlas.bears(ids[1], Loss::Everything), "two of three is a quorum");
        assert!(atlas.bears(ServerId(9), Loss::Everything), "observers keep no promise");
        assert_eq!(atlas.spare(), 0);

        atlas.entered(ids[0], Phase::FollowingBroadcast, 4);
        assert!(
            !atlas.bears(ids[1], Loss::Everything),
            "the incarnation that suffered it has not been filled"
        );
        atlas.entered(ids[0], Phase::FollowingSynchronization, 5);
        assert!(!atlas.bears(ids[1], Loss::Everything));
        atlas.entered(ids[0], Phase::FollowingBroadcast, 5);
        assert!(atlas.bears(ids[1], Loss::Everything));
        assert_eq!(atlas.spare(), 1);

        atlas.arm(ids[2]);
        atlas.entered(ids[2], Phase::FollowingBroadcast, 7);
        assert!(!atlas.bears(ids[1], Loss::Everything), "it is still to come");
        atlas.charge(ids[2], 7);
        atlas.entered(ids[2], Phase::FollowingBroadcast, 8);
        assert!(atlas.bears(ids[1], Loss::Everything));
    }

    #[test]
    fn a_server_between_two_histories_cannot_be_counted_on() {
        let ids: Vec<_> = (1..=3).map(ServerId).collect();
        let mut atlas = Atlas::new(ids.clone(), false);
        for &id in &ids {
            atlas.entered(id, Phase::FollowingBroadcast, 1);
        }
        atlas.disowned(ids[0], 1);
        assert_eq!(atlas.spare(), 0);
        atlas.entered(ids[0], Phase::FollowingSynchronization, 1);
        assert_eq!(atlas.spare(), 0);
        atlas.entered(ids[0], Phase::FollowingBroadcast, 1);
        assert_eq!(atlas.spare(), 1);
    }

    #[test]
    fn beyond_a_quorum_one_voter_keeps_a_trace_of_its_past() {
        let ids: Vec<_> = (1..=3).map(ServerId).collect();
        let mut atlas = Atlas::new(ids.clone(), true);
        assert!(!atlas.bears(ids[0], Loss::Everything), "nobody holds anything yet");
        for &id in &ids {
            atlas.entered(id, Phase::FollowingBroadcast, 1);
        }
        assert_eq!(atlas.lost_quorum(), None);
        atlas.charge_with(ids[0], 1, Loss::Everything);
        assert_eq!(atlas.lost_quorum(), None, "a minority can be borne");
        assert!(atlas.bears(ids[1], Loss::Everything));
        atlas.charge_with(ids[1], 1, Loss::Everything);
        assert_eq!(atlas.lost_quorum(), Some(vec![ids[0], ids[1]]));
        assert_eq!(atlas.spare(), 0);
        assert!(!atlas.bears(ids[2], Loss::Everything), "the last one");
        assert!(atlas.bears(ids[2], Loss::Part));
        atlas.charge(ids[2], 1);
        assert!(atlas.bears(ids[2], Loss::Part), "what rotted can rot again");
        atlas.charge(ids[1], 2);
        assert!(!atlas.bears(ids[2], Loss::Everything), "what was wiped holds nothing to rot");
        atlas.entered(ids[1], Phase::LeadingBroadcast, 3);
        assert!(atlas.bears(ids[2], Loss::Everything));
    }

    #[test]
    fn one_that_never_held_anything_makes_a_loss_worse_and_is_none() {
        let ids: Vec<_> = (1..=3).map(ServerId).collect();
        let mut atlas = Atlas::new(ids.clone(), true);
        assert_eq!(atlas.lost_quorum(), None, "a quorum that never was");
        atlas.entered(ids[0], Phase::LeadingBroadcast, 1);
        atlas.entered(ids[1], Phase::FollowingBroadcast, 1);
        assert_eq!(atlas.lost_quorum(), None);
        atlas.charge_with(ids[1], 1, Loss::Everything);
        assert_eq!(atlas.lost_quorum(), Some(vec![ids[1], ids[2]]));
    }
}
