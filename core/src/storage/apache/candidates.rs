//! The snapshot that Apache loads: candidates that pass its look at their last bytes, newest first,
//! the first one that can be read. Apache: `FileSnap.deserialize`, `SnapStream.isValidSnapshot`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Refusal;
use super::names::{self, Role};
use crate::config::Config;
use crate::ids::Zxid;
use crate::server::action::DiskAction;
use crate::server::input::FileEntry;
use crate::storage::files::{Dir, FileName};
use crate::storage::ops::DiskIds;
use crate::storage::snapshot::{Damage, SnapshotDecoder, Source};
use crate::tree::Database;

const CHUNK: u32 = 256 * 1024;
const END: &[u8] = &[0, 0, 0, 1, b'/'];
const SHORTEST: u64 = 10;
/// It gives up behind this many.
const MOST: usize = 100;

#[derive(Debug)]
pub(super) enum Chosen {
    /// No file looks like a snapshot.
    None,
    Loaded {
        file: FileName,
        zxid: Zxid,
        database: Box<Database>,
    },
    /// Apache can read it, we cannot.
    Compressed(FileName),
    Refused(Refusal),
}

#[derive(Debug)]
struct Candidate {
    file: FileName,
    zxid: Zxid,
    len: u64,
    compressed: bool,
}

#[derive(Debug)]
pub(super) struct Candidates {
    config: Config,
    left: VecDeque<Candidate>,
    tried: usize,
    reading: Reading,
    first_fault: Option<(FileName, Damage)>,
    chosen: Option<Chosen>,
}

#[derive(Debug)]
enum Reading {
    End,
    Whole { decoder: Box<SnapshotDecoder>, offset: u64 },
}

impl Candidates {
    pub(super) fn new(config: &Config, listing: &[FileEntry]) -> Self {
        let mut found: Vec<Candidate> = listing.iter().filter_map(candidate).collect();
        found.sort_by_key(|one| core::cmp::Reverse(one.zxid));
        Self {
            config: config.clone(),
            left: found.into(),
            tried: 0,
            reading: Reading::End,
            first_fault: None,
            chosen: None,
        }
    }

    pub(super) fn want(&self, ids: &mut DiskIds) -> Option<DiskAction> {
        if self.chosen.is_some() || self.tried == MOST {
            return None;
        }
        let next = self.left.front()?;
        if next.compressed {
            return None;
        }
        let (offset, len) = match &self.reading {
            Reading::End => (next.len.saturating_sub(END.len() as u64), END.len() as u32),
            Reading::Whole { offset, .. } => (*offset, CHUNK),
        };
        Some(ids.read(next.file.clone(), offset, len).1)
    }

    /// `None`: the file is gone.
    pub(super) fn take(&mut self, bytes: Option<Bytes>) {
        let Some(next) = self.left.front() else { return };
        let Some(bytes) = bytes else { return self.pass() };
        match &mut self.reading {
            Reading::End if next.len >= SHORTEST && bytes[..] == *END => {
                self.tried += 1;
                let decoder = Box::new(SnapshotDecoder::new(Source::File, &self.config));
                self.reading = Reading::Whole { decoder, offset: 0 };
            }
            Reading::End => self.pass(),
            Reading::Whole { decoder, offset } => {
                *offset += bytes.len() as u64;
                let last = bytes.len() < CHUNK as usize;
                match decoder.push(&bytes) {
                    Err(damage) => self.fail(damage),
                    Ok(_) if last => self.whole(),
                    Ok(_) => {}
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Chosen {
        if let Some(chosen) = self.chosen {
            return chosen;
        }
        if let Some(next) = self.left.pop_front().filter(|next| next.compressed) {
            return Chosen::Compressed(next.file);
        }
        match self.first_fault {
            None => Chosen::None,
            Some((newest, Damage { offset, what })) => {
                Chosen::Refused(Refusal::NoWholeSnapshot { newest, offset, what })
            }
        }
    }

    fn whole(&mut self) {
        let Reading::Whole { decoder, .. } = core::mem::replace(&mut self.reading, Reading::End)
        else {
            return;
        };
        let Some(next) = self.left.front() else { return };
        let zxid = next.zxid;
        match decoder.finish(zxid) {
            Err(damage) => self.fail(damage),
            // No tag says which parts follow: it reads the last zxid as a digest.
            Ok(decoded) if decoded.trailer.last_zxid.is_some() && !decoded.trailer.digest => {
                let what = "written with digest.enabled=false";
                self.fail(Damage { offset: next.len, what });
            }
            Ok(decoded) => {
                let (file, database) = (next.file.clone(), Box::new(decoded.database));
                self.chosen = Some(Chosen::Loaded { file, zxid, database });
            }
        }
    }

    fn fail(&mut self, damage: Damage) {
        if let Some(next) = self.left.front() {
            self.first_fault.get_or_insert_with(|| (next.file.clone(), damage));
        }
        self.pass();
    }

    fn pass(&mut self) {
        self.left.pop_front();
        self.reading = Reading::End;
    }
}

fn candidate(entry: &FileEntry) -> Option<Candidate> {
    let Role::Snapshot { zxid, compressed } = names::role(&entry.name) else { return None };
    let file = FileName::new(Dir::Data, entry.name.clone());
    Some(Candidate { file, zxid, len: entry.len, compressed })
}
