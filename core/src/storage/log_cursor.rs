//! Reads a range of transactions back from the log, for DIFF from disk and behind a SNAP.
//! Facts: PROTOCOL 3.6 row 5. Apache: `FileTxnIterator`.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::ids::{ReadId, Zxid};
use crate::server::action::DiskAction;
use crate::storage::files::FileName;
use crate::storage::inventory::LogFile;
use crate::storage::ops::DiskIds;
use crate::storage::txnlog::{Record, RecordScanner, Scanned};

const CHUNK: usize = 64 * 1024;
/// More than any record takes: a damaged length asks for no more than this.
const PAYLOAD_MAX: usize = 128 * 1024 * 1024;

/// Why a range cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorFault {
    /// The log lacks transactions between where the reader stands and the first one found.
    Gap,
    Damaged {
        file: FileName,
        offset: u64,
        what: &'static str,
    },
}

/// A pull reader of the transactions in (`after`, `upto`]. Holds one chunk, or one record where
/// that is longer.
#[derive(Debug)]
pub struct LogCursor {
    files: VecDeque<FileName>,
    scanner: RecordScanner,
    after: Zxid,
    upto: Zxid,
    floor: Floor,
    /// Found and not yet taken.
    records: VecDeque<(Zxid, Bytes)>,
    /// The newest record found.
    found: Option<Zxid>,
    asked: Option<(ReadId, usize)>,
    want: usize,
}

/// The newest transaction of the log at or below where the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floor {
    /// So far.
    Open(Option<Zxid>),
    /// A later one was met.
    Known(Option<Zxid>),
}

impl LogCursor {
    /// `files`: oldest first. Starts in the newest one that begins at or before `after`, or in the
    /// oldest of all: behind a SNAP the log starts right after the snapshot.
    pub fn new(files: &[LogFile], after: Zxid, upto: Zxid) -> Self {
        let start = files.iter().rposition(|file| file.first <= after).unwrap_or(0);
        let files = files[start..].iter().filter(|file| file.first <= upto);
        Self {
            files: files.map(|file| file.name.clone()).collect(),
            scanner: RecordScanner::new(PAYLOAD_MAX),
            after,
            upto,
            floor: Floor::Open(None),
            records: VecDeque::new(),
            found: None,
            asked: None,
            want: CHUNK,
        }
    }

    /// The newest zxid in the log at or below `after`, which it equals where the log holds it.
    /// `None`: not known yet, read on. A gap where even the oldest record is newer.
    pub fn floor(&self) -> Result<Option<Zxid>, CursorFault> {
        match self.floor {
            Floor::Known(None) => Err(CursorFault::Gap),
            Floor::Known(Some(zxid)) => Ok(Some(zxid)),
            Floor::Open(floor) => Ok(floor.filter(|zxid| *zxid == self.after)),
        }
    }

    /// The next transaction, in order; `None` where another chunk has to be read first, or at the
    /// end.
    pub fn next_record(&mut self) -> Result<Option<(Zxid, Bytes)>, CursorFault> {
        Ok(self.records.pop_front())
    }

    /// Every transaction up to `upto` was taken.
    pub fn is_done(&self) -> bool {
        self.is_read() && self.records.is_empty()
    }

    /// The next chunk to read; `None` while one is under way and at the end.
    pub fn next_read(&mut self, ids: &mut DiskIds) -> Option<(ReadId, DiskAction)> {
        if self.is_read() || self.asked.is_some() {
            return None;
        }
        let file = self.files.front()?.clone();
        let (read, action) = ids.read_file(file, self.scanner.wants(), self.want as u32);
        self.asked = Some((read, self.want));
        Some((read, action))
    }

    /// Takes the chunk that was read.
    pub fn on_read(&mut self, chunk: Bytes) -> Result<(), CursorFault> {
        let Some((_, asked)) = self.asked.take() else { return Ok(()) };
        let last = chunk.len() < asked;
        self.scanner.push(&chunk);
        self.want = CHUNK;
        while !self.is_read() {
            match self.scanner.next(last) {
                Scanned::Record(record) => self.take(record)?,
                Scanned::NeedMore(need) => {
                    self.want = need.max(CHUNK);
                    break;
                }
                Scanned::End { offset } => {
                    let what = "the log ends before the transaction that was asked for";
                    self.next_file(offset, what)?;
                    break;
                }
                Scanned::Bad { offset, what } => return Err(self.damaged(offset, what)),
            }
        }
        Ok(())
    }

    fn is_read(&self) -> bool {
        self.after >= self.upto || self.found.is_some_and(|zxid| zxid >= self.upto)
    }

    fn take(&mut self, record: Record) -> Result<(), CursorFault> {
        let zxid = record.zxid;
        if zxid <= self.after {
            self.floor = Floor::Open(Some(zxid));
            return Ok(());
        }
        if let Floor::Open(floor) = self.floor {
            self.floor = Floor::Known(floor);
        }
        let before = match (self.found, self.floor) {
            // Java's logs may hold one zxid twice; the first record is the transaction (T2).
            (Some(found), _) if found == zxid => return Ok(()),
            (Some(found), _) => found,
            (None, Floor::Known(Some(floor))) => floor,
            (None, Floor::Known(None) | Floor::Open(_)) => self.after,
        };
        let follows =
            before.next() == Some(zxid) || (zxid.epoch() > before.epoch() && zxid.counter() == 1);
        if !follows {
            return Err(CursorFault::Gap);
        }
        self.found = Some(zxid);
        if zxid <= self.upto {
            self.records.push_back((zxid, record.payload));
        }
        Ok(())
    }

    fn next_file(&mut self, offset: u64, what: &'static str) -> Result<(), CursorFault> {
        if self.files.len() <= 1 {
            return Err(self.damaged(offset, what));
        }
        self.files.pop_front();
        self.scanner = RecordScanner::new(PAYLOAD_MAX);
        Ok(())
    }

    fn damaged(&self, offset: u64, what: &'static str) -> CursorFault {
        match self.files.front().cloned() {
            Some(file) => CursorFault::Damaged { file, offset, what },
            None => CursorFault::Gap,
        }
    }
}
