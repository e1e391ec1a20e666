//! One transaction log or snapshot, entry by entry.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write, stdout};
use std::path::Path;

use vivarium_core::admin::listing::{self, Field, Value};
use vivarium_core::config::Config;
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::storage::files::Known;
use vivarium_core::storage::padding::is_padding;
use vivarium_core::storage::snapshot::{self, SnapshotDecoder, Source};
use vivarium_core::storage::txnlog::{self, RecordScanner, Scanned};

use super::{Health, json, unreadable};
use crate::args::Format;
use crate::failure::Failure;

const CHUNK: usize = 256 * 1024;

enum Kind {
    Log,
    Snapshot,
}

pub(super) fn print(path: &Path, output: Format) -> Result<Health, Failure> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let first = read(&mut file, path, CHUNK)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut printer = Printer { output, to: BufWriter::new(stdout()), open: true };
    let stop = match kind(name, &first) {
        Some(Kind::Log) => log(&mut file, path, first, &mut printer)?,
        Some(Kind::Snapshot) => tree(&mut file, path, first, name, &mut printer)?,
        None => {
            return Err(Failure::configuration(format!(
                "{}: neither a transaction log (log.*) nor a snapshot (snapshot.*)",
                path.display()
            )));
        }
    };
    printer.flush()?;
    let Some(stop) = stop else { return Ok(Health::Well) };
    eprintln!("vivarium: {}: {stop}", path.display());
    Ok(Health::Ill)
}

/// Told by the first bytes, or by the name where those are lost.
fn kind(name: &str, head: &[u8]) -> Option<Kind> {
    if head.starts_with(&txnlog::FILE_HEADER[..4]) {
        return Some(Kind::Log);
    }
    if head.starts_with(&snapshot::FILE_HEADER[..4]) {
        return Some(Kind::Snapshot);
    }
    match Known::parse(name) {
        Known::Log(_) => Some(Kind::Log),
        Known::Snapshot(_) | Known::UnsealedSnapshot(_) => Some(Kind::Snapshot),
        Known::CompressedSnapshot(_)
        | Known::Epoch(_)
        | Known::EpochTmp(_)
        | Known::Corrupt
        | Known::Other => None,
    }
}

/// Answers why it ends early, if it does.
fn log(
    file: &mut File,
    path: &Path,
    first: Vec<u8>,
    printer: &mut Printer,
) -> Result<Option<String>, Failure> {
    let mut scanner = RecordScanner::new(txnlog::payload_limit(&limits()));
    let mut chunk = first;
    let mut wanted = CHUNK;
    loop {
        let last = chunk.len() < wanted;
        scanner.push(&chunk);
        wanted = loop {
            match scanner.next(last) {
                Scanned::Record(record) => printer.entry(&listing::record(&record))?,
                Scanned::NeedMore(need) => break need.max(CHUNK),
                Scanned::Bad { offset, flaw } => {
                    return Ok(Some(format!("damaged at byte {offset}: {}", flaw.what())));
                }
                Scanned::End { offset } => return rest(file, path, &scanner, offset),
            }
        };
        chunk = read(file, path, wanted)?;
    }
}

/// Behind the end there may be zeros only.
fn rest(
    file: &mut File,
    path: &Path,
    scanner: &RecordScanner,
    end: u64,
) -> Result<Option<String>, Failure> {
    let mut clean = scanner.is_blank();
    while clean {
        let chunk = read(file, path, CHUNK)?;
        if chunk.is_empty() {
            return Ok(None);
        }
        clean = is_padding(&chunk);
    }
    Ok(Some(format!("damaged at byte {end}: bytes follow the end of the log")))
}

fn tree(
    file: &mut File,
    path: &Path,
    first: Vec<u8>,
    name: &str,
    printer: &mut Printer,
) -> Result<Option<String>, Failure> {
    let mut decoder = SnapshotDecoder::new(Source::File, &limits());
    let mut chunk = first;
    while !chunk.is_empty() {
        if let Err(damage) = decoder.push(&chunk) {
            return Ok(Some(format!("damaged at byte {}: {}", damage.offset, damage.what)));
        }
        chunk = read(file, path, CHUNK)?;
    }
    let zxid = match Known::parse(name) {
        Known::Snapshot(zxid) | Known::UnsealedSnapshot(zxid) => zxid,
        Known::CompressedSnapshot(_)
        | Known::Log(_)
        | Known::Epoch(_)
        | Known::EpochTmp(_)
        | Known::Corrupt
        | Known::Other => Zxid::ZERO,
    };
    match decoder.finish(zxid) {
        Err(damage) => Ok(Some(format!("damaged at byte {}: {}", damage.offset, damage.what))),
        Ok(decoded) => {
            for entry in listing::snapshot(&decoded.database) {
                printer.entry(&entry)?;
            }
            Ok(None)
        }
    }
}

/// Only the limits on lengths matter here.
fn limits() -> Config {
    Config::with_defaults(ServerId(1), None, [0; 32])
}

/// Shorter than `len` only at the end of the file.
fn read(file: &mut File, path: &Path, len: usize) -> Result<Vec<u8>, Failure> {
    let mut chunk = Vec::new();
    let mut part = file.take(len as u64);
    part.read_to_end(&mut chunk).map_err(|error| unreadable(path, &error))?;
    Ok(chunk)
}

struct Printer {
    output: Format,
    to: BufWriter<std::io::Stdout>,
    /// The reader has not closed its end.
    open: bool,
}

impl Printer {
    fn entry(&mut self, fields: &[Field]) -> Result<(), Failure> {
        if !self.open {
            return Ok(());
        }
        let line = match self.output {
            Format::Text => text(fields),
            Format::Json => json::fields(fields).to_string(),
        };
        let written = writeln!(self.to, "{line}");
        self.noticed(written)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.to.flush();
        self.noticed(flushed)
    }

    fn noticed(&mut self, done: std::io::Result<()>) -> Result<(), Failure> {
        match done {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.open = false;
                Ok(())
            }
            Err(error) => Err(Failure::running(format!("writing to standard output: {error}"))),
            Ok(()) => Ok(()),
        }
    }
}

/// `name=value ..`; parts of a multi in brackets.
fn text(fields: &[Field]) -> String {
    let field = |Field { name, value }: &Field| match value {
        Value::Number(number) => format!("{name}={number}"),
        Value::Text(text) => format!("{name}={text}"),
        Value::Data(bytes) => format!("{name}={}", data(bytes.as_deref())),
        Value::List(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| format!("[{}]", text(part))).collect();
            format!("{name}={}", parts.join(" "))
        }
    };
    fields.iter().map(field).collect::<Vec<_>>().join(" ")
}

/// Text where it is short and text, else how much there is.
fn data(bytes: Option<&[u8]>) -> String {
    const SHOWN: usize = 64;
    let Some(bytes) = bytes else { return "null".into() };
    let shown = std::str::from_utf8(bytes)
        .ok()
        .filter(|shown| shown.len() <= SHOWN && !shown.chars().any(char::is_control));
    shown.map_or_else(|| format!("{} bytes", bytes.len()), |shown| format!("{shown:?}"))
}
