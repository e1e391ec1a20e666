//! What damage does: the table of PROTOCOL 4.6 with our outcomes, in place of Apache's.

use vivarium_core::config::{Config, FirstStart};
use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::server::action::{DiskAction, FatalReason};
use vivarium_core::storage::recovery::History;
use vivarium_core::storage::snapshot::Grade;
use vivarium_core::storage::txnlog::{RecordScanner, Scanned, encode_record};

use vivarium_core::txn::Txn;

use crate::disk::Disk;
use crate::golden::{LAST, LOG, ensemble, standalone};
use crate::setup::{alone, data, of_three, recover, recover_watched};

/// Start and end of the n-th record (from the end where negative).
fn record(nth: i32) -> (usize, usize) {
    let mut scanner = RecordScanner::new(2 << 20);
    scanner.push(LOG);
    let mut found = Vec::new();
    while let Scanned::Record(record) = scanner.next(true) {
        found.push((record.start as usize, record.end as usize));
    }
    let index = if nth < 0 { found.len() as i32 + nth } else { nth };
    found[index as usize]
}

fn log() -> vivarium_core::storage::files::FileName {
    data("log.1")
}

/// A batch bound that the records behind the fifth one exceed.
fn strict(config: Config) -> Config {
    Config { append_batch_bytes: 512, ..config }
}

type Damage = fn(&mut Vec<u8>);

/// A torn end: cut off, and the rest is kept.
#[test]
fn a_torn_last_record_is_cut_off() {
    let cases: &[(&str, Damage)] = &[
        ("truncated in the last record", |log| log.truncate(record(-1).1 - 5)),
        ("tail zeroed", |log| log[record(-1).0 + 20..].fill(0)),
        ("end mark of the last record", |log| log[record(-1).1 - 1] = 0),
        ("checksum of the last record", |log| log[record(-1).0 + 7] ^= 1),
        ("head of the last record", |log| log[record(-1).0..record(-1).0 + 12].fill(0)),
    ];
    for (what, damage) in cases {
        for config in [alone(), of_three()] {
            let mut disk = standalone();
            disk.edit(&log(), damage);
            let recovered = recover(&strict(config.clone()), &mut disk).unwrap();
            assert_eq!(recovered.history, History::From { last: Zxid(0x74) }, "{what}");
            assert_eq!(disk.get(&log()).unwrap().len(), record(-1).0, "{what}");
            assert_eq!(disk.unsynced(), 0, "{what}");
            let again = recover(&strict(config), &mut disk).unwrap();
            assert_eq!(again.database.digest(), recovered.database.digest());
        }
    }
}

/// A start whose sync failed has cut a torn end in the memory of the machine alone. The next one reads
/// nothing torn, and would leave the remains on disk, in the middle of the log by then.
#[test]
fn the_end_of_the_log_is_set_at_every_start() {
    for config in [alone(), of_three()] {
        let mut disk = standalone();
        let mut ends = Vec::new();
        recover_watched(&config, &mut disk, |_, action| match action {
            DiskAction::SetLen { file, len, .. } if *file == log() => ends.push(*len),
            _ => {}
        })
        .unwrap();
        assert_eq!(ends, [disk.get(&log()).unwrap().len() as u64], "its padding stays");
        assert_eq!(disk.unsynced(), 0);
    }
}

/// Rot: Apache starts on two of these and loses 112 transactions without a word (T41).
#[test]
fn trap_41_damage_in_the_middle_is_never_taken_for_the_end() {
    let cases: &[(&str, Damage)] = &[
        ("end mark", |log| log[record(4).1 - 1] = 0),
        ("zeroed length", |log| log[record(4).0 + 8..record(4).0 + 12].fill(0)),
        ("garbage length", |log| log[record(4).0 + 8] = 0x7f),
        ("negative length", |log| log[record(4).0 + 8] = 0xff),
        ("checksum", |log| log[record(4).0 + 5] ^= 4),
        ("payload", |log| log[record(4).0 + 30] ^= 4),
        ("a whole record", |log| log[record(4).0..record(4).1].fill(0)),
        ("file header", |log| log[0] = 0),
    ];
    for (what, damage) in cases {
        let mut disk = standalone();
        disk.edit(&log(), damage);
        let before = disk.contents();
        let refused = recover(&strict(alone()), &mut disk).unwrap_err();
        let FatalReason::Corrupt { file, offset, .. } = refused else { panic!("{what}") };
        assert_eq!(file, "dataDir/version-2/log.1", "{what}");
        let at = if *what == "file header" { 0 } else { record(4).0 as u64 };
        assert_eq!(offset, at, "{what}");
        assert_eq!(disk.contents(), before, "{what}: nothing is touched where no peer can heal");

        let mut disk = disk.clone();
        let healed = recover(&strict(of_three()), &mut disk).unwrap();
        assert_eq!(healed.history, History::Blank, "{what}");
        assert!(healed.moved_aside && !healed.first_start, "{what}");
        assert_eq!(disk.names(), ["corrupt.log.1", "corrupt.snapshot.0"], "{what}");
        assert_eq!(disk.unsynced(), 0, "{what}");
        let again = recover(&strict(of_three()), &mut disk).unwrap();
        assert_eq!(again.history, History::Blank);
        assert!(!again.first_start, "a server that lost its history is not new");
    }
}

