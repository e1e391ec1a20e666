//! Phase 2, learner's side: take the leader's history, make it durable, then say so.
//!
//! The order is the whole point: history on disk (and the snapshot sealed), then currentEpoch,
//! then the ACK of NEWLEADER. Every shortcut here has lost data elsewhere (B02 to B04, B28).

use alloc::boxed::Box;

use bytes::Bytes;

use crate::ids::{Epoch, Zxid};
use crate::server::note::Note;
use crate::storage::snapshot::{Fed, SnapshotDecoder, Source};
use crate::wire::quorum::{LeaderPacket, LearnerPacket};
use crate::zab::ZabCx;
use crate::zab::following::broadcast::Broadcast;
use crate::zab::following::{Following, FollowingEvent, Phase};
use crate::zab::history::Uncuttable;

#[derive(Debug)]
pub struct Synchronization {
    epoch: Epoch,
    /// The leader is a Vivarium server.
    vivarium: bool,
    step: Step,
    /// A SNAP of this zxid began: until the end of this phase, memory is not what the disk would
    /// recover.
    foreign: Option<Zxid>,
    /// That snapshot may hold parts of later transactions: a Java leader goes on while it walks its
    /// tree.
    fuzzy: bool,
    /// What the leader says is committed: takes effect at UPTODATE, since before it nothing is
    /// proven (the epoch may not be established).
    claimed: Zxid,
}

#[derive(Debug)]
enum Step {
    /// DIFF, TRUNC or SNAP comes next.
    AwaitingMode,
    /// The raw snapshot stream is being read.
    Snapshot { zxid: Zxid, decoder: Box<SnapshotDecoder> },
    /// The snapshot is being sealed on disk; packets wait.
    Sealing { zxid: Zxid },
    /// Proposals go to the log as they come.
    Receiving,
    /// NEWLEADER came: everything up to `history` must be durable before currentEpoch is written.
    Entering { history: Zxid },
    /// NEWLEADER is acknowledged; UPTODATE comes next. `acked`: newest acknowledged transaction.
    Acked { acked: Zxid },
}

impl Synchronization {
    pub(super) fn new(epoch: Epoch, vivarium: bool) -> Self {
        let (step, foreign) = (Step::AwaitingMode, None);
        Self { epoch, vivarium, step, foreign, fuzzy: !vivarium, claimed: Zxid::ZERO }
    }

    pub(super) fn holds_foreign_state(&self) -> bool {
        self.foreign.is_some()
    }
}

impl Following {
    pub(super) fn takes_raw_snapshot(&self) -> bool {
        matches!(
            &self.phase,
            Phase::Synchronization(Synchronization { step: Step::Snapshot { .. }, .. })
        )
    }

    pub(super) fn is_sealing(&self) -> bool {
        matches!(
            &self.phase,
            Phase::Synchronization(Synchronization { step: Step::Sealing { .. }, .. })
        )
    }

    /// Packets wait while a snapshot is being read or sealed.
    pub(super) fn is_paused(&self) -> bool {
        matches!(
            &self.phase,
            Phase::Synchronization(Synchronization {
                step: Step::Snapshot { .. } | Step::Sealing { .. },
                ..
            })
        )
    }

    pub(super) fn synchronize(
        &mut self,
        packet: LeaderPacket,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        let Phase::Synchronization(sync) = &mut self.phase else { return Ok(()) };
        match packet {
            LeaderPacket::Diff { upto } => sync.on_diff(upto),
            LeaderPacket::Trunc { upto } => {
                if !matches!(sync.step, Step::AwaitingMode) {
                    return Err("TRUNC out of turn");
                }
                self.phase = Phase::Over;
                self.events.push_back(FollowingEvent::Truncate { upto });
                Ok(())
            }
            LeaderPacket::Snap { zxid, fuzzy } => sync.on_snap(zxid, fuzzy, cx),
            LeaderPacket::Proposal { zxid, payload } => sync.on_proposal(zxid, payload, cx),
            LeaderPacket::Inform { zxid, payload } => {
                sync.on_proposal(zxid, payload, cx)?;
                sync.on_commit(zxid, cx)
            }
            LeaderPacket::Commit { zxid } => sync.on_commit(zxid, cx),
            LeaderPacket::NewLeader { epoch, config: _ } => sync.on_new_leader(epoch, cx),
            LeaderPacket::UpToDate => self.on_up_to_date(cx),
            // A learner does not answer PINGs before UPTODATE (PROTOCOL 3.7).
            LeaderPacket::Ping { .. } => Ok(()),
            LeaderPacket::LeaderInfo { .. } => Err("a second LEADERINFO"),
            LeaderPacket::CommitAndActivate { .. } | LeaderPacket::InformAndActivate { .. } => {
                Err("reconfiguration is not supported")
            }
            LeaderPacket::Revalidate { .. } | LeaderPacket::Sync => {
                Err("an answer to a question that was not asked")
            }
        }
    }

