//! Phase 2, leader's side: a quorum gets this leader's history and has it on disk.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::ids::{Epoch, LinkId, ReadId, ServerId, Zxid};
use crate::server::action::CloseReason;
use crate::server::input::{DiskFault, ReadData};
use crate::server::note::{Note, SyncKind};
use crate::storage::log_cursor::{CursorFault, LogCursor};
use crate::storage::txnlog::Record;
use crate::time::Mono;
use crate::wire::quorum::LeaderPacket;
use crate::zab::ZabCx;
use crate::zab::catch_up::{self, CatchUp, LearnerHistory};
use crate::zab::leading::feed::{Feed, FeedBroken};
use crate::zab::leading::learner::{Learner, Stage, Who};
use crate::zab::leading::{Broadcast, Leading, LeadingEvent, Phase};

#[derive(Debug)]
pub struct Synchronization {
    pub(super) epoch: Epoch,
    /// The initial history of the epoch ends here. Paper: `I_e`.
    history_end: Zxid,
    own: OwnSeat,
    /// Learners that acknowledged NEWLEADER.
    acked: BTreeSet<ServerId>,
    pub(super) deadline: Mono,
    /// When the leader has waited long enough for a quorum of voters to be connected again.
    deserted_until: Option<Mono>,
}

/// The leader's own acknowledgement: history durable first, then currentEpoch (S9, B04).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnSeat {
    AwaitingHistory,
    Entering,
    Entered,
}

impl Synchronization {
    pub(super) fn new(epoch: Epoch, deadline: Mono, cx: &ZabCx<'_>) -> Self {
        let history_end = cx.history.head();
        let (own, acked) = (OwnSeat::AwaitingHistory, BTreeSet::new());
        Self { epoch, history_end, own, acked, deadline, deserted_until: None }
    }

    pub(super) fn next_deadline(&self) -> Mono {
        self.deserted_until.map_or(self.deadline, |until| until.min(self.deadline))
    }

    fn enter(&mut self, cx: &mut ZabCx<'_>) {
        let epoch = self.epoch;
        if self.own == OwnSeat::AwaitingHistory && cx.history.durable() >= self.history_end {
            cx.history.enter(epoch, cx.out);
            self.own = OwnSeat::Entering;
        }
        if self.own == OwnSeat::Entering && cx.history.current() == epoch {
            self.own = OwnSeat::Entered;
            cx.out.note(Note::AckedNewLeader { epoch, history: cx.history.last() });
        }
    }

    fn is_established(&self, cx: &ZabCx<'_>) -> bool {
        let own = core::iter::once(cx.config.me);
        self.own == OwnSeat::Entered
            && cx.ensemble.has_quorum(own.chain(self.acked.iter().copied()))
    }
}

impl Leading {
    /// What learners may be told is committed.
    pub(super) fn known(&self, cx: &ZabCx<'_>) -> Zxid {
        match &self.phase {
            Phase::Discovery(_) => cx.history.committed(),
            Phase::Synchronization(synchronization) => synchronization.history_end,
            Phase::Broadcast(_) => cx.history.committed(),
        }
    }

    pub(super) fn advance_synchronization(&mut self, cx: &mut ZabCx<'_>) {
        if matches!(self.phase, Phase::Discovery(_)) || self.is_settled() {
            return;
        }
        if let Phase::Synchronization(synchronization) = &mut self.phase {
            synchronization.enter(cx);
        }
        self.start_syncs(cx);
        self.serve_fuzzy(cx);
        self.give_up_damaged(cx);
        self.give_up_deserted(cx);
        self.pump(cx);
        self.inform_caught_up(cx);
        self.establish(cx);
        self.admit_acked(cx);
    }

    /// In office, with nobody on the way to being served: nothing here is left to do.
    fn is_settled(&self) -> bool {
        let is_served =
            |learner: &Learner| matches!(learner.stage, Stage::Arrived | Stage::Serving { .. });
        matches!(self.phase, Phase::Broadcast(_)) && self.learners.values().all(is_served)
    }

