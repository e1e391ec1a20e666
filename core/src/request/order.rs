//! The requests of one client connection in the order in which they were sent. Answers leave in
//! that order, whatever the order in which they become known (PROTOCOL 1.9).
//! Apache: `CommitProcessor.pendingRequests`.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;

use crate::acl::Id;
use crate::ids::{Xid, Zxid};
use crate::request::reply::{Outcome, WriteKind};
use crate::time::Mono;
use crate::wire::client::{ReadOp, SetWatches, WatchOp};
use crate::wire::code::Code;

/// A request that this server answers by itself, once all before it are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// By who the client was when it asked: what it presents later does not count.
    Read {
        op: ReadOp,
        ids: Arc<[Id]>,
    },
    Watch {
        op: WatchOp,
        ids: Arc<[Id]>,
    },
    Ping,
    /// Answered MARSHALLINGERROR; nothing is logged.
    Malformed,
    /// Answered UNIMPLEMENTED, then the connection ends.
    Unknown,
    /// The identity is taken; without one it is answered AUTHFAILED, and the connection ends.
    Auth {
        accepted: bool,
    },
    /// Not to be done for this client: answered so, and nothing more.
    Refused(Code),
    /// The session lives here alone, and ends with the answer.
    CloseSession,
    /// The client is not known well enough: answered so, and the connection ends.
    Stranger,
    /// Nothing is set up for SASL: answered without a token, and without an identity.
    Sasl,
}

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Local(Local),
    Write { kind: WriteKind, after: Zxid, outcome: Option<Outcome> },
    Sync { path: String, answered: bool },
}

#[derive(Clone, Debug)]
struct Entry {
    xid: Xid,
    since: Mono,
    item: Item,
}

/// The oldest request, now that it can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub xid: Xid,
    /// When it arrived.
    pub since: Mono,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Local(Local),
    Written { kind: WriteKind, outcome: Outcome },
    Synced { path: String },
}

impl Answer {
    /// Four letters that tell people what was asked. Apache: `lastOp` of `FinalRequestProcessor`.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Local(Local::Read { op, .. }) => match op {
                ReadOp::Exists { .. } => "EXIS",
                ReadOp::GetData { .. } => "GETD",
                ReadOp::GetAcl { .. } => "GETA",
                ReadOp::GetChildren { .. } => "GETC",
                ReadOp::Multi(_) => "MLTR",
                ReadOp::GetEphemerals { .. } => "GETE",
                ReadOp::GetAllChildrenNumber { .. } => "GETACN",
                ReadOp::WhoAmI => "HOMI",
            },
            Self::Local(Local::Watch { op, .. }) => match op {
                WatchOp::Set(SetWatches { lasting: None, .. }) => "SETW",
                WatchOp::Set(SetWatches { lasting: Some(_), .. }) => "STW2",
                WatchOp::Add { .. } => "ADDW",
                WatchOp::Check { .. } => "CHKW",
                WatchOp::Remove { .. } => "REMW",
            },
            Self::Local(Local::Ping) => "PING",
            Self::Local(Local::CloseSession) => "CLOS",
            Self::Local(
                Local::Malformed
                | Local::Unknown
                | Local::Auth { .. }
                | Local::Sasl
                | Local::Refused(_)
                | Local::Stranger,
            ) => "NA",
            Self::Written { kind, .. } => match kind {
                WriteKind::Create | WriteKind::CreateStat => "CREA",
                WriteKind::Delete => "DELE",
                WriteKind::SetData => "SETD",
                WriteKind::SetAcl => "SETA",
                WriteKind::Multi => "MULT",
                WriteKind::Reconfig => "RECO",
                WriteKind::CloseSession => "CLOS",
            },
            Self::Synced { .. } => "SYNC",
        }
    }
}

/// A write whose client is gone; its transaction may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned {
    pub xid: Xid,
    pub after: Zxid,
}

/// One connection's requests, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Order {
    entries: VecDeque<Entry>,
    /// Writes and syncs whose answer is not known yet.
    in_flight: usize,
}

