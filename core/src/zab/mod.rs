//! ZAB: discovery, synchronization, broadcast. Transactions are opaque bytes with a zxid here.
//!
//! Paper: Junqueira, Reed, Serafini, "Zab: High-performance broadcast for primary-backup systems"
//! (DSN 2011), phases 1 to 3, as ZooKeeper 3.9 carries them out (PROTOCOL 3.4 to 3.8).

pub mod catch_up;
pub mod following;
pub mod history;
pub mod leading;
pub mod window;

use crate::config::Config;
use crate::ensemble::Ensemble;
use crate::ids::{DialIds, Zxid};
use crate::server::outbox::Outbox;
use crate::server::view::Counters;
use crate::storage::snapshot::Grade;
use crate::time::{Span, Stamp};
use crate::zab::history::History;

/// A snapshot that recovery loaded or this server sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSnapshot {
    pub zxid: Zxid,
    pub grade: Grade,
}

/// What every phase may use while it handles one input.
pub struct ZabCx<'a> {
    pub config: &'a Config,
    pub ensemble: &'a Ensemble,
    pub at: Stamp,
    pub history: &'a mut History,
    /// Snapshots that a SNAP may be served from, oldest first.
    pub snapshots: &'a [KnownSnapshot],
    pub out: &'a mut Outbox,
    pub counters: &'a mut Counters,
    pub dials: &'a mut DialIds,
}

impl ZabCx<'_> {
    /// The newest snapshot that holds the state of exactly its zxid, needs no damaged log, and is
    /// not behind `least`.
    pub fn newest_exact_snapshot(&self, least: Option<Zxid>) -> Option<Zxid> {
        self.newest_snapshot(Grade::Exact, least)
    }

    /// The same, where later transactions may have left parts in it.
    pub fn newest_fuzzy_snapshot(&self, least: Option<Zxid>) -> Option<Zxid> {
        self.newest_snapshot(Grade::Fuzzy, least)
    }

    fn newest_snapshot(&self, grade: Grade, least: Option<Zxid>) -> Option<Zxid> {
        let usable = |snapshot: &&KnownSnapshot| {
            snapshot.grade == grade && Some(snapshot.zxid) >= self.history.damaged_to().max(least)
        };
        self.snapshots.iter().rev().find(usable).map(|snapshot| snapshot.zxid)
    }

    pub fn newest_exact_snapshot_up_to(&self, upto: Zxid) -> Option<Zxid> {
        let usable =
            |snapshot: &&KnownSnapshot| snapshot.grade == Grade::Exact && snapshot.zxid <= upto;
        self.snapshots.iter().rev().find(usable).map(|snapshot| snapshot.zxid)
    }

    /// Whether the log lacks nothing behind `zxid`: recovery and purges keep it whole behind each snapshot
    /// that is kept, and it is whole from where it begins.
    pub fn log_reaches_back_to(&self, zxid: Zxid) -> bool {
        let oldest = self.snapshots.first().map(|snapshot| snapshot.zxid);
        let begins = self.history.log.files().first().map(|file| file.first);
        oldest.is_some_and(|oldest| oldest <= zxid) || begins.is_some_and(|begins| begins <= zxid)
    }

    pub fn init_limit(&self) -> Span {
        self.config.tick.times(self.config.init_limit_ticks)
    }

    pub fn sync_limit(&self) -> Span {
        self.config.tick.times(self.config.sync_limit_ticks)
    }
}
