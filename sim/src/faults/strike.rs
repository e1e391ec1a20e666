//! How each kind of fault strikes.

use vivarium_core::server::input::Plane;

use crate::armed_crash::ArmedCrash;
use crate::clock::ClockSim;
use crate::disk::{DiskSim, FailOp};
use crate::faults::atlas::Loss;
use crate::faults::{Ambush, Undo};
use crate::ids::{NodeId, SimTime};
use crate::inbox::What;
use crate::net::{Host, NetSim, PathFault};
use crate::observe::{CrashKind, LossKind, SimEvent};
use crate::schedule::{FaultKind, FaultUnit, RotPlace, Scope};
use crate::world::World;

type Paths = Option<Vec<(Host, Host)>>;

const NOTHING: fn(usize) -> Undo = |_| Undo::Nothing;

impl World {
    /// `None`: it cannot strike now.
    pub(super) fn strike(&mut self, index: usize, unit: &FaultUnit) -> Option<Undo> {
        let scope = &unit.scope;
        // With its unit, or with all faults.
        let until = self.now.plus(unit.length).min(self.heal_at);
        match unit.kind {
            FaultKind::Crash => self.strike_crash(scope, CrashKind::Process),
            FaultKind::PowerLoss => self.strike_crash(scope, CrashKind::PowerLoss),
            FaultKind::CrashAtBoundary { nth, after, power, counts, since } => {
                let kind = if power { CrashKind::PowerLoss } else { CrashKind::Process };
                let (left, down) = (nth, unit.length);
                self.arm_crash(scope, ArmedCrash { left, after, kind, counts, since, down })
            }
            FaultKind::AtPacket { packet, nth, after, deed } => {
                let (servers, length) = (self.scope_servers(scope), unit.length);
                self.lie_in_ambush(Ambush {
                    unit: index,
                    servers,
                    packet,
                    left: nth,
                    after,
                    deed,
                    length,
                })
            }
            FaultKind::Stop => self.strike_stop(scope),
            FaultKind::Pause => self.strike_pause(index, scope),
            FaultKind::SlowCpu { factor } => self.strike_cpu(scope, factor),
            FaultKind::Partition { one_way } => {
                self.strike_paths(self.paths(scope, !one_way), PathFault::Block)
            }
            FaultKind::Isolate { one_way } => {
                self.strike_paths(self.paths_around(scope, one_way), PathFault::Block)
            }
            FaultKind::Ring => self.strike_paths(self.chords(scope), PathFault::Block),
            FaultKind::Flap { cut_ms, .. } => self.strike_flap(index, scope, cut_ms),
            FaultKind::BlockDials { refused } => {
                self.strike_paths(self.paths(scope, false), PathFault::Dials { refused })
            }
            FaultKind::StallLink => self.strike_paths(self.paths(scope, false), PathFault::Stall),
            FaultKind::SlowLink { add_ms, jitter_ms } => {
                let (add, jitter) = (u64::from(add_ms) * 1000, u64::from(jitter_ms) * 1000);
                self.strike_paths(self.paths(scope, false), PathFault::Slow { add, jitter })
            }
            FaultKind::Throttle { bytes_per_ms } => {
                let bytes_per_ms = u64::from(bytes_per_ms.max(1));
                self.strike_paths(self.paths(scope, false), PathFault::Throttle { bytes_per_ms })
            }
            FaultKind::DelayPacket { packet } => {
                self.strike_paths(self.paths(scope, false), PathFault::Delay { packet, until })
            }
            FaultKind::TearPacket { packet, after_bytes } => {
                let after = u64::from(after_bytes);
                self.strike_paths(self.paths(scope, false), PathFault::Tear { packet, after })
            }
            FaultKind::ResetLinks => self.strike_links(scope, NetSim::reset_between),
            FaultKind::FinishLinks => self.strike_links(scope, NetSim::finish_between),
            FaultKind::HalfOpen => self.strike_half_open(scope),
            FaultKind::StrayLinks { count } => self.strike_strays(scope, count),
            FaultKind::ClockStep { ms } => {
                self.strike_clock(scope, |clock, _| clock.step_wall(ms), NOTHING)
            }
            FaultKind::WallFreeze => {
                self.strike_clock(scope, |clock, now| clock.freeze_wall(now, true), Undo::Thaw)
            }
            FaultKind::SlowMono { percent } => {
                let percent = u64::from(percent.clamp(1, 100));
                let slow = |clock: &mut ClockSim, now| clock.set_mono_speed(now, percent);
                self.strike_clock(scope, slow, Undo::FullMono)
            }
            FaultKind::DiskFull
            | FaultKind::FsyncSlow
            | FaultKind::DiskSlow { .. }
            | FaultKind::DiskStall
            | FaultKind::DiskFail { .. }
            | FaultKind::ReadFail
            | FaultKind::BitRot { .. }
            | FaultKind::Misdirect
            | FaultKind::Wipe => self.strike_disk(unit.kind, scope, until),
        }
    }

