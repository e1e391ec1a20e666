//! Clients that move to an observer while what they wrote is open.

use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::rng::SimRng;
use crate::schedule::{FaultKind, FaultUnit, PacketKind, Peer, Scope};

/// Nothing is committed for a while, since no ACK arrives; clients lose the servers that vote meanwhile, are turned
/// away there, and go on at an observer, which has not seen what they wrote and cannot know that it was proposed.
pub(super) fn moves_with_open_writes(
    cluster: &Cluster,
    until: SimTime,
    rng: &mut SimRng,
) -> Vec<FaultUnit> {
    let silence = cluster.silence_us();
    let voters = || cluster.voters.iter().map(|id| Peer::Server(id.0)).collect::<Vec<_>>();
    let clients = (0..cluster.clients as u32).map(Peer::Client).collect();
    let acks = Scope::Between { from: voters(), to: voters() };
    let dials = Scope::Between { from: clients, to: voters() };
    let mut at = SimTime(rng.range(until.0 / 10, until.0 / 3));
    let mut units = Vec::new();
    while at <= until {
        // Not so long that the leader gives them up.
        let open = rng.range(silence / 2, silence * 9 / 10);
        let moves = rng.log_range(open / 20, open / 2);
        let (held, left) = (FaultKind::DelayPacket { packet: PacketKind::Ack }, at.plus(moves));
        let refused = FaultKind::BlockDials { refused: true };
        units.extend([
            FaultUnit { at, length: open, kind: held, scope: acks.clone() },
            FaultUnit { at: left, length: open - moves, kind: refused, scope: dials.clone() },
            FaultUnit { at: left, length: 1, kind: FaultKind::ResetLinks, scope: dials.clone() },
        ]);
        at = at.plus(open + rng.log_range(300_000, 1_500_000));
    }
    units.retain(|unit| unit.at <= until);
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn clients_move_while_nothing_can_be_committed_and_no_observer_turns_them_away() {
        let mut clusters = (0..).map(|seed| Cluster::draw(seed, None));
        let cluster = clusters.find(|it| !it.observers.is_empty()).expect("some have observers");
        let observer = Peer::Server(cluster.observers[0].0);
        for seed in 0..20 {
            let mut rng = SimRng::new(seed, Stream::Schedule, 0);
            let units = moves_with_open_writes(&cluster, SimTime::from_secs(60), &mut rng);
            assert!(units.len() > 3);
            for moves in units.chunks_exact(3) {
                let [held, refused, reset] = moves else { panic!("{moves:?}") };
                let open = held.at.plus(held.length);
                assert!(held.at < reset.at && reset.at < open);
                assert_eq!((refused.at, refused.at.plus(refused.length)), (reset.at, open));
                let Scope::Between { to, .. } = &refused.scope else { panic!("{refused:?}") };
                assert!(!to.contains(&observer));
            }
        }
    }
}
