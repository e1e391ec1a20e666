//! The swarm: which classes a seed keeps, how often each strikes, and how densely all do.

use vivarium_core::ids::ServerId;

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::{SimRng, Stream};
use crate::schedule::class::{CLASSES, Phase};
use crate::schedule::damage::damaged;
use crate::schedule::moving::moves_with_open_writes;
use crate::schedule::outage::{
    deposed, found_rotten, held_up, late_word, left_behind, relapses, rolling_outage,
    rolling_restart, swizzle,
};
use crate::schedule::pretender::promises_alone;
use crate::schedule::reading::alone_before_in_step;
use crate::schedule::straggler::{back_too_soon, fallen_behind, hears_little};
use crate::schedule::{FaultKind, FaultUnit, Scope};

/// Streams of what is no class stand behind those of the classes.
const KEPT: u64 = 1000;
const ROLLING: u64 = 1001;
const IS_ALONE: u64 = 1002;
const DENSITY: u64 = 1003;
const THINNING: u64 = 1004;
const SWIZZLE: u64 = 1005;
const RESTART: u64 = 1006;
const SICK: u64 = 1007;

const LEFT_BEHIND: u64 = 1008;
const HELD_UP: u64 = 1009;
const ROTTEN: u64 = 1010;
const LATE: u64 = 1011;
const DEPOSED: u64 = 1012;
const FALLEN: u64 = 1013;
const BACK_SOON: u64 = 1014;
const HEARS_LITTLE: u64 = 1015;
const PROMISES: u64 = 1016;
const MOVES: u64 = 1017;
const DAMAGES: u64 = 1018;
const BEGINNING: u64 = 1019;
const READERS: u64 = 1020;

/// Seeds in which what a server says comes late, in per mille.
const LATES: u64 = 100;

/// The same where sessions are local at first: whose they are is asked when their ends meet their requests. In
/// half of them nothing else happens.
const LOCAL_LATES: u64 = 350;

/// Seeds in which a synchronization is held up, in per mille; in half of them nothing else happens.
const HOLDS: u64 = 100;

/// Seeds whose storm waits until there is an ensemble that it can strike, in per mille: where it does not, many
/// first quorums form when it is over.
const LATE_STORMS: u64 = 400;

/// Longer than any calm phase.
const FOR_GOOD_US: u64 = 600_000_000;

/// Seeds with a rolling outage and no other fault, in per mille.
const ALONE: u64 = 200;

/// Seeds in which the others go on without one server, in per mille; in half of them nothing else happens.
const LEAVES: u64 = 150;

/// The calmest seed has one fault where the stormiest has so many.
const DENSITIES: u64 = 4;

/// Seeds in which a leader does not hear that it is replaced, in per mille; in half of them nothing else
/// happens.
const DEPOSALS: u64 = 80;

/// Seeds in which one server falls far behind, in per mille, and those of them whose servers forget; in half
/// of them nothing else happens.
const FALLS: u64 = 80;
const FORGETFUL_FALLS: u64 = 700;

/// Seeds in which a server comes back with what is still open, in per mille; in half of them nothing else
/// happens.
const EARLY_RETURNS: u64 = 60;

/// Seeds in which one server hears little, in per mille, and those of them whose servers want little to wait on a
/// connection, or remember little; in half of them nothing else happens.
const WHISPERS: u64 = 15;
const MATTERING_WHISPERS: u64 = 300;

/// Seeds in which who is elected falls with an epoch that nobody heard of, in per mille; in half of them
/// nothing else happens.
const LONELY_PROMISES: u64 = 30;

/// Seeds with observers in which clients move there with open writes, in per mille; in half of them nothing else
/// happens.
const OPEN_MOVES: u64 = 250;

/// Seeds in which disks go bad when they hold something, in per mille; in half of them nothing else happens.
const DAMAGED: u64 = 120;

/// Seeds whose servers serve readers without a quorum in which one is alone before it is in step, in per mille; in
/// half of them nothing else happens.
const LONELY_READERS: u64 = 250;

/// An outage of several steps that a seed may have, from a stream of its own.
struct Outage {
    stream: u64,
    strikes: fn(u64, &Cluster, &mut SimRng) -> bool,
    /// Whether nothing else happens then.
    alone: fn(&Cluster, &mut SimRng) -> bool,
    units: fn(&Cluster, SimTime, &mut SimRng) -> Vec<FaultUnit>,
}

