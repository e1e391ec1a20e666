//! Phase 3, learner's side: log, acknowledge when durable, deliver in order.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use crate::ids::{Epoch, SessionId, Zxid};
use crate::server::note::Note;
use crate::txn::TxnHeader;
use crate::wire::quorum::{LeaderPacket, LearnerPacket};
use crate::zab::ZabCx;
use crate::zab::following::{Following, FollowingEvent, Phase};

#[derive(Debug)]
pub(super) struct Broadcast {
    epoch: Epoch,
    vivarium: bool,
    /// Newest transaction that was acknowledged.
    acked: Zxid,
    /// Sessions that the leader was asked about, each as often as it still owes an answer.
    asked: BTreeMap<SessionId, u32>,
}

impl Broadcast {
    pub(super) fn new(epoch: Epoch, vivarium: bool, acked: Zxid) -> Self {
        Self { epoch, vivarium, acked, asked: BTreeMap::new() }
    }

    /// Whether this answer is the word for the newest connection that asked. That a session lives was
    /// said to an older one before the leader had heard what its client wrote elsewhere meanwhile: with
    /// that answer, such a write would be taken for a request of the newest. That it is over stays true.
    fn settles(&mut self, session: SessionId, valid: bool) -> bool {
        let Some(owed) = self.asked.get_mut(&session) else { return !valid };
        *owed -= 1;
        let last = *owed == 0;
        if last {
            self.asked.remove(&session);
        }
        last || !valid
    }
}

impl Following {
    pub(super) fn deliver(
        &mut self,
        packet: LeaderPacket,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        match packet {
            LeaderPacket::Proposal { zxid, payload } => self.on_proposal(zxid, payload, cx),
            LeaderPacket::Commit { zxid } => on_commit(zxid, cx),
            LeaderPacket::Inform { zxid, payload } => {
                if !self.observer {
                    return Err("INFORM to a follower");
                }
                self.on_proposal(zxid, payload, cx)?;
                on_commit(zxid, cx)
            }
            LeaderPacket::Ping { zxid } => {
                self.events.push_back(FollowingEvent::Pinged { zxid });
                Ok(())
            }
            LeaderPacket::Revalidate { session, valid } => {
                if let Phase::Broadcast(broadcast) = &mut self.phase
                    && broadcast.settles(session, valid)
                {
                    self.events.push_back(FollowingEvent::Revalidated { session, valid });
                }
                Ok(())
            }
            LeaderPacket::Sync => {
                self.events.push_back(FollowingEvent::Synced);
                Ok(())
            }
            // Apache repeats it to a learner that acknowledged twice.
            LeaderPacket::UpToDate => Ok(()),
            LeaderPacket::CommitAndActivate { .. } | LeaderPacket::InformAndActivate { .. } => {
                Err("reconfiguration is not supported")
            }
            LeaderPacket::LeaderInfo { .. }
            | LeaderPacket::NewLeader { .. }
            | LeaderPacket::Diff { .. }
            | LeaderPacket::Trunc { .. }
            | LeaderPacket::Snap { .. } => Err("a packet of the handshake after its end"),
        }
    }

    /// Asks the leader whether a session lives whose client came back.
    pub fn revalidate(&mut self, session: SessionId, timeout_ms: i32, cx: &mut ZabCx<'_>) {
        if let Phase::Broadcast(broadcast) = &mut self.phase {
            *broadcast.asked.entry(session).or_default() += 1;
        }
        self.send(&LearnerPacket::Revalidate { session, timeout_ms }, cx);
    }

    fn on_proposal(
        &mut self,
        zxid: Zxid,
        payload: Bytes,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        let Phase::Broadcast(broadcast) = &self.phase else { return Ok(()) };
        if !broadcast.vivarium && zxid == cx.history.head() {
            let acked = broadcast.acked >= zxid;
            self.repeat_ack(zxid, acked, cx);
            return Ok(());
        }
        check_next(zxid, &payload, broadcast.epoch, cx)?;
        cx.history.append(zxid, payload, broadcast.epoch, cx.out);
        cx.counters.proposals_received += 1;
        Ok(())
    }

    /// An Apache leader proposes a request that it could not read under the zxid before it (T2), and
    /// commits that zxid once, with the ACKs that come after. The first of the two is the transaction.
    fn repeat_ack(&mut self, zxid: Zxid, acked: bool, cx: &mut ZabCx<'_>) {
        if acked && !self.observer {
            self.send(&LearnerPacket::Ack { zxid }, cx);
        }
    }

    /// ACKs for what has become durable since the last ones.
    pub(super) fn acknowledge(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Broadcast(broadcast) = &mut self.phase else { return };
        if self.observer {
            return;
        }
        let (from, epoch, vivarium) = (broadcast.acked, broadcast.epoch, broadcast.vivarium);
        broadcast.acked = durable_head(from, cx);
        self.send_acks(from, epoch, vivarium, cx);
    }

    /// To a Java leader one ACK per zxid; between ours the newest stands for all before it.
    pub(super) fn send_acks(
        &mut self,
        from: Zxid,
        epoch: Epoch,
        vivarium: bool,
        cx: &mut ZabCx<'_>,
    ) {
        let upto = durable_head(from, cx);
        // The start of an epoch is no transaction: a SNAP of an Apache leader may be named by it.
        if upto <= from || upto.is_epoch_start() {
            return;
        }
        cx.out.note(Note::AckedTxn { zxid: upto, epoch });
        if vivarium {
            self.send(&LearnerPacket::Ack { zxid: upto }, cx);
            return;
        }
        let fresh = cx.history.window.after(from).map(|entry| entry.zxid);
        let zxids: alloc::vec::Vec<Zxid> = fresh.take_while(|zxid| *zxid <= upto).collect();
        for zxid in zxids {
            self.send(&LearnerPacket::Ack { zxid }, cx);
        }
    }
}

/// The newest durable transaction, or `from` where nothing newer is durable.
pub(super) fn durable_head(from: Zxid, cx: &ZabCx<'_>) -> Zxid {
    cx.history.durable().max(from)
}

/// COMMIT names the oldest transaction that is not committed yet (X4).
fn on_commit(zxid: Zxid, cx: &mut ZabCx<'_>) -> Result<(), &'static str> {
    // After a recovery the window may begin behind what is known to be committed.
    let forgotten = zxid > cx.history.committed() && zxid <= cx.history.window.base();
    let next = cx.history.window.next_after(cx.history.committed());
    if next.map(|entry| entry.zxid) != Some(zxid) && !forgotten {
        return Err("COMMIT out of order");
    }
    cx.history.commit(zxid);
    cx.counters.commits_received += 1;
    Ok(())
}

/// A proposal follows the newest one without a gap, or is the first of an epoch (PROTOCOL 3.5), and
/// its transaction says so too: recovery takes nothing else for a log.
pub(super) fn check_next(
    zxid: Zxid,
    payload: &[u8],
    epoch: Epoch,
    cx: &ZabCx<'_>,
) -> Result<(), &'static str> {
    let head = cx.history.head();
    let follows = if zxid.epoch() == head.epoch() {
        head.next() == Some(zxid)
    } else {
        zxid.epoch() > head.epoch() && zxid.counter() == 1
    };
    if !follows || zxid.epoch() > epoch {
        return Err("a gap in the proposals");
    }
    if TxnHeader::peek(payload).is_none_or(|header| header.zxid != zxid) {
        return Err("a proposal and its transaction differ in their zxid");
    }
    Ok(())
}
