//! Whom a drawn fault hits: machines, two sides of a cut, a pair, a ring.

use crate::cluster::Cluster;
use crate::rng::SimRng;
use crate::schedule::{Peer, Scope};

/// The machines of a cluster that scopes are drawn from.
pub(super) struct Scopes<'a> {
    cluster: &'a Cluster,
    all: Vec<u64>,
}

impl<'a> Scopes<'a> {
    pub(super) fn of(cluster: &'a Cluster) -> Self {
        Self { cluster, all: cluster.configs.iter().map(|config| config.me.0).collect() }
    }

    pub(super) fn one(&self, rng: &mut SimRng) -> Scope {
        Scope::Servers(vec![*rng.pick(&self.all)])
    }

    pub(super) fn all(&self) -> Scope {
        Scope::Servers(self.all.clone())
    }

    pub(super) fn one_or_leader(&self, rng: &mut SimRng) -> Scope {
        let one = self.one(rng);
        if rng.chance(400) { Scope::Leader } else { one }
    }

    /// Each server with probability 0.7, at least one.
    pub(super) fn correlated(&self, rng: &mut SimRng) -> Scope {
        let hit: Vec<_> = self.all.iter().copied().filter(|_| rng.chance(700)).collect();
        Scope::Servers(if hit.is_empty() { vec![*rng.pick(&self.all)] } else { hit })
    }

    /// All servers, each with both neighbours next to it in a random order.
    pub(super) fn ring(&self, rng: &mut SimRng) -> Scope {
        Scope::Servers(self.shuffled(rng))
    }

    /// Two sides of a cut. Some cuts go where a quorum ends, some leave one server that reaches both
    /// sides, and some part nothing but clients from servers.
    pub(super) fn split(&self, rng: &mut SimRng) -> Scope {
        match rng.below(6) {
            0 => self.quorum_edge(rng),
            1 => self.bridge(rng),
            2 => self.clients_only(rng),
            _ => self.anywhere(rng),
        }
    }

    /// A random border; clients keep to a side of their own choice, or are not hindered.
    fn anywhere(&self, rng: &mut SimRng) -> Scope {
        let order = self.shuffled(rng);
        let border = rng.range(1, order.len().max(2) as u64 - 1) as usize;
        let (left, right) = order.split_at(border.min(order.len()));
        self.sides(left, right, rng)
    }

    /// Exactly a quorum of voters on one side, one fewer than that on the other, or the reverse of it:
    /// the side that has one more than it needs to stay below a quorum.
    fn quorum_edge(&self, rng: &mut SimRng) -> Scope {
        let mut voters: Vec<u64> = self.cluster.voters.iter().map(|id| id.0).collect();
        rng.shuffle(&mut voters);
        let quorum = self.cluster.majority();
        let border = if rng.chance(500) { quorum } else { quorum - 1 };
        let (left, right) = voters.split_at(border.min(voters.len()));
        let (mut left, mut right) = (left.to_vec(), right.to_vec());
        for observer in &self.cluster.observers {
            if rng.chance(500) { &mut left } else { &mut right }.push(observer.0);
        }
        self.sides(&left, &right, rng)
    }

    /// Two sides, and one server between that reaches all: it is named on neither.
    fn bridge(&self, rng: &mut SimRng) -> Scope {
        let order = self.shuffled(rng);
        if order.len() < 3 {
            return self.anywhere(rng);
        }
        let others = &order[1..];
        let (left, right) = others.split_at(others.len() / 2);
        self.sides(left, right, rng)
    }

    /// Clients reach none of some servers, which reach each other.
    fn clients_only(&self, rng: &mut SimRng) -> Scope {
        let clients = 0..self.cluster.clients as u32;
        let mut from: Vec<_> = clients.clone().filter(|_| rng.chance(700)).collect();
        if from.is_empty() {
            from = clients.collect();
        }
        let order = self.shuffled(rng);
        let hit = rng.range(1, order.len() as u64) as usize;
        Scope::Between {
            from: from.into_iter().map(Peer::Client).collect(),
            to: order[..hit].iter().map(|&id| Peer::Server(id)).collect(),
        }
    }

