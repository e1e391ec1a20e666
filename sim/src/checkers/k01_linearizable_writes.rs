//! K1: no write takes effect in front of one that was answered before it was invoked; every answer is the
//! model's at its zxid; whatever was answered with an error, never takes effect later.
//! The witness order is that of the zxids, so there is nothing to search.

use crate::checkers::e08_local_sessions::{EPHEMERAL_ON_LOCAL_SESSION, NOT_READ_ONLY};
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact, Reply, RequestId, SessionFact};
use crate::observe::SimEvent;
use crate::oracle::tree::Standing;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::{SessionId, Zxid};

#[derive(Debug, Default)]
pub(crate) struct K01 {
    /// Highest zxid of a write that was answered.
    answered: Zxid,
    /// What was answered when each write was invoked.
    floors: BTreeMap<(SessionId, i32), Zxid>,
    /// Whether each of them ends its session.
    writes: BTreeMap<(SessionId, i32), bool>,
    denied: BTreeSet<(SessionId, i32)>,
}

impl Check for K01 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for fresh in &cx.canon.fresh {
            let Some(op) = fresh.op else { continue };
            if self.denied.contains(&(op.session, op.xid)) {
                return Err(format!("{op:?} was refused, and is {} now", fresh.entry.zxid));
            }
            if let Some(floor) = self.floors.remove(&(op.session, op.xid))
                && fresh.entry.zxid <= floor
            {
                return Err(format!(
                    "{op:?} is {} but was invoked after {floor} was answered",
                    fresh.entry.zxid
                ));
            }
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call } if call.is_write() => {
                let ends = matches!(call, Call::CloseSession);
                self.writes.insert((op.session, op.xid), ends);
                self.floors.insert((op.session, op.xid), self.answered);
            }
            ClientFact::Ok { op, zxid, result } => self.answer(cx, *op, *zxid, Ok(result))?,
            ClientFact::Err { op, zxid, code } => self.answer(cx, *op, *zxid, Err(*code))?,
            ClientFact::Session(
                SessionFact::Expired { session, .. } | SessionFact::Left { session },
            ) => {
                self.writes.retain(|(owner, _), _| owner != session);
            }
            ClientFact::Invoke { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Ok(())
    }
}

impl K01 {
    fn answer(
        &mut self,
        cx: &Cx<'_>,
        op: RequestId,
        zxid: i64,
        got: Result<&Reply, i32>,
    ) -> Result<(), String> {
        let key = (op.session, op.xid);
        let Some(ends) = self.writes.remove(&key) else { return Ok(()) };
        if cx.canon.oracle_blind {
            return Ok(());
        }
        let Some(outcome) = cx.canon.outcomes.get(&key) else {
            self.floors.remove(&key);
            self.denied.insert(key);
            // Only the session's own end may be told without a place in the order.
            return match got {
                Err(-112 | -12) => Ok(()),
                // Whether that had to be is E8's concern.
                Err(NOT_READ_ONLY | EPHEMERAL_ON_LOCAL_SESSION) => Ok(()),
                Ok(_) if ends && cx.canon.standing(op.session) == Standing::Local => Ok(()),
                Ok(_) | Err(_) => {
                    Err(format!("{op:?} is answered {got:?} but has no place in the order"))
                }
            };
        };
        if zxid != outcome.zxid.to_wire() {
            return Err(format!("{op:?} is {} but answered with zxid {zxid:#x}", outcome.zxid));
        }
        if got != outcome.expected.reply.as_ref().map_err(|code| *code) {
            return Err(format!(
                "{op:?} at {} is answered {got:?}, the model says {:?}",
                outcome.zxid, outcome.expected.reply
            ));
        }
        self.answered = self.answered.max(outcome.zxid);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Call;

    fn run() -> Run<K01> {
        let mut run = Run::new(K01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run
    }

    fn create(run: &mut Run<K01>, xid: i32, path: &str) {
        run.invoke(5, xid, Call::Create(create_call(path, false))).unwrap();
    }

    #[test]
    fn a_result_that_is_not_the_models_is_found() {
        let mut run = run();
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        let ok = run.ok(5, 1, z(1, 2), Reply::Path("/b".into()));
        assert!(ok.unwrap_err().contains("model"));
    }

    #[test]
    fn an_answer_without_a_commit_is_found() {
        let mut run = run();
        create(&mut run, 1, "/a");
        assert!(run.ok(5, 1, z(1, 2), Reply::Path("/a".into())).is_err());
    }

    #[test]
    fn a_refused_write_that_takes_effect_is_found() {
        let mut run = run();
        create(&mut run, 1, "/a");
        run.err(5, 1, z(1, 1), -112).unwrap();
        create(&mut run, 1, "/a");
        let txn = crate::oracle::txn::Txn::Create(create_txn("/a", false, 1));
        assert!(run.commit(1, header(z(1, 2), 5, 1), &txn).is_err());
    }

    #[test]
    fn the_right_answer_passes() {
        let mut run = run();
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.ok(5, 1, z(1, 2), Reply::Path("/a".into())).unwrap();
        create(&mut run, 2, "/a");
        let failed = crate::oracle::txn::Txn::Error { code: -110 };
        run.commit(1, header(z(1, 3), 5, 2), &failed).unwrap();
        run.err(5, 2, z(1, 3), -110).unwrap();
    }
}
