//! A learner is fed from three sources, and never gets a hole.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::*;
use crate::config::{Config, EnsembleConfig};
use crate::ensemble::Ensemble;
use crate::ids::{DialIds, Epoch, OpId, ServerId, SessionId};
use crate::server::action::{Action, DiskAction, LinkAction};
use crate::server::outbox::Outbox;
use crate::server::view::Counters;
use crate::storage::log_writer::LogWriter;
use crate::storage::ops::DiskIds;
use crate::storage::snapshot::SnapshotEncoder;
use crate::time::Stamp;
use crate::tree::{Database, Walk};
use crate::txn::{LoggedTxn, Txn, TxnHeader};
use crate::wire::frame::PacketBuffer;
use crate::zab::history::{History, Recalled};
use crate::zab::window::Window;
use crate::zab::{Grade, KnownSnapshot};

/// The whole file of an empty tree.
fn file() -> BytesMut {
    let mut database = Database::new(false);
    let mut out = BytesMut::new();
    let mut encoder = SnapshotEncoder::new(Zxid(7), database.digest().tree);
    encoder.head(&mut out);
    let start = out.len();
    database.begin_walk(usize::MAX);
    while database.walk(usize::MAX, &mut out) == Walk::More {}
    encoder.body(&out[start..]);
    encoder.tail(&mut out);
    out
}

fn is_whole(file: &[u8]) -> bool {
    let feed = Feed::from_snapshot(LinkId(1), false, Zxid(7), Zxid(7));
    let Source::Snapshot(mut feed) = feed.source else { unreachable!("it was made so") };
    file[OWN_BODY_START as usize..].chunks(10).for_each(|chunk| drop(feed.take_body(chunk)));
    feed.seal.is_on(&feed.held)
}

#[test]
fn rot_in_a_snapshot_file_shows_before_its_stream_ends() {
    let file = file();
    assert!(is_whole(&file));
    let body = OWN_BODY_START as usize..file.len() - OWN_TAIL_LEN;
    for at in body {
        let mut rotten = file.clone();
        rotten[at] ^= 4;
        assert!(!is_whole(&rotten), "byte {at}");
    }
    assert!(!is_whole(&file[..file.len() - 1]), "cut off");
}

const LINK: LinkId = LinkId(1);
const EPOCH: Epoch = Epoch(1);

/// A leader's history and disk.
struct Rig {
    config: Config,
    ensemble: Ensemble,
    history: History,
    out: Outbox,
    files: BTreeMap<FileName, Vec<u8>>,
    snapshots: Vec<KnownSnapshot>,
    counters: Counters,
    dials: DialIds,
}

impl Rig {
    fn new() -> Self {
        let mut config = Config::with_defaults(ServerId(1), None, [0; 32]);
        config.pre_alloc_bytes = 0;
        let ensemble = Ensemble::new(EnsembleConfig {
            members: BTreeMap::new(),
            groups: BTreeMap::new(),
            weights: BTreeMap::new(),
            version: 0,
        });
        let history = History::new(Recalled {
            log: LogWriter::new(&config, Vec::new(), None),
            window: Window::new(Zxid::ZERO),
            ids: DiskIds::new(),
            blank: false,
            accepted: EPOCH,
            current: EPOCH,
        });
        let (files, snapshots, out) = (BTreeMap::new(), Vec::new(), Outbox::new());
        let (counters, dials) = (Counters::default(), DialIds::default());
        Self { config, ensemble, history, out, files, snapshots, counters, dials }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut ZabCx<'_>) -> T) -> T {
        act(&mut ZabCx {
            config: &self.config,
            ensemble: &self.ensemble,
            at: Stamp::default(),
            history: &mut self.history,
            snapshots: &self.snapshots,
            out: &mut self.out,
            counters: &mut self.counters,
            dials: &mut self.dials,
        })
    }

    /// Commits transactions and has them on disk; the window keeps the newest two.
    fn commit(&mut self, counters: core::ops::RangeInclusive<u32>) {
        for counter in counters {
            self.append(Zxid::new(EPOCH, counter), EPOCH, 2);
        }
        self.work();
    }

