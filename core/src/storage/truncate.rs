//! TRUNC: cuts the own history behind a zxid. Facts: PROTOCOL 3.6, 4.6. Apache: `FileTxnLog.truncate`.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::config::Config;
use crate::ids::{OpId, ReadId, Zxid};
use crate::server::input::{FileEntry, Queue, ReadData};
use crate::server::outbox::Outbox;
use crate::storage::files::{Dir, FileName, Known, LogFile};
use crate::storage::ops::DiskIds;
use crate::storage::removal::{Cut, Removal, remove_all, remove_in_order};
use crate::storage::snapshot::{LAST_ZXID_TAIL, last_zxid_of};
use crate::storage::txnlog::{self, RecordScanner, Scanned};

const CHUNK: usize = 256 * 1024;

/// Where a truncation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truncated {
    Working,
    /// The history ends at the zxid or at the newest one below it, durably. Ask for a restart.
    Cut,
    /// No snapshot is at or below the zxid. Nothing has changed.
    Impossible,
    /// The log is damaged where it would have to be cut: all of it is moved aside, durably. After the
    /// restart the server is blank.
    MovedAside,
}

/// Cuts the log behind a zxid and removes snapshots that hold anything above it.
#[derive(Debug)]
pub struct Truncation {
    upto: Zxid,
    payload_limit: usize,
    logs: Vec<LogFile>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Listing(ReadId),
    /// Snapshots at or below the zxid whose last bytes are still to be looked at. A fuzzy one may
    /// hold effects of transactions above its name.
    Weighing {
        read: ReadId,
        zxid: Zxid,
        rest: VecDeque<FileEntry>,
        verdict: Verdict,
    },
    Scanning {
        read: ReadId,
        asked: usize,
        file: usize,
        scanner: RecordScanner,
        found: Found,
        verdict: Verdict,
    },
    Removing {
        removal: Removal,
        end: Truncated,
    },
    Done(Truncated),
}

#[derive(Clone, Debug, Default)]
struct Verdict {
    kept: Vec<Zxid>,
    dead: Vec<FileName>,
}

/// The last record at or below the zxid: file, where it ends, its zxid.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    cut: Option<(usize, u64, Zxid)>,
}

impl Truncation {
    /// `logs`: all files, oldest first. Nothing may be in flight on the log queue.
    pub fn start(
        config: &Config,
        upto: Zxid,
        logs: &[LogFile],
        ids: &mut DiskIds,
        out: &mut Outbox,
    ) -> Self {
        let (read, list) = ids.list(Dir::Data);
        out.disk(list);
        Self {
            upto,
            payload_limit: txnlog::payload_limit(config),
            logs: logs.to_vec(),
            phase: Phase::Listing(read),
        }
    }

    pub fn state(&self) -> Truncated {
        match &self.phase {
            Phase::Done(end) => end.clone(),
            Phase::Listing(_)
            | Phase::Weighing { .. }
            | Phase::Scanning { .. }
            | Phase::Removing { .. } => Truncated::Working,
        }
    }

    pub fn awaits(&self, asked: ReadId) -> bool {
        match &self.phase {
            Phase::Listing(read) | Phase::Weighing { read, .. } | Phase::Scanning { read, .. } => {
                *read == asked
            }
            Phase::Removing { .. } | Phase::Done(_) => false,
        }
    }

    pub fn on_read(&mut self, data: ReadData, ids: &mut DiskIds, out: &mut Outbox) -> Truncated {
        match core::mem::replace(&mut self.phase, Phase::Done(Truncated::Working)) {
            Phase::Listing(_) => self.on_listing(data, ids, out),
            Phase::Weighing { zxid, rest, mut verdict, .. } => {
                self.weigh(zxid, data, &mut verdict);
                self.weigh_next(rest, verdict, ids, out);
            }
            Phase::Scanning { asked, file, mut scanner, mut found, verdict, .. } => {
                let (ReadData::Bytes(bytes), Some(log)) = (data, self.logs.get(file)) else {
                    self.set_aside(verdict, ids, out);
                    return self.state();
                };
                let last = bytes.len() < asked;
                scanner.take(bytes);
                match self.scan(&mut scanner, last, file, &mut found) {
                    Scan::More(need) => {
                        let want = need.max(CHUNK);
                        let name = log.name.clone();
                        self.read_log(name, want, file, scanner, found, verdict, ids, out);
                    }
                    Scan::Enough if found.cut.is_none() && file > 0 => {
                        self.scan_file(file - 1, verdict, ids, out);
                    }
                    Scan::Enough => self.decide(found, verdict, ids, out),
                    Scan::Bad => self.set_aside(verdict, ids, out),
                }
            }
            phase @ (Phase::Removing { .. } | Phase::Done(_)) => self.phase = phase,
        }
        self.state()
    }

