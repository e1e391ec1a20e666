//! Fewer servers, plainer machines, shorter and rounder times.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::config::Config;
use vivarium_core::ids::ServerId;

use super::list::rename;
use super::{Over, Shrinker};
use crate::cluster::{Cluster, Size};
use crate::ids::SimTime;
use crate::scenario::Scenario;
use crate::schedule::{Peer, Scope};
use crate::zkclient::Operations;

/// Time between two things that happen which need not be shorter, in microseconds.
const GAP_US: u64 = 100_000;

/// A unit that is shorter says nothing more, in microseconds.
const SHORT_US: u64 = 1_000;

/// Disk operations from one look to the next, where a look has to meet what is left.
const LOOKS: [u64; 2] = [8, 60];

/// Transactions of an epoch that ends in order. Fewer would be all elections and no clients.
const SHORT_EPOCH: u32 = 4;

impl Shrinker<'_> {
    pub(super) fn fewer_servers(&mut self) -> Result<(), Over> {
        loop {
            let scenario = &self.best.scenario;
            let candidates: Vec<_> =
                leavers(scenario).iter().map(|gone| without_servers(scenario, gone)).collect();
            let mut accepted = false;
            for candidate in candidates {
                accepted = self.accept(candidate)?;
                if accepted {
                    break;
                }
            }
            if !accepted {
                return Ok(());
            }
        }
    }

    /// Peers of Apache's kind, clocks that are off, servers that stay dead, one after the other.
    pub(super) fn plainer(&mut self) -> Result<(), Over> {
        self.try_change(|scenario| disguise(&mut scenario.cluster, BTreeMap::new()))?;
        self.try_change(|scenario| scenario.stay_dead.clear())?;
        self.try_change(|scenario| scenario.beyond_quorum = false)?;
        self.try_change(|scenario| {
            for machine in &mut scenario.cluster.machines {
                (machine.clock_offset_ms, machine.clock_drift_ppm) = (0, 0);
            }
        })?;
        self.try_change(|scenario| {
            for machine in &mut scenario.cluster.machines {
                machine.slow_syncs_per_mille = 0;
                machine.snap_writes_us = 0;
            }
        })
    }

    /// Windows and batches that fewer operations outgrow: the lowest that is ever drawn, or half.
    pub(super) fn lower_limits(&mut self) -> Result<(), Over> {
        for limit in LIMITS {
            for lower in [|_, least| least, |now: u64, least: u64| (now / 2).max(least)] {
                self.try_change(|scenario| {
                    for config in &mut scenario.cluster.configs {
                        limit.lower(config, lower);
                    }
                })?;
            }
        }
        self.shorter_epochs()
    }

    /// So short ones are never drawn, since calm would never come: no matter where the failure does not
    /// wait for that.
    fn shorter_epochs(&mut self) -> Result<(), Over> {
        let is_limited = self.best.scenario.cluster.configs[0].zxid_counter_limit != u32::MAX;
        if self.class.is_about_liveness() || !is_limited {
            return Ok(());
        }
        for lower in [|_| SHORT_EPOCH, |now: u32| now / 4, |now: u32| now / 2] {
            self.try_change(|scenario| {
                for config in &mut scenario.cluster.configs {
                    let now = config.zxid_counter_limit;
                    config.zxid_counter_limit = lower(now).max(SHORT_EPOCH).min(now);
                }
            })?;
        }
        Ok(())
    }

    /// A small run is looked at hardly ever, unless it is looked at more often.
    pub(super) fn more_looks(&mut self) -> Result<(), Over> {
        if !self.class.needs_looks() {
            return Ok(());
        }
        for every in LOOKS {
            if every < self.best.scenario.looks_every {
                self.try_change(|scenario| scenario.looks_every = every)?;
            }
        }
        Ok(())
    }

    /// Moves everything behind a gap to its front.
    pub(super) fn less_dead_time(&mut self) -> Result<(), Over> {
        let mut before = self.best.end.0;
        while before > 0 {
            let times = moments(&self.best.scenario);
            let earlier = times.range(..SimTime(before)).next_back().map_or(0, |at| at.0);
            let gap = before - earlier;
            if gap > GAP_US {
                self.try_change(|scenario| pull(scenario, SimTime(before), gap - GAP_US))?;
            }
            before = earlier;
        }
        Ok(())
    }

    pub(super) fn shorter_units(&mut self) -> Result<(), Over> {
        for index in (0..self.best.scenario.faults.len()).rev() {
            while let Some(unit) = self.best.scenario.faults.get(index) {
                let shorter = unit.length / 2;
                let mut candidate = self.best.scenario.clone();
                candidate.faults[index].length = shorter;
                if shorter < SHORT_US || !self.accept(candidate)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// As long as there are faults, or until it has failed.
    pub(super) fn shorter_phase(&mut self) -> Result<(), Over> {
        let failed = self.best.end.plus(GAP_US);
        let ends = self.best.scenario.faults.iter().map(|unit| unit.at.plus(unit.length));
        let last = ends.max().unwrap_or(SimTime::ZERO).plus(GAP_US);
        for end in [last.min(failed), failed] {
            let end = SimTime(end.0.next_multiple_of(GAP_US));
            if end < self.best.scenario.faults_for {
                self.try_change(|scenario| scenario.faults_for = end)?;
            }
        }
        Ok(())
    }

    pub(super) fn rounder_times(&mut self) -> Result<(), Over> {
        for step in [100_000, 10_000, 1_000] {
            self.try_change(|scenario| {
                let round = |at: &mut u64| *at = (*at + step / 2) / step * step;
                for unit in &mut scenario.faults {
                    round(&mut unit.at.0);
                    unit.length = unit.length.next_multiple_of(step.min(unit.length.max(1)));
                }
                for client in &mut scenario.clients {
                    if let Operations::Listed(listed) = &mut client.operations {
                        listed.iter_mut().for_each(|timed| round(&mut timed.at.0));
                    }
                }
            })?;
        }
        Ok(())
    }

    fn try_change(&mut self, change: impl FnOnce(&mut Scenario)) -> Result<(), Over> {
        let mut candidate = self.best.scenario.clone();
        change(&mut candidate);
        self.accept(candidate).map(|_| ())
    }
}

/// What a history has to outgrow before a path is met.
#[derive(Clone, Copy, Debug)]
enum Limit {
    CommitLog,
    Snap,
    AppendBatch,
}

const LIMITS: [Limit; 3] = [Limit::CommitLog, Limit::Snap, Limit::AppendBatch];

impl Limit {
    /// `lower` gets the present value and the lowest that is ever drawn.
    fn lower(self, config: &mut Config, lower: fn(u64, u64) -> u64) {
        let lowered = |now: u64, least: u64| lower(now, least).min(now);
        match self {
            Self::CommitLog => {
                config.commit_log_count = lowered(config.commit_log_count as u64, 2) as usize;
            }
            Self::Snap => config.snap_count = lowered(config.snap_count, 4),
            Self::AppendBatch => {
                config.append_batch_bytes = lowered(config.append_batch_bytes as u64, 512) as usize;
            }
        }
    }
}

/// Sets of servers that may not be needed: all observers, then voters whom no fault names.
fn leavers(scenario: &Scenario) -> Vec<BTreeSet<ServerId>> {
    let Cluster { voters, observers, .. } = &scenario.cluster;
    let mut named = BTreeSet::new();
    for unit in &scenario.faults {
        match &unit.scope {
            Scope::Servers(ids) => named.extend(ids.iter().map(|&id| ServerId(id))),
            Scope::Leader | Scope::Others | Scope::Between { .. } => {}
        }
    }
    let mut sets = Vec::new();
    if !observers.is_empty() {
        sets.push(observers.iter().copied().collect());
    }
    // Those whom nobody names go first, the last ones before.
    let mut order: Vec<ServerId> = voters.clone();
    order.sort_by_key(|id| (named.contains(id), std::cmp::Reverse(*id)));
    for count in [2, 1] {
        if voters.len() > count + usize::from(count == 1) {
            sets.push(order.iter().copied().take(count).collect());
            sets.push(voters.iter().copied().take(count).collect());
        }
    }
    sets
}

/// Those behind a server that goes move up.
fn without_servers(scenario: &Scenario, gone: &BTreeSet<ServerId>) -> Scenario {
    let mut candidate = scenario.clone();
    let old = &scenario.cluster;
    let stays = |id: &&ServerId| !gone.contains(*id);
    let new_ids: BTreeMap<ServerId, ServerId> = old
        .configs
        .iter()
        .map(|config| &config.me)
        .filter(stays)
        .zip(1..)
        .map(|(&id, new)| (id, ServerId(new)))
        .collect();
    let size = Size {
        voters: old.voters.iter().filter(stays).count(),
        observers: old.observers.iter().filter(stays).count(),
        standalone: false,
    };
    let mut cluster = Cluster::of_size(scenario.seed, Some(size));
    for config in &mut cluster.configs {
        let Config { me, ensemble, seed, .. } = config.clone();
        *config = Config { me, ensemble, seed, linearizable_sync: true, ..old.configs[0].clone() };
    }
    cluster.group(old.groups());
    cluster.clients = old.clients;
    cluster.marked_first_start = old.marked_first_start;
    let machines = old.configs.iter().zip(&old.machines);
    cluster.machines = machines
        .filter(|(config, _)| new_ids.contains_key(&config.me))
        .map(|(_, machine)| machine.clone())
        .collect();
    let peers = old.apache.iter();
    let peers = peers.filter_map(|(id, habits)| Some((*new_ids.get(id)?, *habits))).collect();
    disguise(&mut cluster, peers);
    candidate.cluster = cluster;
    let renamed = |ids: &[ServerId]| ids.iter().filter_map(|id| new_ids.get(id).copied()).collect();
    candidate.stay_dead = renamed(&scenario.stay_dead);
    for client in &mut candidate.clients {
        client.servers = renamed(&client.servers);
        if client.servers.is_empty() {
            client.servers = new_ids.values().copied().collect();
        }
    }
    rename(&mut candidate.faults, |peer| match peer {
        Peer::Server(id) => new_ids.get(&ServerId(id)).map(|id| Peer::Server(id.0)),
        Peer::Client(_) => Some(peer),
    });
    candidate
}

fn disguise(cluster: &mut Cluster, peers: BTreeMap<ServerId, crate::apache::Habits>) {
    for config in &mut cluster.configs {
        config.linearizable_sync = true;
    }
    cluster.disguise(peers);
}

/// When something begins or ends that the scenario says.
fn moments(scenario: &Scenario) -> BTreeSet<SimTime> {
    let mut times = BTreeSet::new();
    for unit in &scenario.faults {
        times.extend([unit.at, unit.at.plus(unit.length)]);
    }
    for client in &scenario.clients {
        if let Operations::Listed(listed) = &client.operations {
            times.extend(listed.iter().map(|timed| timed.at));
        }
    }
    times
}

/// Everything from a moment on happens earlier by so much.
fn pull(scenario: &mut Scenario, from: SimTime, by: u64) {
    let pull = |at: &mut SimTime| {
        if *at >= from {
            at.0 -= by;
        }
    };
    for unit in &mut scenario.faults {
        let mut end = unit.at.plus(unit.length);
        pull(&mut unit.at);
        pull(&mut end);
        unit.length = end.since(unit.at).max(1);
    }
    pull(&mut scenario.faults_for);
    for client in &mut scenario.clients {
        if let Operations::Listed(listed) = &mut client.operations {
            listed.iter_mut().for_each(|timed| pull(&mut timed.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Options;

    #[test]
    fn a_lower_limit_is_none_that_was_never_drawn() {
        for seed in 0..50 {
            let drawn = Scenario::draw(seed, &Options::default()).cluster.configs.swap_remove(0);
            let limits = |config: &Config| {
                [
                    config.commit_log_count as u64,
                    config.snap_count,
                    config.append_batch_bytes as u64,
                ]
            };
            let (mut least, mut half) = (drawn.clone(), drawn.clone());
            for limit in LIMITS {
                limit.lower(&mut least, |_, least| least);
                limit.lower(&mut half, |now, least| (now / 2).max(least));
            }
            assert_eq!(limits(&least), [2, 4, 512]);
            let pairs = limits(&half).into_iter().zip(limits(&drawn));
            assert!(pairs.zip(limits(&least)).all(|((half, drawn), least)| {
                half <= drawn && half >= least && (half < drawn || drawn == least)
            }));
        }
    }
}
