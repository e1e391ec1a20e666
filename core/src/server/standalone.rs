//! A server alone: no election, no epoch files; what is durable is committed.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::ids::{Epoch, LinkId, Xid, Zxid};
use crate::server::Outbox;
use crate::server::note::Note;
use crate::txn::payload_hash;
use crate::zab::history::History;
use crate::zab::leading::Missing;

/// What waits for all that was proposed before it: the answer must hold after a power cut, too.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Sync {
        link: LinkId,
        cxid: Xid,
    },
    /// Its end may be proposed only.
    Missing(Missing),
}

#[derive(Debug)]
pub(super) struct Standalone {
    /// Newest zxid that was given out. The epoch is that of the history, as in ZooKeeper.
    last: Zxid,
    waiting: VecDeque<(Zxid, Question)>,
}

impl Standalone {
    pub(super) fn new(last: Zxid) -> Self {
        Self { last, waiting: VecDeque::new() }
    }

    /// Counts on; where the counter is used up, the next epoch begins (nobody else claims one).
    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        let rollover = || self.last.epoch().next().map(|epoch: Epoch| Zxid::new(epoch, 1));
        self.last.next().or_else(rollover)
    }

    pub(super) fn propose(
        &mut self,
        zxid: Zxid,
        payload: Bytes,
        history: &mut History,
        out: &mut Outbox,
    ) {
        self.last = zxid;
        let hash = payload_hash(&payload);
        out.note(Note::Proposed { zxid, hash, payload: payload.clone() });
        history.append_alone(zxid, payload, out);
    }

    pub(super) fn on_durable(&mut self, history: &mut History, out: &mut Outbox) {
        let (before, durable) = (history.committed(), history.durable());
        for entry in history.window.after(before).take_while(|entry| entry.zxid <= durable) {
            out.note(Note::Committed { zxid: entry.zxid });
        }
        history.commit(durable);
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.waiting.push_back((self.last, question));
    }

    /// The oldest question whose answer stands.
    pub(super) fn take_answered(&mut self, committed: Zxid) -> Option<Question> {
        let (_, question) = self.waiting.pop_front_if(|(bound, _)| *bound <= committed)?;
        Some(question)
    }
}