    pub fn on_done(
        &mut self,
        queue: Queue,
        upto: OpId,
        ids: &mut DiskIds,
        out: &mut Outbox,
    ) -> Truncated {
        if let Phase::Removing { removal, end } = &mut self.phase
            && removal.on_done(queue, upto, ids, out)
        {
            self.phase = Phase::Done(end.clone());
        }
        self.state()
    }

    fn on_listing(&mut self, data: ReadData, ids: &mut DiskIds, out: &mut Outbox) {
        let entries = match data {
            ReadData::Listing(entries) => entries,
            ReadData::Bytes(_) | ReadData::Missing => Vec::new(),
        };
        let mut verdict = Verdict::default();
        let mut candidates = VecDeque::new();
        for entry in entries {
            match Known::parse(&entry.name) {
                Known::Snapshot(zxid) if zxid <= self.upto => candidates.push_back(entry),
                Known::Snapshot(_) | Known::CompressedSnapshot(_) | Known::UnsealedSnapshot(_) => {
                    verdict.dead.push(FileName::new(Dir::Data, entry.name));
                }
                Known::Log(_)
                | Known::Epoch(_)
                | Known::EpochTmp(_)
                | Known::Corrupt
                | Known::Other => {}
            }
        }
        self.weigh_next(candidates, verdict, ids, out);
    }

    fn weigh_next(
        &mut self,
        mut rest: VecDeque<FileEntry>,
        verdict: Verdict,
        ids: &mut DiskIds,
        out: &mut Outbox,
    ) {
        let Some(entry) = rest.pop_front() else {
            return self.begin_scan(verdict, ids, out);
        };
        let Known::Snapshot(zxid) = Known::parse(&entry.name) else {
            return self.begin_scan(verdict, ids, out);
        };
        let offset = entry.len.saturating_sub(LAST_ZXID_TAIL as u64);
        let (read, action) = ids.read(FileName::snapshot(zxid), offset, LAST_ZXID_TAIL as u32);
        out.disk(action);
        self.phase = Phase::Weighing { read, zxid, rest, verdict };
    }

    fn weigh(&self, zxid: Zxid, data: ReadData, verdict: &mut Verdict) {
        let finished = match &data {
            ReadData::Bytes(tail) => last_zxid_of(tail),
            ReadData::Listing(_) | ReadData::Missing => None,
        };
        match finished {
            Some(finished) if zxid <= finished && finished <= self.upto => verdict.kept.push(zxid),
            Some(_) | None => verdict.dead.push(FileName::snapshot(zxid)),
        }
    }

    /// The newest file that starts at or below the zxid holds it, unless it holds nothing at all:
    /// Apache leaves such files behind where a crash came before the first record.
    fn begin_scan(&mut self, verdict: Verdict, ids: &mut DiskIds, out: &mut Outbox) {
        // All that was acknowledged here may lie in a snapshot that holds more: it stays until another
        // one has taken its place (docs/decisions/0023).
        if verdict.kept.is_empty() {
            self.phase = Phase::Done(Truncated::Impossible);
            return;
        }
        match self.logs.iter().rposition(|log| log.first <= self.upto) {
            None => self.decide(Found::default(), verdict, ids, out),
            Some(file) => self.scan_file(file, verdict, ids, out),
        }
    }

