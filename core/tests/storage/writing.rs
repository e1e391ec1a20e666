//! Which operations the writers issue, and when.

use vivarium_core::config::Config;
use vivarium_core::ids::{Epoch, OpId, Zxid};
use vivarium_core::server::Outbox;
use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::Queue;
use vivarium_core::storage::epochs;
use vivarium_core::storage::files::{EpochFile, FileName};
use vivarium_core::storage::log_writer::{LogCounts, LogWriter};
use vivarium_core::storage::ops::DiskIds;
use vivarium_core::storage::snapshot::{Grade, LAST_ZXID_TAIL, last_zxid_of};
use vivarium_core::storage::snapshot_writer::{Advanced, SnapshotWriter};

use crate::disk::Disk;
use crate::setup::{alone, data, drained, op_of, payload, recover, run_of, tree_of, zxid};

/// What an operation is, in a word.
pub(crate) fn word(action: &DiskAction) -> String {
    match action {
        DiskAction::Write { file, offset, bytes, .. } => {
            format!("write {} {offset}+{}", file.name, bytes.len())
        }
        DiskAction::SetLen { file, len, .. } => format!("len {} {len}", file.name),
        DiskAction::SyncFile { file, .. } => format!("sync {}", file.name),
        DiskAction::Rename { from, to, .. } => format!("rename {} {}", from.name, to.name),
        DiskAction::SyncDir { dir, .. } => format!("sync {dir}"),
        DiskAction::Remove { file, .. } => format!("remove {}", file.name),
        DiskAction::Read { file, .. } => format!("read {}", file.name),
        DiskAction::List { dir, .. } => format!("list {dir}"),
    }
}

fn words(out: &mut Outbox) -> Vec<String> {
    drained(out).iter().map(word).collect()
}

fn len(zxid: Zxid) -> usize {
    payload(zxid).len() + 13
}

struct Rig {
    log: LogWriter,
    ids: DiskIds,
    out: Outbox,
}

impl Rig {
    fn new(config: &Config) -> Self {
        let log = LogWriter::new(config, Vec::new(), Some(Zxid::ZERO));
        Self { log, ids: DiskIds::new(), out: Outbox::new() }
    }

    fn append(&mut self, counter: u32) {
        let zxid = zxid(1, counter);
        self.log.append(zxid, &payload(zxid), &mut self.ids, &mut self.out);
    }

    /// The last operation of what the host took is done.
    fn done(&mut self, upto: u64) -> Option<Zxid> {
        self.log.on_done(OpId(upto), &mut self.ids, &mut self.out)
    }
}

#[test]
fn appends_of_one_drain_are_one_batch_and_the_rest_waits() {
    let config = Config { pre_alloc_bytes: 0, append_batch_bytes: 400, ..alone() };
    let mut rig = Rig::new(&config);
    let lens: Vec<usize> = (0..=8).map(|counter| len(zxid(1, counter))).collect();
    rig.append(1);
    rig.append(2);
    assert!(lens[1] + lens[2] <= 400 && lens[1] + lens[2] + lens[3] > 400, "{lens:?}");
    rig.append(3);
    assert_eq!(
        words(&mut rig.out),
        [
            "write log.100000001 0+16".to_string(),
            format!("write log.100000001 16+{}", lens[1] + lens[2]),
            "sync log.100000001".into(),
            "sync dataDir/version-2".into(),
        ]
    );
    rig.append(4);
    assert_eq!(words(&mut rig.out), [""; 0], "one batch in flight");
    assert_eq!(rig.done(3), None, "durable only with the folder");
    assert_eq!(rig.log.durable(), Some(Zxid::ZERO));
    assert_eq!(rig.done(4), Some(zxid(1, 2)));
    // The third is longer than what was left; the fourth fits with it or follows alone.
    let batch = words(&mut rig.out);
    assert_eq!(batch.len(), 2, "{batch:?}");
    assert_eq!(batch[1], "sync log.100000001");
    let mut upto = 6;
    while !rig.log.is_idle() {
        rig.done(upto);
        upto += rig.out.drain().count() as u64;
    }
    assert_eq!(rig.log.durable(), rig.log.logged());
    assert_eq!(rig.log.logged(), Some(zxid(1, 4)));
    assert_eq!(rig.log.counts().records, 4);
}

#[test]
fn a_drained_batch_is_not_extended() {
    let config = Config { pre_alloc_bytes: 0, ..alone() };
    let mut rig = Rig::new(&config);
    rig.append(1);
    assert_eq!(drained(&mut rig.out).len(), 4);
    rig.append(2);
    rig.append(3);
    assert!(rig.out.is_empty());
    assert_eq!(rig.done(4), Some(zxid(1, 1)));
    assert_eq!(drained(&mut rig.out).len(), 2);
    assert_eq!(rig.done(6), Some(zxid(1, 3)));
    assert_eq!(rig.log.counts(), LogCounts { records: 3, batches: 2 });
}

#[test]
fn a_roll_starts_a_new_file_and_never_splits_a_batch() {
    let config = Config { pre_alloc_bytes: 0, ..alone() };
    let mut rig = Rig::new(&config);
    rig.append(1);
    rig.log.roll();
    rig.append(2);
    rig.append(3);
    drained(&mut rig.out);
    rig.done(4);
    let ops = words(&mut rig.out);
    assert_eq!(ops[0], "write log.100000002 0+16");
    assert_eq!(ops.last().unwrap(), "sync dataDir/version-2");
    let firsts: Vec<Zxid> = rig.log.files().iter().map(|file| file.first).collect();
    assert_eq!(firsts, [zxid(1, 1), zxid(1, 2)]);
}