impl Order {
    pub fn local(&mut self, xid: Xid, since: Mono, local: Local) {
        self.entries.push_back(Entry { xid, since, item: Item::Local(local) });
    }

    /// `after`: the newest zxid that was proposed before the request was submitted. A transaction
    /// up to there belongs to an earlier user of the same cxid.
    pub fn write(&mut self, xid: Xid, since: Mono, kind: WriteKind, after: Zxid) {
        let item = Item::Write { kind, after, outcome: None };
        self.entries.push_back(Entry { xid, since, item });
        self.in_flight += 1;
    }

    pub fn sync(&mut self, xid: Xid, since: Mono, path: String) {
        let item = Item::Sync { path, answered: false };
        self.entries.push_back(Entry { xid, since, item });
        self.in_flight += 1;
    }

    /// The transaction of a write that waits here is about to be applied. Syncs before it are
    /// answered by it: it was proposed after they reached the leader, and a quorum of this epoch
    /// has acknowledged it. It has to be now, so that reads between such a sync and the write do
    /// not see the write. True where one was answered.
    pub fn approaches(
        &mut self,
        xid: Xid,
        zxid: Zxid,
        fits: impl FnOnce(WriteKind) -> bool,
    ) -> bool {
        let Some(index) = self.oldest_write() else { return false };
        let entry = &self.entries[index];
        let Item::Write { kind, after, .. } = &entry.item else { return false };
        if entry.xid != xid || zxid <= *after || !fits(*kind) {
            return false;
        }
        let before = self.in_flight;
        for earlier in self.entries.range_mut(..index) {
            if let Item::Sync { answered, .. } = &mut earlier.item
                && !*answered
            {
                *answered = true;
                self.in_flight -= 1;
            }
        }
        self.in_flight < before
    }

    /// Gives a transaction's outcome to the write that waits for it; false where none does.
    ///
    /// Only the oldest waiting write can be meant: a session's writes are proposed in order.
    pub fn written(
        &mut self,
        xid: Xid,
        zxid: Zxid,
        meant: impl FnOnce(WriteKind) -> Option<Outcome>,
    ) -> bool {
        let Some(index) = self.oldest_write() else { return false };
        let entry = &mut self.entries[index];
        let Item::Write { kind, after, outcome } = &mut entry.item else { return false };
        if entry.xid != xid || zxid <= *after {
            return false;
        }
        let Some(known) = meant(*kind) else { return false };
        *outcome = Some(known);
        self.in_flight -= 1;
        true
    }

    /// Marks the oldest unanswered sync; false where that is another one (it was answered already).
    pub fn synced(&mut self, xid: Xid) -> bool {
        for entry in &mut self.entries {
            if let Item::Sync { answered, .. } = &mut entry.item
                && !*answered
            {
                if entry.xid != xid {
                    return false;
                }
                *answered = true;
                self.in_flight -= 1;
                return true;
            }
        }
        false
    }

    /// The place of the oldest write that waits.
    fn oldest_write(&self) -> Option<usize> {
        self.entries.iter().position(|entry| match &entry.item {
            Item::Write { outcome, .. } => outcome.is_none(),
            Item::Local(_) | Item::Sync { .. } => false,
        })
    }

    /// Whether a request with this number still waits for the replicated side.
    pub fn waits_for(&self, xid: Xid) -> bool {
        self.entries.iter().any(|entry| {
            entry.xid == xid
                && match &entry.item {
                    Item::Write { outcome, .. } => outcome.is_none(),
                    Item::Sync { answered, .. } => !answered,
                    Item::Local(_) => false,
                }
        })
    }

