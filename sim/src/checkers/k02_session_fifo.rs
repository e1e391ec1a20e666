//! K2: a session's replies come in the order of its requests, those to its pings among them, and its writes
//! take effect in that order.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact, RequestId, SessionFact};
use crate::observe::SimEvent;
use crate::oracle::txn::{Header, Txn};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vivarium_core::ids::SessionId;

#[derive(Debug, Default)]
pub(crate) struct K02 {
    effects: BTreeMap<i64, i32>,
    waiting: BTreeMap<SessionId, VecDeque<RequestId>>,
    /// Of each connection, the last request that waited when a ping left; `None`: there was none.
    pings: BTreeMap<(SessionId, u32), VecDeque<Option<RequestId>>>,
    /// Proofs of an identity, which Apache answers at once.
    aside: BTreeSet<(SessionId, i32)>,
}

impl Check for K02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for (fresh, judged) in cx.canon.judged() {
            let Header { session, cxid, .. } = judged.header;
            // Expiry and the creation of a session carry no request number.
            // Stragglers of a session that has moved or ended are refused: no effect to order.
            let refused = matches!(judged.txn, Txn::Error { code: -118 | -112 });
            if cxid == 0 || refused || !judged.was_open {
                continue;
            }
            match self.effects.insert(session, cxid) {
                Some(last) if last >= cxid => {
                    return Err(format!(
                        "{}: request {cxid} of session {session:#x} takes effect after {last}",
                        fresh.entry.zxid
                    ));
                }
                Some(_) | None => {}
            }
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call: Call::AddAuth { .. } }
                if cx.spec.recorded && !cx.canon.cluster.apache.is_empty() =>
            {
                self.aside.insert((op.session, op.xid));
            }
            ClientFact::Invoke { op, .. } => {
                self.waiting.entry(op.session).or_default().push_back(*op);
            }
            ClientFact::Ok { op, .. } | ClientFact::Err { op, .. } | ClientFact::Unknown { op } => {
                if self.aside.remove(&(op.session, op.xid)) {
                    return Ok(());
                }
                let waiting = self.waiting.entry(op.session).or_default();
                let first = waiting.pop_front();
                if first.is_none_or(|first| first.xid != op.xid) {
                    return Err(format!("{op:?} ends before {first:?}"));
                }
            }
            ClientFact::Ping { session, connection } => {
                let last = self.waiting.get(session).and_then(|waiting| waiting.back());
                let ahead = last.filter(|last| last.connection == *connection).copied();
                self.pings.entry((*session, *connection)).or_default().push_back(ahead);
            }
            ClientFact::Pong { session, connection, .. } => {
                let pings = self.pings.get_mut(&(*session, *connection));
                let ahead = pings.and_then(VecDeque::pop_front).flatten();
                let waits = |op: &RequestId| {
                    self.waiting.get(session).is_some_and(|waiting| waiting.contains(op))
                };
                if let Some(op) = ahead.filter(waits) {
                    return Err(format!("a ping that left after {op:?} is answered before it"));
                }
            }
            ClientFact::Session(SessionFact::Detached { session, connection, .. }) => {
                self.pings.remove(&(*session, *connection));
            }
            ClientFact::Session(
                SessionFact::Left { session } | SessionFact::Expired { session, .. },
            ) => {
                self.waiting.remove(session);
            }
            ClientFact::Watch { .. } | ClientFact::Session(_) => {}
            ClientFact::Nonsense { session, server, what } => {
                return Err(format!("{server} sends {what} to {session:?}"));
            }
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
    fn an_effect_after_a_later_one_is_found() {
        let mut run = Run::new(K02::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.commit(1, header(z(1, 2), 5, 2), &Txn::Error { code: -101 }).unwrap();
        let expired = Txn::Error { code: -112 };
        run.commit(1, header(z(1, 3), 5, 1), &expired).expect("a refused straggler has no effect");
        assert!(run.commit(1, header(z(1, 4), 5, 1), &Txn::Error { code: -101 }).is_err());
    }

    #[test]
    fn replies_out_of_order_are_found() {
        let mut run = Run::new(K02::default());
        run.invoke(5, 1, Call::Sync { path: "/".into() }).unwrap();
        run.invoke(5, 2, Call::Sync { path: "/".into() }).unwrap();
        assert!(run.ok(5, 2, z(1, 1), Reply::Path("/".into())).is_err());
    }

    #[test]
    fn a_pong_ahead_of_what_was_asked_before_is_found() {
        let (session, connection) = (SessionId(5), request(5, 1).connection);
        let ping = || ClientFact::Ping { session, connection };
        let pong = || ClientFact::Pong { session, connection, zxid: 1 };
        let mut run = Run::new(K02::default());
        run.client(ping()).unwrap();
        run.invoke(5, 1, Call::Sync { path: "/".into() }).unwrap();
        run.client(pong()).expect("this one left first");
        run.client(ping()).unwrap();
        run.ok(5, 1, z(1, 1), Reply::Path("/".into())).unwrap();
        run.invoke(5, 2, Call::Sync { path: "/".into() }).unwrap();
        run.client(pong()).expect("what it left after is answered");
        run.client(ping()).unwrap();
        assert!(run.client(pong()).is_err());
    }
}
