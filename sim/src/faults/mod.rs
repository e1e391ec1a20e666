//! Control of a run: strikes the units of the schedule, undoes them, heals the world, and ends it.

mod ambush;
mod atlas;
mod calm;
mod scope;
mod strike;

use vivarium_core::ids::ServerId;

pub(crate) use self::ambush::Ambush;
pub(crate) use self::atlas::Atlas;
use crate::disk::FailOp;
use crate::ids::{NodeId, SimTime};
use crate::inbox::What;
use crate::net::{EndId, Host, PathFault};
use crate::observe::SimEvent;
use crate::schedule::{FaultKind, FaultUnit};
use crate::trace::{Mark, hash_value};
use crate::world::{RunPhase, World};

/// How often a fault that waits for its moment looks again.
const PATIENCE_US: u64 = 20_000;

/// What ends a fault.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    Nothing,
    Boot(Vec<usize>),
    Resume(usize),
    FullCpu(usize),
    Paths(Vec<(Host, Host)>, PathFault),
    /// A partition that comes and goes; whether it is there now.
    Flap {
        paths: Vec<(Host, Host)>,
        cut: bool,
    },
    Strays(Vec<EndId>),
    NotFull(usize),
    ReadsAgain(usize),
    StraightWrites(usize),
    Thaw(usize),
    FullMono(usize),
    Disarm(usize),
    /// Waits for a packet: what it does then ends by an undo of its own.
    Ambush,
}

impl World {
    /// Tells the observers once the last black hole is gone.
    pub(crate) fn watch_black_holes(&mut self) {
        if self.net.black_holes_ended() {
            self.observe(NodeId::World, &SimEvent::HalfOpen { on: false });
        }
    }

    /// Returns when the control of the run has to run again.
    pub(crate) fn poll_control(&mut self) -> Option<SimTime> {
        let control = self.control();
        while self.verdict.is_none() {
            let Some(what) = self.inboxes[control.0].pop(self.now) else { break };
            match what {
                What::FaultBegins(unit) => self.fault_begins(unit),
                What::FaultTurns(unit) => self.fault_turns(unit),
                What::FaultEnds(unit) => self.fault_ends(unit),
                What::Heal => self.heal(),
                What::End => self.end(),
                What::Cut => self.verdict = Some(Ok(())),
                What::Reroll(rolls) => self.reroll(rolls),
                What::Net(_)
                | What::Disk(_)
                | What::Boot
                | What::Stop
                | What::ClientStart
                | What::ClientCalm
                | What::ClientLeave => {
                    unreachable!("the control of a run gets nothing of the kind")
                }
            }
        }
        let due = self.ask_observer().map(|at| at.max(self.now.plus(1000)));
        self.inboxes[control.0].next().into_iter().chain(due).min()
    }

    /// Returns when the observer wants to be asked again.
    fn ask_observer(&mut self) -> Option<SimTime> {
        let deadline = self.observer.deadline();
        if self.verdict.is_some() || deadline.is_none_or(|at| at > self.now) {
            return deadline;
        }
        if let Err(violation) = self.observer.due(self.now, &self.disks) {
            self.violated(NodeId::World, violation);
        }
        self.observer.deadline()
    }

