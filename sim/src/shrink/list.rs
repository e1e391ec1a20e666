//! Fewer fault units, clients and operations.

use super::{Over, Shrinker};
use crate::ids::ClientId;
use crate::scenario::Scenario;
use crate::schedule::{FaultUnit, Peer, Scope};
use crate::zkclient::{Operations, Timed};

impl Shrinker<'_> {
    pub(super) fn fewer_units(&mut self) -> Result<(), Over> {
        self.fewer(
            |scenario| scenario.faults.len(),
            |scenario, from, to| {
                scenario.faults.drain(from..to);
            },
        )
    }

    /// Of all clients together.
    pub(super) fn fewer_operations(&mut self) -> Result<(), Over> {
        self.fewer(
            |scenario| scenario.clients.iter().map(|client| listed(&client.operations).len()).sum(),
            |scenario, from, to| {
                let mut index = 0;
                for client in &mut scenario.clients {
                    if let Operations::Listed(listed) = &mut client.operations {
                        listed.retain(|_| {
                            let kept = !(from..to).contains(&index);
                            index += 1;
                            kept
                        });
                    }
                }
            },
        )
    }

    /// Takes parts of a list away: all of it, halves, quarters, .. single ones.
    fn fewer(
        &mut self,
        count: impl Fn(&Scenario) -> usize,
        take: impl Fn(&mut Scenario, usize, usize),
    ) -> Result<(), Over> {
        let mut chunk = count(&self.best.scenario);
        while chunk > 0 {
            // From the end: what comes early is more often needed by what comes later.
            let mut end = count(&self.best.scenario);
            while end > 0 {
                let start = end.saturating_sub(chunk);
                let mut candidate = self.best.scenario.clone();
                take(&mut candidate, start, end);
                self.accept(candidate)?;
                end = start.min(count(&self.best.scenario));
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
        Ok(())
    }

    pub(super) fn fewer_clients(&mut self) -> Result<(), Over> {
        let mut index = self.best.scenario.clients.len();
        while index > 0 {
            index -= 1;
            if self.best.scenario.clients.len() > 1 && index < self.best.scenario.clients.len() {
                self.accept(without_client(&self.best.scenario, index))?;
            }
        }
        Ok(())
    }
}

fn listed(operations: &Operations) -> &[Timed] {
    match operations {
        Operations::Drawn | Operations::DrawnReads => &[],
        Operations::Listed(listed) => listed,
    }
}

/// Those behind it move up by one.
fn without_client(scenario: &Scenario, index: usize) -> Scenario {
    let mut candidate = scenario.clone();
    candidate.clients.remove(index);
    candidate.cluster.clients = candidate.clients.len();
    for (index, client) in candidate.clients.iter_mut().enumerate() {
        client.id = ClientId(index as u32);
    }
    let renamed = |peer: Peer| match peer {
        Peer::Client(id) if id as usize == index => None,
        Peer::Client(id) if id as usize > index => Some(Peer::Client(id - 1)),
        Peer::Client(_) | Peer::Server(_) => Some(peer),
    };
    rename(&mut candidate.faults, renamed);
    candidate
}

/// Gives machines other names, or none; units that hit nobody any more go.
pub(super) fn rename(faults: &mut Vec<FaultUnit>, renamed: impl Fn(Peer) -> Option<Peer>) {
    let all = |peers: &[Peer]| peers.iter().filter_map(|&peer| renamed(peer)).collect::<Vec<_>>();
    faults.retain_mut(|unit| match &mut unit.scope {
        Scope::Leader | Scope::Others => true,
        Scope::Servers(ids) => {
            let id = |id: &u64| match renamed(Peer::Server(*id)) {
                Some(Peer::Server(id)) => Some(id),
                Some(Peer::Client(_)) | None => None,
            };
            *ids = ids.iter().filter_map(id).collect();
            !ids.is_empty()
        }
        Scope::Between { from, to } => {
            (*from, *to) = (all(from), all(to));
            !from.is_empty() && !to.is_empty()
        }
    });
}
