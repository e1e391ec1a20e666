//! Power cuts at every operation of log writing and of recovery: what was synced is there, what
//! is there is a prefix, and recovery always comes to an end.

use vivarium_core::config::Config;
use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::server::Outbox;
use vivarium_core::server::action::DiskAction;
use vivarium_core::storage::epochs;
use vivarium_core::storage::files::EpochFile;
use vivarium_core::storage::log_writer::LogWriter;
use vivarium_core::storage::ops::DiskIds;
use vivarium_core::storage::recovery::{History, Recovered};
use vivarium_core::storage::snapshot::Grade;
use vivarium_core::storage::snapshot_writer::{Advanced, SnapshotWriter};

use crate::disk::{Cut, Disk};
use crate::golden::SNAPSHOT;
use crate::setup::{
    alone, data, drained, of_three, op_of, payload, recover, recover_watched, run_of, small,
    tree_of, txn, zxid,
};

fn initialised(config: &Config) -> Disk {
    let mut disk = Disk::default();
    disk.put(&data("snapshot.0"), SNAPSHOT);
    if config.ensemble.is_some() {
        disk.put(&data("acceptedEpoch"), b"9");
        disk.put(&data("currentEpoch"), b"0");
    }
    disk
}

/// The transactions that a run logs: two epochs.
fn history() -> Vec<Zxid> {
    [run_of(1, 1..=11), run_of(2, 1..=6)].concat()
}

/// The history has to be a prefix of `all` that ends in [`least`, `most`], with its tree.
fn check(recovered: &Recovered, all: &[Zxid], least: Zxid, most: Zxid) -> Zxid {
    let History::From { last } = recovered.history else { panic!("the history is gone") };
    assert!(least <= last && last <= most, "{least:?} <= {last:?} <= {most:?}");
    let prefix: Vec<Zxid> = all.iter().copied().filter(|zxid| *zxid <= last).collect();
    assert_eq!(prefix.last().copied().unwrap_or(Zxid::ZERO), last);
    assert_eq!(recovered.database.digest(), tree_of(&prefix).digest());
    last
}

/// Recovers what a cut left; cuts the recovery itself off at every operation; goes on twice.
fn survives(config: &Config, disk: &Disk, all: &[Zxid], least: Zxid, most: Zxid) {
    let mut first = disk.clone();
    let mut crashes = Vec::new();
    let recovered = recover_watched(config, &mut first, |disk, action| {
        if op_of(action).is_some() {
            crashes.extend(disk.cuts(2).into_iter().map(|cut| disk.after_power_cut(cut)));
        }
    });
    let recovered = recovered.unwrap_or_else(|reason| panic!("{reason}: {:?}", disk.names()));
    let last = check(&recovered, all, least, most);
    // What recovery has found no power cut takes back, nor a second recovery.
    let again = recover(config, &mut first.after_power_cut(Cut::Nothing)).unwrap();
    assert_eq!(check(&again, all, last, last), last);
    assert_eq!((again.accepted, again.current), (recovered.accepted, recovered.current));
    for mut crashed in crashes {
        check(&recover(config, &mut crashed).unwrap(), all, least, most);
    }
}

fn with_log(config: Config, rolls: &[usize]) {
    let config = small(config);
    let all = history();
    let mut disk = initialised(&config);
    let mut log = LogWriter::new(&config, Vec::new(), Some(Zxid::ZERO));
    let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
    let mut todo = std::collections::VecDeque::<DiskAction>::new();
    let mut appended = 0;
    loop {
        // One to three appends before the host drains, one operation of the disk at a time.
        for _ in 0..=appended % 3 {
            if appended < all.len() {
                if rolls.contains(&appended) {
                    log.roll();
                }
                log.append(all[appended], &payload(all[appended]), &mut ids, &mut out);
                appended += 1;
            }
        }
        todo.extend(drained(&mut out));
        let Some(action) = todo.pop_front() else { break };
        disk.run(&action);
        for cut in disk.cuts(6) {
            let image = disk.after_power_cut(cut);
            survives(&config, &image, &all, log.durable().unwrap(), log.logged().unwrap());
        }
        // A killed process leaves all of its writes, synced or not.
        survives(&config, &disk, &all, log.durable().unwrap(), log.logged().unwrap());
        let (_, op) = op_of(&action).unwrap();
        log.on_done(op, &mut ids, &mut out);
    }
    assert_eq!(log.durable(), all.last().copied());
    assert!(log.is_idle());
}

#[test]
fn a_lone_server_keeps_what_was_synced() {
    with_log(alone(), &[4, 12]);
}

#[test]
fn a_member_keeps_what_was_synced() {
    with_log(of_three(), &[7]);
}

#[test]
fn logs_may_lie_apart() {
    with_log(Config { separate_log_dir: true, ..of_three() }, &[]);
}

