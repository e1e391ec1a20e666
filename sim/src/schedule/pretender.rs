//! A server that is elected again and again, and never gets to lead.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::{Deed, FaultKind, FaultUnit, PacketKind, Scope};

/// The leader falls, and others with it, so that none of the rest can be spared. Who is elected promises itself an
/// epoch, and falls before anybody hears of it; back at once, it is elected again, promises itself the next one, and
/// falls again. While it is down the others return, get a leader of a lower epoch than it has promised, and are to
/// have it back. Of three voters or more.
pub(super) fn promises_alone(
    cluster: &Cluster,
    until: SimTime,
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let silence = cluster.silence_us();
    // Behind the first quorum, mostly.
    let at = SimTime(rng.range(until.0 / 5, until.0 * 2 / 5));
    let mut others: Vec<u64> = cluster.voters.iter().map(|id| id.0).collect();
    rng.shuffle(&mut others);
    others.truncate((others.len() - 1) / 2 - 1);
    let away = rng.range(800_000, 2_000_000);
    let crash = |at, scope| FaultUnit { at, length: away, kind: FaultKind::Crash, scope };
    let mut units = Vec::new();
    if !others.is_empty() {
        units.push(crash(at, Scope::Servers(others)));
    }
    units.push(crash(at.plus(1_000), Scope::Leader));
    let all = Scope::Servers(cluster.voters.iter().map(|id| id.0).collect());
    let times = rng.range(2, 3) as u32;
    for nth in 1..=times {
        // Back before the others have agreed on another one.
        let length = match nth < times {
            true => rng.log_range(5_000, 100_000),
            false => away + rng.range(silence / 2, silence),
        };
        // Where power goes its followers would wait for it.
        let (packet, deed) = (PacketKind::LeaderInfo, Deed::Crash);
        let kind = FaultKind::AtPacket { packet, nth, after: false, deed };
        units.push(FaultUnit { at: at.plus(2_000), length, kind, scope: all.clone() });
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn each_fall_waits_for_the_next_promise_and_the_last_one_is_long() {
        let cluster = Cluster::draw(1, Some(5));
        let until = SimTime::from_secs(5);
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = promises_alone(&cluster, until, &mut rng);
            let [away, leader, falls @ .., last] = &units[..] else { panic!("{units:?}") };
            let Scope::Servers(others) = &away.scope else { panic!("{away:?}") };
            assert!(leader.scope == Scope::Leader && others.len() == 1 && !falls.is_empty());
            assert!(falls.iter().all(|fall| fall.length < last.length));
            assert!(last.at.plus(last.length) > leader.at.plus(leader.length));
            for (place, fall) in units[2..].iter().enumerate() {
                let FaultKind::AtPacket { packet, nth, after, .. } = fall.kind else {
                    panic!("{fall:?}")
                };
                assert_eq!((packet, after), (PacketKind::LeaderInfo, false));
                assert_eq!(nth as usize, place + 1);
            }
        }
    }
}
