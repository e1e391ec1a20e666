//! One server process: recovery, then the loop of inputs, `step` and actions, as the real host
//! runs it.

mod actions;
mod inputs;
mod talk;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vivarium_core::config::Config;
use vivarium_core::ids::{OpId, ServerId, Zxid};
use vivarium_core::server::action::Halt;
use vivarium_core::server::input::Input;
use vivarium_core::server::note::Phase;
use vivarium_core::server::view::View;
use vivarium_core::server::{Outbox, Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::time::Mono;
use vivarium_core::timers::Timer;

use crate::apache::Guise;
use crate::armed_crash::ArmedCrash;
use crate::clock::ClockSim;
use crate::ids::{NodeId, SimTime};
use crate::inbox::What;
use crate::machine::Machine;
use crate::net::{Host, Presence};
use crate::observe::{Sickness, SimEvent, Violation};
use crate::panics;
use crate::process::talk::Talk;
use crate::rng::SimRng;
use crate::trace::{Brief, Mark, describe, hash_action};
use crate::world::World;

/// Inputs that one turn of the loop gathers at most.
const BATCH: usize = 64;

#[derive(Debug)]
enum Process {
    Down,
    Recovering(Box<Recovery>),
    Running(Box<Server>),
}

#[derive(Debug)]
pub(crate) struct ServerSlot {
    pub(crate) config: Config,
    pub(crate) clock: ClockSim,
    process: Process,
    outbox: Outbox,
    /// What makes a peer of Apache's kind of this one.
    pub(crate) guise: Option<Box<Guise>>,
    /// What it says to those who dialled it as a leader, and hears from them.
    talks: Vec<Talk>,
    pub(crate) incarnation: u32,
    pub(crate) phase: Phase,
    /// What it asked the queue of its log for last.
    log_op: Option<OpId>,
    /// It was told that this is done, and has not carried out yet what it makes of that.
    log_done: bool,
    /// Which unit of the schedule paused it.
    pub(crate) paused_by: Option<usize>,
    pub(crate) crash_armed: Option<ArmedCrash>,
    /// Never boots again.
    pub(crate) dead: bool,
    /// What stays wrong with it in the calm phase.
    pub(crate) sick: Option<Sickness>,
    /// Microseconds of CPU for one input.
    cpu: u64,
    /// A fault makes it so many times as slow.
    pub(crate) cpu_factor: u64,
    busy_until: SimTime,
    /// Wakes in a row that left the deadline in the past.
    spins: u32,
    /// The server's deadline since its last step; `None`: not asked for yet.
    deadline: Cell<Option<Option<(Mono, Timer)>>>,
    /// The process lives on over its restart, its ports open all the while.
    restarts: bool,
    boot_rng: SimRng,
}

/// A server that asks to be woken at once so many times in a row will do so for ever.
const SPIN_LIMIT: u32 = 10_000;

impl ServerSlot {
    /// Newest transaction in its tree that it knows to be committed.
    pub(crate) fn committed(&self) -> Option<Zxid> {
        let Process::Running(server) = &self.process else { return None };
        let view = catch_unwind(AssertUnwindSafe(|| server.view())).ok()?;
        view.committed.min(view.applied)
    }

    pub(crate) fn new(config: Config, machine: &Machine, clock: SimRng, rng: SimRng) -> Self {
        Self {
            config,
            clock: ClockSim::new(machine, clock),
            process: Process::Down,
            outbox: Outbox::new(),
            guise: None,
            talks: Vec::new(),
            incarnation: 0,
            phase: Phase::Halted,
            log_op: None,
            log_done: false,
            paused_by: None,
            crash_armed: None,
            dead: false,
            sick: None,
            cpu: machine.cpu_us,
            cpu_factor: 1,
            busy_until: SimTime::ZERO,
            spins: 0,
            deadline: Cell::new(None),
            restarts: false,
            boot_rng: rng,
        }
    }

    pub(crate) fn reroll(&mut self, clock: SimRng, boot: SimRng, seed: [u8; 32]) {
        self.clock.reroll(clock);
        self.boot_rng = boot;
        self.config.seed = seed;
    }

    /// A deadline is a pure function of the server, so that it is reckoned once after each step.
    fn deadline(&self) -> Option<(Mono, Timer)> {
        let Process::Running(server) = &self.process else { return None };
        let known = self.deadline.get().unwrap_or_else(|| server.deadline());
        self.deadline.set(Some(known));
        known
    }

    pub(crate) fn id(&self) -> ServerId {
        self.config.me
    }

    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.process, Process::Down)
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.process, Process::Running(_))
            && matches!(
                self.phase,
                Phase::LeadingDiscovery | Phase::LeadingSynchronization | Phase::LeadingBroadcast
            )
    }

    fn enters(&mut self, phase: Phase) {
        self.phase = phase;
        if let Some(armed) = &mut self.crash_armed {
            armed.entered(phase);
        }
    }

    pub(crate) fn died(&mut self) {
        self.outbox.drain().for_each(drop);
        if let Some(guise) = &mut self.guise {
            guise.server_ended(false);
        }
        self.process = Process::Down;
        self.talks.clear();
        self.phase = Phase::Halted;
        self.log_done = false;
        self.paused_by = None;
        self.crash_armed = None;
        self.busy_until = SimTime::ZERO;
        self.restarts = false;
    }

    /// A server opens its ports before it recovers, but there is a moment before.
    fn presence_at_boot(&mut self) -> Presence {
        let early = self.boot_rng.chance(500);
        if early || self.restarts { Presence::Backlog } else { Presence::NoProcess }
    }
}

