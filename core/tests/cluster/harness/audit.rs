//! What must hold whatever happens, judged from the notes of all servers and the answers to all
//! clients.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::ids::{Epoch, Zxid};
use vivarium_core::server::note::{Note, StateDigest, SyncKind};

/// What one server said since its last start.
#[derive(Debug, Default)]
struct Track {
    /// Newest zxid applied in this incarnation, recovery included.
    applied: Option<Zxid>,
    /// What recovery replayed beyond the committed sequence: committed as soon as it is served.
    tail: Vec<(Zxid, (u64, StateDigest))>,
    /// All that was replayed so far is part of the committed sequence.
    canonical: bool,
    /// Newest zxid that this server ever acknowledged and has not been told to drop.
    acked: Zxid,
    current: Epoch,
    accepted: Epoch,
    /// A recovery is being reported.
    recovering: bool,
}

#[derive(Debug)]
pub struct Audit {
    tracks: Vec<Track>,
    /// The committed sequence: what the first server to apply each zxid saw.
    pub canon: BTreeMap<Zxid, (u64, StateDigest)>,
    pub proposed: BTreeMap<Zxid, u64>,
    pub established: BTreeMap<Epoch, usize>,
    /// History that the leader of each epoch began with.
    pub histories: BTreeMap<Epoch, Option<Zxid>>,
    pub syncs: BTreeMap<SyncKind, u64>,
    pub notes: Vec<(u64, usize, Note)>,
    /// Keep all notes; only small tests want them.
    pub keep: bool,
    pub expired: u64,
    pub snapshots: u64,
    pub truncated: u64,
    pub installed: u64,
    pub moved_aside: u64,
}

impl Audit {
    pub fn new(servers: usize) -> Self {
        Self {
            tracks: (0..servers).map(|_| Track::default()).collect(),
            canon: BTreeMap::new(),
            proposed: BTreeMap::new(),
            established: BTreeMap::new(),
            histories: BTreeMap::new(),
            syncs: BTreeMap::new(),
            notes: Vec::new(),
            keep: false,
            expired: 0,
            snapshots: 0,
            truncated: 0,
            installed: 0,
            moved_aside: 0,
        }
    }

    pub fn booted(&mut self, node: usize) {
        let track = &mut self.tracks[node];
        track.applied = None;
        track.tail.clear();
        track.canonical = true;
        track.recovering = true;
    }

    pub fn note(&mut self, (time, node): (u64, usize), note: &Note) {
        if self.keep {
            self.notes.push((time, node, note.clone()));
        }
        let name = node + 1;
        match note {
            Note::Established { epoch, history } => {
                let leader = *self.established.entry(*epoch).or_insert(node);
                assert_eq!(leader, node, "two leaders of epoch {epoch}");
                let newest = self.established.keys().next_back().copied();
                assert_eq!(newest, Some(*epoch), "s{name} established an old epoch {epoch}");
                self.histories.insert(*epoch, *history);
                if let Some((&last, _)) = self.canon.last_key_value() {
                    assert!(
                        history.is_some_and(|history| history >= last),
                        "leader s{name} of {epoch} begins at {history:?}, committed is {last:?}"
                    );
                }
            }
            Note::Proposed { zxid, hash, .. } => {
                let known = self.proposed.insert(*zxid, *hash);
                let again = known.is_some_and(|known| known != *hash);
                assert!(!again || self.is_alone(), "s{name} proposed {zxid:?} twice");
            }
            Note::Applied { zxid, hash, digest, recovered } => {
                self.applied(node, *zxid, *hash, *digest, *recovered);
            }
            Note::Recovered { last, from, blank, digest } => {
                self.recovered(node, *last, *from, *blank, *digest);
            }
            Note::SnapInstalled { zxid, digest } => {
                self.installed += 1;
                let track = &mut self.tracks[node];
                track.applied = Some(*zxid);
                track.tail.clear();
                track.canonical = true;
                if let Some((_, known)) = self.canon.get(zxid) {
                    assert_eq!(known, digest, "s{name} installed another {zxid:?}");
                }
            }
            Note::AckedTxn { zxid, .. } => {
                let track = &mut self.tracks[node];
                track.acked = track.acked.max(*zxid);
            }
            Note::AckedNewLeader { history, .. } => {
                let track = &mut self.tracks[node];
                track.acked = history.unwrap_or(Zxid::ZERO);
            }
            Note::EpochAccepted { epoch } => {
                let track = &mut self.tracks[node];
                assert!(*epoch > track.accepted, "s{name}: acceptedEpoch went back to {epoch}");
                track.accepted = *epoch;
            }
            Note::EpochEntered { epoch, .. } => {
                let track = &mut self.tracks[node];
                assert!(*epoch >= track.current, "s{name}: currentEpoch went back to {epoch}");
                track.current = *epoch;
            }
            Note::SyncChosen { how, .. } => *self.syncs.entry(*how).or_default() += 1,
            Note::SessionExpired { idle_ms, timeout_ms, .. } => {
                self.expired += 1;
                assert!(*idle_ms as i64 >= i64::from(*timeout_ms), "s{name} expires early");
            }
            Note::SnapshotSealed { .. } => self.snapshots += 1,
            Note::Truncated { upto } => {
                self.truncated += 1;
                let kept = self.owed(node).is_none_or(|owed| *upto >= owed);
                assert!(kept, "s{name} cut committed transactions behind {upto:?}");
            }
            Note::Serving { on: true } => self.accept_tail(node),
            Note::MovedAside => self.moved_aside += 1,
            _ => {}
        }
    }

