//! K5: a read that a session sends behind an answered sync shows every write that anybody was told of
//! before that sync was sent. Judged unless a server runs with ZooKeeper's weaker sync.

use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact};
use crate::observe::SimEvent;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::{SessionId, Zxid};

#[derive(Debug, Default)]
pub(crate) struct K05 {
    /// Highest zxid of an answered write.
    answered: Zxid,
    writes: BTreeSet<(SessionId, i32)>,
    reads: BTreeSet<(SessionId, i32)>,
    /// What was answered when each sync was sent.
    syncs: BTreeMap<(SessionId, i32), Zxid>,
    owed: BTreeMap<SessionId, Zxid>,
}

impl Check for K05 {
    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call } => match call {
                Call::Sync { .. } => {
                    self.syncs.insert((op.session, op.xid), self.answered);
                }
                call if call.is_read() => {
                    self.reads.insert((op.session, op.xid));
                }
                call if call.is_write() => {
                    self.writes.insert((op.session, op.xid));
                }
                _ => {}
            },
            ClientFact::Ok { op, zxid, .. } | ClientFact::Err { op, zxid, .. } => {
                let key = (op.session, op.xid);
                let zxid = Zxid::from_wire(*zxid).unwrap_or_default();
                let refused = matches!(fact, ClientFact::Err { code, .. } if *code != -101);
                if self.writes.remove(&key) && !(refused && cx.canon.find(zxid).is_none()) {
                    self.answered = self.answered.max(zxid);
                }
                if let Some(floor) = self.syncs.remove(&key)
                    && matches!(fact, ClientFact::Ok { .. })
                {
                    let owed = self.owed.entry(op.session).or_default();
                    *owed = (*owed).max(floor);
                }
                let owed = self.owed.get(&op.session).copied().unwrap_or_default();
                if self.reads.remove(&key)
                    && !refused
                    && zxid < owed
                    && cx.canon.cluster.linearizable_sync
                {
                    return Err(format!("{op:?} shows {zxid} behind a sync that owes {owed}"));
                }
            }
            ClientFact::Unknown { op } => {
                let key = (op.session, op.xid);
                self.writes.remove(&key);
                self.reads.remove(&key);
                self.syncs.remove(&key);
            }
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Reply;

    #[test]
    fn a_stale_read_behind_a_sync_is_found() {
        let mut run = Run::new(K05::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.ok(5, 1, z(1, 2), Reply::Path("/a".into())).unwrap();
        run.invoke(6, 1, Call::Sync { path: "/".into() }).unwrap();
        run.invoke(6, 2, Call::Exists { path: "/a".into(), watch: false }).unwrap();
        run.ok(6, 1, z(1, 1), Reply::Path("/".into())).unwrap();
        assert!(run.err(6, 2, z(1, 1), -101).is_err());
    }

    #[test]
    fn without_a_sync_it_is_legal() {
        let mut run = Run::new(K05::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.ok(5, 1, z(1, 2), Reply::Path("/a".into())).unwrap();
        run.invoke(6, 2, Call::Exists { path: "/a".into(), watch: false }).unwrap();
        run.err(6, 2, z(1, 1), -101).unwrap();
    }
}