#[test]
fn a_long_record_may_be_torn_anywhere() {
    let config = small(alone());
    for cut in (0..200).map(Cut::Random) {
        let mut disk = initialised(&config);
        let mut log = LogWriter::new(&config, Vec::new(), Some(Zxid::ZERO));
        let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
        // The third is longer than a batch.
        let all = run_of(1, 1..=3);
        for zxid in &all {
            log.append(*zxid, &payload(*zxid), &mut ids, &mut out);
            let ops = drained(&mut out);
            ops.iter()
                .take(ops.len().saturating_sub(2))
                .for_each(|op| assert!(disk.run(op).is_none()));
            if *zxid == all[2] {
                disk.run(&ops[ops.len() - 2]);
                break;
            }
            ops.iter().rev().take(2).rev().for_each(|op| assert!(disk.run(op).is_none()));
            log.on_done(op_of(ops.last().unwrap()).unwrap().1, &mut ids, &mut out);
        }
        survives(&config, &disk.after_power_cut(cut), &all, all[1], all[2]);
    }
}

/// The kernel drops the error with the process that was to hear it: the pages are clean and not on
/// the disk. Whoever recovers from them may acknowledge them, so that they have to be written again.
#[test]
fn an_fsync_that_failed_silently() {
    let config = small(of_three());
    let all = history();
    for batches in 1..=all.len() {
        let mut disk = initialised(&config);
        let mut log = LogWriter::new(&config, Vec::new(), Some(Zxid::ZERO));
        let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
        for (nth, zxid) in all.iter().take(batches).enumerate() {
            log.append(*zxid, &payload(*zxid), &mut ids, &mut out);
            let ops = drained(&mut out);
            for op in &ops {
                match op {
                    DiskAction::SyncFile { file, .. } if nth + 1 == batches => {
                        disk.fail_silently(file);
                    }
                    _ => assert!(disk.run(op).is_none()),
                }
            }
            log.on_done(op_of(ops.last().unwrap()).unwrap().1, &mut ids, &mut out);
        }
        let last = all[batches - 1];
        let found = recover(&config, &mut disk).unwrap();
        check(&found, &all, last, last);
        let after = recover(&config, &mut disk.after_power_cut(Cut::Nothing)).unwrap();
        check(&after, &all, last, last);
    }
}

#[test]
fn epochs_are_old_or_new() {
    let config = of_three();
    for which in [EpochFile::Accepted, EpochFile::Current] {
        let mut disk = initialised(&config);
        let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
        let (old, new) = match which {
            EpochFile::Accepted => ((9, 0), (10, 0)),
            EpochFile::Current => ((9, 0), (9, 7)),
        };
        let value = if which == EpochFile::Accepted { new.0 } else { new.1 };
        epochs::write(which, Epoch(value), &mut ids, &mut out);
        let ops = drained(&mut out);
        for (nth, op) in ops.iter().enumerate() {
            disk.run(op);
            for cut in disk.cuts(6) {
                let mut image = disk.after_power_cut(cut);
                let recovered = recover(&config, &mut image).unwrap();
                let got = (recovered.accepted.0, recovered.current.0);
                let done = nth + 1 == ops.len();
                assert!(got == new || (got == old && !done), "{which:?} {nth} {cut:?} {got:?}");
                let again = recover(&config, &mut image.after_power_cut(Cut::Nothing)).unwrap();
                assert_eq!((again.accepted.0, again.current.0), got);
            }
        }
    }
}

#[test]
fn a_first_start_may_be_cut_off_anywhere() {
    let marker = vivarium_core::storage::files::initialize_marker();
    let mut disk = Disk::default();
    disk.put(&marker, b"");
    let mut images = Vec::new();
    recover_watched(&of_three(), &mut disk, |disk, _| {
        images.extend(disk.cuts(4).into_iter().map(|cut| disk.after_power_cut(cut)));
    })
    .unwrap();
    assert!(images.len() > 20);
    for mut image in images {
        let recovered = recover(&of_three(), &mut image).unwrap();
        assert_eq!(recovered.history, History::From { last: Zxid::ZERO });
        assert_eq!(image.get(&marker), None);
    }
}

#[test]
fn moving_aside_may_be_cut_off_anywhere() {
    let config = small(of_three());
    let mut disk = initialised(&config);
    let all = history();
    let mut log = LogWriter::new(&config, Vec::new(), Some(Zxid::ZERO));
    let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
    for zxid in &all {
        if zxid.counter() % 4 == 0 {
            log.roll();
        }
        log.append(*zxid, &payload(*zxid), &mut ids, &mut out);
        let ops = drained(&mut out);
        ops.iter().for_each(|op| assert!(disk.run(op).is_none()));
        log.on_done(op_of(ops.last().unwrap()).unwrap().1, &mut ids, &mut out);
    }
    disk.edit(&log.files()[1].name.clone(), |bytes| bytes[40] ^= 1);
    let mut images = Vec::new();
    recover_watched(&config, &mut disk, |disk, action| {
        if op_of(action).is_some() {
            images.extend(disk.cuts(4).into_iter().map(|cut| disk.after_power_cut(cut)));
        }
    })
    .unwrap();
    assert!(images.len() > 20);
    for mut image in images {
        let recovered = recover(&config, &mut image).unwrap();
        assert_eq!(recovered.history, History::Blank, "a damaged history never comes back");
        assert!(!recovered.first_start);
        assert_eq!(recovered.accepted, Epoch(9), "promises are kept");
        assert!(!image.has("currentEpoch"), "until it has synced it counts for nothing");
    }
}

