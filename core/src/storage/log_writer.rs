//! Appends transactions to the log: one batch in flight, of bounded length.
//! Facts: PROTOCOL 4.2; the bound is what lets recovery tell a torn batch from rot.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::BytesMut;

use crate::config::Config;
use crate::ids::{OpId, Zxid};
use crate::invariant;
use crate::server::action::DiskAction;
use crate::server::input::Queue;
use crate::server::outbox::Outbox;
use crate::storage::files::{Layout, LogFile};
use crate::storage::ops::{DiskIds, op_of};
use crate::storage::txnlog::{self, FILE_HEADER, FILE_HEADER_LEN};

/// Closer than this to the end of its file, the log grows. Apache: `FilePadding`.
const GROWTH_MARGIN: u64 = 4096;

/// The log's writing end.
#[derive(Debug)]
pub struct LogWriter {
    layout: Layout,
    batch_bytes: usize,
    pre_alloc_bytes: u64,
    /// All files, oldest first; the last is the live one where `live` is set.
    files: Vec<LogFile>,
    /// Padded length of the live file. `None`: the next batch starts a new one.
    live: Option<u64>,
    /// The file that was live has padding still.
    padded: bool,
    flight: Option<Flight>,
    waiting: Waiting,
    logged: Option<Zxid>,
    durable: Option<Zxid>,
    counts: LogCounts,
}

/// Group commit in numbers: records over batches is the gain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    pub records: u64,
    /// One fsync each.
    pub batches: u64,
}

/// The batch that the disk works on.
#[derive(Debug)]
struct Flight {
    /// The operation that makes it durable: the last one.
    last_op: OpId,
    last: Zxid,
    bytes: usize,
}

/// Records that wait for the batch before them.
#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    /// Zxid and length of each.
    records: VecDeque<(Zxid, usize)>,
}

impl LogWriter {
    /// `files` and `last` as recovery found them. The first append starts a new file.
    pub fn new(config: &Config, files: Vec<LogFile>, last: Option<Zxid>) -> Self {
        Self {
            layout: Layout::of(config),
            batch_bytes: config.append_batch_bytes,
            pre_alloc_bytes: config.pre_alloc_bytes,
            files,
            live: None,
            padded: false,
            flight: None,
            waiting: Waiting::default(),
            logged: last,
            durable: last,
            counts: LogCounts::default(),
        }
    }

    pub fn counts(&self) -> LogCounts {
        self.counts
    }

    /// Takes one transaction; it is durable when `durable()` has reached it.
    pub fn append(&mut self, zxid: Zxid, payload: &[u8], ids: &mut DiskIds, out: &mut Outbox) {
        invariant!(
            self.logged.is_none_or(|last| last < zxid),
            "{zxid} is appended behind {:?}",
            self.logged
        );
        self.logged = Some(zxid);
        self.counts.records += 1;
        let start = self.waiting.bytes.len();
        txnlog::encode_record(payload, &mut self.waiting.bytes);
        let len = self.waiting.bytes.len() - start;
        self.waiting.records.push_back((zxid, len));
        match self.flight {
            None => self.issue(ids, out),
            Some(_) => self.extend(out),
        }
    }

    /// `upto` of [`Queue::Log`]. The new durable zxid, where it moved.
    pub fn on_done(&mut self, upto: OpId, ids: &mut DiskIds, out: &mut Outbox) -> Option<Zxid> {
        let done = self.flight.take_if(|flight| flight.last_op <= upto)?;
        self.durable = Some(done.last);
        self.issue(ids, out);
        self.durable
    }

    /// The next batch starts a new file.
    pub fn roll(&mut self) {
        let len = self.files.last().map_or(0, |file| file.len);
        self.padded |= self.live.take().is_some_and(|padded| padded > len);
    }

    /// A snapshot of the leader took the place of all files: the log is empty behind `zxid`.
    /// Only while idle.
    pub fn restart_behind(&mut self, zxid: Zxid) {
        invariant!(self.is_idle(), "the log is replaced under an append");
        self.files.clear();
        (self.live, self.padded) = (None, false);
        self.logged = Some(zxid);
        self.durable = Some(zxid);
    }

    /// Purged files leave the list.
    pub fn forget(&mut self, gone: impl Fn(&LogFile) -> bool) {
        self.files.retain(|file| !gone(file));
    }

