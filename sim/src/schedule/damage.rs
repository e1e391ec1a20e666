//! Disks that go bad once the ensemble has served for a while: where damage strikes at any time there is mostly
//! nothing yet that it could destroy.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::outage::{boundary, held_up, synchronizing};
use crate::schedule::{FaultKind, FaultUnit, RotPlace, Scope};

/// A disk loses something, its server finds that at once or later, and when it is back it is told to go on, dies
/// again, or has to do without those who could fill it.
pub(super) fn damaged(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    if rng.chance(250) {
        return damaged_and_cut(cluster, until, rng);
    }
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    let mut victim = *rng.pick(&servers);
    let mut at = SimTime(rng.range(until.0 * 4 / 10, until.0 * 8 / 10));
    let mut units = Vec::new();
    for _ in 0..rng.range(1, 3) {
        let scope = if rng.chance(300) { Scope::Leader } else { Scope::Servers(vec![victim]) };
        let length = rng.log_range(200_000, 1_000_000);
        let back = at.plus(length);
        units.extend(harm(at, length, &scope, rng));
        units.extend(while_it_comes_back(back, victim, rng));
        at = back.plus(rng.log_range(100_000, 1_500_000));
        if rng.chance(500) {
            victim = *rng.pick(&servers);
        }
    }
    units.retain(|unit| unit.at <= until);
    units.sort_by_key(|unit| unit.at);
    units
}

/// Where a disk is damaged, what is behind the damage is to be cut off.
fn damaged_and_cut(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let mut units = held_up(cluster, until, rng);
    let Some(alone) = units.first().map(|cut| cut.at) else { return units };
    // What is proposed alone lies behind it.
    let at = SimTime(alone.0.saturating_sub(rng.log_range(100, 50_000)));
    let kind = FaultKind::BitRot { place: RotPlace::Log, while_down: false };
    units.insert(0, FaultUnit { at, length: 50_000, kind, scope: Scope::Leader });
    units
}

fn harm(at: SimTime, length: u64, scope: &Scope, rng: &mut SimRng) -> Vec<FaultUnit> {
    let unit = |at, kind| FaultUnit { at, length, kind, scope: scope.clone() };
    let rot = |place, while_down| FaultKind::BitRot { place, while_down };
    let soon = at.plus(rng.log_range(100, length / 2));
    let dies = if rng.chance(500) { FaultKind::Crash } else { FaultKind::PowerLoss };
    match rng.below(8) {
        0..=2 => vec![unit(at, rot(RotPlace::Log, true))],
        3 => vec![unit(at, rot(RotPlace::Snapshot, true))],
        4 => vec![unit(at, rot(RotPlace::Snapshot, false)), unit(soon, rot(RotPlace::Log, true))],
        5 => vec![unit(at, rot(RotPlace::Log, false))],
        6 => vec![unit(at, FaultKind::Misdirect), unit(soon, dies)],
        _ => {
            let kind = FaultKind::DiskFail { sync: rng.chance(500), snapshot: rng.chance(700) };
            vec![unit(at, kind), unit(soon, dies)]
        }
    }
}

fn while_it_comes_back(back: SimTime, victim: u64, rng: &mut SimRng) -> Option<FaultUnit> {
    let victim = Scope::Servers(vec![victim]);
    let length = rng.log_range(20_000, 1_500_000);
    // From the middle of its recovery on.
    let late = back.plus(rng.log_range(50, 300_000));
    let early = SimTime(back.0.saturating_sub(1_000));
    let (at, kind, scope) = match rng.below(8) {
        0 => (back.plus(50), boundary(rng, true), victim),
        1 | 2 => (late, synchronizing(rng), victim),
        3 => {
            (late, FaultKind::DiskFail { sync: rng.chance(500), snapshot: rng.chance(300) }, victim)
        }
        4 => (early, FaultKind::ReadFail, victim),
        5 => (late, FaultKind::Crash, Scope::Leader),
        6 => (late, FaultKind::Isolate { one_way: None }, Scope::Leader),
        _ => return None,
    };
    Some(FaultUnit { at, length, kind, scope })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn a_disk_is_damaged_when_it_has_something_to_lose() {
        let until = SimTime::from_secs(5);
        let cluster = Cluster::draw(1, Some(3));
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = damaged(&cluster, until, &mut rng);
            let harms: Vec<_> = units.iter().filter(|unit| unit.kind.waits()).collect();
            assert!(!harms.is_empty() || units.iter().any(|u| u.kind.name() == "disk_fail"));
            assert!(harms.iter().all(|unit| unit.at.0 >= until.0 / 11), "{units:?}");
            assert!(units.iter().all(|unit| unit.at <= until && unit.length > 0));
            kinds.extend(units.iter().map(|unit| unit.kind.name()));
        }
        for kind in ["bit_rot", "snapshot_rot", "misdirect", "disk_fail", "read_fail"] {
            assert!(kinds.contains(kind), "{kinds:?}");
        }
    }
}