impl World {
    /// Returns when the server's task has to run again.
    pub(crate) fn poll_server(&mut self, index: usize) -> Option<SimTime> {
        if self.now < self.servers[index].busy_until {
            return Some(self.servers[index].busy_until);
        }
        if !self.servers[index].outbox.is_empty() {
            // It stood still between two of its actions.
            self.drain(index);
        }
        let incarnation = self.servers[index].incarnation;
        let wake_first = self.wake_is_due(index)
            && !self.servers[index].clock.bytes_before_wake()
            && self.wake(index);
        let mut taken = u64::from(wake_first);
        while taken < BATCH as u64 && self.is_same(index, incarnation) {
            let Some(what) = self.inboxes[index].pop(self.now) else { break };
            taken += 1;
            self.take(index, what);
            if self.servers[index].incarnation != incarnation {
                // It booted just now; that is another turn.
                break;
            }
        }
        if self.wake_is_due(index) {
            self.wake(index);
            taken += 1;
        }
        self.drain(index);
        while self.look_at_writes(index) {
            self.drain(index);
        }
        self.tell_log_done(index);
        let slot = &mut self.servers[index];
        slot.busy_until = self.now.plus(slot.cpu * slot.cpu_factor * taken);
        self.inboxes[index].rest(slot.busy_until);
        self.next_turn(index)
    }

    fn next_turn(&self, index: usize) -> Option<SimTime> {
        let slot = &self.servers[index];
        if !slot.outbox.is_empty() {
            return Some(self.now.plus(1));
        }
        let deadline = slot.deadline().map(|(at, _)| slot.clock.when(at));
        let next = deadline.into_iter().chain(self.inboxes[index].next()).min()?;
        // Even a server whose deadline stays in the past lets time go on.
        Some(next.max(slot.busy_until).max(self.now.plus(1)))
    }

    fn tell_log_done(&mut self, index: usize) {
        let slot = &mut self.servers[index];
        if slot.outbox.is_empty() && std::mem::take(&mut slot.log_done) {
            let node = NodeId::Server(slot.id());
            self.observe(node, &SimEvent::LogDone);
        }
    }

    fn is_same(&self, index: usize, incarnation: u32) -> bool {
        self.verdict.is_none() && self.servers[index].incarnation == incarnation
    }