    fn scan_file(&mut self, file: usize, verdict: Verdict, ids: &mut DiskIds, out: &mut Outbox) {
        let scanner = RecordScanner::new(self.payload_limit);
        let name = self.logs[file].name.clone();
        self.read_log(name, CHUNK, file, scanner, Found::default(), verdict, ids, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one phase, moved")]
    fn read_log(
        &mut self,
        name: FileName,
        asked: usize,
        file: usize,
        scanner: RecordScanner,
        found: Found,
        verdict: Verdict,
        ids: &mut DiskIds,
        out: &mut Outbox,
    ) {
        let (read, action) = ids.read(name, scanner.wants(), asked as u32);
        out.disk(action);
        self.phase = Phase::Scanning { read, asked, file, scanner, found, verdict };
    }

    fn decide(&mut self, found: Found, verdict: Verdict, ids: &mut DiskIds, out: &mut Outbox) {
        // A leader names its own newest zxid at or below ours, which this log may lack. What lies
        // at or below it stays all the same: it may be committed, and this copy may count (P9).
        let mut removal = self.cut(found, verdict);
        let end = Truncated::Cut;
        self.phase = match removal.issue(ids, out) {
            true => Phase::Done(end),
            false => Phase::Removing { removal, end },
        };
    }

    fn cut(&self, found: Found, verdict: Verdict) -> Removal {
        let keep = found.cut.map_or(0, |(file, _, _)| file + 1);
        let dead = self.logs[keep..].iter().rev().map(|log| log.name.clone());
        let mut logs = remove_in_order(dead);
        if let Some((file, end, _)) = found.cut {
            let name = self.logs[file].name.clone();
            logs.push(Cut::SetLen(name.clone(), end));
            logs.push(Cut::SyncFile(name));
        }
        Removal::new(remove_all(verdict.dead, Dir::Data), logs)
    }

    /// Snapshots go first, the oldest before the others, as where recovery moves them.
    fn set_aside(&mut self, verdict: Verdict, ids: &mut DiskIds, out: &mut Outbox) {
        let Verdict { kept, dead } = verdict;
        let mut snapshots: Vec<FileName> = kept.into_iter().map(FileName::snapshot).collect();
        snapshots.extend(dead);
        snapshots.sort_by_key(|file| match Known::parse(&file.name) {
            Known::Snapshot(zxid)
            | Known::CompressedSnapshot(zxid)
            | Known::UnsealedSnapshot(zxid)
            | Known::Log(zxid) => zxid,
            Known::Epoch(_) | Known::EpochTmp(_) | Known::Corrupt | Known::Other => Zxid::ZERO,
        });
        let one_by_one = |file: FileName| {
            let dir = file.dir;
            [Cut::MoveAside(file), Cut::SyncDir(dir)]
        };
        let snapshots: Vec<Cut> = snapshots.into_iter().flat_map(one_by_one).collect();
        let logs = self.logs.iter().map(|log| log.name.clone());
        let logs: Vec<Cut> = logs.flat_map(one_by_one).collect();
        let mut removal = Removal::new(snapshots, logs);
        let end = Truncated::MovedAside;
        self.phase = match removal.issue(ids, out) {
            true => Phase::Done(end),
            false => Phase::Removing { removal, end },
        };
    }

    fn scan(
        &self,
        scanner: &mut RecordScanner,
        last: bool,
        file: usize,
        found: &mut Found,
    ) -> Scan {
        loop {
            let (offset, blank) = match scanner.next(last) {
                Scanned::Record(record) if record.zxid > self.upto => return Scan::Enough,
                Scanned::Record(record) => {
                    found.cut = Some((file, record.end, record.zxid));
                    continue;
                }
                Scanned::NeedMore(need) => return Scan::More(need),
                Scanned::End { offset } => (offset, scanner.is_blank()),
                Scanned::Bad { offset, .. } => (offset, false),
            };
            return if self.ends(file, offset, blank, found) { Scan::Enough } else { Scan::Bad };
        }
    }

    /// Whether the file holds no more, though bytes follow that are no record: remains of a torn
    /// batch, behind which Apache goes on in the next file. Recovery knows the lengths of the files
    /// that it read; of others the next file tells.
    fn ends(&self, file: usize, offset: u64, blank: bool, found: &Found) -> bool {
        let next = self.logs.get(file + 1).map(|log| log.first);
        let in_front_of_next =
            found.cut.is_some_and(|(_, _, zxid)| next.is_some() && zxid.next() == next);
        self.logs[file].ends_at(offset, blank) || in_front_of_next
    }
}

enum Scan {
    More(usize),
    Enough,
    Bad,
}