    fn start_syncs(&mut self, cx: &mut ZabCx<'_>) {
        let known = self.known(cx);
        for learner in self.learners.values_mut() {
            let Stage::Promised { who, last, .. } = learner.stage else { continue };
            let about =
                LearnerHistory { last: last.filter(|_| !who.blank), vivarium: who.vivarium };
            match catch_up::choose(about, &cx.history.window, known, self.brought) {
                CatchUp::Disk { last } => learner.search(who, last, known, cx),
                choice @ (CatchUp::Diff { .. } | CatchUp::Trunc { .. } | CatchUp::Snap) => {
                    learner.start_sync(who, choice, None, known, cx)
                }
            }
        }
    }

    /// A leader in office writes an exact snapshot where it has none. One that is not yet cannot, and
    /// never will be if its quorum needs this learner. What Java left serves as well: the log behind it
    /// is sent too, and replay mends the rest.
    fn serve_fuzzy(&mut self, cx: &mut ZabCx<'_>) {
        if !matches!(self.phase, Phase::Synchronization(_)) {
            return;
        }
        let known = self.known(cx);
        for learner in self.learners.values_mut() {
            let Stage::AwaitingSnapshot { who, least } = learner.stage else { continue };
            if let Some(snapshot) = cx.newest_fuzzy_snapshot(least) {
                learner.start_snap(who, snapshot, true, known, cx);
            } else if who.uncuttable
                && let Some(snapshot) = cx.newest_exact_snapshot(None)
            {
                // It has no other way to this history, and knows what it gives up for it.
                learner.start_snap(who, snapshot, false, known, cx);
            }
        }
    }

    /// A leader in office writes a new snapshot where none serves. One that is not yet cannot, since
    /// nothing says what is committed; with a damaged log it would wait for ever.
    fn give_up_damaged(&mut self, cx: &ZabCx<'_>) {
        if matches!(self.phase, Phase::Synchronization(_))
            && cx.history.damaged_to().is_some()
            && self.wants_snapshot()
        {
            self.events.push_back(LeadingEvent::Damaged);
        }
    }

    /// Learners that a TRUNC restarts look for a leader again, and some of them cannot find this one
    /// while no quorum of servers says that it leads. A lost connection is made again within a tick;
    /// after that, waiting out initLimit would bring nobody back, and a new election does.
    fn give_up_deserted(&mut self, cx: &ZabCx<'_>) {
        let Phase::Synchronization(synchronization) = &mut self.phase else { return };
        let connected = self.learners.values().filter_map(Learner::voter);
        let acked = synchronization.acked.iter().copied();
        if cx.ensemble.has_quorum(connected.chain(acked).chain([cx.config.me])) {
            synchronization.deserted_until = None;
            return;
        }
        let until = synchronization.deserted_until.get_or_insert(cx.at.mono + cx.config.tick);
        if *until <= cx.at.mono {
            self.events.push_back(LeadingEvent::Abdicate("too few voters are connected"));
        }
    }

    /// NEWLEADER goes behind the last transaction that the learner lacks (B13: never before).
    fn inform_caught_up(&mut self, cx: &mut ZabCx<'_>) {
        let Some(epoch) = self.epoch() else { return };
        let known = self.known(cx);
        let head = cx.history.head();
        for learner in self.learners.values_mut() {
            let Stage::Syncing { feed, .. } = &learner.stage else { continue };
            if !feed.is_live(head) || feed.sent < known {
                continue;
            }
            let config = Some(Bytes::from(cx.ensemble.text()));
            learner.send(&LeaderPacket::NewLeader { epoch, config }, cx);
            // It had nothing to say while it was sent its history.
            learner.last_heard = cx.at.mono;
            let stage = core::mem::replace(&mut learner.stage, Stage::Arrived);
            if let Stage::Syncing { who, feed } = stage {
                // A Java learner holds back what is not committed until UPTODATE, then acks it.
                let covered = if who.vivarium { feed.sent } else { feed.sent.min(known) };
                learner.stage = Stage::Informed { who, feed, covered };
            }
        }
    }

