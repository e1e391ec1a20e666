//! Votes: their order, and when two of them count for the same leader.
//! Apache: `FastLeaderElection.totalOrderPredicate`, `Vote.equals`.

use crate::ensemble::Ensemble;
use crate::ids::{Epoch, ServerId, Zxid};
use crate::wire::vote::{Notification, PeerState};

/// A candidate with a history. A blank server is never one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    pub leader: ServerId,
    pub zxid: Zxid,
    pub epoch: Epoch,
}

impl Vote {
    /// Lexicographic, every part: an id never outweighs a zxid, nor a zxid an epoch.
    fn rank(&self) -> (Epoch, Zxid, ServerId) {
        (self.epoch, self.zxid, self.leader)
    }

    /// Anybody with a say beats nobody; weight 0 beats nothing.
    pub fn beats(&self, other: Option<&Self>, ensemble: &Ensemble) -> bool {
        ensemble.weight(self.leader) > 0 && other.is_none_or(|other| self.rank() > other.rank())
    }
}

/// What one server said last, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) leader: ServerId,
    pub(super) zxid: Option<Zxid>,
    pub(super) epoch: Option<Epoch>,
    pub(super) round: i64,
    pub(super) state: PeerState,
    pub(super) version: i32,
}

impl Ballot {
    pub(super) fn of(vote: Vote, round: i64) -> Self {
        Self {
            leader: vote.leader,
            zxid: Some(vote.zxid),
            epoch: Some(vote.epoch),
            round,
            state: PeerState::Looking,
            version: 0,
        }
    }

    pub(super) fn heard(leader: ServerId, said: &Notification) -> Self {
        Self {
            leader,
            zxid: said.zxid,
            // The oldest form carries no epoch: that of the zxid stands for it.
            epoch: said.peer_epoch.or_else(|| said.zxid.map(Zxid::epoch)),
            round: said.round,
            state: said.state,
            version: said.version,
        }
    }

    /// As it is kept among the votes of the own round.
    pub(super) fn of_round(self) -> Self {
        Self { version: 0, ..self }
    }

    /// `None` where the sender named a candidate without a history.
    pub(super) fn vote(&self) -> Option<Vote> {
        Some(Vote { leader: self.leader, zxid: self.zxid?, epoch: self.epoch? })
    }

    /// Whether both count for the same leader. Zxid and round of decided votes differ
    /// legitimately between members of one ensemble.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        if self.leader != other.leader {
            false
        } else if self.state == PeerState::Looking || other.state == PeerState::Looking {
            (self.zxid, self.round, self.epoch) == (other.zxid, other.round, other.epoch)
        } else if (self.version > 0) != (other.version > 0) {
            true
        } else {
            self.epoch == other.epoch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EnsembleConfig;

    #[test]
    fn the_order_is_epoch_then_zxid_then_id() {
        let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ngroup.1=1:2:3\nweight.3=0";
        let ensemble = Ensemble::new(EnsembleConfig::from_text(text).unwrap());
        let vote = |leader, zxid, epoch| Vote {
            leader: ServerId(leader),
            zxid: Zxid(zxid),
            epoch: Epoch(epoch),
        };
        for (better, worse) in [
            (vote(2, 5, 1), vote(1, 5, 1)),
            (vote(1, 6, 1), vote(2, 5, 1)),
            (vote(1, 5, 2), vote(2, 6, 1)),
            // ZOOKEEPER-1419: equal zxid and a higher id must not beat a higher epoch.
            (vote(1, 5, 2), vote(2, 5, 1)),
        ] {
            assert!(better.beats(Some(&worse), &ensemble), "{better:?} {worse:?}");
            assert!(!worse.beats(Some(&better), &ensemble), "{worse:?} {better:?}");
            assert!(!better.beats(Some(&better), &ensemble));
        }
        assert!(vote(1, 0, 0).beats(None, &ensemble));
        assert!(!vote(3, 9, 9).beats(Some(&vote(1, 0, 0)), &ensemble), "weight 0 never wins");
        assert!(!vote(3, 9, 9).beats(None, &ensemble));
        assert!(!vote(9, 9, 9).beats(None, &ensemble), "who is no voter never wins");
    }

    #[test]
    fn equality_depends_on_state_and_version() {
        let base = Ballot {
            leader: ServerId(1),
            zxid: Some(Zxid(5)),
            epoch: Some(Epoch(2)),
            round: 7,
            state: PeerState::Looking,
            version: 0,
        };
        let following = Ballot { state: PeerState::Following, ..base };
        let versioned = Ballot { version: 2, ..following };
        for (left, right, want) in [
            (base, base, true),
            (base, Ballot { leader: ServerId(2), ..base }, false),
            (base, Ballot { zxid: Some(Zxid(6)), ..base }, false),
            (base, Ballot { epoch: Some(Epoch(3)), ..base }, false),
            (base, Ballot { round: 8, ..base }, false),
            (base, following, true),
            (base, Ballot { zxid: Some(Zxid(6)), ..following }, false),
            (base, Ballot { round: 8, ..versioned }, false),
            (base, versioned, true),
            (following, Ballot { zxid: None, round: 8, ..following }, true),
            (following, Ballot { epoch: Some(Epoch(3)), ..following }, false),
            (following, Ballot { epoch: Some(Epoch(3)), ..versioned }, true),
            (versioned, Ballot { epoch: Some(Epoch(3)), ..versioned }, false),
            (versioned, Ballot { zxid: None, round: 1, ..versioned }, true),
            (versioned, Ballot { leader: ServerId(2), ..following }, false),
        ] {
            assert_eq!(left.agrees(&right), want, "{left:?} {right:?}");
            assert_eq!(right.agrees(&left), want, "{right:?} {left:?}");
        }
    }
}
