//! Whether Apache would start: the verdicts that `make interop` (a) checks against a real 3.9.5
//! server, over the same kinds of folder. Reading changes nothing.

use vivarium_core::admin::folder::{Appraisal, Ask, Ours, Question, Report, Standing};
use vivarium_core::ids::Zxid;
use vivarium_core::storage::apache::Verdict;
use vivarium_core::storage::txnlog::{RecordScanner, Scanned, encode_record};

use crate::disk::Disk;
use crate::golden::{LOG, ensemble, standalone};
use crate::setup::data;

fn appraise(disk: &Disk, question: Question) -> Report {
    let mut disk = disk.clone();
    let before = disk.contents();
    let mut appraisal = Appraisal::new(question);
    let mut got = None;
    loop {
        match appraisal.next(got) {
            Ask::Done(report) => {
                assert_eq!(disk.contents(), before, "only looked at");
                return *report;
            }
            Ask::Read(action) => got = Some(disk.run(&action).expect("a read answers")),
        }
    }
}

fn told_by_files(disk: &Disk) -> Report {
    appraise(disk, Question { separate_log_dir: false, myid: false, standing: None })
}

/// Start and end of every record of the golden log.
fn records() -> Vec<(usize, usize)> {
    let mut scanner = RecordScanner::new(2 << 20);
    scanner.push(LOG);
    let mut found = Vec::new();
    while let Scanned::Record(record) = scanner.next(true) {
        found.push((record.start as usize, record.end as usize));
    }
    found
}

#[test]
fn whole_folders_are_told_by_their_files() {
    let report = told_by_files(&standalone());
    assert_eq!((report.standing, &report.apache), (Standing::Standalone, &Verdict::Starts));
    assert_eq!(report.ours, Ours::Starts { last: Zxid(0x75) });
    let figures = report.figures.unwrap();
    assert_eq!((figures.last, figures.digest_agrees), (Zxid(0x75), Some(true)));
    assert_eq!(report.played.len(), 1);
    assert_eq!(report.played[0].entries, 118);

    let report = told_by_files(&ensemble(1));
    assert_eq!((report.standing, &report.apache), (Standing::Member, &Verdict::Starts));
    assert_eq!((report.epochs.accepted, report.epochs.current), (Some(1), Some(1)));

    let report = told_by_files(&Disk::default());
    assert_eq!(report.apache, Verdict::StartsEmpty);
    assert_eq!(report.ours, Ours::Starts { last: Zxid(0) });
    let blank = Question { separate_log_dir: false, myid: true, standing: None };
    assert_eq!(appraise(&Disk::default(), blank).ours, Ours::FirstStart);
}

type Damage = fn(&mut Vec<u8>);

/// (what, damage, Apache's last zxid or `None` where it refuses, records behind its end)
#[test]
fn damage_of_a_log_is_judged_as_apache_does() {
    let cases: &[(&str, Damage, Option<u64>, bool)] = &[
        ("end mark in the middle", |log| log[records()[4].1 - 1] = 0, Some(4), true),
        (
            "zeroed length in the middle",
            |log| log[records()[4].0 + 8..][..4].fill(0),
            Some(4),
            true,
        ),
        ("huge length", |log| log[records()[4].0 + 8] = 0x7f, None, false),
        ("negative length", |log| log[records()[4].0 + 8] = 0xff, None, false),
        ("payload in the middle", |log| log[records()[4].0 + 30] ^= 1, None, false),
        ("cut in the last record", |log| log.truncate(records()[117].1 - 5), Some(0x74), false),
        ("last record zeroed", |log| log[records()[117].0..].fill(0), Some(0x74), false),
        ("cut behind the last record", |log| log.truncate(records()[117].1), Some(0x75), false),
        ("a longer tail of zeros", |log| log.resize(log.len() + 99_999, 0), Some(0x75), false),
        ("half a header", |log| log.truncate(8), None, false),
        ("no header", |log| log[..16].fill(0), None, false),
        ("nothing", Vec::clear, Some(0), false),
        ("header alone", |log| log.truncate(16), Some(0), false),
        ("an unknown transaction", |log| unknown_transaction(log), None, false),
    ];
    for (what, damage, last, lost) in cases {
        let mut disk = standalone();
        disk.edit(&data("log.1"), damage);
        let report = told_by_files(&disk);
        assert_eq!(report.apache_starts(), last.is_some(), "{what}: {}", report.apache_line());
        if let Some(last) = last {
            assert_eq!(report.figures.unwrap().last, Zxid(*last), "{what}");
        }
        assert_eq!(report.remains.iter().any(|remains| remains.records), *lost, "{what}");
        assert_eq!(report.warnings().len(), report.remains.len(), "{what}");
    }
}

