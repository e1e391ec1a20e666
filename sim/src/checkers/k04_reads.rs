//! K4 and K7: a read shows the state at the zxid of its reply header, which is one that is committed.
//! Its own writes and monotony follow with K3.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact, ReadCall, ReadReply, Reply};
use crate::observe::SimEvent;
use crate::oracle::Asked;
use crate::oracle::access::{self, Identity, NO_AUTH, Rules};
use crate::oracle::past::{Past, Shown};
use crate::oracle::predict::NO_NODE;
use crate::oracle::quota;
use std::borrow::Cow;
use std::collections::BTreeMap;
use vivarium_core::ids::{SessionId, Zxid};

#[derive(Debug, Default)]
pub(crate) struct K04 {
    calls: BTreeMap<(SessionId, i32), Asked>,
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
                    let ids = cx.canon.identities.of(op.session);
                    let asked = Asked { call: call.clone(), ids, applied: 0 };
                    self.calls.insert((op.session, op.xid), asked);
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
        let Some(asked) = self.calls.remove(&(op.session, op.xid)) else { return Ok(()) };
        if matches!(got, Err(-112 | -12)) {
            return Ok(());
        }
        let Some(at) = Zxid::from_wire(zxid) else {
            return Err(format!("{op:?} is answered with zxid {zxid}"));
        };
        let begun = at.is_epoch_start()
            && (at == Zxid::ZERO || cx.canon.established.contains_key(&at.epoch()));
        if !begun && cx.canon.find(at).is_none() {
            if cx.canon.may_be_uncommitted(op.session, at) {
                return Ok(());
            }
            return Err(format!("{op:?} shows {at}, which is not committed"));
        }
        let position = cx.canon.count_upto(at);
        let moment = Moment {
            past: cx.canon.oracle.past(),
            position,
            rules: &cx.canon.cluster.access,
            ids: &asked.ids,
        };
        if cx.canon.oracle_blind || moment.shows_the_children(&asked.call, got) {
            return Ok(());
        }
        let model = moment.model(op.session, &asked.call);
        if model.as_ref().is_some_and(|model| model.as_ref() != got.as_ref().copied()) {
            return Err(format!("{op:?} {asked:?} shows {got:?} at {at}, the model {model:?}"));
        }
        Ok(())
    }
}

/// What one client is shown behind the first `position` transactions.
struct Moment<'a> {
    past: &'a Past,
    position: usize,
    rules: &'a Rules,
    ids: &'a [Identity],
}

impl Moment<'_> {
    /// The node, if it is there; each server writes the counts of quotas into it by itself.
    fn node(&self, path: &str) -> Result<Cow<'_, Shown>, i32> {
        let node = self.past.node(self.position, path).ok_or(NO_NODE)?;
        let Some(text) = quota::counted(self.past, self.position, path) else {
            return Ok(Cow::Borrowed(node));
        };
        let mut node = node.clone();
        node.stat.data_length = text.len() as i32;
        node.data = Some(text.into());
        Ok(Cow::Owned(node))
    }

    /// The node, if it is there and may be read.
    fn readable(&self, path: &str) -> Result<Cow<'_, Shown>, i32> {
        let node = self.node(path)?;
        let may = access::permits(self.rules, node.acl.as_deref(), access::READ, self.ids);
        if may { Ok(node) } else { Err(NO_AUTH) }
    }

    /// Whether this is a listing, and right; long ones are common, and not worth a model of their own.
    fn shows_the_children(&self, call: &Call, got: Result<&Reply, i32>) -> bool {
        let Call::GetChildren { path, with_stat, .. } = call else { return false };
        let Ok(node) = self.readable(path) else { return false };
        let names = match got {
            Ok(Reply::Children(names)) if !with_stat => names,
            Ok(Reply::ChildrenStat(names, shown)) if *with_stat && *shown == node.stat => names,
            _ => return false,
        };
        self.past.children(self.position, path).into_iter().eq(names.iter())
    }

    /// What a read of a session has to answer.
    fn model(&self, session: SessionId, call: &Call) -> Option<Result<Reply, i32>> {
        Some(match call {
            Call::Exists { path, .. } => self.readable(path).map(|node| Reply::Stat(node.stat)),
            Call::GetData { path, .. } => {
                self.readable(path).map(|node| Reply::Data(node.data.clone(), node.stat))
            }
            Call::GetChildren { path, with_stat, .. } => self.readable(path).map(|node| {
                let children = self.past.children(self.position, path).into_iter().collect();
                match with_stat {
                    true => Reply::ChildrenStat(children, node.stat),
                    false => Reply::Children(children),
                }
            }),
            Call::CountAll { path } => self
                .readable(path)
                .map(|_| Reply::Count(self.past.count_below(self.position, path) as i32)),
            Call::GetEphemerals { prefix } => {
                // All of them, as a blank is.
                let prefix = if prefix == "/" { "" } else { prefix };
                let own = self.past.ephemerals(self.position, session.0, prefix);
                Ok(Reply::Children(own.into_iter().collect()))
            }
            Call::MultiRead(reads) => {
                Ok(Reply::MultiRead(reads.iter().map(|read| self.part(read)).collect()))
            }
            Call::GetAcl { path } => self.access_list(path),
            Call::WhoAmI => Ok(Reply::Clients(access::told(self.ids))),
            Call::Create(_)
            | Call::Delete { .. }
            | Call::SetData { .. }
            | Call::Multi(_)
            | Call::SetAcl { .. }
            | Call::Reconfig { .. }
            | Call::AddAuth { .. }
            | Call::Sync { .. }
            | Call::Watch(_)
            | Call::CloseSession
            | Call::UnknownOp { .. }
            | Call::Malformed { .. } => return None,
        })
    }

    /// Each read of a multiRead is on its own.
    fn part(&self, read: &ReadCall) -> ReadReply {
        let (ReadCall::Data { path } | ReadCall::Children { path }) = read;
        match (self.readable(path), read) {
            (Err(code), _) => ReadReply::Error(code),
            (Ok(node), ReadCall::Data { .. }) => ReadReply::Data(node.data.clone(), node.stat),
            (Ok(_), ReadCall::Children { path }) => {
                let children = self.past.children(self.position, path);
                ReadReply::Children(children.into_iter().collect())
            }
        }
    }

    fn access_list(&self, path: &str) -> Result<Reply, i32> {
        let node = self.node(path)?;
        let shown = access::shown(self.rules, node.acl.as_deref(), self.ids)?;
        Ok(Reply::Acl(shown, node.stat))
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
