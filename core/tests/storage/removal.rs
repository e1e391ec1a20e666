//! TRUNC, a sealed SNAP and purging: cut off at any operation, the history is the old or the new
//! one, or one between that was legal once; never one with a hole.

use std::collections::VecDeque;

use vivarium_core::config::Config;
use vivarium_core::ids::Zxid;
use vivarium_core::server::Outbox;
use vivarium_core::server::action::DiskAction;
use vivarium_core::storage::files::LogFile;
use vivarium_core::storage::log_writer::LogWriter;
use vivarium_core::storage::ops::DiskIds;
use vivarium_core::storage::purge::purge;
use vivarium_core::storage::recovery::{History, Recovered};
use vivarium_core::storage::snapshot_writer::SnapshotWriter;
use vivarium_core::storage::supersede::Supersede;
use vivarium_core::storage::truncate::{Truncated, Truncation};
use vivarium_core::storage::txnlog::FILE_HEADER;

use crate::disk::Disk;
use crate::golden::SNAPSHOT;
use crate::setup::{
    alone, data, drained, of_three, op_of, payload, recover, run_of, small, tree_of, txn, zxid,
};

struct Folder {
    config: Config,
    disk: Disk,
    logs: Vec<LogFile>,
    ids: DiskIds,
    out: Outbox,
    all: Vec<Zxid>,
}

/// Four log files of two epochs, snapshots at 0, 1:6 and 2:3.
fn folder() -> Folder {
    let config = small(of_three());
    let mut disk = Disk::default();
    disk.put(&data("snapshot.0"), SNAPSHOT);
    disk.put(&data("acceptedEpoch"), b"3");
    disk.put(&data("currentEpoch"), b"2");
    let all = [run_of(1, 1..=8), run_of(2, 1..=6)].concat();
    let mut log = LogWriter::new(&config, Vec::new(), Some(Zxid::ZERO));
    let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
    let mut tree = tree_of(&[]);
    for next in &all {
        if [zxid(1, 4), zxid(2, 1), zxid(2, 4)].contains(next) {
            log.roll();
        }
        log.append(*next, &payload(*next), &mut ids, &mut out);
        let ops = drained(&mut out);
        ops.iter().for_each(|op| assert!(disk.run(op).is_none()));
        log.on_done(op_of(ops.last().unwrap()).unwrap().1, &mut ids, &mut out);
        tree.apply(&txn(*next), &mut Vec::new());
        if [zxid(1, 6), zxid(2, 3)].contains(next) {
            snapshot(&mut tree, *next, &mut disk, &mut ids);
        }
    }
    Folder { config, disk, logs: log.files().to_vec(), ids, out, all }
}

pub(crate) fn snapshot(
    tree: &mut vivarium_core::tree::Database,
    zxid: Zxid,
    disk: &mut Disk,
    ids: &mut DiskIds,
) {
    let mut out = Outbox::new();
    let mut writer = SnapshotWriter::start(tree, zxid, &alone());
    writer.advance(tree, ids, &mut out);
    loop {
        let ops = drained(&mut out);
        ops.iter().for_each(|op| assert!(disk.run(op).is_none()));
        let (_, upto) = op_of(ops.last().unwrap()).unwrap();
        if writer.on_done(upto, ids, &mut out).is_some() {
            return;
        }
    }
}

fn last(recovered: &Recovered) -> Option<Zxid> {
    match recovered.history {
        History::Blank => None,
        History::From { last } => Some(last),
    }
}

/// Runs a truncation to its end; `each` sees the disk after every operation.
fn truncate(folder: &mut Folder, upto: Zxid, mut each: impl FnMut(&Config, &Disk)) -> Truncated {
    let Folder { config, disk, logs, ids, out, .. } = folder;
    let mut truncation = Truncation::start(config, upto, logs, ids, out);
    let mut todo = VecDeque::from(drained(out));
    while let Some(op) = todo.pop_front() {
        let read = disk.run(&op);
        each(config, disk);
        match (read, op_of(&op)) {
            (Some(data), _) => truncation.on_read(data, ids, out),
            (None, Some((queue, op))) => truncation.on_done(queue, op, ids, out),
            (None, None) => panic!("{op:?}"),
        };
        todo.extend(drained(out));
    }
    truncation.state()
}