    fn arm_crash(&mut self, scope: &Scope, crash: ArmedCrash) -> Option<Undo> {
        let server = self.one_up(scope)?;
        self.servers[server].crash_armed = Some(crash);
        Some(Undo::Disarm(server))
    }

    fn strike_stop(&mut self, scope: &Scope) -> Option<Undo> {
        let server = self.one_up(scope)?;
        self.post(self.now, Host(server), What::Stop);
        Some(Undo::Nothing)
    }

    fn strike_cpu(&mut self, scope: &Scope, factor: u32) -> Option<Undo> {
        let server = self.one_up(scope)?;
        self.servers[server].cpu_factor = u64::from(factor.max(1));
        Some(Undo::FullCpu(server))
    }

    fn strike_crash(&mut self, scope: &Scope, kind: CrashKind) -> Option<Undo> {
        let mut servers = self.scope_servers(scope);
        if kind == CrashKind::Process {
            servers.retain(|&server| self.servers[server].is_up());
        }
        for &server in &servers {
            self.crash(server, kind);
        }
        (!servers.is_empty()).then_some(Undo::Boot(servers))
    }

    fn strike_pause(&mut self, index: usize, scope: &Scope) -> Option<Undo> {
        let server = self.one_up(scope)?;
        if self.servers[server].paused_by.is_some() {
            return None;
        }
        Some(self.pause(index, server))
    }

    pub(super) fn pause(&mut self, index: usize, server: usize) -> Undo {
        self.servers[server].paused_by = Some(index);
        self.pause_task(server, true);
        let id = self.servers[server].id();
        self.observe(NodeId::Server(id), &SimEvent::Paused);
        Undo::Resume(server)
    }

    fn strike_paths(&mut self, paths: Paths, fault: PathFault) -> Option<Undo> {
        let paths = paths?;
        self.path_fault(&paths, fault, true);
        Some(Undo::Paths(paths, fault))
    }

    fn strike_flap(&mut self, index: usize, scope: &Scope, cut_ms: u32) -> Option<Undo> {
        let paths = self.paths(scope, true)?;
        self.path_fault(&paths, PathFault::Block, true);
        let (control, turn) = (self.control(), self.now.plus(u64::from(cut_ms.max(1)) * 1000));
        self.post(turn, control, What::FaultTurns(index));
        Some(Undo::Flap { paths, cut: true })
    }

    fn strike_links(
        &mut self,
        scope: &Scope,
        end: fn(&mut NetSim, SimTime, Host, Host) -> usize,
    ) -> Option<Undo> {
        let paths = self.paths(scope, false)?;
        let struck: usize =
            paths.into_iter().map(|(a, b)| end(&mut self.net, self.now, a, b)).sum();
        (struck > 0).then_some(Undo::Nothing)
    }

    fn strike_half_open(&mut self, scope: &Scope) -> Option<Undo> {
        let undo = self.strike_links(scope, |net, _, a, b| net.half_open_between(a, b))?;
        self.observe(NodeId::World, &SimEvent::HalfOpen { on: true });
        Some(undo)
    }

    /// One to the port of elections, one to that of learners, one to that of clients, and so on: a
    /// scanner, a health check, a dialler whose answer got lost.
    fn strike_strays(&mut self, scope: &Scope, count: u32) -> Option<Undo> {
        let server = self.one_up(scope)?;
        let planes = [Plane::Election, Plane::Quorum, Plane::Client].into_iter().cycle();
        let other = (0..self.servers.len()).find(|other| *other != server).map(Host);
        let from = other.unwrap_or_else(|| self.client_host(0));
        let dial = |plane| self.net.stray(self.now, from, Host(server), plane);
        let strays: Vec<_> = planes.take(count as usize).filter_map(dial).collect();
        (!strays.is_empty()).then_some(Undo::Strays(strays))
    }

    fn strike_clock(
        &mut self,
        scope: &Scope,
        harm: impl FnOnce(&mut ClockSim, SimTime),
        undo: fn(usize) -> Undo,
    ) -> Option<Undo> {
        let server = self.scope_servers(scope).first().copied()?;
        harm(&mut self.servers[server].clock, self.now);
        Some(undo(server))
    }

