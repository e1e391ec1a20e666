//! One server is not where the others are: it falls behind further than they remember, hears less than they have
//! to say, or comes back with what is still open.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::{FaultKind, FaultUnit, PacketKind, Peer, RotPlace, Scope};

/// One server is away for so long that the others have forgotten what it lacks. What it is sent then is torn
/// or rotten, or one of the others falls while it is not in step yet.
pub(super) fn fallen_behind(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    // Behind the first quorum, and what its clients make of it.
    let at = SimTime(rng.range(until.0 / 4, until.0 * 2 / 5));
    let away = rng.range(until.0 * 3 / 10, until.0 / 2);
    let back = at.plus(away);
    let one = *rng.pick(&servers);
    // Mostly it lives on, and has clients that it told of what was.
    let kind = match rng.below(5) {
        0 => FaultKind::Crash,
        1 => FaultKind::Pause,
        _ => FaultKind::Isolate { one_way: None },
    };
    let mut units = vec![FaultUnit { at, length: away, kind, scope: Scope::Servers(vec![one]) }];
    let others = servers.iter().filter(|id| **id != one).copied();
    if rng.chance(400) {
        let from: Vec<Peer> = others.clone().map(Peer::Server).collect();
        let scope = Scope::Between { from, to: vec![Peer::Server(one)] };
        let kind = FaultKind::TearPacket {
            packet: PacketKind::Snap,
            after_bytes: rng.log_range(1, 5_000) as u32,
        };
        units.push(FaultUnit { at: back, length: rng.log_range(50_000, 1_000_000), kind, scope });
    }
    if rng.chance(500) {
        let falls = *rng.pick(&others.collect::<Vec<_>>());
        let (delay, length) = (rng.log_range(1_000, 500_000), rng.log_range(20_000, 1_000_000));
        let kind = if rng.chance(500) { FaultKind::Crash } else { FaultKind::PowerLoss };
        let scope = Scope::Servers(vec![falls]);
        units.push(FaultUnit { at: back.plus(delay), length, kind, scope });
    }
    if rng.chance(500) {
        // What it will be sent is rotten: of a log the part that no snapshot holds yet.
        let place = *rng.pick(&[RotPlace::Snapshot, RotPlace::Log]);
        let kind = FaultKind::BitRot { place, while_down: false };
        let length = rng.log_range(20_000, away * 3 / 10);
        let at = SimTime(back.0 - length);
        units.push(FaultUnit { at, length, kind, scope: Scope::Leader });
    }
    units.retain(|unit| unit.at <= until);
    units.sort_by_key(|unit| unit.at);
    units
}

/// Nothing that a leader proposes comes to a quorum for a while, since no ACK arrives; one server dies with that
/// in its log, and is back before it is decided.
pub(super) fn back_too_soon(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    let silence = cluster.silence_us();
    let voters: Vec<u64> = cluster.voters.iter().map(|id| id.0).collect();
    let kind = FaultKind::DelayPacket { packet: PacketKind::Ack };
    let mut at = SimTime(rng.range(until.0 / 10, until.0 / 3));
    let mut units = Vec::new();
    while at <= until {
        let one = *rng.pick(&voters);
        // Not so long that the leader gives them up.
        let open = rng.range(silence / 2, silence);
        let (falls, down) = (rng.log_range(5_000, 200_000), rng.log_range(10_000, 200_000));
        let all: Vec<Peer> = servers.iter().map(|&id| Peer::Server(id)).collect();
        let others = all.iter().copied().filter(|peer| *peer != Peer::Server(one)).collect();
        let from_others = Scope::Between { from: others, to: all.clone() };
        let from_one = Scope::Between { from: vec![Peer::Server(one)], to: all };
        let fall = if rng.chance(500) { FaultKind::Crash } else { FaultKind::PowerLoss };
        units.extend([
            FaultUnit { at, length: open, kind, scope: from_others },
            FaultUnit { at, length: falls, kind, scope: from_one },
            FaultUnit {
                at: at.plus(falls),
                length: down,
                kind: fall,
                scope: Scope::Servers(vec![one]),
            },
        ]);
        at = at.plus(open + rng.log_range(300_000, 1_500_000));
    }
    units.retain(|unit| unit.at <= until);
    units
}