    /// Nothing is in flight and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.flight.is_none() && self.waiting.records.is_empty()
    }

    /// Last zxid that was appended (or snapshotted), durable or not.
    pub fn logged(&self) -> Option<Zxid> {
        self.logged
    }

    /// Last zxid that a power cut cannot take back.
    pub fn durable(&self) -> Option<Zxid> {
        self.durable
    }

    /// Oldest first; the last one grows unless a roll is due.
    pub fn files(&self) -> &[LogFile] {
        &self.files
    }

    /// Bytes that wait for the disk, in flight included.
    pub fn backlog_bytes(&self) -> usize {
        self.waiting.bytes.len() + self.flight.as_ref().map_or(0, |flight| flight.bytes)
    }

    /// Adds what waits to the batch in flight, as long as the host has not yet seen that batch.
    fn extend(&mut self, out: &mut Outbox) {
        let (Some(flight), Some(padded), Some(file)) =
            (&mut self.flight, self.live, self.files.last_mut())
        else {
            return;
        };
        let &mut [(zxid, len)] = self.waiting.records.make_contiguous() else { return };
        let fits = flight.bytes + len <= self.batch_bytes;
        if !fits || grown(file.len, padded, self.pre_alloc_bytes).is_some() {
            return;
        }
        if !out.extend_append(file.len, &self.waiting.bytes) {
            return;
        }
        flight.last = zxid;
        flight.bytes += len;
        file.len += len as u64;
        self.waiting.bytes.clear();
        self.waiting.records.clear();
    }

    /// Sends the next batch on its way.
    fn issue(&mut self, ids: &mut DiskIds, out: &mut Outbox) {
        let Some(&(first, _)) = self.waiting.records.front() else { return };
        let (bytes, last) = self.waiting.take_batch(self.batch_bytes);
        let fresh = self.live.is_none();
        if fresh {
            self.open(first, ids, out);
        }
        let file = self.files.last_mut().expect("open pushes the live file");
        let padded = self.live.unwrap_or(FILE_HEADER_LEN);
        if let Some(len) = grown(file.len, padded, self.pre_alloc_bytes) {
            out.disk(ids.set_len(Queue::Log, file.name.clone(), len));
            self.live = Some(len);
        }
        let (len, offset) = (bytes.len(), file.len);
        file.len += len as u64;
        let name = file.name.clone();
        let dir = name.dir;
        out.begin_append(ids.op(Queue::Log), name.clone(), offset, bytes);
        let mut last_op = finish(ids.sync_file(Queue::Log, name), out);
        if fresh {
            last_op = finish(ids.sync_dir(Queue::Log, dir), out);
        }
        self.counts.batches += 1;
        self.flight = Some(Flight { last_op, last, bytes: len });
    }

    /// The file before is cut to what was written: that says to recovery that no torn batch ends it, even
    /// where the new one holds nothing yet.
    fn open(&mut self, first: Zxid, ids: &mut DiskIds, out: &mut Outbox) {
        if let Some(done) = self.files.last().filter(|_| self.padded) {
            out.disk(ids.set_len(Queue::Log, done.name.clone(), done.len));
            out.disk(ids.sync_file(Queue::Log, done.name.clone()));
        }
        self.padded = false;
        let name = self.layout.log(first);
        let header = bytes::Bytes::from_static(&FILE_HEADER);
        out.disk(ids.write(Queue::Log, name.clone(), 0, header));
        self.files.push(LogFile { first, name, len: FILE_HEADER_LEN, measured: true });
        self.live = Some(FILE_HEADER_LEN);
    }
}

impl Waiting {
    /// The longest run of records within `limit`, at least one.
    fn take_batch(&mut self, limit: usize) -> (BytesMut, Zxid) {
        let (mut last, mut len) = self.records.pop_front().expect("the caller saw a record");
        while let Some((zxid, more)) = self.records.pop_front_if(|(_, more)| len + *more <= limit) {
            last = zxid;
            len += more;
        }
        (self.bytes.split_to(len), last)
    }
}

fn finish(sync: DiskAction, out: &mut Outbox) -> OpId {
    let (_, op) = op_of(&sync).expect("a sync has an id");
    out.finish_append(sync);
    op
}

/// The padded length that a file of `padded` bytes needs before a write at `position`.
fn grown(position: u64, padded: u64, step: u64) -> Option<u64> {
    if step == 0 || position + GROWTH_MARGIN < padded {
        return None;
    }
    if position <= padded {
        return Some(padded + step);
    }
    let past = position + step;
    Some(past - past % step)
}
