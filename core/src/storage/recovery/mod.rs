//! Rebuilds a server's state from its folder: a pull machine, one disk operation at a time.
//! Facts: PROTOCOL 4.6, 3.8; what differs from Apache: docs/decisions.
//!
//! `survey` looks at what is there, `load` takes the newest whole snapshot, `replay` the log behind
//! it, `tail` tells a torn batch from rot, `settle` decides on epochs and on a first start.
//! Whatever recovery writes may be cut off after any operation: running it again gives the same.

mod load;
mod replay;
mod rewrite;
mod settle;
mod survey;
mod tail;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::config::Config;
use crate::ids::{Epoch, Zxid};
use crate::server::action::{DiskAction, FatalReason};
use crate::server::input::{DiskFault, Queue};
use crate::server::note::Note;
use crate::server::{RecoveryInput, RecoveryProgress};
use crate::storage::files::{
    Dir, EpochFile, FileName, Layout, LogFile, initialize_marker, unsealed_snapshot,
};
use crate::storage::ops::{DiskIds, target_of};
use crate::storage::snapshot::{Grade, SnapshotEncoder};
use crate::storage::snapshot_writer::seal_ops;
use crate::tree::{Database, Walk};

use load::{Loaded, Loader};
use replay::{Replay, Replayed};
use survey::{Found, Survey};

/// What a server knows of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Nothing that may count: zxid -1 everywhere, and no candidate.
    Blank,
    /// The last logged zxid; 0 in an initialised folder without transactions.
    From { last: Zxid },
}

/// The state that a server starts with. All of it is durable.
#[derive(Debug)]
pub struct Recovered {
    pub database: Database,
    pub history: History,
    /// No state at all was found: no history, no epochs, nothing moved aside.
    pub first_start: bool,
    pub accepted: Epoch,
    pub current: Epoch,
    /// The snapshot that was loaded, and whether it is exact to its zxid.
    pub snapshot: Option<(Zxid, Grade)>,
    /// The last `commit_log_count` replayed payloads, oldest first.
    pub tail: Vec<(Zxid, Bytes)>,
    /// Oldest first. None of them is appended to any more.
    pub logs: Vec<LogFile>,
    /// Snapshots in the folder, oldest first; only the one that was loaded is known to be whole.
    pub snapshots: Vec<Zxid>,
    pub moved_aside: bool,
    pub notes: Vec<Note>,
}

/// What the host should do next.
#[derive(Debug)]
pub enum Step {
    Disk(DiskAction),
    Progress(RecoveryProgress),
    Done(Box<Recovered>),
    Refused(FatalReason),
}

/// Where a history is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Corruption {
    file: FileName,
    offset: u64,
    what: &'static str,
}

impl Corruption {
    fn refused(self) -> FatalReason {
        FatalReason::Corrupt { file: self.file.to_string(), offset: self.offset, what: self.what }
    }
}

/// The machine. Feed it `Begin` first.
#[derive(Debug)]
pub struct Recovering {
    config: Config,
    ids: DiskIds,
    state: State,
    /// The operation that the host carries out, for messages.
    asked: Option<DiskAction>,
}

#[derive(Debug)]
enum State {
    Surveying(Survey),
    Loading {
        found: Box<Found>,
        loader: Box<Loader>,
    },
    Replaying {
        found: Box<Found>,
        replay: Box<Replay>,
    },
    /// Operations that have to be done before `then`.
    Acting {
        plan: VecDeque<DiskAction>,
        then: Then,
    },
    Over,
}

#[derive(Debug)]
enum Then {
    /// A torn batch is cut off.
    Settle {
        found: Box<Found>,
        replayed: Box<Replayed>,
    },
    /// Damaged files are out of the way.
    Blank {
        found: Box<Found>,
    },
    Done(Box<Recovered>),
}

