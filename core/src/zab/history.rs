//! What this server has accepted: its log, the newest part of it in memory, its two epochs.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::ids::{Epoch, OpId, Zxid};
use crate::invariant;
use crate::server::note::Note;
use crate::server::outbox::Outbox;
use crate::storage::epochs;
use crate::storage::files::EpochFile;
use crate::storage::log_writer::LogWriter;
use crate::storage::ops::DiskIds;
use crate::txn::payload_hash;
use crate::zab::window::{Entry, Window};

/// The accepted history and the promises about epochs. Paper: `h`, `p` (acceptedEpoch) and
/// `e` (currentEpoch) of a process.
///
/// Invariant: `current() <= accepted_durable() <= accepted()`, and nothing is promised about an
/// epoch before its file is durable (T44).
#[derive(Debug)]
pub struct History {
    pub log: LogWriter,
    pub window: Window,
    pub ids: DiskIds,
    /// No usable history: never a candidate, counted in no ACKEPOCH quorum.
    pub blank: bool,
    /// Known since a leader asked for a cut that the own snapshots make impossible.
    pub uncuttable: Option<Uncuttable>,
    /// Everything up to here is known to be committed and may be applied.
    committed: Zxid,
    /// A read of the own log failed: what it holds up to here cannot be served from disk.
    damaged_to: Option<Zxid>,
    accepted: Epoch,
    accepted_durable: Epoch,
    current: Epoch,
    /// The newest epoch that anybody showed: a new one has to be greater, or it costs an election.
    heard: Epoch,
    /// Epoch files on their way to the disk, oldest first.
    writes: VecDeque<EpochWrite>,
}

/// A leader that never was established may have sent a SNAP of what was never committed, and all that
/// was here before is in it: no snapshot is old enough to cut behind. Only another SNAP helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncuttable {
    /// Of the leader that asked for the cut.
    pub epoch: Epoch,
    /// All that the leader's history has of this one.
    pub upto: Zxid,
}

#[derive(Clone, Copy, Debug)]
struct EpochWrite {
    op: OpId,
    which: EpochFile,
    epoch: Epoch,
    /// The history that entering the epoch covers.
    history: Option<Zxid>,
}

/// What recovery found, for [`History::new`].
#[derive(Debug)]
pub struct Recalled {
    pub log: LogWriter,
    pub window: Window,
    pub ids: DiskIds,
    pub blank: bool,
    pub accepted: Epoch,
    pub current: Epoch,
}

impl History {
    pub fn new(recalled: Recalled) -> Self {
        let Recalled { log, window, ids, blank, accepted, current } = recalled;
        let committed = Zxid::ZERO;
        let (accepted_durable, writes) = (accepted, VecDeque::new());
        Self {
            log,
            window,
            ids,
            blank,
            uncuttable: None,
            committed,
            damaged_to: None,
            accepted,
            accepted_durable,
            current,
            heard: accepted,
            writes,
        }
    }

    /// The newest accepted zxid; `None` for a blank server.
    pub fn last(&self) -> Option<Zxid> {
        (!self.blank).then(|| self.window.head())
    }

    pub fn head(&self) -> Zxid {
        self.window.head()
    }

    /// Everything up to here survives a power cut.
    pub fn durable(&self) -> Zxid {
        self.log.durable().unwrap_or(Zxid::ZERO)
    }

    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// The newest transaction that may lie in a damaged part of the log.
    pub fn damaged_to(&self) -> Option<Zxid> {
        self.damaged_to
    }

    /// The log on disk is damaged somewhere in front of the file that `behind` starts, or in its newest
    /// file: a snapshot that covers all of it replaces it for those who would have read it. This server
    /// itself finds out at its next recovery, unless an own snapshot covers it.
    pub fn distrust_log(&mut self, behind: Option<Zxid>) {
        let last = behind.map_or_else(|| self.head(), Zxid::before);
        self.damaged_to = self.damaged_to.max(Some(last));
    }

    /// The newest epoch that this server accepted or is about to.
    pub fn accepted(&self) -> Epoch {
        self.accepted
    }

    /// Somebody has accepted this epoch.
    pub fn hear(&mut self, epoch: Epoch) {
        self.heard = self.heard.max(epoch);
    }