    fn take(&mut self, index: usize, what: What) {
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.now);
        }
        match what {
            What::Boot => self.boot(index),
            What::Stop => self.step(index, Mark::Stop, 0, Input::Stop),
            What::Net(event) => self.take_net(index, event),
            What::Disk(event) => self.take_disk(index, event),
            What::ClientStart
            | What::ClientCalm
            | What::ClientLeave
            | What::FaultBegins(_)
            | What::FaultTurns(_)
            | What::FaultEnds(_)
            | What::Heal
            | What::End
            | What::Cut
            | What::Reroll(_) => unreachable!("servers get nothing of the kind"),
        }
    }

    fn boot(&mut self, index: usize) {
        if self.servers[index].is_up() || self.servers[index].dead {
            return;
        }
        self.age_folder(index);
        if let Some(recovery) = self.begin_boot(index) {
            self.servers[index].process = Process::Recovering(Box::new(recovery));
            let presence = self.servers[index].presence_at_boot();
            self.net.set_presence(self.now, Host(index), presence);
            self.recover(index, RecoveryInput::Begin);
        }
    }

    /// A new incarnation; `None` where the run is over.
    pub(crate) fn begin_boot(&mut self, index: usize) -> Option<Recovery> {
        let slot = &mut self.servers[index];
        slot.incarnation += 1;
        slot.clock.boot(self.now);
        slot.paused_by = None;
        let (id, incarnation) = (slot.id(), slot.incarnation);
        let stamp = slot.clock.stamp(self.now);
        let mut config = slot.config.clone();
        config.seed = SimRng::new(
            u64::from_le_bytes(config.seed[..8].try_into().expect("eight bytes")),
            crate::rng::Stream::Node,
            u64::from(incarnation),
        )
        .bytes32();
        let recovery = Recovery::start(config, stamp);
        self.stats.boots += 1;
        self.stirred(index);
        self.trace.event(self.now, NodeId::Server(id), Mark::Boot, incarnation.into(), || {
            format!("boot {incarnation}")
        });
        self.observe(NodeId::Server(id), &SimEvent::Boot { incarnation });
        self.verdict.is_none().then_some(recovery)
    }

    /// Turns the recovery machine until it wants the disk, or is done.
    fn recover(&mut self, index: usize, got: RecoveryInput) {
        let mut got = got;
        loop {
            let Process::Recovering(recovery) = &mut self.servers[index].process else { return };
            let step = catch_unwind(AssertUnwindSafe(|| recovery.next(got)));
            match step {
                Err(_) => {
                    self.panicked(index);
                    return;
                }
                Ok(RecoveryStep::Progress(_)) => got = RecoveryInput::Done,
                Ok(RecoveryStep::Disk(action)) => {
                    let id = self.servers[index].id();
                    let content = hash_action(&action);
                    let line = || describe(&action);
                    self.trace.event(self.now, NodeId::Server(id), Mark::Disk, content, line);
                    if let Some(recorder) = &mut self.recorder {
                        recorder.disk(NodeId::Server(id), &action, true);
                    }
                    let (at, event) = self.disks.of(id).submit_single(self.now, action);
                    self.post(at, Host(index), What::Disk(event));
                    return;
                }
                Ok(RecoveryStep::Done(server, outbox)) => {
                    self.up(index, server, outbox);
                    return;
                }
                Ok(RecoveryStep::Refused(reason)) => {
                    self.exit(index, Halt::Fatal(reason));
                    return;
                }
            }
        }
    }

    pub(crate) fn up(&mut self, index: usize, server: Box<Server>, outbox: Outbox) {
        let slot = &mut self.servers[index];
        slot.process = Process::Running(server);
        slot.deadline.set(None);
        slot.outbox = outbox;
        slot.phase = Phase::Looking;
        let (id, incarnation) = (slot.id(), slot.incarnation);
        self.net.set_presence(self.now, Host(index), Presence::Listening);
        self.drain(index);
        self.observe(NodeId::Server(id), &SimEvent::Up { incarnation });
    }

    fn wake_is_due(&self, index: usize) -> bool {
        self.verdict.is_none() && self.due_timer(index).is_some()
    }

    fn due_timer(&self, index: usize) -> Option<Timer> {
        let slot = &self.servers[index];
        let (at, timer) = slot.deadline()?;
        (at <= slot.clock.stamp(self.now).mono).then_some(timer)
    }

    fn wake(&mut self, index: usize) -> bool {
        self.step(index, Mark::Wake, 0, Input::Wake);
        let Some(timer) = self.due_timer(index) else {
            self.servers[index].spins = 0;
            return true;
        };
        self.servers[index].spins += 1;
        if self.servers[index].spins > SPIN_LIMIT {
            let node = NodeId::Server(self.servers[index].id());
            let what = format!("the deadline {timer:?} stays in the past however often it wakes");
            self.violated(node, Violation::new("spin", what));
        }
        true
    }

    pub(crate) fn step(&mut self, index: usize, mark: Mark, content: u64, input: Input) {
        let slot = &mut self.servers[index];
        let Process::Running(server) = &mut slot.process else { return };
        if self.verdict.is_some() {
            return;
        }
        let stamp = slot.clock.stamp(self.now);
        let node = NodeId::Server(slot.config.me);
        self.trace.event(self.now, node, mark, content, || format!("<- {}", Brief(&input)));
        let outbox = &mut slot.outbox;
        if let Some(recorder) = &mut self.recorder {
            let due = server.deadline().filter(|(at, _)| *at <= stamp.mono);
            recorder.step(node, &input, due.map(|(_, timer)| timer), outbox.len());
        }
        slot.deadline.set(None);
        let step = catch_unwind(AssertUnwindSafe(|| server.step(stamp, input, outbox)));
        if step.is_err() {
            self.panicked(index);
        }
    }

    fn panicked(&mut self, index: usize) {
        let node = NodeId::Server(self.servers[index].id());
        self.servers[index].died();
        self.violated(node, Violation::new("panic", panics::take()));
    }

    pub(crate) fn collect_counters(&mut self, index: usize) {
        self.stats.messages += self.decoded(index);
    }

    /// Packets and frames that a running server has decoded.
    fn decoded(&self, index: usize) -> u64 {
        self.view(index).map_or(0, |view| view.counters.packets_in + view.received)
    }

    /// What a running server shows of itself.
    pub(crate) fn view(&self, index: usize) -> Option<View> {
        let Process::Running(server) = &self.servers[index].process else { return None };
        catch_unwind(AssertUnwindSafe(|| server.view())).ok()
    }

    /// Packets and frames that servers have decoded so far.
    pub(crate) fn messages(&self) -> u64 {
        let running: u64 = (0..self.servers.len()).map(|index| self.decoded(index)).sum();
        self.stats.messages + running
    }
}
