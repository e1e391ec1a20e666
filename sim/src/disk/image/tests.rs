//! What survives which crash.

use std::collections::BTreeSet;

use bytes::Bytes;
use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::storage::files::{Dir, FileName};

use super::Image;
use crate::disk::index::tests::{log, record};
use crate::observe::Durable;
use crate::rng::{SimRng, Stream};

fn image() -> Image {
    Image::new(512, |payload| payload.len() as u64)
}

fn name(name: &str) -> FileName {
    FileName::new(Dir::Data, name)
}

fn rng(seed: u64) -> SimRng {
    SimRng::new(seed, Stream::Disk, 0)
}

fn read(image: &Image, file: &str) -> Option<Vec<u8>> {
    image.read(&name(file), 0, u32::MAX).map(Vec::from)
}

#[test]
fn a_synced_file_without_a_synced_name_can_be_lost_and_can_survive() {
    let outcomes: BTreeSet<_> = (0..50)
        .map(|seed| {
            let mut image = image();
            image.write(&name("log.1"), 0, Bytes::from(log(&[1])));
            image.sync_file(&name("log.1"), &mut Vec::new());
            assert_eq!(image.log_hash(Zxid(1)), None, "its name may be gone after a power cut");
            image.power_loss(&mut rng(seed));
            read(&image, "log.1").is_some()
        })
        .collect();
    assert_eq!(outcomes, BTreeSet::from([false, true]));
}

#[test]
fn what_is_synced_with_its_name_survives_every_power_cut() {
    for seed in 0..50 {
        let mut image = image();
        let mut changes = Vec::new();
        image.write(&name("log.1"), 0, Bytes::from(log(&[1, 2])));
        image.sync_file(&name("log.1"), &mut changes);
        assert_eq!(changes, [], "durable content without a durable name means nothing");
        image.sync_dir(Dir::Data, &mut changes);
        assert_eq!(changes, [Durable::Log { last: Some(Zxid(2)) }]);
        let end = log(&[1, 2]).len() as u64;
        image.write(&name("log.1"), end, Bytes::from(record(3, 700)));
        assert!(image.has_txn(Zxid(2), 37) && !image.has_txn(Zxid(3), 732));
        image.power_loss(&mut rng(seed));
        let content = read(&image, "log.1").unwrap();
        assert_eq!(content[..end as usize], log(&[1, 2])[..]);
        assert!(image.has_txn(Zxid(2), 37));
        let whole = content.ends_with(&record(3, 700));
        assert_eq!(image.has_txn(Zxid(3), 732), whole, "the index follows the torn tail");
    }
}

#[test]
fn unsynced_writes_are_lost_kept_and_torn_at_sector_borders() {
    let (mut none, mut all, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let mut image = image();
        image.plant(name("f"), &[0; 2048]);
        image.write(&name("f"), 100, Bytes::from(vec![1; 1500]));
        image.power_loss(&mut rng(seed));
        let content = read(&image, "f").unwrap();
        assert_eq!(content.len(), 2048);
        match content.iter().filter(|&&byte| byte == 1).count() {
            0 => none += 1,
            1500 => all += 1,
            _ => torn += 1,
        }
        for sector in content.chunks(512) {
            let inside: BTreeSet<_> = sector.iter().collect();
            let uniform = inside.len() == 1 || sector[..100].iter().all(|&b| b == 0);
            assert!(uniform || sector == &content[1536..], "a sector is written whole or not");
        }
    }
    assert!(none > 0 && all > 0 && torn > 0, "{none} {all} {torn}");
}

#[test]
fn a_rename_is_atomic_and_durable_with_its_folder() {
    for seed in 0..50 {
        let mut image = image();
        image.plant(name("currentEpoch"), b"4");
        image.write(&name("currentEpoch.tmp"), 0, Bytes::from_static(b"5"));
        image.sync_file(&name("currentEpoch.tmp"), &mut Vec::new());
        assert!(image.rename(&name("currentEpoch.tmp"), &name("currentEpoch")));
        assert_eq!(read(&image, "currentEpoch").unwrap(), b"5");
        assert_eq!(image.epoch("currentEpoch"), Some(Epoch(4)));
        let mut synced = image.clone();
        let mut changes = Vec::new();
        synced.sync_dir(Dir::Data, &mut changes);
        assert!(changes.contains(&Durable::CurrentEpoch(Epoch(5))));
        image.power_loss(&mut rng(seed));
        let left = read(&image, "currentEpoch").unwrap();
        assert!(left == b"4" || left == b"5", "{left:?}");
        synced.power_loss(&mut rng(seed));
        assert_eq!(synced.epoch("currentEpoch"), Some(Epoch(5)));
    }
}

#[test]
fn pages_that_a_failed_fsync_dropped_are_never_written() {
    let mut image = image();
    image.plant(name("log.1"), &log(&[1]));
    let end = log(&[1]).len() as u64;
    image.write(&name("log.1"), end, Bytes::from(record(2, 0)));
    image.lose_dirty_pages(&name("log.1"));
    image.sync_file(&name("log.1"), &mut Vec::new());
    assert_eq!(read(&image, "log.1").unwrap().len(), log(&[1]).len() + record(2, 0).len());
    assert!(!image.has_txn(Zxid(2), 32), "a second fsync that succeeds has written nothing");
}