/// One server hears the others late, or through a path so narrow that what they have to say waits at their end,
/// while its clients ask for what is newest.
pub(super) fn hears_little(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    let silence = cluster.silence_us();
    let mut at = SimTime(rng.range(until.0 / 10, until.0 / 3));
    let mut units = Vec::new();
    while at <= until {
        let one = *rng.pick(&servers);
        let from = servers.iter().filter(|id| **id != one).map(|&id| Peer::Server(id)).collect();
        let scope = Scope::Between { from, to: vec![Peer::Server(one)] };
        // Not so long that they give each other up.
        let (kind, length) = match rng.chance(600) {
            true => (FaultKind::StallLink, rng.range(silence / 2, silence)),
            false => {
                let kind = FaultKind::Throttle { bytes_per_ms: rng.log_range(1, 10) as u32 };
                (kind, rng.log_range(300_000, 3_000_000))
            }
        };
        units.push(FaultUnit { at, length, kind, scope });
        at = at.plus(length + rng.log_range(100_000, 1_000_000));
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::rng::Stream;
    use vivarium_core::ids::ServerId;

    #[test]
    fn the_others_are_whole_while_one_is_away() {
        let cluster = Cluster::draw(1, Some(3));
        let until = SimTime::from_secs(5);
        let (mut torn, mut falls, mut rotten) = (0, 0, 0);
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = fallen_behind(&cluster, until, &mut rng);
            let [away, blows @ ..] = &units[..] else { panic!("{units:?}") };
            assert!(away.length >= until.0 * 3 / 10);
            let hit = |unit: &FaultUnit| {
                (1..=3).find(|id| unit.scope == Scope::Servers(vec![*id])).map(ServerId)
            };
            let one = hit(away).expect("one server is away");
            for blow in blows {
                if blow.scope == Scope::Leader {
                    rotten += 1;
                    assert!(blow.at < away.at.plus(away.length));
                    continue;
                }
                assert!(blow.at >= away.at.plus(away.length), "{units:?}");
                match hit(blow) {
                    None => {
                        torn += 1;
                        assert!(blow.scope.may_hit(NodeId::Server(one)));
                    }
                    Some(other) => {
                        falls += 1;
                        assert_ne!(other, one);
                    }
                }
            }
        }
        assert!(torn > 3 && falls > 3 && rotten > 3, "{torn} {falls} {rotten}");
    }

    #[test]
    fn who_comes_back_too_soon_dies_and_returns_while_no_ack_of_the_others_arrives() {
        let cluster = Cluster::draw(1, Some(3));
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = back_too_soon(&cluster, SimTime::from_secs(60), &mut rng);
            assert!(units.len() > 3);
            for blow in units.chunks_exact(3) {
                let [others, one, falls] = blow else { panic!("{blow:?}") };
                assert!(others.at < falls.at && one.at.plus(one.length) == falls.at);
                let Scope::Servers(ids) = &falls.scope else { panic!("{falls:?}") };
                let Scope::Between { from, .. } = &others.scope else { panic!("{others:?}") };
                assert!(!from.contains(&Peer::Server(ids[0])), "its own ACKs pass when it is back");
            }
        }
    }

    #[test]
    fn one_hears_little_of_all_others_and_is_not_given_up_for_it() {
        let cluster = Cluster::draw(1, Some(3));
        let silence = cluster.silence_us();
        let (mut stalled, mut narrow) = (0, 0);
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            for unit in hears_little(&cluster, SimTime::from_secs(20), &mut rng) {
                let Scope::Between { from, to } = &unit.scope else { panic!("{unit:?}") };
                assert!(to.len() == 1 && from.len() + 1 == cluster.configs.len());
                if unit.kind == FaultKind::StallLink {
                    stalled += 1;
                    assert!(unit.length <= silence);
                } else {
                    narrow += 1;
                }
            }
        }
        assert!(stalled > 0 && narrow > 0);
    }
}
