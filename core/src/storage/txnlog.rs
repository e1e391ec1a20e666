//! The transaction log's bytes. Facts: PROTOCOL 4.2. Apache: `FileTxnLog`.

use core::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use simd_adler32::Adler32;

use crate::config::Config;
use crate::ids::Zxid;
use crate::storage::padding::is_padding;
use crate::txn::TxnHeader;

/// "ZKLG", version 2, database id 0.
pub const FILE_HEADER: [u8; 16] = [0x5a, 0x4b, 0x4c, 0x47, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
pub const FILE_HEADER_LEN: u64 = FILE_HEADER.len() as u64;

/// Checksum (8), length (4) in front of a payload, end mark (1) behind it.
pub const FRAME_LEN: usize = 8 + 4 + 1;
const PREFIX_LEN: usize = 8 + 4;
pub(super) const END_OF_RECORD: u8 = 0x42;

/// The longest payload that a log may hold: what Apache's reader takes with the same
/// `jute.maxbuffer`, and never less than with the default one, so that a lowered limit does not
/// make old records illegal.
pub fn payload_limit(config: &Config) -> usize {
    config.transaction_limit().max(2 * 0xf_ffff)
}

/// No record of any configuration is longer: for a reader that tells what is whole from what it may
/// take.
pub const LONGEST_PAYLOAD: usize = i32::MAX as usize / 2;

/// Appends one record: Adler32 of the payload, its length, the payload, the end mark.
pub fn encode_record(payload: &[u8], out: &mut BytesMut) {
    out.reserve(FRAME_LEN + payload.len());
    out.put_u64(adler32(payload));
    out.put_i32(i32::try_from(payload.len()).expect("payloads are bounded by jute.maxbuffer"));
    out.put_slice(payload);
    out.put_u8(END_OF_RECORD);
}

/// Adler32 as both disk formats store it: a long.
pub(super) struct Checksum(Adler32);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(Adler32::new())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(super) fn value(&self) -> u64 {
        u64::from(self.0.finish())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.value())
    }
}

fn adler32(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::new();
    sum.write(bytes);
    sum.value()
}

/// One transaction and where it lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub zxid: Zxid,
    pub payload: Bytes,
    pub start: u64,
    pub end: u64,
}

/// What a scan met next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    Record(Record),
    /// A length of zero or the end of the file: no record starts here. Whether all that follows is
    /// padding is for the caller to see.
    End {
        offset: u64,
    },
    Bad {
        offset: u64,
        flaw: Flaw,
    },
    /// At least this many bytes more are needed.
    NeedMore(usize),
}

/// Why the bytes at some place are no record. Closed: Apache takes some of these for the end of the
/// log and refuses others (`storage::apache`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    NotALog,
    NegativeLength,
    LongLength,
    CutOff,
    NoEndMark,
    Checksum,
    Header,
}

impl Flaw {
    pub const fn what(self) -> &'static str {
        match self {
            Self::NotALog => "file header is not that of a transaction log",
            Self::NegativeLength => "record length is negative",
            Self::LongLength => "record length is beyond every limit",
            Self::CutOff => "record is cut off",
            Self::NoEndMark => "end mark of the record is missing",
            Self::Checksum => "checksum does not match",
            Self::Header => "transaction header is cut off or negative",
        }
    }
}

/// Finds the records of one file in chunks that are pushed in order from its start.
#[derive(Debug)]
pub struct RecordScanner {
    buffer: BytesMut,
    /// Where `buffer` starts in the file.
    offset: u64,
    payload_limit: usize,
}

impl RecordScanner {
    pub fn new(payload_limit: usize) -> Self {
        Self { buffer: BytesMut::new(), offset: 0, payload_limit }
    }

    /// For a file whose header was looked at before: the first chunk starts behind it.
    pub fn behind_header(payload_limit: usize) -> Self {
        Self { offset: FILE_HEADER_LEN, ..Self::new(payload_limit) }
    }

