//! Reads a range of transactions back from the log, for DIFF from disk and behind a SNAP.
//! Facts: PROTOCOL 3.6 row 5. Apache: `FileTxnIterator`.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::config::Config;
use crate::ids::{ReadId, Zxid};
use crate::server::action::DiskAction;
use crate::server::input::ReadData;
use crate::storage::files::{FileName, LogFile};
use crate::storage::ops::DiskIds;
use crate::storage::txnlog::{self, Record, RecordScanner, Scanned};

const CHUNK: usize = 64 * 1024;

/// Why a range cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorFault {
    /// The log does not reach back to where the reader stands, or lacks a transaction after it.
    Gap,
    /// A file was purged meanwhile.
    Missing(FileName),
    Damaged {
        file: FileName,
        offset: u64,
        what: &'static str,
    },
}

/// A pull reader over log files. Holds one chunk, or one record where that is longer.
#[derive(Debug)]
pub struct LogCursor {
    files: VecDeque<LogFile>,
    scanner: RecordScanner,
    payload_limit: usize,
    after: Zxid,
    upto: Zxid,
    /// The greatest zxid read that is not above `after`.
    floor: Option<Zxid>,
    /// The newest record found above `after`.
    found: Option<Zxid>,
    asked: Option<(ReadId, usize)>,
    want: usize,
    /// Whether the first record read has to lie at or below `after`.
    anchored: bool,
    ended: bool,
}

impl LogCursor {
    /// For DIFF: the transactions in (`after`, `upto`]. The first record of the oldest file that
    /// is read has to be at or below `after`, else the log may lack what lies between.
    pub fn behind(
        config: &Config,
        files: &[LogFile],
        after: Zxid,
        upto: Zxid,
    ) -> Result<Self, CursorFault> {
        let start = files.iter().rposition(|file| file.first <= after).ok_or(CursorFault::Gap)?;
        Ok(Self::new(config, &files[start..], after, upto, true))
    }

    /// For what follows an own snapshot of `zxid`: recovery and the writer keep the log whole from
    /// there on. Where a file starts right behind it, what lies in front is not looked at: it may be
    /// damaged, and the snapshot covers it. Where each file starts behind `upto`, nothing lies between.
    pub fn behind_snapshot(config: &Config, files: &[LogFile], zxid: Zxid, upto: Zxid) -> Self {
        let follows = zxid.next().unwrap_or(zxid);
        let start = files.iter().rposition(|file| file.first <= follows).unwrap_or(0);
        Self::new(config, &files[start..], zxid, upto, false)
    }

    fn new(config: &Config, files: &[LogFile], after: Zxid, upto: Zxid, anchored: bool) -> Self {
        let payload_limit = txnlog::payload_limit(config);
        let files = reaching(files, upto);
        let ended = after >= upto || files.is_empty();
        Self {
            files,
            scanner: RecordScanner::new(payload_limit),
            payload_limit,
            after,
            upto,
            floor: None,
            found: None,
            asked: None,
            want: CHUNK,
            anchored,
            ended,
        }
    }

    /// Goes on where it ended, up to `upto`, so that a reader that falls behind again and again
    /// reads nothing twice. `files` are those of now. `None` where its place is purged.
    pub fn extended(mut self, files: &[LogFile], upto: Zxid) -> Option<Self> {
        // A record behind the end was read and dropped: it would be missing.
        if self.found > Some(self.upto) {
            return None;
        }
        let place = self.files.front()?;
        let at = files.iter().position(|file| file.name == place.name)?;
        self.files = reaching(&files[at..], upto);
        self.scanner.rewind();
        self.upto = upto;
        self.ended = self.found.unwrap_or(self.after) >= upto;
        Some(self)
    }

    /// Where it ends: not always a transaction, since Apache's snapshots may bear the name of an
    /// epoch's start.
    pub fn upto(&self) -> Zxid {
        self.upto
    }

