//! Snapshot bytes, read and written in portions. Facts: PROTOCOL 4.4, 3.6 (SNAP stream).
//! Apache: `FileSnap`, `SnapStream`, `DataTree.serialize`.

mod encoder;

use bytes::{Buf, Bytes, BytesMut};

use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::storage::txnlog::{self, Checksum};
use crate::tree::{Database, DatabaseBuilder, StoredStat};
use crate::wire::jute::Reader;

pub use self::encoder::SnapshotEncoder;

/// "ZKSN", version 2, database id -1.
pub const FILE_HEADER: [u8; 16] =
    [0x5a, 0x4b, 0x53, 0x4e, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/// A checksum and "/", as a string.
const SEAL_LEN: usize = 8 + 4 + 1;
const DIGEST_LEN: usize = 8 + 4 + 8;
const LAST_ZXID_LEN: usize = 8;
const STAT_LEN: usize = 60;
const DIGEST_VERSION: i32 = 2;
/// Ends the stream of a SNAP.
pub const SIGNATURE: &[u8] = b"BenWasHere";

/// Where the body begins in every snapshot file.
pub const OWN_BODY_START: u64 = FILE_HEADER.len() as u64;
/// What follows the body in a snapshot of ours: seal, digest, seal, last zxid, seal.
pub const OWN_TAIL_LEN: usize = SEAL_LEN + DIGEST_LEN + SEAL_LEN + LAST_ZXID_TAIL;
/// Length of a file's end that holds its last zxid and the seal over it.
pub const LAST_ZXID_TAIL: usize = LAST_ZXID_LEN + SEAL_LEN;

/// The seal over header and body of a file of ours, reckoned while its body passes by.
#[derive(Debug)]
pub struct BodySeal(Checksum);

impl BodySeal {
    pub fn new() -> Self {
        let mut sum = Checksum::new();
        sum.write(&FILE_HEADER);
        Self(sum)
    }

    pub fn write(&mut self, body: &[u8]) {
        self.0.write(body);
    }

    /// Whether the end of the file, [`OWN_TAIL_LEN`] bytes, begins with this seal.
    pub fn is_on(&self, tail: &[u8]) -> bool {
        tail.len() == OWN_TAIL_LEN && tail.starts_with(&self.0.value().to_be_bytes())
    }
}

impl Default for BodySeal {
    fn default() -> Self {
        Self::new()
    }
}

/// The last zxid from the final [`LAST_ZXID_TAIL`] bytes of a file, as far as they look like one.
pub fn last_zxid_of(tail: &[u8]) -> Option<Zxid> {
    if tail.len() != LAST_ZXID_TAIL || !tail.ends_with(&[0, 0, 0, 1, b'/']) {
        return None;
    }
    let mut raw = tail;
    Zxid::from_wire(raw.get_i64())
}

/// What a snapshot may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// It holds the state of exactly its zxid.
    Exact,
    /// It may hold parts of later transactions: replay of the log behind it mends that.
    Fuzzy,
    /// As fuzzy, and its end is not [`OWN_TAIL_LEN`] long: its body cannot be served as it lies there.
    Foreign,
}

/// Where a snapshot's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file: header, seals, digest, last zxid.
    File,
    /// A leader's SNAP: the body alone, then "BenWasHere".
    Stream,
}

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    pub offset: u64,
    pub what: &'static str,
}

/// Whether a decoder wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    More,
    /// A stream is complete; `finish` gives what follows it.
    Complete,
}

/// A decoded snapshot.
#[derive(Debug)]
pub struct Decoded {
    pub database: Database,
    /// The zxid that was last processed when the file was finished. `None` too where there is no digest
    /// before it, since nobody knew the state.
    pub finished_at: Option<Zxid>,
    pub grade: Grade,
    /// What follows the first seal of a file.
    pub trailer: Trailer,
    /// Bytes behind the end of a stream.
    pub leftover: Bytes,
    /// The longest of the lengths that `jute.maxbuffer` does not allow, in a file that is whole.
    pub oversized: Option<usize>,
}

