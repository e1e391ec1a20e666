//! A fault that waits for a packet: it strikes a server between two of its sends, where a process may die, or
//! stop, when a broadcast has reached some and not others. It waits until all faults end.

use vivarium_core::server::action::{Action, LinkAction};

use crate::faults::Undo;
use crate::ids::NodeId;
use crate::net::{EndId, PathFault};
use crate::observe::CrashKind;
use crate::schedule::{Deed, PacketKind, Scope};
use crate::trace::Mark;
use crate::world::World;

#[derive(Clone, Debug)]
pub(crate) struct Ambush {
    /// Of the schedule.
    pub(crate) unit: usize,
    /// Whose packets count: who sends the last of them is struck.
    pub(crate) servers: Vec<usize>,
    pub(crate) packet: PacketKind,
    /// Strikes at the n-th packet that counts.
    pub(crate) left: u32,
    /// Strikes when the send has been handed to the network, not before.
    pub(crate) after: bool,
    pub(crate) deed: Deed,
    /// How long the server is down, stands still, or is cut off.
    pub(crate) length: u64,
}

impl Ambush {
    /// Counts what goes out in one send; whether that is what it waits for.
    fn counts(&mut self, server: usize, seen: &[PacketKind]) -> bool {
        if !self.servers.contains(&server) {
            return false;
        }
        let counted = seen.iter().filter(|kind| **kind == self.packet).count();
        let left = self.left as usize;
        self.left = left.saturating_sub(counted) as u32;
        left > 0 && self.left == 0
    }
}

impl World {
    /// `None`: it waits for nobody.
    pub(super) fn lie_in_ambush(&mut self, ambush: Ambush) -> Option<Undo> {
        if ambush.servers.is_empty() {
            return None;
        }
        self.ambushes.push(ambush);
        Some(Undo::Ambush)
    }

    /// What strikes a server at this action of its.
    pub(crate) fn ambush_at(&mut self, server: usize, action: &Action) -> Option<Ambush> {
        let Action::Link(LinkAction::Send { link, bytes }) = action else { return None };
        let seen = self.net.packets_in(EndId(link.0), bytes);
        if seen.is_empty() {
            return None;
        }
        let mut struck = None;
        for (place, ambush) in self.ambushes.iter_mut().enumerate() {
            if ambush.counts(server, &seen) && struck.is_none() {
                struck = Some(place);
            }
        }
        struck.map(|place| self.ambushes.remove(place))
    }

    /// Strikes a server between two of its sends.
    pub(crate) fn strike_from_ambush(&mut self, server: usize, ambush: &Ambush) {
        let id = self.servers[server].id();
        let unit = ambush.unit;
        self.trace.event(self.now, NodeId::Server(id), Mark::Fault, unit as u64, || {
            format!("#{unit} strikes at {}", ambush.packet.name())
        });
        let undo = match ambush.deed {
            Deed::Crash => self.kill(server, CrashKind::Process),
            Deed::PowerLoss => self.kill(server, CrashKind::PowerLoss),
            Deed::Pause => self.pause(unit, server),
            Deed::Isolate => {
                let alone = Scope::Servers(vec![id.0]);
                let paths = self.paths_around(&alone, None).unwrap_or_default();
                self.path_fault(&paths, PathFault::Block, true);
                Undo::Paths(paths, PathFault::Block)
            }
        };
        self.ends_later(unit, undo, ambush.length);
    }

    fn kill(&mut self, server: usize, kind: CrashKind) -> Undo {
        self.crash(server, kind);
        Undo::Boot(vec![server])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambush(left: u32) -> Ambush {
        let (packet, deed) = (PacketKind::Commit, Deed::Crash);
        Ambush { unit: 0, servers: vec![1, 2], packet, left, after: true, deed, length: 1 }
    }

    #[test]
    fn only_its_own_packets_of_its_own_servers_bring_it_nearer_and_it_strikes_once() {
        let mut waits = ambush(3);
        assert!(!waits.counts(0, &[PacketKind::Commit; 3]));
        assert!(!waits.counts(1, &[PacketKind::Ping, PacketKind::Proposal]));
        assert!(!waits.counts(1, &[PacketKind::Commit, PacketKind::Ping]));
        assert!(waits.counts(2, &[PacketKind::Commit; 4]));
        assert!(!waits.counts(2, &[PacketKind::Commit]));
    }
}
