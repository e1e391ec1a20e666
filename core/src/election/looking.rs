//! One search for a leader: what was heard, and what follows from it.
//! Apache: `FastLeaderElection.lookForLeader`. Facts: PROTOCOL 3.3.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::election::vote::{Ballot, Vote};
use crate::ensemble::Ensemble;
use crate::ids::{Epoch, ServerId, Zxid};
use crate::time::{Mono, Span};
use crate::wire::vote::{Notification, PeerState};

#[derive(Debug)]
pub(super) struct Looking {
    me: ServerId,
    /// What this server proposes on its own account; `None` for a blank server and an observer. Such
    /// a server looks on: it adopts the best proposal to know whom to follow, and votes for nobody.
    initial: Option<Vote>,
    pub(super) proposal: Option<Vote>,
    /// Shown with zxid -1 while there is no proposal.
    pub(super) own_epoch: Epoch,
    /// Votes of the own round. Apache: `recvset`.
    round_votes: BTreeMap<ServerId, Ballot>,
    /// Voters that look without a vote: blank or unfit ones.
    abstaining: BTreeSet<ServerId>,
    /// Votes of servers that have decided, of any round. Apache: `outofelection`.
    decided_votes: BTreeMap<ServerId, Ballot>,
    pub(super) first_start: FirstStart,
    pub(super) interval: Span,
    pub(super) resend_at: Mono,
    /// When the vote that has a quorum becomes final.
    pub(super) finalize_at: Option<Mono>,
}

/// Progress of a first start.
#[derive(Debug)]
pub(super) enum FirstStart {
    /// Not wanted.
    No,
    /// Voters that showed an empty history.
    Asking { empty: BTreeSet<ServerId> },
    /// Announced; the next round begins with an empty history.
    Agreed,
}

/// What one notification changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// The votes of the round changed: look again whether they suffice.
    Counted,
    /// The own proposal or round changed: tell everybody.
    Changed,
    /// Servers that have decided agree on this leader, in this round.
    Joined(Vote, i64),
}

impl Looking {
    pub(super) fn new(
        me: ServerId,
        initial: Option<Vote>,
        own_epoch: Epoch,
        first_start: bool,
        now: Mono,
        interval: Span,
    ) -> Self {
        Self {
            me,
            initial,
            proposal: initial,
            own_epoch,
            round_votes: BTreeMap::new(),
            abstaining: BTreeSet::new(),
            decided_votes: BTreeMap::new(),
            first_start: if first_start {
                FirstStart::Asking { empty: BTreeSet::from([me]) }
            } else {
                FirstStart::No
            },
            interval,
            resend_at: now + interval,
            finalize_at: None,
        }
    }

    /// Puts the own vote among those of the round. There is no link to oneself. A blank server's is
    /// left out: it could not promise an epoch to the leader that it helped to elect, so that a
    /// quorum with it is none.
    pub(super) fn count_own(&mut self, round: i64, ensemble: &Ensemble) {
        if let Some(vote) = self.proposal
            && self.initial.is_some()
            && ensemble.is_voter(self.me)
        {
            self.round_votes.insert(self.me, Ballot::of(vote, round));
        }
    }

    /// `said` is from a voter other than this server. `rounds`: the one that each voter was last heard to look in.
    pub(super) fn hear(
        &mut self,
        from: ServerId,
        said: &Notification,
        rounds: &BTreeMap<ServerId, i64>,
        round: &mut i64,
        ensemble: &Ensemble,
    ) -> Heard {
        let Some(leader) = said.leader.filter(|&id| ensemble.is_voter(id)) else {
            return Heard::Nothing;
        };
        let ballot = Ballot::heard(leader, said);
        match &mut self.first_start {
            FirstStart::No => {}
            FirstStart::Agreed => return Heard::Nothing,
            FirstStart::Asking { empty } => {
                if shows_nothing(&ballot) {
                    // Not a candidate for us: we start with the others, not behind one of them.
                    empty.insert(from);
                    return Heard::Nothing;
                }
                empty.remove(&from);
            }
        }
        match said.state {
            PeerState::Looking => {
                let outlived = rounds.get(&leader).is_some_and(|newest| *newest > said.round);
                self.hear_looking(from, ballot, outlived, round, ensemble)
            }
            PeerState::Following | PeerState::Leading => {
                self.hear_decided(from, ballot, *round, ensemble)
            }
            PeerState::Observing => Heard::Nothing,
        }
    }

