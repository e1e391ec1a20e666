//! Names of the files that make up a server's state, exactly as Apache 3.9 lays them out.
//! Facts: PROTOCOL 4.1.

use alloc::format;
use alloc::string::String;

use core::fmt;

use crate::config::Config;
use crate::ids::{Epoch, Zxid};

/// A folder. The host maps it to a path; the simulator keeps it as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dir {
    /// `dataLogDir` itself: holds the `initialize` marker.
    LogRoot,
    /// `dataDir/version-2`: snapshots and epoch files; logs too unless they are kept apart.
    Data,
    /// `dataLogDir/version-2` where `dataLogDir` differs from `dataDir`.
    Log,
}

/// One file, named by folder and plain name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    pub dir: Dir,
    pub name: String,
}

impl FileName {
    pub fn new(dir: Dir, name: impl Into<String>) -> Self {
        Self { dir, name: name.into() }
    }

    pub fn snapshot(zxid: Zxid) -> Self {
        Self::new(Dir::Data, format!("snapshot.{:x}", zxid.0))
    }

    /// What a damaged file is called: no listing takes it for state.
    pub fn aside(&self) -> Self {
        Self::new(self.dir, format!("{CORRUPT_PREFIX}{}", self.name))
    }

    /// `dir` is [`Dir::Data`] or [`Dir::Log`].
    pub fn log(dir: Dir, first: Zxid) -> Self {
        Self::new(dir, format!("log.{:x}", first.0))
    }
}

/// Where the two kinds of files live. Apache: `dataDir`, `dataLogDir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// [`Dir::Data`] or [`Dir::Log`].
    pub log_dir: Dir,
}

impl Layout {
    pub fn of(config: &Config) -> Self {
        Self { log_dir: if config.separate_log_dir { Dir::Log } else { Dir::Data } }
    }

    pub fn log(self, first: Zxid) -> FileName {
        FileName::log(self.log_dir, first)
    }
}

/// One log file; records start at `first`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    pub first: Zxid,
    pub name: FileName,
    /// Bytes up to the end of the last record, padding left out, where that was measured.
    pub len: u64,
    /// Somebody wrote or read this file since the start. Of others `len` is as the folder lists it.
    pub measured: bool,
}

impl LogFile {
    /// Whether a reader that finds no record at `offset` stands at the end of what was written.
    /// `blank`: it has seen nothing but zeros from there on. A zxid does not tell: where an epoch ended
    /// in this file, any number of records could be missing.
    pub fn ends_at(&self, offset: u64, blank: bool) -> bool {
        offset >= self.len || (blank && !self.measured)
    }
}

/// The two promises that a server keeps beside its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EpochFile {
    Accepted,
    Current,
}

impl EpochFile {
    pub fn name(self) -> FileName {
        FileName::new(Dir::Data, self.plain())
    }

    /// What is written first and then renamed.
    pub fn tmp(self) -> FileName {
        FileName::new(Dir::Data, format!("{}.tmp", self.plain()))
    }

    const fn plain(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }
}

/// Marker of `zkServer-initialize.sh`: an empty folder may start with an empty tree.
pub fn initialize_marker() -> FileName {
    FileName::new(Dir::LogRoot, "initialize")
}

/// A snapshot before its seal is durable.
pub fn unsealed_snapshot(zxid: Zxid) -> FileName {
    FileName::new(Dir::Data, format!("snapshot.{:x}.tmp", zxid.0))
}

/// What a plain name in a data folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Snapshot(Zxid),
    /// `.gz` or `.snappy`: written by Apache with `snapshot.compression.method`; not readable here.
    CompressedSnapshot(Zxid),
    /// A snapshot whose writing was broken off.
    UnsealedSnapshot(Zxid),
    Log(Zxid),
    Epoch(EpochFile),
    EpochTmp(EpochFile),
    /// Moved aside by an earlier recovery.
    Corrupt,
    Other,
}

/// In front of the name of a file that recovery moved aside. A suffix would not do: Apache takes
/// `log.1.corrupt` for a log, and `snapshot.1.corrupt` for a snapshot, whatever stands behind the
/// number (`Util.getZxidFromName`).
pub const CORRUPT_PREFIX: &str = "corrupt.";

