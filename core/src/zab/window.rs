//! The newest transactions of the own history, in memory: what DIFF is served from.
//! Apache: `committedLog` and `outstandingProposals`, here one queue with a commit mark outside.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::ids::Zxid;
use crate::invariant;

/// One accepted transaction; its payload is opaque to ZAB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub zxid: Zxid,
    pub payload: Bytes,
}

/// A contiguous run of the history that ends at its head.
///
/// Invariant: zxids rise, and no transaction of the history lies between `base` and the first one.
#[derive(Clone, Debug)]
pub struct Window {
    base: Zxid,
    entries: VecDeque<Entry>,
}

impl Window {
    pub fn new(base: Zxid) -> Self {
        Self { base, entries: VecDeque::new() }
    }

    /// The zxid of the history just before the first entry.
    pub fn base(&self) -> Zxid {
        self.base
    }

    /// The newest zxid, which is `base` while the window is empty.
    pub fn head(&self) -> Zxid {
        self.entries.back().map_or(self.base, |entry| entry.zxid)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn push(&mut self, entry: Entry) {
        invariant!(entry.zxid > self.head(), "zxids of a history rise");
        self.entries.push_back(entry);
    }

    /// Recovery of Apache's logs meets equal neighbours (T2): the later record replaces nothing
    /// in memory, since both are behind the commit mark by the time anybody asks.
    pub fn push_recovered(&mut self, entry: Entry) {
        if entry.zxid > self.head() {
            self.entries.push_back(entry);
        }
    }

    /// Index of the first entry behind `zxid`.
    fn index_after(&self, zxid: Zxid) -> usize {
        self.entries.partition_point(|entry| entry.zxid <= zxid)
    }

    /// Entries behind `zxid`, oldest first.
    pub fn after(&self, zxid: Zxid) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.index_after(zxid)..)
    }

    /// The entry that follows `zxid`.
    pub fn next_after(&self, zxid: Zxid) -> Option<&Entry> {
        // A feed that has sent everything asks at every step.
        if zxid >= self.head() {
            return None;
        }
        self.entries.get(self.index_after(zxid))
    }

    /// Whether `zxid` is part of the history, as far as the window reaches.
    pub fn contains(&self, zxid: Zxid) -> bool {
        zxid == self.base || self.floor(zxid) == Some(zxid)
    }

    /// The largest zxid of the history that is not above `zxid`; `None` below the window.
    pub fn floor(&self, zxid: Zxid) -> Option<Zxid> {
        if zxid < self.base {
            return None;
        }
        match self.index_after(zxid) {
            0 => Some(self.base),
            index => self.entries.get(index - 1).map(|entry| entry.zxid),
        }
    }

    /// Forgets the oldest entries that are not above `upto`, but keeps `keep` of them.
    pub fn trim(&mut self, upto: Zxid, keep: usize) {
        let settled = self.index_after(upto);
        for _ in keep..settled {
            let Some(gone) = self.entries.pop_front() else { return };
            self.base = gone.zxid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(base: u64, zxids: &[u64]) -> Window {
        let mut window = Window::new(Zxid(base));
        for &zxid in zxids {
            window.push(Entry { zxid: Zxid(zxid), payload: Bytes::new() });
        }
        window
    }

    #[test]
    fn floor_finds_the_common_point_of_two_histories() {
        let window = window(10, &[11, 12, 20]);
        let table = [(9, None), (10, Some(10)), (12, Some(12)), (15, Some(12)), (21, Some(20))];
        for (asked, found) in table {
            assert_eq!(window.floor(Zxid(asked)), found.map(Zxid), "floor of {asked}");
        }
    }

    #[test]
    fn trimming_moves_the_base_and_keeps_what_is_not_settled() {
        let mut window = window(0, &[1, 2, 3, 4]);
        window.trim(Zxid(3), 1);
        assert_eq!((window.base(), window.len(), window.head()), (Zxid(2), 2, Zxid(4)));
        assert!(window.contains(Zxid(2)), "the base is part of the history");
        assert!(!window.contains(Zxid(1)));
    }
}