impl Outage {
    /// What strikes, and whether nothing else does; `None`: this seed does not have it.
    fn draw(
        &self,
        seed: u64,
        cluster: &Cluster,
        faults_for: SimTime,
    ) -> Option<(Vec<FaultUnit>, bool)> {
        let mut rng = SimRng::new(seed, Stream::Schedule, self.stream);
        let strikes = (self.strikes)(seed, cluster, &mut rng);
        let nothing_else = (self.alone)(cluster, &mut rng);
        strikes.then(|| ((self.units)(cluster, faults_for, &mut rng), nothing_else))
    }
}

const FALLEN_BEHIND: Outage =
    Outage { stream: FALLEN, strikes: falls_behind, alone: in_half, units: fallen_behind };

const OUTAGES: [Outage; 11] = [
    Outage { stream: LEFT_BEHIND, strikes: leaves_behind, alone: in_half, units: left_behind },
    Outage { stream: DEPOSED, strikes: is_deposed, alone: in_half, units: deposed },
    Outage { stream: HELD_UP, strikes: is_held_up, alone: in_half, units: held_up },
    FALLEN_BEHIND,
    Outage { stream: LATE, strikes: is_late, alone: in_half_of_local, units: late_word },
    Outage { stream: BACK_SOON, strikes: is_back_too_soon, alone: in_half, units: back_too_soon },
    Outage { stream: HEARS_LITTLE, strikes: hears_too_little, alone: in_half, units: hears_little },
    Outage { stream: PROMISES, strikes: is_outbid, alone: in_half, units: promises_alone },
    Outage { stream: MOVES, strikes: moves_open, alone: in_half, units: moves_with_open_writes },
    Outage { stream: DAMAGES, strikes: is_damaged, alone: in_half, units: damaged },
    Outage { stream: READERS, strikes: reads_alone, alone: in_half, units: alone_before_in_step },
];

/// Draws the schedule of a seed: each class is left out with probability one half, and how often
/// the others strike is log-uniform; so is the density of all of them together.
pub fn draw(seed: u64, cluster: &Cluster, faults_for: SimTime) -> Vec<FaultUnit> {
    let stream = |index| SimRng::new(seed, Stream::Schedule, index);
    // A chain of several steps completes only where nothing else comes between them.
    let alone = is_alone(seed, cluster);
    let mut outages = Vec::new();
    for outage in OUTAGES {
        let Some((units, nothing_else)) = outage.draw(seed, cluster, faults_for) else { continue };
        if nothing_else && !units.is_empty() {
            return units;
        }
        outages.extend(units);
    }
    let mut units = if alone { Vec::new() } else { swarm(seed, cluster, faults_for) };
    let mut rng = stream(ROLLING);
    let rolls = rng.chance(400) || alone;
    if rolls {
        units.extend(rolling_outage(cluster, faults_for, &mut rng));
    }
    let share = if alone { 0 } else { *rng.pick(&[0, 0, 300, 800]) };
    units.extend(outages);
    units.extend(relapses(share, &units, faults_for, &mut rng));
    units.sort_by_key(|unit| unit.at);
    units
}

fn in_half(_: &Cluster, rng: &mut SimRng) -> bool {
    rng.chance(500)
}

fn in_half_of_local(cluster: &Cluster, rng: &mut SimRng) -> bool {
    cluster.configs[0].local_sessions && rng.chance(500)
}

fn swarm(seed: u64, cluster: &Cluster, faults_for: SimTime) -> Vec<FaultUnit> {
    let stream = |index| SimRng::new(seed, Stream::Schedule, index);
    let mut units = Vec::new();
    let late = stream(BEGINNING).chance(LATE_STORMS);
    let from = SimTime(if late { faults_for.0 * 3 / 10 } else { faults_for.0 / 25 });
    let phase = Phase { from, until: faults_for };
    // A long phase of faults has more of them, a short one still some.
    let scale = (faults_for.0 / 5_000_000).max(1);
    let mut kept = stream(KEPT);
    for (place, class) in CLASSES.iter().enumerate() {
        let (keep, count) = (kept.chance(500), kept.log_range(1, 8) * scale);
        let mut rng = stream(place as u64 + 1);
        if keep {
            units.extend((0..count).map(|_| class.unit(cluster, phase, &mut rng)));
        }
    }
    let (mut thinning, density) = (stream(THINNING), density(seed));
    units.retain(|_| thinning.chance(density));
    let found = found_rotten(&units, faults_for, &mut stream(ROTTEN));
    units.extend(found);
    let mut rng = stream(SWIZZLE);
    if rng.chance(200) {
        units.extend(swizzle(cluster, faults_for, &mut rng));
    }
    let mut rng = stream(RESTART);
    if rng.chance(200) {
        units.extend(rolling_restart(cluster, faults_for, &mut rng));
    }
    units
}

