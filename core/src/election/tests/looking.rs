//! What one server makes of single notifications.

use super::*;
use crate::config::EnsembleConfig;

/// A history: its epoch and its last transaction.
type History = (u32, u64);

struct Voter {
    looking: Looking,
    round: i64,
    rounds: BTreeMap<ServerId, i64>,
    ensemble: Ensemble,
}

impl Voter {
    /// In round 4 of an ensemble of that many.
    fn new(me: u64, voters: u64, history: Option<History>) -> Self {
        let lines: Vec<_> =
            (1..=voters).map(|id| alloc::format!("server.{id}=s{id}:1:2")).collect();
        let ensemble = Ensemble::new(EnsembleConfig::from_text(&lines.join("\n")).unwrap());
        let initial = history.map(|history| vote(me, history));
        let (now, interval) = (Mono(0), Span::from_ms(50));
        let mut looking = Looking::new(ServerId(me), initial, Epoch(1), false, now, interval);
        looking.count_own(4, &ensemble);
        Self { looking, round: 4, rounds: BTreeMap::new(), ensemble }
    }

    fn hears(&mut self, from: u64, said: &Notification) -> Heard {
        self.rounds.insert(ServerId(from), said.round);
        self.looking.hear(ServerId(from), said, &self.rounds, &mut self.round, &self.ensemble)
    }

    fn backed(&self) -> Option<Vote> {
        self.looking.backed(self.round, &self.ensemble)
    }
}

fn vote(leader: u64, (epoch, zxid): History) -> Vote {
    Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch: Epoch(epoch) }
}

fn says(state: PeerState, leader: u64, history: Option<History>, round: i64) -> Notification {
    Notification {
        state,
        leader: Some(ServerId(leader)),
        zxid: history.map(|(_, zxid)| Zxid(zxid)),
        round,
        peer_epoch: Some(Epoch(history.map_or(1, |(epoch, _)| epoch))),
        version: 2,
        config: None,
    }
}

/// A server that restarts with less than it showed: in the round of those votes nobody would ever
/// vote for what it has now, and it would lead on the strength of what it lost.
#[test]
fn votes_for_a_history_that_is_gone_begin_a_new_round() {
    for round in [4, 9] {
        let mut voter = Voter::new(3, 3, Some((1, 5)));
        let heard = voter.hears(1, &says(PeerState::Looking, 3, Some((1, 8)), round));
        assert_eq!((heard, voter.round), (Heard::Changed, round + 1));
        assert_eq!(voter.looking.proposal, Some(vote(3, (1, 5))));
        assert_eq!(voter.backed(), None);
    }
    // Of a round that is over, such a vote says nothing.
    let mut voter = Voter::new(3, 3, Some((1, 5)));
    assert_eq!(voter.hears(1, &says(PeerState::Looking, 3, Some((1, 8)), 3)), Heard::Nothing);
    assert_eq!(voter.round, 4);
}

/// Else those who vote for it would elect a server that can promise nothing.
#[test]
fn a_blank_server_does_not_believe_that_it_has_a_history() {
    let mut voter = Voter::new(3, 3, None);
    voter.hears(1, &says(PeerState::Looking, 3, Some((1, 8)), 4));
    voter.hears(2, &says(PeerState::Looking, 3, Some((1, 8)), 4));
    assert_eq!((voter.looking.proposal, voter.backed()), (None, None));
}

/// The proposal was for a history that its owner has lost since: nobody else has it either.
#[test]
fn a_candidate_that_shows_no_history_is_dropped() {
    let mut voter = Voter::new(1, 3, Some((1, 5)));
    voter.hears(3, &says(PeerState::Looking, 3, Some((1, 8)), 4));
    assert_eq!(voter.looking.proposal, Some(vote(3, (1, 8))));
    let heard = voter.hears(3, &says(PeerState::Looking, 3, None, 4));
    assert_eq!((heard, voter.round), (Heard::Changed, 5));
    assert_eq!((voter.looking.proposal, voter.backed()), (Some(vote(1, (1, 5))), None));
    // Somebody else's blank history changes nothing for the candidate.
    voter.hears(3, &says(PeerState::Looking, 3, Some((1, 8)), 5));
    assert_eq!(voter.hears(2, &says(PeerState::Looking, 2, None, 5)), Heard::Counted);
    assert_eq!(voter.looking.proposal, Some(vote(3, (1, 8))));
}

/// It could not promise an epoch to the leader that it helped to elect: a quorum with it is none.
#[test]
fn a_blank_server_votes_for_nobody() {
    let mut blank = Voter::new(3, 3, None);
    blank.hears(1, &says(PeerState::Looking, 1, Some((1, 5)), 4));
    assert_eq!(blank.looking.proposal, Some(vote(1, (1, 5))), "it knows whom to follow");
    assert_eq!((blank.looking.shown(), blank.backed()), (None, None));
    blank.hears(2, &says(PeerState::Looking, 1, Some((1, 5)), 4));
    assert_eq!(blank.backed(), Some(vote(1, (1, 5))), "the others are a quorum");
    assert_eq!(blank.looking.shown(), None);
}

/// Where its candidate has gone on to another round, it would decide for one that looks, be sent back,
/// ask again and decide the same.
#[test]
fn a_server_without_a_vote_follows_no_round_that_its_candidate_has_left() {
    for (left, round) in [(false, 2), (true, 4)] {
        let mut blank = Voter::new(4, 4, None);
        if left {
            blank.rounds.insert(ServerId(3), 3);
        }
        for from in [1, 2] {
            blank.hears(from, &says(PeerState::Looking, 3, Some((1, 5)), 2));
        }
        assert_eq!(blank.round, round);
        assert_eq!(blank.looking.proposal.is_some(), !left);
    }
}

/// A server that restarted while its leader synchronizes may be the one that the leader waits for:
/// both would wait until the leader gives up.
#[test]
fn a_leader_that_lacks_only_this_server_is_joined() {
    let leads = says(PeerState::Leading, 3, Some((1, 5)), 9);
    for own in [(1, 5), (1, 4), (0, 9)] {
        let heard = Voter::new(1, 3, Some(own)).hears(3, &leads);
        assert_eq!(heard, Heard::Joined(vote(3, (1, 5)), 9), "{own:?}");
    }
    let not_joined = |mut voter: Voter, from: u64, said: &Notification| {
        assert_eq!(voter.hears(from, said), Heard::Nothing);
    };
    // What this server has might be lost.
    not_joined(Voter::new(1, 3, Some((1, 6))), 3, &leads);
    not_joined(Voter::new(1, 3, Some((2, 1))), 3, &leads);
    // It still is no quorum, or would be one of a server that can promise nothing.
    not_joined(Voter::new(1, 5, Some((1, 5))), 3, &leads);
    not_joined(Voter::new(1, 3, None), 3, &leads);
    // Only the leader knows that it leads.
    let follows = says(PeerState::Following, 3, Some((1, 5)), 9);
    not_joined(Voter::new(1, 3, Some((1, 5))), 2, &follows);
}

/// What a quorum waits for is this server, whomever its own search has come to propose.
#[test]
fn the_own_vote_outlives_a_better_proposal() {
    for (history, decided) in [(Some((1, 5)), true), (None, false)] {
        let mut voter = Voter::new(1, 3, history);
        voter.hears(3, &says(PeerState::Looking, 3, Some((1, 8)), 4));
        assert_eq!(voter.looking.own_vote().is_some(), decided);
    }
}
