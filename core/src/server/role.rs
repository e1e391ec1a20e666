//! Who this server is in the ensemble, and how that changes.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::admin::summary::Sizes;
use crate::config::{FirstStart, MemberRole};
use crate::election::{Candidate, Election, Event, Start};
use crate::ids::{Epoch, ServerId, Zxid};
use crate::invariant;
use crate::request::change::Standing;
use crate::server::action::{Close, CloseReason, Halt, RestartReason};
use crate::server::note::{Note, Phase};
use crate::server::standalone::{Question, Standalone};
use crate::server::view::Service;
use crate::server::{Outbox, Server, client_cx, election_cx, zab_cx};
use crate::session::ClosedSessions;
use crate::session::tracker::Owner;
use crate::storage::snapshot::Grade;
use crate::time::{Mono, Span};
use crate::wire::frame::PacketBuffer;
use crate::wire::quorum::LearnerPacket;
use crate::wire::vote::PeerState;
use crate::zab::following::{Following, FollowingEvent};
use crate::zab::leading::{Leading, LeadingEvent};

/// Each variant carries only what is legal in it.
#[derive(Debug)]
pub(super) enum Role {
    /// Recovered; the first step has not come yet.
    Starting,
    Looking,
    Leading(Leading),
    Following(Following),
    Standalone(Standalone),
    /// The log is being cut behind this zxid, which `leader` asked for; a restart follows.
    Truncating {
        leader: ServerId,
        upto: Zxid,
    },
    /// All is said; the last bytes get a moment to leave.
    Stopping {
        until: Mono,
    },
    Halted,
}

/// A learner that came before this server knew whether it leads.
#[derive(Debug)]
pub(super) struct WaitingLearner {
    pub since: Mono,
    /// The voter that it says it is; `None` for a blank one, which can promise nothing.
    pub id: Option<ServerId>,
    pub chunks: Vec<Bytes>,
    pub len: usize,
}

/// Bytes that a learner may send before this server knows whether it leads.
const WAITING_LEARNER_MAX: usize = 4096;

impl WaitingLearner {
    pub(super) fn new(since: Mono) -> Self {
        Self { since, id: None, chunks: Vec::new(), len: 0 }
    }

    /// Keeps what it says for the leader that this server may become. False when it says too much.
    pub(super) fn take(&mut self, bytes: Bytes) -> bool {
        self.len += bytes.len();
        self.chunks.push(bytes);
        if self.id.is_none() && self.len <= WAITING_LEARNER_MAX {
            let mut buffer = PacketBuffer::default();
            self.chunks.iter().for_each(|chunk| buffer.push(chunk.clone()));
            let packet = buffer.next_learner_packet(WAITING_LEARNER_MAX);
            if let Ok(Some(LearnerPacket::FollowerInfo { info, .. })) = packet {
                let blank = info.vivarium.is_some_and(|flags| flags.blank);
                self.id = info.server.filter(|_| !blank);
            }
        }
        self.len <= WAITING_LEARNER_MAX
    }
}

impl Server {
    /// First step after recovery.
    pub(super) fn begin(&mut self, out: &mut Outbox) {
        if self.election.is_none() {
            self.role = Role::Standalone(Standalone::new(self.history.head()));
            self.history.commit(self.history.head());
            self.lead_sessions();
            // Whoever reads the notes hears what it is before it hears whom it serves.
            self.note_phase(out);
            self.serve(Service::Full, out);
            return;
        }
        self.look(Start::Own, out);
    }

    /// Looks for a leader with the history as it is now, queued appends included: whatever is
    /// logged, committed or not, counts (B06).
    pub(super) fn look(&mut self, start: Start, out: &mut Outbox) {
        self.role = Role::Looking;
        self.looking_since = self.at.mono;
        self.counters.elections += 1;
        let candidate = self.candidate();
        let untouched = self.history.accepted() == Epoch::ZERO;
        let asks_all = self.config.first_start == FirstStart::AskAll;
        let start = match start {
            Start::Own if self.history.blank && untouched && asks_all => Start::FirstStart,
            Start::Own | Start::FirstStart | Start::HandOver { .. } => start,
        };
        let start = if self.chores.is_first_start() { start } else { plain(start) };
        let Some(election) = &mut self.election else { return };
        let event = election.look(candidate, start, &mut election_cx!(self, out));
        self.note_phase(out);
        self.on_election(event, out);
    }