    pub(super) fn on_ack(
        &mut self,
        link: LinkId,
        zxid: Zxid,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        let epoch = self.epoch();
        let learner = self.learners.get_mut(&link).ok_or("no such learner")?;
        if zxid.is_epoch_start() {
            // The ack of UPTODATE repeats that of NEWLEADER and counts for nothing (T32).
            if Some(zxid.epoch()) == epoch && matches!(learner.stage, Stage::Informed { .. }) {
                learner.acknowledge_history();
                self.count_history_ack(link, cx);
            }
            return Ok(());
        }
        let Some(feed) = learner.stage.feed() else { return Err("ACK before any proposal") };
        if zxid > feed.sent {
            return Err("ACK of a proposal that was not sent");
        }
        learner.acked = learner.acked.max(Some(zxid));
        Ok(())
    }

    fn count_history_ack(&mut self, link: LinkId, cx: &ZabCx<'_>) {
        let Phase::Synchronization(synchronization) = &mut self.phase else { return };
        if let Some(id) = self.learners.get(&link).and_then(Learner::voter)
            && cx.ensemble.is_voter(id)
        {
            synchronization.acked.insert(id);
        }
    }

    fn establish(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Synchronization(synchronization) = &mut self.phase else { return };
        let learners = &self.learners;
        let linked = |id: &ServerId| learners.values().any(|l| l.voter() == Some(*id));
        synchronization.acked.retain(linked);
        if !synchronization.is_established(cx) {
            return;
        }
        let (epoch, history_end) = (synchronization.epoch, synchronization.history_end);
        cx.out.note(Note::Established { epoch, history: cx.history.last() });
        cx.history.commit(history_end);
        self.phase = Phase::Broadcast(Broadcast::new(epoch, history_end));
        self.events.push_back(LeadingEvent::Established { epoch });
    }

    /// UPTODATE to everybody whose ack is here, once the epoch is established.
    fn admit_acked(&mut self, cx: &mut ZabCx<'_>) {
        if !matches!(self.phase, Phase::Broadcast(_)) {
            return;
        }
        for learner in self.learners.values_mut() {
            if !matches!(learner.stage, Stage::Acked { .. }) {
                continue;
            }
            learner.send(&LeaderPacket::UpToDate, cx);
            let stage = core::mem::replace(&mut learner.stage, Stage::Arrived);
            if let Stage::Acked { who, feed } = stage {
                learner.stage = Stage::Serving { who, feed };
            }
        }
    }

    /// Fills every feed up to its link's high-water mark.
    pub(super) fn pump(&mut self, cx: &mut ZabCx<'_>) {
        let known = self.known(cx);
        let mut broken = Vec::new();
        for learner in self.learners.values_mut() {
            let room = cx.config.link_high_water_bytes.saturating_sub(learner.unsent);
            let Some(feed) = learner.stage.feed() else { continue };
            match feed.pump(room, known, cx) {
                Ok(bytes) => learner.unsent += bytes,
                Err(why) => broken.push((learner.link, why)),
            }
        }
        for (link, broken) in broken {
            self.on_broken_feed(link, broken, cx);
        }
    }

    pub(super) fn read_for(
        &mut self,
        link: LinkId,
        read: ReadId,
        data: Result<ReadData, DiskFault>,
        cx: &mut ZabCx<'_>,
    ) {
        let known = self.known(cx);
        let Some(learner) = self.learners.get_mut(&link) else { return };
        let outcome = match &mut learner.stage {
            Stage::Searching { .. } => {
                learner.on_search_read(read, data, known, cx);
                Ok(())
            }
            Stage::Arrived
            | Stage::Greeted(_)
            | Stage::Invited(_)
            | Stage::Promised { .. }
            | Stage::AwaitingSnapshot { .. } => Ok(()),
            Stage::Syncing { feed, .. }
            | Stage::Informed { feed, .. }
            | Stage::Acked { feed, .. }
            | Stage::Serving { feed, .. } => feed.on_read(read, data, cx).map(|sent| {
                learner.unsent += sent;
            }),
        };
        if let Err(broken) = outcome {
            self.on_broken_feed(link, broken, cx);
        }
    }