    /// Commits one transaction and has it on disk; the window keeps so many.
    fn append(&mut self, zxid: Zxid, epoch: Epoch, keep: usize) {
        let header = TxnHeader { session: SessionId(1), cxid: 1, zxid, time: Default::default() };
        let txn = LoggedTxn { header, txn: Txn::Error { code: -4 }, digest: None };
        let mut payload = BytesMut::new();
        txn.encode(&mut payload);
        self.history.append(zxid, payload.freeze(), epoch, &mut self.out);
        self.work();
        self.history.on_durable(OpId(u64::MAX), &mut self.out);
        self.history.commit(zxid);
        self.history.window.trim(zxid, keep);
    }

    /// Carries out writes; answers reads and what was sent.
    fn work(&mut self) -> (Vec<(ReadId, ReadData)>, BytesMut) {
        let (mut reads, mut sent) = (Vec::new(), BytesMut::new());
        for action in self.out.drain() {
            if let Action::Disk(DiskAction::Write { file, offset, bytes, .. }) = action {
                let content = self.files.entry(file).or_default();
                let end = offset as usize + bytes.len();
                content.resize(content.len().max(end), 0);
                content[offset as usize..end].copy_from_slice(&bytes);
            } else if let Action::Disk(DiskAction::Read { read, file, offset, len }) = action {
                let content = &self.files[&file];
                let from = content.len().min(offset as usize);
                let to = content.len().min(from + len as usize);
                let bytes = Bytes::copy_from_slice(&content[from..to]);
                reads.push((read, ReadData::Bytes(bytes)));
            } else if let Action::Link(LinkAction::Send { bytes, .. }) = action {
                sent.put_slice(&bytes);
            }
        }
        (reads, sent)
    }

    /// Feeds until nothing more comes; what the learner got, one word a packet.
    fn feed(&mut self, feed: &mut Feed, known: u32) -> Result<Vec<String>, FeedBroken> {
        self.feed_upto(feed, Zxid::new(EPOCH, known))
    }

    fn feed_upto(&mut self, feed: &mut Feed, known: Zxid) -> Result<Vec<String>, FeedBroken> {
        let mut stream = BytesMut::new();
        loop {
            self.with(|cx| feed.pump(u64::MAX, known, cx))?;
            let (reads, sent) = self.work();
            stream.put_slice(&sent);
            if reads.is_empty() {
                return Ok(words(stream.freeze()));
            }
            for (read, data) in reads {
                self.with(|cx| feed.on_read(read, Ok(data), cx))?;
            }
        }
    }
}

fn words(stream: Bytes) -> Vec<String> {
    let mut buffer = PacketBuffer::default();
    buffer.push(stream);
    let mut words = Vec::new();
    while let Some(packet) = buffer.next_leader_packet(1 << 20).unwrap() {
        words.push(if let LeaderPacket::Proposal { zxid, .. } = packet {
            format!("p{}", zxid.counter())
        } else if let LeaderPacket::Commit { zxid } = packet {
            format!("c{}", zxid.counter())
        } else {
            format!("{packet:?}")
        });
    }
    words
}

#[test]
fn trap_39_a_learner_that_falls_behind_the_window_is_fed_from_the_log() {
    let mut rig = Rig::new();
    rig.commit(1..=3);
    let mut feed = Feed::from_window(LINK, false, Zxid::new(EPOCH, 1), Zxid::new(EPOCH, 3));
    assert_eq!(rig.feed(&mut feed, 3).unwrap(), ["p2", "c2", "p3", "c3"]);
    for round in 1..4 {
        let first = 10 * round;
        rig.commit(first - 6..=first + 3);
        let expected: Vec<String> =
            (first - 6..=first + 3).flat_map(|n| [format!("p{n}"), format!("c{n}")]).collect();
        assert_eq!(rig.feed(&mut feed, first + 3).unwrap(), expected);
        assert!(feed.is_live(rig.history.head()));
    }
}