#[test]
fn a_truncation_looks_behind_a_log_without_records() {
    let mut folder = folder();
    let empty = LogFile { first: zxid(1, 9), name: data("log.100000009"), len: 16, measured: true };
    folder.disk.put(&empty.name, &FILE_HEADER);
    folder.logs.insert(2, empty);
    assert_eq!(truncate(&mut folder, zxid(1, 20), |_, _| {}), Truncated::Cut);
    let recovered = recover(&folder.config, &mut folder.disk).unwrap();
    assert_eq!(last(&recovered), Some(zxid(1, 8)));
    assert!(recovered.logs.iter().any(|log| log.first == zxid(1, 1)), "{:?}", recovered.logs);
}

/// Apache goes on in a new file behind the remains of a torn batch; recovery lets them be, and a
/// TRUNC that did not would come again after every restart.
#[test]
fn a_truncation_is_not_stopped_by_remains_of_a_torn_batch() {
    for known in [true, false] {
        let mut folder = folder();
        let file = if known { 1 } else { 0 };
        let name = folder.logs[file].name.clone();
        folder.disk.edit(&name, |bytes| {
            bytes.truncate(folder.logs[file].len as usize);
            bytes.extend_from_slice(&[7; 50]);
        });
        if !known {
            // As recovery lists what it had no need to read.
            folder.logs[file].len += 1000;
            folder.logs[file].measured = false;
        }
        let upto = if known { zxid(1, 20) } else { zxid(1, 3) };
        assert_eq!(truncate(&mut folder, upto, |_, _| {}), Truncated::Cut, "{name}");
        let recovered = recover(&folder.config, &mut folder.disk).unwrap();
        assert_eq!(last(&recovered), Some(if known { zxid(1, 8) } else { zxid(1, 3) }));
    }
}

/// Rot that reads as the end of the file, in front of a new epoch: what lies behind it may be committed.
#[test]
fn a_truncation_takes_no_rot_for_the_end_of_an_epoch() {
    for measured in [true, false] {
        let mut folder = folder();
        folder.logs[1].measured = measured;
        folder.disk.edit(&folder.logs[1].name.clone(), |bytes| bytes[16..28].fill(0));
        assert_eq!(truncate(&mut folder, zxid(1, 8), |_, _| {}), Truncated::MovedAside);
    }
    let mut folder = folder();
    let padded = folder.disk.get(&folder.logs[1].name).unwrap().len() as u64 + 9;
    folder.logs[1] = LogFile { len: padded, measured: false, ..folder.logs[1].clone() };
    folder.disk.edit(&folder.logs[1].name.clone(), |bytes| bytes.resize(padded as usize, 0));
    assert_eq!(truncate(&mut folder, zxid(1, 8), |_, _| {}), Truncated::Cut, "padding is no rot");
}

#[test]
fn a_truncation_in_a_damaged_log_moves_it_aside() {
    let mut folder = folder();
    let full = *folder.all.last().unwrap();
    folder.disk.edit(&folder.logs[1].name.clone(), |bytes| bytes[40] ^= 1);
    let end = truncate(&mut folder, zxid(1, 8), |config, disk| {
        for cut in disk.cuts(4) {
            let recovered = recover(config, &mut disk.after_power_cut(cut)).unwrap();
            assert!([None, Some(full)].contains(&last(&recovered)), "nothing in between");
        }
    });
    assert_eq!(end, Truncated::MovedAside);
    assert_eq!(folder.disk.unsynced(), 0);
    let recovered = recover(&folder.config, &mut folder.disk).unwrap();
    assert_eq!(recovered.history, History::Blank);
    assert!(!recovered.first_start);
    let aside = folder.disk.names().into_iter().filter(|name| name.starts_with("corrupt."));
    assert_eq!(aside.count(), 4 + 3, "nothing is thrown away");
}

#[test]
fn trap_34_a_truncation_leaves_exactly_the_prefix_across_epochs() {
    for upto in folder().all {
        let mut folder = folder();
        assert_eq!(truncate(&mut folder, upto, |_, _| {}), Truncated::Cut, "{upto:?}");
        assert_eq!(folder.disk.unsynced(), 0);
        let recovered = recover(&folder.config, &mut folder.disk).unwrap();
        assert_eq!(last(&recovered), Some(upto));
        let prefix: Vec<Zxid> = folder.all.iter().copied().filter(|zxid| *zxid <= upto).collect();
        assert_eq!(recovered.database.digest(), tree_of(&prefix).digest());
        assert!(recovered.snapshots.iter().all(|snapshot| *snapshot <= upto));
    }
}