    pub fn heard(&self) -> Epoch {
        self.heard.max(self.accepted)
    }

    pub fn accepted_durable(&self) -> Epoch {
        self.accepted_durable
    }

    pub fn current(&self) -> Epoch {
        self.current
    }

    /// Accepts a transaction. `source` is the epoch of the leader that it came from: after this
    /// server has accepted a newer epoch, nobody of an older one may change the log (P15).
    pub fn append(&mut self, zxid: Zxid, payload: Bytes, source: Epoch, out: &mut Outbox) {
        invariant!(source == self.accepted, "only the newest accepted epoch changes the log");
        out.note(Note::Logged { zxid, hash: payload_hash(&payload), source });
        self.log.append(zxid, &payload, &mut self.ids, out);
        // A payload of its own: a slice would keep the whole chunk that it came in alive.
        let payload = Bytes::copy_from_slice(&payload);
        self.window.push(Entry { zxid, payload });
    }

    /// A transaction of a standalone server, which has no epochs to promise.
    pub fn append_alone(&mut self, zxid: Zxid, payload: Bytes, out: &mut Outbox) {
        out.note(Note::Logged { zxid, hash: payload_hash(&payload), source: zxid.epoch() });
        self.log.append(zxid, &payload, &mut self.ids, out);
        self.window.push(Entry { zxid, payload });
    }

    /// Raises the commit mark.
    pub fn commit(&mut self, upto: Zxid) {
        invariant!(upto <= self.head(), "only what is accepted is committed");
        self.committed = self.committed.max(upto);
    }

    /// A first start is complete: an empty history, which counts. currentEpoch says so, in front of
    /// any promise: acceptedEpoch alone is the mark of a server that has not synced.
    pub fn found(&mut self, out: &mut Outbox) {
        self.blank = false;
        epochs::write(EpochFile::Current, Epoch::ZERO, &mut self.ids, out);
        self.log.restart_behind(Zxid::ZERO);
        self.window = Window::new(Zxid::ZERO);
    }

    /// currentEpoch is about to be removed: the history counts again when the file is written anew.
    pub fn disown(&mut self) {
        self.current = Epoch::ZERO;
    }

    /// A snapshot of the leader replaced everything.
    pub fn replace(&mut self, zxid: Zxid) {
        self.window = Window::new(zxid);
        self.committed = zxid;
    }

    /// Writes acceptedEpoch; the promise waits for [`History::accepted_durable`].
    pub fn accept(&mut self, epoch: Epoch, out: &mut Outbox) {
        invariant!(epoch > self.accepted, "acceptedEpoch never decreases (P12)");
        self.accepted = epoch;
        let op = epochs::write(EpochFile::Accepted, epoch, &mut self.ids, out);
        self.writes.push_back(EpochWrite { op, which: EpochFile::Accepted, epoch, history: None });
    }

    /// Writes currentEpoch. The history that goes with it is durable before (S9, B04).
    pub fn enter(&mut self, epoch: Epoch, out: &mut Outbox) {
        invariant!(epoch <= self.accepted_durable, "currentEpoch never passes acceptedEpoch");
        let history = self.last();
        let op = epochs::write(EpochFile::Current, epoch, &mut self.ids, out);
        self.writes.push_back(EpochWrite { op, which: EpochFile::Current, epoch, history });
    }

    /// Operations of the log queue up to `upto` are on disk.
    pub fn on_durable(&mut self, upto: OpId, out: &mut Outbox) {
        self.log.on_done(upto, &mut self.ids, out);
        while let Some(write) = self.writes.pop_front_if(|write| write.op <= upto) {
            let EpochWrite { which, epoch, history, .. } = write;
            match which {
                EpochFile::Accepted => {
                    self.accepted_durable = epoch;
                    out.note(Note::EpochAccepted { epoch });
                }
                EpochFile::Current => {
                    self.current = epoch;
                    out.note(Note::EpochEntered { epoch, history });
                }
            }
        }
    }

    /// Whether a currentEpoch write for `epoch` is under way.
    pub fn is_entering(&self, epoch: Epoch) -> bool {
        self.writes.iter().any(|write| write.which == EpochFile::Current && write.epoch == epoch)
    }
}
