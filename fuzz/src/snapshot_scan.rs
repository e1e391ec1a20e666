//! A snapshot of any bytes: from a file, and from a leader.

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::Zxid;
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::storage::snapshot::{Decoded, Fed, SnapshotDecoder, SnapshotEncoder, Source};
use vivarium_core::tree::{Database, Walk};

use crate::folder::{Folder, config};
use crate::txnlog_scan::starts_alike;

const ZXID: Zxid = Zxid(0x1_0000_0007);
/// The first byte: the bytes are the body of a file, which gets right seals.
const WRAP: u8 = 1;
/// The bytes come from a leader.
const STREAM: u8 = 2;
/// The folder is that of a member of an ensemble, which its peers can fill.
const MEMBER: u8 = 4;

/// Decodes the snapshot in one piece and in chunks, writes what it holds, and starts on it.
pub fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_first() else { return };
    if flags & STREAM != 0 {
        let _ = same_in_chunks(Source::Stream, data);
        return;
    }
    let file = if flags & WRAP == 0 { data.to_vec() } else { wrapped(data) };
    if let Some(decoded) = same_in_chunks(Source::File, &file) {
        is_written_alike(decoded.database);
    }
    let mut folder = Folder::default();
    folder.files.insert(FileName::snapshot(ZXID), file);
    folder.files.insert(FileName::new(Dir::Data, "acceptedEpoch"), b"1".into());
    folder.files.insert(FileName::new(Dir::Data, "currentEpoch"), b"1".into());
    starts_alike(folder, flags & MEMBER != 0);
}

fn wrapped(body: &[u8]) -> Vec<u8> {
    let mut file = BytesMut::new();
    let mut encoder = SnapshotEncoder::new(ZXID, 0);
    encoder.head(&mut file);
    encoder.body(body);
    file.extend_from_slice(body);
    encoder.tail(&mut file);
    file.into()
}

fn same_in_chunks(source: Source, bytes: &[u8]) -> Option<Decoded> {
    let whole = decode(source, bytes, bytes.len().max(1));
    let pieces = decode(source, bytes, 5);
    let told = |decoded: &Option<Decoded>| {
        decoded.as_ref().map(|decoded| {
            let Decoded { database, finished_at, grade, trailer, leftover, oversized } = decoded;
            let left = leftover.len();
            (
                database.digest(),
                database.node_count(),
                *finished_at,
                *grade,
                *trailer,
                left,
                *oversized,
            )
        })
    };
    match source {
        Source::File => assert_eq!(told(&pieces), told(&whole), "read in pieces of 5 bytes"),
        // What follows a stream is left over as far as it was pushed.
        Source::Stream => assert_eq!(pieces.is_some(), whole.is_some()),
    }
    whole
}

fn decode(source: Source, bytes: &[u8], chunk: usize) -> Option<Decoded> {
    let mut decoder = SnapshotDecoder::new(source, &config(None));
    for chunk in bytes.chunks(chunk) {
        match decoder.push(chunk) {
            Ok(Fed::More) => {}
            Ok(Fed::Complete) => break,
            Err(_) => return None,
        }
    }
    decoder.finish(ZXID).ok()
}

/// What is written of a state is read back as that state.
fn is_written_alike(mut database: Database) {
    let body = body_of(&mut database);
    let mut stream = body.to_vec();
    stream.extend_from_slice(&[0, 0, 0, 10]);
    stream.extend_from_slice(b"BenWasHere");
    let again = decode(Source::Stream, &stream, stream.len()).expect("we wrote it");
    let mut again = again.database;
    assert_eq!(again.digest(), database.digest());
    assert_eq!(body_of(&mut again), body);
}

pub(crate) fn body_of(database: &mut Database) -> Bytes {
    let mut body = BytesMut::new();
    database.begin_walk(usize::MAX);
    while database.walk(100, &mut body) == Walk::More {}
    body.freeze()
}
