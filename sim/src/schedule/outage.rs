//! Outages of several steps: what no single fault does, and what random ones hardly ever do together.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::{Counted, FaultKind, FaultUnit, PacketKind, Peer, Scope, Since};

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

/// One server does not hear that the others have gone on without it: they die together, which nobody
/// tells it, and come back before it gives them up. If it led, it still believes so, and its clients
/// with it, while there is another leader.
pub(super) fn left_behind(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let mut order: Vec<u64> = cluster.voters.iter().map(|id| id.0).collect();
    // Of voters that know equally much the one with the greatest number leads.
    order.sort_unstable_by(|a, b| b.cmp(a));
    if rng.chance(300) {
        rng.shuffle(&mut order);
    }
    let mut units = Vec::new();
    let mut at = SimTime(rng.range(until.0 / 5, until.0 / 2));
    while order.len() > 1 && at <= until {
        let (left, others) = order.split_at(1);
        let length = rng.log_range(500_000, 4_000_000);
        if rng.chance(400) {
            let late = hears_late(cluster, at, left, others, rng);
            units.extend(change_over(cluster, at, late[0].length, until, rng));
            units.extend(late);
            at = at.plus(length + rng.log_range(200_000, 2_000_000));
            order.rotate_left(1);
            continue;
        }
        let alone = Scope::Servers(left.to_vec());
        let (kind, scope) = match rng.below(4) {
            // It is not there itself, and finds all that was sent to it when it is back.
            0 => (FaultKind::Pause, alone),
            1 | 2 => (FaultKind::Isolate { one_way: None }, alone),
            _ => {
                (FaultKind::Partition { one_way: false }, with_clients(cluster, left, others, rng))
            }
        };
        units.push(FaultUnit { at, length, kind, scope });
        // Clients of a process that dies know at once.
        let kind = if rng.chance(700) { FaultKind::Crash } else { FaultKind::PowerLoss };
        let (gap, down) = (rng.log_range(100, 50_000), rng.log_range(20_000, 200_000));
        units.push(FaultUnit {
            at: at.plus(gap),
            length: down,
            kind,
            scope: Scope::Servers(others.to_vec()),
        });
        units.extend(change_over(cluster, at, length, until, rng));
        at = at.plus(length + rng.log_range(200_000, 2_000_000));
        order.rotate_left(1);
    }
    units.sort_by_key(|unit| unit.at);
    units
}

/// Whoever leads is cut off from all other servers, which die at once and come back at once: they go on
/// with another leader while it still believes that they follow it. Clients come and go meanwhile, those
/// of the others to it, too: what it tells them must be true.
pub(super) fn deposed(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let silence = cluster.silence_us();
    let mut at = SimTime(rng.range(until.0 / 10, until.0 / 3));
    let mut units = Vec::new();
    while at <= until {
        let length = rng.range(silence, 2 * silence);
        let stands_still = rng.chance(300);
        let kind =
            if stands_still { FaultKind::Pause } else { FaultKind::Isolate { one_way: None } };
        units.push(FaultUnit { at, length, kind, scope: Scope::Leader });
        // One that stands still must not find that their connections ended.
        let loses_power = stands_still || rng.chance(500);
        let kind = if loses_power { FaultKind::PowerLoss } else { FaultKind::Crash };
        let (gap, down) = (rng.log_range(100, 10_000), rng.log_range(1_000, 50_000));
        units.push(FaultUnit { at: at.plus(gap), length: down, kind, scope: Scope::Others });
        for _ in 0..rng.range(0, 2) {
            units.extend(change_over(cluster, at, silence, until, rng));
        }
        at = at.plus(length + rng.log_range(300_000, 2_000_000));
    }
    units.sort_by_key(|unit| unit.at);
    units
}

