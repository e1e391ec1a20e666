//! What a learner tells its leader with the next PING. Apache: `LearnerSessionTracker.touchTable`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::SessionId;
use crate::wire::quorum::Touch;

/// Sessions that this learner's clients used since the last PING, with their timeouts.
#[derive(Clone, Debug, Default)]
pub struct TouchTable {
    touched: BTreeMap<SessionId, i32>,
}

impl TouchTable {
    pub fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        self.touched.insert(session, timeout_ms);
    }

    /// The session is gone: a touch of it would only be ignored.
    pub fn remove(&mut self, session: SessionId) {
        self.touched.remove(&session);
    }

    /// Everything since the last call, in id order.
    pub fn take(&mut self) -> Vec<Touch> {
        core::mem::take(&mut self.touched)
            .into_iter()
            .map(|(session, timeout_ms)| Touch { session, timeout_ms })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{SessionId, Touch, TouchTable};

    #[test]
    fn a_touch_is_told_once_with_its_last_timeout() {
        let mut table = TouchTable::default();
        table.touch(SessionId(9), 1000);
        table.touch(SessionId(-4), 2000);
        table.touch(SessionId(9), 3000);
        table.touch(SessionId(7), 1);
        table.remove(SessionId(7));
        let expected = vec![
            Touch { session: SessionId(-4), timeout_ms: 2000 },
            Touch { session: SessionId(9), timeout_ms: 3000 },
        ];
        assert_eq!(table.take(), expected);
        assert_eq!(table.take(), []);
    }
}
