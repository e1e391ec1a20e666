//! What Apache leaves in a folder, and ours does not: put there while the process is down.
//! Facts: PROTOCOL 4.2, 4.4, trap T2.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use vivarium_core::config::Config;
use vivarium_core::ids::Zxid;
use vivarium_core::storage::files::{Dir, FileName, Known};
use vivarium_core::storage::snapshot::{FILE_HEADER, SnapshotEncoder};

use crate::apache::body::{self, Body, Fuzzy};
use crate::apache::{Fact, Guise};
use crate::disk::{DiskSim, Image, adler32};
use crate::observe::Aged;
use crate::oracle::txn::{self, Txn};
use crate::rng::SimRng;

const LOG_HEADER: usize = 16;
/// Checksum and length before the payload, one byte behind it.
const BEFORE: usize = 12;
const END_OF_RECORD: u8 = 0x42;
/// Transactions that a walk may take in at most.
const FUZZY_MOST: usize = 64;
/// Bytes of a snapshot that is aged at most: a large tree costs much, and shows no more than a small one.
const AGED_MOST: usize = 32 * 1024;
/// States that a walk meets at most between its first and the last but one.
const STOPS: usize = 2;
/// Header type and code of a request whose body could not be read.
const ERROR: i32 = -1;
const MARSHALLING_ERROR: i32 = -5;
/// Session, cxid, zxid and time lead the header; its type follows.
const HEADER_TYPE: usize = 28;
const HEADER: usize = HEADER_TYPE + 4;
const CLOSE_SESSION: i32 = -11;

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
        let mut logs = logs(disk.image());
        // In the newest file, what is not synced yet would become durable.
        logs.pop();
        if logs.is_empty() {
            return;
        }
        let (_, name) = self.rng.pick(&logs).clone();
        let content = read(disk.image(), &name);
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
        let newest = disk.image().snapshot();
        let Some(base) = newest.filter(|base| !self.fuzzy.contains(base)) else { return };
        let walkable = Walkable::of(disk.image(), base, self.committed);
        let Some((end, fuzzy)) = walkable.walked(&self.config, &mut self.rng) else { return };
        disk.rewrite(&FileName::snapshot(base), &file(end, &fuzzy.body));
        self.fuzzy.insert(base);
        self.facts.push(Fact::Habit("fuzzy_files"));
        self.facts.push(Fact::FuzzyFile { base, end });
    }
}

/// The newest snapshot of a folder, and what a walk of it could have taken in: read once, for any number
/// of walks.
pub(crate) struct Walkable {
    base: Zxid,
    /// `None`: it cannot be read.
    body: Option<Body>,
    /// What was committed right behind it.
    txns: Vec<(Zxid, Bytes)>,
}

impl Walkable {
    fn of(image: &Image, base: Zxid, committed: Zxid) -> Self {
        let content = read(image, &FileName::snapshot(base));
        let head = FILE_HEADER.len();
        let body = (content.len() >= head).then(|| content.slice(head..));
        let body = body.and_then(|body| Body::parse(&body));
        Self { base, body, txns: behind(image, base, committed) }
    }

    /// `None`: there is no snapshot, or one of a large tree.
    pub(crate) fn small(image: &Image, committed: Zxid) -> Option<Self> {
        let base = image.snapshot()?;
        let small = image.len(&FileName::snapshot(base)).is_some_and(|len| len <= AGED_MOST);
        small.then(|| Self::of(image, base, committed))
    }

    /// Makes of the folder what an Apache server would have left of the same history, as far as it is
    /// committed. `None` where there is nothing for a walk to take in.
    pub(crate) fn age(&self, image: &mut Image, config: &Config, rng: &mut SimRng) -> Option<Aged> {
        let base = self.base;
        let (end, fuzzy) = self.walked(config, rng)?;
        image.rewrite(&FileName::snapshot(base), &file(end, &fuzzy.body));
        let bare = if rng.chance(500) {
            bare_closes(image, base..=end, &fuzzy.missed)
        } else {
            BTreeSet::new()
        };
        Some(Aged { base, end, bare })
    }

    /// What a walk would have written that took in some of what was committed behind the snapshot, and the
    /// newest transaction of these.
    fn walked(&self, config: &Config, rng: &mut SimRng) -> Option<(Zxid, Fuzzy)> {
        let end = draw_end(&self.txns, rng)?;
        let body = self.body.as_ref()?;
        let stops: Vec<usize> = (0..STOPS).map(|_| rng.below(end as u64) as usize).collect();
        let states = body.some_states(self.base, config, &self.txns[..end], |count| {
            count + 1 >= end || stops.contains(&count)
        })?;
        Some((self.txns[end - 1].0, body::fuzzy(&states, rng)))
    }
}