    pub(super) fn on_election(&mut self, event: Option<Event>, out: &mut Outbox) {
        if !matches!(self.role, Role::Looking) {
            // One that is connected hears of it by that. One that calls in vain, or pauses, would go on
            // to say whom it follows, and so elect that server again (docs/decisions/0021).
            let calls = matches!(&self.role, Role::Following(following) if following.calls());
            if calls && event == Some(Event::LeaderLooks) {
                self.leave(Start::Own, out);
            }
            return;
        }
        if matches!(event, Some(Event::Decided { .. })) {
            self.serve(Service::None, out);
        }
        match event {
            Some(Event::Decided { leader, round }) => {
                out.note(Note::Elected { leader, round });
                if leader == self.config.me {
                    self.lead(out);
                } else {
                    self.follow(leader, out);
                }
            }
            Some(Event::FirstStart) => self.found(out),
            Some(Event::LeaderLooks) | None => {}
        }
    }

    /// Learners that arrive while this server looks have elected it, some of them in an older round
    /// than those that vote for it now. With a quorum of both there is nothing left to look for.
    pub(super) fn lead_those_who_wait(&mut self, out: &mut Outbox) {
        if !matches!(self.role, Role::Looking) || self.history.blank {
            return;
        }
        let Some(election) = self.election.as_ref().filter(|_| !self.waiting.is_empty()) else {
            return;
        };
        let voting = election.supporters().chain(core::iter::once(self.config.me));
        let ids = voting.chain(self.waiting.values().filter_map(|waiting| waiting.id));
        if !self.ensemble.has_quorum(ids) {
            return;
        }
        let event = self.election.as_mut().and_then(Election::accept_lead);
        self.on_election(event, out);
    }

    fn lead(&mut self, out: &mut Outbox) {
        invariant!(!self.history.blank, "a blank server is nobody's candidate");
        let waiting = core::mem::take(&mut self.waiting);
        let waiting = waiting.into_iter().map(|(link, learner)| (link, learner.chunks)).collect();
        self.proposal_sizes = Sizes::default();
        self.role = Role::Leading(Leading::start(waiting, &mut zab_cx!(self, out)));
        self.note_phase(out);
    }

    pub(super) fn follow(&mut self, leader: ServerId, out: &mut Outbox) {
        self.send_away_waiting(out);
        let observer = self.is_observer();
        let init_limit = self.config.tick.times(self.config.init_limit_ticks);
        let pause = self.fitness.pause_before(leader, init_limit);
        let following = Following::start(leader, observer, pause, &mut zab_cx!(self, out));
        self.role = Role::Following(following);
        self.note_phase(out);
    }

    fn is_observer(&self) -> bool {
        self.ensemble.member(self.config.me).is_some_and(|me| me.role == MemberRole::Observer)
    }

    /// The oldest thing that the role asks for. False when there is none.
    pub(super) fn handle_role_event(&mut self, out: &mut Outbox) -> bool {
        match &mut self.role {
            Role::Leading(leading) => match leading.take_event() {
                Some(event) => self.on_leading_event(event, out),
                None => return false,
            },
            Role::Following(following) => match following.take_event() {
                Some(event) => self.on_following_event(event, out),
                None => return false,
            },
            Role::Standalone(alone) => match alone.take_answered(self.history.committed()) {
                Some(Question::Sync { link, cxid }) => {
                    self.clients.synced(link, cxid, &mut client_cx!(self, out));
                }
                Some(Question::Missing(missing)) => self.answer_missing(missing, out),
                None => return false,
            },
            Role::Starting
            | Role::Looking
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => return false,
        }
        true
    }

