//! What can be said about a data folder before any server starts on it: whether Apache ZooKeeper
//! would, whether Vivarium would, and what is there. Nothing is written: Apache's part is read by
//! Apache's rules, ours is the real recovery whose writes are not carried out.

mod text;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::{Address, Config, EnsembleConfig, Member, MemberRole};
use crate::ids::{ServerId, Zxid};
use crate::server::RecoveryInput;
use crate::server::action::DiskAction;
use crate::server::input::{FileEntry, ReadData};
use crate::storage::apache::{ApacheStart, EpochNumbers, Opinion, PlayedLog, Remains, Verdict};
use crate::storage::files::{Dir, FileName, Known};
use crate::storage::ops::DiskIds;
use crate::storage::recovery::{History, Recovered, Recovering, Step};
use crate::tree::{Database, Lifetime};

/// How the server that starts on the folder is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Standalone,
    Member,
}

/// What the host knows of the folder before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Logs lie in a folder of their own.
    pub separate_log_dir: bool,
    /// There is a file `myid`.
    pub myid: bool,
    /// `None`: a member where the folder holds epoch files or `myid`.
    pub standing: Option<Standing>,
}

/// What the host does next.
#[derive(Debug)]
pub enum Ask {
    /// Only `Read` and `List`.
    Read(DiskAction),
    Done(Box<Report>),
}

/// What Vivarium would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ours {
    Starts {
        last: Zxid,
    },
    /// A member without any trace of a past: it asks all others first.
    FirstStart,
    /// A member whose history is gone: its peers fill it.
    Blank,
    /// A damaged history goes aside, and peers fill the server; without peers it refuses.
    MovesAside,
    Refuses(String),
}

/// The state that Apache would have loaded, or had when it gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub last: Zxid,
    pub znodes: usize,
    pub ephemerals: usize,
    pub containers: usize,
    pub ttls: usize,
    pub data_bytes: u64,
    pub sessions: usize,
    pub tree_digest: u64,
    /// Whether the last digest in the log says the same.
    pub digest_agrees: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub standing: Standing,
    pub apache: Verdict,
    pub ours: Ours,
    /// With their lengths, oldest first.
    pub snapshots: Vec<(FileName, u64)>,
    pub logs: Vec<(FileName, u64)>,
    /// Files that an earlier recovery moved aside.
    pub aside: usize,
    pub loaded: Option<FileName>,
    pub played: Vec<PlayedLog>,
    pub remains: Vec<Remains>,
    pub epochs: EpochNumbers,
    pub figures: Option<Figures>,
}

impl Report {
    /// Whether Apache would start.
    pub fn apache_starts(&self) -> bool {
        match self.apache {
            Verdict::Starts | Verdict::StartsEmpty => true,
            Verdict::Refuses(_) | Verdict::Unknown(_) => false,
        }
    }
}

/// The machine: call [`Appraisal::next`] with the outcome of the last read until it is done.
#[derive(Debug)]
pub struct Appraisal {
    question: Question,
    phase: Phase,
    data: Vec<FileEntry>,
    log: Vec<FileEntry>,
    standing: Standing,
}

#[derive(Debug)]
enum Phase {
    ListingData,
    ListingLog,
    Apache(Box<ApacheStart>),
    Ours { opinion: Box<Opinion>, recovering: Box<Recovering> },
    Over,
}

impl Appraisal {
    pub fn new(question: Question) -> Self {
        Self {
            question,
            phase: Phase::ListingData,
            data: Vec::new(),
            log: Vec::new(),
            standing: question.standing.unwrap_or(Standing::Standalone),
        }
    }

    /// `None` first, then what the last read found.
    pub fn next(&mut self, got: Option<ReadData>) -> Ask {
        let mut got = got;
        loop {
            match &mut self.phase {
                Phase::ListingData => match got.take() {
                    None => return Ask::Read(list(Dir::Data)),
                    Some(data) => {
                        self.data = entries(data);
                        self.standing = self.standing();
                        self.phase = Phase::ListingLog;
                    }
                },
                Phase::ListingLog => {
                    if self.question.separate_log_dir {
                        match got.take() {
                            None => return Ask::Read(list(Dir::Log)),
                            Some(data) => self.log = entries(data),
                        }
                    }
                    self.phase = Phase::Apache(Box::new(ApacheStart::new(&self.config())));
                }
                Phase::Apache(start) => {
                    if let Some(data) = got.take() {
                        start.take(data);
                    }
                    if let Some(read) = start.want() {
                        return Ask::Read(read);
                    }
                    self.enter_ours();
                }
                Phase::Ours { recovering, .. } => match rehearse(recovering, got.take()) {
                    Rehearsed::Read(read) => return Ask::Read(read),
                    Rehearsed::Done(ours) => return Ask::Done(Box::new(self.report(ours))),
                },
                Phase::Over => return Ask::Done(Box::new(self.report(Ours::Blank))),
            }
        }
    }

    fn standing(&self) -> Standing {
        let has_epoch =
            self.data.iter().any(|entry| matches!(Known::parse(&entry.name), Known::Epoch(_)));
        let guess = match has_epoch || self.question.myid {
            true => Standing::Member,
            false => Standing::Standalone,
        };
        self.question.standing.unwrap_or(guess)
    }