#[test]
fn a_truncation_may_be_cut_off_anywhere() {
    for upto in [Zxid::ZERO, zxid(1, 2), zxid(1, 6), zxid(1, 8), zxid(2, 3), zxid(2, 5)] {
        let mut folder = folder();
        let all = folder.all.clone();
        let end = truncate(&mut folder, upto, |config, disk| {
            for cut in disk.cuts(4) {
                let recovered = recover(config, &mut disk.after_power_cut(cut)).unwrap();
                let last = last(&recovered).expect("some of the history stays");
                assert!(last >= upto && !recovered.moved_aside);
                let prefix: Vec<Zxid> = all.iter().copied().filter(|zxid| *zxid <= last).collect();
                assert_eq!(recovered.database.digest(), tree_of(&prefix).digest());
            }
        });
        assert_eq!(end, Truncated::Cut);
    }
}

#[test]
fn a_truncation_to_what_is_not_there_keeps_what_lies_below() {
    for (upto, left) in
        [(zxid(1, 9), zxid(1, 8)), (zxid(2, 0), zxid(1, 8)), (zxid(3, 0), zxid(2, 6))]
    {
        let mut folder = folder();
        assert_eq!(truncate(&mut folder, upto, |_, _| {}), Truncated::Cut);
        let recovered = recover(&folder.config, &mut folder.disk).unwrap();
        assert_eq!(last(&recovered), Some(left));
    }
}

/// The leader that sent the oldest snapshot was never established, and is gone. What was acknowledged
/// lies in it.
#[test]
fn a_truncation_below_every_snapshot_touches_nothing() {
    for upto in [Zxid::ZERO, zxid(1, 3)] {
        let mut folder = folder();
        folder.disk.remove(&data("snapshot.0"));
        let files = folder.disk.names();
        assert_eq!(truncate(&mut folder, upto, |_, _| {}), Truncated::Impossible, "{upto:?}");
        assert_eq!(folder.disk.names(), files);
        let recovered = recover(&folder.config, &mut folder.disk).unwrap();
        assert_eq!(last(&recovered), folder.all.last().copied());
    }
}

#[test]
fn a_fuzzy_snapshot_that_looks_ahead_goes_with_a_truncation() {
    let mut folder = folder();
    // As Apache writes it: named 1:6, finished when 1:8 was applied.
    let mut encoder = vivarium_core::storage::snapshot::SnapshotEncoder::new(zxid(1, 8), 1);
    let (mut bytes, mut body) = (bytes::BytesMut::new(), bytes::BytesMut::new());
    encoder.head(&mut bytes);
    let mut tree = tree_of(&run_of(1, 1..=8));
    tree.begin_walk(usize::MAX);
    while tree.walk(1 << 20, &mut body) == vivarium_core::tree::Walk::More {}
    encoder.body(&body);
    bytes.extend_from_slice(&body);
    encoder.tail(&mut bytes);
    folder.disk.put(&data("snapshot.100000006"), &bytes);
    assert_eq!(truncate(&mut folder, zxid(1, 7), |_, _| {}), Truncated::Cut);
    assert!(!folder.disk.has("snapshot.100000006"));
    let recovered = recover(&folder.config, &mut folder.disk).unwrap();
    assert_eq!(recovered.database.digest(), tree_of(&run_of(1, 1..=7)).digest());
}

#[test]
fn a_sealed_snap_replaces_everything() {
    // The leader's history: ours up to 1:5, then an epoch of its own.
    let leaders = [run_of(1, 1..=5), run_of(3, 1..=2)].concat();
    for (theirs, at) in [(&leaders[..], zxid(3, 2)), (&leaders[..5], zxid(1, 5))] {
        let mut folder = folder();
        let full = folder.all.clone();
        let Folder { config, disk, logs, ids, out, .. } = &mut folder;
        snapshot(&mut tree_of(theirs), at, disk, ids);
        let mut supersede = Supersede::start(at, false, logs, ids, out);
        let mut todo: VecDeque<DiskAction> = drained(out).into();
        while let Some(op) = todo.pop_front() {
            let read = disk.run(&op);
            for cut in disk.cuts(4) {
                let recovered = recover(config, &mut disk.after_power_cut(cut)).unwrap();
                let last = last(&recovered).unwrap_or_else(|| panic!("blank after {op:?}"));
                let legal = if last == at { theirs } else { &full[..] };
                let prefix: Vec<Zxid> = legal.iter().copied().filter(|z| *z <= last).collect();
                assert_eq!(recovered.database.digest(), tree_of(&prefix).digest(), "{last:?}");
            }
            match (read, op_of(&op)) {
                (Some(data), _) => supersede.on_read(data, ids, out),
                (None, Some((queue, op))) => supersede.on_done(queue, op, ids, out),
                (None, None) => panic!("{op:?}"),
            };
            todo.extend(drained(out));
        }
        assert!(supersede.is_done());
        assert_eq!(disk.unsynced(), 0);
        let name = format!("snapshot.{:x}", at.0);
        assert_eq!(disk.names(), ["acceptedEpoch", "currentEpoch", name.as_str()]);
        let mut log = LogWriter::new(config, logs.clone(), Some(zxid(2, 6)));
        log.restart_behind(at);
        let next = at.next().unwrap();
        log.append(next, &payload(next), ids, out);
        drained(out).iter().for_each(|op| assert!(disk.run(op).is_none()));
        let recovered = recover(config, disk).unwrap();
        assert_eq!(last(&recovered), Some(next));
    }
}