    /// Every transaction up to the wanted one was handed out.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The greatest zxid of the log at or below where the reader stands, among what was read:
    /// equal to it where the log knows it.
    pub fn floor(&self) -> Option<Zxid> {
        self.floor
    }

    /// What lies behind the file that is read: its damage reaches no further.
    pub fn next_file_starts(&self) -> Option<Zxid> {
        self.files.get(1).map(|file| file.first)
    }

    /// The next chunk to read; `None` while one is under way and at the end.
    pub fn next_read(&mut self, ids: &mut DiskIds) -> Option<(ReadId, DiskAction)> {
        if self.ended || self.asked.is_some() {
            return None;
        }
        let file = self.files.front()?.name.clone();
        let len = self.want;
        let (read, action) = ids.read(file, self.scanner.wants(), len as u32);
        self.asked = Some((read, len));
        Some((read, action))
    }

    /// Whether that read belongs to this cursor.
    pub fn awaits(&self, read: ReadId) -> bool {
        self.asked.is_some_and(|(asked, _)| asked == read)
    }

    /// The transactions that the chunk completed, in order.
    pub fn on_read(&mut self, data: ReadData) -> Result<Vec<Record>, CursorFault> {
        let mut records = Vec::new();
        let Some((_, asked)) = self.asked.take() else { return Ok(records) };
        let Some(file) = self.files.front().map(|file| file.name.clone()) else {
            return Ok(records);
        };
        let ReadData::Bytes(bytes) = data else { return Err(CursorFault::Missing(file)) };
        let last = bytes.len() < asked;
        self.scanner.take(bytes);
        self.want = CHUNK;
        loop {
            match self.scanner.next(last) {
                Scanned::Record(record) => {
                    self.take(record, &mut records)?;
                    if self.ended {
                        return Ok(records);
                    }
                }
                Scanned::NeedMore(need) => {
                    self.want = need.max(CHUNK);
                    return Ok(records);
                }
                Scanned::End { .. } => {
                    self.next_file()?;
                    return Ok(records);
                }
                Scanned::Bad { offset, flaw } => {
                    let what = flaw.what();
                    return Err(CursorFault::Damaged { file, offset, what });
                }
            }
        }
    }

    fn take(&mut self, record: Record, records: &mut Vec<Record>) -> Result<(), CursorFault> {
        let zxid = record.zxid;
        if zxid <= self.after {
            self.anchored = false;
            self.floor = Some(zxid);
            return Ok(());
        }
        if self.anchored {
            return Err(CursorFault::Gap);
        }
        // Java's logs may hold one zxid twice; the first record is the transaction (T2).
        if self.found == Some(zxid) {
            return Ok(());
        }
        let follows = |before: Zxid| {
            before.next() == Some(zxid) || (zxid.epoch() > before.epoch() && zxid.counter() == 1)
        };
        let before = self.found.or(self.floor).unwrap_or(self.after);
        if !follows(before) && (self.found.is_some() || !follows(self.after)) {
            return Err(CursorFault::Gap);
        }
        self.found = Some(zxid);
        if zxid <= self.upto {
            records.push(record);
        }
        self.ended = zxid >= self.upto;
        Ok(())
    }

    fn next_file(&mut self) -> Result<(), CursorFault> {
        let (offset, blank) = (self.scanner.offset(), self.scanner.is_blank());
        let Some(file) = self.files.front() else { return Ok(()) };
        let what = match self.files.get(1) {
            None => "the log ends before the transaction that was asked for",
            Some(_) if file.ends_at(offset, blank) => {
                self.files.pop_front();
                self.scanner = RecordScanner::new(self.payload_limit);
                return Ok(());
            }
            Some(_) => "the file ends before records that were written to it",
        };
        Err(CursorFault::Damaged { file: file.name.clone(), offset, what })
    }
}

/// The files that may hold transactions up to `upto`.
fn reaching(files: &[LogFile], upto: Zxid) -> VecDeque<LogFile> {
    files.iter().filter(|file| file.first <= upto).cloned().collect()
}