/// The optional parts behind the first seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trailer {
    /// Left out with `digest.enabled=false`.
    pub digest: bool,
    /// What the digest is of; 0 where nobody knew one.
    digest_at: i64,
    /// Written since 3.9.
    pub last_zxid: Option<Zxid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Header,
    SessionCount,
    Sessions {
        left: u32,
    },
    AclCount,
    Acls {
        left: u32,
    },
    Nodes,
    Seal,
    /// All up to the end of the file: which optional parts are there shows in the length alone.
    Trailer,
    Signature,
    Complete,
}

/// Builds a [`Database`] from chunks of any size. Memory is bounded by one node.
#[derive(Debug)]
pub struct SnapshotDecoder {
    source: Source,
    part: Part,
    buffer: BytesMut,
    /// Bytes consumed before `buffer`.
    offset: u64,
    sum: Checksum,
    builder: DatabaseBuilder,
    item_limit: usize,
    longest: usize,
    /// The buffer length below which another try is in vain.
    need: usize,
}

type Parsed<T> = Result<Option<T>, &'static str>;

impl SnapshotDecoder {
    pub fn new(source: Source, config: &Config) -> Self {
        Self {
            source,
            part: match source {
                Source::File => Part::Header,
                Source::Stream => Part::SessionCount,
            },
            buffer: BytesMut::new(),
            offset: 0,
            sum: Checksum::new(),
            builder: DatabaseBuilder::new(config.full_digest),
            item_limit: txnlog::payload_limit(config),
            longest: 0,
            need: 0,
        }
    }

