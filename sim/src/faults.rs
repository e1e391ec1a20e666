//! Control of a run: strikes the units of the schedule, undoes them, heals the world, and ends it.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Phase;

use crate::armed_crash::ArmedCrash;
use crate::client_host::ClientSlot;
use crate::disk::FailOp;
use crate::ids::{NodeId, SimTime};
use crate::inbox::What;
use crate::net::{Host, Presence};
use crate::observe::{CrashKind, LossKind, SimEvent, Violation};
use crate::schedule::{FaultKind, FaultUnit, Scope};
use crate::trace::{Mark, hash_value};
use crate::world::{RunPhase, World};

/// What ends a fault.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    Nothing,
    Boot(Vec<usize>),
    Resume(usize),
    Unblock(Vec<(Host, Host)>),
    Unstall(Vec<(Host, Host)>),
    NotFull(usize),
    ReadsAgain(usize),
    Disarm(usize),
}

/// Which servers lost, or may have lost, what they promised to keep, and have not been filled by
/// their peers since. Never more than the others can bear. A server that was never in step with a
/// leader holds nothing yet and counts as lost too: until a quorum has formed, no disk is destroyed
/// and nobody stays dead.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    voters: Vec<ServerId>,
    /// The incarnation that the loss happened in: only a later one can heal it.
    charged: BTreeMap<ServerId, u32>,
}

impl Atlas {
    pub(crate) fn new(voters: Vec<ServerId>) -> Self {
        let charged = voters.iter().map(|&id| (id, 0)).collect();
        Self { voters, charged }
    }

    /// Whether one more server may lose its disk.
    fn bears(&self, server: ServerId) -> bool {
        let charged = self.charged.keys().filter(|id| self.voters.contains(id));
        let others = charged.filter(|id| **id != server).count();
        !self.voters.contains(&server) || others < (self.voters.len() - 1) / 2
    }

    fn charge(&mut self, server: ServerId, incarnation: u32) {
        self.charged.insert(server, incarnation);
    }

    /// A server is in step with a leader, in an incarnation that began after its loss.
    pub(crate) fn entered(&mut self, server: ServerId, phase: Phase, incarnation: u32) {
        let synced = matches!(
            phase,
            Phase::LeadingBroadcast | Phase::FollowingBroadcast | Phase::ObservingBroadcast
        );
        if synced && self.charged.get(&server).is_some_and(|&lost_in| incarnation > lost_in) {
            self.charged.remove(&server);
        }
    }