    /// Defaults, and as a member two peers that nobody ever calls.
    fn config(&self) -> Config {
        let ensemble = match self.standing {
            Standing::Standalone => None,
            Standing::Member => Some(three_members()),
        };
        let mut config = Config::with_defaults(ServerId(1), ensemble, [0; 32]);
        config.separate_log_dir = self.question.separate_log_dir;
        config
    }

    fn enter_ours(&mut self) {
        let recovering = Box::new(Recovering::start(self.config()));
        if let Phase::Apache(start) = core::mem::replace(&mut self.phase, Phase::Over) {
            self.phase = Phase::Ours { opinion: Box::new(start.finish()), recovering };
        }
    }

    fn report(&mut self, ours: Ours) -> Report {
        let opinion = match core::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Ours { opinion, .. } => *opinion,
            Phase::ListingData | Phase::ListingLog | Phase::Apache(_) | Phase::Over => {
                ApacheStart::new(&self.config()).finish()
            }
        };
        let figures = opinion.database.map(|database| figures(*database, opinion.digest_agrees));
        let (log_dir, logs) = match self.question.separate_log_dir {
            true => (Dir::Log, &self.log),
            false => (Dir::Data, &self.data),
        };
        let aside = |entries: &[FileEntry]| {
            entries.iter().filter(|entry| Known::parse(&entry.name) == Known::Corrupt).count()
        };
        Report {
            standing: self.standing,
            apache: opinion.verdict,
            ours,
            snapshots: named(Dir::Data, &self.data, snapshot_number),
            logs: named(log_dir, logs, log_number),
            aside: aside(&self.data) + aside(&self.log),
            loaded: opinion.snapshot,
            played: opinion.logs,
            remains: opinion.remains,
            epochs: opinion.epochs,
            figures,
        }
    }
}

enum Rehearsed {
    Read(DiskAction),
    Done(Ours),
}

/// Recovery as at a start, except that nothing is written: it reads nothing that it has changed.
fn rehearse(recovering: &mut Recovering, got: Option<ReadData>) -> Rehearsed {
    let mut input = got.map_or(RecoveryInput::Begin, RecoveryInput::Read);
    loop {
        match recovering.next(input) {
            Step::Disk(action @ (DiskAction::Read { .. } | DiskAction::List { .. })) => {
                return Rehearsed::Read(action);
            }
            Step::Disk(
                DiskAction::Write { .. }
                | DiskAction::SetLen { .. }
                | DiskAction::SyncFile { .. }
                | DiskAction::Rename { .. }
                | DiskAction::SyncDir { .. }
                | DiskAction::Remove { .. },
            )
            | Step::Progress(_) => input = RecoveryInput::Done,
            Step::Done(recovered) => return Rehearsed::Done(ours(&recovered)),
            Step::Refused(reason) => return Rehearsed::Done(Ours::Refuses(reason.to_string())),
        }
    }
}

fn ours(recovered: &Recovered) -> Ours {
    match recovered.history {
        History::From { last } => Ours::Starts { last },
        History::Blank if recovered.moved_aside => Ours::MovesAside,
        History::Blank if recovered.first_start => Ours::FirstStart,
        History::Blank => Ours::Blank,
    }
}

fn figures(mut database: Database, digest_agrees: Option<bool>) -> Figures {
    let tree_digest = database.digest().tree;
    // As after every load, once the digests have been compared.
    database.remove_orphan_ephemerals();
    let ephemeral = |lifetime| matches!(lifetime, Lifetime::Ephemeral(_));
    Figures {
        last: database.applied(),
        znodes: database.node_count(),
        ephemerals: database.iter().filter(|(_, node)| ephemeral(node.lifetime())).count(),
        containers: database.containers().len(),
        ttls: database.ttls().len(),
        data_bytes: database.data_size(),
        sessions: database.sessions().len(),
        tree_digest,
        digest_agrees,
    }
}

fn list(dir: Dir) -> DiskAction {
    DiskIds::new().list(dir).1
}

fn entries(data: ReadData) -> Vec<FileEntry> {
    match data {
        ReadData::Listing(entries) => entries,
        ReadData::Bytes(_) | ReadData::Missing => Vec::new(),
    }
}

fn snapshot_number(known: Known) -> Option<Zxid> {
    if let Known::Snapshot(zxid) | Known::CompressedSnapshot(zxid) = known {
        return Some(zxid);
    }
    None
}

fn log_number(known: Known) -> Option<Zxid> {
    if let Known::Log(first) = known { Some(first) } else { None }
}

/// Files of one kind, in the order of their numbers.
fn named(
    dir: Dir,
    entries: &[FileEntry],
    number: impl Fn(Known) -> Option<Zxid>,
) -> Vec<(FileName, u64)> {
    let of = |entry: &FileEntry| {
        let zxid = number(Known::parse(&entry.name))?;
        Some((zxid, (FileName::new(dir, entry.name.clone()), entry.len)))
    };
    let mut found: Vec<_> = entries.iter().filter_map(of).collect();
    found.sort_by_key(|(zxid, _)| *zxid);
    found.into_iter().map(|(_, file)| file).collect()
}

fn three_members() -> EnsembleConfig {
    let address = |port| Address { host: String::from("localhost"), port };
    let member = |_| Member {
        quorum: address(2888),
        election: address(3888),
        role: MemberRole::Participant,
        client: None,
    };
    EnsembleConfig {
        members: (1..=3).map(|id| (ServerId(id), member(id))).collect(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    }
}