    fn on_leading_event(&mut self, event: LeadingEvent, out: &mut Outbox) {
        match event {
            LeadingEvent::Established { epoch } => {
                self.announce(PeerState::Leading, self.config.me, epoch, out);
                self.fitness.in_office();
                while self.apply_next(out) {}
                self.lead_sessions();
                if self.chores.is_stopping() {
                    self.close_for_proposals();
                } else if self.config.leader_serves {
                    self.serve(Service::Full, out);
                }
            }
            LeadingEvent::Request { link, request } => self.on_forwarded(link, request, out),
            LeadingEvent::Touched { link, touches } => {
                let user = Owner::Learner(link);
                for touch in touches {
                    self.touch_session(touch.session, touch.timeout_ms, user, out);
                }
            }
            LeadingEvent::Revalidate { link, session, timeout_ms } => {
                self.revalidate_for(link, session, timeout_ms, out);
            }
            LeadingEvent::Missing(missing) => self.answer_missing(missing, out),
            LeadingEvent::Synced { link, cxid } => {
                self.clients.synced(link, cxid, &mut client_cx!(self, out));
            }
            LeadingEvent::SnapshotDamaged { zxid } => self.chores.distrust_snapshot(zxid),
            LeadingEvent::Damaged => {
                self.leave_links(out);
                self.halt(Halt::Restart(RestartReason::LogUnreadable), out);
            }
            LeadingEvent::Abdicate(_why) => self.leave(Start::Own, out),
            LeadingEvent::Unheard(_why) => {
                let limit = self.config.tick.times(self.config.sync_limit_ticks);
                self.fitness.lead_in_vain(self.at.mono - limit);
                self.leave(Start::Own, out);
            }
        }
    }

    fn on_following_event(&mut self, event: FollowingEvent, out: &mut Outbox) {
        match event {
            FollowingEvent::SnapReceived { zxid, database, fuzzy, behind } => {
                let grade = if fuzzy { Grade::Fuzzy } else { Grade::Exact };
                self.install_snapshot(zxid, *database, grade, behind, out);
            }
            FollowingEvent::Truncate { upto } => {
                let Role::Following(following) = &self.role else { return };
                let leader = following.leader();
                self.leave_links(out);
                self.role = Role::Truncating { leader, upto };
            }
            FollowingEvent::Serve { epoch } => {
                let Role::Following(following) = &self.role else { return };
                let (leader, observer) = (following.leader(), following.is_observer());
                self.fitness.in_office();
                let state = if observer { PeerState::Observing } else { PeerState::Following };
                self.announce(state, leader, epoch, out);
                while self.apply_next(out) {}
            }
            FollowingEvent::Pinged { zxid } => {
                let touched = self.touched.take();
                if let Role::Following(following) = &mut self.role {
                    following.pong(zxid, touched, &mut zab_cx!(self, out));
                }
            }
            FollowingEvent::Revalidated { session, valid } => {
                let standing = valid.then_some(Standing::Global);
                self.clients.revalidated(session, standing, &mut client_cx!(self, out));
            }
            FollowingEvent::Synced => {
                if let Some((link, cxid)) = self.syncs.pop_front() {
                    self.clients.synced(link, cxid, &mut client_cx!(self, out));
                }
            }
            FollowingEvent::Lost { why: _, served } => {
                if let Role::Following(following) = &self.role
                    && !served
                {
                    self.fitness.lost_unserved(following.leader());
                }
                self.leave(Start::Own, out);
            }
            FollowingEvent::Restart(why) => {
                self.leave_links(out);
                self.halt(Halt::Restart(why), out);
            }
        }
    }

    /// What LOOKING servers are told from now on.
    fn announce(&mut self, state: PeerState, leader: ServerId, epoch: Epoch, out: &mut Outbox) {
        if let Some(election) = &mut self.election {
            election.serve(state, leader, epoch, &mut election_cx!(self, out));
        }
    }

    /// Ends a role and looks for a leader again.
    pub(super) fn leave(&mut self, start: Start, out: &mut Outbox) {
        self.leave_links(out);
        self.look(start, out);
    }