    /// Feeds the raw stream behind SNAP to the decoder.
    pub(super) fn read_snapshot(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Synchronization(sync) = &mut self.phase else { return };
        let Step::Snapshot { zxid, decoder } = &mut sync.step else { return };
        let Some(link) = &mut self.link else { return };
        let zxid = *zxid;
        match decoder.push(&link.buffer.take_rest()) {
            Ok(Fed::More) => return,
            Ok(Fed::Complete) => {}
            Err(_) => return self.object("the leader's snapshot is unreadable", cx),
        }
        let step = core::mem::replace(&mut sync.step, Step::Sealing { zxid });
        let Step::Snapshot { decoder, .. } = step else { return };
        match decoder.finish(zxid) {
            Ok(decoded) => {
                link.buffer.unread(decoded.leftover);
                sync.claimed = sync.claimed.max(zxid);
                let (database, fuzzy) = (Box::new(decoded.database), sync.fuzzy);
                let behind = sync.is_behind(zxid, cx);
                self.events.push_back(FollowingEvent::SnapReceived {
                    zxid,
                    database,
                    fuzzy,
                    behind,
                });
            }
            Err(_) => self.object("the leader's snapshot is unreadable", cx),
        }
    }

    /// The snapshot is sealed and everything older is gone from the disk.
    pub fn on_snapshot_installed(&mut self, cx: &mut ZabCx<'_>) {
        if let Phase::Synchronization(sync) = &mut self.phase
            && let Step::Sealing { zxid } = sync.step
        {
            cx.history.replace(zxid);
            sync.step = Step::Receiving;
            if let Some(link) = &mut self.link {
                link.last_heard = cx.at.mono;
            }
            self.read_packets(cx);
        }
    }

    pub(super) fn advance_synchronization(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Synchronization(sync) = &mut self.phase else { return };
        let epoch = sync.epoch;
        if let Step::Entering { history } = sync.step {
            let durable = cx.history.durable() >= history;
            if durable && cx.history.current() < epoch && !cx.history.is_entering(epoch) {
                cx.history.enter(epoch, cx.out);
            }
            if !durable || cx.history.current() != epoch {
                return;
            }
            cx.history.blank = false;
            sync.step = Step::Acked { acked: sync.claimed };
            cx.out.note(Note::AckedNewLeader { epoch, history: Some(history) });
            self.send(&LearnerPacket::Ack { zxid: Zxid::new(epoch, 0) }, cx);
        }
        self.acknowledge_early(cx);
    }

    /// Proposals that came before UPTODATE and that nobody called committed are acknowledged like
    /// any other, after the ACK of NEWLEADER (X2, B05).
    fn acknowledge_early(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Synchronization(sync) = &mut self.phase else { return };
        let Step::Acked { acked } = &mut sync.step else { return };
        if self.observer {
            return;
        }
        let (from, epoch, vivarium) = (*acked, sync.epoch, sync.vivarium);
        *acked = super::broadcast::durable_head(from, cx);
        self.send_acks(from, epoch, vivarium, cx);
    }