    fn sides(&self, left: &[u64], right: &[u64], rng: &mut SimRng) -> Scope {
        let mut from: Vec<_> = left.iter().map(|&id| Peer::Server(id)).collect();
        let mut to: Vec<_> = right.iter().map(|&id| Peer::Server(id)).collect();
        let with_clients = rng.chance(500);
        for client in 0..self.cluster.clients as u32 {
            let side = rng.chance(500);
            if with_clients {
                if side { &mut from } else { &mut to }.push(Peer::Client(client));
            }
        }
        Scope::Between { from, to }
    }

    /// From every server to every other.
    fn all_servers(&self) -> Scope {
        let all: Vec<_> = self.all.iter().map(|&id| Peer::Server(id)).collect();
        Scope::Between { from: all.clone(), to: all }
    }

    pub(super) fn split_or_all(&self, rng: &mut SimRng) -> Scope {
        if rng.chance(500) { self.split(rng) } else { self.all_servers() }
    }

    pub(super) fn split_or_pair(&self, rng: &mut SimRng) -> Scope {
        if rng.chance(500) { self.split(rng) } else { self.pair(rng) }
    }

    /// Two machines, one of them perhaps a client.
    pub(super) fn pair(&self, rng: &mut SimRng) -> Scope {
        let order = self.shuffled(rng);
        let client = rng.below(self.cluster.clients as u64) as u32;
        let to = match order.get(1) {
            Some(&id) if !rng.chance(300) => Peer::Server(id),
            Some(_) | None => Peer::Client(client),
        };
        let from = Peer::Server(order[0]);
        if rng.chance(500) {
            Scope::Between { from: vec![from], to: vec![to] }
        } else {
            Scope::Between { from: vec![to], to: vec![from] }
        }
    }

    fn shuffled(&self, rng: &mut SimRng) -> Vec<u64> {
        let mut order = self.all.clone();
        rng.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn drawn(
        servers: usize,
        draw: fn(&Scopes<'_>, &mut SimRng) -> Scope,
    ) -> Vec<(Vec<Peer>, Vec<Peer>)> {
        let cluster = Cluster::draw(1, Some(servers));
        let mut rng = SimRng::new(1, Stream::Schedule, 0);
        let scope = |_| match draw(&Scopes::of(&cluster), &mut rng) {
            Scope::Between { from, to } => (from, to),
            other @ (Scope::Servers(_) | Scope::Leader | Scope::Others) => panic!("{other:?}"),
        };
        (0..50).map(scope).collect()
    }

    fn servers(side: &[Peer]) -> usize {
        side.iter().filter(|peer| matches!(peer, Peer::Server(_))).count()
    }

    #[test]
    fn a_cut_at_the_edge_of_a_quorum_leaves_one_server_too_few_on_a_side() {
        for size in 2..=7 {
            for (from, to) in drawn(size, |scopes, rng| scopes.quorum_edge(rng)) {
                let larger = servers(&from).max(servers(&to));
                assert_eq!(servers(&from) + servers(&to), size);
                assert!(larger == size / 2 + 1 || larger == size - size / 2, "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn a_bridge_reaches_both_sides() {
        for (from, to) in drawn(5, |scopes, rng| scopes.bridge(rng)) {
            assert_eq!((servers(&from), servers(&to)), (2, 2));
        }
    }

    #[test]
    fn clients_can_be_cut_off_alone() {
        for (from, to) in drawn(3, |scopes, rng| scopes.clients_only(rng)) {
            assert_eq!(servers(&from), 0);
            assert!(servers(&to) == to.len() && !from.is_empty() && !to.is_empty());
        }
    }

    /// However small the cluster is, whatever is drawn has somebody in it.
    #[test]
    fn every_scope_of_a_small_cluster_hits_somebody() {
        let draws: [fn(&Scopes<'_>, &mut SimRng) -> Scope; 3] = [
            |scopes, rng| scopes.split(rng),
            |scopes, rng| scopes.pair(rng),
            |scopes, rng| scopes.split_or_all(rng),
        ];
        for (size, draw) in [1, 2].into_iter().flat_map(|size| draws.map(|draw| (size, draw))) {
            for (from, to) in drawn(size, draw) {
                assert!(!from.is_empty() || !to.is_empty());
            }
        }
    }
}
