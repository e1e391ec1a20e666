//! The ledger of a sweep: a file of JSON lines that says which seeds were started, and how each ended.
//!
//! Lines are only ever appended. A process that is killed leaves at most its last line torn, and the
//! seeds that it was at are those that were started and have no result.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vivarium_sim::scenario::Options;

use crate::sweep::record::{SeedRecord, Verdict};
use crate::sweep::shard::Shard;

/// The first line of a sweep: what its seeds are, and what they are run with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) commit: String,
    /// Fingerprint of the program: a commit does not name what was changed and not committed.
    pub(crate) program: String,
    pub(crate) options: Options,
    pub(crate) seed_start: u64,
    pub(crate) seeds: u64,
    pub(crate) shard: Option<Shard>,
}

impl Header {
    /// The seeds of the sweep that this process is to run, with their places in the sweep.
    pub(crate) fn seeds_of_shard(&self) -> impl Iterator<Item = u64> + use<> {
        let (start, shard) = (self.seed_start, self.shard);
        let ours = move |place: &u64| shard.is_none_or(|shard| shard.holds(*place));
        (0..self.seeds).filter(ours).map(move |place| start.wrapping_add(place))
    }

    /// Why results of `older` do not stand beside those of this one.
    fn parts_from(&self, older: &Self) -> Option<String> {
        let differs = |what: &str, ours: &str, theirs: &str| {
            (ours != theirs).then(|| format!("{what} {theirs}, and this is {ours}"))
        };
        let options =
            |header: &Self| serde_json::to_string(&header.options).expect("options are plain data");
        let shard = |header: &Self| {
            header.shard.map_or_else(|| String::from("none"), |shard| shard.to_string())
        };
        differs("commit", &self.commit, &older.commit)
            .or_else(|| differs("options", &options(self), &options(older)))
            .or_else(|| differs("shard", &shard(self), &shard(older)))
            .or_else(|| {
                let starts = [self.seed_start.to_string(), older.seed_start.to_string()];
                differs("a sweep from seed", &starts[0], &starts[1])
            })
            .or_else(|| differs("another build of this commit,", &self.program, &older.program))
    }
}

/// A line of the file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Sweep { sweep: &'a Header },
    Started { started: u64 },
    Ended(&'a SeedRecord),
}

/// All that a ledger holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) headers: Vec<Header>,
    /// The last result of each seed.
    pub(crate) ended: BTreeMap<u64, SeedRecord>,
    pub(crate) started: BTreeSet<u64>,
    /// Bytes of its whole lines.
    pub(crate) whole: u64,
}

impl Contents {
    /// # Errors
    /// Where and why it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let read = std::fs::read_to_string(path);
        Self::parse(&read.map_err(|error| format!("{}: {error}", path.display()))?)
            .map_err(|why| format!("{}:{why}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut contents = Self::default();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            // A process was killed while it wrote: the seed has no result.
            let Some(line) = line.strip_suffix('\n') else { break };
            contents
                .take(line)
                .map_err(|why| format!("{}: no line of a ledger: {why}", index + 1))?;
            contents.whole += line.len() as u64 + 1;
        }
        Ok(contents)
    }

    fn take(&mut self, line: &str) -> Result<(), serde_json::Error> {
        #[derive(Deserialize)]
        struct Sweep {
            sweep: Header,
        }
        #[derive(Deserialize)]
        struct Started {
            started: u64,
        }
        if line.starts_with("{\"sweep\"") {
            self.headers.push(serde_json::from_str::<Sweep>(line)?.sweep);
        } else if line.starts_with("{\"started\"") {
            self.started.insert(serde_json::from_str::<Started>(line)?.started);
        } else {
            let record: SeedRecord = serde_json::from_str(line)?;
            self.ended.insert(record.seed, record);
        }
        Ok(())
    }
}

/// A ledger that this process writes.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
}