    fn strike_disk(&mut self, kind: FaultKind, scope: &Scope, until: SimTime) -> Option<Undo> {
        let server = self.scope_servers(scope).first().copied()?;
        let slot = &self.servers[server];
        let (id, spare) = (slot.id(), slot.config.append_batch_bytes as u64);
        let loss = if kind == FaultKind::Wipe { Loss::Everything } else { Loss::Part };
        if kind.is_charged() && !self.atlas.bears(id, loss) {
            return None;
        }
        if kind == FaultKind::Wipe {
            self.crash(server, CrashKind::PowerLoss);
        }
        let (struck, undo) = harm(self.disks.of(id), kind, until, spare);
        if !struck {
            return None;
        }
        if kind == FaultKind::Misdirect {
            self.atlas.arm(id);
        } else if kind.is_charged() {
            self.atlas.charge_with(id, self.servers[server].incarnation, loss);
        }
        if let Some(loss) = loss_of(kind) {
            self.observe(NodeId::Server(id), &SimEvent::HistoryLost(loss));
        }
        if matches!(kind, FaultKind::BitRot { while_down: true, .. }) {
            self.crash(server, CrashKind::Process);
            return Some(Undo::Boot(vec![server]));
        }
        Some(undo(server))
    }
}

/// What is lost at once. What a write that goes astray destroys is known when it does.
fn loss_of(kind: FaultKind) -> Option<LossKind> {
    if kind == FaultKind::Wipe {
        return Some(LossKind::Wiped);
    }
    let FaultKind::BitRot { place, .. } = kind else { return None };
    Some(match place {
        RotPlace::Log => LossKind::BitRot,
        RotPlace::Snapshot => LossKind::SnapshotRot,
    })
}

/// Whether it could be done, and what ends it.
fn harm(
    disk: &mut DiskSim,
    kind: FaultKind,
    until: SimTime,
    spare: u64,
) -> (bool, fn(usize) -> Undo) {
    match kind {
        FaultKind::DiskFull => {
            disk.set_full(true);
            (true, Undo::NotFull)
        }
        FaultKind::FsyncSlow => {
            disk.slow_until(until);
            (true, NOTHING)
        }
        FaultKind::DiskSlow { factor } => {
            disk.load_until(until, u64::from(factor.max(1)));
            (true, NOTHING)
        }
        FaultKind::DiskStall => {
            disk.stall_until(until);
            (true, NOTHING)
        }
        FaultKind::DiskFail { sync, snapshot } => {
            disk.fail_next(Some(match (sync, snapshot) {
                (true, false) => FailOp::Sync,
                (false, false) => FailOp::Write,
                (true, true) => FailOp::SnapshotSync,
                (false, true) => FailOp::SnapshotWrite,
            }));
            (true, NOTHING)
        }
        FaultKind::ReadFail => {
            disk.fail_next(Some(FailOp::Read));
            (true, Undo::ReadsAgain)
        }
        FaultKind::BitRot { place: RotPlace::Log, .. } => (disk.rot(spare), NOTHING),
        FaultKind::BitRot { place: RotPlace::Snapshot, .. } => (disk.rot_snapshot(), NOTHING),
        FaultKind::Misdirect => {
            disk.misdirect_next(Some(spare));
            (true, Undo::StraightWrites)
        }
        FaultKind::Wipe => {
            disk.wipe();
            (true, |server| Undo::Boot(vec![server]))
        }
        FaultKind::Crash
        | FaultKind::PowerLoss
        | FaultKind::CrashAtBoundary { .. }
        | FaultKind::AtPacket { .. }
        | FaultKind::Stop
        | FaultKind::Pause
        | FaultKind::SlowCpu { .. }
        | FaultKind::Partition { .. }
        | FaultKind::Isolate { .. }
        | FaultKind::Ring
        | FaultKind::Flap { .. }
        | FaultKind::BlockDials { .. }
        | FaultKind::StallLink
        | FaultKind::ResetLinks
        | FaultKind::FinishLinks
        | FaultKind::HalfOpen
        | FaultKind::SlowLink { .. }
        | FaultKind::Throttle { .. }
        | FaultKind::DelayPacket { .. }
        | FaultKind::TearPacket { .. }
        | FaultKind::StrayLinks { .. }
        | FaultKind::ClockStep { .. }
        | FaultKind::WallFreeze
        | FaultKind::SlowMono { .. } => unreachable!("no fault of a disk"),
    }
}