#[test]
fn a_removed_file_comes_back_unless_its_folder_was_synced() {
    let mut image = image();
    image.plant(name("log.1"), &log(&[1]));
    image.remove(&name("log.1"));
    assert!(read(&image, "log.1").is_none() && image.log_hash(Zxid(1)).is_some());
    let back = (0..50).filter(|&seed| {
        let mut crashed = image.clone();
        crashed.power_loss(&mut rng(seed));
        read(&crashed, "log.1").is_some()
    });
    assert!((1..50).contains(&back.count()));
    let mut changes = Vec::new();
    image.sync_dir(Dir::Data, &mut changes);
    assert_eq!(changes, [Durable::Removed { aside: false }]);
    assert_eq!(image.log_hash(Zxid(1)), None);
}

#[test]
fn a_cut_log_forgets_its_tail_once_the_cut_is_durable() {
    let mut image = image();
    image.plant(name("log.1"), &log(&[1, 2, 3]));
    let keep = log(&[1]).len() as u64;
    image.set_len(&name("log.1"), keep);
    assert_eq!(image.last_log(), Some(Zxid(3)));
    image.sync_file(&name("log.1"), &mut Vec::new());
    assert_eq!(image.last_log(), Some(Zxid(1)));
}

#[test]
fn rot_spares_the_newest_batch_and_is_seen_by_the_index() {
    let mut image = image();
    image.plant(name("log.1"), &log(&[1, 2]));
    image.plant(name("log.3"), &log(&[3, 4]));
    assert!(image.rot(u64::from(u16::MAX), &mut rng(1)));
    assert!(image.txns().len() < 4 && image.log_hash(Zxid(4)).is_some());
    image.wipe();
    assert!(!image.rot(0, &mut rng(1)), "nothing is left to rot");
    assert_eq!(image.list(Dir::Data), []);
}

/// A log that ends in zeros is one that ends before them: who reads it could not tell that something is gone.
#[test]
fn rot_leaves_zeros_only_in_front_of_a_whole_record() {
    let (old, new) = (log(&(1..=12).collect::<Vec<_>>()), log(&(13..=24).collect::<Vec<_>>()));
    let last = record(12, 5).len();
    let mut zeroed = 0;
    for seed in 0..300 {
        let mut image = image();
        image.plant(name("log.1"), &old);
        image.plant(name("log.d"), &new);
        assert!(image.rot(0, &mut rng(seed)));
        for (file, whole) in [("log.1", &old), ("log.d", &new)] {
            let left = read(&image, file).expect("it is there");
            assert_eq!(left.len(), whole.len());
            let zeros = (0..whole.len()).filter(|&at| left[at] == 0 && whole[at] != 0).count();
            if zeros > 1 {
                zeroed += 1;
                assert_eq!(left[left.len() - last..], whole[whole.len() - last..], "seed {seed}");
            }
        }
    }
    assert!((20..200).contains(&zeroed), "{zeroed} of 300");
}

/// A body between the magic and its seal.
fn snapshot(body: usize) -> Vec<u8> {
    let mut file = b"ZKSN".to_vec();
    file.resize(4 + body, 7);
    let seal = u64::from(crate::disk::adler32(&file)).to_be_bytes();
    file.extend(seal);
    file.extend([0, 0, 0, 1, b'/']);
    file
}

#[test]
fn a_rotten_snapshot_is_none() {
    for seed in 0..20 {
        let mut image = image();
        assert!(!image.rot_snapshot(&mut rng(seed)), "nothing to rot");
        image.plant(name("snapshot.5"), &snapshot(64));
        assert_eq!(image.snapshot(), Some(Zxid(5)));
        assert!(image.rot_snapshot(&mut rng(seed)));
        assert_eq!(image.snapshot(), None, "seed {seed}");
    }
}

#[test]
fn a_misdirected_write_damages_what_is_old_and_is_not_in_its_place() {
    let mut image = image();
    let mut changes = Vec::new();
    let old = log(&[1, 2, 3, 4, 5]);
    image.write(&name("log.1"), 0, Bytes::from(old.clone()));
    image.sync_file(&name("log.1"), &mut changes);
    image.sync_dir(Dir::Data, &mut changes);
    let (place, bytes) = (old.len() as u64, record(6, 5));
    let log_1 = name("log.1");
    assert!(!image.misdirect(&log_1, place, &bytes, 10_000, &mut rng(1)), "nothing is as old");
    assert!(!image.misdirect(&name("currentEpoch"), 9, b"3", 0, &mut rng(1)));
    assert!(image.misdirect(&log_1, place, &bytes, 60, &mut rng(1)));
    assert_eq!(image.log_hash(Zxid(6)), None);
    let found = (1..=5).filter(|&zxid| image.log_hash(Zxid(zxid)).is_some()).count();
    assert!((2..5).contains(&found), "{found} records are whole");
    // What is written behind the hole is there, and readable for who knows of the hole.
    image.write(&log_1, place + bytes.len() as u64, Bytes::from(record(7, 5)));
    image.sync_file(&log_1, &mut changes);
    assert!(image.log_hash(Zxid(7)).is_some());
}
