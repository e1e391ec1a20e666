//! What faults took from disks: copies that a wipe or rot destroyed are charged to the fault, not
//! to the server.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::{Note, Phase};

use crate::disk_view::DiskView;
use crate::ids::NodeId;
use crate::observe::{Durable, LossKind, SimEvent};

/// Servers whose history a fault has hit, until they have recovered from it and synced again.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    charges: BTreeMap<ServerId, Charge>,
    boots: BTreeMap<ServerId, u32>,
    recovering: BTreeSet<ServerId>,
    /// Servers that lead nobody and follow nobody: what they take off their disk is a TRUNC's work.
    roleless: BTreeSet<ServerId>,
    /// Newest durable zxid of each server, as last seen.
    durable: BTreeMap<ServerId, Option<Zxid>>,
    fall: Option<Fall>,
}

#[derive(Clone, Copy, Debug)]
struct Charge {
    /// The incarnation that was hit. A sync within it proves nothing: rot shows at a recovery.
    boot: u32,
    /// Everything up to here was durable before the fault showed.
    upto: Option<Zxid>,
    /// Rot is still in what the disk holds. A wipe leaves nothing: what is written after it must be as
    /// whole as on any new disk.
    rotten: bool,
    /// Not in snapshots alone.
    in_logs: bool,
}

/// The newest durable zxid of a server went back by the event that is judged now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fall {
    pub from: Option<Zxid>,
    pub to: Option<Zxid>,
}

impl Damage {
    pub(crate) fn learn(&mut self, node: NodeId, event: &SimEvent, disks: &dyn DiskView) {
        self.fall = None;
        let NodeId::Server(server) = node else { return };
        let boot = self.boots.get(&server).copied().unwrap_or(0);
        match event {
            SimEvent::Boot { incarnation } => {
                self.boots.insert(server, *incarnation);
                self.recovering.insert(server);
            }
            SimEvent::Note(Note::PhaseEntered { phase, .. }) => {
                match phase {
                    Phase::Looking => self.roleless.insert(server),
                    _ => self.roleless.remove(&server),
                };
                return;
            }
            SimEvent::HistoryLost(kind) => self.charge(server, boot, *kind),
            SimEvent::Note(Note::AckedNewLeader { .. }) => {
                if self.charges.get(&server).is_some_and(|charge| boot > charge.boot) {
                    self.charges.remove(&server);
                }
                return;
            }
            SimEvent::Durable(_)
            | SimEvent::Crash(_)
            | SimEvent::Exit(_)
            | SimEvent::Note(Note::Recovered { .. }) => {}
            // Nothing else changes what is durable.
            _ => return,
        }
        let before = self.look(server, disks);
        if self.rest_goes(server, event)
            && let Some(charge) = self.charges.get_mut(&server)
        {
            charge.upto = charge.upto.max(before);
        }
        if matches!(event, SimEvent::Note(Note::Recovered { .. })) {
            self.recovering.remove(&server);
        }
    }

    fn charge(&mut self, server: ServerId, boot: u32, kind: LossKind) {
        let before = self.durable.get(&server).copied().flatten();
        let new = Charge { boot, upto: before, rotten: false, in_logs: false };
        let charge = self.charges.entry(server).or_insert(new);
        charge.boot = boot;
        charge.upto = match kind {
            // Nor is what was written just now.
            LossKind::Misdirected => Some(Zxid(u64::MAX)),
            LossKind::BitRot | LossKind::SnapshotRot | LossKind::Wiped => charge.upto.max(before),
        };
        charge.rotten = match kind {
            LossKind::BitRot | LossKind::SnapshotRot | LossKind::Misdirected => true,
            LossKind::Wiped => false,
        };
        charge.in_logs = match kind {
            LossKind::SnapshotRot => charge.in_logs,
            LossKind::BitRot | LossKind::Misdirected => true,
            LossKind::Wiped => false,
        };
    }

    /// Returns what was newest before.
    fn look(&mut self, server: ServerId, disks: &dyn DiskView) -> Option<Zxid> {
        let last = disks.durable_last_log(server).max(disks.durable_snapshot(server));
        let before = self.durable.insert(server, last).flatten();
        self.fall = (last < before).then_some(Fall { from: before, to: last });
        before
    }

    /// Whether what was logged behind the damage goes with it: cut off or set aside by a recovery, or set aside,
    /// file by file, by a TRUNC that meets rot in front of its cut.
    fn rest_goes(&self, server: ServerId, event: &SimEvent) -> bool {
        let aside = matches!(event, SimEvent::Durable(Durable::Removed { aside: true }));
        let recovers = self.recovering.contains(&server);
        let truncates = self.roleless.contains(&server) && self.is_rotten(server);
        recovers && self.fall.is_some() || aside && (recovers || truncates)
    }

    /// What this event took off the disk of its server.
    pub(crate) fn fall(&self) -> Option<Fall> {
        self.fall
    }

    /// Whether a fault has hit this server and it has not synced since it recovered from it.
    pub(crate) fn is_damaged(&self, server: ServerId) -> bool {
        self.charges.contains_key(&server)
    }

    /// Whether rot may be found on the disk of this server.
    pub(crate) fn is_rotten(&self, server: ServerId) -> bool {
        self.charges.get(&server).is_some_and(|charge| charge.rotten)
    }

    /// Whether rot may be found in a log of this server.
    pub(crate) fn is_rotten_in_logs(&self, server: ServerId) -> bool {
        self.charges.get(&server).is_some_and(|charge| charge.in_logs)
    }

    /// Whether the server's copy of this transaction, if it is gone, went with a fault.
    pub(crate) fn took(&self, server: ServerId, zxid: Zxid) -> bool {
        self.charges.get(&server).is_some_and(|charge| charge.upto >= Some(zxid))
    }

    /// Whether it went with rot. The server may not know yet.
    pub(crate) fn rotted(&self, server: ServerId, zxid: Zxid) -> bool {
        self.is_rotten(server) && self.took(server, zxid)
    }
}
