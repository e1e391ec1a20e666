//! A server's history, told by how far it agrees with the committed sequence.

use std::collections::VecDeque;

use vivarium_core::ids::Zxid;

/// One transaction of a history. `prefix` fingerprints everything up to and including it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub zxid: Zxid,
    pub hash: u64,
    pub prefix: u64,
}

impl Entry {
    pub(crate) fn after(prefix: u64, zxid: Zxid, hash: u64) -> Self {
        let mixed = (prefix ^ zxid.0).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ hash;
        Self { zxid, hash, prefix: mixed.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32) }
    }
}

/// Invariant: the history is `committed[..common]` and then `tail`; where both go on, the first
/// entry of `tail` is not `committed[common]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    common: usize,
    tail: VecDeque<Entry>,
}

impl Line {
    pub(crate) fn of_committed(count: usize) -> Self {
        Self { common: count, tail: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.common + self.tail.len()
    }

    /// How many transactions it shares with the committed sequence.
    pub(crate) fn common(&self) -> usize {
        self.common
    }

    pub(crate) fn tail(&self) -> impl Iterator<Item = &Entry> {
        self.tail.iter()
    }

    /// Whether it holds something else where the committed sequence goes on.
    pub(crate) fn is_fork(&self, committed: &[Entry]) -> bool {
        self.common < committed.len() && !self.tail.is_empty()
    }

    pub(crate) fn last(&self, committed: &[Entry]) -> Option<Zxid> {
        self.entry(self.len().checked_sub(1)?, committed).map(|entry| entry.zxid)
    }

    pub(crate) fn entry(&self, index: usize, committed: &[Entry]) -> Option<Entry> {
        match index.checked_sub(self.common) {
            None => committed.get(index).copied(),
            Some(index) => self.tail.get(index).copied(),
        }
    }

    /// Fingerprint of the first `len` transactions.
    pub(crate) fn prefix(&self, len: usize, committed: &[Entry]) -> u64 {
        match len.checked_sub(1) {
            None => 0,
            Some(index) => self.entry(index, committed).map_or(0, |entry| entry.prefix),
        }
    }

    /// How many of its transactions are at or below `zxid`.
    pub(crate) fn count_upto(&self, zxid: Zxid, committed: &[Entry]) -> usize {
        let shared = committed[..self.common].partition_point(|entry| entry.zxid <= zxid);
        shared + self.tail.iter().take_while(|entry| entry.zxid <= zxid).count()
    }

    pub(crate) fn push(&mut self, zxid: Zxid, hash: u64, committed: &[Entry]) {
        let entry = Entry::after(self.prefix(self.len(), committed), zxid, hash);
        self.tail.push_back(entry);
        self.settle(committed);
    }

    /// Keeps the first `len` transactions.
    pub(crate) fn cut(&mut self, len: usize, committed: &[Entry]) {
        self.tail.truncate(len.saturating_sub(self.common));
        self.common = self.common.min(len);
        self.settle(committed);
    }

    /// Moves what is committed now out of the tail.
    pub(crate) fn settle(&mut self, committed: &[Entry]) {
        while let (Some(first), Some(next)) = (self.tail.front(), committed.get(self.common)) {
            if first.prefix != next.prefix {
                break;
            }
            self.tail.pop_front();
            self.common += 1;
        }
    }
}

/// Whether one of both is a prefix of the other.
pub(crate) fn comparable(a: &Line, b: &Line, committed: &[Entry]) -> bool {
    let len = a.len().min(b.len());
    a.prefix(len, committed) == b.prefix(len, committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(count: u64) -> Vec<Entry> {
        let mut out: Vec<Entry> = Vec::new();
        for z in 1..=count {
            let prefix = out.last().map_or(0, |entry| entry.prefix);
            out.push(Entry::after(prefix, Zxid(z), z * 10));
        }
        out
    }

    #[test]
    fn a_tail_that_gets_committed_becomes_common() {
        let all = committed(3);
        let mut line = Line::default();
        line.push(Zxid(1), 10, &all[..0]);
        line.push(Zxid(2), 20, &all[..0]);
        assert_eq!((line.common(), line.len()), (0, 2));
        line.settle(&all);
        assert_eq!((line.common(), line.len()), (2, 2));
        assert!(!line.is_fork(&all));
    }

    #[test]
    fn a_fork_is_no_prefix() {
        let all = committed(3);
        let mut line = Line::of_committed(1);
        line.push(Zxid(2), 99, &all);
        assert!(line.is_fork(&all));
        assert!(!comparable(&line, &Line::of_committed(3), &all));
        line.cut(1, &all);
        assert!(comparable(&line, &Line::of_committed(3), &all));
    }
}