/// How many of the faults of the stormiest seed this one has, in per mille: storms stop whatever takes
/// several steps, and calm stretches let a server fall far behind, or catch up. What was measured
/// stands in docs/decisions/0020.
fn density(seed: u64) -> u64 {
    SimRng::new(seed, Stream::Schedule, DENSITY).log_range(1000 / DENSITIES, 1000)
}

/// Whether this seed has a server that others leave behind, or that falls behind them.
pub fn has_left_behind(seed: u64, cluster: &Cluster) -> bool {
    let stream = |index| SimRng::new(seed, Stream::Schedule, index);
    leaves_behind(seed, cluster, &mut stream(LEFT_BEHIND))
        || is_deposed(seed, cluster, &mut stream(DEPOSED))
        || falls_behind(seed, cluster, &mut stream(FALLEN))
}

/// The server of this seed that is away for longer than the others remember.
pub fn forgotten(seed: u64, cluster: &Cluster, faults_for: SimTime) -> Option<ServerId> {
    let drawn = cluster.is_forgetful().then(|| FALLEN_BEHIND.draw(seed, cluster, faults_for));
    let (units, _) = drawn.flatten()?;
    let Scope::Servers(away) = &units.first()?.scope else { return None };
    away.first().copied().map(ServerId)
}

fn falls_behind(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    let share = if cluster.is_forgetful() { FORGETFUL_FALLS } else { FALLS };
    rng.chance(share) && cluster.voters.len() > 2 && !is_alone(seed, cluster)
}

fn is_held_up(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    rng.chance(HOLDS) && cluster.voters.len() > 1 && !is_alone(seed, cluster)
}

fn is_late(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    let share = if cluster.configs[0].local_sessions { LOCAL_LATES } else { LATES };
    rng.chance(share) && cluster.configs.len() > 1 && !is_alone(seed, cluster)
}

fn is_back_too_soon(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    rng.chance(EARLY_RETURNS) && cluster.voters.len() > 2 && !is_alone(seed, cluster)
}

fn hears_too_little(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    // What it is late for has nowhere to wait there, or is forgotten soon.
    let matters = cluster.is_cramped() || cluster.is_forgetful();
    let share = if matters { MATTERING_WHISPERS } else { WHISPERS };
    rng.chance(share) && cluster.configs.len() > 1 && !is_alone(seed, cluster)
}

fn is_outbid(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    rng.chance(LONELY_PROMISES) && cluster.voters.len() > 2 && !is_alone(seed, cluster)
}

fn moves_open(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    let has_place = cluster.voters.len() > 1 && !cluster.observers.is_empty();
    rng.chance(OPEN_MOVES) && has_place && !is_alone(seed, cluster)
}

fn reads_alone(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    let serves = cluster.configs[0].read_only_mode && cluster.voters.len() > 2;
    rng.chance(LONELY_READERS) && serves && !is_alone(seed, cluster)
}

/// One voter alone has nobody who could fill it again.
fn is_damaged(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    rng.chance(DAMAGED) && cluster.voters.len() > 2 && !is_alone(seed, cluster)
}

/// A leader of two voters needs both.
fn is_deposed(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    rng.chance(DEPOSALS) && cluster.voters.len() > 2 && !is_alone(seed, cluster)
}

fn leaves_behind(seed: u64, cluster: &Cluster, rng: &mut SimRng) -> bool {
    rng.chance(LEAVES) && cluster.voters.len() > 1 && !is_alone(seed, cluster)
}

/// Makes half of those that were to stay dead sick in its place: by units that begin when the faults
/// end, and outlast the run.
pub fn draw_sick(seed: u64, dead: &mut Vec<ServerId>, heal_at: SimTime) -> Vec<FaultUnit> {
    let mut rng = SimRng::new(seed, Stream::Schedule, SICK);
    let kinds = [
        FaultKind::Pause,
        FaultKind::DiskFull,
        FaultKind::DiskStall,
        FaultKind::Isolate { one_way: Some(true) },
        FaultKind::Isolate { one_way: Some(false) },
    ];
    let mut units = Vec::new();
    dead.retain(|id| {
        let (stays_dead, kind) = (rng.chance(500), *rng.pick(&kinds));
        if !stays_dead {
            let scope = Scope::Servers(vec![id.0]);
            units.push(FaultUnit { at: heal_at, length: FOR_GOOD_US, kind, scope });
        }
        stays_dead
    });
    units
}

