//! K6: no request is in the committed sequence twice, and a write that is answered is there.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact};
use crate::observe::SimEvent;
use crate::oracle::tree::Standing;
use crate::oracle::txn::Header;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::SessionId;

#[derive(Debug, Default)]
pub(crate) struct K06 {
    seen: BTreeMap<i64, BTreeSet<i32>>,
    writes: BTreeSet<(SessionId, i32)>,
}

impl Check for K06 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for (fresh, judged) in cx.canon.judged() {
            let Header { session, cxid, .. } = judged.header;
            if cxid != 0 && !self.seen.entry(session).or_default().insert(cxid) {
                return Err(format!(
                    "{}: request {cxid} of session {session:#x} a second time",
                    fresh.entry.zxid
                ));
            }
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            // The end of a local session has no place there; K1 looks at the others.
            ClientFact::Invoke { op, call: Call::CloseSession }
                if cx.canon.standing(op.session) == Standing::Local => {}
            ClientFact::Invoke { op, call } if call.is_write() => {
                self.writes.insert((op.session, op.xid));
            }
            ClientFact::Ok { op, .. } => {
                let there = self.seen.get(&op.session.0).is_some_and(|seen| seen.contains(&op.xid));
                if self.writes.remove(&(op.session, op.xid)) && !there && !cx.canon.oracle_blind {
                    return Err(format!("{op:?} is answered but nowhere in the order"));
                }
            }
            ClientFact::Err { op, .. } | ClientFact::Unknown { op } => {
                self.writes.remove(&(op.session, op.xid));
            }
            ClientFact::Invoke { .. }
            | ClientFact::Ping { .. }
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
    use crate::history::{Call, Reply};
    use crate::oracle::txn::Txn;

    #[test]
    fn a_request_applied_twice_is_found() {
        let mut run = Run::new(K06::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.commit(1, header(z(1, 1), 5, 1), &Txn::Error { code: -101 }).unwrap();
        assert!(run.commit(1, header(z(1, 2), 5, 1), &Txn::Error { code: -101 }).is_err());
    }

    #[test]
    fn an_answer_to_a_write_that_is_nowhere_is_found() {
        let mut run = Run::new(K06::default());
        run.invoke(5, 1, Call::Delete { path: "/a".into(), version: -1 }).unwrap();
        assert!(run.ok(5, 1, z(1, 1), Reply::Empty).is_err());
    }
}
