//! One server falls behind further than the others remember.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::{FaultKind, FaultUnit, PacketKind, Peer, Scope};

/// One server is away for so long that the others have forgotten what it lacks. What it is sent then is torn,
/// or one of the others falls while it is not in step yet.
pub(super) fn fallen_behind(cluster: &Cluster, until: SimTime, rng: &mut SimRng) -> Vec<FaultUnit> {
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    let at = SimTime(rng.range(until.0 / 10, until.0 / 4));
    let away = rng.range(until.0 / 3, until.0 * 6 / 10);
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
    units.retain(|unit| unit.at <= until);
    units.sort_by_key(|unit| unit.at);
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
        let (mut torn, mut falls) = (0, 0);
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = fallen_behind(&cluster, until, &mut rng);
            let [away, blows @ ..] = &units[..] else { panic!("{units:?}") };
            assert!(away.length >= until.0 / 3);
            let hit = |unit: &FaultUnit| {
                (1..=3).find(|id| unit.scope == Scope::Servers(vec![*id])).map(ServerId)
            };
            let one = hit(away).expect("one server is away");
            for blow in blows {
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
        assert!(torn > 3 && falls > 3, "{torn} {falls}");
    }
}
