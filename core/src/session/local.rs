//! Sessions that this server alone knows: nothing about them is replicated, and they end with its
//! role. Apache: `LocalSessionTracker`, `UpgradeableSessionTracker`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::SessionTracker;
use super::tracker::Touched;
use crate::ids::{Epoch, SessionId};
use crate::time::{Mono, Span};

/// The local sessions of one server, and those that are about to be global.
#[derive(Clone, Debug)]
pub struct LocalSessions {
    tracker: SessionTracker,
    /// Their createSession is on its way, asked for in that epoch. Kept beyond the role that asked for
    /// it: whoever leads next may commit it.
    upgrading: BTreeMap<SessionId, Epoch>,
}

/// A session whose time has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    pub session: SessionId,
    /// Of session time.
    pub idle_ms: u64,
    pub timeout_ms: i32,
}

impl LocalSessions {
    pub fn new(tick: Span, now: Mono) -> Self {
        Self { tracker: SessionTracker::new(tick, now), upgrading: BTreeMap::new() }
    }

    /// Ends all sessions: this server left the role in which it gave them.
    pub fn forget(&mut self, tick: Span, now: Mono) {
        self.tracker = SessionTracker::new(tick, now);
    }

    /// Moves session time on; called first in every step.
    pub fn advance(&mut self, now: Mono) {
        self.tracker.advance(now);
    }

    pub fn open(&mut self, session: SessionId, timeout_ms: i32) {
        self.tracker.track(session, timeout_ms, None);
    }

    /// Whether it lives here, and here alone.
    pub fn contains(&self, session: SessionId) -> bool {
        self.tracker.timeout_ms(session).is_some()
    }

    /// Counts a use. False where the session is not a local one.
    pub fn touch(&mut self, session: SessionId, timeout_ms: i32) -> bool {
        self.tracker.touch_for(session, timeout_ms) == Touched::Touched
    }

    /// From here on it is the ensemble's, with this timeout. `None` where it is not a local one.
    pub fn upgrade(&mut self, session: SessionId, epoch: Epoch) -> Option<i32> {
        let timeout_ms = self.tracker.timeout_ms(session)?;
        self.tracker.remove(session);
        self.upgrading.insert(session, epoch);
        Some(timeout_ms)
    }

    /// Whether nobody here knows yet what became of its createSession.
    pub fn is_upgrading(&self, session: SessionId) -> bool {
        self.upgrading.contains_key(&session)
    }

    /// Its createSession is applied.
    pub fn upgraded(&mut self, session: SessionId) {
        self.upgrading.remove(&session);
    }

    /// All that was ever proposed before `epoch` and can still be committed is in the tree. What was
    /// asked for earlier and did not come is lost: the leader stopped, was deposed, or never heard of
    /// it. Within one epoch it may still come, by way of a connection that was given up since.
    pub fn entered(&mut self, epoch: Epoch) {
        self.upgrading.retain(|_, asked| *asked >= epoch);
    }

    /// True where it was there.
    pub fn close(&mut self, session: SessionId) -> bool {
        let known = self.contains(session);
        self.tracker.remove(session);
        known
    }

    /// Takes out all whose time has run out, in id order.
    pub fn expired(&mut self) -> Vec<Expired> {
        let due = self.tracker.expired().into_iter();
        due.map(|session| {
            let idle_ms = self.tracker.idle_ms(session).unwrap_or(0);
            let timeout_ms = self.tracker.timeout_ms(session).unwrap_or(0);
            self.tracker.remove(session);
            Expired { session, idle_ms, timeout_ms }
        })
        .collect()
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.tracker.deadline()
    }

    /// See [`SessionTracker::expiry_sets`].
    pub fn expiry_sets(&self) -> impl ExactSizeIterator<Item = (Span, &BTreeSet<SessionId>)> {
        self.tracker.expiry_sets()
    }

    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Span = Span::from_ms(100);

    fn at(ms: u64) -> Mono {
        Mono::default() + Span::from_ms(ms)
    }

    fn two() -> LocalSessions {
        let mut local = LocalSessions::new(TICK, at(0));
        local.open(SessionId(1), 300);
        local.open(SessionId(2), 300);
        local
    }

    /// Session time goes a tick at most in a step.
    fn pass(local: &mut LocalSessions, from_ms: u64, to_ms: u64) {
        (from_ms..=to_ms).step_by(50).for_each(|ms| local.advance(at(ms)));
    }

    #[test]
    fn a_session_that_is_not_used_expires_once() {
        let mut local = two();
        pass(&mut local, 0, 200);
        assert!(local.touch(SessionId(2), 300));
        pass(&mut local, 200, 450);
        let expired = local.expired();
        assert_eq!(expired.len(), 1, "{expired:?}");
        assert_eq!((expired[0].session, expired[0].timeout_ms), (SessionId(1), 300));
        assert!(expired[0].idle_ms >= 300, "{expired:?}");
        assert_eq!(local.expired(), []);
        assert!(!local.contains(SessionId(1)) && local.contains(SessionId(2)));
        assert!(!local.touch(SessionId(1), 300), "what has expired stays so");
    }

    #[test]
    fn an_upgrade_happens_once_and_ends_expiry_here() {
        let mut local = two();
        assert_eq!(local.upgrade(SessionId(1), Epoch(1)), Some(300));
        assert_eq!(local.upgrade(SessionId(1), Epoch(1)), None);
        assert!(local.is_upgrading(SessionId(1)) && !local.contains(SessionId(1)));
        assert!(!local.touch(SessionId(1), 300));
        pass(&mut local, 0, 1000);
        assert_eq!(local.expired().len(), 1, "of the other one");
        local.upgraded(SessionId(1));
        assert!(!local.is_upgrading(SessionId(1)));
    }

    #[test]
    fn leaving_a_role_ends_sessions_but_no_upgrade() {
        let mut local = two();
        local.upgrade(SessionId(1), Epoch(1));
        local.forget(TICK, at(10));
        assert!(local.is_empty() && local.is_upgrading(SessionId(1)));
        assert!(!local.close(SessionId(2)));
        assert_eq!(local.deadline(), None);
    }

    #[test]
    fn an_upgrade_that_is_lost_ends_with_the_next_epoch() {
        let mut local = two();
        local.upgrade(SessionId(1), Epoch(1));
        local.entered(Epoch(1));
        assert!(local.is_upgrading(SessionId(1)), "the same leader may have it on its way");
        local.upgrade(SessionId(2), Epoch(2));
        local.entered(Epoch(2));
        assert!(!local.is_upgrading(SessionId(1)) && local.is_upgrading(SessionId(2)));
    }

    #[test]
    fn lost_upgrades_do_not_add_up() {
        let mut local = two();
        for epoch in 1..=1000 {
            let session = SessionId(i64::from(epoch));
            local.open(session, 300);
            local.upgrade(session, Epoch(epoch));
            local.forget(TICK, at(u64::from(epoch)));
            local.entered(Epoch(epoch + 1));
        }
        assert!(local.upgrading.is_empty(), "{:?}", local.upgrading);
    }
}
