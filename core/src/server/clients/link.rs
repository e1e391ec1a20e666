//! One client connection: its bytes, its phase, its credit.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::acl::Id;
use crate::admin::traffic::LinkTraffic;
use crate::config::{AccessRules, Config};
use crate::ids::{SessionId, Xid};
use crate::request::auth::authenticate;
use crate::request::change::Standing;
use crate::request::order::Order;
use crate::server::input::Far;
use crate::time::{Mono, Span};
use crate::wire::frame::FrameBuffer;

/// Bytes of a user and a password.
const LONGEST_PROOF: usize = 4096;
/// Of one connection, its address among them.
pub(super) const MOST_IDENTITIES: usize = 64;

/// What a connection is known by before it presents anything.
fn address(far: &Far) -> Id {
    Id { scheme: "ip".into(), id: far.ip_unabridged() }
}

/// What the connection is for.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing is known yet: a four-letter word or a ConnectRequest will come.
    Greeting {
        word_possible: bool,
    },
    /// A word waits for its answer, which ends the connection.
    Asked,
    /// A new session is on its way through the replicated log.
    Creating(Handshake),
    /// The leader is asked whether the session lives.
    Revalidating {
        session: SessionId,
        handshake: Handshake,
    },
    Live(Live),
}

/// What a ConnectResponse repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake {
    pub(super) timeout_ms: i32,
    pub(super) read_only: Option<bool>,
    /// `None` until the server has named a new session.
    pub(super) session: Option<SessionId>,
}

/// A session attached to this connection.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) session: SessionId,
    pub(super) timeout_ms: i32,
    pub(super) standing: Standing,
    pub(super) order: Order,
    /// Set behind the request that ends the connection: what follows it is ignored.
    pub(super) last: Option<Last>,
    /// When the session was last reported as used; once per moment is enough.
    pub(super) touched: Option<Mono>,
}

/// The request that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    CloseSession(Xid),
    CloseLocal,
    Unknown,
    AuthFailed,
    Stranger,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) far: Far,
    pub(super) since: Mono,
    pub(super) traffic: LinkTraffic,
    /// Identities for ACL checks.
    pub(super) ids: Arc<[Id]>,
    pub(super) phase: Phase,
    /// The zxid that the client had been shown when it came: at most the start of an epoch ahead of
    /// what is applied here, and of the same state.
    pub(super) shown: i64,
    pub(super) frames: FrameBuffer,
    /// Sent by us, not yet taken by the kernel.
    pub(super) unsent: u64,
    /// `unsent` went over the high-water mark and is not yet below half of it.
    pub(super) choked: bool,
    /// The host was told not to read.
    pub(super) held: bool,
    /// When the last whole frame arrived, or the kernel last took a reply.
    pub(super) heard: Mono,
    /// The entry of this link in the queue of silence limits.
    pub(super) armed: Mono,
    greeting_limit: Span,
}

impl Link {
    pub(super) fn new(far: Far, now: Mono, config: &Config) -> Self {
        let ids = Arc::new([address(&far)]);
        Self {
            far,
            since: now,
            traffic: LinkTraffic::default(),
            ids,
            phase: Phase::Greeting { word_possible: true },
            shown: 0,
            frames: FrameBuffer::new(),
            unsent: 0,
            choked: false,
            held: false,
            heard: now,
            armed: now + config.greeting_limit,
            greeting_limit: config.greeting_limit,
        }
    }

    /// Takes what the client presents. False where that proves nothing, or is too much to carry
    /// along with each of its writes.
    pub(super) fn authenticate(&mut self, rules: &AccessRules, scheme: &str, proof: &[u8]) -> bool {
        if proof.len() > LONGEST_PROOF {
            return false;
        }
        let shown = authenticate(rules, scheme, proof, &address(&self.far));
        let new: Vec<Id> = shown.iter().filter(|id| !self.ids.contains(id)).cloned().collect();
        if shown.is_empty() || self.ids.len() + new.len() > MOST_IDENTITIES {
            return false;
        }
        if !new.is_empty() {
            self.ids = self.ids.iter().cloned().chain(new).collect();
        }
        true
    }

    pub(super) fn live(&self) -> Option<&Live> {
        match &self.phase {
            Phase::Live(live) => Some(live),
            Phase::Greeting { .. }
            | Phase::Asked
            | Phase::Creating(_)
            | Phase::Revalidating { .. } => None,
        }
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Live> {
        match &mut self.phase {
            Phase::Live(live) => Some(live),
            Phase::Greeting { .. }
            | Phase::Asked
            | Phase::Creating(_)
            | Phase::Revalidating { .. } => None,
        }
    }

    /// The session that this link has, or is about to get.
    pub(super) fn session(&self) -> Option<SessionId> {
        match &self.phase {
            Phase::Live(live) => Some(live.session),
            Phase::Revalidating { session, .. } => Some(*session),
            Phase::Creating(handshake) => handshake.session,
            Phase::Greeting { .. } | Phase::Asked => None,
        }
    }

    /// Requests read from this link and not yet answered.
    pub(super) fn outstanding(&self) -> usize {
        self.live().map_or(0, |live| live.order.len())
    }

    /// When silence ends the connection.
    pub(super) fn silent_at(&self) -> Mono {
        let limit = match &self.phase {
            Phase::Greeting { .. } | Phase::Asked => self.greeting_limit,
            Phase::Creating(handshake) | Phase::Revalidating { handshake, .. } => {
                timeout(handshake.timeout_ms)
            }
            Phase::Live(live) => timeout(live.timeout_ms),
        };
        self.heard + limit
    }

    /// While the replicated side decides about the session, nothing else is read.
    pub(super) fn in_handshake(&self) -> bool {
        matches!(self.phase, Phase::Creating(_) | Phase::Revalidating { .. })
    }

    pub(super) fn add_unsent(&mut self, bytes: u64, config: &Config) {
        self.unsent += bytes;
        self.choked |= self.unsent > config.link_high_water_bytes;
    }

    /// True where the link may go on that had too much unsent.
    pub(super) fn take_sent(&mut self, bytes: u64, config: &Config) -> bool {
        self.unsent = self.unsent.saturating_sub(bytes);
        let freed = self.choked && self.unsent <= config.link_high_water_bytes / 2;
        if freed {
            self.choked = false;
        }
        freed
    }
}

fn timeout(ms: i32) -> Span {
    Span::from_ms(u64::try_from(ms).unwrap_or(0))
}