    /// Feeds the next chunk.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Fed, Damage> {
        self.buffer.extend_from_slice(chunk);
        while self.part != Part::Complete && self.buffer.len() >= self.need {
            self.need = 0;
            match self.advance() {
                Ok(Some(())) => {}
                Ok(None) => {
                    self.need = self.need.max(self.buffer.len() + 1);
                    break;
                }
                Err(what) => return Err(self.damage(what)),
            }
        }
        Ok(if self.part == Part::Complete { Fed::Complete } else { Fed::More })
    }

    /// `zxid`: that of the file's name, or of the SNAP packet.
    pub fn finish(mut self, zxid: Zxid) -> Result<Decoded, Damage> {
        let whole_end = self.buffer.len() == TRAILER_MAX;
        let trailer = match (self.source, self.part) {
            (Source::File, Part::Trailer) => self.trailer().map_err(|what| self.damage(what))?,
            (Source::Stream, Part::Complete) => Trailer::default(),
            (Source::File | Source::Stream, _) => return Err(self.damage("snapshot is cut off")),
        };
        // At zxid 0 nothing has been processed that a digest could be of.
        let known = |last: &Zxid| trailer.digest && (trailer.digest_at > 0 || *last == Zxid::ZERO);
        let finished_at = trailer.last_zxid.filter(known);
        Ok(Decoded {
            oversized: Some(self.longest).filter(|longest| *longest > self.item_limit),
            database: self.builder.finish(zxid),
            finished_at,
            grade: match finished_at {
                Some(finished_at) if finished_at == zxid => Grade::Exact,
                Some(_) | None if whole_end => Grade::Fuzzy,
                Some(_) | None => Grade::Foreign,
            },
            trailer,
            leftover: self.buffer.freeze(),
        })
    }

    fn advance(&mut self) -> Parsed<()> {
        match self.part {
            Part::Header => self.header(),
            Part::SessionCount => self.count(|left| Part::Sessions { left }),
            Part::Sessions { left: 0 } => self.enter(Part::AclCount),
            Part::Sessions { left } => self.session(left),
            Part::AclCount => self.count(|left| Part::Acls { left }),
            Part::Acls { left: 0 } => self.enter(Part::Nodes),
            Part::Acls { left } => self.acl(left),
            Part::Nodes => self.node(),
            Part::Seal => self.first_seal(),
            Part::Trailer => match self.buffer.len() {
                0..=TRAILER_MAX => Ok(None),
                _ => Err("bytes follow the end of the snapshot"),
            },
            Part::Signature => self.signature(),
            Part::Complete => Ok(None),
        }
    }

    fn enter(&mut self, part: Part) -> Parsed<()> {
        self.part = part;
        Ok(Some(()))
    }

    fn header(&mut self) -> Parsed<()> {
        let Some(bytes) = self.take(FILE_HEADER.len())? else { return Ok(None) };
        // Apache checks the magic alone.
        if bytes[..4] != FILE_HEADER[..4] {
            return Err("file header is not that of a snapshot");
        }
        self.enter(Part::SessionCount)
    }

    fn count(&mut self, next: impl FnOnce(u32) -> Part) -> Parsed<()> {
        let Some(mut bytes) = self.take(4)? else { return Ok(None) };
        let left = u32::try_from(bytes.get_i32()).map_err(|_| "count is negative")?;
        self.enter(next(left))
    }

    fn session(&mut self, left: u32) -> Parsed<()> {
        let Some(mut bytes) = self.take(12)? else { return Ok(None) };
        let session = SessionId(bytes.get_i64());
        self.builder.session(session, bytes.get_i32());
        self.enter(Part::Sessions { left: left - 1 })
    }

    fn acl(&mut self, left: u32) -> Parsed<()> {
        let Some(len) = self.acl_len()? else { return Ok(None) };
        let Some(bytes) = self.take(len)? else { return Ok(None) };
        let mut reader = Reader::new(bytes);
        let id = reader.i64().map_err(|_| "ACL entry is cut off")?;
        let acl = reader.acl_vector().map_err(|_| "ACL entry is malformed")?;
        self.builder.acl(id, acl.unwrap_or_default());
        self.enter(Part::Acls { left: left - 1 })
    }

    /// Length of the ACL entry at the front, once that much is there.
    fn acl_len(&mut self) -> Parsed<usize> {
        let Some(count) = self.peek_i32(8) else { return Ok(None) };
        let mut at = 12;
        for _ in 0..count.max(0) {
            at += 4;
            for _ in 0..2 {
                let Some(len) = self.peek_i32(at) else { return Ok(None) };
                at += 4 + text_len(len)?;
                if at > self.item_limit {
                    return Err("ACL entry is longer than any record");
                }
            }
        }
        Ok(Some(at))
    }

    fn node(&mut self) -> Parsed<()> {
        let Some(path_len) = self.peek_i32(0) else { return Ok(None) };
        let path_len = usize::try_from(path_len).map_err(|_| "length of a path is negative")?;
        self.bound(path_len)?;
        if path_len == 1 {
            return self.end_of_nodes();
        }
        let data_at = 4 + path_len;
        let Some(data) = self.peek_i32(data_at) else {
            self.need = data_at + 4;
            return Ok(None);
        };
        let data_len = text_len(data)?;
        self.bound(data_len)?;
        let len = data_at + 4 + data_len + 8 + STAT_LEN;
        let Some(item) = self.buffer.get(..len) else {
            self.need = len;
            return Ok(None);
        };
        let (path, rest) = item[4..].split_at(path_len);
        let (bytes, mut rest) = rest[4..].split_at(data_len);
        let acl = rest.get_i64();
        let placed = match core::str::from_utf8(path) {
            Ok(path) => {
                let data = (data >= 0).then_some(bytes);
                let placed = self.builder.node(path, data, acl, stored_stat(rest));
                placed.then_some(()).ok_or("node has no parent or an unknown ACL")
            }
            Err(_) => Err("path is not UTF-8"),
        };
        self.pass(len);
        placed.map(Some)
    }

    fn end_of_nodes(&mut self) -> Parsed<()> {
        let Some(bytes) = self.take(5)? else { return Ok(None) };
        if bytes[4] != b'/' {
            return Err("path does not start with a slash");
        }
        self.enter(match self.source {
            Source::File => Part::Seal,
            Source::Stream => Part::Signature,
        })
    }

    fn first_seal(&mut self) -> Parsed<()> {
        if self.buffer.len() < SEAL_LEN {
            return Ok(None);
        }
        self.seal()?;
        self.enter(Part::Trailer)
    }

    /// Seals are cumulative: each covers all bytes before it, earlier seals included (T42).
    fn seal(&mut self) -> Result<(), &'static str> {
        let sum = self.sum.value();
        let mut bytes = self.take(SEAL_LEN)?.ok_or("seal is cut off")?;
        if bytes.get_u64() != sum {
            return Err("checksum of the seal does not match");
        }
        if bytes[..] != [0, 0, 0, 1, b'/'] {
            return Err("end of the seal is missing");
        }
        Ok(())
    }

    fn trailer(&mut self) -> Result<Trailer, &'static str> {
        let (digest, zxid) = match self.buffer.len() {
            0 => (false, false),
            len if len == DIGEST_LEN + SEAL_LEN => (true, false),
            len if len == LAST_ZXID_TAIL => (false, true),
            TRAILER_MAX => (true, true),
            _ => return Err("end of the snapshot is cut off"),
        };
        let mut digest_at = 0;
        if digest {
            digest_at = self.take(DIGEST_LEN)?.ok_or("digest is cut off")?.get_i64();
            self.seal()?;
        }
        if !zxid {
            return Ok(Trailer { digest, digest_at, last_zxid: None });
        }
        let raw = self.take(LAST_ZXID_LEN)?.ok_or("last zxid is cut off")?.get_i64();
        self.seal()?;
        let last_zxid = Some(Zxid::from_wire(raw).ok_or("last zxid is negative")?);
        Ok(Trailer { digest, digest_at, last_zxid })
    }

    fn signature(&mut self) -> Parsed<()> {
        let Some(bytes) = self.take(4 + SIGNATURE.len())? else { return Ok(None) };
        if bytes[..4] != [0, 0, 0, SIGNATURE.len() as u8] || bytes[4..] != *SIGNATURE {
            return Err("signature of the stream is missing");
        }
        self.enter(Part::Complete)
    }

    fn peek_i32(&self, at: usize) -> Option<i32> {
        Some(self.buffer.get(at..at + 4)?.get_i32())
    }

    /// A file bounds its lengths by its own: where its seals are right it is whole, whatever
    /// `jute.maxbuffer` is, and it is for the operator to raise that.
    fn bound(&mut self, len: usize) -> Result<(), &'static str> {
        self.longest = self.longest.max(len);
        match self.source {
            Source::Stream if len > self.item_limit => Err("length is beyond every limit"),
            Source::Stream | Source::File => Ok(()),
        }
    }

    /// Consumes `len` bytes once they are there.
    fn take(&mut self, len: usize) -> Parsed<Bytes> {
        if self.buffer.len() < len {
            self.need = len;
            return Ok(None);
        }
        let bytes = Bytes::copy_from_slice(&self.buffer[..len]);
        self.pass(len);
        Ok(Some(bytes))
    }

    /// Goes on behind so many bytes of the buffer.
    fn pass(&mut self, len: usize) {
        if self.source == Source::File {
            self.sum.write(&self.buffer[..len]);
        }
        self.offset += len as u64;
        self.buffer.advance(len);
    }

    fn damage(&self, what: &'static str) -> Damage {
        Damage { offset: self.offset, what }
    }
}

const TRAILER_MAX: usize = DIGEST_LEN + SEAL_LEN + LAST_ZXID_TAIL;

/// -1 is null and takes no bytes.
fn text_len(len: i32) -> Result<usize, &'static str> {
    if len == -1 {
        return Ok(0);
    }
    usize::try_from(len).map_err(|_| "length is negative")
}

fn stored_stat(mut bytes: &[u8]) -> StoredStat {
    StoredStat {
        czxid: bytes.get_i64(),
        mzxid: bytes.get_i64(),
        ctime: bytes.get_i64(),
        mtime: bytes.get_i64(),
        version: bytes.get_i32(),
        cversion: bytes.get_i32(),
        aversion: bytes.get_i32(),
        ephemeral_owner: bytes.get_i64(),
        pzxid: bytes.get_i64(),
    }
}
