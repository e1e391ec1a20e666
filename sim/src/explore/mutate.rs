//! One small change of a scenario.

use vivarium_core::ids::ServerId;

use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::scenario::Scenario;
use crate::schedule::{FaultUnit, Peer, Scope};

#[derive(Clone, Copy, Debug)]
enum Change {
    /// A unit strikes earlier or later.
    Shift,
    Drop,
    /// A unit strikes once more, at another moment.
    Double,
    /// Some units of another scenario join in.
    Splice,
    /// A unit lasts longer or shorter.
    Stretch,
    /// A unit hits somebody else.
    Retarget,
    /// All latencies, and all else that the scenario leaves open, are drawn anew.
    Reroll,
}

/// Time is what matters most: half of all changes move a unit.
const CHANGES: [Change; 12] = [
    Change::Shift,
    Change::Shift,
    Change::Shift,
    Change::Shift,
    Change::Drop,
    Change::Double,
    Change::Double,
    Change::Splice,
    Change::Splice,
    Change::Stretch,
    Change::Retarget,
    Change::Reroll,
];

/// Longest move of a unit, and shortest length of one, in microseconds.
const FARTHEST: u64 = 2_000_000;
const SHORTEST: u64 = 1_000;
/// Units that come from the other scenario at most.
const SPLICED: u64 = 4;

/// Changes one thing. `donor` is where units may come from.
pub fn mutate(scenario: &mut Scenario, donor: &Scenario, rng: &mut SimRng) {
    let change = *rng.pick(&CHANGES);
    let index = rng.below(scenario.faults.len() as u64) as usize;
    let until = scenario.faults_for;
    match (change, scenario.faults.get_mut(index)) {
        (Change::Splice, _) => splice(scenario, donor, rng),
        (Change::Reroll, _) | (_, None) => {
            scenario.rolls = rng.range(1, u64::from(u32::MAX)) as u32
        }
        (Change::Shift, Some(unit)) => unit.at = moved(unit.at, until, rng),
        (Change::Drop, Some(_)) => {
            scenario.faults.remove(index);
        }
        (Change::Double, Some(unit)) => {
            let again = FaultUnit { at: moved(unit.at, until, rng), ..unit.clone() };
            scenario.faults.push(again);
        }
        (Change::Stretch, Some(unit)) => {
            let factor = rng.range(2, 8);
            unit.length = match rng.chance(500) {
                true => unit.length.saturating_mul(factor).min(until.0.max(SHORTEST)),
                false => (unit.length / factor).max(SHORTEST),
            };
        }
        (Change::Retarget, Some(unit)) => {
            let servers: Vec<ServerId> =
                scenario.cluster.configs.iter().map(|config| config.me).collect();
            retarget(&mut unit.scope, &servers, rng);
        }
    }
    scenario.faults.sort_by_key(|unit| unit.at);
}

/// Near moves are as likely as far ones.
fn moved(at: SimTime, until: SimTime, rng: &mut SimRng) -> SimTime {
    let by = rng.log_range(100, FARTHEST);
    let moved = if rng.chance(500) { at.plus(by) } else { SimTime(at.since(SimTime(by))) };
    moved.min(until)
}

/// Some neighbouring units of `donor` that this cluster has the machines for.
fn splice(scenario: &mut Scenario, donor: &Scenario, rng: &mut SimRng) {
    let from = rng.below(donor.faults.len() as u64) as usize;
    let count = rng.range(1, SPLICED) as usize;
    let units: Vec<FaultUnit> = donor
        .faults
        .iter()
        .skip(from)
        .take(count)
        .filter(|unit| fits(unit, scenario))
        .cloned()
        .collect();
    scenario.faults.extend(units);
}

fn fits(unit: &FaultUnit, scenario: &Scenario) -> bool {
    let servers = scenario.cluster.configs.len() as u64;
    let has = |peer: &Peer| match peer {
        Peer::Server(id) => *id <= servers,
        Peer::Client(id) => (*id as usize) < scenario.clients.len(),
    };
    let in_time = unit.at <= scenario.faults_for;
    in_time
        && match &unit.scope {
            Scope::Servers(ids) => ids.iter().all(|id| has(&Peer::Server(*id))),
            Scope::Leader | Scope::Others => true,
            Scope::Between { from, to } => from.iter().chain(to).all(has),
        }
}

/// Each server becomes the next one, by the same distance: who was two stays two.
fn retarget(scope: &mut Scope, servers: &[ServerId], rng: &mut SimRng) {
    let count = servers.len() as u64;
    let by = rng.range(1, count.max(2) - 1);
    let next = |id: &mut u64| *id = (*id - 1 + by) % count + 1;
    match scope {
        Scope::Servers(ids) => {
            ids.iter_mut().for_each(next);
            ids.sort_unstable();
        }
        Scope::Leader | Scope::Others => *scope = Scope::Servers(vec![rng.pick(servers).0]),
        Scope::Between { from, to } => {
            for peer in from.iter_mut().chain(to) {
                match peer {
                    Peer::Server(id) => next(id),
                    Peer::Client(_) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fits, mutate};
    use crate::rng::{SimRng, Stream};
    use crate::scenario::{Options, Scenario};

    #[test]
    fn however_often_it_is_changed_a_schedule_stays_one_of_its_cluster() {
        let options = Options::default();
        for seed in 0..40 {
            let mut rng = SimRng::new(seed, Stream::Explore, 7);
            let drawn = Scenario::draw(seed, &options);
            let (mut scenario, donor) = (drawn.clone(), Scenario::draw(seed + 100, &options));
            for _ in 0..60 {
                mutate(&mut scenario, &donor, &mut rng);
                assert!(scenario.faults.iter().all(|unit| fits(unit, &scenario)), "seed {seed}");
                assert!(scenario.faults.is_sorted_by_key(|unit| unit.at));
                assert!(scenario.faults.iter().all(|unit| unit.length > 0));
            }
            assert_ne!(scenario, drawn);
            assert_eq!((scenario.seed, &scenario.cluster), (drawn.seed, &drawn.cluster));
        }
    }
}
