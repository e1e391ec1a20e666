//! A folder whose transaction logs hold any bytes, and a server that starts on it.

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::Zxid;
use vivarium_core::server::view::View;
use vivarium_core::storage::files::{Dir, FileName};
use vivarium_core::storage::txnlog::{FILE_HEADER, RecordScanner, Scanned, encode_record};

use crate::folder::{Folder, config, ensemble, stamp};

const PAYLOAD_LIMIT: usize = 2048;
/// The first byte: payloads follow, each behind its length, and get right checksums. Else the bytes are
/// the file.
const WRAP: u8 = 1;
/// The folder is that of a member of an ensemble, which its peers can fill.
const MEMBER: u8 = 2;
/// The second half of the bytes is a second log file.
const TWO_FILES: u8 = 4;

/// Scans the file in one piece and in chunks, then starts on it, twice.
pub fn run(data: &[u8]) {
    let Some((&flags, data)) = data.split_first() else { return };
    let halves = if flags & TWO_FILES == 0 { (data, None) } else { half(data) };
    let file = |bytes: &[u8]| if flags & WRAP == 0 { bytes.to_vec() } else { wrapped(bytes) };
    let first = file(halves.0);
    let zxids = same_in_chunks(&first);
    let mut folder = Folder::default();
    folder.files.insert(FileName::log(Dir::Data, Zxid(1)), first);
    if let Some(second) = halves.1 {
        let next = zxids.last().and_then(|last| last.next()).unwrap_or(Zxid(2));
        folder.files.insert(FileName::log(Dir::Data, next), file(second));
    }
    starts_alike(folder, flags & MEMBER != 0);
}

fn half(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (first, second) = data.split_at(data.len() / 2);
    (first, Some(second))
}

/// Payloads of at most 255 bytes, as a log holds them.
fn wrapped(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = BytesMut::from(&FILE_HEADER[..]);
    while let Some((&len, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(len)));
        encode_record(payload, &mut file);
        bytes = rest;
    }
    file.into()
}

/// The zxids of the file.
fn same_in_chunks(file: &[u8]) -> Vec<Zxid> {
    let whole = scan(file, file.len().max(1));
    assert_eq!(scan(file, 5), whole, "read in pieces of 5 bytes");
    let records = whole.into_iter().filter_map(|scanned| match scanned {
        Scanned::Record(record) => Some(record.zxid),
        Scanned::End { .. } | Scanned::Bad { .. } | Scanned::NeedMore(_) => None,
    });
    records.collect()
}

fn scan(file: &[u8], chunk: usize) -> Vec<Scanned> {
    let mut scanner = RecordScanner::new(PAYLOAD_LIMIT);
    let mut chunks = file.chunks(chunk);
    let mut found = Vec::new();
    loop {
        match scanner.next(chunks.len() == 0) {
            Scanned::NeedMore(bytes) => {
                assert!(bytes > 0, "a scanner that wants nothing goes on");
                scanner.push(chunks.next().expect("it knows where the file ends"));
            }
            Scanned::Record(record) => {
                let payload = &file[record.start as usize + 12..record.end as usize - 1];
                assert_eq!(record.payload, Bytes::copy_from_slice(payload));
                found.push(Scanned::Record(record));
            }
            // What only the file's end can tell is the same for all cuts of it.
            Scanned::End { .. } | Scanned::Bad { .. } => {
                return found;
            }
        }
    }
}

/// What a start mends stays mended: the next one finds the same state, and nothing more to do.
pub(crate) fn starts_alike(mut folder: Folder, is_member: bool) {
    let config = config(is_member.then(|| ensemble(0)));
    let Ok((first, _)) = folder.start(&config, stamp(0)) else { return };
    let mended = folder.clone();
    let again = folder.start(&config, stamp(1000));
    let (second, _) = again.expect("a folder that a server started on can be started on");
    assert_eq!(state(&second.view()), state(&first.view()));
    assert_eq!(folder, mended, "the second start changed files");
}

fn state(view: &View) -> impl PartialEq + std::fmt::Debug + use<> {
    (view.accepted, view.current, view.logged, view.applied, view.digest, view.nodes, view.sessions)
}
