//! One learner's connection, as its leader sees it. Apache: `LearnerHandler`.

use alloc::collections::VecDeque;

use crate::ids::{Epoch, LinkId, ServerId, SessionId, Zxid};
use crate::storage::log_cursor::LogCursor;
use crate::time::Mono;
use crate::wire::frame::PacketBuffer;
use crate::zab::leading::feed::Feed;

/// Who is at the other end, from FOLLOWERINFO or OBSERVERINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// `None`: an observer without an id.
    pub id: Option<ServerId>,
    pub observer: bool,
    pub vivarium: bool,
    pub blank: bool,
    /// It cannot cut its history: see [`VivariumInfo`](crate::wire::quorum::VivariumInfo).
    pub uncuttable: bool,
    pub accepted: Epoch,
}

/// How far the handshake of PROTOCOL 3.5 has come. Each stage holds what only it may use.
#[derive(Debug)]
pub(super) enum Stage {
    /// Connected; nothing heard.
    Arrived,
    /// Introduced itself; the new epoch is not decided or not durable yet.
    Greeted(Who),
    /// LEADERINFO is on its way.
    Invited(Who),
    /// ACKEPOCH is here; the quorum of promises is not complete yet.
    Promised { who: Who, last: Option<Zxid>, current: Option<Epoch> },
    /// The log on disk is searched for the newest common transaction.
    Searching { who: Who, last: Zxid, cursor: LogCursor },
    /// No exact snapshot exists yet to serve a SNAP from.
    AwaitingSnapshot { who: Who, least: Option<Zxid> },
    /// History is being sent; NEWLEADER follows when the feed meets the head.
    Syncing { who: Who, feed: Feed },
    /// NEWLEADER is on its way; an ACK of it covers everything up to `covered`.
    Informed { who: Who, feed: Feed, covered: Zxid },
    /// NEWLEADER was acknowledged; UPTODATE waits for a quorum of such acks.
    Acked { who: Who, feed: Feed },
    /// UPTODATE is on its way or there.
    Serving { who: Who, feed: Feed },
}

impl Stage {
    pub(super) fn who(&self) -> Option<Who> {
        match self {
            Self::Arrived => None,
            Self::Greeted(who) | Self::Invited(who) => Some(*who),
            Self::Promised { who, .. }
            | Self::Searching { who, .. }
            | Self::AwaitingSnapshot { who, .. }
            | Self::Syncing { who, .. }
            | Self::Informed { who, .. }
            | Self::Acked { who, .. }
            | Self::Serving { who, .. } => Some(*who),
        }
    }

    pub(super) fn feed(&mut self) -> Option<&mut Feed> {
        match self {
            Self::Syncing { feed, .. }
            | Self::Informed { feed, .. }
            | Self::Acked { feed, .. }
            | Self::Serving { feed, .. } => Some(feed),
            Self::Arrived
            | Self::Greeted(_)
            | Self::Invited(_)
            | Self::Promised { .. }
            | Self::Searching { .. }
            | Self::AwaitingSnapshot { .. } => None,
        }
    }

    /// Whether the learner acknowledged this leader's history.
    pub(super) fn is_synced(&self) -> bool {
        matches!(self, Self::Acked { .. } | Self::Serving { .. })
    }
}

/// A learner's part in phase 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// Not heard yet.
    None,
    Made {
        last: Zxid,
        current: Epoch,
    },
    /// It accepted this epoch from somebody else, or a greater one: one that is greater still it can
    /// promise.
    Bound,
    /// It has no history that counts.
    Unable,
}

#[derive(Debug)]
pub(super) struct Learner {
    pub link: LinkId,
    pub buffer: PacketBuffer,
    pub stage: Stage,
    /// Newest transaction that it reported in ACKEPOCH; `None` for a blank one.
    pub reported: Option<Zxid>,
    /// Bytes sent that the kernel has not taken yet.
    pub unsent: u64,
    pub last_heard: Mono,
    /// Newest transaction that this learner acknowledged as durable, on this link.
    pub acked: Option<Zxid>,
    /// A transaction that it owes an ACK for, and since when. Apache: `SyncLimitCheck`.
    pub lagging: Option<(Zxid, Mono)>,
    /// Rounds of PING that were sent after UPTODATE and not echoed yet.
    pub pings: VecDeque<u64>,
    /// Newest round that was echoed: evidence that the learner followed us after it was sent.
    pub confirmed_round: u64,
    /// Answers to its REVALIDATEs, in the order of the questions.
    pub held: VecDeque<HeldAnswer>,
}

/// Whether a session lives, said when the learner has been sent everything up to `bound`.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldAnswer {
    pub session: SessionId,
    pub valid: bool,
    pub bound: Zxid,
}

impl Learner {
    pub(super) fn new(link: LinkId, now: Mono) -> Self {
        Self {
            link,
            buffer: PacketBuffer::default(),
            stage: Stage::Arrived,
            reported: None,
            unsent: 0,
            last_heard: now,
            acked: None,
            lagging: None,
            pings: VecDeque::new(),
            confirmed_round: 0,
            held: VecDeque::new(),
        }
    }

    /// What this learner's answers mean for the quorum of promises of `epoch`.
    pub(super) fn promise(&self, epoch: Epoch) -> Promise {
        match &self.stage {
            Stage::Promised { who, last: Some(last), current: Some(current) } if !who.blank => {
                Promise::Made { last: *last, current: *current }
            }
            Stage::Promised { who, last: Some(_), current: None } if !who.blank => Promise::Bound,
            Stage::Promised { .. } => Promise::Unable,
            Stage::Greeted(who) | Stage::Invited(who) if who.blank => Promise::Unable,
            // It will refuse LEADERINFO, and go.
            Stage::Greeted(who) | Stage::Invited(who) if who.accepted > epoch => Promise::Bound,
            Stage::Arrived
            | Stage::Greeted(_)
            | Stage::Invited(_)
            | Stage::Searching { .. }
            | Stage::AwaitingSnapshot { .. }
            | Stage::Syncing { .. }
            | Stage::Informed { .. }
            | Stage::Acked { .. }
            | Stage::Serving { .. } => Promise::None,
        }
    }

    /// The voter behind the link, where it is one.
    pub(super) fn voter(&self) -> Option<ServerId> {
        self.stage.who().filter(|who| !who.observer).and_then(|who| who.id)
    }
}