/// The same, but what the others sent before they died arrives, late: answers to what was asked before
/// there was another leader.
fn hears_late(
    cluster: &Cluster,
    at: SimTime,
    left: &[u64],
    others: &[u64],
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let (tick, silence) = (cluster.configs[0].tick.0, cluster.silence_us());
    let servers = |ids: &[u64]| ids.iter().map(|&id| Peer::Server(id)).collect::<Vec<_>>();
    let (from, to) = (servers(others), servers(left));
    // Long enough for the others to go on, and not so long that it gives them up.
    let late = rng.range(silence / 2, silence);
    let stall = Scope::Between { from: from.clone(), to: to.clone() };
    let cut = Scope::Between { from: to, to: from };
    // Half a tick lets one more question through, whose answers wait.
    let gap = if rng.chance(800) { rng.range(tick / 2, tick) } else { rng.log_range(1_000, tick) };
    let kind = FaultKind::Partition { one_way: true };
    let down = rng.log_range(20_000, 200_000);
    vec![
        FaultUnit { at, length: late, kind: FaultKind::StallLink, scope: stall },
        FaultUnit { at: at.plus(gap), length: late + tick + down, kind, scope: cut },
        FaultUnit {
            at: at.plus(gap + rng.log_range(100, tick / 4)),
            length: down,
            kind: FaultKind::Crash,
            scope: Scope::Servers(others.to_vec()),
        },
    ]
}

/// Towards the end of what leaves a server behind, clients lose their connections, and some that have
/// seen what the others did since go on with it.
fn change_over(
    cluster: &Cluster,
    at: SimTime,
    length: u64,
    until: SimTime,
    rng: &mut SimRng,
) -> Option<FaultUnit> {
    let (breaks, at) = (rng.chance(750), at.plus(rng.range(length / 2, length)));
    let clients = (0..cluster.clients as u32).map(Peer::Client).collect();
    let servers = cluster.configs.iter().map(|config| Peer::Server(config.me.0)).collect();
    let scope = Scope::Between { from: clients, to: servers };
    let unit = FaultUnit { at, length: 1, kind: FaultKind::ResetLinks, scope };
    (breaks && at <= until).then_some(unit)
}

/// What one server says arrives late: later than the short sessions of its clients last, and not so late that
/// the others give it up. Their leader ends sessions that are in use, and what they ask for comes behind that.
pub(super) fn late_word(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    let limits = &cluster.configs[0];
    let silence = cluster.silence_us();
    let shortest = u64::try_from(limits.min_session_timeout_ms).unwrap_or(0) * 1000;
    let mut at = SimTime(rng.range(until.0 / 10, until.0 / 3));
    let mut units = Vec::new();
    while at <= until {
        let late = rng.range((2 * shortest).min(silence / 4 * 3), silence);
        let one = *rng.pick(&servers);
        let others = servers.iter().filter(|id| **id != one).map(|&id| Peer::Server(id));
        let scope = Scope::Between { from: vec![Peer::Server(one)], to: others.collect() };
        units.push(FaultUnit { at, length: late, kind: FaultKind::StallLink, scope });
        at = at.plus(late + rng.log_range(200_000, 1_500_000));
    }
    units
}

/// Where a write went astray, its server reads that soon.
pub(super) fn found_rotten(
    units: &[FaultUnit],
    until: SimTime,
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let mut found = Vec::new();
    for unit in units {
        let (soon, delay) = (rng.chance(500), rng.log_range(100, 50_000));
        let length = rng.log_range(20_000, 1_000_000);
        let at = unit.at.plus(delay);
        if unit.kind == FaultKind::Misdirect && soon && at <= until {
            found.push(FaultUnit { at, length, kind: FaultKind::Crash, scope: unit.scope.clone() });
        }
    }
    found
}

/// Some clients are on the side of `left`; the first one, which writes, is not.
fn with_clients(cluster: &Cluster, left: &[u64], others: &[u64], rng: &mut SimRng) -> Scope {
    let servers = |ids: &[u64]| ids.iter().map(|&id| Peer::Server(id)).collect::<Vec<_>>();
    let (mut from, mut to) = (servers(left), servers(others));
    for client in 0..cluster.clients as u32 {
        let stays = client > 0 && rng.chance(500);
        if stays { &mut from } else { &mut to }.push(Peer::Client(client));
    }
    Scope::Between { from, to }
}

