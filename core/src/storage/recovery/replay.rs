//! Replays the log onto a loaded snapshot.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::config::Config;
use crate::ids::Zxid;
use crate::server::action::{DiskAction, FatalReason};
use crate::server::input::ReadData;
use crate::server::note::Note;
use crate::storage::files::{FileName, LogFile};
use crate::storage::ops::DiskIds;
use crate::storage::recovery::Corruption;
use crate::storage::recovery::load::{LoadedSnapshot, oversized};
use crate::storage::recovery::rewrite::LastBatch;
use crate::storage::recovery::tail::{Probe, Verdict};
use crate::storage::snapshot::Grade;
use crate::storage::txnlog::{
    self, FILE_HEADER_LEN, LONGEST_PAYLOAD, Record, RecordScanner, Scanned,
};
use crate::tree::Database;
use crate::txn::{LoggedTxn, payload_hash};

const CHUNK: usize = 256 * 1024;
/// A record that claims to be longer is read in steps: the length may be rot.
const CHUNK_MAX: usize = 16 * CHUNK;
/// Transactions between two reports of progress.
const REPORT_EVERY: u64 = 50_000;

/// The newest file ends in the remains of a torn batch, or holds no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TornCut {
    pub file: FileName,
    /// `None`: no record is left, the file goes.
    pub len: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Replayed {
    pub database: Database,
    pub snapshot: (Zxid, Grade),
    pub last: Zxid,
    pub tail: Vec<(Zxid, Bytes)>,
    pub notes: Vec<Note>,
    pub logs: Vec<LogFile>,
    /// Logs of a history that the snapshot replaced, oldest first: what lies between their end and
    /// the snapshot was never logged here.
    pub dead: Vec<LogFile>,
    /// What to take off the end, newest file first.
    pub cuts: Vec<TornCut>,
    /// Of the newest log.
    pub last_batch: LastBatch,
}

#[derive(Debug)]
pub(super) struct Replay {
    snapshot: (Zxid, Grade),
    database: Database,
    /// The zxid that the next record has to follow.
    last: Zxid,
    /// The log holds the record that the snapshot ends with.
    meets_snapshot: bool,
    /// A file that begins before the snapshot ends behind it.
    passes_snapshot: bool,
    logs: Vec<LogFile>,
    /// The file being read; `logs.len()` at the end.
    file: usize,
    reading: Reading,
    asked: usize,
    /// Bytes that are no record stood at the end of the file before: harmless only if the next
    /// record is the very next one.
    remains: Option<Remains>,
    cuts: Vec<TornCut>,
    corruption: Option<Corruption>,
    /// Length of a whole record that this configuration does not allow.
    oversized: Option<usize>,
    last_batch: LastBatch,
    tail: VecDeque<(Zxid, Bytes)>,
    tail_max: usize,
    notes: Vec<Note>,
    full_digest: bool,
    payload_limit: usize,
    batch_bytes: usize,
    transactions: u64,
    reported: u64,
}

/// Bytes that are no record, at the end of a file that is not the newest.
#[derive(Debug)]
struct Remains {
    corruption: Corruption,
    /// One torn batch of Java's would leave them: we cut the padding off before a new file begins, and
    /// begin none behind a torn batch.
    torn: bool,
}

#[derive(Debug)]
enum Reading {
    Records(RecordScanner),
    /// No record starts at the probe's start; what does?
    Probing {
        probe: Probe,
        what: &'static str,
    },
}

impl Replay {
    pub(super) fn new(config: &Config, snapshot: LoadedSnapshot, logs: &[LogFile]) -> Self {
        let payload_limit = txnlog::payload_limit(config);
        let zxid = snapshot.zxid;
        // The file that may hold the snapshot's last record, even where the next one starts right
        // behind it: whether the log reaches the snapshot shows there.
        let reaches = |log: &LogFile| log.first <= zxid;
        Self {
            snapshot: (zxid, snapshot.grade),
            database: snapshot.database,
            last: zxid,
            meets_snapshot: false,
            passes_snapshot: false,
            logs: logs.to_vec(),
            file: logs.iter().rposition(reaches).unwrap_or(0),
            reading: Reading::Records(RecordScanner::new(LONGEST_PAYLOAD)),
            asked: CHUNK,
            remains: None,
            cuts: Vec::new(),
            corruption: None,
            oversized: None,
            last_batch: LastBatch::new(config.append_batch_bytes),
            tail: VecDeque::new(),
            tail_max: config.commit_log_count,
            notes: Vec::new(),
            full_digest: config.full_digest,
            payload_limit,
            batch_bytes: config.append_batch_bytes,
            transactions: 0,
            reported: 0,
        }
    }