/// Whether the seed has nothing but a rolling outage. One voter has no other to follow it.
fn is_alone(seed: u64, cluster: &Cluster) -> bool {
    let draw = SimRng::new(seed, Stream::Schedule, IS_ALONE).chance(ALONE);
    draw && cluster.voters.len() > 2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{draw, draw_sick, forgotten};
    use vivarium_core::ids::ServerId;

    use crate::cluster::Cluster;
    use crate::ids::SimTime;
    use crate::observe::Sickness;
    use crate::schedule::{FaultKind, FaultUnit, Scope};

    #[test]
    fn a_schedule_repeats_survives_json_and_keeps_to_its_phase() {
        let phase = SimTime::from_secs(5);
        for seed in 0..50 {
            let cluster = Cluster::draw(seed, None);
            let units = draw(seed, &cluster, phase);
            assert_eq!(units, draw(seed, &cluster, phase));
            assert!(units.iter().all(|unit| unit.at <= phase && unit.length > 0));
            let json = serde_json::to_string(&units).unwrap();
            assert_eq!(units, serde_json::from_str::<Vec<_>>(&json).unwrap());
        }
    }

    #[test]
    fn some_seeds_have_nothing_but_a_rolling_outage() {
        let chain = ["crash", "power_loss", "crash_at_boundary", "crash_in_sync"];
        let phase = SimTime::from_secs(5);
        let alone = (0..200).filter(|&seed| {
            let cluster = Cluster::draw(seed, None);
            let is_alone = super::is_alone(seed, &cluster);
            let units = draw(seed, &cluster, phase);
            let only_chain = units.iter().all(|unit| chain.contains(&unit.kind.name()));
            assert!(!is_alone || only_chain && units.len() > 1, "seed {seed}: {units:?}");
            is_alone
        });
        assert!((20..=60).contains(&alone.count()));
        let single = Cluster::draw(1, Some(1));
        assert!((0..200).all(|seed| !super::is_alone(seed, &single)));
    }

    /// What needs a quorum, or something on a disk, strikes nothing before.
    #[test]
    fn many_storms_begin_late() {
        let phase = SimTime::from_secs(5);
        let storms = (0..300).filter_map(|seed| {
            let units = super::swarm(seed, &Cluster::draw(seed, Some(3)), phase);
            units.iter().map(|unit| unit.at).min()
        });
        let (late, early): (Vec<_>, Vec<_>) = storms.partition(|first| first.0 >= 1_500_000);
        let share = late.len() * 100 / (late.len() + early.len());
        assert!((25..50).contains(&share), "{share} %");
    }

    #[test]
    fn a_server_that_is_forgotten_is_away_once_the_others_have_served() {
        let phase = SimTime::from_secs(5);
        let mut met = 0;
        for seed in 0..600 {
            let cluster = Cluster::draw(seed, None);
            let Some(forgotten) = forgotten(seed, &cluster, phase) else { continue };
            let units = draw(seed, &cluster, phase);
            let is_away = |unit: &&FaultUnit| {
                unit.scope == Scope::Servers(vec![forgotten.0]) && unit.length >= 1_500_000
            };
            let away = units.iter().find(|unit| is_away(unit) && unit.at.0 >= 1_250_000);
            // Another outage may have all of the phase.
            met += u64::from(away.is_some());
        }
        assert!(met >= 5, "{met} of 600");
    }

    #[test]
    fn half_of_those_that_would_stay_dead_are_sick_in_every_way() {
        let (mut kinds, mut dead_in_all) = (BTreeSet::new(), 0);
        for seed in 0..200 {
            let mut dead = vec![ServerId(1), ServerId(2)];
            let units = draw_sick(seed, &mut dead, SimTime::from_secs(5));
            assert_eq!(units.len() + dead.len(), 2);
            dead_in_all += dead.len();
            kinds.extend(
                units.iter().filter_map(|unit| Sickness::of(unit.kind)).map(Sickness::name),
            );
        }
        assert!((150..=250).contains(&dead_in_all));
        assert_eq!(kinds.len(), 5, "{kinds:?}");
    }

    #[test]
    fn the_swarm_omits_classes_and_reaches_all_of_them() {
        let mut seen = BTreeSet::new();
        let mut omitted = 0;
        for seed in 0..300 {
            let cluster = Cluster::draw(seed, None);
            let units = draw(seed, &cluster, SimTime::from_secs(5));
            let names: BTreeSet<_> = units.iter().map(|unit| unit.kind.name()).collect();
            omitted += usize::from(!names.contains("pause"));
            seen.extend(names);
        }
        assert_eq!(seen, FaultKind::NAMES.into_iter().collect());
        // Thin schedules happen to omit it, too.
        assert!((120..=240).contains(&omitted), "pause was omitted in {omitted} of 300 seeds");
    }
}
