//! Decoders over bytes that nobody meant, and cursors over logs that we wrote.

use proptest::prelude::*;
use vivarium_core::ids::Zxid;
use vivarium_core::storage::files::{Dir, FileName, LogFile};
use vivarium_core::storage::log_cursor::{CursorFault, LogCursor};
use vivarium_core::storage::ops::DiskIds;
use vivarium_core::storage::snapshot::{Fed, SnapshotDecoder, Source};
use vivarium_core::storage::txnlog::{FILE_HEADER, RecordScanner, Scanned, encode_record};

use crate::disk::Disk;
use crate::golden::{LAST, LOG, SNAPSHOT};
use crate::setup::{alone, payload, run_of, tree_of, zxid};

proptest! {
    #[test]
    fn a_scan_of_any_bytes_ends(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        header: bool,
        chunk in 1_usize..64,
    ) {
        if header && bytes.len() >= 16 {
            bytes[..16].copy_from_slice(&FILE_HEADER);
        }
        let mut scanner = RecordScanner::new(4096);
        let mut chunks = bytes.chunks(chunk);
        let mut last = false;
        loop {
            match scanner.next(last) {
                Scanned::Record(_) => {}
                Scanned::End { .. } | Scanned::Bad { .. } => break,
                Scanned::NeedMore(need) => {
                    prop_assert!(need > 0 && !last);
                    match chunks.next() {
                        Some(chunk) => scanner.push(chunk),
                        None => last = true,
                    }
                }
            }
        }
    }

    #[test]
    fn a_damaged_snapshot_is_refused(at in 16_usize..478, flip in 1_u8.., chunk in 1_usize..100) {
        let mut bytes = SNAPSHOT.to_vec();
        bytes[at] ^= flip;
        let mut decoder = SnapshotDecoder::new(Source::File, &alone());
        let fed = bytes.chunks(chunk).try_for_each(|piece| decoder.push(piece).map(|_| ()));
        prop_assert!(fed.is_err() || decoder.finish(Zxid(0)).is_err());
    }

    #[test]
    fn a_stream_ends_at_its_signature(chunk in 1_usize..600, rest in 0_usize..20) {
        let mut stream = SNAPSHOT[16..478 - 67].to_vec();
        stream.extend_from_slice(b"\0\0\0\x0aBenWasHere");
        stream.extend_from_slice(&[9; 20][..rest]);
        let mut decoder = SnapshotDecoder::new(Source::Stream, &alone());
        let mut pieces = stream.chunks(chunk);
        while decoder.push(pieces.next().unwrap()).unwrap() == Fed::More {}
        let decoded = decoder.finish(zxid(1, 7)).unwrap();
        let mut behind = decoded.leftover.to_vec();
        pieces.for_each(|piece| behind.extend_from_slice(piece));
        prop_assert_eq!(behind, vec![9; rest]);
        let tree = decoded.database;
        prop_assert_eq!(tree.applied(), zxid(1, 7));
        prop_assert_eq!(tree.digest().tree, tree_of(&[]).digest().tree);
    }
}

#[test]
fn a_cut_off_snapshot_is_refused_everywhere() {
    // Files of 3.6 and 3.8 end after the first and the second seal.
    let sound = [478 - 67 + 13, 478 - 21, 478];
    for len in 0..=478 {
        let mut decoder = SnapshotDecoder::new(Source::File, &alone());
        let fed = decoder.push(&SNAPSHOT[..len]);
        let whole = fed.is_ok() && decoder.finish(Zxid(0)).is_ok();
        assert_eq!(whole, sound.contains(&len), "{len}");
    }
}

/// Log files with these runs of transactions, padded with zeros.
fn logs(runs: &[&[Zxid]]) -> (Disk, Vec<LogFile>) {
    let (mut disk, mut files) = (Disk::default(), Vec::new());
    for run in runs {
        let mut bytes = bytes::BytesMut::from(&FILE_HEADER[..]);
        run.iter().for_each(|zxid| encode_record(&payload(*zxid), &mut bytes));
        let (name, len) = (FileName::log(Dir::Data, run[0]), bytes.len() as u64);
        bytes.extend_from_slice(&[0; 300]);
        disk.put(&name, &bytes);
        files.push(LogFile { first: run[0], name, len, measured: true });
    }
    (disk, files)
}