    /// Once every so many transactions.
    pub(super) fn progress(&mut self) -> Option<u64> {
        if self.transactions < self.reported + REPORT_EVERY {
            return None;
        }
        self.reported = self.transactions;
        Some(self.transactions)
    }

    pub(super) fn want(&self, ids: &mut DiskIds) -> Option<DiskAction> {
        if self.corruption.is_some() {
            return None;
        }
        let log = self.logs.get(self.file)?;
        let offset = match &self.reading {
            Reading::Records(scanner) => scanner.wants(),
            Reading::Probing { probe, .. } => probe.wants(),
        };
        let (_, read) = ids.read(log.name.clone(), offset, self.asked as u32);
        Some(read)
    }

    pub(super) fn take(&mut self, data: ReadData, config: &Config) -> Result<(), FatalReason> {
        let bytes = match data {
            ReadData::Bytes(bytes) => bytes,
            ReadData::Missing | ReadData::Listing(_) => Bytes::new(),
        };
        let last = bytes.len() < self.asked;
        self.asked = CHUNK;
        match &mut self.reading {
            Reading::Records(scanner) => {
                scanner.take(bytes);
                self.scan(last);
                if let Some(len) = self.oversized {
                    return Err(oversized(&self.logs[self.file].name, len, config));
                }
            }
            Reading::Probing { probe, .. } => probe.push(&bytes),
        }
        if last {
            self.judge();
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Replayed, Corruption> {
        let remains = self.remains.take().map(|remains| remains.corruption);
        if let Some(corruption) = self.corruption.take().or(remains) {
            return Err(corruption);
        }
        let (logs, dead) = self.split_dead();
        Ok(Replayed {
            database: self.database,
            snapshot: self.snapshot,
            last: self.last,
            tail: self.tail.into(),
            notes: self.notes,
            logs,
            dead,
            cuts: self.cuts,
            last_batch: self.last_batch,
        })
    }

    /// An own snapshot covers what is durable in the own log, so a log that ends before it belongs
    /// to a history that a leader's SNAP replaced: its removal was cut short. Served from it, a
    /// learner would miss everything in between. Apache's snapshots may name the start of an
    /// epoch, which is no record: of those nothing is known.
    fn split_dead(&mut self) -> (Vec<LogFile>, Vec<LogFile>) {
        let (snapshot, _) = self.snapshot;
        let logs = core::mem::take(&mut self.logs);
        if snapshot.is_epoch_start() || self.meets_snapshot || self.passes_snapshot {
            return (logs, Vec::new());
        }
        logs.into_iter().partition(|log| log.first > snapshot)
    }

    fn scan(&mut self, last: bool) {
        loop {
            let Reading::Records(scanner) = &mut self.reading else { return };
            let (start, what) = match scanner.next(last) {
                Scanned::Record(record) if record.payload.len() > self.payload_limit => {
                    self.oversized = Some(record.payload.len());
                    return;
                }
                Scanned::Record(record) => match self.replay(&record) {
                    Ok(()) => {
                        self.last_batch.push(&record);
                        continue;
                    }
                    Err(what) => return self.corrupt(record.start, what),
                },
                Scanned::NeedMore(need) => {
                    self.asked = need.clamp(CHUNK, CHUNK_MAX);
                    return;
                }
                Scanned::End { offset } => (offset, "bytes follow the end of the log"),
                Scanned::Bad { offset, flaw } => (offset, flaw.what()),
            };
            let mut probe = Probe::new(start, self.payload_limit);
            probe.push(scanner.remains());
            self.reading = Reading::Probing { probe, what };
            return;
        }
    }

    fn replay(&mut self, record: &Record) -> Result<(), &'static str> {
        let (snapshot, _) = self.snapshot;
        let zxid = record.zxid;
        // Older than the snapshot, or Java's second record of one zxid: an error that it logged for
        // a body it could not read (T2).
        if zxid <= snapshot || zxid == self.last {
            self.meets_snapshot |= zxid == snapshot;
            return Ok(());
        }
        self.follows(zxid)?;
        self.passes_snapshot |= self.logs[self.file].first <= snapshot;
        match LoggedTxn::decode(record.payload.clone()) {
            Ok(txn) => self.database.replay(&txn),
            // Its checksum is right, so these are the bytes that were logged. As where it was
            // applied first, what nobody can read changes nothing (T31).
            Err(_) => self.database.set_applied(zxid),
        }
        self.last = zxid;
        self.transactions += 1;
        if self.full_digest {
            self.notes.push(Note::Applied {
                zxid,
                hash: payload_hash(&record.payload),
                digest: self.database.digest(),
                recovered: true,
            });
        }
        if self.tail_max > 0 {
            if self.tail.len() == self.tail_max {
                self.tail.pop_front();
            }
            self.tail.push_back((zxid, record.payload.clone()));
        }
        Ok(())
    }

    /// Within an epoch no transaction may be missing; a new epoch starts at 1.
    fn follows(&mut self, zxid: Zxid) -> Result<(), &'static str> {
        if self.last.next() == Some(zxid) {
            self.remains = None;
            return Ok(());
        }
        if zxid < self.last {
            return Err("zxid is lower than the one before it");
        }
        if zxid.epoch() == self.last.epoch() || zxid.counter() != 1 {
            return Err("transactions before this one are missing");
        }
        match self.remains {
            None => Ok(()),
            Some(_) => Err("the file before this one is damaged at its end"),
        }
    }

