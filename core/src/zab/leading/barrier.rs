//! Linearizable `sync`: answered on evidence that this leader still led after the question came.
//! In 3.9.5 a deposed leader can answer (ZOOKEEPER-1675).

use alloc::collections::VecDeque;

use crate::ids::{LinkId, SessionId, Xid, Zxid};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A client of this server.
    Local { session: SessionId, cxid: Xid },
    /// A learner, which answers its clients in the order of its questions.
    Learner(LinkId),
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    asker: Asker,
    /// A round of PINGs that started after the question came.
    round: u64,
    /// Everything that was proposed when it came.
    bound: Zxid,
}

/// Questions in the order of their arrival, and the rounds of PINGs that answer them.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    round: u64,
    waiting: VecDeque<Waiting>,
}

impl Barrier {
    /// The newest round that was sent.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    pub(super) fn begin_round(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    pub(super) fn ask(&mut self, asker: Asker, bound: Zxid) {
        self.waiting.push_back(Waiting { asker, round: self.round + 1, bound });
    }

    /// Whether a new round would bring somebody nearer to an answer: one at a time is under way,
    /// so that any number of questions costs one round.
    pub(super) fn wants_round(&self, confirmed: u64) -> bool {
        confirmed >= self.round && self.waiting.iter().any(|waiting| waiting.round > self.round)
    }

    /// The oldest question, if a quorum confirmed its round and its bound is committed.
    pub(super) fn pop_ready(&mut self, confirmed: u64, committed: Zxid) -> Option<(Asker, Zxid)> {
        let first = self.waiting.front()?;
        if first.round > confirmed || first.bound > committed {
            return None;
        }
        self.waiting.pop_front().map(|waiting| (waiting.asker, waiting.bound))
    }

    pub(super) fn put_back(&mut self, asker: Asker, bound: Zxid) {
        self.waiting.push_front(Waiting { asker, round: 0, bound });
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        self.waiting.retain(|waiting| waiting.asker != Asker::Learner(link));
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_needs_a_round_that_began_after_it() {
        let mut barrier = Barrier::default();
        barrier.begin_round();
        let asker = Asker::Learner(LinkId(1));
        barrier.ask(asker, Zxid(5));
        assert_eq!(barrier.pop_ready(1, Zxid(9)), None, "round 1 began before the question");
        assert!(!barrier.wants_round(0), "round 1 is still under way");
        assert!(barrier.wants_round(1));
        assert_eq!(barrier.begin_round(), 2);
        assert_eq!(barrier.pop_ready(2, Zxid(4)), None, "not everything before it is committed");
        assert_eq!(barrier.pop_ready(2, Zxid(5)), Some((asker, Zxid(5))));
    }
}
