//! What lies in the folders.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::config::Config;
use crate::ids::{Epoch, Zxid};
use crate::server::action::{DiskAction, FatalReason};
use crate::server::input::{FileEntry, ReadData};
use crate::storage::files::{
    Dir, EpochFile, FileName, Known, LogFile, initialize_marker, parse_epoch,
};
use crate::storage::ops::DiskIds;

/// More than any epoch's decimal text.
const EPOCH_TEXT_MAX: u32 = 64;

/// The epoch files that could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    pub accepted: Option<Epoch>,
    pub current: Option<Epoch>,
    /// From `currentEpoch.tmp`: written, not yet renamed. Torn where it is not a number.
    pub current_tmp: Option<Epoch>,
}

impl Epochs {
    pub(super) fn is_empty(self) -> bool {
        self.accepted.is_none() && self.current.is_none()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub marker: bool,
    /// Files were moved aside by an earlier recovery.
    pub aside: bool,
    /// Plain snapshots, oldest first, with their lengths.
    pub snapshots: Vec<(Zxid, u64)>,
    /// Snapshots that did not decode; filled by the loader.
    pub broken: Vec<Zxid>,
    pub compressed: Vec<FileName>,
    /// Oldest first; lengths as listed, padding included.
    pub logs: Vec<LogFile>,
    pub epochs: Epochs,
    /// Unsealed snapshots and unfinished epoch files.
    pub leftovers: Vec<FileName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    List(Dir),
    Epoch(EpochFile),
    CurrentTmp,
}

#[derive(Debug)]
pub(super) struct Survey {
    asks: VecDeque<Ask>,
    log_dir: Dir,
    found: Found,
}

impl Survey {
    pub(super) fn new(config: &Config) -> Self {
        let mut asks = VecDeque::from([Ask::List(Dir::LogRoot), Ask::List(Dir::Data)]);
        if config.separate_log_dir {
            asks.push_back(Ask::List(Dir::Log));
        }
        // A lone server keeps the epoch of its last zxid and has no epoch files.
        if config.ensemble.is_some() {
            asks.push_back(Ask::Epoch(EpochFile::Accepted));
            asks.push_back(Ask::Epoch(EpochFile::Current));
            asks.push_back(Ask::CurrentTmp);
        }
        let log_dir = if config.separate_log_dir { Dir::Log } else { Dir::Data };
        Self { asks, log_dir, found: Found::default() }
    }

    pub(super) fn want(&self, ids: &mut DiskIds) -> Option<DiskAction> {
        let (_, action) = match *self.asks.front()? {
            Ask::List(dir) => ids.list(dir),
            Ask::Epoch(file) => ids.read(file.name(), 0, EPOCH_TEXT_MAX),
            Ask::CurrentTmp => ids.read(EpochFile::Current.tmp(), 0, EPOCH_TEXT_MAX),
        };
        Some(action)
    }

    pub(super) fn take(&mut self, data: ReadData) -> Result<(), FatalReason> {
        match (self.asks.pop_front(), data) {
            (Some(Ask::List(dir)), ReadData::Listing(entries)) => {
                entries.into_iter().try_for_each(|entry| self.sort(dir, entry))
            }
            (Some(Ask::Epoch(file)), ReadData::Bytes(text)) => {
                let epoch = parse_epoch(&text).map_err(|what| FatalReason::Corrupt {
                    file: file.name().to_string(),
                    offset: 0,
                    what,
                })?;
                match file {
                    EpochFile::Accepted => self.found.epochs.accepted = Some(epoch),
                    EpochFile::Current => self.found.epochs.current = Some(epoch),
                }
                Ok(())
            }
            (Some(Ask::CurrentTmp), ReadData::Bytes(text)) => {
                self.found.epochs.current_tmp = parse_epoch(&text).ok();
                Ok(())
            }
            (_, ReadData::Missing | ReadData::Bytes(_) | ReadData::Listing(_)) => Ok(()),
        }
    }

    fn sort(&mut self, dir: Dir, entry: FileEntry) -> Result<(), FatalReason> {
        let found = &mut self.found;
        if dir == Dir::LogRoot {
            found.marker |= entry.name == initialize_marker().name;
            return Ok(());
        }
        let name = FileName::new(dir, entry.name);
        let wants = |wanted: Dir, what: &str| match dir == wanted {
            true => Ok(()),
            // T45: two servers would share a folder, or an old layout would be half used.
            false => Err(FatalReason::Config(format!(
                "{name} is a {what} in the wrong folder: dataDir holds snapshots, dataLogDir holds \
                 transaction logs; move it, or set dataLogDir as it was"
            ))),
        };
        match Known::parse(&name.name) {
            Known::Snapshot(zxid) => {
                wants(Dir::Data, "snapshot")?;
                found.snapshots.push((zxid, entry.len));
            }
            Known::CompressedSnapshot(_) => {
                wants(Dir::Data, "snapshot")?;
                found.compressed.push(name);
            }
            Known::Log(first) => {
                wants(self.log_dir, "transaction log")?;
                found.logs.push(LogFile { first, name, len: entry.len, measured: false });
            }
            Known::UnsealedSnapshot(_) | Known::EpochTmp(_) if dir == Dir::Data => {
                found.leftovers.push(name);
            }
            Known::Corrupt => found.aside = true,
            Known::UnsealedSnapshot(_) | Known::EpochTmp(_) | Known::Epoch(_) | Known::Other => {}
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Found, FatalReason> {
        self.found.snapshots.sort_unstable();
        self.found.logs.sort_unstable_by_key(|log| log.first);
        Ok(self.found)
    }
}