    /// Where the next chunk belongs.
    pub fn wants(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Where the record that is looked at next starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What was pushed and is no record is zero.
    pub fn is_blank(&self) -> bool {
        is_padding(&self.buffer)
    }

    /// What was pushed and is no record, from `offset` on.
    pub fn remains(&self) -> &[u8] {
        &self.buffer
    }

    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// As `push`, without a copy where nobody else holds the chunk.
    pub fn take(&mut self, chunk: Bytes) {
        if !self.buffer.is_empty() {
            return self.push(&chunk);
        }
        match chunk.try_into_mut() {
            Ok(chunk) => self.buffer = chunk,
            Err(chunk) => self.push(&chunk),
        }
    }

    /// Forgets what was pushed behind the last record: the file may have grown since.
    pub fn rewind(&mut self) {
        self.buffer.clear();
    }

    /// `last`: the file ends with what was pushed.
    pub fn next(&mut self, last: bool) -> Scanned {
        if self.offset == 0 {
            match self.file_header(last) {
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
        let have = self.buffer.len();
        if have < PREFIX_LEN {
            return self.short(PREFIX_LEN - have, last);
        }
        let mut prefix = &self.buffer[..PREFIX_LEN];
        let sum = prefix.get_u64();
        let len = prefix.get_i32();
        if len == 0 {
            return Scanned::End { offset: self.offset };
        }
        let Ok(len) = usize::try_from(len) else { return self.bad(Flaw::NegativeLength) };
        if len > self.payload_limit {
            return self.bad(Flaw::LongLength);
        }
        let whole = FRAME_LEN + len;
        if have < whole {
            return self.short(whole - have, last);
        }
        self.record(sum, whole)
    }

    fn file_header(&mut self, last: bool) -> Result<(), Scanned> {
        let have = self.buffer.len();
        if have < FILE_HEADER.len() {
            return Err(self.short(FILE_HEADER.len() - have, last));
        }
        if self.buffer[..FILE_HEADER.len()] != FILE_HEADER {
            return Err(match is_padding(&self.buffer[..FILE_HEADER.len()]) {
                true => Scanned::End { offset: 0 },
                false => self.bad(Flaw::NotALog),
            });
        }
        self.buffer.advance(FILE_HEADER.len());
        self.offset = FILE_HEADER_LEN;
        Ok(())
    }

    fn record(&mut self, sum: u64, whole: usize) -> Scanned {
        let payload = &self.buffer[PREFIX_LEN..whole - 1];
        if self.buffer[whole - 1] != END_OF_RECORD {
            return self.bad(Flaw::NoEndMark);
        }
        if adler32(payload) != sum {
            return self.bad(Flaw::Checksum);
        }
        let Some(header) = TxnHeader::peek(payload) else {
            return self.bad(Flaw::Header);
        };
        let zxid = header.zxid;
        let frame = self.buffer.split_to(whole).freeze();
        let start = self.offset;
        self.offset += whole as u64;
        Scanned::Record(Record {
            zxid,
            payload: frame.slice(PREFIX_LEN..whole - 1),
            start,
            end: self.offset,
        })
    }

    fn short(&self, need: usize, last: bool) -> Scanned {
        match last {
            false => Scanned::NeedMore(need),
            true if self.is_blank() => Scanned::End { offset: self.offset },
            true => self.bad(Flaw::CutOff),
        }
    }

    fn bad(&self, flaw: Flaw) -> Scanned {
        Scanned::Bad { offset: self.offset, flaw }
    }
}

/// Whether any whole record with a right checksum starts in these bytes.
pub fn holds_record(bytes: &[u8], payload_limit: usize) -> bool {
    (0..bytes.len()).any(|start| {
        let rest = &bytes[start..];
        let Some(mut prefix) = rest.get(..PREFIX_LEN) else { return false };
        let sum = prefix.get_u64();
        let Ok(len) = usize::try_from(prefix.get_i32()) else { return false };
        if len == 0 || len > payload_limit || rest.get(PREFIX_LEN + len) != Some(&END_OF_RECORD) {
            return false;
        }
        adler32(&rest[PREFIX_LEN..PREFIX_LEN + len]) == sum
    })
}

/// Where a record that starts at the front of `bytes` says that it ends.
pub fn claimed_len(bytes: &[u8], payload_limit: usize) -> Option<usize> {
    let mut prefix = bytes.get(8..PREFIX_LEN)?;
    let len = usize::try_from(prefix.get_i32()).ok()?;
    (len > 0 && len <= payload_limit).then_some(FRAME_LEN + len)
}
