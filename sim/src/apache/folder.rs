//! What Apache leaves in a folder, and ours does not: put there while the process is down.
//! Facts: PROTOCOL 4.2, 4.4, trap T2.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use vivarium_core::ids::Zxid;
use vivarium_core::storage::files::{Dir, FileName, Known};
use vivarium_core::storage::snapshot::{FILE_HEADER, SnapshotEncoder};

use crate::apache::body::{self, Body};
use crate::apache::{Fact, Guise};
use crate::disk::{DiskSim, adler32};

const LOG_HEADER: usize = 16;
/// Checksum and length before the payload, one byte behind it.
const BEFORE: usize = 12;
const END_OF_RECORD: u8 = 0x42;
/// Transactions that a walk may take in at most.
const FUZZY_MOST: usize = 8;
/// Header type and code of a request whose body could not be read.
const ERROR: i32 = -1;
const MARSHALLING_ERROR: i32 = -5;
/// Session, cxid, zxid and time lead the header; its type follows.
const HEADER_TYPE: usize = 28;

/// A record in a log file: its payload, and where it ends.
struct Record {
    zxid: Zxid,
    payload: Bytes,
    end: usize,
}

impl Guise {
    /// The process is about to start.
    pub(super) fn age(&mut self, disk: &mut DiskSim) {
        if self.habits.twin_records && self.rng.chance(300) {
            self.write_twin(disk);
        }
        if self.habits.fuzzy_files && self.rng.chance(600) {
            self.blur_snapshot(disk);
        }
    }

    /// A request whose body could not be read was logged under the zxid before it (T2).
    fn write_twin(&mut self, disk: &mut DiskSim) {
        let mut logs = logs(disk);
        // In the newest file, what is not synced yet would become durable.
        logs.pop();
        if logs.is_empty() {
            return;
        }
        let (_, name) = self.rng.pick(&logs).clone();
        let content = read(disk, &name);
        let Some(records) = records(&content).filter(|records| !records.is_empty()) else { return };
        let before = self.rng.pick(&records);
        let mut file = BytesMut::from(&content[..before.end]);
        put_record(&mut file, &error_like(&before.payload));
        file.put_slice(&content[before.end..]);
        disk.rewrite(&name, &file);
        self.facts.push(Fact::Habit("twin_records"));
    }

    /// The newest snapshot was walked while transactions went on.
    fn blur_snapshot(&mut self, disk: &mut DiskSim) {
        let Some(base) = disk.image().snapshot().filter(|base| !self.fuzzy.contains(base)) else {
            return;
        };
        let name = FileName::snapshot(base);
        let content = read(disk, &name);
        let Some(body) = content.get(FILE_HEADER.len()..).and_then(Body::parse) else { return };
        let mut txns = behind(disk, base, self.committed);
        let most = txns.len().min(FUZZY_MOST) as u64;
        if most == 0 {
            return;
        }
        txns.truncate(self.rng.range(1, most) as usize);
        let Some(states) = body.states(base, &self.config, &txns) else { return };
        let end = txns.last().map_or(base, |(zxid, _)| *zxid);
        disk.rewrite(&name, &file(end, &body::fuzzy(&states, &mut self.rng)));
        self.fuzzy.insert(base);
        self.facts.push(Fact::Habit("fuzzy_files"));
        self.facts.push(Fact::FuzzyFile { base, end });
    }
}

/// A whole snapshot file, finished at `end`.
pub(super) fn file(end: Zxid, body: &[u8]) -> BytesMut {
    let mut file = BytesMut::new();
    let mut encoder = SnapshotEncoder::new(end, 1);
    encoder.head(&mut file);
    encoder.body(body);
    file.put_slice(body);
    encoder.tail(&mut file);
    file
}

fn logs(disk: &DiskSim) -> Vec<(Zxid, FileName)> {
    let mut logs: Vec<_> = [Dir::Data, Dir::Log]
        .into_iter()
        .flat_map(|dir| disk.image().list(dir).into_iter().map(move |entry| (dir, entry.name)))
        .filter_map(|(dir, name)| match Known::parse(&name) {
            Known::Log(first) => Some((first, FileName::new(dir, name))),
            Known::Snapshot(_)
            | Known::CompressedSnapshot(_)
            | Known::UnsealedSnapshot(_)
            | Known::Epoch(_)
            | Known::EpochTmp(_)
            | Known::Corrupt
            | Known::Other => None,
        })
        .collect();
    logs.sort_unstable();
    logs
}

fn read(disk: &DiskSim, name: &FileName) -> Bytes {
    disk.image().read(name, 0, u32::MAX).unwrap_or_default()
}

/// The records of a file up to its padding; `None` where it is damaged.
fn records(content: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut at = LOG_HEADER;
    while let Some(len) = content.get(at + 8..at + BEFORE).map(|mut len| len.get_i32()) {
        if len == 0 {
            break;
        }
        let end = at + BEFORE + usize::try_from(len).ok()?;
        let payload = content.get(at + BEFORE..end)?;
        let sum = content.get(at..at + 8)?.get_u64();
        let whole = content.get(end) == Some(&END_OF_RECORD) && u64::from(adler32(payload)) == sum;
        if !whole {
            return None;
        }
        let zxid = Zxid(payload.get(12..20)?.get_u64());
        records.push(Record { zxid, payload: Bytes::copy_from_slice(payload), end: end + 1 });
        at = end + 1;
    }
    Some(records)
}

/// The committed transactions right behind `base`, as far as the log holds them without a gap.
fn behind(disk: &DiskSim, base: Zxid, committed: Zxid) -> Vec<(Zxid, Bytes)> {
    let mut txns = Vec::<(Zxid, Bytes)>::new();
    let mut last = base;
    for (_, name) in logs(disk) {
        let Some(records) = records(&read(disk, &name)) else { break };
        for record in records {
            let follows = last.next() == Some(record.zxid)
                || (record.zxid.epoch() > last.epoch() && record.zxid.counter() == 1);
            if record.zxid > last && (!follows || record.zxid > committed) {
                return txns;
            }
            if record.zxid > last {
                last = record.zxid;
                txns.push((record.zxid, record.payload));
            }
        }
    }
    txns
}

fn error_like(payload: &[u8]) -> Vec<u8> {
    let mut error = payload[..HEADER_TYPE].to_vec();
    error.put_i32(ERROR);
    error.put_i32(MARSHALLING_ERROR);
    error
}

pub(super) fn put_record(out: &mut BytesMut, payload: &[u8]) {
    out.put_u64(adler32(payload).into());
    out.put_i32(payload.len() as i32);
    out.put_slice(payload);
    out.put_u8(END_OF_RECORD);
}