    fn fault_begins(&mut self, index: usize) {
        // What begins when the others end is chosen then.
        if self.phase != RunPhase::Faults || self.now >= self.heal_at {
            return;
        }
        let unit = self.faults[index].clone();
        let name = unit.kind.name();
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.now);
            recorder.fault_begins(index);
        }
        let undo = self.strike(index, &unit);
        if undo.is_none() && self.tries_again(index, &unit) {
            return;
        }
        if let Some(recorder) = &mut self.recorder
            && undo.is_none()
        {
            recorder.fault_skipped(index);
        }
        let content = hash_value(&(index, undo.is_some()));
        self.trace.event(self.now, NodeId::World, Mark::Fault, content, || {
            let what = if undo.is_some() { "fault" } else { "skipped" };
            format!("{what} #{index}: {unit}")
        });
        let counts = if undo.is_some() { &mut self.stats.faults } else { &mut self.stats.skipped };
        *counts.entry(name).or_default() += 1;
        if let Some(undo) = undo {
            let hit: Vec<ServerId> =
                self.scope_servers(&unit.scope).iter().map(|&at| self.servers[at].id()).collect();
            self.coverage.struck(&unit, &hit);
            if matches!(undo, Undo::Ambush) {
                self.undo.insert(index, undo);
            } else {
                self.ends_later(index, undo, unit.length);
            }
            self.tell_active();
        }
        self.forward_posts();
    }

    /// Whether a unit that cannot strike yet does so later.
    fn tries_again(&mut self, index: usize, unit: &FaultUnit) -> bool {
        let next = self.now.plus(PATIENCE_US);
        if !unit.kind.waits() || next > unit.at.plus(unit.length) {
            return false;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.fault_waits(index);
        }
        self.post(next, self.control(), What::FaultBegins(index));
        true
    }

    fn ends_later(&mut self, index: usize, undo: Undo, length: u64) {
        self.undo.insert(index, undo);
        let control = self.control();
        self.post(self.now.plus(length), control, What::FaultEnds(index));
    }

    fn tell_active(&mut self) {
        let active = self.undo.len() as u32;
        self.observe(NodeId::World, &SimEvent::Faults { active });
    }

    fn fault_ends(&mut self, index: usize) {
        let Some(undo) = self.undo.remove(&index) else { return };
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.now);
            recorder.fault_ends(index);
        }
        self.trace.event(self.now, NodeId::World, Mark::Fault, index as u64, || {
            format!("end of #{index}")
        });
        self.undo(index, undo);
        self.tell_active();
        self.forward_posts();
    }

    /// A fault that comes and goes does so.
    fn fault_turns(&mut self, index: usize) {
        let FaultKind::Flap { cut_ms, whole_ms } = self.faults[index].kind else { return };
        let Some(Undo::Flap { paths, cut }) = self.undo.remove(&index) else { return };
        self.path_fault(&paths, PathFault::Block, !cut);
        self.trace.event(self.now, NodeId::World, Mark::Fault, u64::from(cut), || {
            format!("#{index} {}", if cut { "lets everything pass" } else { "cuts again" })
        });
        self.undo.insert(index, Undo::Flap { paths, cut: !cut });
        let next_ms = if cut { whole_ms } else { cut_ms };
        let (control, turn) = (self.control(), self.now.plus(u64::from(next_ms.max(1)) * 1000));
        self.post(turn, control, What::FaultTurns(index));
        self.forward_posts();
    }

    fn undo(&mut self, index: usize, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Boot(servers) => {
                for server in servers {
                    self.post(self.now, Host(server), What::Boot);
                }
            }
            Undo::Resume(server) => self.resume(server, index),
            Undo::FullCpu(server) => self.servers[server].cpu_factor = 1,
            Undo::Paths(paths, fault) => self.path_fault(&paths, fault, false),
            Undo::Flap { paths, cut } => {
                if cut {
                    self.path_fault(&paths, PathFault::Block, false);
                }
            }
            Undo::Strays(strays) => {
                for stray in strays {
                    self.net.end_stray(self.now, stray);
                }
            }
            Undo::NotFull(server) => {
                let id = self.servers[server].id();
                self.disks.of(id).set_full(false);
            }
            Undo::ReadsAgain(server) => {
                let id = self.servers[server].id();
                self.disks.of(id).fail_no_more(FailOp::Read);
            }
            Undo::StraightWrites(server) => {
                let id = self.servers[server].id();
                self.disks.of(id).misdirect_next(None);
                self.atlas.charge(id, self.servers[server].incarnation);
            }
            Undo::Thaw(server) => self.servers[server].clock.freeze_wall(self.now, false),
            Undo::FullMono(server) => {
                self.servers[server].clock.set_mono_speed(self.now, 100);
                // Its deadlines are nearer now than when its timer was set.
                self.inboxes[server].arm(self.now, self.now);
            }
            Undo::Disarm(server) => self.servers[server].crash_armed = None,
            Undo::Ambush => self.ambushes.retain(|ambush| ambush.unit != index),
        }
    }

    fn resume(&mut self, server: usize, by: usize) {
        if self.servers[server].paused_by != Some(by) {
            // It died meanwhile, and what runs now was never paused.
            return;
        }
        self.servers[server].paused_by = None;
        self.inboxes[server].interleave(self.now, &mut self.backlog_rng);
        self.pause_task(server, false);
        let id = self.servers[server].id();
        self.observe(NodeId::Server(id), &SimEvent::Resumed);
    }
}