    /// `outlived`: the candidate itself looks in a later round.
    fn hear_looking(
        &mut self,
        from: ServerId,
        ballot: Ballot,
        outlived: bool,
        round: &mut i64,
        ensemble: &Ensemble,
    ) -> Heard {
        let Some(vote) = ballot.vote() else {
            self.abstaining.insert(from);
            // A candidate that shows no history has lost the one that made it the best.
            let lost = self.proposal.is_some_and(|vote| vote.leader == from);
            return if lost { self.start_over(*round, round, ensemble) } else { Heard::Counted };
        };
        self.abstaining.remove(&from);
        let mut heard = Heard::Counted;
        // Nobody knows the own history better: another one under the own name is from before it
        // was lost, and would make a blank server lead.
        let stale = vote.leader == self.me && Some(vote) != self.initial;
        if stale && self.initial.is_some() && ballot.round >= *round {
            // In that round nobody would ever vote for what this server has now.
            return self.start_over(ballot.round, round, ensemble);
        }
        let beats = |other: Option<&Vote>| !stale && vote.beats(other, ensemble);
        // Nobody follows the round of a server without a proposal, so it follows theirs, down too:
        // else it would lack a leader wherever it looked more often than the others. Not to one that its
        // candidate has left: it would be sent back here at once, for as long as the others stay there.
        let free = self.proposal.is_none() && beats(None) && !outlived;
        if ballot.round > *round || (ballot.round < *round && free) {
            *round = ballot.round;
            self.round_votes.clear();
            let better = beats(self.initial.as_ref());
            self.propose(if better { Some(vote) } else { self.initial }, *round, ensemble);
            heard = Heard::Changed;
        } else if ballot.round < *round {
            return Heard::Nothing;
        } else if beats(self.proposal.as_ref()) {
            self.propose(Some(vote), *round, ensemble);
            heard = Heard::Changed;
        }
        self.round_votes.insert(from, ballot.of_round());
        heard
    }

    /// Votes of `past` count for a history that is gone: everybody begins a new round.
    fn start_over(&mut self, past: i64, round: &mut i64, ensemble: &Ensemble) -> Heard {
        *round = past + 1;
        self.round_votes.clear();
        self.propose(self.initial, *round, ensemble);
        Heard::Changed
    }

    fn hear_decided(
        &mut self,
        from: ServerId,
        ballot: Ballot,
        round: i64,
        ensemble: &Ensemble,
    ) -> Heard {
        let mut heard = Heard::Nothing;
        if ballot.round == round {
            self.round_votes.insert(from, ballot.of_round());
            if self.may_join(&self.round_votes, &ballot, round, ensemble) {
                return joined(&ballot);
            }
            heard = Heard::Counted;
        }
        self.decided_votes.insert(from, ballot);
        if self.may_join(&self.decided_votes, &ballot, round, ensemble)
            || self.completes_quorum_of(from, &ballot, ensemble)
        {
            return joined(&ballot);
        }
        heard
    }

    /// Whether a leader says so itself, has a history at least as new as this server's, and would
    /// have a quorum with it. Apache's servers would wait until that leader gives up: a server that
    /// restarted while its leader synchronizes (as ours do after TRUNC) may be the one it waits for.
    fn completes_quorum_of(&self, from: ServerId, ballot: &Ballot, ensemble: &Ensemble) -> bool {
        let Some(own) = self.initial.filter(|_| ensemble.is_voter(self.me)) else { return false };
        let leads = from == ballot.leader && ballot.state == PeerState::Leading;
        let newer =
            ballot.vote().is_some_and(|vote| (vote.epoch, vote.zxid) >= (own.epoch, own.zxid));
        let agreeing = self.decided_votes.iter().filter(|(_, said)| said.agrees(ballot));
        let with_me = agreeing.map(|(&id, _)| id).chain(core::iter::once(self.me));
        leads && newer && ensemble.has_quorum(with_me)
    }

