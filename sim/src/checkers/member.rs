//! One server's place in the committed sequence.

use std::collections::BTreeMap;

use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::note::{Phase, StateDigest};

use crate::checkers::line::{Entry, Line};

/// One server as its notes tell it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub up: bool,
    pub recovering: bool,
    pub phase: Phase,
    pub epoch: Epoch,
    pub serving: bool,
    /// Its log, unsynced appends included.
    pub log: Line,
    /// What its tree contains.
    pub applied: Line,
    /// Applied while recovering; its place is known only when recovery is done.
    pub replay: Vec<(Zxid, u64, StateDigest)>,
    /// Highest zxid that it acknowledged since its last loss of history.
    pub acked: Option<Zxid>,
    /// What it had acknowledged before that loss: until it acknowledges a leader's history again, it has it
    /// still, or knows that it does not.
    pub vouched: Option<Zxid>,
    /// It says so: it counts for nothing until it has been filled.
    pub blank: bool,
    pub accepted: Option<Epoch>,
    pub current: Option<Epoch>,
    /// It was told to cut below every snapshot: a leader's may take the place of more than it holds.
    pub uncuttable: bool,
    /// That happened, and it has not synced since: it counts for nothing, and P9 alone judges what is
    /// left of its copy.
    pub disowned: bool,
    pub(super) lineage: Lineage,
}

/// Snapshots of one server that are not what their names say of the committed sequence. Only Apache's peers
/// make any.
#[derive(Clone, Debug, Default)]
pub(super) struct Lineage {
    /// Snapshot that the tree grew from.
    pub(super) base: Option<Zxid>,
    /// Those of the folder.
    pub(super) folder: BTreeMap<Zxid, Origin>,
    /// Who brings this history to its own.
    pub(super) leader: Option<ServerId>,
    /// That is a SNAP of its leader's; what an Apache peer said of it.
    pub(super) awaits_snap: bool,
    /// Its leader tells it to cut its log, and a Java server is at either end: where the committed sequence
    /// ends, behind which it may lose what it acknowledged.
    pub(super) cut: Option<Option<Zxid>>,
    pub(super) coming: Option<(Zxid, Origin)>,
}

/// Where a snapshot came from. Apache's names a zxid of its leader's history, committed or not, and may
/// hold parts of transactions up to `end`: the state in between is nobody's (PROTOCOL 3.6, 4.4).
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) end: Zxid,
    pub(super) common: usize,
    pub(super) tail: Vec<(Zxid, u64)>,
}

impl Origin {
    /// The history of `line` up to what the snapshot names.
    pub(super) fn of(line: &Line, base: Zxid, end: Zxid, committed: &[Entry]) -> Self {
        let upto = line.count_upto(base, committed);
        let common = line.common().min(upto);
        let tail = line.tail().take(upto - common).map(|entry| (entry.zxid, entry.hash));
        Self { end, common, tail: tail.collect() }
    }

    pub(super) fn line(&self, committed: &[Entry]) -> Line {
        let mut line = Line::of_committed(self.common);
        self.tail.iter().for_each(|(zxid, hash)| line.push(*zxid, *hash, committed));
        line
    }
}

impl Lineage {
    /// What is there is the history behind the snapshot of `zxid`.
    pub(super) fn line(&self, zxid: Zxid, committed: &[Entry]) -> Line {
        match self.folder.get(&zxid) {
            Some(origin) => origin.line(committed),
            None => Line::of_committed(committed.partition_point(|entry| entry.zxid <= zxid)),
        }
    }
}

impl Default for Member {
    fn default() -> Self {
        Self {
            up: false,
            recovering: false,
            phase: Phase::Halted,
            epoch: Epoch::ZERO,
            serving: false,
            log: Line::default(),
            applied: Line::default(),
            replay: Vec::new(),
            acked: None,
            vouched: None,
            blank: false,
            accepted: None,
            current: None,
            uncuttable: false,
            disowned: false,
            lineage: Lineage::default(),
        }
    }
}

impl Member {
    /// Whether the tree holds parts of transactions beyond `zxid`, its newest, since it grew from a
    /// fuzzy snapshot.
    pub(crate) fn is_blurred_at(&self, zxid: Zxid) -> bool {
        let origin = self.lineage.base.and_then(|base| self.lineage.folder.get(&base));
        origin.is_some_and(|origin| zxid < origin.end)
    }

    /// The snapshot that its tree grew from.
    pub(crate) fn base(&self) -> Option<Zxid> {
        self.lineage.base
    }

    /// What it acknowledged, short of what a leader has told it to cut off: that leader counts nothing of it.
    pub(crate) fn owes(&self) -> Option<Zxid> {
        self.short_of_cut(self.acked)
    }

    pub(super) fn short_of_cut(&self, promised: Option<Zxid>) -> Option<Zxid> {
        match (self.lineage.cut, self.phase) {
            (Some(cut), Phase::Looking) => promised.min(cut),
            _ => promised,
        }
    }

    /// Whether what it applies now must be committed.
    pub(crate) fn in_broadcast(&self) -> bool {
        match self.phase {
            Phase::LeadingBroadcast
            | Phase::FollowingBroadcast
            | Phase::ObservingBroadcast
            | Phase::Standalone => !self.recovering,
            Phase::Looking
            | Phase::LeadingDiscovery
            | Phase::LeadingSynchronization
            | Phase::FollowingDiscovery
            | Phase::FollowingSynchronization
            | Phase::ObservingDiscovery
            | Phase::ObservingSynchronization
            | Phase::Halted => false,
        }
    }
}