/// COMMIT is one per zxid towards a Java server, whatever the window still holds.
#[test]
fn commits_that_left_the_window_are_announced_one_by_one() {
    let mut rig = Rig::new();
    rig.commit(1..=3);
    let mut feed = Feed::from_window(LINK, false, Zxid::new(EPOCH, 3), Zxid::new(EPOCH, 1));
    rig.commit(4..=8);
    let expected = ["c2", "c3", "p4", "c4", "p5", "c5", "p6", "c6", "p7", "c7", "p8", "c8"];
    assert_eq!(rig.feed(&mut feed, 8).unwrap(), expected);
}

#[test]
fn a_log_that_lacks_what_the_learner_needs_is_distrusted() {
    let mut rig = Rig::new();
    rig.commit(1..=3);
    let mut feed = Feed::from_window(LINK, false, Zxid::new(EPOCH, 1), Zxid::new(EPOCH, 3));
    rig.commit(4..=8);
    for content in rig.files.values_mut() {
        content[60] ^= 1;
    }
    assert_eq!(rig.feed(&mut feed, 8), Err(FeedBroken::LogDamaged));
}

/// A learner has the history up to `from`. A snapshot of 1:3 let the log of before be purged, so that it begins
/// with `second`, and the window behind `base`.
fn falls_behind(from: u32, base: Zxid, second: Zxid) -> Result<Vec<String>, FeedBroken> {
    let mut rig = Rig::new();
    rig.commit(1..=3);
    rig.history.log.roll();
    let from = Zxid::new(EPOCH, from);
    let mut feed = Feed::from_window(LINK, false, from, from);
    rig.history.window = Window::new(base);
    if second.epoch() > EPOCH {
        rig.history.accept(second.epoch(), &mut rig.out);
    }
    rig.append(second, second.epoch(), 9);
    rig.history.log.forget(|file| file.first < second);
    rig.snapshots.push(KnownSnapshot { zxid: Zxid::new(EPOCH, 3), grade: Grade::Exact });
    rig.work();
    rig.feed_upto(&mut feed, second)
}

#[test]
fn who_lacks_what_was_purged_starts_over() {
    // The window reaches further back than the log, or no further.
    for base in [2, 3] {
        let (base, follows) = (Zxid::new(EPOCH, base), Zxid::new(EPOCH, 4));
        assert_eq!(falls_behind(1, base, follows), Err(FeedBroken::Purged), "{base}");
    }
    // The first transaction of an epoch may follow any: that the log begins with one proves nothing.
    let (begins, next) = (Zxid::new(Epoch(2), 0), Zxid::new(Epoch(2), 1));
    for base in [Zxid::new(EPOCH, 3), begins] {
        assert_eq!(falls_behind(1, base, next), Err(FeedBroken::Purged), "{base}");
    }
    // From the snapshot on it is whole: nothing lies between that and the epoch.
    assert_eq!(falls_behind(3, begins, next).unwrap(), ["p1", "c1"]);
}

/// A snapshot of Apache's may be named by the start of an epoch: the window begins there, and the
/// cursor meets the first transaction behind it.
#[test]
fn a_window_that_begins_with_an_epoch_is_reached() {
    let mut rig = Rig::new();
    rig.commit(1..=3);
    let next = Epoch(2);
    rig.history.accept(next, &mut rig.out);
    rig.history.window = Window::new(Zxid::new(next, 0));
    for counter in 1..=2 {
        rig.append(Zxid::new(next, counter), next, 9);
    }
    rig.work();
    let last = Zxid::new(EPOCH, 2);
    let base = rig.history.window.base();
    let cursor = LogCursor::behind(&rig.config, rig.history.log.files(), last, base).unwrap();
    let head = rig.history.head();
    let mut feed = Feed::from_disk(LINK, false, last, head, (cursor, Vec::new()));
    let words = rig.feed_upto(&mut feed, head).unwrap();
    assert_eq!(words, ["p3", "c3", "p1", "c1", "p2", "c2"]);
    assert!(feed.is_live(head));
    // It falls behind again: the record that the cursor met behind its end is not lost.
    for counter in 3..=6 {
        rig.append(Zxid::new(next, counter), next, 1);
    }
    rig.work();
    let words = rig.feed_upto(&mut feed, rig.history.head()).unwrap();
    assert_eq!(words, ["p3", "c3", "p4", "c4", "p5", "c5", "p6", "c6"]);
}
