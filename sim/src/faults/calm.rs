//! The calm phase: heals the world but for a minority, waits until all that is wanted was seen, lets the
//! clients leave, and ends the run.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::ids::ServerId;

use crate::client_host::ClientSlot;
use crate::ids::{NodeId, SimTime};
use crate::inbox::What;
use crate::net::{Host, PathFault, Presence};
use crate::observe::{CrashKind, Sickness, SimEvent, Violation};
use crate::schedule::Scope;
use crate::trace::{Mark, hash_value};
use crate::world::{RunPhase, World};

/// How long sessions that nobody closes may take to end, beyond their timeout, in microseconds: a
/// leader may change meanwhile.
const EXPIRY_US: u64 = 30_000_000;

/// How long a run goes on in which a quorum of disks is lost, in microseconds: longer than the bound on
/// an election.
const REFUSING_US: u64 = 30_000_000;

impl World {
    /// Ends all faults but those that begin here: they make a server sick for good.
    pub(super) fn heal(&mut self) {
        let (dead, sick) = self.choose_spared();
        let lost = self.atlas.lost_quorum();
        let content = hash_value(&(dead.len(), sick.len()));
        self.trace.event(self.now, NodeId::World, Mark::Fault, content, || {
            format!("heal; stay dead: {dead:?}; stay sick: {sick:?}")
        });
        for (index, undo) in std::mem::take(&mut self.undo) {
            self.undo(index, undo);
        }
        self.ambushes.clear();
        for index in 0..self.servers.len() {
            let id = self.servers[index].id();
            self.disks.of(id).heal();
            self.servers[index].crash_armed = None;
            if dead.contains(&id) {
                self.bury(index);
            } else {
                self.post(self.now, Host(index), What::Boot);
            }
            if let Some(&sickness) = sick.get(&id) {
                self.sicken(index, sickness);
            }
        }
        self.observe(NodeId::World, &SimEvent::Faults { active: 0 });
        self.phase = match lost {
            None => RunPhase::Calm { since: self.now },
            Some(lost) => {
                self.observe(NodeId::World, &SimEvent::QuorumLost { lost });
                RunPhase::Refusing { since: self.now }
            }
        };
        let (dead, sick) = (dead.into_iter().collect(), sick.into_iter().collect());
        self.observe(NodeId::World, &SimEvent::Healed { dead, sick });
        self.tell_clients(|| What::ClientCalm);
        let (control, check) = (self.control(), self.now.plus(self.calm_min));
        self.post(check, control, What::End);
        self.forward_posts();
    }

    /// Those that stay dead, then those that units of the calm phase make sick: as many as the others
    /// can spare. A charged server would not count twice, but the choice stays simple.
    fn choose_spared(&self) -> (BTreeSet<ServerId>, BTreeMap<ServerId, Sickness>) {
        let mut spare = self.atlas.spare();
        let mut spared = BTreeSet::new();
        let mut take = |id: ServerId| {
            let takes = spare > 0 && !self.atlas.is_charged(id) && spared.insert(id);
            spare -= usize::from(takes);
            takes
        };
        let dead = self.stay_dead.iter().copied().filter(|id| take(*id)).collect();
        let units = self.faults.iter().filter(|unit| unit.at >= self.heal_at);
        let sick = units.filter_map(|unit| {
            let server = self.scope_servers(&unit.scope).first().copied()?;
            let id = self.servers[server].id();
            let sickness = Sickness::of(unit.kind)?;
            take(id).then_some((id, sickness))
        });
        (dead, sick.collect())
    }

    fn bury(&mut self, index: usize) {
        if self.servers[index].is_up() {
            self.crash(index, CrashKind::PowerLoss);
        }
        self.servers[index].dead = true;
        self.net.set_presence(self.now, Host(index), Presence::Off);
    }

