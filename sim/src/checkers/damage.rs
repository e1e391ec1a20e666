//! What faults took from disks: copies that a wipe or rot destroyed are charged to the fault, not
//! to the server.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Note;

use crate::disk_view::DiskView;
use crate::ids::NodeId;
use crate::observe::SimEvent;

/// Servers whose history a fault has hit, until they have recovered from it and synced again.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    charges: BTreeMap<ServerId, Charge>,
    boots: BTreeMap<ServerId, u32>,
    recovering: BTreeSet<ServerId>,
    /// Newest durable zxid of each server, as last seen.
    durable: BTreeMap<ServerId, Option<Zxid>>,
}

#[derive(Clone, Copy, Debug)]
struct Charge {
    /// The incarnation that was hit. A sync within it proves nothing: rot shows at a recovery.
    boot: u32,
    /// Everything up to here was durable before the fault showed.
    upto: Option<Zxid>,
}

impl Damage {
    pub(crate) fn learn(&mut self, node: NodeId, event: &SimEvent, disks: &dyn DiskView) {
        let NodeId::Server(server) = node else { return };
        let before = self.durable.get(&server).copied().flatten();
        let boot = self.boots.get(&server).copied().unwrap_or(0);
        if let SimEvent::Boot { incarnation } = event {
            self.boots.insert(server, *incarnation);
            self.recovering.insert(server);
        } else if matches!(event, SimEvent::HistoryLost(_)) {
            let charge = self.charges.entry(server).or_insert(Charge { boot, upto: before });
            charge.boot = boot;
            charge.upto = charge.upto.max(before);
        } else if let SimEvent::Note(note) = event
            && let Some(charge) = self.charges.get(&server)
        {
            if matches!(note, Note::AckedNewLeader { .. }) && boot > charge.boot {
                self.charges.remove(&server);
            }
        }
        let last = disks.durable_last_log(server).max(disks.durable_snapshot(server));
        // What was logged behind the rot goes with it, cut off or moved aside by the recovery.
        if last < before
            && self.recovering.contains(&server)
            && let Some(charge) = self.charges.get_mut(&server)
        {
            charge.upto = charge.upto.max(before);
        }
        if matches!(event, SimEvent::Note(Note::Recovered { .. })) {
            self.recovering.remove(&server);
        }
        self.durable.insert(server, last);
    }

    /// Whether a fault has hit this server and it has not synced since it recovered from it.
    pub(crate) fn is_damaged(&self, server: ServerId) -> bool {
        self.charges.contains_key(&server)
    }

    /// Whether the server's copy of this transaction, if it is gone, went with a fault.
    pub(crate) fn took(&self, server: ServerId, zxid: Zxid) -> bool {
        self.charges.get(&server).is_some_and(|charge| charge.upto >= Some(zxid))
    }
}
