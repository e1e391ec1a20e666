//! Sessions that ended while this server led.

use alloc::collections::{BTreeSet, VecDeque};

use crate::ids::SessionId;

/// Far more than close while a learner that is still followed lags.
const REMEMBERED: usize = 100_000;

/// The sessions that ended last. A learner that has not heard of an end yet may ask for the session as
/// for one of its own.
#[derive(Clone, Debug, Default)]
pub struct ClosedSessions {
    order: VecDeque<SessionId>,
    set: BTreeSet<SessionId>,
}

impl ClosedSessions {
    pub fn insert(&mut self, session: SessionId) {
        if !self.set.insert(session) {
            return;
        }
        self.order.push_back(session);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }

    pub fn contains(&self, session: SessionId) -> bool {
        self.set.contains(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut closed = ClosedSessions::default();
        (0..=REMEMBERED as i64).for_each(|id| closed.insert(SessionId(id)));
        closed.insert(SessionId(5));
        assert!(!closed.contains(SessionId(0)) && closed.contains(SessionId(1)));
        assert_eq!(closed.order.len(), closed.set.len());
    }
}
