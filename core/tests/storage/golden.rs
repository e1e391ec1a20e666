//! Folders of Apache ZooKeeper 3.9.5: recovered, and their files read and written byte for byte.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::server::note::Note;
use vivarium_core::storage::files::FileName;
use vivarium_core::storage::recovery::{History, Recovered};
use vivarium_core::storage::snapshot::{
    Fed, Grade, SnapshotDecoder, SnapshotEncoder, Source, last_zxid_of,
};
use vivarium_core::storage::txnlog::{FILE_HEADER, RecordScanner, Scanned, encode_record};
use vivarium_core::tree::Walk;
use vivarium_core::txn::LoggedTxn;

use crate::disk::Disk;
use crate::setup::{alone, data, of_three, recover};

macro_rules! golden {
    ($path:literal) => {
        include_bytes!(concat!("../golden/zookeeper-3.9.5/", $path))
    };
}

pub(crate) const LOG: &[u8] = golden!("standalone/version-2/log.1");
pub(crate) const SNAPSHOT: &[u8] = golden!("standalone/version-2/snapshot.0");
const ENSEMBLE: [(&[u8], &[u8]); 2] = [
    (golden!("ensemble-1/version-2/log.100000001"), golden!("ensemble-1/version-2/snapshot.0")),
    (golden!("ensemble-2/version-2/log.100000001"), golden!("ensemble-2/version-2/snapshot.0")),
];

/// Of the 118 records one, an error, shares its zxid with the one before it (T2).
pub(crate) const LAST: Zxid = Zxid(0x75);

pub(crate) fn standalone() -> Disk {
    let mut disk = Disk::default();
    disk.put(&data("log.1"), LOG);
    disk.put(&data("snapshot.0"), SNAPSHOT);
    disk
}

pub(crate) fn ensemble(which: usize) -> Disk {
    let (log, snapshot) = ENSEMBLE[which];
    let mut disk = Disk::default();
    disk.put(&data("log.100000001"), log);
    disk.put(&data("snapshot.0"), snapshot);
    disk.put(&data("acceptedEpoch"), b"1");
    disk.put(&data("currentEpoch"), b"1");
    disk
}

/// Payloads and the offset behind the last record, in chunks of this size.
fn scan(file: &[u8], chunk: usize) -> (Vec<Bytes>, u64) {
    let mut scanner = RecordScanner::new(2 << 20);
    let (mut payloads, mut at) = (Vec::new(), 0);
    loop {
        match scanner.next(at == file.len()) {
            Scanned::Record(record) => payloads.push(record.payload),
            Scanned::End { offset } => return (payloads, offset),
            Scanned::Bad { offset, flaw } => panic!("{} at {offset}", flaw.what()),
            Scanned::NeedMore(_) => {
                let end = (at + chunk).min(file.len());
                scanner.push(&file[at..end]);
                at = end;
            }
        }
    }
}

/// The tree digest that the leader wrote behind each transaction is ours at that zxid.
fn digests_agree(recovered: &Recovered, log: &[u8]) -> usize {
    let (mut compared, mut last) = (0, None);
    let mut applied = recovered.notes.iter().filter_map(|note| match note {
        Note::Applied { zxid, digest, recovered: true, .. } => Some((*zxid, digest.tree)),
        _ => None,
    });
    for payload in scan(log, 4096).0 {
        let txn = LoggedTxn::decode(payload).unwrap();
        if last == Some(txn.header.zxid) {
            continue;
        }
        last = Some(txn.header.zxid);
        let (zxid, tree) = applied.next().unwrap();
        assert_eq!(zxid, txn.header.zxid);
        if let Some(digest) = txn.digest {
            assert_eq!(digest.tree, tree, "tree digest at {zxid}");
            compared += 1;
        }
    }
    assert_eq!(applied.next(), None);
    compared
}

/// Logs without their padding.
fn cut(mut files: BTreeMap<FileName, Vec<u8>>) -> BTreeMap<FileName, Vec<u8>> {
    for (_, log) in files.iter_mut().filter(|(name, _)| name.name.starts_with("log.")) {
        let written = log.iter().rposition(|byte| *byte != 0);
        log.truncate(written.map_or(0, |last| last + 1));
    }
    files
}