/// The same bytes were no reason to stop when they were applied first.
#[test]
fn a_whole_record_that_nobody_can_read_changes_nothing() {
    let mut disk = standalone();
    let before = recover(&alone(), &mut disk.clone()).unwrap();
    let mut payload = crate::setup::payload(Zxid(0x76)).to_vec();
    payload[28..32].copy_from_slice(&9999_i32.to_be_bytes());
    let mut unknown = bytes::BytesMut::new();
    encode_record(&payload, &mut unknown);
    disk.edit(&log(), |log| {
        log.truncate(record(-1).1);
        log.extend_from_slice(&unknown);
    });
    for config in [alone(), of_three()] {
        let recovered = recover(&strict(config), &mut disk).unwrap();
        assert_eq!(recovered.history, History::From { last: Zxid(0x76) });
        assert_eq!(recovered.database.applied(), Zxid(0x76));
        assert_eq!(recovered.database.digest().tree, before.database.digest().tree);
    }
}

#[test]
fn a_log_without_records_goes() {
    for damage in [
        (|log| log.clear()) as Damage,
        |log| log.truncate(16),
        |log| log.truncate(7),
        |log| log.fill(0),
    ] {
        let mut disk = standalone();
        disk.put(&data("log.76"), LOG);
        disk.edit(&data("log.76"), damage);
        let recovered = recover(&alone(), &mut disk).unwrap();
        assert_eq!(recovered.history, History::From { last: LAST });
        assert_eq!(disk.names(), ["log.1", "snapshot.0"]);
        assert_eq!(recovered.logs.len(), 1);
    }
}

/// Apache starts a file for the next record; killed before that is whole, it leaves the torn file
/// before it as well.
#[test]
fn a_torn_end_may_lie_in_front_of_files_without_records() {
    for empties in [&["log.76"][..], &["log.76", "log.77"]] {
        for config in [alone(), of_three()] {
            let mut disk = standalone();
            disk.edit(&log(), |log| log.truncate(record(-1).1 - 5));
            for name in empties {
                disk.put(&data(name), b"");
            }
            let recovered = recover(&strict(config), &mut disk).unwrap();
            assert_eq!(recovered.history, History::From { last: Zxid(0x74) });
            assert!(disk.has("log.1") && !empties.iter().any(|name| disk.has(name)));
            assert_eq!(disk.get(&log()).unwrap().len(), record(-1).0);
            assert_eq!((recovered.logs.len(), disk.unsynced()), (1, 0));
        }
    }
    let mut disk = standalone();
    disk.edit(&log(), |log| log[record(4).0 + 30] ^= 4);
    disk.put(&data("log.76"), b"");
    assert!(recover(&strict(alone()), &mut disk).is_err(), "rot stays rot");
}

/// Before we start a file, the one before it is whole and cut to its length: what is bad in it is no
/// torn batch, however near its end, and however empty the new one.
#[test]
fn damage_in_a_file_that_was_done_with_is_rot() {
    for (cut, rotten) in [(true, true), (false, false)] {
        let mut disk = standalone();
        disk.edit(&log(), |log| {
            log[record(-2).0 + 30] ^= 4;
            if cut {
                log.truncate(record(-1).1);
            }
        });
        disk.put(&data("log.76"), b"");
        let before = disk.contents();
        match recover(&strict(alone()), &mut disk) {
            Err(FatalReason::Corrupt { file, .. }) => {
                assert!(rotten && file.ends_with("log.1"), "{file}");
                assert_eq!(disk.contents(), before, "a lone server keeps all as it is");
            }
            other => assert!(!rotten, "{other:?}"),
        }
    }
}