type Read = Result<(Option<Zxid>, Vec<Zxid>), CursorFault>;

fn read_all(disk: &mut Disk, mut cursor: LogCursor) -> Read {
    let (mut ids, mut got) = (DiskIds::new(), Vec::new());
    while let Some((read, action)) = cursor.next_read(&mut ids) {
        assert!(cursor.awaits(read) && cursor.next_read(&mut ids).is_none(), "one read at a time");
        for record in cursor.on_read(disk.run(&action).unwrap())? {
            assert_eq!(record.payload, payload(record.zxid));
            got.push(record.zxid);
        }
    }
    assert!(cursor.is_ended());
    Ok((cursor.floor(), got))
}

fn read_behind(disk: &mut Disk, files: &[LogFile], after: Zxid, upto: Zxid) -> Read {
    read_all(disk, LogCursor::behind(&alone(), files, after, upto)?)
}

#[test]
fn a_cursor_reads_across_files_and_stops_where_it_should() {
    let (first, second, third) = (run_of(1, 1..=300), run_of(1, 301..=420), run_of(3, 1..=9));
    let (mut disk, files) = logs(&[&first, &second, &third]);
    let all: Vec<Zxid> = [first, second, third].concat();
    for after in [zxid(1, 1), zxid(1, 299), zxid(1, 300), zxid(1, 301), zxid(1, 420), zxid(3, 1)] {
        for upto in [zxid(1, 301), zxid(1, 420), zxid(3, 9)] {
            let (floor, got) = read_behind(&mut disk, &files, after, upto).unwrap();
            let want: Vec<Zxid> =
                all.iter().copied().filter(|zxid| after < *zxid && *zxid <= upto).collect();
            assert_eq!(got, want, "({after:?}, {upto:?}]");
            assert!(got.is_empty() || floor == Some(after));
        }
    }
    // A zxid that only the learner has: the newest common one shows.
    let (floor, got) = read_behind(&mut disk, &files, zxid(2, 7), zxid(3, 9)).unwrap();
    assert_eq!((floor, got.len()), (Some(zxid(1, 420)), 9));
}

/// Rot that reads as the end of a file, where the next one begins a new epoch: no zxid says that records
/// are missing, and a learner that has them would be told to cut them off.
#[test]
fn a_cursor_takes_no_rot_for_the_end_of_an_epoch() {
    let (mut disk, mut files) = logs(&[&run_of(1, 1..=30), &run_of(2, 1..=9)]);
    let (after, upto) = (zxid(1, 20), zxid(2, 9));
    let listed = LogFile { len: files[0].len + 300, measured: false, ..files[0].clone() };
    let unread = [listed, files[1].clone()];
    assert_eq!(read_behind(&mut disk, &unread, after, upto).unwrap().1.len(), 10 + 9, "padding");

    let mut before = bytes::BytesMut::from(&FILE_HEADER[..]);
    run_of(1, 1..=8).iter().for_each(|zxid| encode_record(&payload(*zxid), &mut before));
    let ninth = before.len();
    disk.edit(&files[0].name, |log| log[ninth..ninth + 12].fill(0));
    for files in [&files[..], &unread] {
        let read = read_behind(&mut disk, files, after, upto);
        let Err(CursorFault::Damaged { file, offset, .. }) = read else { panic!("{read:?}") };
        assert_eq!((file, offset), (files[0].name.clone(), ninth as u64));
    }
    // A write that never came, at the end of what was written.
    disk.edit(&files[0].name, |log| log[ninth..].fill(0));
    files[0].measured = true;
    assert!(read_behind(&mut disk, &files, after, upto).is_err());
}

/// The snapshot covers what is damaged: a leader would refuse one learner after the other over it, and
/// write no newer one.
#[test]
fn a_cursor_behind_a_snapshot_reads_nothing_in_front_of_it() {
    let (mut disk, files) = logs(&[&run_of(2, 1..=27), &run_of(2, 28..=40)]);
    disk.edit(&files[0].name, |log| log[100] ^= 1);
    let upto = zxid(2, 40);
    let behind = |after| LogCursor::behind_snapshot(&alone(), &files, after, upto);
    assert_eq!(read_all(&mut disk, behind(zxid(2, 27))).unwrap().1.len(), 13);
    assert!(read_all(&mut disk, behind(zxid(2, 26))).is_err(), "one record of that file is wanted");
}

