//! The newest snapshot that decodes wholly; damaged newer ones are passed over.

use alloc::format;
use alloc::vec::Vec;

use crate::config::Config;
use crate::ids::Zxid;
use crate::server::action::{DiskAction, FatalReason};
use crate::server::input::ReadData;
use crate::storage::files::FileName;
use crate::storage::ops::DiskIds;
use crate::storage::snapshot::{Grade, SnapshotDecoder, Source};
use crate::tree::Database;

const CHUNK: u32 = 256 * 1024;

#[derive(Debug)]
pub(super) struct LoadedSnapshot {
    pub zxid: Zxid,
    pub grade: Grade,
    pub database: Database,
}

#[derive(Debug)]
pub(super) struct Loaded {
    pub snapshot: Option<LoadedSnapshot>,
    pub broken: Vec<Zxid>,
}

#[derive(Debug)]
pub(super) struct Loader {
    /// Oldest first: the next candidate is the last.
    candidates: Vec<Zxid>,
    decoder: SnapshotDecoder,
    offset: u64,
    loaded: Loaded,
}

impl Loader {
    pub(super) fn new(config: &Config, snapshots: &[(Zxid, u64)]) -> Self {
        Self {
            candidates: snapshots.iter().map(|(zxid, _)| *zxid).collect(),
            decoder: SnapshotDecoder::new(Source::File, config),
            offset: 0,
            loaded: Loaded { snapshot: None, broken: Vec::new() },
        }
    }

    pub(super) fn want(&self, ids: &mut DiskIds) -> Option<DiskAction> {
        if self.loaded.snapshot.is_some() {
            return None;
        }
        let zxid = *self.candidates.last()?;
        let (_, read) = ids.read(FileName::snapshot(zxid), self.offset, CHUNK);
        Some(read)
    }

    pub(super) fn take(&mut self, data: ReadData, config: &Config) -> Result<(), FatalReason> {
        let Some(&zxid) = self.candidates.last() else { return Ok(()) };
        let ReadData::Bytes(bytes) = data else {
            self.give_up(zxid, config);
            return Ok(());
        };
        self.offset += bytes.len() as u64;
        if self.decoder.push(&bytes).is_err() {
            self.give_up(zxid, config);
            return Ok(());
        }
        if bytes.len() == CHUNK as usize {
            return Ok(());
        }
        let fresh = SnapshotDecoder::new(Source::File, config);
        match core::mem::replace(&mut self.decoder, fresh).finish(zxid) {
            Err(_) => self.give_up(zxid, config),
            Ok(decoded) => {
                if let Some(len) = decoded.oversized {
                    return Err(oversized(&FileName::snapshot(zxid), len, config));
                }
                self.loaded.snapshot =
                    Some(LoadedSnapshot { zxid, grade: decoded.grade, database: decoded.database });
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Loaded {
        self.loaded
    }

    fn give_up(&mut self, zxid: Zxid, config: &Config) {
        self.candidates.pop();
        self.loaded.broken.push(zxid);
        self.decoder = SnapshotDecoder::new(Source::File, config);
        self.offset = 0;
    }
}

/// A whole file that this configuration is too narrow for: nothing is wrong with it.
pub(super) fn oversized(file: &FileName, len: usize, config: &Config) -> FatalReason {
    let limit = config.jute_max_buffer;
    FatalReason::Config(format!(
        "{file} is whole, yet it holds an item of {len} bytes, which jute.maxbuffer={limit} does \
         not allow: set jute.maxbuffer={len} or more here and at the other servers, as it was where \
         the file was written"
    ))
}
