//! One server's process: boots, steps, halts, is killed, paused, or loses power.

use std::collections::VecDeque;

use vivarium_core::config::Config;
use vivarium_core::server::action::{DiskAction, Halt};
use vivarium_core::server::input::{LinkEnd, LinkInput};
use vivarium_core::server::note::Note;
use vivarium_core::server::{Action, Input, Outbox, Recovery, RecoveryInput, RecoveryStep, Server};
use vivarium_core::storage::ops::op_of;
use vivarium_core::time::{Mono, Stamp, Wall};

use super::{Event, MS, SECOND, World};
use crate::harness::disk::{Disk, Survivors};
use crate::harness::net::End;

pub struct Node {
    pub config: Config,
    pub disk: Disk,
    pub server: Option<Box<Server>>,
    pub boot: u64,
    pub(super) mono_base: u64,
    pub(super) booted_at: u64,
    pub paused: bool,
    pub(super) stalled: Vec<Input>,
    pub(super) wake_at: u64,
    pub(super) spins: u32,
    pub(super) out: Outbox,
    pub(super) queues: [VecDeque<DiskAction>; 2],
    pub(super) busy: [bool; 2],
    /// Power is cut once the disk has carried out so many operations; then the next entry counts.
    pub cuts: VecDeque<(u64, Survivors)>,
    /// For each cut, whether it came while the server recovered.
    pub cuts_in_recovery: Vec<bool>,
    /// Instead of a restart by itself after a cut.
    pub stay_down: bool,
    pub halted: Option<Halt>,
    /// Set where a test expects the server to give up.
    pub may_fail: bool,
}

impl Node {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            disk: Disk::default(),
            server: None,
            boot: 0,
            mono_base: 0,
            booted_at: 0,
            paused: false,
            stalled: Vec::new(),
            wake_at: u64::MAX,
            spins: 0,
            out: Outbox::new(),
            queues: Default::default(),
            busy: [false; 2],
            cuts: VecDeque::new(),
            cuts_in_recovery: Vec::new(),
            stay_down: false,
            halted: None,
            may_fail: false,
        }
    }
}

impl World {
    pub(super) fn stamp(&self, node: usize) -> Stamp {
        let node = &self.nodes[node];
        let mono = Mono(node.mono_base + self.now - node.booted_at);
        Stamp { mono, wall: Wall(1_600_000_000_000 + (self.now / MS) as i64) }
    }

    pub fn boot(&mut self, node: usize) {
        assert!(self.nodes[node].server.is_none(), "booted twice");
        let base = self.rng.range(1, 5000);
        let this = &mut self.nodes[node];
        this.boot += 1;
        this.mono_base = base;
        this.booted_at = self.now;
        this.paused = false;
        this.halted = None;
        this.wake_at = u64::MAX;
        this.config.seed[1] = this.boot as u8;
        let mut recovery = Recovery::start(this.config.clone(), self.stamp(node));
        let mut input = RecoveryInput::Begin;
        loop {
            match recovery.next(input) {
                RecoveryStep::Disk(action) => {
                    let writes = op_of(&action).is_some();
                    if writes && self.cut_is_due(node) {
                        self.cut_now(node, true);
                        return;
                    }
                    self.log(|| format!("s{} recovers {action:?}", node + 1));
                    input = match self.nodes[node].disk.run(&action) {
                        Some(data) => RecoveryInput::Read(data),
                        None => RecoveryInput::Done,
                    };
                }
                RecoveryStep::Progress(_) => input = RecoveryInput::Done,
                RecoveryStep::Done(server, out) => {
                    self.nodes[node].server = Some(server);
                    self.nodes[node].out = out;
                    break;
                }
                RecoveryStep::Refused(why) => {
                    assert!(self.nodes[node].may_fail, "s{} refuses: {why}", node + 1);
                    self.nodes[node].halted = Some(Halt::Fatal(why));
                    return;
                }
            }
        }
        self.audit.booted(node);
        self.drain(node);
    }

    /// Feeds an input; actions are carried out now or, joined with later ones, a little later.
    pub fn step(&mut self, node: usize, input: Input) {
        if self.nodes[node].paused {
            self.nodes[node].stalled.push(input);
            return;
        }
        let stamp = self.stamp(node);
        if self.trace {
            self.log(|| format!("s{} <- {}", node + 1, short_input(&input)));
        }
        let this = &mut self.nodes[node];
        let Some(server) = &mut this.server else { return };
        let woken = matches!(input, Input::Wake);
        server.step(stamp, input, &mut this.out);
        self.core_steps += 1;
        let past = server.deadline().is_some_and(|(at, _)| at <= stamp.mono);
        this.spins = if woken && past { this.spins + 1 } else { 0 };
        assert!(this.spins < 3, "s{} spins: {:?}", node + 1, server.deadline());
        if self.rng.one_in(2) {
            self.drain(node);
        } else {
            let boot = self.nodes[node].boot;
            self.soon(Event::Drain { node, boot });
        }
    }

