//! A server that lost its history counts for nothing until it has synced, over crashes too:
//! acceptedEpoch without currentEpoch says so on disk.

use vivarium_core::config::Config;
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::storage::files::initialize_marker;
use vivarium_core::storage::recovery::History;

use crate::disk::Disk;
use crate::golden::{SNAPSHOT, ensemble};
use crate::setup::{alone, data, of_three, recover, recover_watched};

/// A history, acceptedEpoch and no currentEpoch.
fn cut_short() -> Disk {
    let mut disk = ensemble(0);
    disk.put(&data("acceptedEpoch"), b"3");
    disk.remove(&data("currentEpoch"));
    disk
}

#[test]
fn what_a_sync_left_half_done_is_no_history() {
    let mut disk = cut_short();
    let files = disk.names();
    for _ in 0..2 {
        let recovered = recover(&of_three(), &mut disk).unwrap();
        assert_eq!(recovered.history, History::Blank);
        assert_eq!((recovered.accepted, recovered.current), (Epoch(3), Epoch::ZERO));
        assert!(!recovered.first_start && !recovered.moved_aside);
        assert_eq!(recovered.logs.len(), 1, "a leader's snapshot replaces them");
        assert_eq!(disk.names(), files, "until then nothing is taken from an operator");
    }
}

/// A leader's history may begin with the snapshot of a first start.
#[test]
fn an_empty_tree_may_be_half_of_a_history_too() {
    let mut disk = Disk::default();
    disk.put(&data("snapshot.0"), SNAPSHOT);
    disk.put(&data("acceptedEpoch"), b"3");
    assert_eq!(recover(&of_three(), &mut disk).unwrap().history, History::Blank);

    disk.put(&data("acceptedEpoch"), b"0");
    let begun = recover(&of_three(), &mut disk).unwrap();
    assert_eq!(begun.history, History::From { last: Zxid::ZERO }, "nobody was promised anything");
}

#[test]
fn where_nobody_else_could_know_more_it_is_a_history() {
    let mut single = of_three();
    single.ensemble.as_mut().unwrap().members.retain(|id, _| *id == ServerId(1));
    for config in [single, alone()] {
        let recovered = recover(&config, &mut cut_short()).unwrap();
        assert_ne!(recovered.history, History::Blank);
    }
}

/// A folder of a lone server gets its epoch files when it joins an ensemble.
#[test]
fn a_folder_without_epochs_counts_through_any_power_cut() {
    let mut disk = ensemble(0);
    let whole = recover(&of_three(), &mut disk.clone()).unwrap().history;
    disk.remove(&data("acceptedEpoch"));
    disk.remove(&data("currentEpoch"));
    let mut images = Vec::new();
    let recovered = recover_watched(&of_three(), &mut disk, |disk, _| {
        images.extend(disk.cuts(4).into_iter().map(|cut| disk.after_power_cut(cut)));
    });
    assert_eq!(recovered.unwrap().history, whole);
    assert!(images.len() > 10);
    for mut image in images {
        assert_eq!(recover(&of_three(), &mut image).unwrap().history, whole);
    }
}

/// The operator says that the folder may begin anew, whatever was promised before.
#[test]
fn a_marked_folder_begins_through_any_power_cut() {
    let mut disk = Disk::default();
    disk.put(&data("acceptedEpoch"), b"3");
    disk.put(&initialize_marker(), b"");
    let mut images = Vec::new();
    let config: Config = of_three();
    recover_watched(&config, &mut disk, |disk, _| {
        images.extend(disk.cuts(4).into_iter().map(|cut| disk.after_power_cut(cut)));
    })
    .unwrap();
    for mut image in images {
        let recovered = recover(&config, &mut image).unwrap();
        assert_eq!(recovered.history, History::From { last: Zxid::ZERO });
        assert_eq!((recovered.accepted, recovered.current), (Epoch(3), Epoch::ZERO));
    }
}
