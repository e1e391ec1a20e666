//! The log played onto a snapshot, as Apache does it: files from the newest one below the next zxid
//! on, each to what it takes for the end. Apache: `FileTxnSnapLog.fastForwardFromEdits`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::entries::{Entries, Met, header_fault};
use super::names::{self, Role};
use super::{PlayedLog, Refusal, Remains};
use crate::ids::Zxid;
use crate::server::action::DiskAction;
use crate::server::input::FileEntry;
use crate::storage::files::{Dir, FileName};
use crate::storage::ops::DiskIds;
use crate::storage::txnlog::{FILE_HEADER_LEN, FRAME_LEN, holds_record};
use crate::tree::Database;
use crate::txn::TxnDigest;

const CHUNK: usize = 256 * 1024;
/// The only digest that is compared.
const DIGEST_VERSION: i32 = 2;

#[derive(Debug)]
pub(super) struct Play {
    payload_limit: usize,
    /// In the order in which they are read, with the zxid of their names.
    files: Vec<(FileName, Zxid)>,
    file: usize,
    reading: Reading,
    asked: usize,
    /// Records below it are passed over.
    start: Zxid,
    pub(super) database: Box<Database>,
    pub(super) played: Vec<PlayedLog>,
    pub(super) remains: Vec<Remains>,
    pub(super) digest_agrees: Option<bool>,
    pub(super) refusal: Option<Refusal>,
}

#[derive(Debug)]
enum Reading {
    Header,
    Entries(Entries),
    /// Behind the end: is there more than padding?
    Rest(Rest),
}

#[derive(Debug)]
struct Rest {
    start: u64,
    at: u64,
    /// End of the last byte that is not zero.
    end: u64,
    head: Vec<u8>,
}

impl Play {
    pub(super) fn new(
        payload_limit: usize,
        log_dir: Dir,
        listing: &[FileEntry],
        snapshot: Zxid,
        database: Box<Database>,
    ) -> Self {
        let start = Zxid(snapshot.0.saturating_add(1));
        let mut files: Vec<(FileName, Zxid)> = logs(log_dir, listing).collect();
        files.sort_by_key(|(_, first)| *first);
        let from = files.iter().rposition(|(_, first)| *first < start).unwrap_or(0);
        Self {
            payload_limit,
            files: files.split_off(from),
            file: 0,
            reading: Reading::Header,
            asked: 0,
            start,
            database,
            played: Vec::new(),
            remains: Vec::new(),
            digest_agrees: None,
            refusal: None,
        }
    }

    pub(super) fn want(&mut self, ids: &mut DiskIds) -> Option<DiskAction> {
        if self.refusal.is_some() {
            return None;
        }
        let (file, _) = self.files.get(self.file)?;
        let (offset, len) = match &self.reading {
            Reading::Header => (0, FILE_HEADER_LEN as usize),
            Reading::Entries(entries) => (entries.wants(), self.asked.max(CHUNK)),
            Reading::Rest(rest) => (rest.at, CHUNK),
        };
        self.asked = len;
        Some(ids.read(file.clone(), offset, len as u32).1)
    }

    /// `None`: the file is gone.
    pub(super) fn take(&mut self, bytes: Option<Bytes>) {
        let Some((file, _)) = self.files.get(self.file) else { return };
        let Some(bytes) = bytes else { return self.next_file() };
        let last = bytes.len() < self.asked;
        match &mut self.reading {
            Reading::Header => {
                let newest = self.file + 1 == self.files.len();
                if let Some(what) = header_fault(&bytes, newest) {
                    let file = file.clone();
                    self.refusal = Some(Refusal::Log { file, offset: 0, what });
                } else if bytes.is_empty() {
                    self.next_file();
                } else {
                    self.played.push(PlayedLog::new(file.clone()));
                    self.reading = Reading::Entries(Entries::new(self.payload_limit));
                }
            }
            Reading::Entries(entries) => {
                entries.push(&bytes);
                self.asked = 0;
                self.entries(last);
            }
            Reading::Rest(rest) => {
                rest.push(&bytes, self.payload_limit + FRAME_LEN);
                if last {
                    self.judge();
                }
            }
        }
    }

    fn entries(&mut self, last: bool) {
        loop {
            let Reading::Entries(entries) = &mut self.reading else { return };
            match entries.next(last) {
                Met::NeedMore(need) => {
                    self.asked = need;
                    return;
                }
                Met::Entry(record, txn) => {
                    self.count(record.zxid, record.end);
                    if let Some(txn) = txn.filter(|_| record.zxid >= self.start) {
                        self.database.replay(&txn);
                        self.compare(txn.digest);
                    }
                }
                Met::End { offset } => {
                    self.reading = Reading::Rest(Rest::new(offset));
                    return;
                }
                Met::Refused { offset, what } => {
                    let (file, _) = self.files[self.file].clone();
                    self.refusal = Some(Refusal::Log { file, offset, what });
                    return;
                }
            }
        }
    }

    fn count(&mut self, zxid: Zxid, end: u64) {
        if let Some(log) = self.played.last_mut() {
            log.entries += 1;
            log.last = Some(zxid);
            log.end = end;
        }
    }

    fn compare(&mut self, digest: Option<TxnDigest>) {
        if let Some(digest) = digest.filter(|digest| digest.version == DIGEST_VERSION) {
            self.digest_agrees = Some(digest.tree == self.database.digest().tree);
        }
    }

    fn judge(&mut self) {
        let Reading::Rest(rest) = &self.reading else { return };
        if rest.end > rest.start {
            let (file, _) = self.files[self.file].clone();
            let records = rest.head.get(1..).unwrap_or_default();
            self.remains.push(Remains {
                file,
                offset: rest.start,
                bytes: rest.end - rest.start,
                records: holds_record(records, self.payload_limit),
            });
        }
        self.next_file();
    }

    fn next_file(&mut self) {
        self.file += 1;
        self.reading = Reading::Header;
    }
}

impl Rest {
    fn new(start: u64) -> Self {
        Self { start, at: start, end: start, head: Vec::new() }
    }

    fn push(&mut self, chunk: &[u8], head_max: usize) {
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            self.end = self.at + last as u64 + 1;
        }
        let room = (2 * head_max).saturating_sub(self.head.len());
        self.head.extend_from_slice(&chunk[..room.min(chunk.len())]);
        self.at += chunk.len() as u64;
    }
}

/// Every file that counts as a log.
pub(super) fn logs(
    dir: Dir,
    listing: &[FileEntry],
) -> impl Iterator<Item = (FileName, Zxid)> + use<'_> {
    listing.iter().filter_map(move |entry| match names::role(&entry.name) {
        Role::Log { zxid } => Some((FileName::new(dir, entry.name.clone()), zxid)),
        Role::Snapshot { .. } | Role::Other => None,
    })
}