impl Known {
    pub fn parse(name: &str) -> Self {
        if name.starts_with(CORRUPT_PREFIX) {
            return Self::Corrupt;
        }
        for file in [EpochFile::Accepted, EpochFile::Current] {
            match name.strip_prefix(file.plain()) {
                Some("") => return Self::Epoch(file),
                Some(".tmp") => return Self::EpochTmp(file),
                Some(_) | None => {}
            }
        }
        if let Some(first) = name.strip_prefix("log.").and_then(parse_zxid) {
            return Self::Log(first);
        }
        let Some(rest) = name.strip_prefix("snapshot.") else { return Self::Other };
        let (digits, kind): (&str, fn(Zxid) -> Self) = match rest.split_once('.') {
            None => (rest, Self::Snapshot),
            Some((digits, "gz" | "snappy")) => (digits, Self::CompressedSnapshot),
            Some((digits, "tmp")) => (digits, Self::UnsealedSnapshot),
            Some(_) => return Self::Other,
        };
        parse_zxid(digits).map_or(Self::Other, kind)
    }
}

/// Lower case, no leading zeros, not negative: the one spelling that Apache writes.
fn parse_zxid(digits: &str) -> Option<Zxid> {
    let plain = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !plain || digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let raw = u64::from_str_radix(digits, 16).ok()?;
    Zxid::from_wire(raw as i64)
}

/// Decimal text of an epoch file. Java's `Long.parseLong` of the first line.
pub fn parse_epoch(text: &[u8]) -> Result<Epoch, &'static str> {
    let text = core::str::from_utf8(text).map_err(|_| "no decimal number")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("empty");
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("no decimal number");
    }
    let epoch = text.parse().map(Epoch).ok().filter(|epoch| *epoch <= Epoch::MAX);
    epoch.ok_or("larger than any epoch")
}

impl fmt::Display for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogRoot => "dataLogDir",
            Self::Data => "dataDir/version-2",
            Self::Log => "dataLogDir/version-2",
        })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dir, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_only_in_their_one_spelling() {
        let cases = [
            ("snapshot.0", Known::Snapshot(Zxid(0))),
            ("snapshot.10000000a", Known::Snapshot(Zxid(0x1_0000_000a))),
            ("snapshot.a.gz", Known::CompressedSnapshot(Zxid(10))),
            ("snapshot.a.snappy", Known::CompressedSnapshot(Zxid(10))),
            ("snapshot.a.tmp", Known::UnsealedSnapshot(Zxid(10))),
            ("snapshot.a.zip", Known::Other),
            ("snapshot.00", Known::Other),
            ("snapshot.A", Known::Other),
            ("snapshot.", Known::Other),
            ("snapshot.ffffffffffffffff", Known::Other),
            ("log.1", Known::Log(Zxid(1))),
            ("corrupt.log.1", Known::Corrupt),
            ("log.1.corrupt", Known::Other),
            ("log.-1", Known::Other),
            ("log.10000000000000000", Known::Other),
            ("acceptedEpoch", Known::Epoch(EpochFile::Accepted)),
            ("currentEpoch", Known::Epoch(EpochFile::Current)),
            ("currentEpoch.tmp", Known::EpochTmp(EpochFile::Current)),
            ("currentEpoch.bak", Known::Other),
            ("myid", Known::Other),
        ];
        for (name, known) in cases {
            assert_eq!(Known::parse(name), known, "{name}");
        }
    }

    #[test]
    fn written_names_are_read_back() {
        for zxid in [Zxid(0), Zxid(1), Zxid(0x7_0000_0abc)] {
            assert_eq!(Known::parse(&FileName::snapshot(zxid).name), Known::Snapshot(zxid));
            assert_eq!(Known::parse(&FileName::log(Dir::Log, zxid).name), Known::Log(zxid));
            assert_eq!(Known::parse(&unsealed_snapshot(zxid).name), Known::UnsealedSnapshot(zxid));
        }
    }

    #[test]
    fn epochs_are_decimal_text() {
        assert_eq!(parse_epoch(b"12"), Ok(Epoch(12)));
        assert_eq!(parse_epoch(b"12\n"), Ok(Epoch(12)));
        assert_eq!(parse_epoch(b"2147483647"), Ok(Epoch::MAX));
        for bad in [&b""[..], b"\n", b"-1", b"1\0", b"2147483648", b"4294967296", b"1 ", b"\xff"] {
            assert!(parse_epoch(bad).is_err(), "{bad:?}");
        }
    }
}