    fn sicken(&mut self, index: usize, sickness: Sickness) {
        let id = self.servers[index].id();
        self.servers[index].sick = Some(sickness);
        *self.stats.faults.entry(sickness.name()).or_default() += 1;
        match sickness {
            Sickness::Stalled => {
                self.pause_task(index, true);
                self.observe(NodeId::Server(id), &SimEvent::Paused);
            }
            Sickness::DiskFull => self.disks.of(id).set_full(true),
            Sickness::DiskStalled => self.disks.of(id).stall_until(SimTime::NEVER),
            Sickness::Mute | Sickness::Deaf => {
                let outwards = sickness == Sickness::Mute;
                let alone = Scope::Servers(vec![id.0]);
                let paths = self.paths_around(&alone, Some(outwards)).unwrap_or_default();
                self.path_fault(&paths, PathFault::Block, true);
            }
        }
    }

    fn tell_clients(&mut self, what: fn() -> What) {
        for index in 0..self.clients.len() {
            let host = self.client_host(index);
            self.post(self.now, host, what());
        }
    }

    /// The calm phase is over once the observer has seen all that it is there to show and no server
    /// changed its part for a while: a longer one shows nothing new, and costs what ten other seeds
    /// would. At its bound the observer judges what it still misses.
    pub(super) fn end(&mut self) {
        match self.phase {
            RunPhase::Faults => {}
            RunPhase::Calm { since } => self.end_calm(since),
            RunPhase::Refusing { since } => self.end_refusing(since),
            RunPhase::Leaving { since } => self.end_leaving(since),
        }
    }

    fn end_calm(&mut self, since: SimTime) {
        let content = self.observer.is_content(self.now, &self.disks);
        let quiet = self.now.since(self.quiet_since.max(since)) >= self.calm_min;
        if content && quiet {
            self.phase = RunPhase::Leaving { since: self.now };
            let messages = self.messages();
            self.observe(NodeId::World, &SimEvent::Traffic { messages });
            self.tell_clients(|| What::ClientLeave);
            self.look_again();
        } else if self.now.since(since) < self.calm_max {
            self.look_again();
        } else {
            self.finish();
            if matches!(self.verdict, Some(Ok(()))) {
                let what = format!("a server last changed its part at {}", self.quiet_since);
                self.verdict = None;
                self.violated(NodeId::World, Violation::new("L1", what));
            }
        }
    }

    fn look_again(&mut self) {
        let control = self.control();
        self.post(self.now.plus(500_000), control, What::End);
    }

    /// Nobody is asked to serve any more. Servers and clients get the time in which one might that
    /// should not.
    fn end_refusing(&mut self, since: SimTime) {
        if self.now.since(since) < REFUSING_US {
            self.look_again();
        } else {
            self.finish();
        }
    }

    /// Whether a quorum of disks is lost, and nobody serves.
    pub(crate) fn has_refused(&self) -> bool {
        let serves = |index| self.view(index).is_some_and(|view| view.serving);
        matches!(self.phase, RunPhase::Refusing { .. }) && !(0..self.servers.len()).any(serves)
    }

    fn end_leaving(&mut self, since: SimTime) {
        let views: Vec<_> = (0..self.servers.len())
            .filter(|&index| self.servers[index].sick.is_none())
            .filter_map(|index| self.view(index))
            .collect();
        let at_rest = views.iter().all(|view| view.outstanding + view.clients + view.watches == 0)
            && views
                .iter()
                .all(|view| view.sessions + view.local_sessions + view.tracked_sessions == 0);
        let timeout_ms =
            self.cluster.configs.first().map_or(0, |config| config.max_session_timeout_ms);
        let patience = u64::try_from(timeout_ms).unwrap_or(0) * 1000 + EXPIRY_US;
        if !at_rest && self.now.since(since) < patience {
            return self.look_again();
        }
        for view in views {
            self.observe(NodeId::Server(view.me), &SimEvent::AtRest(Box::new(view)));
        }
        let messages = self.messages();
        self.observe(NodeId::World, &SimEvent::Traffic { messages });
        self.finish();
    }

    fn finish(&mut self) {
        for index in 0..self.servers.len() {
            self.collect_counters(index);
        }
        self.stats.messages += self.clients.iter().map(ClientSlot::frames).sum::<u64>();
        match self.observer.finish(self.now, &self.disks) {
            Ok(()) if self.verdict.is_none() => self.verdict = Some(Ok(())),
            Ok(()) => {}
            Err(violation) => self.violated(NodeId::World, violation),
        }
    }
}