impl Recovering {
    pub fn start(config: Config) -> Self {
        let state = State::Surveying(Survey::new(&config));
        Self { config, ids: DiskIds::new(), state, asked: None }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn next(&mut self, got: RecoveryInput) -> Step {
        let asked = self.asked.take();
        let data = match got {
            RecoveryInput::Begin | RecoveryInput::Done => None,
            RecoveryInput::Read(data) => Some(data),
            RecoveryInput::Failed(fault) => return self.failed(asked, fault),
        };
        if let Some(data) = data {
            let taken = match &mut self.state {
                State::Surveying(survey) => survey.take(data),
                State::Loading { loader, .. } => loader.take(data, &self.config),
                State::Replaying { replay, .. } => replay.take(data, &self.config),
                State::Acting { .. } | State::Over => Ok(()),
            };
            if let Err(reason) = taken {
                return self.refuse(reason);
            }
        }
        self.run()
    }

    fn failed(&mut self, asked: Option<DiskAction>, fault: DiskFault) -> Step {
        let file = asked.map_or_else(|| "the data folder".to_string(), |op| target_of(&op));
        self.refuse(FatalReason::Disk { file, fault })
    }

    fn refuse(&mut self, reason: FatalReason) -> Step {
        self.state = State::Over;
        Step::Refused(reason)
    }

    /// Goes on until the host is needed.
    fn run(&mut self) -> Step {
        loop {
            let wanted = match &mut self.state {
                State::Surveying(survey) => survey.want(&mut self.ids),
                State::Loading { loader, .. } => loader.want(&mut self.ids),
                State::Replaying { replay, .. } => {
                    if let Some(transactions) = replay.progress() {
                        return Step::Progress(RecoveryProgress { transactions });
                    }
                    replay.want(&mut self.ids)
                }
                State::Acting { plan, .. } => plan.pop_front(),
                State::Over => None,
            };
            if let Some(action) = wanted {
                self.asked = Some(action.clone());
                return Step::Disk(action);
            }
            match self.proceed() {
                Ok(None) => {}
                Ok(Some(recovered)) => return Step::Done(recovered),
                Err(reason) => return self.refuse(reason),
            }
        }
    }

    /// The present phase has all that it asked for.
    fn proceed(&mut self) -> Result<Option<Box<Recovered>>, FatalReason> {
        let next = match core::mem::replace(&mut self.state, State::Over) {
            State::Surveying(survey) => {
                let found = Box::new(survey.finish()?);
                let loader = Box::new(Loader::new(&self.config, &found.snapshots));
                State::Loading { found, loader }
            }
            State::Loading { found, loader } => self.loaded(found, loader.finish())?,
            State::Replaying { found, replay } => self.replayed(found, *replay)?,
            State::Acting { then: Then::Settle { found, replayed }, .. } => {
                self.settle(found, *replayed)?
            }
            State::Acting { then: Then::Blank { found }, .. } => self.blank(*found, true)?,
            State::Acting { then: Then::Done(recovered), .. } => return Ok(Some(recovered)),
            State::Over => {
                return Err(FatalReason::Config("recovery is over already".to_string()));
            }
        };
        self.state = next;
        Ok(None)
    }

    fn loaded(&mut self, mut found: Box<Found>, loaded: Loaded) -> Result<State, FatalReason> {
        found.broken = loaded.broken;
        if let Some(snapshot) = loaded.snapshot {
            let replay = Box::new(Replay::new(&self.config, snapshot, &found.logs));
            return Ok(State::Replaying { found, replay });
        }
        if let Some(file) = found.compressed.first() {
            return Err(unreadable(file));
        }
        // A first snapshot that was cut off while nothing was logged yet holds nothing.
        let harmless = found.broken.iter().all(|zxid| *zxid == Zxid::ZERO);
        if let Some(log) = found.logs.first() {
            let what = "there is a transaction log, but no snapshot that it follows";
            return self
                .corrupt(found.clone(), Corruption { file: log.name.clone(), offset: 0, what });
        }
        if !harmless {
            let file = FileName::snapshot(found.broken[0]);
            return self
                .corrupt(found, Corruption { file, offset: 0, what: "no snapshot is whole" });
        }
        match settle::may_start_empty(&self.config, &found)? {
            true => self.initialise(*found),
            false => self.blank(*found, false),
        }
    }

    fn replayed(&mut self, found: Box<Found>, replay: Replay) -> Result<State, FatalReason> {
        let replayed = match replay.finish() {
            Ok(replayed) => replayed,
            Err(corruption) => return self.corrupt(found, corruption),
        };
        // An own snapshot has its name only since it was whole: the history went at least so far. One
        // that names the start of an epoch is Apache's, which writes in place, and says nothing of
        // transactions: as there, an older one and the log behind it are the history.
        let says_more = |zxid: &Zxid| *zxid > replayed.last && !zxid.is_epoch_start();
        if let Some(zxid) = found.broken.iter().copied().filter(says_more).max() {
            let what = "the snapshot is damaged and the log does not reach it";
            return self
                .corrupt(found, Corruption { file: FileName::snapshot(zxid), offset: 0, what });
        }
        let mut plan = VecDeque::new();
        for cut in &replayed.cuts {
            let file = cut.file.clone();
            match cut.len {
                Some(len) => {
                    plan.push_back(self.ids.set_len(Queue::Log, file.clone(), len));
                    plan.push_back(self.ids.sync_file(Queue::Log, file));
                }
                None => {
                    let dir = file.dir;
                    plan.push_back(self.ids.remove(Queue::Log, file));
                    plan.push_back(self.ids.sync_dir(Queue::Log, dir));
                }
            }
        }
        Ok(State::Acting { plan, then: Then::Settle { found, replayed: Box::new(replayed) } })
    }

    /// Peers that can fill this server: then the damaged history goes aside, else nothing is
    /// touched and the operator has to act.
    fn corrupt(&mut self, found: Box<Found>, corruption: Corruption) -> Result<State, FatalReason> {
        if let Some(file) = found.compressed.first() {
            return Err(unreadable(file));
        }
        if !settle::has_other_voters(&self.config) {
            return Err(corruption.refused());
        }
        // Snapshots first, durably: logs alone are never taken for a history, while a snapshot
        // whose log is gone would be a short one. The oldest goes first, durably before the next:
        // without a newer one, it and the log could look like a history that ended there.
        let mut plan = VecDeque::new();
        for (zxid, _) in &found.snapshots {
            self.move_aside(Vec::from([FileName::snapshot(*zxid)]), Dir::Data, &mut plan);
        }
        let logs = found.logs.iter().map(|log| log.name.clone());
        let log_dir = Layout::of(&self.config).log_dir;
        self.move_aside(logs.collect(), log_dir, &mut plan);
        Ok(State::Acting { plan, then: Then::Blank { found } })
    }

    fn move_aside(&mut self, files: Vec<FileName>, dir: Dir, plan: &mut VecDeque<DiskAction>) {
        for from in files {
            let to = from.aside();
            plan.push_back(self.ids.rename(Queue::Log, from, to));
        }
        plan.push_back(self.ids.sync_dir(Queue::Log, dir));
    }

    /// An empty folder that may begin: the tree of zxid 0 becomes a snapshot.
    fn initialise(&mut self, found: Found) -> Result<State, FatalReason> {
        let mut database = Database::new(self.config.full_digest);
        let mut plan = VecDeque::new();
        let bytes = exact_snapshot(&mut database);
        let (len, zxid) = (bytes.len() as u64, Zxid::ZERO);
        plan.push_back(self.ids.write(Queue::Log, unsealed_snapshot(zxid), 0, bytes));
        plan.extend(seal_ops(zxid, len, Queue::Log, &mut self.ids));
        let (accepted, current) =
            settle::epochs(&self.config, &found, zxid, &mut self.ids, &mut plan)?;
        let recovered = Recovered {
            database,
            history: History::From { last: zxid },
            first_start: false,
            accepted,
            current,
            snapshot: Some((zxid, Grade::Exact)),
            tail: Vec::new(),
            logs: Vec::new(),
            snapshots: Vec::from([zxid]),
            moved_aside: false,
            notes: Vec::new(),
        };
        Ok(self.done(found, recovered, plan))
    }

    fn blank(&mut self, found: Found, moved_aside: bool) -> Result<State, FatalReason> {
        let mut plan = VecDeque::new();
        let (accepted, current) =
            settle::epochs_of_blank(&self.config, &found, &mut self.ids, &mut plan)?;
        let untouched = found.epochs.is_empty() && !found.aside;
        let recovered = Recovered {
            database: Database::new(self.config.full_digest),
            history: History::Blank,
            first_start: untouched && !moved_aside,
            accepted,
            current,
            snapshot: None,
            tail: Vec::new(),
            logs: Vec::new(),
            snapshots: Vec::new(),
            moved_aside,
            notes: if moved_aside { Vec::from([Note::MovedAside]) } else { Vec::new() },
        };
        Ok(self.done(found, recovered, plan))
    }

    /// A sync that was cut short: blank still. What it left stays until a leader's snapshot
    /// replaces it, for an operator who knows better.
    fn unsynced(&mut self, found: Found, replayed: Replayed) -> Result<State, FatalReason> {
        let mut plan = VecDeque::new();
        let (accepted, current) =
            settle::epochs_of_blank(&self.config, &found, &mut self.ids, &mut plan)?;
        let recovered = Recovered {
            database: Database::new(self.config.full_digest),
            history: History::Blank,
            first_start: false,
            accepted,
            current,
            snapshot: None,
            tail: Vec::new(),
            logs: replayed.dead.into_iter().chain(replayed.logs).collect(),
            snapshots: Vec::new(),
            moved_aside: false,
            notes: Vec::new(),
        };
        Ok(self.done(found, recovered, plan))
    }

    fn settle(&mut self, found: Box<Found>, replayed: Replayed) -> Result<State, FatalReason> {
        if settle::is_unsynced(&self.config, &found, replayed.last) {
            return self.unsynced(*found, replayed);
        }
        let mut plan = VecDeque::new();
        // What was read may still be in the memory of the machine alone: a process that was killed
        // leaves writes behind that no sync has covered, and one whose sync failed a cut of the torn end.
        // Padding goes: the next append starts a new file, and this one is done with.
        if let Some(log) = replayed.logs.last() {
            plan.extend(replayed.last_batch.rewrite(&log.name, &mut self.ids));
            plan.push_back(self.ids.set_len(Queue::Log, log.name.clone(), log.len));
            plan.push_back(self.ids.sync_file(Queue::Log, log.name.clone()));
        }
        let (zxid, grade) = replayed.snapshot;
        plan.push_back(self.ids.sync_file(Queue::Log, FileName::snapshot(zxid)));
        let replaced = !replayed.dead.is_empty();
        if replaced {
            let others = found.snapshots.iter().map(|(other, _)| *other);
            let others = others.filter(|other| *other != zxid).map(FileName::snapshot);
            let dead = replayed.dead.iter().rev().map(|log| log.name.clone());
            plan.extend(settle::finish_superseding(others, dead, &mut self.ids));
        }
        let last = replayed.last;
        let (accepted, current) =
            settle::epochs(&self.config, &found, last, &mut self.ids, &mut plan)?;
        let mut database = replayed.database;
        // As Apache does after a load: ephemerals whose session the log does not know.
        database.remove_orphan_ephemerals();
        let mut snapshots: Vec<Zxid> = found.snapshots.iter().map(|(zxid, _)| *zxid).collect();
        snapshots.retain(|other| !found.broken.contains(other) && (!replaced || *other == zxid));
        snapshots.sort_unstable();
        let recovered = Recovered {
            database,
            history: History::From { last },
            first_start: false,
            accepted,
            current,
            snapshot: Some((zxid, grade)),
            tail: replayed.tail,
            logs: replayed.logs,
            snapshots,
            moved_aside: false,
            notes: replayed.notes,
        };
        Ok(self.done(*found, recovered, plan))
    }

    /// Adds what every start tidies up, and makes what was found durable.
    fn done(
        &mut self,
        found: Found,
        mut recovered: Recovered,
        mut plan: VecDeque<DiskAction>,
    ) -> State {
        let ids = &mut self.ids;
        if !recovered.moved_aside {
            for zxid in &found.broken {
                // The snapshot of a first start has just taken the place of a broken one.
                if recovered.snapshot.is_none_or(|(kept, _)| kept != *zxid) {
                    plan.push_back(ids.remove(Queue::Log, FileName::snapshot(*zxid)));
                }
            }
        }
        let mut leftovers = found.leftovers;
        if self.config.ensemble.is_some() && recovered.history != History::Blank {
            let probe = EpochFile::Accepted.tmp();
            plan.extend(settle::probe(&probe, ids));
            leftovers.retain(|file| *file != probe);
            leftovers.push(probe);
        }
        for file in leftovers {
            plan.push_back(ids.remove(Queue::Log, file));
        }
        plan.push_back(ids.sync_dir(Queue::Log, Dir::Data));
        let log_dir = Layout::of(&self.config).log_dir;
        if log_dir != Dir::Data {
            plan.push_back(ids.sync_dir(Queue::Log, log_dir));
        }
        if found.marker {
            plan.push_back(ids.remove(Queue::Log, initialize_marker()));
            plan.push_back(ids.sync_dir(Queue::Log, Dir::LogRoot));
        }
        recovered.notes.push(Note::Recovered {
            last: match recovered.history {
                History::Blank => None,
                History::From { last } => Some(last),
            },
            from: recovered.snapshot.map(|(zxid, _)| zxid),
            blank: recovered.history == History::Blank,
            digest: recovered.database.digest(),
        });
        State::Acting { plan, then: Then::Done(Box::new(recovered)) }
    }
}

fn unreadable(file: &FileName) -> FatalReason {
    FatalReason::Config(format!(
        "{file} is compressed, which this server cannot read yet: start ZooKeeper once without \
         snapshot.compression.method so that it writes a plain snapshot"
    ))
}

/// The whole file of a small tree.
fn exact_snapshot(database: &mut Database) -> Bytes {
    let mut out = BytesMut::new();
    let mut encoder = SnapshotEncoder::new(database.applied(), database.digest().tree);
    encoder.head(&mut out);
    let start = out.len();
    database.begin_walk(usize::MAX);
    while database.walk(usize::MAX, &mut out) == Walk::More {}
    encoder.body(&out[start..]);
    encoder.tail(&mut out);
    out.freeze()
}
