//! What is answered on evidence that this leader still led after the question came: `sync`, and that
//! there is no such session, since the next leader may have opened it. In 3.9.5 a deposed leader answers
//! both (ZOOKEEPER-1675).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::{LinkId, SessionId, Xid, Zxid};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A client of this server, over this connection: the next one of its session may begin its numbers anew.
    Local { link: LinkId, cxid: Xid },
    /// A learner, which answers its clients in the order of its questions.
    Learner(LinkId),
}

/// A session that this leader does not know, or that is about to end, and whose client came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The learner that asked; `None`: this server, for a client of its own.
    pub learner: Option<LinkId>,
    pub session: SessionId,
    pub timeout_ms: i32,
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    question: T,
    /// A round of PINGs that started after the question came.
    round: u64,
    /// Everything that was proposed when it came.
    bound: Zxid,
}

/// Questions in the order of their arrival, and the rounds of PINGs that answer them.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    round: u64,
    waiting: VecDeque<Waiting<Asker>>,
    missing: VecDeque<Waiting<Missing>>,
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
        self.waiting.push_back(Waiting { question: asker, round: self.round + 1, bound });
    }

    pub(super) fn ask_missing(&mut self, missing: Missing, bound: Zxid) {
        self.missing.push_back(Waiting { question: missing, round: self.round + 1, bound });
    }

    /// Whether a new round would bring somebody nearer to an answer: one at a time is under way,
    /// so that any number of questions costs one round.
    pub(super) fn wants_round(&self, confirmed: u64) -> bool {
        let rounds = self.waiting.back().map(|waiting| waiting.round);
        let rounds = rounds.max(self.missing.back().map(|waiting| waiting.round));
        confirmed >= self.round && rounds > Some(self.round)
    }

    /// Has every question answered whose round a quorum confirmed and whose bound is committed,
    /// oldest first. `answer` says no where an asker takes nothing more for now: then its later
    /// questions wait too, but nobody else's.
    pub(super) fn answer_ready(
        &mut self,
        confirmed: u64,
        committed: Zxid,
        mut answer: impl FnMut(Asker, Zxid) -> bool,
    ) {
        let is_ready = |one: &Waiting<Asker>| one.round <= confirmed && one.bound <= committed;
        let ready = self.waiting.partition_point(is_ready);
        if ready == 0 {
            return;
        }
        let later = self.waiting.split_off(ready);
        let mut full: Vec<Asker> = Vec::new();
        self.waiting.retain(|one| {
            let waits = full.contains(&one.question) || !answer(one.question, one.bound);
            if waits {
                full.push(one.question);
            }
            waits
        });
        self.waiting.extend(later);
    }

    /// The oldest missing session whose round a quorum confirmed: it is missing everywhere, by what is
    /// committed.
    pub(super) fn take_missing(&mut self, confirmed: u64, committed: Zxid) -> Option<Missing> {
        let is_ready =
            |one: &mut Waiting<Missing>| one.round <= confirmed && one.bound <= committed;
        self.missing.pop_front_if(is_ready).map(|one| one.question)
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        self.waiting.retain(|waiting| waiting.question != Asker::Learner(link));
        self.missing.retain(|waiting| waiting.question.learner != Some(link));
    }

    /// How many syncs wait.
    pub(super) fn syncs(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The links that are answered, in order; `full` takes nothing.
    fn answered(barrier: &mut Barrier, confirmed: u64, committed: u64, full: u64) -> Vec<u64> {
        let mut answered = Vec::new();
        barrier.answer_ready(confirmed, Zxid(committed), |asker, _| {
            let Asker::Learner(link) = asker else { unreachable!("no local asker here") };
            if link.0 != full {
                answered.push(link.0);
            }
            link.0 != full
        });
        answered
    }

    #[test]
    fn a_question_needs_a_round_that_began_after_it() {
        let mut barrier = Barrier::default();
        barrier.begin_round();
        barrier.ask(Asker::Learner(LinkId(1)), Zxid(5));
        assert_eq!(answered(&mut barrier, 1, 9, 0), [], "round 1 began before the question");
        assert!(!barrier.wants_round(0), "round 1 is still under way");
        assert!(barrier.wants_round(1));
        assert_eq!(barrier.begin_round(), 2);
        assert_eq!(answered(&mut barrier, 2, 4, 0), [], "not everything before it is committed");
        assert_eq!(answered(&mut barrier, 2, 5, 0), [1]);
        assert!(barrier.is_empty());
    }

    #[test]
    fn that_a_session_is_missing_needs_a_round_too() {
        let mut barrier = Barrier::default();
        let missing =
            |learner, session| Missing { learner, session: SessionId(session), timeout_ms: 1000 };
        barrier.begin_round();
        barrier.ask_missing(missing(None, 1), Zxid(5));
        barrier.ask_missing(missing(Some(LinkId(7)), 2), Zxid(5));
        barrier.ask_missing(missing(None, 3), Zxid(6));
        assert_eq!(barrier.take_missing(1, Zxid(9)), None, "round 1 began before the question");
        assert!(barrier.wants_round(1));
        assert_eq!(barrier.begin_round(), 2);
        assert!(!barrier.wants_round(1), "one at a time");
        assert_eq!(barrier.take_missing(2, Zxid(4)), None, "its end may be proposed only");
        barrier.forget(LinkId(7));
        assert_eq!(barrier.take_missing(2, Zxid(5)), Some(missing(None, 1)));
        assert_eq!(barrier.take_missing(2, Zxid(5)), None);
        assert_eq!(barrier.take_missing(2, Zxid(6)), Some(missing(None, 3)));
        assert!(barrier.is_empty());
    }

    #[test]
    fn a_learner_that_takes_nothing_holds_up_only_its_own_questions() {
        let mut barrier = Barrier::default();
        for link in [1, 2, 1, 3] {
            barrier.ask(Asker::Learner(LinkId(link)), Zxid(5));
        }
        barrier.begin_round();
        barrier.ask(Asker::Learner(LinkId(2)), Zxid(5));
        assert_eq!(answered(&mut barrier, 1, 5, 1), [2, 3]);
        assert_eq!(answered(&mut barrier, 1, 5, 0), [1, 1], "in the order of its questions");
        assert_eq!(answered(&mut barrier, 2, 5, 0), [2]);
    }
}
