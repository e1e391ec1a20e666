//! K4 and K7: a read shows the state at the zxid of its reply header, which is one that is committed.
//! Its own writes and monotony follow with K3.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact, Reply};
use crate::observe::SimEvent;
use crate::oracle::predict::NO_NODE;
use std::collections::BTreeMap;
use vivarium_core::ids::{SessionId, Zxid};

#[derive(Debug, Default)]
pub(crate) struct K04 {
    calls: BTreeMap<(SessionId, i32), Call>,
}

impl Check for K04 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let SimEvent::Client(fact) = event else { return Ok(()) };
        let (op, zxid, got) = match fact {
            ClientFact::Invoke { op, call } => {
                if call.is_read() {
                    self.calls.insert((op.session, op.xid), call.clone());
                }
                return Ok(());
            }
            ClientFact::Ok { op, zxid, result } => (op, *zxid, Ok(result)),
            ClientFact::Err { op, zxid, code } => (op, *zxid, Err(*code)),
            ClientFact::Unknown { op } => {
                self.calls.remove(&(op.session, op.xid));
                return Ok(());
            }
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => return Ok(()),
        };
        let Some(call) = self.calls.remove(&(op.session, op.xid)) else { return Ok(()) };
        if matches!(got, Err(-112 | -12)) {
            return Ok(());
        }
        let Some(at) = Zxid::from_wire(zxid) else {
            return Err(format!("{op:?} is answered with zxid {zxid}"));
        };
        let begun = at.is_epoch_start()
            && (at == Zxid::ZERO || cx.canon.established.contains_key(&at.epoch()));
        if !begun && cx.canon.find(at).is_none() {
            return Err(format!("{op:?} shows {at}, which is not committed"));
        }
        let position = cx.canon.count_upto(at);
        if cx.canon.oracle_blind || shows_the_children(cx, position, &call, got) {
            return Ok(());
        }
        let model = model(cx, position, &call);
        if model.as_ref().is_some_and(|model| model.as_ref() != got.as_ref().copied()) {
            return Err(format!("{op:?} {call:?} shows {got:?} at {at}, the model {model:?}"));
        }
        Ok(())
    }
}

/// Whether this is a listing, and right; long ones are common, and not worth a model of their own.
fn shows_the_children(cx: &Cx<'_>, position: usize, call: &Call, got: Result<&Reply, i32>) -> bool {
    let past = cx.canon.oracle.past();
    let Call::GetChildren { path, with_stat, .. } = call else { return false };
    let Some((_, stat)) = past.node(position, path) else { return false };
    let names = match got {
        Ok(Reply::Children(names)) if !with_stat => names,
        Ok(Reply::ChildrenStat(names, shown)) if *with_stat && shown == stat => names,
        _ => return false,
    };
    past.children(position, path).into_iter().eq(names.iter())
}

/// What a read has to answer after the first `position` transactions.
fn model(cx: &Cx<'_>, position: usize, call: &Call) -> Option<Result<Reply, i32>> {
    let past = cx.canon.oracle.past();
    let (path, shown) = match call {
        Call::Exists { path, .. } | Call::GetData { path, .. } | Call::GetChildren { path, .. } => {
            (path, past.node(position, path))
        }
        Call::Create(_)
        | Call::Delete { .. }
        | Call::SetData { .. }
        | Call::Multi(_)
        | Call::Sync { .. }
        | Call::Watch(_)
        | Call::CloseSession
        | Call::UnknownOp { .. }
        | Call::Malformed { .. } => return None,
    };
    let Some((data, stat)) = shown else { return Some(Err(NO_NODE)) };
    Some(Ok(match call {
        Call::GetData { .. } => Reply::Data(data.clone(), *stat),
        Call::GetChildren { with_stat, .. } => {
            let children = past.children(position, path).into_iter().collect();
            match with_stat {
                true => Reply::ChildrenStat(children, *stat),
                false => Reply::Children(children),
            }
        }
        _ => Reply::Stat(*stat),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    fn run() -> Run<K04> {
        let mut run = Run::new(K04::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.invoke(5, 2, Call::GetChildren { path: "/".into(), watch: false, with_stat: false })
            .unwrap();
        run
    }

    fn children(names: &[&str]) -> Reply {
        Reply::Children(names.iter().collect())
    }

    #[test]
    fn a_read_of_the_past_is_judged_by_the_past() {
        run().ok(5, 2, z(1, 1), children(&["zookeeper"])).unwrap();
        run().ok(5, 2, z(1, 2), children(&["a", "zookeeper"])).unwrap();
        assert!(run().ok(5, 2, z(1, 2), children(&["zookeeper"])).is_err());
        assert!(run().ok(5, 2, z(1, 1), children(&["a", "zookeeper"])).is_err());
    }

    #[test]
    fn a_read_of_what_is_not_committed_is_found() {
        assert!(run().ok(5, 2, z(1, 3), children(&["a", "zookeeper"])).is_err());
        assert!(run().ok(5, 2, z(2, 0), children(&["a", "zookeeper"])).is_err());
    }

    #[test]
    fn a_wrong_error_is_found() {
        assert!(run().err(5, 2, z(1, 2), -101).is_err());
    }
}