    /// Ends whatever the role held: client links go before any vote.
    pub(super) fn leave_links(&mut self, out: &mut Outbox) {
        self.serve(Service::None, out);
        self.preparer.clear();
        self.tracker = None;
        self.closed = ClosedSessions::default();
        self.sweep = None;
        self.touched = crate::session::TouchTable::default();
        self.syncs.clear();
        match core::mem::replace(&mut self.role, Role::Looking) {
            Role::Leading(mut leading) => {
                let why = CloseReason::RoleEnded;
                leading.close_all(Close::Flush, &why, &mut zab_cx!(self, out));
            }
            Role::Following(mut following) => {
                following.close(&CloseReason::RoleEnded, &mut zab_cx!(self, out));
            }
            Role::Starting
            | Role::Looking
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    /// A new epoch is due: a planned election, once everything proposed is committed.
    pub(super) fn rotate_epoch(&mut self, out: &mut Outbox) {
        let Role::Leading(leading) = &self.role else { return };
        let due = leading.wants_new_epoch(self.config.zxid_counter_limit);
        if due && self.history.committed() == self.history.head() {
            self.leave(Start::Own, out);
        }
    }

    /// SIGTERM: stop proposing, commit what is there, hand over, say goodbye.
    pub(super) fn begin_stop(&mut self, out: &mut Outbox) {
        if self.chores.is_stopping() {
            return;
        }
        self.chores.begin_stop(self.at.mono + self.config.tick.times(2));
        self.serve(Service::None, out);
        self.close_for_proposals();
    }

    fn close_for_proposals(&mut self) {
        if let Role::Leading(leading) = &mut self.role {
            leading.close_for_proposals();
        }
    }

    pub(super) fn finish_stop(&mut self, out: &mut Outbox) {
        if !self.chores.is_stopping() || matches!(self.role, Role::Stopping { .. }) {
            return;
        }
        let patience_over = self.chores.stop_deadline().is_some_and(|at| at <= self.at.mono);
        let settled = self.history.log.is_idle()
            && match &self.role {
                Role::Leading(_) => self.history.committed() == self.history.head(),
                Role::Starting
                | Role::Looking
                | Role::Following(_)
                | Role::Standalone(_)
                | Role::Truncating { .. }
                | Role::Stopping { .. }
                | Role::Halted => true,
            };
        if !settled && !patience_over {
            return;
        }
        let is_candidate = matches!(self.role, Role::Leading(_) | Role::Looking);
        let heir = match &self.role {
            Role::Leading(leading) => leading.heir(&self.ensemble),
            Role::Starting
            | Role::Looking
            | Role::Following(_)
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => None,
        };
        self.leave_links(out);
        self.chores.end_stop();
        // Without an heir it has no vote: those that look must not elect it once more.
        let vote = match heir {
            Some(to) => {
                let (zxid, epoch) = (self.history.last(), self.history.current());
                Some((Candidate { zxid, epoch }, Start::HandOver { to }))
            }
            None => is_candidate.then(|| (self.candidate(), Start::Own)),
        };
        if let (Some((candidate, start)), Some(election)) = (vote, &mut self.election) {
            election.look(candidate, start, &mut election_cx!(self, out));
        }
        self.role = Role::Stopping { until: self.at.mono + Span(self.config.tick.0 / 4) };
    }

    pub(super) fn note_phase(&mut self, out: &mut Outbox) {
        let phase = self.phase();
        if self.noted != Some(phase) {
            self.noted = Some(phase);
            let epoch = match &self.role {
                Role::Leading(leading) => {
                    leading.epoch().unwrap_or_else(|| self.history.accepted())
                }
                Role::Starting
                | Role::Looking
                | Role::Following(_)
                | Role::Standalone(_)
                | Role::Truncating { .. }
                | Role::Stopping { .. }
                | Role::Halted => self.history.accepted(),
            };
            out.note(Note::PhaseEntered { phase, epoch });
        }
    }

    /// Whom a first start waits for, whenever that changes.
    pub(super) fn note_awaited(&mut self, out: &mut Outbox) {
        let looking = self.election.as_ref().filter(|_| matches!(self.role, Role::Looking));
        let awaited = looking.map(Election::waiting_for).unwrap_or_default();
        if awaited == self.awaited {
            return;
        }
        if !awaited.is_empty() {
            out.note(Note::FirstStartWaits { awaited: awaited.clone() });
        }
        self.awaited = awaited;
    }

    pub(super) fn phase(&self) -> Phase {
        match &self.role {
            Role::Starting | Role::Looking | Role::Truncating { .. } | Role::Stopping { .. } => {
                Phase::Looking
            }
            Role::Leading(leading) => leading.noted_phase(),
            Role::Following(following) => following.noted_phase(),
            Role::Standalone(_) => Phase::Standalone,
            Role::Halted => Phase::Halted,
        }
    }
}

/// A server that held state before may not found an ensemble.
fn plain(start: Start) -> Start {
    match start {
        Start::FirstStart => Start::Own,
        Start::Own | Start::HandOver { .. } => start,
    }
}
