//! One input at a time: who it concerns, then everything that has become possible.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use crate::ids::{AskId, LinkId, OpId, ReadId};
use crate::server::action::{Action, Close, CloseReason, FatalReason, Halt};
use crate::server::input::{
    DiskFault, DiskInput, Input, LinkInput, Plane, Question, Queue, ReadData,
};
use crate::server::note::Note;
use crate::server::role::{Role, WaitingLearner};
use crate::server::{Outbox, Server, client_cx, election_cx, zab_cx};
use crate::time::{Mono, Stamp};
use crate::timers::Timer;

impl Server {
    /// Feeds one input and appends everything that follows from it to `out`.
    ///
    /// Infallible: whatever a peer, a client or the disk does has a defined answer. Every
    /// `Send` may be carried out at once; what must wait for the disk is held back here.
    pub fn step(&mut self, at: Stamp, input: Input, out: &mut Outbox) {
        if matches!(self.role, Role::Halted) {
            return;
        }
        self.tell_time(at);
        if matches!(self.role, Role::Starting) {
            self.begin(out);
        }
        match input {
            Input::Wake => {}
            Input::Link(input) => self.on_link(input, out),
            Input::Disk(input) => self.on_disk(input, out),
            Input::Admin { ask, question } => self.on_question(ask, question, out),
            Input::Stop => self.begin_stop(out),
            Input::ReloadConfig(new) => out.note(Note::Reloaded(self.config.adopt(&new))),
        }
        // Nothing follows a Halt: it is the last action.
        if !matches!(self.role, Role::Halted) {
            self.on_due(out);
            self.settle(out);
        }
        self.due = self.earliest();
    }

    /// `mono` never goes back; a host that claims so is clamped.
    fn tell_time(&mut self, at: Stamp) {
        self.counters.steps += 1;
        self.at = Stamp { mono: at.mono.max(self.at.mono), wall: at.wall };
        if let Some(tracker) = &mut self.tracker {
            tracker.advance(self.at.mono);
        }
        if let Some(local) = &mut self.local {
            local.advance(self.at.mono);
        }
    }

