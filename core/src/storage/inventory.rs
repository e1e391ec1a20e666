//! Which logs and snapshots of the own history lie on disk, as far as readers may rely on them.

use alloc::vec::Vec;

use crate::ids::Zxid;
use crate::storage::files::FileName;

/// A transaction log file, named after its first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    pub first: Zxid,
    pub name: FileName,
    /// Bytes up to the end of the last record; of files that were not read, padding included.
    pub len: u64,
}

/// A sealed snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    pub zxid: Zxid,
    pub len: u64,
    /// Holds the state of exactly its zxid: ours do, Apache's may be fuzzy (DESIGN section 2).
    pub exact: bool,
}

/// Both lists are in zxid order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub logs: Vec<LogFile>,
    pub snapshots: Vec<SnapshotFile>,
}

impl Inventory {
    /// The snapshot that a SNAP is served from.
    pub fn newest_exact(&self) -> Option<SnapshotFile> {
        self.snapshots.iter().rev().find(|snapshot| snapshot.exact).copied()
    }
}
