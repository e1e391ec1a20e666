//! K4 and K7: a read shows the state at the zxid of its reply header, which is one that is committed.
//! Its own writes and monotony follow with K3.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact, ReadCall, ReadReply, Reply};
use crate::observe::SimEvent;
use crate::oracle::past::Past;
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
            // A server that was started without a quorum shows its whole log.
            if cx.canon.readers.contains(&op.session) {
                return Ok(());
            }
            return Err(format!("{op:?} shows {at}, which is not committed"));
        }
        let position = cx.canon.count_upto(at);
        if cx.canon.oracle_blind || shows_the_children(cx, position, &call, got) {
            return Ok(());
        }
        let model = model(cx, position, op.session, &call);
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

/// What a read of a session has to answer after the first `position` transactions.
fn model(
    cx: &Cx<'_>,
    position: usize,
    session: SessionId,
    call: &Call,
) -> Option<Result<Reply, i32>> {
    let past = cx.canon.oracle.past();
    let (path, shown) = match call {
        Call::Exists { path, .. }
        | Call::GetData { path, .. }
        | Call::GetChildren { path, .. }
        | Call::CountAll { path } => (path, past.node(position, path)),
        Call::GetEphemerals { prefix } => {
            // All of them, as a blank is.
            let prefix = if prefix == "/" { "" } else { prefix };
            let own = past.ephemerals(position, session.0, prefix).into_iter().collect();
            return Some(Ok(Reply::Children(own)));
        }
        Call::MultiRead(reads) => {
            let replies = reads.iter().map(|read| part(past, position, read)).collect();
            return Some(Ok(Reply::MultiRead(replies)));
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
        Call::CountAll { path } => Reply::Count(past.count_below(position, path) as i32),
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

/// Each read of a multiRead is on its own.
fn part(past: &Past, position: usize, read: &ReadCall) -> ReadReply {
    let (ReadCall::Data { path } | ReadCall::Children { path }) = read;
    match (past.node(position, path), read) {
        (None, _) => ReadReply::Error(NO_NODE),
        (Some((data, stat)), ReadCall::Data { .. }) => ReadReply::Data(data.clone(), *stat),
        (Some(_), ReadCall::Children { path }) => {
            ReadReply::Children(past.children(position, path).into_iter().collect())
        }
    }
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

    /// Session 5 owns /e, below nothing; the root has /a, /e and what is below /zookeeper.
    fn asks(call: Call) -> Run<K04> {
        let mut run = Run::new(K04::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.create(z(1, 3), 5, 2, "/e", true).unwrap();
        run.invoke(5, 3, call).unwrap();
        run
    }

    #[test]
    fn the_own_ephemerals_are_those_of_the_moment() {
        let all = || asks(Call::GetEphemerals { prefix: "/".into() });
        all().ok(5, 3, z(1, 3), children(&["/e"])).unwrap();
        all().ok(5, 3, z(1, 2), children(&[])).unwrap();
        assert!(all().ok(5, 3, z(1, 3), children(&["/a", "/e"])).is_err());
        let some = || asks(Call::GetEphemerals { prefix: "/a".into() });
        some().ok(5, 3, z(1, 3), children(&[])).unwrap();
        assert!(some().ok(5, 3, z(1, 3), children(&["/e"])).is_err());
    }

    #[test]
    fn all_below_a_node_are_counted() {
        let all = || asks(Call::CountAll { path: "/".into() });
        all().ok(5, 3, z(1, 3), Reply::Count(5)).unwrap();
        assert!(all().ok(5, 3, z(1, 3), Reply::Count(6)).is_err());
        asks(Call::CountAll { path: "/a".into() }).ok(5, 3, z(1, 3), Reply::Count(0)).unwrap();
        asks(Call::CountAll { path: "/b".into() }).err(5, 3, z(1, 3), -101).unwrap();
    }

    #[test]
    fn each_read_of_a_multi_read_is_judged() {
        let reads = ["/", "/no"].map(|path| ReadCall::Children { path: path.into() });
        let both = || asks(Call::MultiRead(reads.to_vec()));
        let names = |names: &[&str]| ReadReply::Children(names.iter().collect());
        let right = [names(&["a", "e", "zookeeper"]), ReadReply::Error(-101)];
        both().ok(5, 3, z(1, 3), Reply::MultiRead(right.to_vec())).unwrap();
        let wrong = [names(&["a", "zookeeper"]), ReadReply::Error(-101)];
        assert!(both().ok(5, 3, z(1, 3), Reply::MultiRead(wrong.to_vec())).is_err());
        both().ok(5, 3, z(1, 2), Reply::MultiRead(wrong.to_vec())).unwrap();
    }

    #[test]
    fn a_wrong_error_is_found() {
        assert!(run().err(5, 2, z(1, 2), -101).is_err());
    }
}
