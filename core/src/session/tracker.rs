//! Session expiry, on the leader and standalone. Apache: `SessionTrackerImpl`, `ExpiryQueue`.
//!
//! Session time is a clock of its own: a step adds what passed since the last one, but one tick at
//! most. A paused server therefore wakes to sessions that are as old as they were, and their clients
//! have time to show that they live. What was cut off is never made up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::config::Config;
use crate::ids::{LinkId, SessionId};
use crate::time::{Mono, Span};

/// The timeout that a client gets for the one it asked for.
pub fn negotiate(timeout_ms: i32, config: &Config) -> i32 {
    timeout_ms.min(config.max_session_timeout_ms).max(config.min_session_timeout_ms)
}

/// Who may use a session: the server that its client is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    Local,
    Learner(LinkId),
}

/// Why a request may not use its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionTrouble {
    Unknown,
    Closing,
    /// The session now belongs to another server (T22): the old connection is closed, unanswered.
    Moved,
}

/// Whether a use of a session counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touched {
    Touched,
    Unknown,
    Closing,
}

#[derive(Clone, Copy, Debug)]
struct Tracked {
    timeout_ms: i32,
    /// Session time of the last use.
    used: Span,
    state: State,
    /// `None` until somebody uses the session: a new leader does not know where clients are.
    owner: Option<Owner>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the bucket of this deadline.
    Open { deadline: Span },
    /// In no bucket: its end is on the way.
    Closing,
}

/// Knows every session, when each expires, and whose it is.
///
/// Invariant: `buckets` holds exactly the open sessions, each at its deadline.
#[derive(Clone, Debug)]
pub struct SessionTracker {
    tick: Span,
    clock: Span,
    last_step: Mono,
    sessions: BTreeMap<SessionId, Tracked>,
    buckets: BTreeMap<Span, BTreeSet<SessionId>>,
}

