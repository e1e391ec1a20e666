//! Whether an Apache ZooKeeper 3.9.5 server would start on a data folder, and with which tree:
//! a pull machine that only reads, by Apache's rules where they differ from ours.
//! Facts: PROTOCOL 4.6, T41 to T45. Apache: `FileTxnSnapLog.restore`, `QuorumPeer.loadDataBase`.

mod candidates;
mod entries;
mod names;
mod play;
mod refusal;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

pub use refusal::Refusal;

use crate::config::Config;
use crate::ids::Zxid;
use crate::server::action::DiskAction;
use crate::server::input::{FileEntry, ReadData};
use crate::storage::files::{Dir, EpochFile, FileName};
use crate::storage::ops::DiskIds;
use crate::storage::txnlog;
use crate::tree::Database;
use candidates::{Candidates, Chosen};
use play::Play;

/// More than any number's decimal text.
const EPOCH_TEXT_MAX: u32 = 64;

/// What Apache would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Starts,
    /// Nothing is there: it makes an empty tree, and votes with it.
    StartsEmpty,
    Refuses(Refusal),
    /// It rests on a compressed snapshot, which is not read here.
    Unknown(FileName),
}

/// One log file that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedLog {
    pub file: FileName,
    /// Those below the snapshot included.
    pub entries: u64,
    pub last: Option<Zxid>,
    /// Where the last entry ends.
    pub end: u64,
}

/// Bytes behind what Apache takes for the end of a log file: it does not read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    pub file: FileName,
    pub offset: u64,
    /// Up to the last one that is not zero.
    pub bytes: u64,
    /// Whole transactions are among them, and would be lost without a word (T41).
    pub records: bool,
}

/// The texts of the epoch files, as numbers; `None` where there is no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpochNumbers {
    pub accepted: Option<i64>,
    pub current: Option<i64>,
}

#[derive(Debug)]
pub struct Opinion {
    pub verdict: Verdict,
    /// The snapshot that is loaded.
    pub snapshot: Option<FileName>,
    pub logs: Vec<PlayedLog>,
    pub remains: Vec<Remains>,
    pub epochs: EpochNumbers,
    /// The tree up to where it was read.
    pub database: Option<Box<Database>>,
    /// Whether the last digest in the log is that of the tree; `None` where none was met.
    pub digest_agrees: Option<bool>,
}

impl Opinion {
    fn new() -> Self {
        Self {
            verdict: Verdict::Starts,
            snapshot: None,
            logs: Vec::new(),
            remains: Vec::new(),
            epochs: EpochNumbers::default(),
            database: None,
            digest_agrees: None,
        }
    }
}

impl PlayedLog {
    fn new(file: FileName) -> Self {
        Self { file, entries: 0, last: None, end: txnlog::FILE_HEADER_LEN }
    }
}

/// The machine. Carry out what it wants, which is only reading, and hand it the outcome.
#[derive(Debug)]
pub struct ApacheStart {
    config: Config,
    /// Starts as a member of an ensemble, so that epoch files count.
    member: bool,
    ids: DiskIds,
    data: Vec<FileEntry>,
    log: Vec<FileEntry>,
    phase: Phase,
    /// `currentEpoch.tmp` took the place of `currentEpoch`.
    finished_rename: bool,
    opinion: Opinion,
}

#[derive(Debug)]
enum Phase {
    Listing(VecDeque<Dir>),
    Choosing(Box<Candidates>),
    Playing(Box<Play>),
    Epochs(VecDeque<EpochAsk>),
    Over,
}

/// In the order in which Apache looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EpochAsk {
    Current,
    CurrentTmp,
    Accepted,
}

impl EpochAsk {
    fn file(self) -> FileName {
        match self {
            Self::Current => EpochFile::Current.name(),
            Self::CurrentTmp => EpochFile::Current.tmp(),
            Self::Accepted => EpochFile::Accepted.name(),
        }
    }
}

impl ApacheStart {
    /// `config`: where logs live, and limits; whether there is an ensemble.
    pub fn new(config: &Config) -> Self {
        let mut dirs = VecDeque::from([Dir::Data]);
        if config.separate_log_dir {
            dirs.push_back(Dir::Log);
        }
        Self {
            config: config.clone(),
            member: config.ensemble.is_some(),
            ids: DiskIds::new(),
            data: Vec::new(),
            log: Vec::new(),
            phase: Phase::Listing(dirs),
            finished_rename: false,
            opinion: Opinion::new(),
        }
    }