#[test]
fn a_standalone_folder_is_recovered() {
    let mut disk = standalone();
    let before = disk.contents();
    let recovered = recover(&alone(), &mut disk).unwrap();
    let last = LAST;
    assert_eq!(recovered.history, History::From { last });
    assert_eq!(recovered.database.applied(), last);
    assert_eq!((recovered.accepted, recovered.current), (Epoch(0), Epoch(0)));
    assert_eq!(recovered.snapshot, Some((Zxid(0), Grade::Exact)));
    assert_eq!(recovered.tail.len(), 117);
    assert_eq!(recovered.logs.len(), 1);
    assert!(!recovered.first_start && !recovered.moved_aside);
    assert!(digests_agree(&recovered, LOG) > 80);
    assert!(disk.contents() == cut(before), "of a sound folder only the padding goes");
}

#[test]
fn both_folders_of_an_ensemble_come_to_the_same_tree() {
    let trees = [0, 1].map(|which| {
        let mut disk = ensemble(which);
        let before = disk.contents();
        let recovered = recover(&of_three(), &mut disk).unwrap();
        assert_eq!(recovered.history, History::From { last: Zxid(0x1_0000_0007) });
        assert_eq!((recovered.accepted, recovered.current), (Epoch(1), Epoch(1)));
        assert_eq!(digests_agree(&recovered, ENSEMBLE[which].0), 7);
        assert!(disk.contents() == cut(before), "of a sound folder only the padding goes");
        recovered.database.digest()
    });
    // The two wrote /zookeeper/config by themselves: it differs in mtime until it is set, and the
    // tree digest leaves it out.
    assert_eq!(trees[0].tree, trees[1].tree);
}

#[test]
fn missing_epoch_files_are_those_of_the_last_transaction() {
    let mut disk = ensemble(0);
    disk.remove(&data("acceptedEpoch"));
    disk.remove(&data("currentEpoch"));
    let recovered = recover(&of_three(), &mut disk).unwrap();
    assert_eq!((recovered.accepted, recovered.current), (Epoch(1), Epoch(1)));
    assert_eq!(disk.get(&data("acceptedEpoch")), Some(&b"1"[..]));
    assert_eq!(disk.get(&data("currentEpoch")), Some(&b"1"[..]));
    assert_eq!(disk.unsynced(), 0);
}

#[test]
fn logs_are_written_as_they_were_read() {
    for log in [LOG, ENSEMBLE[0].0, ENSEMBLE[1].0] {
        for chunk in [1, 13, 4096, log.len()] {
            let (payloads, end) = scan(log, chunk);
            let mut out = BytesMut::from(&FILE_HEADER[..]);
            for payload in payloads {
                encode_record(&payload, &mut out);
            }
            assert_eq!(out.len() as u64, end);
            assert!(out[..] == log[..out.len()]);
        }
    }
}

#[test]
fn snapshots_are_written_as_they_were_read() {
    for snapshot in [SNAPSHOT, ENSEMBLE[0].1, ENSEMBLE[1].1] {
        for chunk in [1, 7, snapshot.len()] {
            let mut decoder = SnapshotDecoder::new(Source::File, &alone());
            for piece in snapshot.chunks(chunk) {
                assert_eq!(decoder.push(piece), Ok(Fed::More));
            }
            let decoded = decoder.finish(Zxid(0)).unwrap();
            assert_eq!(decoded.finished_at, Some(Zxid(0)));
            let mut database = decoded.database;
            let mut encoder = SnapshotEncoder::new(Zxid(0), database.digest().tree);
            let mut out = BytesMut::new();
            encoder.head(&mut out);
            database.begin_walk(usize::MAX);
            let mut more = Walk::More;
            while more == Walk::More {
                let start = out.len();
                more = database.walk(64, &mut out);
                encoder.body(&out[start..]);
            }
            encoder.tail(&mut out);
            assert!(out == snapshot);
        }
        let tail = snapshot.len() - 21;
        assert_eq!(last_zxid_of(&snapshot[tail..]), Some(Zxid(0)));
    }
}
