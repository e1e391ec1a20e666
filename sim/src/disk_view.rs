//! What checkers may ask of the simulated disks, without a recovery.

use vivarium_core::ids::{Epoch, ServerId, Zxid};

/// The state that would survive a power cut at this moment: synced content of synced names.
pub trait DiskView {
    /// A durable log record of `zxid` with this payload hash, or a durable complete snapshot at
    /// or above `zxid`.
    fn durable_has_txn(&self, server: ServerId, zxid: Zxid, hash: u64) -> bool;

    /// A durable log record of `zxid` with this payload hash, whatever snapshots cover.
    fn durable_has_record(&self, server: ServerId, zxid: Zxid, hash: u64) -> bool;

    /// The newest durable log record of the newest log file that has any.
    fn durable_last_log(&self, server: ServerId) -> Option<Zxid>;

    /// The newest durable and complete snapshot.
    fn durable_snapshot(&self, server: ServerId) -> Option<Zxid>;

    /// All durable and complete snapshots, oldest first.
    fn durable_snapshots(&self, server: ServerId) -> Vec<Zxid>;

    /// The whole records of all log files, file by file.
    fn durable_log(&self, server: ServerId) -> Vec<Zxid>;

    /// How much a recovery would have to take for the remains of one torn batch: bytes of what lies whole
    /// behind the first record that a fault damaged, without an end where a newer file follows. `None`:
    /// nothing is damaged.
    fn rot_reach(&self, server: ServerId) -> Option<u64>;

    /// `None`: no such durable file, or it does not parse.
    fn durable_accepted_epoch(&self, server: ServerId) -> Option<Epoch>;
    fn durable_current_epoch(&self, server: ServerId) -> Option<Epoch>;
}

/// Disks of nobody: for observers that are tested alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDisks;

impl DiskView for NoDisks {
    fn durable_has_txn(&self, _: ServerId, _: Zxid, _: u64) -> bool {
        false
    }
    fn durable_has_record(&self, _: ServerId, _: Zxid, _: u64) -> bool {
        false
    }
    fn durable_last_log(&self, _: ServerId) -> Option<Zxid> {
        None
    }
    fn durable_snapshot(&self, _: ServerId) -> Option<Zxid> {
        None
    }
    fn durable_snapshots(&self, _: ServerId) -> Vec<Zxid> {
        Vec::new()
    }
    fn durable_log(&self, _: ServerId) -> Vec<Zxid> {
        Vec::new()
    }
    fn rot_reach(&self, _: ServerId) -> Option<u64> {
        None
    }
    fn durable_accepted_epoch(&self, _: ServerId) -> Option<Epoch> {
        None
    }
    fn durable_current_epoch(&self, _: ServerId) -> Option<Epoch> {
        None
    }
}
