//! One server process: recovery, then the loop of inputs, `step` and actions, as the real host
//! runs it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vivarium_core::config::Config;
use vivarium_core::ids::{DialId, LinkId, ServerId};
use vivarium_core::server::action::{
    Action, Close, CloseReason, DiskAction, FatalReason, Halt, LinkAction, RestartReason,
};
use vivarium_core::server::input::{DialError, DiskInput, Input, LinkInput, Plane};
use vivarium_core::server::note::{Note, Phase};
use vivarium_core::server::view::View;
use vivarium_core::server::{Outbox, Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::time::Mono;
use vivarium_core::timers::Timer;

use crate::apache::Guise;
use crate::armed_crash::ArmedCrash;
use crate::clock::ClockSim;
use crate::cluster::resolve;
use crate::disk::{Boundary, DiskDone, DiskEvent};
use crate::ids::{NodeId, SimTime};
use crate::inbox::What;
use crate::machine::Machine;
use crate::net::{Delivery, EndId, Host, Presence};
use crate::observe::{CrashKind, LossKind, Sickness, SimEvent, Violation};
use crate::panics;
use crate::rng::SimRng;
use crate::trace::{Brief, Mark, describe, hash_action, hash_bytes, hash_value, mix};
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
    pub(crate) incarnation: u32,
    pub(crate) phase: Phase,
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
    pub(crate) fn new(config: Config, machine: &Machine, clock: SimRng, rng: SimRng) -> Self {
        Self {
            config,
            clock: ClockSim::new(machine, clock),
            process: Process::Down,
            outbox: Outbox::new(),
            guise: None,
            incarnation: 0,
            phase: Phase::Halted,
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
        self.phase = Phase::Halted;
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
        let slot = &mut self.servers[index];
        slot.busy_until = self.now.plus(slot.cpu * slot.cpu_factor * taken);
        self.inboxes[index].rest(slot.busy_until);
        self.next_turn(index)
    }

    fn next_turn(&self, index: usize) -> Option<SimTime> {
        let slot = &self.servers[index];
        let deadline = slot.deadline().map(|(at, _)| slot.clock.when(at));
        let next = deadline.into_iter().chain(self.inboxes[index].next()).min()?;
        // Even a server whose deadline stays in the past lets time go on.
        Some(next.max(slot.busy_until).max(self.now.plus(1)))
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

    /// What the network hands to a process, before any guise changes it.
    pub(crate) fn record_delivery(&mut self, host: Host, delivery: &Delivery) {
        if self.recorder.is_none() {
            return;
        }
        let node = self.node(host);
        let far = match delivery {
            Delivery::Opened { far, .. } => self.node(*far),
            Delivery::DialFailed { .. }
            | Delivery::Bytes { .. }
            | Delivery::Sent { .. }
            | Delivery::Closed { .. } => node,
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.now);
            recorder.delivered(node, far, delivery);
        }
    }

    fn take_net(&mut self, index: usize, event: crate::net::NetEvent) {
        let mut deliveries = std::mem::take(&mut self.scratch.deliveries);
        self.net.due(self.now, event, &mut deliveries);
        self.deliver(index, &mut deliveries);
        self.scratch.deliveries = deliveries;
        self.forward_posts();
    }

    /// Tells the server what its kernel took. Whether it took anything.
    fn look_at_writes(&mut self, index: usize) -> bool {
        let mut deliveries = std::mem::take(&mut self.scratch.deliveries);
        self.net.looked(Host(index), &mut deliveries);
        let any = !deliveries.is_empty();
        self.deliver(index, &mut deliveries);
        self.scratch.deliveries = deliveries;
        any
    }

    fn deliver(&mut self, index: usize, deliveries: &mut Vec<Delivery>) {
        for delivery in deliveries.drain(..) {
            self.record_delivery(Host(index), &delivery);
            let Some(delivery) = self.disguise_delivery(index, delivery) else { continue };
            let (mark, content, input) = self.link_input(delivery);
            self.step(index, mark, content, Input::Link(input));
        }
    }

    fn link_input(&mut self, delivery: Delivery) -> (Mark, u64, LinkInput) {
        let link = |end: EndId| LinkId(end.0);
        match delivery {
            Delivery::Opened { end, dial, plane, far } => {
                let far = self.far(far, end, plane);
                let dial = dial.map(DialId);
                (Mark::Opened, end.0, LinkInput::Opened { link: link(end), dial, plane, far })
            }
            Delivery::DialFailed { dial, why } => {
                (Mark::DialFailed, dial, LinkInput::DialFailed { dial: DialId(dial), why })
            }
            Delivery::Bytes { end, bytes } => {
                self.stats.chunks += 1;
                let content = hash_bytes(&bytes) ^ end.0;
                (Mark::Bytes, content, LinkInput::Bytes { link: link(end), bytes })
            }
            Delivery::Sent { end, bytes } => {
                (Mark::Sent, end.0 ^ bytes << 32, LinkInput::Sent { link: link(end), bytes })
            }
            Delivery::Closed { end, how } => {
                (Mark::Closed, end.0, LinkInput::Closed { link: link(end), end: how })
            }
        }
    }

    fn take_disk(&mut self, index: usize, event: DiskEvent) {
        // What the process asked for before it could know of this completion comes first.
        self.drain(index);
        let id = self.servers[index].id();
        let boundary = self.disks.of(id).boundary(&event);
        if self.crash_strikes(index, boundary, false) {
            return;
        }
        let mut changes = Vec::new();
        let done = self.disks.of(id).due(event, &mut changes);
        self.stats.disk_ops += 1;
        if let (Some(recorder), Some(done)) = (&mut self.recorder, &done) {
            recorder.disk_done(NodeId::Server(id), done);
        }
        let steps = self.disks.of(id).progress().take_steps();
        self.coverage.disk_step(id, steps);
        self.tell_strayed(id);
        for change in changes {
            self.observe(NodeId::Server(id), &SimEvent::Durable(change));
        }
        if self.crash_strikes(index, boundary, true) {
            return;
        }
        if let Some((struck, fault)) = done.as_ref().and_then(DiskDone::failure) {
            self.coverage.disk_failed(id, struck, fault);
        }
        self.look_at_disk(index);
        let (content, input) = match done {
            None => return,
            Some(DiskDone::Single { result, .. }) => {
                let got = match result {
                    Ok(None) => RecoveryInput::Done,
                    Ok(Some(data)) => RecoveryInput::Read(data),
                    Err(fault) => RecoveryInput::Failed(fault),
                };
                let line = || String::from("recovery step");
                self.trace.event(self.now, NodeId::Server(id), Mark::Disk, 0, line);
                self.recover(index, got);
                return;
            }
            Some(DiskDone::Op { queue, op, .. }) => (op.0, DiskInput::Done { queue, upto: op }),
            Some(DiskDone::Failed { queue, op, fault }) => {
                self.observe(NodeId::Server(id), &SimEvent::DiskFailed { queue });
                (op.0 << 1, DiskInput::Failed { queue, op, fault })
            }
            Some(DiskDone::Read { read, result }) => {
                (read.0 << 2, DiskInput::ReadDone { read, result })
            }
        };
        self.step(index, Mark::Disk, content, Input::Disk(input));
    }

    /// Tells the observers of a write that the disk has put elsewhere.
    pub(crate) fn tell_strayed(&mut self, id: ServerId) {
        if self.disks.of(id).take_strayed() {
            let host = self.server_host(id).expect("it has a disk");
            self.atlas.charge(id, self.servers[host.0].incarnation);
            self.observe(NodeId::Server(id), &SimEvent::HistoryLost(LossKind::Misdirected));
        }
    }

    /// Whether an armed crash strikes at this side of a disk operation.
    fn crash_strikes(&mut self, index: usize, boundary: Boundary, done: bool) -> bool {
        let Some(armed) = &mut self.servers[index].crash_armed else { return false };
        if !armed.strikes(boundary, done) {
            return false;
        }
        let armed = *armed;
        self.crash(index, armed.kind);
        self.post(self.now.plus(armed.down), Host(index), What::Boot);
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

    /// Carries out what the server asked for, in its order.
    fn drain(&mut self, index: usize) {
        while !self.servers[index].outbox.is_empty() || self.tell_disguised(index) {
            let mut actions = std::mem::take(&mut self.scratch.actions);
            actions.extend(self.servers[index].outbox.drain());
            let node = NodeId::Server(self.servers[index].id());
            if let Some(recorder) = &mut self.recorder {
                recorder.drain(node);
            }
            for (place, action) in actions.drain(..).enumerate() {
                if self.verdict.is_some() {
                    return;
                }
                if let Some(recorder) = &mut self.recorder {
                    recorder.action(node, place, &action);
                }
                match action {
                    Action::Link(action) => self.link_action(index, action),
                    Action::Disk(action) => self.disk_action(index, action),
                    Action::Admin { .. } => {}
                    Action::Note(note) => self.note(index, note),
                    Action::Halt(halt) => {
                        self.exit(index, halt);
                        return;
                    }
                }
            }
            self.scratch.actions = actions;
        }
        self.forward_posts();
    }

    fn observe_objection(&mut self, node: NodeId, end: EndId, why: &'static str) {
        if let Some((host, Plane::Quorum | Plane::Election)) = self.net.far(end)
            && let NodeId::Server(to) = self.node(host)
        {
            self.observe(node, &SimEvent::Objection { to, why });
        }
    }

    fn link_action(&mut self, index: usize, action: LinkAction) {
        let node = NodeId::Server(self.servers[index].id());
        match action {
            LinkAction::Dial { dial, plane, host, port } => {
                let timeout = self.servers[index].config.cnx_timeout.0;
                let found = resolve(&host, port).map(|(id, _)| id);
                if let (Some(recorder), Some(to)) = (&mut self.recorder, found) {
                    recorder.dial(node, dial.0, NodeId::Server(to), plane);
                }
                if found.is_some_and(|id| self.disguise_dial(index, dial, id, plane)) {
                    return;
                }
                match found.and_then(|id| self.server_host(id)) {
                    Some(to) => self.net.dial(self.now, Host(index), dial.0, to, plane, timeout),
                    None => {
                        let input = LinkInput::DialFailed { dial, why: DialError::Unresolved };
                        self.step(index, Mark::DialFailed, dial.0, Input::Link(input));
                    }
                }
            }
            LinkAction::Send { link, bytes } => {
                let bytes = self.disguise_send(index, link, bytes);
                if let Some(recorder) = &mut self.recorder {
                    recorder.send(node, EndId(link.0), &bytes);
                }
                self.net.send(self.now, EndId(link.0), bytes);
            }
            LinkAction::Hold { link } => self.net.hold(EndId(link.0)),
            LinkAction::Resume { link } => self.net.resume(self.now, EndId(link.0)),
            LinkAction::Close { link, how, why } => {
                let content = mix(link.0, hash_value(&format!("{how:?} {why:?}")));
                self.trace.event(self.now, node, Mark::Closed, content, || {
                    format!("-> close {link} {how:?}: {why:?}")
                });
                if let CloseReason::Protocol(why) = why {
                    self.observe_objection(node, EndId(link.0), why);
                }
                if !self.disguise_close(index, link) {
                    return;
                }
                if let Some(recorder) = &mut self.recorder {
                    recorder.closes(node, EndId(link.0), format!("{why:?}"));
                }
                match how {
                    Close::Flush => self.net.close(self.now, EndId(link.0)),
                    Close::Abort => self.net.abort(self.now, EndId(link.0)),
                }
            }
        }
    }

    fn disk_action(&mut self, index: usize, action: DiskAction) {
        let id = self.servers[index].id();
        let content = hash_action(&action);
        self.trace.event(self.now, NodeId::Server(id), Mark::Disk, content, || describe(&action));
        if let Some(recorder) = &mut self.recorder {
            recorder.disk(NodeId::Server(id), &action, false);
        }
        let (at, event) = self.disks.of(id).submit(self.now, action);
        self.post(at, Host(index), What::Disk(event));
    }

    fn note(&mut self, index: usize, note: Note) {
        let id = self.servers[index].id();
        let content = hash_value(&note);
        self.trace.event(self.now, NodeId::Server(id), Mark::Note, content, || format!("{note:?}"));
        if let Note::PhaseEntered { phase, .. } = &note {
            self.servers[index].enters(*phase);
            self.stirred(index);
            self.stats.elections += u64::from(*phase == Phase::LeadingBroadcast);
            self.atlas.entered(id, *phase, self.servers[index].incarnation);
        }
        self.stats.commits += u64::from(matches!(note, Note::Committed { .. }));
        self.disguise_note(index, &note);
        self.observe(NodeId::Server(id), &SimEvent::Note(note));
    }

    /// The process ended itself; its supervisor starts it again.
    pub(crate) fn exit(&mut self, index: usize, halt: Halt) {
        let id = self.servers[index].id();
        let node = NodeId::Server(id);
        let content = hash_value(&format!("{halt:?}"));
        self.trace.event(self.now, node, Mark::Exit, content, || format!("exit: {halt:?}"));
        if self.rebuild_in_place(index, &halt) {
            return;
        }
        let (low, high, kind) = match &halt {
            Halt::Restart(
                RestartReason::Truncated
                | RestartReason::SnapIncomplete
                | RestartReason::LogUnreadable,
            ) => (1_000, 50_000, CrashKind::Process),
            Halt::Stop => (20_000, 2_000_000, CrashKind::Process),
            // A supervisor starts the next process at once, on a page cache that may disagree with
            // the disk; or an operator boots the machine first.
            Halt::Fatal(FatalReason::Disk { .. }) => {
                let reboots = self.fault_rng.chance(500);
                let kind = if reboots { CrashKind::PowerLoss } else { CrashKind::Process };
                (200_000, 2_000_000, kind)
            }
            Halt::Fatal(FatalReason::Corrupt { .. } | FatalReason::Config(_)) => {
                (200_000, 2_000_000, CrashKind::Process)
            }
        };
        self.collect_counters(index);
        self.servers[index].died();
        self.inboxes[index].clear();
        self.net.host_died(self.now, Host(index), CrashKind::Process);
        if matches!(halt, Halt::Restart(_)) {
            self.servers[index].restarts = true;
            self.net.set_presence(self.now, Host(index), Presence::Backlog);
        }
        let changes = self.disks.of(id).crash(kind);
        self.tell_strayed(id);
        for change in changes {
            self.observe(node, &SimEvent::Durable(change));
        }
        self.observe(node, &SimEvent::Exit(halt));
        let pause = self.fault_rng.range(low, high);
        self.post(self.now.plus(pause), Host(index), What::Boot);
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