    /// Whether `votes` hold a quorum for the leader of `ballot` and that leader says so itself.
    /// Apache: `checkLeader`, on the same table that was counted (ZOOKEEPER-3537).
    fn may_join(
        &self,
        votes: &BTreeMap<ServerId, Ballot>,
        ballot: &Ballot,
        round: i64,
        ensemble: &Ensemble,
    ) -> bool {
        let leads = if ballot.leader == self.me {
            // Others may follow what this server was before it restarted, or lost its history.
            ballot.round == round && self.initial.is_some() && ballot.vote() == self.initial
        } else {
            votes.get(&ballot.leader).is_some_and(|said| said.state == PeerState::Leading)
        };
        leads && has_quorum(votes, ballot, ensemble)
    }

    fn propose(&mut self, vote: Option<Vote>, round: i64, ensemble: &Ensemble) {
        self.proposal = vote;
        self.finalize_at = None;
        self.count_own(round, ensemble);
    }

    /// The vote for this server itself, where it may be a candidate.
    pub(super) fn own_vote(&self) -> Option<Vote> {
        self.initial.filter(|vote| vote.leader == self.me)
    }

    /// Without a vote of its own there is nothing to tell when the round or the proposal changes.
    pub(super) fn has_vote(&self) -> bool {
        self.initial.is_some()
    }

    /// What others are told. A server without a vote of its own shows none.
    pub(super) fn shown(&self) -> Option<Vote> {
        self.proposal.filter(|_| self.initial.is_some())
    }

    /// Whether that server will not vote for anybody else than `vote` in this round.
    pub(super) fn raises_no_objection(&self, id: ServerId, vote: Vote, round: i64) -> bool {
        self.votes_for(id, vote, round) || self.abstaining.contains(&id)
    }

    /// The proposal, where a quorum of this round votes for it.
    pub(super) fn backed(&self, round: i64, ensemble: &Ensemble) -> Option<Vote> {
        let vote = self.proposal?;
        has_quorum(&self.round_votes, &Ballot::of(vote, round), ensemble).then_some(vote)
    }

    /// Servers that look, and vote for this one in this round.
    pub(super) fn supporters(&self) -> impl Iterator<Item = ServerId> + Clone {
        let for_me = |said: &Ballot| said.leader == self.me && said.state == PeerState::Looking;
        self.round_votes.iter().filter(move |(_, said)| for_me(said)).map(|(&id, _)| id)
    }

    /// Whether that server's vote of this round is known, or that it has none.
    pub(super) fn has_spoken(&self, id: ServerId) -> bool {
        self.round_votes.contains_key(&id) || self.abstaining.contains(&id)
    }

    fn votes_for(&self, id: ServerId, vote: Vote, round: i64) -> bool {
        self.round_votes.get(&id).is_some_and(|said| said.agrees(&Ballot::of(vote, round)))
    }

    /// Voters that have not shown an empty history yet; none where no first start is wanted.
    pub(super) fn waiting_for(&self, ensemble: &Ensemble) -> BTreeSet<ServerId> {
        match &self.first_start {
            FirstStart::No | FirstStart::Agreed => BTreeSet::new(),
            FirstStart::Asking { empty } => {
                ensemble.voters().filter(|id| !empty.contains(id)).collect()
            }
        }
    }
}

fn has_quorum(votes: &BTreeMap<ServerId, Ballot>, ballot: &Ballot, ensemble: &Ensemble) -> bool {
    ensemble.has_quorum(votes.iter().filter(|(_, said)| said.agrees(ballot)).map(|(&id, _)| id))
}

fn joined(ballot: &Ballot) -> Heard {
    // Zxid and epoch are only repeated to others, who do not compare the zxid of decided votes.
    let vote = Vote {
        leader: ballot.leader,
        zxid: ballot.zxid.unwrap_or(Zxid::ZERO),
        epoch: ballot.epoch.unwrap_or(Epoch::ZERO),
    };
    Heard::Joined(vote, ballot.round)
}

/// Apache's servers that have initialised and hold no transaction show zxid 0.
fn shows_nothing(ballot: &Ballot) -> bool {
    ballot.epoch.is_none_or(|epoch| epoch == Epoch::ZERO)
        && ballot.zxid.is_none_or(|zxid| zxid == Zxid::ZERO)
}