    /// The newest committed transaction that this server acknowledged.
    fn owed(&self, node: usize) -> Option<Zxid> {
        let acked = self.tracks[node].acked;
        self.canon.range(..=acked).next_back().map(|(zxid, _)| *zxid)
    }

    fn is_alone(&self) -> bool {
        self.tracks.len() == 1
    }

    fn applied(&mut self, node: usize, zxid: Zxid, hash: u64, digest: StateDigest, old: bool) {
        let name = node + 1;
        let track = &mut self.tracks[node];
        let before = track.applied.replace(zxid);
        assert!(before.is_none_or(|before| before < zxid), "s{name} applied {zxid:?} late");
        if let Some(proposed) = self.proposed.get(&zxid)
            && !self.is_alone()
        {
            assert_eq!(*proposed, hash, "s{name} applied a {zxid:?} that nobody proposed");
        }
        let track = &mut self.tracks[node];
        if old {
            track.canonical &= self.canon.get(&zxid).is_some_and(|(known, _)| *known == hash);
            if !track.canonical {
                track.tail.push((zxid, (hash, digest)));
            }
            if track.canonical {
                assert_eq!(self.canon[&zxid].1, digest, "s{name} replays {zxid:?} differently");
            }
            return;
        }
        self.accept_tail(node);
        if let Some(before) = before {
            use std::ops::Bound::Excluded;
            let missed = self.canon.range((Excluded(before), Excluded(zxid))).next();
            assert!(missed.is_none(), "s{name} skipped {missed:?} before {zxid:?}");
        }
        self.commit(node, zxid, (hash, digest));
    }

    /// A server that serves or applies has been told that all it replayed is committed.
    fn accept_tail(&mut self, node: usize) {
        for (zxid, what) in std::mem::take(&mut self.tracks[node].tail) {
            self.commit(node, zxid, what);
        }
    }

    fn commit(&mut self, node: usize, zxid: Zxid, what: (u64, StateDigest)) {
        let name = node + 1;
        match self.canon.get(&zxid) {
            Some(known) => assert_eq!(*known, what, "s{name} differs at {zxid:?}"),
            None => {
                let last = self.canon.last_key_value().map(|(zxid, _)| *zxid);
                assert!(last < Some(zxid), "s{name} commits {zxid:?} behind {last:?}");
                self.canon.insert(zxid, what);
            }
        }
    }

    fn recovered(
        &mut self,
        node: usize,
        last: Option<Zxid>,
        from: Option<Zxid>,
        blank: bool,
        digest: StateDigest,
    ) {
        let name = node + 1;
        let track = &mut self.tracks[node];
        track.recovering = false;
        track.applied = last;
        let owed = self.owed(node);
        let kept = owed.is_none() || last >= owed;
        assert!(
            kept || blank && self.truncated > 0,
            "s{name} lost {owed:?}, has {last:?} from {from:?}"
        );
        if let Some(last) = last
            && let Some((_, known)) = self.canon.get(&last)
            && self.tracks[node].canonical
        {
            assert_eq!(*known, digest, "s{name} recovered another state at {last:?}");
        }
    }
}

/// What clients were told, for the test that drives them.
#[derive(Debug, Default)]
pub struct Book {
    /// Newest acknowledged and newest sent value of each key.
    pub acked: BTreeMap<String, u64>,
    pub sent: BTreeMap<String, u64>,
    /// Sequential nodes that were acknowledged, with their data.
    pub made: BTreeMap<String, String>,
    /// Data of all sequential nodes that anybody asked for.
    pub tried: BTreeSet<String>,
    pub replies: u64,
    /// Disk operations of the server under test before the part that matters.
    pub mark: u64,
    /// As `mark`, at the end of that part.
    pub end: Option<u64>,
    pub stop: bool,
    /// For each sync in flight: what it must show at least.
    pub floors: BTreeMap<u64, BTreeMap<String, u64>>,
}