    fn on_up_to_date(&mut self, cx: &mut ZabCx<'_>) -> Result<(), &'static str> {
        let Phase::Synchronization(sync) = &self.phase else { return Ok(()) };
        let Step::Acked { acked } = sync.step else { return Err("UPTODATE out of turn") };
        let (epoch, vivarium, claimed) = (sync.epoch, sync.vivarium, sync.claimed);
        let head = cx.history.head();
        // An Apache leader that has nothing in memory names the start of an epoch in DIFF: that is no
        // transaction, but all that came before it.
        let names_epoch = claimed.is_epoch_start() && claimed.epoch() <= epoch;
        let claimed = if names_epoch { claimed.min(head) } else { claimed };
        if claimed > head {
            return Err("the leader calls committed what it did not send");
        }
        self.send(&LearnerPacket::Ack { zxid: Zxid::new(epoch, 0) }, cx);
        cx.history.commit(claimed);
        self.phase = Phase::Broadcast(Broadcast::new(epoch, vivarium, acked));
        self.events.push_back(FollowingEvent::Serve { epoch });
        Ok(())
    }
}

impl Synchronization {
    fn on_diff(&mut self, upto: Zxid) -> Result<(), &'static str> {
        if !matches!(self.step, Step::AwaitingMode) {
            return Err("DIFF out of turn");
        }
        self.claimed = upto;
        self.step = Step::Receiving;
        Ok(())
    }

    fn on_snap(&mut self, zxid: Zxid, fuzzy: bool, cx: &ZabCx<'_>) -> Result<(), &'static str> {
        if !matches!(self.step, Step::AwaitingMode) {
            return Err("SNAP out of turn");
        }
        let behind = |last: Zxid| last > zxid && (self.vivarium || last.epoch() == zxid.epoch());
        let asked_for = cx.history.uncuttable.is_some();
        if cx.history.last().is_some_and(behind) && !asked_for {
            // It would take back what this server may have acknowledged (P9). A Java leader has no
            // other word for a learner that logged what never was committed.
            return Err("SNAP behind the own history");
        }
        (self.foreign, self.fuzzy) = (Some(zxid), self.fuzzy || fuzzy);
        let decoder = Box::new(SnapshotDecoder::new(Source::Stream, cx.config));
        self.step = Step::Snapshot { zxid, decoder };
        Ok(())
    }

    /// Whether the own history may hold more of the leader's than a snapshot of `zxid`. A Java leader's
    /// holds all of it.
    fn is_behind(&self, zxid: Zxid, cx: &ZabCx<'_>) -> bool {
        let common = |cut: Uncuttable| (cut.epoch == self.epoch).then_some(cut.upto);
        let holds_all = cx.history.uncuttable.and_then(common).is_some_and(|upto| upto <= zxid);
        self.vivarium && !holds_all && cx.history.last().is_some_and(|last| zxid < last)
    }

    fn on_proposal(
        &mut self,
        zxid: Zxid,
        payload: Bytes,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        match self.step {
            Step::Receiving | Step::Entering { .. } | Step::Acked { .. } => {}
            Step::AwaitingMode | Step::Snapshot { .. } | Step::Sealing { .. } => {
                return Err("PROPOSAL out of turn");
            }
        }
        // An Apache leader notes what to send behind its snapshot, and goes on committing before it
        // looks which zxid the snapshot has: what it sends first may be in the snapshot.
        if self.foreign.is_some_and(|snap| zxid <= snap) {
            return Ok(());
        }
        super::broadcast::check_next(zxid, &payload, self.epoch, cx)?;
        cx.history.append(zxid, payload, self.epoch, cx.out);
        Ok(())
    }

    fn on_commit(&mut self, zxid: Zxid, cx: &ZabCx<'_>) -> Result<(), &'static str> {
        if zxid > cx.history.head() {
            return Err("COMMIT of what was not proposed");
        }
        self.claimed = self.claimed.max(zxid);
        Ok(())
    }

    fn on_new_leader(&mut self, epoch: Epoch, cx: &ZabCx<'_>) -> Result<(), &'static str> {
        if epoch != self.epoch || !matches!(self.step, Step::Receiving) {
            return Err("NEWLEADER out of turn");
        }
        self.step = Step::Entering { history: cx.history.head() };
        Ok(())
    }
}