    /// The next read or listing; `None` when the opinion stands.
    pub fn want(&mut self) -> Option<DiskAction> {
        loop {
            let wanted = match &mut self.phase {
                Phase::Listing(dirs) => dirs.front().map(|dir| self.ids.list(*dir).1),
                Phase::Choosing(candidates) => candidates.want(&mut self.ids),
                Phase::Playing(play) => play.want(&mut self.ids),
                Phase::Epochs(asks) => {
                    asks.front().map(|ask| self.ids.read(ask.file(), 0, EPOCH_TEXT_MAX).1)
                }
                Phase::Over => return None,
            };
            if wanted.is_some() {
                return wanted;
            }
            self.phase = match core::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Listing(_) => self.listed(),
                Phase::Choosing(candidates) => self.chosen(candidates.finish()),
                Phase::Playing(play) => self.played(*play),
                Phase::Epochs(_) => self.settle(),
                Phase::Over => Phase::Over,
            };
        }
    }

    pub fn take(&mut self, data: ReadData) {
        let bytes = match data {
            ReadData::Listing(entries) => return self.take_listing(entries),
            ReadData::Bytes(bytes) => Some(bytes),
            ReadData::Missing => None,
        };
        match &mut self.phase {
            Phase::Choosing(candidates) => candidates.take(bytes),
            Phase::Playing(play) => play.take(bytes),
            Phase::Epochs(asks) => {
                if let Some(ask) = asks.pop_front() {
                    self.take_epoch(ask, bytes);
                }
            }
            Phase::Listing(_) | Phase::Over => {}
        }
    }

    pub fn finish(self) -> Opinion {
        self.opinion
    }

    fn take_listing(&mut self, entries: Vec<FileEntry>) {
        let Phase::Listing(dirs) = &mut self.phase else { return };
        match dirs.pop_front() {
            Some(Dir::Log) => self.log = entries,
            Some(Dir::Data | Dir::LogRoot) | None => self.data = entries,
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Phase {
        self.opinion.verdict = Verdict::Refuses(refusal);
        Phase::Over
    }

    fn log_dir(&self) -> (Dir, &[FileEntry]) {
        match self.config.separate_log_dir {
            true => (Dir::Log, &self.log),
            false => (Dir::Data, &self.data),
        }
    }

    /// T45: with two folders, neither may hold files of the other kind.
    fn listed(&mut self) -> Phase {
        if self.config.separate_log_dir {
            let stray = |entries: &[FileEntry], dir, is: fn(&str) -> bool| {
                let mut names = entries.iter().map(|entry| &entry.name);
                names.find(|name| is(name)).map(|name| FileName::new(dir, name.clone()))
            };
            if let Some(file) = stray(&self.log, Dir::Log, names::begins_as_snapshot) {
                return self.refuse(Refusal::SnapshotInLogDir(file));
            }
            if let Some(file) = stray(&self.data, Dir::Data, names::begins_as_log) {
                return self.refuse(Refusal::LogInDataDir(file));
            }
        }
        Phase::Choosing(Box::new(Candidates::new(&self.config, &self.data)))
    }

    fn chosen(&mut self, chosen: Chosen) -> Phase {
        let (log_dir, listing) = self.log_dir();
        match chosen {
            Chosen::Refused(refusal) => self.refuse(refusal),
            Chosen::Compressed(file) => {
                self.opinion.verdict = Verdict::Unknown(file);
                Phase::Over
            }
            Chosen::None => match play::logs(log_dir, listing).max_by_key(|(_, first)| *first) {
                Some((log, _)) => self.refuse(Refusal::NoSnapshot { log }),
                None => self.empty(),
            },
            Chosen::Loaded { file, zxid, database } => {
                let limit = txnlog::payload_limit(&self.config);
                let play = Play::new(limit, log_dir, listing, zxid, database);
                self.opinion.snapshot = Some(file);
                Phase::Playing(Box::new(play))
            }
        }
    }

    /// `zookeeper.db.autocreate` is on unless it is switched off.
    fn empty(&mut self) -> Phase {
        self.opinion.verdict = Verdict::StartsEmpty;
        self.opinion.database = Some(Box::new(Database::new(false)));
        self.after_tree()
    }

    fn played(&mut self, play: Play) -> Phase {
        let Play { database, played, remains, digest_agrees, refusal, .. } = play;
        let opinion = &mut self.opinion;
        (opinion.logs, opinion.remains) = (played, remains);
        opinion.digest_agrees = digest_agrees;
        opinion.database = Some(database);
        match refusal {
            Some(refusal) => self.refuse(refusal),
            None => self.after_tree(),
        }
    }

    fn after_tree(&self) -> Phase {
        let asks = match self.member {
            true => [EpochAsk::Current, EpochAsk::CurrentTmp, EpochAsk::Accepted].into(),
            false => VecDeque::new(),
        };
        Phase::Epochs(asks)
    }

    fn last(&self) -> Zxid {
        self.opinion.database.as_ref().map_or(Zxid::ZERO, |database| database.applied())
    }

    fn take_epoch(&mut self, ask: EpochAsk, bytes: Option<Bytes>) {
        let Some(bytes) = bytes else { return };
        let last = self.last();
        let behind = |current: i64| i64::from(last.epoch().0) > current;
        let epochs = &mut self.opinion.epochs;
        // A file that was written and not renamed counts only where it is needed.
        if ask == EpochAsk::CurrentTmp && !epochs.current.is_some_and(behind) {
            return;
        }
        let Some(number) = parse_long(&bytes) else {
            self.phase = self.refuse(Refusal::EpochText(ask.file()));
            return;
        };
        match ask {
            EpochAsk::Current => epochs.current = Some(number),
            EpochAsk::CurrentTmp => {
                // Taken as it is: Apache does not compare it with the last zxid.
                (epochs.current, self.finished_rename) = (Some(number), true);
            }
            EpochAsk::Accepted => epochs.accepted = Some(number),
        }
    }

    fn settle(&mut self) -> Phase {
        if !self.member {
            return Phase::Over;
        }
        let last = self.last();
        let of_last = i64::from(last.epoch().0);
        let current = self.opinion.epochs.current.unwrap_or(of_last);
        let accepted = self.opinion.epochs.accepted.unwrap_or(of_last);
        if of_last > current && !self.finished_rename {
            return self.refuse(Refusal::CurrentEpochBehind { current, last });
        }
        if accepted < current {
            return self.refuse(Refusal::AcceptedEpochBehind { accepted, current });
        }
        Phase::Over
    }
}

/// Java's `Long.parseLong` of the first line.
fn parse_long(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let line = text.split(['\n', '\r']).next()?;
    line.parse().ok()
}