    /// When the host should send `Wake` at the latest. Pure; a late or extra wake is harmless.
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        self.due
    }

    fn earliest(&self) -> Option<(Mono, Timer)> {
        let config = &self.config;
        let role = match &self.role {
            Role::Starting => Some(Mono::default()),
            Role::Leading(leading) => Some(leading.deadline()),
            Role::Following(following) => following.deadline(
                config.tick.times(config.init_limit_ticks),
                config.tick.times(config.sync_limit_ticks),
            ),
            Role::Stopping { until } => Some(*until),
            Role::Looking | Role::Standalone(_) | Role::Truncating { .. } | Role::Halted => None,
        };
        let init_limit = config.tick.times(config.init_limit_ticks);
        let waiting = self.waiting.values().map(|waiting| waiting.since + init_limit).min();
        let due = [
            role.map(|at| (at, Timer::Phase)),
            self.election.as_ref().and_then(|election| election.deadline()),
            waiting.map(|at| (at, Timer::Phase)),
            self.expiry_deadline().map(|at| (at, Timer::Sessions)),
            self.clients.deadline().map(|at| (at, Timer::Handshakes)),
            self.chores.deadline().map(|at| (at, Timer::Housekeeping)),
            self.sweep_deadline().map(|at| (at, Timer::Containers)),
            self.fitness_deadline().map(|at| (at, Timer::Phase)),
            self.read_only_deadline().map(|at| (at, Timer::Phase)),
        ];
        due.into_iter().fold(None, sooner)
    }

    /// Everything whose time has come; calls before their time do nothing. What this very input made due
    /// waits for the Wake that `deadline` asks for.
    fn on_due(&mut self, out: &mut Outbox) {
        if self.due.is_none_or(|(at, _)| at > self.at.mono) {
            return;
        }
        if let Some(election) = &mut self.election {
            let event = election.on_wake(&mut election_cx!(self, out));
            self.on_election(event, out);
        }
        match &mut self.role {
            Role::Leading(leading) => leading.on_wake(&mut zab_cx!(self, out)),
            Role::Following(following) => following.on_wake(&mut zab_cx!(self, out)),
            Role::Stopping { until } if *until <= self.at.mono => self.halt(Halt::Stop, out),
            Role::Stopping { .. }
            | Role::Starting
            | Role::Looking
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Halted => {}
        }
        if matches!(self.role, Role::Halted) {
            return;
        }
        self.drop_waiting(out);
        self.clients.on_wake(&mut client_cx!(self, out));
        self.expire_sessions(out);
        self.expire_local_sessions(out);
        self.serve_readers(out);
        self.sweep_containers(out);
        self.chores.on_wake(self.at.mono);
    }

    fn drop_waiting(&mut self, out: &mut Outbox) {
        let limit = self.config.tick.times(self.config.init_limit_ticks);
        let now = self.at.mono;
        self.waiting.retain(|link, waiting| {
            let keep = now < waiting.since + limit;
            if !keep {
                out.close(*link, Close::Abort, CloseReason::NotServing);
            }
            keep
        });
    }

    /// Follows up until nothing more is possible: commits, role events, client requests. Commits
    /// come first: a SYNC promises those that came before it, also in one chunk with it.
    fn settle(&mut self, out: &mut Outbox) {
        while !matches!(self.role, Role::Halted) {
            let progress =
                self.apply_next(out) || self.handle_role_event(out) || self.handle_submission(out);
            if !progress {
                break;
            }
        }
        if matches!(self.role, Role::Halted) {
            return;
        }
        self.serve_when_current(out);
        self.run_chores(out);
        self.rotate_epoch(out);
        self.mind_fitness(out);
        self.finish_stop(out);
        self.note_phase(out);
        self.note_awaited(out);
    }

    fn on_link(&mut self, input: LinkInput, out: &mut Outbox) {
        match input {
            LinkInput::Opened { link, dial, plane, far } => {
                self.planes.insert(link, plane);
                match (plane, &mut self.election) {
                    (Plane::Election, Some(election)) => {
                        let event = election.on_opened(link, dial, &mut election_cx!(self, out));
                        self.on_election(event, out);
                    }
                    (Plane::Quorum, Some(_)) => self.on_quorum_link(link, dial, out),
                    (Plane::Client, _) => {
                        self.clients.on_opened(link, far, &mut client_cx!(self, out));
                    }
                    (Plane::Election | Plane::Quorum, None) => {
                        out.close(link, Close::Abort, CloseReason::NotServing);
                    }
                }
            }
            LinkInput::Bytes { link, bytes } => self.on_bytes(link, bytes, out),
            LinkInput::Sent { link, bytes } => match self.planes.get(&link) {
                Some(Plane::Election) => {
                    if let Some(election) = &mut self.election {
                        election.on_sent(link, bytes, &mut election_cx!(self, out));
                    }
                }
                Some(Plane::Quorum) => self.on_quorum_sent(link, bytes, out),
                Some(Plane::Client) => {
                    self.clients.on_sent(link, bytes, &mut client_cx!(self, out));
                }
                None => {}
            },
            LinkInput::Closed { link, end } => match self.planes.remove(&link) {
                Some(Plane::Election) => {
                    if let Some(election) = &mut self.election {
                        let event = election.on_closed(link, end, &mut election_cx!(self, out));
                        self.on_election(event, out);
                    }
                }
                Some(Plane::Quorum) => self.on_quorum_closed(link, out),
                Some(Plane::Client) => self.clients.on_closed(link, &mut client_cx!(self, out)),
                None => {}
            },
            LinkInput::DialFailed { dial, why } => {
                if let Some(election) = &mut self.election
                    && election.owns_dial(dial)
                {
                    let event = election.on_dial_failed(dial, why, &mut election_cx!(self, out));
                    self.on_election(event, out);
                } else if let Role::Following(following) = &mut self.role {
                    following.on_dial_failed(dial, &mut zab_cx!(self, out));
                }
            }
        }
    }

    fn on_bytes(&mut self, link: LinkId, bytes: Bytes, out: &mut Outbox) {
        match self.planes.get(&link) {
            Some(Plane::Election) => {
                if let Some(election) = &mut self.election {
                    let event = election.on_bytes(link, bytes, &mut election_cx!(self, out));
                    self.on_election(event, out);
                    self.lead_those_who_wait(out);
                }
            }
            Some(Plane::Quorum) => self.on_quorum_bytes(link, bytes, out),
            Some(Plane::Client) => {
                self.clients.on_bytes(link, bytes, &mut client_cx!(self, out));
            }
            // A link that was closed: its last bytes mean nothing.
            None => {}
        }
    }

    fn on_quorum_link(&mut self, link: LinkId, dial: Option<crate::ids::DialId>, out: &mut Outbox) {
        match (&mut self.role, dial) {
            (Role::Following(following), Some(dial)) if following.awaits_dial(dial) => {
                following.on_opened(link, &mut zab_cx!(self, out));
            }
            (_, Some(_)) => out.close(link, Close::Abort, CloseReason::RoleEnded),
            (Role::Leading(leading), None) => leading.on_opened(link, &mut zab_cx!(self, out)),
            (Role::Looking | Role::Starting, None) => {
                let since = self.at.mono;
                self.waiting.insert(link, WaitingLearner::new(since));
            }
            (
                Role::Following(_)
                | Role::Standalone(_)
                | Role::Truncating { .. }
                | Role::Stopping { .. }
                | Role::Halted,
                None,
            ) => out.close(link, Close::Abort, CloseReason::NotServing),
        }
    }

    fn on_quorum_bytes(&mut self, link: LinkId, bytes: Bytes, out: &mut Outbox) {
        if let Some(waiting) = self.waiting.get_mut(&link) {
            if !waiting.take(bytes) {
                self.waiting.remove(&link);
                out.close(link, Close::Abort, CloseReason::Protocol("talks before it is led"));
            }
            self.lead_those_who_wait(out);
            return;
        }
        match &mut self.role {
            Role::Leading(leading) => leading.on_bytes(link, bytes, &mut zab_cx!(self, out)),
            Role::Following(following) => following.on_bytes(link, bytes, &mut zab_cx!(self, out)),
            Role::Starting
            | Role::Looking
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    fn on_quorum_sent(&mut self, link: LinkId, bytes: u64, out: &mut Outbox) {
        match &mut self.role {
            Role::Leading(leading) => leading.on_sent(link, bytes, &mut zab_cx!(self, out)),
            // What a learner says is bounded by what its clients may have outstanding.
            Role::Following(_)
            | Role::Starting
            | Role::Looking
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    fn on_quorum_closed(&mut self, link: LinkId, out: &mut Outbox) {
        self.waiting.remove(&link);
        match &mut self.role {
            Role::Leading(leading) => leading.on_closed(link, &mut zab_cx!(self, out)),
            Role::Following(following) => following.on_closed(link, &mut zab_cx!(self, out)),
            Role::Starting
            | Role::Looking
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    fn on_disk(&mut self, input: DiskInput, out: &mut Outbox) {
        match input {
            DiskInput::Done { queue: Queue::Log, upto } => self.on_log_done(upto, out),
            DiskInput::Done { queue: Queue::Snap, upto } => self.on_snap_done(upto, out),
            DiskInput::Failed { queue: Queue::Log, op: _, fault } => {
                // What was promised stays promised; nothing more can be. An fsync that failed is
                // never tried again: nobody knows what it left behind.
                let file = "the transaction log or an epoch file".into();
                self.halt(Halt::Fatal(FatalReason::Disk { file, fault }), out);
            }
            DiskInput::Failed { queue: Queue::Snap, op, fault } => {
                self.on_snap_failed(op, fault, out);
            }
            DiskInput::ReadDone { read, result } => self.on_read(read, result, out),
        }
    }

    fn on_log_done(&mut self, upto: OpId, out: &mut Outbox) {
        self.fitness.log_done(upto);
        self.history.on_durable(upto, out);
        match &mut self.role {
            Role::Leading(leading) => leading.on_durable(&mut zab_cx!(self, out)),
            Role::Following(following) => following.on_durable(&mut zab_cx!(self, out)),
            Role::Standalone(alone) => alone.on_durable(&mut self.history, out),
            Role::Starting
            | Role::Looking
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
        self.on_chore_done(Queue::Log, upto, out);
    }

    fn on_read(&mut self, read: ReadId, result: Result<ReadData, DiskFault>, out: &mut Outbox) {
        if self.on_chore_read(read, &result, out) {
            return;
        }
        if let Role::Leading(leading) = &mut self.role {
            leading.on_read(read, &result, &mut zab_cx!(self, out));
        }
    }

    fn on_question(&mut self, ask: AskId, question: Question, out: &mut Outbox) {
        let answer = match question {
            Question::Word(word) => self.answer_word(&word),
        };
        out.push(Action::Admin { ask, answer });
    }

    /// The last action of this incarnation.
    pub(super) fn halt(&mut self, halt: Halt, out: &mut Outbox) {
        // A server that was told to stop does not come back: its disk is what the next start meets.
        let halt = match halt {
            Halt::Restart(_) if self.chores.is_stopping() => Halt::Stop,
            halt @ (Halt::Stop | Halt::Restart(_) | Halt::Fatal(_)) => halt,
        };
        let restart = match &halt {
            Halt::Restart(why) => Some(*why),
            Halt::Stop | Halt::Fatal(_) => None,
        };
        self.role = Role::Halted;
        self.note_phase(out);
        out.note(Note::Halting { restart });
        out.push(Action::Halt(halt));
        self.waiting = BTreeMap::new();
    }
}

/// Plain comparisons: these run behind every step.
fn sooner(first: Option<(Mono, Timer)>, second: Option<(Mono, Timer)>) -> Option<(Mono, Timer)> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (first, second) => first.or(second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ids::ServerId;
    use crate::server::input::Far;
    use crate::server::write::tests::serving;
    use crate::time::Span;

    /// A host that meets a Halt drops the server: what came behind it would never be done.
    #[test]
    fn a_halt_is_the_last_action_though_a_deadline_has_passed_too() {
        let mut server = serving(Config::with_defaults(ServerId(1), None, [0; 32]));
        let mut out = Outbox::new();
        let far = Far { ip: "10.0.0.1".into(), port: 4000 };
        let opened = LinkInput::Opened { link: LinkId(1), dial: None, plane: Plane::Client, far };
        server.step(Stamp::default(), Input::Link(opened), &mut out);
        assert!(server.deadline().is_some(), "the client has to introduce itself");
        out.drain().for_each(drop);

        let late = Stamp { mono: Mono::default() + Span::from_ms(3_600_000), ..Stamp::default() };
        let failed = DiskInput::Failed { queue: Queue::Log, op: OpId(1), fault: DiskFault::Io };
        server.step(late, Input::Disk(failed), &mut out);
        let last = out.drain().last();
        assert!(matches!(last, Some(Action::Halt(Halt::Fatal(_)))), "{last:?}");
    }
}
