//! Servers that are alone again before they are in step, and serve readers in the meantime.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::{Deed, FaultKind, FaultUnit, PacketKind, Scope};

/// A server falls behind, or loses its disk; when it is about to be filled again it is cut off, right behind the
/// word with which it promised an epoch, or took over a history: what it may show to readers is what it has made
/// its own by then, and never less than they have seen.
pub(super) fn alone_before_in_step(
    cluster: &Cluster,
    until: SimTime,
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let servers: Vec<u64> = cluster.configs.iter().map(|config| config.me.0).collect();
    let mut at = SimTime(rng.range(until.0 / 4, until.0 / 2));
    let mut units = Vec::new();
    while at <= until {
        let scope = Scope::Servers(vec![*rng.pick(&servers)]);
        let away = rng.log_range(100_000, 1_000_000);
        let kind = match rng.below(4) {
            0 => FaultKind::Wipe,
            1 => FaultKind::Crash,
            _ => FaultKind::Isolate { one_way: None },
        };
        units.push(FaultUnit { at, length: away, kind, scope: scope.clone() });
        let packet = *rng.pick(&[PacketKind::AckEpoch, PacketKind::Ack, PacketKind::Ack]);
        let kind = FaultKind::AtPacket { packet, nth: 1, after: true, deed: Deed::Isolate };
        let (back, alone) = (at.plus(away), rng.range(1_500_000, 4_000_000));
        units.push(FaultUnit { at: back, length: alone, kind, scope });
        at = back.plus(alone);
    }
    units.retain(|unit| unit.at <= until);
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn who_comes_back_is_cut_off_at_a_word_of_its_own() {
        let cluster = Cluster::draw(1, Some(3));
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = alone_before_in_step(&cluster, SimTime::from_secs(10), &mut rng);
            for round in units.chunks(2) {
                let [away, cut] = round else { continue };
                assert_eq!((cut.at, &cut.scope), (away.at.plus(away.length), &away.scope));
                assert!(matches!(cut.kind, FaultKind::AtPacket { after: true, .. }));
            }
            assert!(units.len() > 1);
        }
    }
}