impl Ledger {
    /// Opens or makes it; what it holds of this sweep is given too.
    ///
    /// # Errors
    /// Why this sweep cannot go on with it, and what to do.
    pub(crate) fn open(path: &Path, header: &Header) -> Result<(Self, Contents), String> {
        let fail = |error: std::io::Error| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        let options = OpenOptions::new().read(true).append(true).create(true).clone();
        let mut file = options.open(path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{}: another process writes this ledger", path.display()));
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(fail)?;
        let mut contents =
            Contents::parse(&text).map_err(|why| format!("{}:{why}", path.display()))?;
        if let Some(why) = contents.headers.last().and_then(|older| header.parts_from(older)) {
            return Err(format!(
                "{}: holds results of {why}. Name another file, or remove this one to start anew",
                path.display()
            ));
        }
        if contents.headers.is_empty() && contents.whole > 0 {
            return Err(format!("{}:1: a ledger begins with its sweep", path.display()));
        }
        if contents.whole < text.len() as u64 {
            file.set_len(contents.whole).map_err(fail)?;
            file.seek(SeekFrom::End(0)).map_err(fail)?;
        }
        // Seeds that the harness failed on are tried again.
        contents.ended.retain(|_, record| record.verdict != Verdict::HarnessFault);
        let ledger = Self { path: path.to_owned(), file: Mutex::new(file) };
        if contents.headers.last() != Some(header) {
            ledger.write(&Line::Sweep { sweep: header })?;
        }
        Ok((ledger, contents))
    }

    pub(crate) fn started(&self, seed: u64) -> Result<(), String> {
        self.write(&Line::Started { started: seed })
    }

    pub(crate) fn ended(&self, record: &SeedRecord) -> Result<(), String> {
        self.write(&Line::Ended(record))
    }

    /// One write a line, so that a process that dies tears at most one.
    fn write(&self, line: &Line<'_>) -> Result<(), String> {
        let mut text = serde_json::to_vec(line).expect("a line is plain data");
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// A fingerprint of the running program.
pub(crate) fn program() -> String {
    let read = std::env::current_exe().and_then(std::fs::read);
    read.map_or_else(
        |_| String::from("unknown"),
        |bytes| {
            let fold = |hash: u64, byte: &[u8]| {
                let mut word = [0; 8];
                word[..byte.len()].copy_from_slice(byte);
                (hash ^ u64::from_le_bytes(word))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29)
            };
            format!("{:016x}", bytes.chunks(8).fold(bytes.len() as u64, fold))
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Contents, Header, Ledger};
    use crate::sweep::record::{SeedRecord, Verdict};
    use vivarium_sim::scenario::Options;

    fn header() -> Header {
        Header {
            commit: "c0".into(),
            program: "p0".into(),
            options: Options::default(),
            seed_start: 1,
            seeds: 4,
            shard: None,
        }
    }

    fn ended(seed: u64, verdict: Verdict) -> SeedRecord {
        let record = SeedRecord::new(seed, &Options::default(), Err("no thread".into()));
        SeedRecord { verdict, ..record }
    }

    #[test]
    fn what_was_written_is_there_again_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (ledger, contents) = Ledger::open(&path, &header()).unwrap();
        assert!(contents.ended.is_empty());
        for seed in 1..=3 {
            ledger.started(seed).unwrap();
        }
        ledger.ended(&ended(1, Verdict::Ok)).unwrap();
        ledger.ended(&ended(2, Verdict::HarnessFault)).unwrap();
        ledger.ended(&ended(3, Verdict::Violation)).unwrap();
        drop(ledger);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();

        let longer = Header { seeds: 9, ..header() };
        let (ledger, contents) = Ledger::open(&path, &longer).unwrap();
        assert_eq!(contents.ended.keys().copied().collect::<Vec<_>>(), [1], "2 is tried again");
        ledger.ended(&ended(3, Verdict::Ok)).unwrap();
        drop(ledger);
        let contents = Contents::read(&path).unwrap();
        assert_eq!(contents.headers, [header(), longer]);
        assert_eq!(contents.ended.len(), 3);
        assert_eq!(contents.started.len(), 3);
        assert_eq!(contents.ended[&3].verdict, Verdict::Ok);
    }

    #[test]
    fn a_ledger_of_something_else_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        drop(Ledger::open(&path, &header()).unwrap());
        let options = Options { sim_seconds: 9, ..Options::default() };
        for (other, named) in [
            (Header { commit: "c1".into(), ..header() }, "commit c0, and this is c1"),
            (Header { options, ..header() }, "\"sim_seconds\":5"),
            (Header { seed_start: 2, ..header() }, "from seed 1"),
            (Header { shard: "1/2".parse().ok(), ..header() }, "shard none"),
            (Header { program: "p1".into(), ..header() }, "another build"),
        ] {
            let refusal = Ledger::open(&path, &other).unwrap_err();
            assert!(refusal.contains(named), "{refusal}");
            assert!(refusal.contains("Name another file"), "{refusal}");
        }
        let (_held, _) = Ledger::open(&path, &header()).unwrap();
        assert!(Ledger::open(&path, &header()).unwrap_err().contains("another process"));
        fs::write(&path, "{\"started\":1}\nno ledger\n").unwrap();
        assert!(Contents::read(&path).unwrap_err().contains("ledger:2: no line of a ledger"));
    }
}
