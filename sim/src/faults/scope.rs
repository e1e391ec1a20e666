//! Whom a fault hits: hosts and paths of a scope, as they are when it strikes.

use vivarium_core::ids::ServerId;

use crate::net::{Host, PathFault};
use crate::schedule::Scope;
use crate::world::World;

impl World {
    pub(super) fn path_fault(&mut self, paths: &[(Host, Host)], fault: PathFault, on: bool) {
        for &(from, to) in paths {
            self.net.path_fault(self.now, from, to, fault, on);
        }
    }

    pub(super) fn scope_servers(&self, scope: &Scope) -> Vec<usize> {
        match scope {
            Scope::Servers(ids) => {
                let hosts = ids.iter().filter_map(|&id| self.server_host(ServerId(id)));
                hosts.map(|host| host.0).collect()
            }
            // Two may believe that they lead: the first one is as good as any.
            Scope::Leader => {
                let leading = |server: &usize| self.servers[*server].leads();
                (0..self.servers.len()).filter(leading).take(1).collect()
            }
            Scope::Others => {
                let leader = self.scope_servers(&Scope::Leader);
                let all = if leader.is_empty() { 0 } else { self.servers.len() };
                (0..all).filter(|server| !leader.contains(server)).collect()
            }
            Scope::Between { .. } => Vec::new(),
        }
    }

    pub(super) fn one_up(&self, scope: &Scope) -> Option<usize> {
        let up = |server: &usize| self.servers[*server].is_up();
        self.scope_servers(scope).first().copied().filter(up)
    }

    pub(super) fn paths(&self, scope: &Scope, both_ways: bool) -> Option<Vec<(Host, Host)>> {
        let Scope::Between { from, to } = scope else { return None };
        let mut paths = Vec::new();
        for &from in from {
            for &to in to {
                let (Some(from), Some(to)) = (self.peer_host(from), self.peer_host(to)) else {
                    continue;
                };
                if from == to {
                    continue;
                }
                paths.push((from, to));
                if both_ways {
                    paths.push((to, from));
                }
            }
        }
        (!paths.is_empty()).then_some(paths)
    }

    pub(super) fn paths_around(
        &self,
        scope: &Scope,
        one_way: Option<bool>,
    ) -> Option<Vec<(Host, Host)>> {
        let alone = self.scope_servers(scope).first().copied()?;
        let mut paths = Vec::new();
        for other in (0..self.servers.len()).filter(|&other| other != alone) {
            if one_way != Some(true) {
                paths.push((Host(other), Host(alone)));
            }
            if one_way != Some(false) {
                paths.push((Host(alone), Host(other)));
            }
        }
        Some(paths)
    }

    /// All paths but those between neighbours in the order of the scope. `None`: that is none.
    pub(super) fn chords(&self, scope: &Scope) -> Option<Vec<(Host, Host)>> {
        let ring = self.scope_servers(scope);
        let mut paths = Vec::new();
        for (place, &from) in ring.iter().enumerate() {
            for (other, &to) in ring.iter().enumerate() {
                let apart = place.abs_diff(other);
                if apart > 1 && apart + 1 < ring.len() {
                    paths.push((Host(from), Host(to)));
                }
            }
        }
        (!paths.is_empty()).then_some(paths)
    }
}