impl SessionTracker {
    pub fn new(tick: Span, now: Mono) -> Self {
        Self {
            tick: Span(tick.0.max(1)),
            clock: Span::ZERO,
            last_step: now,
            sessions: BTreeMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    /// Moves session time on; called first in every step.
    pub fn advance(&mut self, now: Mono) {
        self.clock += now.since(self.last_step).min(self.tick);
        self.last_step = self.last_step.max(now);
    }

    /// Starts with a full timeout. A session that is known keeps its owner unless a new one is
    /// named, and stays closing if it was.
    pub fn track(&mut self, session: SessionId, timeout_ms: i32, owner: Option<Owner>) {
        if self.touch_for(session, timeout_ms) == Touched::Unknown {
            let deadline = self.deadline_of(timeout_ms);
            self.buckets.entry(deadline).or_default().insert(session);
            let state = State::Open { deadline };
            let tracked = Tracked { timeout_ms, used: self.clock, state, owner };
            self.sessions.insert(session, tracked);
        } else if let (Some(tracked), Some(_)) = (self.sessions.get_mut(&session), owner) {
            tracked.owner = owner;
        }
    }

    /// A new leader gives every session that it inherits a full timeout.
    pub fn track_all(&mut self, sessions: &BTreeMap<SessionId, i32>) {
        for (&session, &timeout_ms) in sessions {
            self.track(session, timeout_ms, None);
        }
    }

    /// Counts a use, with the timeout that the session has.
    pub fn touch(&mut self, session: SessionId) -> Touched {
        match self.sessions.get(&session) {
            Some(tracked) => self.touch_for(session, tracked.timeout_ms),
            None => Touched::Unknown,
        }
    }

    /// Counts a use that carries the timeout: of a learner's client, or of one that reconnects and
    /// may have negotiated another one.
    pub fn touch_for(&mut self, session: SessionId, timeout_ms: i32) -> Touched {
        let deadline = self.deadline_of(timeout_ms);
        let Some(tracked) = self.sessions.get_mut(&session) else {
            return Touched::Unknown;
        };
        let State::Open { deadline: before } = tracked.state else {
            return Touched::Closing;
        };
        *tracked = Tracked {
            timeout_ms,
            used: self.clock,
            state: State::Open { deadline },
            owner: tracked.owner,
        };
        if deadline != before {
            self.leave_bucket(session, before);
            self.buckets.entry(deadline).or_default().insert(session);
        }
        Touched::Touched
    }

    /// Counts a use that a server tells of, perhaps late: the timeout is what the client has negotiated where
    /// it is now, and a server that it has left knows only an older one.
    pub fn touch_by(&mut self, session: SessionId, timeout_ms: i32, user: Owner) -> Touched {
        match self.sessions.get(&session) {
            Some(Tracked { owner: Some(owner), timeout_ms, .. }) if *owner != user => {
                self.touch_for(session, *timeout_ms)
            }
            Some(_) => self.touch_for(session, timeout_ms),
            None => Touched::Unknown,
        }
    }

    /// Whether `owner` may use the session. A session that nobody used yet becomes its user's.
    pub fn check(&mut self, session: SessionId, owner: Owner) -> Result<(), SessionTrouble> {
        let tracked = self.sessions.get_mut(&session).ok_or(SessionTrouble::Unknown)?;
        if tracked.state == State::Closing {
            return Err(SessionTrouble::Closing);
        }
        if *tracked.owner.get_or_insert(owner) == owner {
            Ok(())
        } else {
            Err(SessionTrouble::Moved)
        }
    }

    /// The session's client attaches to this server, or to that learner. A longer timeout, that was agreed on
    /// elsewhere, holds until the new owner tells of a use: the word of a learner may come late, when the client
    /// is where it was before, and nobody may end its session early.
    pub fn move_to(&mut self, session: SessionId, timeout_ms: i32, owner: Owner) -> Touched {
        let longest_ms = self.timeout_ms(session).map_or(timeout_ms, |known| known.max(timeout_ms));
        let touched = self.touch_for(session, longest_ms);
        if let (Touched::Touched, Some(tracked)) = (touched, self.sessions.get_mut(&session)) {
            tracked.owner = Some(owner);
        }
        touched
    }

    /// A close is on the way: no request may use the session any more, and it cannot expire.
    pub fn set_closing(&mut self, session: SessionId) {
        let Some(tracked) = self.sessions.get_mut(&session) else {
            return;
        };
        if let State::Open { deadline } = tracked.state {
            tracked.state = State::Closing;
            self.leave_bucket(session, deadline);
        }
    }

    /// Sessions whose time has run out, in id order; each is reported once and closing from here on.
    pub fn expired(&mut self) -> Vec<SessionId> {
        let mut due = BTreeSet::new();
        while let Some(bucket) =
            self.buckets.first_entry().filter(|first| *first.key() <= self.clock)
        {
            due.extend(bucket.remove());
        }
        for session in &due {
            let tracked = self.sessions.get_mut(session).expect("a bucket holds tracked sessions");
            tracked.state = State::Closing;
        }
        due.into_iter().collect()
    }

    /// Forgets a session whose end is applied.
    pub fn remove(&mut self, session: SessionId) {
        self.set_closing(session);
        self.sessions.remove(&session);
    }

    /// When to step next: at the first bucket, and never later than half a tick after the last
    /// step, so that a host that wakes us somewhat late does not slow session time.
    pub fn deadline(&self) -> Option<Mono> {
        let (first, _) = self.buckets.first_key_value()?;
        let until_first = Span(first.0.saturating_sub(self.clock.0));
        let half_tick = Span((self.tick.0 / 2).max(1));
        Some(self.last_step + until_first.min(half_tick))
    }

    /// Session time since the last use.
    pub fn idle_ms(&self, session: SessionId) -> Option<u64> {
        let tracked = self.sessions.get(&session)?;
        Some(Span(self.clock.0.saturating_sub(tracked.used.0)).as_ms())
    }

    pub fn timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).map(|tracked| tracked.timeout_ms)
    }

    pub fn is_closing(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|tracked| tracked.state == State::Closing)
    }

    /// Open sessions that expire together, soonest first, each with the session time that is left.
    pub fn expiry_sets(&self) -> impl ExactSizeIterator<Item = (Span, &BTreeSet<SessionId>)> {
        let left = |deadline: &Span| Span(deadline.0.saturating_sub(self.clock.0));
        self.buckets.iter().map(move |(deadline, sessions)| (left(deadline), sessions))
    }

    /// Tracked sessions, closing ones included.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The end of the tick in which the timeout runs out, so that few buckets hold all sessions.
    fn deadline_of(&self, timeout_ms: i32) -> Span {
        let timeout = Span::from_ms(u64::from(timeout_ms.max(0).unsigned_abs()));
        let ticks = (self.clock + timeout).0 / self.tick.0 + 1;
        self.tick.times(ticks)
    }

    fn leave_bucket(&mut self, session: SessionId, deadline: Span) {
        let bucket = self.buckets.get_mut(&deadline).expect("an open session is in its bucket");
        bucket.remove(&session);
        if bucket.is_empty() {
            self.buckets.remove(&deadline);
        }
    }
}

#[cfg(test)]
mod tests;