    /// Takes the oldest request if its answer is known.
    pub fn take_ready(&mut self) -> Option<Ready> {
        let known = match &self.entries.front()?.item {
            Item::Local(_) => true,
            Item::Write { outcome, .. } => outcome.is_some(),
            Item::Sync { answered, .. } => *answered,
        };
        if !known {
            return None;
        }
        let Entry { xid, since, item } = self.entries.pop_front()?;
        let answer = match item {
            Item::Local(local) => Answer::Local(local),
            Item::Write { kind, outcome: Some(outcome), .. } => Answer::Written { kind, outcome },
            Item::Sync { path, .. } => Answer::Synced { path },
            Item::Write { outcome: None, .. } => {
                unreachable!("checked above: the outcome is known")
            }
        };
        Some(Ready { xid, since, answer })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What may still be applied after the connection is gone, in order.
    pub fn abandon(self) -> impl Iterator<Item = Abandoned> {
        self.entries.into_iter().filter_map(|entry| match entry.item {
            Item::Write { after, outcome: None, .. } => Some(Abandoned { xid: entry.xid, after }),
            Item::Write { .. } | Item::Local(_) | Item::Sync { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{Abandoned, Local, Order};
    use crate::ids::{Xid, Zxid};
    use crate::request::reply::{Outcome, WriteKind};
    use crate::time::Mono;
    use crate::wire::client::ReplyBody;

    const NOW: Mono = Mono(0);

    fn outcome(zxid: u64) -> Outcome {
        Outcome { zxid: Zxid(zxid), reply: Ok(ReplyBody::Empty) }
    }

    fn ready(order: &mut Order) -> Vec<i32> {
        core::iter::from_fn(|| order.take_ready()).map(|ready| ready.xid.0).collect()
    }

    #[test]
    fn only_the_oldest_write_and_the_oldest_sync_can_be_meant() {
        let mut order = Order::default();
        order.write(Xid(1), NOW, WriteKind::Delete, Zxid(5));
        order.sync(Xid(2), NOW, "/".into());
        order.sync(Xid(3), NOW, "/".into());
        order.write(Xid(4), NOW, WriteKind::Delete, Zxid(5));
        order.local(Xid(5), NOW, Local::Ping);
        assert_eq!((order.len(), order.in_flight()), (5, 4));
        assert!(!order.written(Xid(4), Zxid(7), |_| Some(outcome(7))), "1 comes first");
        assert!(!order.written(Xid(1), Zxid(5), |_| Some(outcome(5))), "older than the request");
        assert!(!order.written(Xid(1), Zxid(6), |_| None), "of another kind");
        assert!(!order.synced(Xid(3)), "2 comes first");
        assert_eq!(ready(&mut order), []);
        assert!(order.synced(Xid(2)));
        assert!(order.waits_for(Xid(1)) && !order.waits_for(Xid(2)) && !order.waits_for(Xid(5)));
        assert_eq!(ready(&mut order), [], "answered, but not yet its turn");
        assert!(order.written(Xid(1), Zxid(6), |_| Some(outcome(6))));
        assert_eq!(ready(&mut order), [1, 2]);
        assert!(!order.approaches(Xid(4), Zxid(5), |_| true), "older than the request");
        assert!(!order.approaches(Xid(4), Zxid(7), |_| false), "of another kind");
        assert!(order.approaches(Xid(4), Zxid(7), |_| true));
        assert_eq!(ready(&mut order), [3], "the write answers the sync before it");
        assert!(!order.approaches(Xid(4), Zxid(7), |_| true), "once");
        assert!(order.written(Xid(4), Zxid(7), |_| Some(outcome(7))));
        assert_eq!(ready(&mut order), [4, 5]);
        assert!(order.is_empty() && order.in_flight() == 0);
    }

    #[test]
    fn only_writes_without_an_outcome_are_abandoned() {
        let mut order = Order::default();
        order.sync(Xid(1), NOW, "/".into());
        for xid in 2..5 {
            order.write(Xid(xid), NOW, WriteKind::Delete, Zxid(1));
        }
        order.local(Xid(5), NOW, Local::Ping);
        assert!(order.written(Xid(2), Zxid(2), |_| Some(outcome(2))));
        let left: Vec<Abandoned> = order.abandon().collect();
        let abandoned = |xid| Abandoned { xid: Xid(xid), after: Zxid(1) };
        assert_eq!(left, vec![abandoned(3), abandoned(4)]);
    }
}
