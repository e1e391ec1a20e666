//! Whether this server may put itself forward in an election. One that could not do a leader's work,
//! whatever its history is worth, lets the others lead (docs/decisions/0021).

use crate::election::{Candidate, Start};
use crate::ids::{Epoch, OpId, ServerId, Zxid};
use crate::server::action::{Close, CloseReason};
use crate::server::role::Role;
use crate::server::{Outbox, Server};
use crate::time::{Mono, Span};

#[derive(Debug, Default)]
pub(super) struct Fitness {
    /// The newest operation of the log queue that is done.
    done: Option<OpId>,
    /// Since when the log queue makes no progress; `None`: it has nothing to do.
    stands_since: Option<Mono>,
    /// This server led and heard no quorum from then on: it may be deaf while others still hear its vote.
    deaf_since: Option<Mono>,
    /// The present search was begun without a vote.
    abstains: bool,
    /// The leader that was lost last without having served this server, and how often in a row.
    barren: Option<(ServerId, u32)>,
}

/// Pause before a leader that just sent this server away is called again: a candidate may be a moment
/// late, and only one that refuses again and again is waited for.
const FIRST_PAUSE: Span = Span::from_ms(4);

/// No burden to anybody, and still short beside what an election may take.
const LONGEST_PAUSE: Span = Span::from_ms(1000);

impl Fitness {
    pub(super) fn log_done(&mut self, upto: OpId) {
        self.done = self.done.max(Some(upto));
        self.stands_since = None;
    }

    /// `since`: what was heard later says that others can be heard.
    pub(super) fn lead_in_vain(&mut self, since: Mono) {
        self.deaf_since = Some(since);
    }

    /// A leader served this server, or it leads: whatever was wrong is over.
    pub(super) fn in_office(&mut self) {
        self.deaf_since = None;
        self.barren = None;
    }

    pub(super) fn lost_unserved(&mut self, leader: ServerId) {
        let times = match self.barren {
            Some((last, times)) if last == leader => times.saturating_add(1),
            Some(_) | None => 1,
        };
        self.barren = Some((leader, times));
    }

    /// How long to wait before this leader is called.
    pub(super) fn pause_before(&self, leader: ServerId, init_limit: Span) -> Span {
        match self.barren {
            Some((last, times)) if last == leader => {
                let longest = LONGEST_PAUSE.min(Span(init_limit.0 / 4));
                FIRST_PAUSE.times(1 << (times - 1).min(16)).min(longest)
            }
            Some(_) | None => Span::ZERO,
        }
    }
}

impl Server {
    /// What a new search begins with. A history that cannot be promised or led from is not shown.
    pub(super) fn candidate(&mut self) -> Candidate {
        self.fitness.abstains = self.must_abstain();
        let zxid = self.history.last().filter(|_| !self.fitness.abstains);
        Candidate { zxid, epoch: self.shown_epoch() }
    }

    /// The epoch in the own notifications: currentEpoch. Without a vote beside it, it must not be taken
    /// for that of an empty server, with which others may begin anew, where there is or was a history.
    fn shown_epoch(&self) -> Epoch {
        let current = self.history.current();
        let empty = self.history.head() == Zxid::ZERO;
        match self.history.blank {
            false if self.fitness.abstains && !empty => current.max(Epoch(1)),
            false => current,
            true if self.chores.is_first_start() => self.history.accepted(),
            true => self.history.accepted().max(Epoch(1)),
        }
    }

    fn must_abstain(&self) -> bool {
        self.is_deaf() || self.is_log_overdue() || self.chores.has_said_goodbye()
    }

    fn is_deaf(&self) -> bool {
        let hears = |since| self.election.as_ref().is_some_and(|it| it.hears_quorum(since));
        self.fitness.deaf_since.is_some_and(|since| !hears(since))
    }

    /// The oldest operation of the log waits longer than a learner may. A leader's first deed is to write
    /// an epoch there.
    fn is_log_overdue(&self) -> bool {
        self.log_due().is_some_and(|at| at <= self.at.mono)
    }

    fn log_due(&self) -> Option<Mono> {
        let limit = self.config.tick.times(self.config.sync_limit_ticks);
        self.fitness.stands_since.map(|since| since + limit)
    }

    /// When an operation that does not complete begins to matter.
    pub(super) fn fitness_deadline(&self) -> Option<Mono> {
        let votes = matches!(self.role, Role::Looking) && !self.fitness.abstains;
        self.log_due().filter(|_| votes || matches!(self.role, Role::Leading(_)))
    }

    /// Withdraws a vote that cannot be stood for, and gives it again when it can. A leader in office goes
    /// too: where its own copy is needed for a quorum nothing is committed any more, and whom it has to
    /// fill from its disk waits for ever.
    pub(super) fn mind_fitness(&mut self, out: &mut Outbox) {
        if self.history.ids.log_issued() > self.fitness.done {
            self.fitness.stands_since.get_or_insert(self.at.mono);
        }
        match &self.role {
            Role::Leading(_) if self.is_log_overdue() => self.leave(Start::Own, out),
            Role::Looking => self.mind_vote(out),
            Role::Leading(_)
            | Role::Starting
            | Role::Following(_)
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    fn mind_vote(&mut self, out: &mut Outbox) {
        if self.fitness.abstains != self.must_abstain() {
            self.look(Start::Own, out);
        }
        if self.fitness.abstains {
            self.send_away_waiting(out);
        }
    }

    /// Learners that wait for a server that does not mean to lead would wait in vain.
    pub(super) fn send_away_waiting(&mut self, out: &mut Outbox) {
        for link in core::mem::take(&mut self.waiting).into_keys() {
            out.close(link, Close::Abort, CloseReason::NotServing);
        }
    }
}