/// The damaged snapshot alone shows that there was more: without it the rest looks whole.
#[test]
fn no_power_cut_hides_that_a_snapshot_is_damaged() {
    let config = small(of_three());
    let mut disk = initialised(&config);
    disk.put(&data("snapshot.900000005"), b"rot");
    let mut images = Vec::new();
    let recovered = recover_watched(&config, &mut disk, |disk, action| {
        if op_of(action).is_some() {
            images.extend(disk.cuts(4).into_iter().map(|cut| disk.after_power_cut(cut)));
        }
    });
    assert!(recovered.unwrap().moved_aside);
    assert!(images.len() > 10);
    for mut image in images {
        assert_eq!(recover(&config, &mut image).unwrap().history, History::Blank);
    }
}

#[test]
fn an_own_snapshot_is_there_wholly_or_not_at_all() {
    let config = small(alone());
    let all = run_of(1, 1..=900);
    let mut disk = initialised(&config);
    let mut log = LogWriter::new(&config, Vec::new(), Some(Zxid::ZERO));
    let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
    for zxid in &all {
        log.append(*zxid, &payload(*zxid), &mut ids, &mut out);
        let ops = drained(&mut out);
        ops.iter().for_each(|op| assert!(disk.run(op).is_none()));
        log.on_done(op_of(ops.last().unwrap()).unwrap().1, &mut ids, &mut out);
    }
    let mut tree = tree_of(&all);
    let last = zxid(1, 900);
    let mut writer = SnapshotWriter::start(&mut tree, last, &config);
    let mut sealed = false;
    while !sealed {
        assert_eq!(writer.advance(&mut tree, &mut ids, &mut out), Advanced::Working);
        for op in drained(&mut out) {
            disk.run(&op);
            sealed |= writer.on_done(op_of(&op).unwrap().1, &mut ids, &mut out).is_some();
            tree.apply(&txn(zxid(1, 901)), &mut Vec::new());
            for cut in disk.cuts(1) {
                let mut image = disk.after_power_cut(cut);
                let recovered = recover(&config, &mut image).unwrap();
                check(&recovered, &all, last, last);
                let from = recovered.snapshot.unwrap();
                assert!(
                    from == (last, Grade::Exact) || (!sealed && from == (Zxid::ZERO, Grade::Exact))
                );
                assert!(!image.names().iter().any(|name| name.ends_with(".tmp")));
            }
        }
    }
}

/// One life of a server: recover, append up to so many, stop after some operation of the disk.
/// Returns the zxids between which the history has to end.
fn live(config: &Config, disk: &mut Disk, last: Zxid, appends: u32, stop: usize) -> (Zxid, Zxid) {
    let recovered = recover(config, disk).unwrap();
    let mut log = LogWriter::new(config, recovered.logs, Some(last));
    let (mut ids, mut out) = (DiskIds::new(), Outbox::new());
    let mut todo = std::collections::VecDeque::<DiskAction>::new();
    let (mut appended, mut ops) = (0, 0);
    loop {
        if appended < appends {
            appended += 1;
            let next = zxid(1, last.counter() + appended);
            log.append(next, &payload(next), &mut ids, &mut out);
        }
        todo.extend(drained(&mut out));
        let Some(action) = todo.pop_front() else { break };
        disk.run(&action);
        ops += 1;
        if ops == stop {
            break;
        }
        log.on_done(op_of(&action).unwrap().1, &mut ids, &mut out);
    }
    drained(&mut out);
    (log.durable().unwrap(), log.logged().unwrap())
}

#[test]
fn many_lives_lose_nothing_that_was_synced() {
    let config = small(alone());
    for seed in 0..60_u64 {
        let mut disk = initialised(&config);
        let mut last = Zxid::new(Epoch(1), 0);
        for life in 0..12_u64 {
            let draw = (seed * 31 + life * 17 + seed * life) % 23;
            let (least, most) = live(&config, &mut disk, last, draw as u32 % 7, 1 + draw as usize);
            let cut = if draw % 4 == 0 { Cut::Everything } else { Cut::Random(seed * 100 + life) };
            disk = disk.after_power_cut(cut);
            let all = run_of(1, 1..=most.counter());
            let recovered = recover(&config, &mut disk.clone()).unwrap();
            let least = if least.counter() == 0 { Zxid::ZERO } else { least };
            let found = check(&recovered, &all, least, most);
            last = Zxid::new(Epoch(1), found.counter());
        }
    }
}