/// Takes the paths out of records that end sessions in this range, as Apache's servers write them before
/// 3.6, and later with `closeSessionTxn.enabled=false`. Where the walk missed such a node, nothing but
/// the paths says that its parent lost it (ZOOKEEPER-3145): these records keep them.
fn bare_closes(
    image: &mut Image,
    range: RangeInclusive<Zxid>,
    missed: &BTreeSet<String>,
) -> BTreeSet<Zxid> {
    let mut bare = BTreeSet::new();
    for (_, name) in logs(image) {
        let content = read(image, &name);
        let Some(records) = records(&content) else { continue };
        let closes = |record: &&Record| {
            kind(&record.payload) == CLOSE_SESSION
                && range.contains(&record.zxid)
                && closed_paths(&record.payload)
                    .is_some_and(|paths| paths.iter().all(|path| !missed.contains(path)))
        };
        let closes: BTreeSet<Zxid> =
            records.iter().filter(closes).map(|record| record.zxid).collect();
        if closes.is_empty() {
            continue;
        }
        let mut file = BytesMut::from(&content[..LOG_HEADER]);
        for record in &records {
            let len = if closes.contains(&record.zxid) { HEADER } else { record.payload.len() };
            put_record(&mut file, &record.payload[..len]);
        }
        file.resize(content.len(), 0);
        image.rewrite(&name, &file);
        bare.extend(closes);
    }
    bare
}

fn closed_paths(payload: &Bytes) -> Option<Vec<String>> {
    match txn::decode(payload.clone()) {
        Some((_, Txn::CloseSession { paths })) => paths,
        Some(_) | None => None,
    }
}

/// What replay over the middle of a walk may get wrong in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Replayed {
    /// A record of this type.
    Plain(i32),
    /// The end of a session that leaves nodes behind.
    Bequest,
    /// A node that went with a session, and is there again.
    Inheritance,
}

/// Walks that end with one of the last two where there is one, in per mille: what goes with a session is
/// said in its end alone, or nowhere.
const HEIRS: u64 = 500;

impl Replayed {
    /// `gone`: what went with sessions so far.
    fn of(payload: &Bytes, gone: &mut BTreeSet<String>) -> Self {
        let plain = Self::Plain(kind(payload));
        match txn::decode(payload.clone()).map(|(_, txn)| txn) {
            Some(Txn::CloseSession { paths: Some(paths) }) if !paths.is_empty() => {
                gone.extend(paths);
                Self::Bequest
            }
            Some(Txn::Create(create)) if gone.remove(&create.path) => Self::Inheritance,
            Some(_) | None => plain,
        }
    }
}

/// How many transactions the walk takes in. Each kind of them but those of sessions is as likely to be the
/// last one as any other, however often clients ask for it.
fn draw_end(txns: &[(Zxid, Bytes)], rng: &mut SimRng) -> Option<usize> {
    let mut kinds = BTreeMap::<Replayed, Vec<usize>>::new();
    let mut gone = BTreeSet::new();
    for (place, (_, payload)) in txns.iter().enumerate() {
        kinds.entry(Replayed::of(payload, &mut gone)).or_default().push(place + 1);
    }
    let is_of_session = |kind: &Replayed| matches!(kind, Replayed::Bequest | Replayed::Inheritance);
    if kinds.keys().any(is_of_session) && rng.chance(HEIRS) {
        kinds.retain(|kind, _| is_of_session(kind));
    }
    let kinds: Vec<_> = kinds.into_values().collect();
    if kinds.is_empty() {
        return None;
    }
    let ends = rng.pick(&kinds);
    Some(*rng.pick(ends))
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

/// The files of the log, oldest first.
fn logs(image: &Image) -> Vec<(Zxid, FileName)> {
    let mut logs: Vec<_> = [Dir::Data, Dir::Log]
        .into_iter()
        .flat_map(|dir| image.list(dir).into_iter().map(move |entry| (dir, entry.name)))
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

fn read(image: &Image, name: &FileName) -> Bytes {
    image.read(name, 0, u32::MAX).unwrap_or_default()
}

/// The records of a file up to its padding; `None` where it is damaged.
fn records(content: &Bytes) -> Option<Vec<Record>> {
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
        records.push(Record { zxid, payload: content.slice_ref(payload), end: end + 1 });
        at = end + 1;
    }
    Some(records)
}

/// The committed transactions right behind `base`, as far as the log holds them without a gap, and
/// as many as a walk may take in.
fn behind(image: &Image, base: Zxid, committed: Zxid) -> Vec<(Zxid, Bytes)> {
    let mut txns = Vec::<(Zxid, Bytes)>::new();
    let mut last = base;
    for (_, name) in logs(image) {
        let Some(records) = records(&read(image, &name)) else { break };
        for record in records {
            let follows = last.next() == Some(record.zxid)
                || (record.zxid.epoch() > last.epoch() && record.zxid.counter() == 1);
            if txns.len() == FUZZY_MOST
                || record.zxid > last && (!follows || record.zxid > committed)
            {
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

/// The type of a transaction; 0 where there is none.
fn kind(payload: &[u8]) -> i32 {
    payload.get(HEADER_TYPE..HEADER).map_or(0, |mut kind| kind.get_i32())
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