    /// The learner starts over. Where the own log is damaged, it will get a snapshot that needs
    /// nothing of that part.
    fn on_broken_feed(&mut self, link: LinkId, broken: FeedBroken, cx: &mut ZabCx<'_>) {
        let damaged = match broken {
            FeedBroken::Purged => false,
            // Below an own snapshot no recovery would find the damage, and that snapshot serves.
            FeedBroken::LogDamaged => cx.newest_exact_snapshot(None).is_none(),
            FeedBroken::SnapshotDamaged(zxid) => {
                self.events.push_back(LeadingEvent::SnapshotDamaged { zxid });
                true
            }
        };
        // A leader in office can write a new snapshot instead; one that is not yet cannot, and would
        // fail the same learners for ever.
        if damaged && matches!(self.phase, Phase::Synchronization(_)) {
            self.events.push_back(LeadingEvent::Damaged);
        }
        self.drop_learner(link, CloseReason::Protocol(broken.why()), cx);
    }
}

impl Learner {
    pub(super) fn send(&mut self, packet: &LeaderPacket, cx: &mut ZabCx<'_>) {
        cx.counters.packets_out += 1;
        self.unsent += cx.out.send(self.link, |out| packet.encode(out));
    }

    fn acknowledge_history(&mut self) {
        let stage = core::mem::replace(&mut self.stage, Stage::Arrived);
        if let Stage::Informed { who, feed, covered } = stage {
            self.acked = self.acked.max(Some(covered));
            self.stage = Stage::Acked { who, feed };
        }
    }

    /// Looks on disk for the newest transaction that both histories hold.
    fn search(&mut self, who: Who, last: Zxid, known: Zxid, cx: &mut ZabCx<'_>) {
        if cx.history.damaged_to() > Some(last) {
            self.start_sync(who, CatchUp::Snap, None, known, cx);
            return;
        }
        let base = cx.history.window.base();
        match LogCursor::behind(cx.config, cx.history.log.files(), last, base) {
            Ok(cursor) => {
                self.stage = Stage::Searching { who, last, cursor };
                self.read_on(known, cx);
            }
            Err(_) => self.sync_below_log(who, last, known, cx),
        }
    }

    /// No log file reaches back to what the learner has. Where a snapshot does, the own history holds
    /// nothing in between: the log is whole from there on.
    fn sync_below_log(&mut self, who: Who, last: Zxid, known: Zxid, cx: &mut ZabCx<'_>) {
        let floor = cx.newest_exact_snapshot_up_to(last).filter(|floor| *floor < last);
        let about = LearnerHistory { last: Some(last), vivarium: who.vivarium };
        let next = floor.and_then(|floor| epoch_behind(floor, cx));
        let choice = match (floor, next) {
            (Some(_), Some(next)) => catch_up::go_on(about, last, floor, next),
            (None, _) | (_, None) => CatchUp::Snap,
        };
        let (CatchUp::Trunc { upto: floor } | CatchUp::Diff { from: floor }) = choice else {
            return self.start_sync(who, CatchUp::Snap, None, known, cx);
        };
        let (files, base) = (cx.history.log.files(), cx.history.window.base());
        let cursor = LogCursor::behind_snapshot(cx.config, files, floor, base);
        self.start_sync(who, choice, Some((cursor, Vec::new())), known, cx);
    }

    fn read_on(&mut self, known: Zxid, cx: &mut ZabCx<'_>) {
        let Stage::Searching { who, cursor, .. } = &mut self.stage else { return };
        match cursor.next_read(&mut cx.history.ids) {
            Some((_, action)) => cx.out.disk(action),
            None => {
                let who = *who;
                self.start_sync(who, CatchUp::Snap, None, known, cx);
            }
        }
    }

