//! Follower and observer: phases 1 to 3 of ZAB. Apache: `Learner`, `Follower`, `Observer`.

mod broadcast;
mod discovery;
mod synchronization;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use discovery::{Dialing, Discovery};
pub use synchronization::Synchronization;

use crate::ids::{DialId, Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::server::action::{Close, CloseReason, RestartReason};
use crate::server::note::Phase as NotedPhase;
use crate::time::{Mono, Span};
use crate::tree::Database;
use crate::wire::frame::PacketBuffer;
use crate::wire::quorum::{ForwardedRequest, LeaderPacket, LearnerPacket, Touch};
use crate::zab::ZabCx;
use crate::zab::following::broadcast::Broadcast;

/// What following means for the rest of the server.
#[derive(Debug)]
pub enum FollowingEvent {
    /// The leader's snapshot is complete in memory; it must be sealed on disk, with everything
    /// older removed, before the handshake goes on: call `on_snapshot_installed` then.
    SnapReceived {
        zxid: Zxid,
        database: Box<Database>,
        /// It may hold parts of later transactions, which follow.
        fuzzy: bool,
        /// What the disk holds may be more of the leader's history.
        behind: bool,
    },
    /// The log must be cut behind `upto`, then the server restarts from disk.
    Truncate {
        upto: Zxid,
    },
    /// UPTODATE: clients may be served.
    Serve {
        epoch: Epoch,
    },
    /// The leader asks for a sign of life; answer with `pong`.
    Pinged {
        zxid: i64,
    },
    Revalidated {
        session: SessionId,
        valid: bool,
    },
    /// The oldest `sync` that was forwarded is answered.
    Synced,
    /// This leader is not followed any more; the text is for people.
    Lost {
        why: &'static str,
        /// UPTODATE had come.
        served: bool,
    },
    /// Memory and disk no longer agree: recover from disk.
    Restart(RestartReason),
}

#[derive(Debug)]
enum Phase {
    Dialing(Dialing),
    Discovery(Discovery),
    Synchronization(Synchronization),
    Broadcast(Broadcast),
    /// The role has ended; the server acts on the last event.
    Over,
}

/// A learner of one leader, from the dial to the end of the connection.
#[derive(Debug)]
pub struct Following {
    leader: ServerId,
    observer: bool,
    phase: Phase,
    link: Option<Link>,
    events: VecDeque<FollowingEvent>,
}

/// The connection to the leader.
#[derive(Debug)]
struct Link {
    id: LinkId,
    buffer: PacketBuffer,
    last_heard: Mono,
    held: bool,
}

/// Pause between two attempts to reach a leader. Apache: `leaderConnectDelayDuringRetryMs`.
const REDIAL: Span = Span::from_ms(100);

/// Attempts to reach a leader. Whoever waits for one that is dead cannot elect another with those who
/// look. Apache: `Learner.connectToLeader`.
const DIALS: u32 = 5;

impl Following {
    /// Calls the leader after `pause`. One that takes no connection for syncLimit is no leader: to wait
    /// for initLimit would only delay the next election.
    pub fn start(leader: ServerId, observer: bool, pause: Span, cx: &mut ZabCx<'_>) -> Self {
        let begin = cx.at.mono + pause;
        let limit = cx.sync_limit().min(cx.init_limit());
        let phase = Phase::Dialing(Dialing::new(begin, begin + limit));
        let mut following = Self { leader, observer, phase, link: None, events: VecDeque::new() };
        following.redial(cx);
        following
    }

    pub fn leader(&self) -> ServerId {
        self.leader
    }

    /// UPTODATE came on this connection.
    pub fn is_up_to_date(&self) -> bool {
        matches!(self.phase, Phase::Broadcast(_))
    }

    pub fn is_observer(&self) -> bool {
        self.observer
    }

    pub fn take_event(&mut self) -> Option<FollowingEvent> {
        self.events.pop_front()
    }

    pub fn link(&self) -> Option<LinkId> {
        self.link.as_ref().map(|link| link.id)
    }

    pub fn awaits_dial(&self, dial: DialId) -> bool {
        matches!(&self.phase, Phase::Dialing(dialing) if dialing.is(dial))
    }

    /// Whether there is no connection with the leader yet.
    pub fn calls(&self) -> bool {
        matches!(&self.phase, Phase::Dialing(_))
    }

    pub fn noted_phase(&self) -> NotedPhase {
        match (&self.phase, self.observer) {
            (Phase::Dialing(_) | Phase::Discovery(_), false) => NotedPhase::FollowingDiscovery,
            (Phase::Dialing(_) | Phase::Discovery(_), true) => NotedPhase::ObservingDiscovery,
            (Phase::Synchronization(_), false) => NotedPhase::FollowingSynchronization,
            (Phase::Synchronization(_), true) => NotedPhase::ObservingSynchronization,
            (Phase::Broadcast(_), false) => NotedPhase::FollowingBroadcast,
            (Phase::Broadcast(_), true) => NotedPhase::ObservingBroadcast,
            (Phase::Over, _) => NotedPhase::Looking,
        }
    }

    pub fn on_bytes(&mut self, link: LinkId, bytes: Bytes, cx: &mut ZabCx<'_>) {
        let Some(connection) = self.link.as_mut().filter(|known| known.id == link) else { return };
        connection.buffer.push(bytes);
        connection.last_heard = cx.at.mono;
        self.read_packets(cx);
    }

    /// Takes packets as long as the phase can use them; while a snapshot is being sealed they
    /// wait, and the link is held before they grow beyond its high-water mark.
    fn read_packets(&mut self, cx: &mut ZabCx<'_>) {
        loop {
            if self.takes_raw_snapshot() {
                self.read_snapshot(cx);
            }
            if matches!(self.phase, Phase::Over) || self.is_paused() || self.is_outrun(cx) {
                break;
            }
            let Some(link) = &mut self.link else { break };
            match link.buffer.next_leader_packet(cx.config.transaction_limit()) {
                Ok(Some(packet)) => {
                    cx.counters.packets_in += 1;
                    if let Err(why) = self.on_packet(packet, cx) {
                        self.object(why, cx);
                    }
                }
                Ok(None) => break,
                Err(_) => self.object("the leader sent an unreadable packet", cx),
            }
        }
        self.regulate(cx);
        self.advance(cx);
    }

    /// The own disk has more before it than memory should hold: the leader waits, or goes on
    /// without this learner.
    fn is_outrun(&self, cx: &ZabCx<'_>) -> bool {
        cx.history.log.backlog_bytes() as u64 > cx.config.link_limit_bytes
    }

    /// Reads no more while whole packets wait for something else. A packet that is not whole waits for
    /// its own rest, however long it is: who would not read on would wait for ever.
    fn regulate(&mut self, cx: &mut ZabCx<'_>) {
        use crate::server::action::{Action, LinkAction};
        let waits = self.is_paused() || self.is_outrun(cx);
        let Some(link) = &mut self.link else { return };
        let full = waits && link.buffer.buffered() as u64 > cx.config.link_high_water_bytes;
        if full != link.held {
            link.held = full;
            let id = link.id;
            let action =
                if full { LinkAction::Hold { link: id } } else { LinkAction::Resume { link: id } };
            cx.out.push(Action::Link(action));
        }
    }

    fn on_packet(&mut self, packet: LeaderPacket, cx: &mut ZabCx<'_>) -> Result<(), &'static str> {
        match &mut self.phase {
            Phase::Dialing(_) | Phase::Over => Ok(()),
            Phase::Discovery(_) => self.discover(packet, cx),
            Phase::Synchronization(_) => self.synchronize(packet, cx),
            Phase::Broadcast(_) => self.deliver(packet, cx),
        }
    }

    pub fn on_closed(&mut self, link: LinkId, cx: &mut ZabCx<'_>) {
        if self.link() == Some(link) {
            self.link = None;
            self.lose("the leader closed the connection", cx);
        }
    }

    /// The log or an epoch file reached the disk.
    pub fn on_durable(&mut self, cx: &mut ZabCx<'_>) {
        self.read_packets(cx);
    }

    pub fn deadline(&self, init_limit: Span, sync_limit: Span) -> Option<Mono> {
        let heard = self.link.as_ref().map(|link| link.last_heard);
        match &self.phase {
            Phase::Dialing(dialing) => Some(dialing.next()),
            Phase::Discovery(_) => heard.map(|at| at + init_limit),
            // The own disk is at work: the leader cannot help it.
            Phase::Synchronization(_) if self.is_sealing() => None,
            Phase::Synchronization(_) => heard.map(|at| at + init_limit),
            Phase::Broadcast(_) => heard.map(|at| at + sync_limit),
            Phase::Over => None,
        }
    }

    pub fn on_wake(&mut self, cx: &mut ZabCx<'_>) {
        if matches!(self.phase, Phase::Dialing(_)) {
            self.redial(cx);
            return;
        }
        let due = self.deadline(cx.init_limit(), cx.sync_limit());
        if due.is_some_and(|due| cx.at.mono >= due) {
            self.lose("the leader is silent", cx);
        }
    }

    /// Does everything that has become possible.
    fn advance(&mut self, cx: &mut ZabCx<'_>) {
        match &self.phase {
            Phase::Dialing(_) | Phase::Over => {}
            Phase::Discovery(_) => self.advance_discovery(cx),
            Phase::Synchronization(_) => self.advance_synchronization(cx),
            Phase::Broadcast(_) => self.acknowledge(cx),
        }
    }

    fn lose(&mut self, why: &'static str, cx: &mut ZabCx<'_>) {
        self.part(why, &CloseReason::RoleEnded, cx);
    }

    /// The leader said what this server does not accept.
    fn object(&mut self, why: &'static str, cx: &mut ZabCx<'_>) {
        self.part(why, &CloseReason::Protocol(why), cx);
    }

    fn part(&mut self, why: &'static str, close: &CloseReason, cx: &mut ZabCx<'_>) {
        let phase = core::mem::replace(&mut self.phase, Phase::Over);
        let served = matches!(phase, Phase::Broadcast(_));
        let event = match phase {
            Phase::Over => return,
            Phase::Synchronization(synchronization) if synchronization.holds_foreign_state() => {
                FollowingEvent::Restart(RestartReason::SnapIncomplete)
            }
            Phase::Dialing(_)
            | Phase::Discovery(_)
            | Phase::Synchronization(_)
            | Phase::Broadcast(_) => FollowingEvent::Lost { why, served },
        };
        self.close(close, cx);
        self.events.push_back(event);
    }

    /// Leaves the role: the connection to the leader goes.
    pub fn close(&mut self, why: &CloseReason, cx: &mut ZabCx<'_>) {
        if let Some(link) = self.link.take() {
            cx.out.close(link.id, Close::Abort, why.clone());
        }
    }

    fn send(&mut self, packet: &LearnerPacket, cx: &mut ZabCx<'_>) {
        if let Some(link) = &mut self.link {
            cx.counters.packets_out += 1;
            cx.out.send(link.id, |out| packet.encode(out));
        }
    }

    pub fn forward(&mut self, request: ForwardedRequest, cx: &mut ZabCx<'_>) {
        self.send(&LearnerPacket::Request(request), cx);
    }

    pub fn pong(&mut self, zxid: i64, touched: Vec<Touch>, cx: &mut ZabCx<'_>) {
        self.send(&LearnerPacket::Ping { zxid, touched }, cx);
    }
}