/// A folder of a server with a larger jute.maxbuffer is whole: nothing of it may be lost.
#[test]
fn a_record_beyond_the_limit_is_named_to_the_operator() {
    let wide = |config: Config| Config { jute_max_buffer: 4 << 20, ..config };
    let mut large = crate::setup::txn(Zxid(0x76));
    let Txn::Create(create) = &mut large.txn else { panic!() };
    create.data = Some(vec![1; 3 << 20].into());
    let (mut payload, mut record_of_it) = (bytes::BytesMut::new(), bytes::BytesMut::new());
    large.encode(&mut payload);
    encode_record(&payload, &mut record_of_it);

    let mut in_log = standalone();
    in_log.edit(&log(), |log| {
        log.truncate(record(-1).1);
        log.extend_from_slice(&record_of_it);
    });
    let mut in_snapshot = Disk::default();
    let mut tree = crate::setup::tree_of(&[]);
    tree.apply(&large, &mut Vec::new());
    let mut ids = vivarium_core::storage::ops::DiskIds::new();
    crate::removal::snapshot(&mut tree, Zxid(0x76), &mut in_snapshot, &mut ids);

    for disk in [in_log, in_snapshot] {
        for config in [alone(), of_three()] {
            let mut disk = disk.clone();
            let before = disk.contents();
            let refused = recover(&config, &mut disk).unwrap_err();
            let FatalReason::Config(text) = refused else { panic!("{refused:?}") };
            assert!(text.contains("set jute.maxbuffer=31"), "{text}");
            assert_eq!(disk.contents(), before);
            let recovered = recover(&wide(config), &mut disk).unwrap();
            assert_eq!(recovered.history, History::From { last: Zxid(0x76) });
        }
    }
}

#[test]
fn trap_43_a_log_needs_its_snapshot() {
    let cut: fn(&mut Disk) = |disk| disk.edit(&data("snapshot.0"), |bytes| bytes.truncate(300));
    let gone: fn(&mut Disk) = |disk| disk.remove(&data("snapshot.0"));
    for damage in [cut, gone] {
        let mut disk = standalone();
        damage(&mut disk);
        assert!(matches!(recover(&alone(), &mut disk), Err(FatalReason::Corrupt { .. })));
        assert!(recover(&of_three(), &mut disk).unwrap().moved_aside);
    }
}

#[test]
fn trap_42_any_flipped_bit_of_a_snapshot_is_seen() {
    for at in 16..478 {
        let mut disk = standalone();
        disk.edit(&data("snapshot.0"), |bytes| bytes[at] ^= 0x10);
        disk.remove(&log());
        disk.put(&data("snapshot.77"), &[]);
        assert!(recover(&alone(), &mut disk).is_err(), "byte {at}");
    }
}

#[test]
fn a_gap_between_files_is_damage() {
    let mut disk = ensemble(0);
    let bytes = disk.get(&data("log.100000001")).unwrap().to_vec();
    // The same file without its second record.
    let mut holed = bytes[..0x4f].to_vec();
    holed.extend_from_slice(&bytes[0x4f + 12 + 0x57 + 1..]);
    disk.put(&data("log.100000001"), &holed);
    assert!(recover(&of_three(), &mut disk).unwrap().moved_aside);
}

#[test]
fn a_damaged_newer_snapshot_needs_a_log_that_reaches_it() {
    for (name, sound) in [("snapshot.75", true), ("snapshot.76", false)] {
        let mut disk = standalone();
        disk.put(&data(name), b"rot");
        match (recover(&alone(), &mut disk), sound) {
            (Ok(recovered), true) => {
                assert_eq!(recovered.history, History::From { last: LAST });
                assert!(!disk.has(name), "a damaged snapshot goes");
            }
            (Err(FatalReason::Corrupt { file, .. }), false) => {
                assert_eq!(file, format!("dataDir/version-2/{name}"));
            }
            (other, _) => panic!("{name}: {other:?}"),
        }
    }
}

/// Apache writes snapshots in place, and one at the start of an epoch.
#[test]
fn a_torn_snapshot_of_an_epoch_start_makes_room_for_an_older_one() {
    for config in [alone(), of_three()] {
        let mut disk = standalone();
        disk.put(&data("snapshot.100000000"), &crate::golden::SNAPSHOT[..300]);
        let recovered = recover(&config, &mut disk).unwrap();
        assert_eq!(recovered.history, History::From { last: LAST });
        assert_eq!(recovered.snapshots, [Zxid::ZERO]);
        assert!(!disk.has("snapshot.100000000"));
    }
}

#[test]
fn compressed_snapshots_are_named_to_the_operator() {
    let mut disk = standalone();
    disk.remove(&data("snapshot.0"));
    disk.put(&data("snapshot.0.gz"), b"\x1f\x8b");
    for config in [alone(), of_three()] {
        let Err(FatalReason::Config(text)) = recover(&config, &mut disk) else { panic!() };
        assert!(text.contains("snapshot.0.gz"), "{text}");
    }
}