#[test]
fn a_cursor_says_where_the_log_does_not_reach() {
    let (mut disk, files) = logs(&[&run_of(1, 5..=9), &run_of(1, 11..=12)]);
    let gap = Err(CursorFault::Gap);
    assert_eq!(read_behind(&mut disk, &files, zxid(1, 3), zxid(1, 9)), gap);
    assert_eq!(read_behind(&mut disk, &files, zxid(1, 8), zxid(1, 12)), gap);
    // Right behind a snapshot the log may begin without it.
    let cursor = |after| LogCursor::behind_snapshot(&alone(), &files, after, zxid(1, 9));
    assert_eq!(read_all(&mut disk, cursor(zxid(1, 4))), Ok((None, run_of(1, 5..=9))));
    assert_eq!(read_all(&mut disk, cursor(zxid(1, 3))), gap);
    let ends = read_behind(&mut disk, &files, zxid(1, 11), zxid(1, 20));
    assert!(matches!(ends, Err(CursorFault::Damaged { .. })));
}

#[test]
fn a_cursor_takes_the_first_of_two_records_of_one_zxid() {
    let run = [zxid(1, 1), zxid(1, 2), zxid(1, 2), zxid(1, 3)];
    let (mut disk, files) = logs(&[&run]);
    let got = read_behind(&mut disk, &files, zxid(1, 1), zxid(1, 3)).unwrap();
    assert_eq!(got.1, run_of(1, 2..=3));
}

#[test]
fn a_cursor_takes_one_record_of_a_zxid_across_chunks() {
    // The second of the two lies in the next chunk.
    let mut run = run_of(1, 1..=700);
    let mut at = 16;
    let mut twice = 0;
    for (index, zxid) in run.iter().enumerate() {
        at += payload(*zxid).len() + 13;
        if at <= 64 * 1024 {
            twice = index;
        }
    }
    run.insert(twice, run[twice]);
    let (mut disk, files) = logs(&[&run]);
    let got = read_behind(&mut disk, &files, zxid(1, 1), zxid(1, 700)).unwrap();
    assert_eq!(got.1, run_of(1, 2..=700));
}

#[test]
fn recovery_accepts_equal_neighbours_of_java() {
    let mut disk = logs(&[&[zxid(0, 1), zxid(0, 2), zxid(0, 2), zxid(0, 3)]]).0;
    disk.put(&FileName::snapshot(Zxid(0)), SNAPSHOT);
    let recovered = crate::setup::recover(&alone(), &mut disk).unwrap();
    assert_eq!(recovered.database.digest(), tree_of(&run_of(0, 1..=3)).digest());
    assert_eq!(recovered.tail.len(), 3);
}

#[test]
fn the_rest_of_a_torn_java_batch_is_harmless_when_the_log_goes_on_behind_it() {
    for (next, sound) in [(zxid(0, 4), true), (zxid(0, 5), false), (zxid(1, 1), false)] {
        let (mut disk, files) = logs(&[&run_of(0, 1..=3), &[next]]);
        disk.put(&FileName::snapshot(Zxid(0)), SNAPSHOT);
        let end = files[0].len as usize;
        disk.edit(&files[0].name, |bytes| bytes[end + 7..end + 200].fill(5));
        let recovered = crate::setup::recover(&alone(), &mut disk);
        assert_eq!(recovered.is_ok(), sound, "{next:?}");
    }
}

#[test]
fn a_real_log_is_read_by_a_cursor() {
    let mut disk = Disk::default();
    let name = FileName::log(Dir::Data, Zxid(1));
    disk.put(&name, LOG);
    let files = [LogFile { first: Zxid(1), name, len: 0, measured: true }];
    let mut cursor = LogCursor::behind(&alone(), &files, Zxid(10), LAST).unwrap();
    let (mut ids, mut count) = (DiskIds::new(), 0);
    while let Some((_, action)) = cursor.next_read(&mut ids) {
        count += cursor.on_read(disk.run(&action).unwrap()).unwrap().len();
    }
    assert_eq!((count, cursor.floor()), (0x75 - 10, Some(Zxid(10))));
}