/// It holds less than what it replaces: from the first removal on, what is there counts for nothing.
#[test]
fn a_snap_behind_the_history_leaves_a_blank_server_through_any_power_cut() {
    let (mut folder, at) = (folder(), zxid(1, 2));
    let full = *folder.all.last().unwrap();
    for name in ["snapshot.0", "snapshot.100000006"] {
        folder.disk.remove(&data(name));
    }
    let Folder { config, disk, logs, ids, out, .. } = &mut folder;
    snapshot(&mut tree_of(&run_of(1, 1..=2)), at, disk, ids);
    let mut supersede = Supersede::start(at, true, logs, ids, out);
    let mut todo: VecDeque<DiskAction> = drained(out).into();
    let mut blank = 0;
    while let Some(op) = todo.pop_front() {
        let read = disk.run(&op);
        for cut in disk.cuts(4) {
            let recovered = recover(config, &mut disk.after_power_cut(cut)).unwrap();
            assert!([None, Some(full)].contains(&last(&recovered)), "{:?}", last(&recovered));
            blank += u32::from(last(&recovered).is_none());
        }
        match (read, op_of(&op)) {
            (Some(data), _) => supersede.on_read(data, ids, out),
            (None, Some((queue, op))) => supersede.on_done(queue, op, ids, out),
            (None, None) => panic!("{op:?}"),
        };
        todo.extend(drained(out));
    }
    assert!(supersede.is_done() && blank > 0);
    assert_eq!(disk.names(), ["acceptedEpoch", "snapshot.100000002"]);
}

/// The newest log begins right behind the newest snapshot, as after a roll: everything older is
/// history still.
#[test]
fn a_roll_makes_no_older_file_dead() {
    for newest_goes in [false, true] {
        let mut folder = folder();
        if newest_goes {
            folder.disk.remove(&folder.logs.pop().unwrap().name);
            folder.disk.remove(&data("snapshot.0"));
        }
        let before = folder.disk.names();
        let recovered = recover(&folder.config, &mut folder.disk).unwrap();
        assert_eq!(folder.disk.names(), before);
        let firsts = |logs: &[LogFile]| logs.iter().map(|log| log.first).collect::<Vec<_>>();
        assert_eq!(firsts(&recovered.logs), firsts(&folder.logs));
        assert_eq!(recovered.snapshots.len(), if newest_goes { 2 } else { 3 });
    }
}

#[test]
fn purging_may_be_cut_off_anywhere() {
    let mut folder = folder();
    let Folder { config, disk, logs, ids, out, all } = &mut folder;
    let present = [Zxid::ZERO, zxid(1, 6), zxid(2, 3)];
    let purged = purge(&present[1..], &present, logs, 1, ids, out).unwrap();
    assert_eq!(purged.snapshots, present[..2]);
    let gone: Vec<Zxid> = purged.logs.iter().map(|log| log.first).collect();
    assert_eq!(gone, [zxid(1, 1), zxid(1, 4)]);
    for op in drained(out) {
        disk.run(&op);
        for cut in disk.cuts(4) {
            let recovered = recover(config, &mut disk.after_power_cut(cut)).unwrap();
            assert_eq!(last(&recovered), all.last().copied());
            assert_eq!(recovered.database.digest(), tree_of(all).digest());
        }
    }
    assert_eq!(disk.unsynced(), 0);
}
