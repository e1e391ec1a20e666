//! One file's content, whatever its name is now, and what it means to those who know the format.

use vivarium_core::ids::Zxid;
use vivarium_core::storage::files::FileName;

use crate::disk::content::Content;
use crate::disk::index::{LogIndex, Record, is_complete_snapshot};

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) content: Content,
    pub(super) meaning: Meaning,
    /// The first durable byte that changed since its meaning was read; `None`: nothing did.
    unread: Option<u64>,
}

/// What durable content says, by the name that it has.
#[derive(Clone, Debug, Default)]
pub(super) enum Meaning {
    #[default]
    Other,
    Log(LogIndex),
    Snapshot {
        sealed: bool,
    },
}

impl Inode {
    pub(super) fn index(&self) -> Option<&LogIndex> {
        match &self.meaning {
            Meaning::Log(index) => Some(index),
            Meaning::Snapshot { .. } | Meaning::Other => None,
        }
    }

    pub(super) fn records(&self) -> &[Record] {
        self.index().map_or(&[], LogIndex::records)
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.meaning, Meaning::Snapshot { sealed: true })
    }

    /// The record of a log that begins there is damaged.
    pub(super) fn lose_record(&mut self, start: u64) {
        if let Meaning::Log(index) = &mut self.meaning {
            index.rot(start);
        }
    }

    /// Durable content changed at `from` at the earliest.
    pub(super) fn changed(&mut self, from: u64) {
        self.unread = Some(self.unread.map_or(from, |known| known.min(from)));
    }

    /// The first byte that its meaning under this name does not tell of yet.
    pub(super) fn unread_as(&self, name: &FileName) -> Option<u64> {
        let is_log = log_zxid(name).is_some();
        let is_snapshot = snapshot_zxid(name).is_some();
        match &self.meaning {
            Meaning::Log(_) if is_log => self.unread,
            Meaning::Snapshot { .. } if is_snapshot => self.unread,
            Meaning::Log(_) | Meaning::Snapshot { .. } | Meaning::Other => {
                (is_log || is_snapshot).then_some(0)
            }
        }
    }

    /// Brings the meaning up to date, under the name that the content has now.
    pub(super) fn read_as(&mut self, name: &FileName, hash: fn(&[u8]) -> u64) {
        let from = self.unread_as(name);
        self.unread = None;
        let Some(from) = from else { return };
        if log_zxid(name).is_some() {
            if !matches!(self.meaning, Meaning::Log(_)) {
                self.meaning = Meaning::Log(LogIndex::default());
            }
            if let Meaning::Log(index) = &mut self.meaning {
                let durable = self.content.durable();
                index.update(&durable.head(), durable.len() as u64, from, hash);
            }
        } else {
            let durable = self.content.durable();
            let sealed = is_complete_snapshot(&durable.slices(), durable.len());
            self.meaning = Meaning::Snapshot { sealed };
        }
    }
}

pub(super) fn log_zxid(name: &FileName) -> Option<Zxid> {
    hex_suffix(name, "log.")
}

pub(super) fn snapshot_zxid(name: &FileName) -> Option<Zxid> {
    hex_suffix(name, "snapshot.")
}

fn hex_suffix(name: &FileName, prefix: &str) -> Option<Zxid> {
    u64::from_str_radix(name.name.strip_prefix(prefix)?, 16).ok().map(Zxid)
}