#[test]
fn epochs_follow_the_table() {
    let epochs = |accepted: &str, current: &str, tmp: &str| {
        let mut disk = ensemble(0);
        for (name, text) in
            [("acceptedEpoch", accepted), ("currentEpoch", current), ("currentEpoch.tmp", tmp)]
        {
            disk.remove(&data(name));
            if text != "-" {
                disk.put(&data(name), text.as_bytes());
            }
        }
        let recovered = recover(&of_three(), &mut disk);
        if recovered.is_ok() {
            assert!(!disk.has("currentEpoch.tmp"));
        }
        recovered.map(|recovered| (recovered.accepted.0, recovered.current.0))
    };
    // The last transaction is of epoch 1.
    assert_eq!(epochs("1", "1", "-"), Ok((1, 1)));
    assert_eq!(epochs("3", "1", "-"), Ok((3, 1)));
    // Ahead of currentEpoch: legal after a crash in the synchronisation phase.
    assert_eq!(epochs("1", "0", "-"), Ok((1, 0)));
    assert_eq!(epochs("1", "0", "1"), Ok((1, 1)));
    assert_eq!(epochs("2", "0", "2"), Ok((2, 2)));
    // Not needed, torn, or more than was promised.
    assert_eq!(epochs("2", "1", "2"), Ok((2, 1)));
    assert_eq!(epochs("1", "0", ""), Ok((1, 0)));
    assert_eq!(epochs("1", "0", "2"), Ok((1, 0)));
    assert_eq!(epochs("-", "1", "-"), Ok((1, 1)));
    assert_eq!(epochs("-", "-", "-"), Ok((1, 1)));
    for (accepted, current) in [("1", "2"), ("0", "0"), ("x", "1"), ("1", ""), ("-", "2")] {
        let refused = epochs(accepted, current, "-");
        assert!(matches!(refused, Err(FatalReason::Corrupt { .. })), "{accepted} {current}");
    }
}

#[test]
fn an_empty_folder_begins_only_where_it_may() {
    let marker = vivarium_core::storage::files::initialize_marker();
    let auto = |config| Config { first_start: FirstStart::AutoCreate, ..config };
    // (config, marker, other files) -> begins, first start
    type Case = (Config, bool, &'static [(&'static str, &'static str)], bool, bool);
    let cases: Vec<Case> = vec![
        (alone(), false, &[], true, false),
        (of_three(), false, &[], false, true),
        (of_three(), true, &[], true, false),
        (auto(of_three()), false, &[], true, false),
        (of_three(), false, &[("acceptedEpoch", "1")], false, false),
        (auto(of_three()), false, &[("acceptedEpoch", "1")], false, false),
        (auto(of_three()), false, &[("corrupt.log.1", "x")], false, false),
        (of_three(), false, &[("snapshot.0", "cut off")], false, true),
        (alone(), false, &[("snapshot.0", "cut off"), ("snapshot.0.tmp", "x")], true, false),
    ];
    for (config, marked, files, begins, first) in cases {
        let mut disk = Disk::default();
        if marked {
            disk.put(&marker, b"");
        }
        for (name, text) in files {
            disk.put(&data(name), text.as_bytes());
        }
        let recovered = recover(&config, &mut disk).unwrap();
        let at_zero = recovered.history == History::From { last: Zxid(0) };
        assert_eq!((at_zero, recovered.first_start), (begins, first), "{files:?}");
        assert_eq!(disk.has("snapshot.0"), begins, "{files:?}");
        assert_eq!(disk.get(&marker), None);
        assert_eq!(disk.unsynced(), 0);
        if begins {
            let wrote = config.ensemble.is_some();
            assert_eq!(disk.get(&data("currentEpoch")), wrote.then_some(&b"0"[..]));
            let again = recover(&config, &mut disk).unwrap();
            assert_eq!(again.history, recovered.history);
            assert_eq!(again.snapshot, Some((Zxid(0), Grade::Exact)));
            assert_eq!(again.current, Epoch(0));
        }
    }
}

#[test]
fn trap_45_logs_and_snapshots_keep_to_their_folders() {
    use vivarium_core::storage::files::{Dir, FileName};
    let config = Config { separate_log_dir: true, ..alone() };
    let mut disk = standalone();
    let Err(FatalReason::Config(text)) = recover(&config, &mut disk) else { panic!() };
    assert!(text.contains("log.1"));
    let bytes = disk.get(&log()).unwrap().to_vec();
    disk.remove(&log());
    disk.put(&FileName::new(Dir::Log, "log.1"), &bytes);
    let recovered = recover(&config, &mut disk).unwrap();
    assert_eq!(recovered.history, History::From { last: LAST });
    disk.put(&FileName::new(Dir::Log, "snapshot.5"), b"");
    assert!(matches!(recover(&config, &mut disk), Err(FatalReason::Config(_))));
}