/// A type that no version has, under a right checksum, behind the last record.
fn unknown_transaction(log: &mut [u8]) {
    let mut payload = [0_u8; 32];
    payload[19] = 0x76;
    payload[31] = 99;
    let mut record = bytes::BytesMut::new();
    encode_record(&payload, &mut record);
    let end = records()[117].1;
    log[end..end + record.len()].copy_from_slice(&record);
}

#[test]
fn epochs_are_judged_as_apache_does() {
    // (acceptedEpoch, currentEpoch, currentEpoch.tmp) of a folder whose last zxid is of epoch 1
    let cases = [
        ("1", "1", "-", true),
        ("3", "2", "-", true),
        ("1", "0", "-", false),
        ("1", "0", "1", true),
        // Taken as it is.
        ("1", "0", "0", true),
        ("1", "0", "", false),
        ("1", "1", "", true),
        ("1", "2", "-", false),
        ("-", "1", "-", true),
        ("2", "-", "-", true),
        ("0", "-", "-", false),
        ("one", "1", "-", false),
        ("+1\n", "1\r\n", "-", true),
        ("", "1", "-", false),
    ];
    for (accepted, current, tmp, starts) in cases {
        let mut disk = ensemble(1);
        let files = [("acceptedEpoch", accepted), ("currentEpoch", current)];
        for (name, text) in files.into_iter().chain([("currentEpoch.tmp", tmp)]) {
            match text {
                "-" => disk.remove(&data(name)),
                text => disk.put(&data(name), text.as_bytes()),
            }
        }
        let report = told_by_files(&disk);
        let line = report.apache_line();
        assert_eq!(report.apache_starts(), starts, "{accepted:?} {current:?} {tmp:?}: {line}");
    }
}

#[test]
fn the_number_alone_makes_a_file_state() {
    let mut bad = LOG.to_vec();
    bad[records()[1].0 + 30] ^= 1;
    let with = |name: &str, bytes: &[u8]| {
        let mut disk = standalone();
        disk.put(&data(name), bytes);
        told_by_files(&disk).apache_starts()
    };
    assert!(with("corrupt.log.2", &bad), "moved aside");
    assert!(!with("log.2.corrupt", &bad), "a suffix hides nothing");
    assert!(!with("log.2", &bad));
    let snapshot = standalone().get(&data("snapshot.0")).unwrap().to_vec();
    assert!(with("snapshot.1.tmp", &snapshot[..300]), "cut off: no candidate");

    let mut without = standalone();
    without.remove(&data("snapshot.0"));
    let report = told_by_files(&without);
    assert!(!report.apache_starts() && matches!(report.ours, Ours::Refuses(_)));
    without.put(&data("snapshot.0.gz"), b"\x1f\x8b");
    assert!(matches!(told_by_files(&without).apache, Verdict::Unknown(_)));
}

#[test]
fn two_folders_keep_to_their_kinds() {
    let question = Question { separate_log_dir: true, myid: false, standing: None };
    let report = appraise(&standalone(), question);
    assert!(!report.apache_starts(), "a log lies beside the snapshots");
    assert!(matches!(report.ours, Ours::Refuses(_)));
    assert!(report.to_string().contains("log.1 is a transaction log in the folder of"), "{report}");
}

#[test]
fn a_report_says_what_to_do() {
    let mut disk = ensemble(1);
    disk.put(&data("currentEpoch"), b"0");
    let report = told_by_files(&disk);
    assert_eq!(
        report.apache_line(),
        "Apache ZooKeeper 3.9.5 would not start on this folder (as a member of an ensemble): \
         currentEpoch is 0, and the last transaction 0x100000007 is of epoch 1; start Vivarium on \
         it until it serves, then stop it in order."
    );
    assert_eq!(report.vivarium_line(), "Vivarium would start, at zxid 0x100000007.");
}