    fn on_search_read(
        &mut self,
        read: ReadId,
        data: Result<ReadData, DiskFault>,
        known: Zxid,
        cx: &mut ZabCx<'_>,
    ) {
        let Stage::Searching { who, last, cursor } = &mut self.stage else { return };
        if !cursor.awaits(read) {
            return;
        }
        let (who, last) = (*who, *last);
        let records = match data.map(|data| cursor.on_read(data)) {
            Ok(Ok(records)) => records,
            // A purge while the learner was away: what it lacks is in the snapshots.
            Ok(Err(CursorFault::Missing(_))) => {
                return self.start_sync(who, CatchUp::Snap, None, known, cx);
            }
            Ok(Err(CursorFault::Gap | CursorFault::Damaged { .. })) | Err(_) => {
                cx.history.distrust_log(cursor.next_file_starts());
                return self.start_sync(who, CatchUp::Snap, None, known, cx);
            }
        };
        if records.is_empty() && !cursor.is_ended() {
            self.read_on(known, cx);
            return;
        }
        let about = LearnerHistory { last: Some(last), vivarium: who.vivarium };
        let floor = cursor.floor();
        let behind = || epoch_behind(floor.unwrap_or_default(), cx);
        let next = records.first().map(|record| record.zxid.epoch()).or_else(behind);
        let choice = catch_up::go_on(about, last, floor, next.unwrap_or_default());
        let stage = core::mem::replace(&mut self.stage, Stage::Arrived);
        let Stage::Searching { cursor, .. } = stage else { return };
        self.start_sync(who, choice, Some((cursor, records)), known, cx);
    }

    fn start_sync(
        &mut self,
        who: Who,
        choice: CatchUp,
        disk: Option<(LogCursor, Vec<Record>)>,
        known: Zxid,
        cx: &mut ZabCx<'_>,
    ) {
        let (link, observer) = (self.link, who.observer);
        let id = who.id.unwrap_or(cx.config.me);
        let from_disk = disk.is_some();
        let feed_from = |from| match disk {
            Some(found) => Feed::from_disk(link, observer, from, known, found),
            None => Feed::from_window(link, observer, from, known),
        };
        let (packet, feed, how) = match choice {
            CatchUp::Diff { from } => {
                let how = if from_disk { SyncKind::DiffDisk } else { SyncKind::DiffWindow };
                cx.counters.diffs += 1;
                (LeaderPacket::Diff { upto: known }, feed_from(from), how)
            }
            CatchUp::Trunc { upto } if who.uncuttable => {
                return self.start_newest_snap(who, Some(upto), known, cx);
            }
            CatchUp::Trunc { upto } => {
                cx.counters.truncs += 1;
                (LeaderPacket::Trunc { upto }, feed_from(upto), SyncKind::Trunc)
            }
            CatchUp::Disk { .. } | CatchUp::Snap => {
                return self.start_newest_snap(who, self.least_snapshot(who), known, cx);
            }
        };
        self.send(&packet, cx);
        cx.out.note(Note::SyncChosen { learner: id, how });
        self.stage = Stage::Syncing { who, feed };
    }

    /// Never behind what the learner has: installing it removes the learner's log, and with it copies
    /// that may have been counted (P9).
    fn least_snapshot(&self, who: Who) -> Option<Zxid> {
        self.reported.filter(|_| who.vivarium)
    }

    fn start_newest_snap(
        &mut self,
        who: Who,
        least: Option<Zxid>,
        known: Zxid,
        cx: &mut ZabCx<'_>,
    ) {
        match cx.newest_exact_snapshot(least) {
            Some(snapshot) => self.start_snap(who, snapshot, false, known, cx),
            None => self.stage = Stage::AwaitingSnapshot { who, least },
        }
    }

    fn start_snap(
        &mut self,
        who: Who,
        snapshot: Zxid,
        fuzzy: bool,
        known: Zxid,
        cx: &mut ZabCx<'_>,
    ) {
        cx.counters.snaps += 1;
        let feed = Feed::from_snapshot(self.link, who.observer, snapshot, known);
        // Java takes every SNAP for a fuzzy one.
        self.send(&LeaderPacket::Snap { zxid: snapshot, fuzzy: fuzzy && who.vivarium }, cx);
        let learner = who.id.unwrap_or(cx.config.me);
        cx.out.note(Note::SyncChosen { learner, how: SyncKind::Snap });
        self.stage = Stage::Syncing { who, feed };
    }
}

/// The epoch of what the own history has behind `zxid`, which no log file of before reaches.
fn epoch_behind(zxid: Zxid, cx: &ZabCx<'_>) -> Option<Epoch> {
    let logged = cx.history.log.files().iter().map(|file| file.first).find(|first| *first > zxid);
    let kept = cx.history.window.next_after(zxid).map(|entry| entry.zxid);
    logged.into_iter().chain(kept).min().map(Zxid::epoch)
}
