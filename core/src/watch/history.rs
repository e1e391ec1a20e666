//! The newest changes, for clients that lost their connection and say what they have seen.

use alloc::collections::VecDeque;

use crate::ids::Zxid;
use crate::tree::TreeEvent;

/// What an event takes beside its path, about.
const EVENT_BYTES: usize = 128;

/// Changes of the tree in the order in which they happened, without a gap up to the newest one.
#[derive(Debug, Default)]
pub struct EventHistory {
    events: VecDeque<TreeEvent>,
    bytes: usize,
    /// Of what happened up to here, some may be forgotten.
    floor: Zxid,
    newest: Zxid,
}

impl EventHistory {
    /// The tree is at `applied`, and changes next: where that is not where this ends, all that came
    /// before is forgotten. A snapshot of the leader's moves a tree so.
    pub fn follow(&mut self, applied: Zxid) {
        if self.newest != applied {
            *self = Self { floor: applied, newest: applied, ..Self::default() };
        }
    }

    /// Takes in what one transaction changed, and forgets what is more than `limit` bytes.
    pub fn extend(
        &mut self,
        zxid: Zxid,
        events: impl IntoIterator<Item = TreeEvent>,
        limit: usize,
    ) {
        self.newest = zxid;
        for event in events {
            self.bytes += cost(&event);
            self.events.push_back(event);
        }
        while self.bytes > limit
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= cost(&oldest);
            self.floor = oldest.zxid;
        }
    }

    /// All that happened after `seen`, oldest first; `None` where some of it is forgotten.
    pub fn after(&self, seen: i64) -> Option<impl Iterator<Item = &TreeEvent>> {
        let first = self.events.partition_point(|event| event.zxid.to_wire() <= seen);
        (self.floor.to_wire() <= seen).then(|| self.events.range(first..))
    }
}

fn cost(event: &TreeEvent) -> usize {
    EVENT_BYTES + event.path.len()
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::wire::client::EventKind;

    fn event(zxid: u64) -> TreeEvent {
        let kind = EventKind::NodeDataChanged;
        TreeEvent { kind, path: "/a".into(), zxid: Zxid(zxid), acl: [].into() }
    }

    fn after(history: &EventHistory, seen: i64) -> Option<Vec<u64>> {
        history.after(seen).map(|events| events.map(|event| event.zxid.0).collect())
    }

    const ROOM: usize = 3 * (EVENT_BYTES + 2);

    #[test]
    fn it_tells_what_came_after_and_says_where_it_cannot() {
        let mut history = EventHistory::default();
        history.follow(Zxid(5));
        assert_eq!(after(&history, 5), Some([].into()));
        assert_eq!(after(&history, 4), None);
        history.extend(Zxid(6), [event(6)], ROOM);
        history.extend(Zxid(7), [], ROOM);
        history.extend(Zxid(8), [event(8), event(8)], ROOM);
        assert_eq!(after(&history, 5), Some([6, 8, 8].into()));
        assert_eq!(after(&history, 6), Some([8, 8].into()));
        assert_eq!(after(&history, 100), Some([].into()));
        history.extend(Zxid(9), [event(9)], ROOM);
        assert_eq!(after(&history, 5), None);
        assert_eq!(after(&history, 6), Some([8, 8, 9].into()));
        history.extend(Zxid(10), [event(10)], ROOM);
        assert_eq!(after(&history, 7), None, "half of a transaction is none");
        assert_eq!(after(&history, 8), Some([9, 10].into()));
        history.extend(Zxid(11), [event(11)], 0);
        assert_eq!(after(&history, 10), None);
        assert_eq!(after(&history, 11), Some([].into()));
    }

    #[test]
    fn a_tree_that_moved_by_other_means_is_followed_from_there() {
        let mut history = EventHistory::default();
        history.follow(Zxid(5));
        history.extend(Zxid(6), [event(6)], ROOM);
        history.follow(Zxid(6));
        assert_eq!(after(&history, 5), Some([6].into()));
        history.follow(Zxid(9));
        assert_eq!(after(&history, 8), None);
        assert_eq!(after(&history, 9), Some([].into()));
    }
}