    /// How many more voters may stay dead without a quorum of whole disks being lost.
    fn spare(&self) -> usize {
        let charged = self.voters.iter().filter(|id| self.charged.contains_key(id)).count();
        ((self.voters.len() - 1) / 2).saturating_sub(charged)
    }
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
                What::FaultEnds(unit) => self.fault_ends(unit),
                What::Heal => self.heal(),
                What::End => self.end(),
                What::Net(_)
                | What::Disk(_)
                | What::Boot
                | What::Stop
                | What::ClientStart
                | What::ClientCalm => unreachable!("the control of a run gets nothing of the kind"),
            }
        }
        self.ask_observer();
        let due = self.observer.deadline().map(|at| at.max(self.now.plus(1000)));
        self.inboxes[control.0].next().into_iter().chain(due).min()
    }

    fn ask_observer(&mut self) {
        let due = self.observer.deadline().is_some_and(|at| at <= self.now);
        if self.verdict.is_none()
            && due
            && let Err(violation) = self.observer.due(self.now, &self.disks)
        {
            self.violated(NodeId::World, violation);
        }
    }

    fn fault_begins(&mut self, index: usize) {
        if self.phase != RunPhase::Faults {
            return;
        }
        let unit = self.faults[index].clone();
        let name = unit.kind.name();
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.now);
            recorder.fault_begins(index);
        }
        let undo = self.strike(index, &unit);
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
            self.undo.insert(index, undo);
            let control = self.control();
            self.post(self.now.plus(unit.length), control, What::FaultEnds(index));
            self.tell_active();
        }
        self.forward_posts();
    }

    fn tell_active(&mut self) {
        let active = self.undo.len() as u32;
        self.observe(NodeId::World, &SimEvent::Faults { active });
    }

    /// `None`: it cannot strike now.
    fn strike(&mut self, index: usize, unit: &FaultUnit) -> Option<Undo> {
        match unit.kind {
            FaultKind::Crash => self.strike_crash(&unit.scope, CrashKind::Process),
            FaultKind::PowerLoss => self.strike_crash(&unit.scope, CrashKind::PowerLoss),
            FaultKind::CrashAtBoundary { nth, after, power, counts, since } => {
                let server = self.one_up(&unit.scope)?;
                let kind = if power { CrashKind::PowerLoss } else { CrashKind::Process };
                self.servers[server].crash_armed =
                    Some(ArmedCrash { left: nth, after, kind, counts, since, down: unit.length });
                Some(Undo::Disarm(server))
            }
            FaultKind::Stop => {
                let server = self.one_up(&unit.scope)?;
                self.post(self.now, Host(server), What::Stop);
                Some(Undo::Nothing)
            }
            FaultKind::Pause => self.strike_pause(index, &unit.scope),
            FaultKind::Partition { one_way } => {
                let paths = self.paths(&unit.scope, !one_way)?;
                self.block_all(&paths, true);
                Some(Undo::Unblock(paths))
            }
            FaultKind::Isolate { one_way } => {
                let paths = self.paths_around(&unit.scope, one_way)?;
                self.block_all(&paths, true);
                Some(Undo::Unblock(paths))
            }
            FaultKind::StallLink => {
                let paths = self.paths(&unit.scope, false)?;
                for &(from, to) in &paths {
                    self.net.stall(self.now, from, to, true);
                }
                Some(Undo::Unstall(paths))
            }
            FaultKind::ResetLinks => {
                let paths = self.paths(&unit.scope, false)?;
                let reset = |&(a, b): &(Host, Host)| self.net.reset_between(self.now, a, b);
                (paths.iter().map(reset).sum::<usize>() > 0).then_some(Undo::Nothing)
            }
            FaultKind::HalfOpen => {
                let paths = self.paths(&unit.scope, false)?;
                let cut = |&(a, b): &(Host, Host)| self.net.half_open_between(a, b);
                let struck = paths.iter().map(cut).sum::<usize>() > 0;
                if struck {
                    self.observe(NodeId::World, &SimEvent::HalfOpen { on: true });
                }
                struck.then_some(Undo::Nothing)
            }
            FaultKind::DiskFull
            | FaultKind::FsyncSlow
            | FaultKind::ClockStep { .. }
            | FaultKind::DiskFail { .. }
            | FaultKind::ReadFail
            | FaultKind::BitRot
            | FaultKind::Wipe => self.strike_machine(unit),
        }
    }

    /// Faults of one machine's disk and clock.
    fn strike_machine(&mut self, unit: &FaultUnit) -> Option<Undo> {
        let server = self.scope_servers(&unit.scope).first().copied()?;
        let id = self.servers[server].id();
        if unit.kind.is_charged() && !self.atlas.bears(id) {
            return None;
        }
        let incarnation = self.servers[server].incarnation;
        match unit.kind {
            FaultKind::DiskFull => {
                self.disks.of(id).set_full(true);
                Some(Undo::NotFull(server))
            }
            FaultKind::FsyncSlow => {
                let until = self.now.plus(unit.length);
                self.disks.of(id).slow_until(until);
                Some(Undo::Nothing)
            }
            FaultKind::ClockStep { ms } => {
                self.servers[server].clock.step_wall(ms);
                Some(Undo::Nothing)
            }
            FaultKind::DiskFail { sync } => {
                self.atlas.charge(id, incarnation);
                let op = if sync { FailOp::Sync } else { FailOp::Write };
                self.disks.of(id).fail_next(Some(op));
                Some(Undo::Nothing)
            }
            FaultKind::ReadFail => {
                self.disks.of(id).fail_next(Some(FailOp::Read));
                Some(Undo::ReadsAgain(server))
            }
            FaultKind::BitRot => {
                let spare = self.servers[server].config.append_batch_bytes as u64;
                if !self.disks.of(id).rot(spare) {
                    return None;
                }
                self.atlas.charge(id, incarnation);
                self.observe(NodeId::Server(id), &SimEvent::HistoryLost(LossKind::BitRot));
                Some(Undo::Nothing)
            }
            FaultKind::Wipe => {
                self.atlas.charge(id, incarnation);
                self.crash(server, CrashKind::PowerLoss);
                self.disks.of(id).wipe();
                self.observe(NodeId::Server(id), &SimEvent::HistoryLost(LossKind::Wiped));
                Some(Undo::Boot(vec![server]))
            }
            FaultKind::Crash
            | FaultKind::PowerLoss
            | FaultKind::CrashAtBoundary { .. }
            | FaultKind::Stop
            | FaultKind::Pause
            | FaultKind::Partition { .. }
            | FaultKind::Isolate { .. }
            | FaultKind::StallLink
            | FaultKind::ResetLinks
            | FaultKind::HalfOpen => unreachable!("not a fault of one machine"),
        }
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
        self.servers[server].paused_by = Some(index);
        self.pause_task(server, true);
        let id = self.servers[server].id();
        self.observe(NodeId::Server(id), &SimEvent::Paused);
        Some(Undo::Resume(server))
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

    fn undo(&mut self, index: usize, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Boot(servers) => {
                for server in servers {
                    self.post(self.now, Host(server), What::Boot);
                }
            }
            Undo::Resume(server) => self.resume(server, index),
            Undo::Unblock(paths) => self.block_all(&paths, false),
            Undo::Unstall(paths) => {
                for (from, to) in paths {
                    self.net.stall(self.now, from, to, false);
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
            Undo::Disarm(server) => self.servers[server].crash_armed = None,
        }
    }

    fn resume(&mut self, server: usize, by: usize) {
        if self.servers[server].paused_by != Some(by) {
            // It died meanwhile, and what runs now was never paused.
            return;
        }
        self.servers[server].paused_by = None;
        self.pause_task(server, false);
        let id = self.servers[server].id();
        self.observe(NodeId::Server(id), &SimEvent::Resumed);
    }

    /// Ends all faults. Servers that are to stay dead do, as far as the others can spare them.
    fn heal(&mut self) {
        self.phase = RunPhase::Calm { since: self.now };
        let dead = self.choose_dead();
        self.trace.event(self.now, NodeId::World, Mark::Fault, dead.len() as u64, || {
            format!("heal; stay dead: {dead:?}")
        });
        for (index, undo) in std::mem::take(&mut self.undo) {
            self.undo(index, undo);
        }
        for index in 0..self.servers.len() {
            let id = self.servers[index].id();
            self.disks.of(id).heal();
            self.servers[index].crash_armed = None;
            if dead.contains(&id) {
                if self.servers[index].is_up() {
                    self.crash(index, CrashKind::PowerLoss);
                }
                self.servers[index].dead = true;
                self.net.set_presence(self.now, Host(index), Presence::Off);
            } else {
                self.post(self.now, Host(index), What::Boot);
            }
        }
        self.observe(NodeId::World, &SimEvent::Faults { active: 0 });
        self.observe(NodeId::World, &SimEvent::Healed { dead: dead.into_iter().collect() });
        for index in 0..self.clients.len() {
            let host = self.client_host(index);
            self.post(self.now, host, What::ClientCalm);
        }
        let (control, check) = (self.control(), self.now.plus(self.calm_min));
        self.post(check, control, What::End);
        self.forward_posts();
    }

    /// A charged server that is dead would not count twice, but the choice stays simple.
    fn choose_dead(&self) -> BTreeSet<ServerId> {
        let chosen = self.stay_dead.iter().filter(|id| !self.atlas.charged.contains_key(id));
        chosen.copied().take(self.atlas.spare()).collect()
    }

    /// The calm phase is over once the observer has seen all that it is there to show and no server
    /// changed its part for a while: a longer one shows nothing new, and costs what ten other seeds
    /// would. At its bound the observer judges what it still misses.
    fn end(&mut self) {
        let RunPhase::Calm { since } = self.phase else { return };
        let content = self.observer.is_content(self.now, &self.disks);
        let quiet = self.now.since(self.quiet_since.max(since)) >= self.calm_min;
        if !(content && quiet) && self.now.since(since) < self.calm_max {
            let control = self.control();
            self.post(self.now.plus(500_000), control, What::End);
            return;
        }
        for index in 0..self.servers.len() {
            self.collect_counters(index);
        }
        self.stats.messages += self.clients.iter().map(ClientSlot::frames).sum::<u64>();
        match self.observer.finish(self.now, &self.disks) {
            Ok(()) if !quiet => {
                let what = format!("a server last changed its part at {}", self.quiet_since);
                self.violated(NodeId::World, Violation::new("L1", what));
            }
            Ok(()) => self.verdict = Some(Ok(())),
            Err(violation) => self.violated(NodeId::World, violation),
        }
    }

    fn block_all(&mut self, paths: &[(Host, Host)], on: bool) {
        for &(from, to) in paths {
            self.net.block(self.now, from, to, on);
        }
    }

    fn scope_servers(&self, scope: &Scope) -> Vec<usize> {
        match scope {
            Scope::Servers(ids) => {
                let hosts = ids.iter().filter_map(|&id| self.server_host(ServerId(id)));
                hosts.map(|host| host.0).collect()
            }
            // Two may believe that they lead: the first one is as good as any.
            Scope::Leader => {
                let leading = |server: &usize| self.servers[*server].leads();
                (0..self.servers.len()).filter(leading).take(1).collect()
            }
            Scope::Between { .. } => Vec::new(),
        }
    }

    fn one_up(&self, scope: &Scope) -> Option<usize> {
        let up = |server: &usize| self.servers[*server].is_up();
        self.scope_servers(scope).first().copied().filter(up)
    }

    fn paths(&self, scope: &Scope, both_ways: bool) -> Option<Vec<(Host, Host)>> {
        let Scope::Between { from, to } = scope else { return None };
        let mut paths = Vec::new();
        for &from in from {
            for &to in to {
                let (Some(from), Some(to)) = (self.peer_host(from), self.peer_host(to)) else {
                    continue;
                };
                paths.push((from, to));
                if both_ways {
                    paths.push((to, from));
                }
            }
        }
        (!paths.is_empty()).then_some(paths)
    }

    fn paths_around(&self, scope: &Scope, one_way: Option<bool>) -> Option<Vec<(Host, Host)>> {
        let alone = self.scope_servers(scope).first().copied()?;
        let mut paths = Vec::new();
        for other in (0..self.servers.len()).filter(|&other| other != alone) {
            if one_way != Some(true) {
                paths.push((Host(other), Host(alone)));
            }
            if one_way != Some(false) {
                paths.push((Host(alone), Host(other)));
            }
        }
        Some(paths)
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::ids::ServerId;
    use vivarium_core::server::note::Phase;

    use super::Atlas;

    #[test]
    fn the_atlas_lets_a_minority_lose_its_disks_until_it_is_filled_again() {
        let ids: Vec<_> = (1..=3).map(ServerId).collect();
        let mut atlas = Atlas::new(ids.clone());
        assert!(!atlas.bears(ids[0]), "nobody holds anything yet");
        for &id in &ids {
            assert_eq!(atlas.spare(), 0);
            atlas.entered(id, Phase::FollowingBroadcast, 1);
        }
        assert_eq!(atlas.spare(), 1);
        assert!(atlas.bears(ids[0]));
        atlas.charge(ids[0], 4);
        assert!(atlas.bears(ids[0]), "what is lost can be lost again");
        assert!(!atlas.bears(ids[1]), "two of three is a quorum");
        assert!(atlas.bears(ServerId(9)), "observers keep no promise");
        assert_eq!(atlas.spare(), 0);

        atlas.entered(ids[0], Phase::FollowingBroadcast, 4);
        assert!(!atlas.bears(ids[1]), "the incarnation that suffered it has not been filled");
        atlas.entered(ids[0], Phase::FollowingSynchronization, 5);
        assert!(!atlas.bears(ids[1]));
        atlas.entered(ids[0], Phase::FollowingBroadcast, 5);
        assert!(atlas.bears(ids[1]));
        assert_eq!(atlas.spare(), 1);
    }
}