/// A leader is cut off, with proposals that nobody else has; when it is back, and its history is about to
/// be mended, a packet of that is held up, and servers are paused, cut off or killed in the middle of it.
pub(super) fn held_up(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    // Behind the first quorum, mostly.
    let at = SimTime(rng.range(until.0 / 5, until.0 * 7 / 20));
    // Long enough for the others to notice, to have another leader, and to go on.
    let silence = cluster.silence_us();
    let alone = rng.range(silence, 3 * silence).min(until.0 * 6 / 10);
    let back = at.plus(alone);
    let leader = Scope::Leader;
    let kind = FaultKind::Isolate { one_way: *rng.pick(&[None, Some(true), Some(false)]) };
    let mut units = vec![FaultUnit { at, length: alone, kind, scope: leader }];
    let packet = *rng.pick(&[
        PacketKind::Trunc,
        PacketKind::Trunc,
        PacketKind::Snap,
        PacketKind::Diff,
        PacketKind::NewLeader,
        PacketKind::UpToDate,
    ]);
    let all = || servers.iter().map(|&id| Peer::Server(id)).collect::<Vec<_>>();
    let (held, kind) = (rng.log_range(300_000, 2_000_000), FaultKind::DelayPacket { packet });
    let scope = Scope::Between { from: all(), to: all() };
    units.push(FaultUnit { at: back, length: held, kind, scope });
    for _ in 0..rng.range(1, 3) {
        let at = back.plus(rng.range(50_000, held));
        let length = rng.log_range(50_000, 1_500_000);
        let kind = match rng.below(4) {
            0 | 1 => FaultKind::Pause,
            2 => FaultKind::Isolate { one_way: None },
            _ => FaultKind::PowerLoss,
        };
        let one = Scope::Servers(vec![*rng.pick(&servers)]);
        let scope = if rng.chance(300) { Scope::Leader } else { one };
        units.push(FaultUnit { at, length, kind, scope });
    }
    units.retain(|unit| unit.at <= until);
    units.sort_by_key(|unit| unit.at);
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
pub(super) fn synchronizing(rng: &mut SimRng) -> FaultKind {
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
    use crate::ids::NodeId;
    use crate::rng::Stream;
    use vivarium_core::ids::ServerId;

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
    fn who_is_left_behind_stays_alone_while_all_others_come_back() {
        let cluster = Cluster::draw(1, Some(5));
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = left_behind(&cluster, SimTime::from_secs(5), &mut rng);
            assert!(units.len() >= 2);
            for others in units.iter().filter(|unit| unit.kind.kills()) {
                let Scope::Servers(ids) = &others.scope else { panic!("{others:?}") };
                let parted =
                    |unit: &&FaultUnit| !unit.kind.kills() && unit.kind != FaultKind::StallLink;
                let alone = units.iter().filter(parted).rfind(|unit| unit.at < others.at);
                let alone = alone.expect("one is alone before the others die");
                let known: Vec<u64> = (1..=5).filter(|id| !ids.contains(id)).collect();
                assert_eq!(known.len(), 1);
                assert!(alone.scope.may_hit(NodeId::Server(ServerId(known[0]))));
                assert!(alone.at < others.at);
                assert!(others.at.plus(others.length) < alone.at.plus(alone.length));
            }
        }
    }

    #[test]
    fn who_is_deposed_stays_alone_while_all_others_come_back() {
        let cluster = Cluster::draw(1, Some(3));
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = deposed(&cluster, SimTime::from_secs(5), &mut rng);
            let of = |scope: Scope| units.iter().filter(move |unit| unit.scope == scope);
            let alone: Vec<_> = of(Scope::Leader).collect();
            assert!(!alone.is_empty());
            for (alone, dead) in alone.into_iter().zip(of(Scope::Others)) {
                assert!(alone.at < dead.at);
                assert!(dead.at.plus(dead.length) < alone.at.plus(alone.length));
            }
        }
    }

    #[test]
    fn what_is_held_up_is_struck_while_it_waits() {
        let cluster = Cluster::draw(1, Some(3));
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = held_up(&cluster, SimTime::from_secs(60), &mut rng);
            let [cut, delay, blows @ ..] = &units[..] else { panic!("{units:?}") };
            assert_eq!(delay.at, cut.at.plus(cut.length));
            let ends = delay.at.plus(delay.length);
            assert!(!blows.is_empty());
            assert!(blows.iter().all(|blow| delay.at < blow.at && blow.at <= ends), "{units:?}");
        }
    }

    #[test]
    fn a_late_word_outlasts_a_session_and_no_server() {
        let cluster = Cluster::draw(1, Some(3));
        let limits = &cluster.configs[0];
        let shortest = limits.min_session_timeout_ms as u64 * 1000;
        let silence = cluster.silence_us();
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = late_word(&cluster, SimTime::from_secs(20), &mut rng);
            assert!(units.len() > 2);
            assert!(units.iter().all(|unit| (shortest..=silence).contains(&unit.length)));
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