#[test]
fn a_file_is_cut_to_its_length_before_the_next_begins() {
    let mut rig = Rig::new(&Config { pre_alloc_bytes: 65536, ..alone() });
    rig.append(1);
    let upto = drained(&mut rig.out).len() as u64;
    rig.done(upto);
    rig.log.roll();
    rig.append(2);
    let ops = words(&mut rig.out);
    let written = 16 + len(zxid(1, 1));
    assert_eq!(ops[0], format!("len log.100000001 {written}"));
    assert_eq!(ops[1], "sync log.100000001");
    assert_eq!(ops[2], "write log.100000002 0+16");
}

#[test]
fn the_log_grows_as_apaches_does() {
    let config = Config { pre_alloc_bytes: 65536, ..alone() };
    let mut rig = Rig::new(&config);
    let (mut lens, mut upto) = (Vec::new(), 0);
    for counter in 1..600 {
        rig.append(counter);
        for op in drained(&mut rig.out) {
            if let DiskAction::SetLen { len, .. } = op {
                lens.push(len);
            }
            upto += 1;
        }
        rig.done(upto);
    }
    assert_eq!(lens, [16 + 65536, 16 + 2 * 65536, 16 + 3 * 65536]);
}

#[test]
fn an_epoch_is_replaced_whole() {
    let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
    let op = epochs::write(EpochFile::Current, Epoch(12), &mut ids, &mut out);
    let ops = drained(&mut out);
    assert_eq!(op_of(ops.last().unwrap()), Some((Queue::Log, op)));
    assert_eq!(
        ops.iter().map(word).collect::<Vec<_>>(),
        [
            "write currentEpoch.tmp 0+2",
            "len currentEpoch.tmp 2",
            "sync currentEpoch.tmp",
            "rename currentEpoch.tmp currentEpoch",
            "sync dataDir/version-2",
        ]
    );
}

#[test]
fn a_snapshot_holds_its_zxid_while_the_tree_goes_on() {
    let mut tree = tree_of(&run_of(1, 1..=2000));
    let digest = tree.digest();
    let (mut ids, mut out, mut disk) = (DiskIds::new(), Outbox::new(), Disk::default());
    let mut writer = SnapshotWriter::start(&mut tree, zxid(1, 2000), &alone());
    let mut next = 2001;
    let sealed = loop {
        assert_eq!(writer.advance(&mut tree, &mut ids, &mut out), Advanced::Working);
        let ops = drained(&mut out);
        let writes = ops.iter().filter(|op| matches!(op, DiskAction::Write { .. })).count();
        assert!(writes <= 2, "a bounded number of portions is under way");
        let Some((_, last)) = ops.last().and_then(op_of) else { panic!("the writer stands still") };
        ops.iter().for_each(|op| assert!(disk.run(op).is_none()));
        tree.apply(&crate::setup::txn(zxid(1, next)), &mut Vec::new());
        next += 1;
        if let Some(sealed) = writer.on_done(last, &mut ids, &mut out) {
            break sealed;
        }
    };
    assert!(next > 2003, "the walk took several steps");
    assert_eq!(disk.unsynced(), 0);
    assert_eq!(disk.names(), ["snapshot.1000007d0"]);
    assert!(disk.get(&FileName::snapshot(sealed.zxid)).is_some());
    let recovered = recover(&alone(), &mut disk).unwrap();
    assert_eq!(recovered.database.digest(), digest);
    assert_eq!(recovered.snapshot, Some((zxid(1, 2000), Grade::Exact)));
}

/// Java goes on while it walks: what it sent may hold parts of what follows.
#[test]
fn a_java_leaders_snapshot_is_never_taken_for_an_exact_one() {
    let mut tree = tree_of(&run_of(1, 1..=20));
    let (mut ids, mut out, mut disk) = (DiskIds::new(), Outbox::new(), Disk::default());
    let mut writer = SnapshotWriter::start_fuzzy(&mut tree, zxid(1, 9), &alone());
    let sealed = loop {
        writer.advance(&mut tree, &mut ids, &mut out);
        let ops = drained(&mut out);
        let Some((_, last)) = ops.last().and_then(op_of) else { panic!("the writer stands still") };
        ops.iter().for_each(|op| assert!(disk.run(op).is_none()));
        if let Some(sealed) = writer.on_done(last, &mut ids, &mut out) {
            break sealed;
        }
    };
    assert_eq!(sealed.zxid, zxid(1, 9));
    let file = disk.get(&FileName::snapshot(zxid(1, 9))).unwrap().to_vec();
    let tail = &file[file.len() - LAST_ZXID_TAIL..];
    assert_eq!(last_zxid_of(tail), Some(zxid(1, 9)), "a TRUNC behind it leaves it there");
    let recovered = recover(&alone(), &mut disk).unwrap();
    assert_eq!(recovered.snapshot, Some((zxid(1, 9), Grade::Fuzzy)));
}

#[test]
fn a_failed_snapshot_leaves_nothing() {
    let mut tree = tree_of(&run_of(1, 1..=20));
    let (mut ids, mut out, mut disk) = (DiskIds::new(), Outbox::new(), Disk::default());
    let mut writer = SnapshotWriter::start(&mut tree, zxid(1, 20), &alone());
    writer.advance(&mut tree, &mut ids, &mut out);
    disk.run(&drained(&mut out)[0]);
    assert!(disk.has("snapshot.100000014.tmp"));
    writer.on_failed(&mut tree, &mut ids, &mut out);
    drained(&mut out).iter().for_each(|op| assert!(disk.run(op).is_none()));
    assert!(disk.names().is_empty());
    assert_eq!(data("x").name, "x");
}