    pub(super) fn drain(&mut self, node: usize) {
        let actions: Vec<Action> = self.nodes[node].out.drain().collect();
        for action in actions {
            if self.nodes[node].server.is_none() {
                return;
            }
            self.carry_out(node, action);
        }
        self.arm(node);
    }

    pub(super) fn arm(&mut self, node: usize) {
        let this = &self.nodes[node];
        let Some((at, _)) = this.server.as_ref().and_then(|server| server.deadline()) else {
            return;
        };
        let time = (at.0 + this.booted_at).saturating_sub(this.mono_base).max(self.now + 1);
        if time < this.wake_at {
            let boot = this.boot;
            self.nodes[node].wake_at = time;
            self.at(time, Event::Wake { node, boot });
        }
    }

    pub(super) fn carry_out(&mut self, node: usize, action: Action) {
        match action {
            Action::Link(action) => self.link_action(node, action),
            Action::Disk(action) => self.disk_action(node, action),
            Action::Admin { .. } => {}
            Action::Note(note) => {
                self.log(|| format!("s{} note {}", node + 1, short_note(&note)));
                let at = (self.now, node);
                self.audit.note(at, &note);
            }
            Action::Halt(halt) => {
                self.log(|| format!("s{} halts {halt:?}", node + 1));
                self.halted(node, halt);
            }
        }
    }

    pub(super) fn halted(&mut self, node: usize, halt: Halt) {
        self.die(node, 0);
        match &halt {
            Halt::Restart(_) => {
                let boot = self.nodes[node].boot;
                self.at(self.now + 5 * MS, Event::Boot { node, boot });
            }
            Halt::Stop => {}
            Halt::Fatal(why) => {
                assert!(self.nodes[node].may_fail, "s{} halts: {why}", node + 1);
            }
        }
        self.nodes[node].halted = Some(halt);
    }

    /// The process is gone; the kernel closes its connections within `silence`.
    pub(super) fn die(&mut self, node: usize, silence: u64) {
        let this = &mut self.nodes[node];
        this.server = None;
        this.paused = false;
        this.stalled.clear();
        this.out.drain().for_each(drop);
        this.queues = Default::default();
        this.busy = [false; 2];
        this.spins = 0;
        let boot = this.boot;
        let gone = End::Server { node, boot };
        let ids: Vec<(u64, usize)> = self
            .conns
            .iter()
            .filter_map(|(id, conn)| {
                conn.ends.iter().position(|end| *end == gone).map(|s| (*id, s))
            })
            .collect();
        for (id, side) in ids {
            let conn = self.conns.get_mut(&id).expect("listed above");
            conn.open[side] = false;
            conn.streams[side].out.clear();
            let delay = self.rng.range(silence / 2, silence) + self.draw_latency();
            self.at(self.now + delay, Event::End { conn: id, side: 1 - side, end: LinkEnd::Reset });
        }
    }

    pub fn kill(&mut self, node: usize) {
        if self.nodes[node].server.is_some() {
            self.log(|| format!("s{} is killed", node + 1));
            self.die(node, 0);
        }
    }

    pub fn power_cut(&mut self, node: usize, survivors: Survivors) {
        self.log(|| format!("s{} loses power: {survivors:?} survives", node + 1));
        let silence = self.rng.range(0, SECOND);
        self.die(node, silence);
        let this = &mut self.nodes[node];
        this.disk.power_cut(survivors, &mut self.rng);
    }

    pub fn pause(&mut self, node: usize) {
        if self.nodes[node].server.is_some() {
            self.log(|| format!("s{} is paused", node + 1));
            self.nodes[node].paused = true;
        }
    }

    pub fn resume(&mut self, node: usize) {
        if !self.nodes[node].paused {
            return;
        }
        self.log(|| format!("s{} goes on", node + 1));
        self.nodes[node].paused = false;
        let mut inputs = std::mem::take(&mut self.nodes[node].stalled);
        if self.rng.one_in(2) {
            inputs.insert(0, Input::Wake);
        }
        for input in inputs {
            if self.nodes[node].server.is_some() {
                self.step(node, input);
            }
        }
        if self.nodes[node].server.is_some() {
            self.step(node, Input::Wake);
        }
    }

    pub fn block(&mut self, from: usize, to: usize) {
        self.log(|| format!("s{} does not reach s{}", from + 1, to + 1));
        self.blocked.insert((from, to));
    }

    pub fn heal_network(&mut self) {
        self.log(|| "the network heals".into());
        self.blocked.clear();
    }

    /// Everybody runs again, and reaches everybody.
    pub fn heal(&mut self) {
        self.heal_network();
        for node in 0..self.nodes.len() {
            self.nodes[node].cuts.clear();
            self.resume(node);
            if self.nodes[node].server.is_none() {
                self.boot(node);
            }
        }
    }
}

fn short_input(input: &Input) -> String {
    match input {
        Input::Link(LinkInput::Bytes { link, bytes }) => format!("bytes {link} {}", bytes.len()),
        other => format!("{other:?}").chars().take(140).collect(),
    }
}

fn short_note(note: &Note) -> String {
    format!("{note:?}").chars().take(160).collect()
}