    /// The file was looked at to its end.
    fn judge(&mut self) {
        let Reading::Probing { probe, what } = &self.reading else { return };
        let (start, what) = (probe.start(), *what);
        let newest = self.file + 1 == self.logs.len();
        let verdict = probe.verdict(self.batch_bytes, self.payload_limit);
        let torn = verdict == Verdict::Torn && !probe.is_cut();
        let log = &mut self.logs[self.file];
        (log.len, log.measured) = (start, true);
        let file = log.name.clone();
        match verdict {
            // Nothing in it, and its name may be needed again.
            Verdict::Clean | Verdict::Torn if newest && start <= FILE_HEADER_LEN => {
                self.drop_newest();
            }
            Verdict::Clean => {}
            Verdict::Torn if newest => self.cuts.push(TornCut { file, len: Some(start) }),
            Verdict::Rotten if newest => return self.corrupt(start, what),
            // Java goes on in a new file behind the remains of a torn batch.
            Verdict::Torn | Verdict::Rotten => {
                let corruption = Corruption { file, offset: start, what };
                self.remains = Some(Remains { corruption, torn });
            }
        }
        self.file += 1;
        if self.file < self.logs.len() {
            self.last_batch.clear();
        }
        self.reading = Reading::Records(RecordScanner::new(LONGEST_PAYLOAD));
    }

    /// The newest file holds no record, and perhaps those before it. What is the newest then may
    /// end in a torn batch: Java starts a file for the record that it was killed before.
    fn drop_newest(&mut self) {
        let recordless = |log: &mut LogFile| log.len <= FILE_HEADER_LEN;
        while let Some(log) = self.logs.pop_if(recordless) {
            self.cuts.push(TornCut { file: log.name, len: None });
        }
        self.last_batch.clear();
        let newest = self.logs.last().map(|log| &log.name);
        let torn = |remains: &mut Remains| remains.torn && Some(&remains.corruption.file) == newest;
        if let Some(Remains { corruption, .. }) = self.remains.take_if(torn) {
            let Corruption { file, offset, .. } = corruption;
            self.cuts.push(TornCut { file, len: Some(offset) });
        }
        // Past the end, whatever went.
        self.file = self.logs.len();
    }

    fn corrupt(&mut self, offset: u64, what: &'static str) {
        let file = self.logs[self.file].name.clone();
        self.corruption = Some(Corruption { file, offset, what });
    }
}
