//! Outages of several steps: what no single fault does, and what random ones hardly ever do together.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::{Counted, FaultKind, FaultUnit, Scope, Since};

/// As many voters as a quorum can spare lose power, and about when they are back the next ones do:
/// each quorum consists of those who know everything and those who know nothing of late.
pub(super) fn rolling_outage(
    cluster: &Cluster,
    until: SimTime,
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let mut voters: Vec<u64> = cluster.voters.iter().map(|id| id.0).collect();
    rng.shuffle(&mut voters);
    let spare = (voters.len() - 1) / 2;
    let mut next = voters.iter().copied().cycle();
    // The next ones fall before the last are back: the old epoch cannot take those in any more.
    let overlaps = rng.chance(600);
    // Late enough for a first quorum with something to lose.
    let mut at = SimTime(rng.range(until.0 / 20, until.0 / 4));
    let mut units = Vec::new();
    while spare > 0 && at <= until {
        let length = rng.log_range(700_000, 1_600_000);
        let hit: Vec<u64> = next.by_ref().take(spare).collect();
        for &server in &hit {
            // Too late to have part in this quorum, early enough for the next.
            let falls = rng.chance(700);
            let at = at.plus(length + rng.log_range(1_000, 100_000));
            let kind = match rng.below(4) {
                0 => entering(rng),
                1 => boundary(rng, true),
                _ => synchronizing(rng),
            };
            let length = rng.range(length / 2, length);
            if falls && at <= until {
                units.push(FaultUnit { at, length, kind, scope: Scope::Servers(vec![server]) });
            }
        }
        // The others see a process die at once; that a machine is gone, only by its silence.
        let kind = if rng.chance(500) { FaultKind::Crash } else { FaultKind::PowerLoss };
        units.push(FaultUnit { at, length, kind, scope: Scope::Servers(hit) });
        let gap = rng.log_range(1_000, 300_000);
        at = at.plus(if overlaps { length - gap } else { length + gap });
    }
    units
}

/// A server that has just come back dies again before it is in step: while it recovers, takes the
/// leader's history, or enters its epoch. Where the order of two writes matters, it matters here.
/// `share`: how many do, in per mille.
pub(super) fn relapses(
    share: u64,
    units: &[FaultUnit],
    until: SimTime,
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let mut relapses = Vec::new();
    for unit in units.iter().filter(|unit| unit.kind.kills()) {
        let Scope::Servers(hit) = &unit.scope else { continue };
        // Those that lose power together come back together, and may fall together once more.
        let back = unit.at.plus(unit.length);
        for &server in hit {
            let (again, delay) = (rng.chance(share), rng.log_range(1_000, 500_000));
            let kind = match rng.chance(400) {
                true => synchronizing(rng),
                false => boundary(rng, true),
            };
            let length = rng.log_range(20_000, 4_000_000);
            let at = back.plus(delay);
            if again && at <= until {
                relapses.push(FaultUnit { at, length, kind, scope: Scope::Servers(vec![server]) });
            }
        }
    }
    relapses
}

/// Right behind one of the first names that take effect: acceptedEpoch, a log file, currentEpoch.
fn entering(rng: &mut SimRng) -> FaultKind {
    let nth = rng.range(1, 4) as u32;
    let (counts, since) = (Counted::Names, Since::Now);
    FaultKind::CrashAtBoundary { nth, after: true, power: true, counts, since }
}

/// Between two of the writes that bring a server in step: of history, names, currentEpoch.
fn synchronizing(rng: &mut SimRng) -> FaultKind {
    let counts = *rng.pick(&[Counted::All, Counted::Syncs, Counted::Names]);
    let most = match counts {
        Counted::All => 16,
        Counted::Syncs => 6,
        Counted::Names => 3,
    };
    let nth = rng.range(1, most) as u32;
    let since = Since::Synchronization;
    FaultKind::CrashAtBoundary { nth, after: rng.chance(500), power: true, counts, since }
}

pub(super) fn boundary(rng: &mut SimRng, power: bool) -> FaultKind {
    let counts = *rng.pick(&[Counted::All, Counted::Syncs, Counted::Names]);
    // Names take effect far less often than bytes.
    let most = if counts == Counted::Names { 8 } else { 30 };
    let nth = rng.log_range(1, most) as u32;
    FaultKind::CrashAtBoundary { nth, after: rng.chance(500), power, counts, since: Since::Now }
}

/// One server after another is cut off from all others, and they come back in another order
/// (FoundationDB's "swizzle clogging").
pub(super) fn swizzle(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let mut order: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    rng.shuffle(&mut order);
    order.truncate(rng.range(1, order.len() as u64) as usize);
    let gap = rng.log_range(10_000, 1_000_000);
    let first = rng.range(until.0 / 25, until.0);
    let mut returns: Vec<u64> = (0..order.len() as u64).collect();
    rng.shuffle(&mut returns);
    let all_cut = first + gap * order.len() as u64;
    let unit = |(place, (server, returns)): (usize, (u64, u64))| {
        let at = first + gap * place as u64;
        let back = all_cut + gap * (returns + 1);
        let kind = FaultKind::Isolate { one_way: None };
        let scope = Scope::Servers(vec![server]);
        FaultUnit { at: SimTime(at), length: back - at, kind, scope }
    };
    let hit = order.into_iter().zip(returns).enumerate();
    hit.map(unit).filter(|unit| unit.at <= until).collect()
}

/// The operator restarts one server after another, perhaps before the last one is in step.
pub(super) fn rolling_restart(
    cluster: &Cluster,
    until: SimTime,
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let mut order: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    rng.shuffle(&mut order);
    let gap = rng.log_range(100_000, 4_000_000);
    let first = rng.range(until.0 / 10, until.0 / 2);
    let unit = |(place, server): (usize, u64)| FaultUnit {
        at: SimTime(first + gap * place as u64),
        length: gap,
        kind: FaultKind::Stop,
        scope: Scope::Servers(vec![server]),
    };
    order.into_iter().enumerate().map(unit).filter(|unit| unit.at <= until).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn a_swizzle_cuts_off_one_by_one_and_nobody_returns_before_all_are_cut() {
        let cluster = Cluster::draw(1, Some(5));
        let until = SimTime::from_secs(60);
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = swizzle(&cluster, until, &mut rng);
            let last = units.iter().map(|unit| unit.at).max().expect("one server at least");
            assert!(units.iter().all(|unit| last == until || unit.at.plus(unit.length) > last));
        }
    }

    #[test]
    fn a_rolling_restart_stops_every_server_once() {
        let cluster = Cluster::draw(1, Some(5));
        let mut rng = SimRng::new(3, Stream::Schedule, 0);
        let units = rolling_restart(&cluster, SimTime::from_secs(600), &mut rng);
        let mut stopped: Vec<_> = units.iter().map(|unit| unit.scope.clone()).collect();
        stopped.dedup();
        assert_eq!(stopped.len(), 5);
        assert!(units.iter().all(|unit| unit.kind == FaultKind::Stop));
    }
}
