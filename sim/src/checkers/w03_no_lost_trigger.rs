//! W3: while a connection lives, a watch set at zxid r is told of the first change after r before any reply
//! that could show it.

use crate::checkers::identities::May;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::watch_book::{WatchBook, tables};
use crate::checkers::{Check, Cx};
use crate::history::{AccessList, ClientFact};
use crate::observe::SimEvent;
use crate::oracle::tree::Event;
use vivarium_core::ids::Zxid;

#[derive(Debug, Default)]
pub(crate) struct W03 {
    book: WatchBook,
    /// What changed each watchable, oldest first, and the list of the node then.
    triggers: Vec<Vec<(Zxid, Option<AccessList>)>>,
}

impl Check for W03 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for (fresh, judged) in cx.canon.judged() {
            for Event { kind, path, acl } in &judged.events {
                for table in tables(*kind) {
                    let watchable = self.book.watchables.number(*table, path);
                    if self.triggers.len() <= watchable {
                        self.triggers.resize(watchable + 1, Vec::new());
                    }
                    self.triggers[watchable].push((fresh.entry.zxid, acl.clone()));
                }
            }
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        let (session, zxid) = match fact {
            ClientFact::Ok { op, zxid, .. } | ClientFact::Err { op, zxid, .. } => {
                (op.session, *zxid)
            }
            ClientFact::Pong { session, zxid, .. } => (*session, *zxid),
            ClientFact::Invoke { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {
                self.book.learn(fact);
                return Ok(());
            }
        };
        let upto = Zxid::from_wire(zxid).unwrap_or_default();
        // A change that the client may not know of uses its watch up all the same.
        let mut used_up = Vec::new();
        for (watch, since) in self.book.of(session).into_iter().flatten() {
            let triggers = self.triggers.get(*watch).map_or(&[][..], Vec::as_slice);
            // Most watches saw no change at all: the newest one tells.
            if triggers.last().is_none_or(|(last, _)| last <= since) {
                continue;
            }
            let first = triggers[triggers.partition_point(|(zxid, _)| zxid <= since)..].first();
            if let Some((first, acl)) = first.filter(|(first, _)| *first <= upto) {
                if cx.canon.may_hear(session, acl.as_deref()) != May::Yes {
                    used_up.push(*watch);
                    continue;
                }
                let path = self.book.watchables.path(*watch);
                return Err(format!(
                    "session {session} sees {upto}, but its watch on {path} was not told of {first}"
                ));
            }
        }
        self.book.forget(session, &used_up);
        self.book.learn(fact);
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
    fn a_watch_that_never_fires_is_found() {
        let mut run = Run::new(W03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.invoke(6, 1, Call::Exists { path: "/a".into(), watch: true }).unwrap();
        run.err(6, 1, z(1, 1), -101).unwrap();
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.ok(6, 2, z(1, 1), Reply::Empty).unwrap();
        assert!(run.ok(6, 3, z(1, 2), Reply::Empty).is_err());
    }

    #[test]
    fn a_watch_that_fires_in_time_passes() {
        let mut run = Run::new(W03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.invoke(6, 1, Call::Exists { path: "/a".into(), watch: true }).unwrap();
        run.err(6, 1, z(1, 1), -101).unwrap();
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.watch(6, "/a", z(1, 2)).unwrap();
        run.ok(6, 3, z(1, 2), Reply::Empty).unwrap();
    }

    #[test]
    fn what_a_client_may_not_know_uses_its_watch_up() {
        let mut run = Run::new(W03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.invoke(6, 1, Call::Exists { path: "/a".into(), watch: true }).unwrap();
        run.err(6, 1, z(1, 1), -101).unwrap();
        run.commit(1, header(z(1, 2), 5, 1), &Txn::Create(closed_txn("/a"))).unwrap();
        run.ok(6, 2, z(1, 2), Reply::Empty).unwrap();
        let open = Some(crate::oracle::access::open());
        let opened = Txn::SetAcl { path: "/a".into(), acl: open, version: 1 };
        run.commit(1, header(z(1, 3), 5, 2), &opened).unwrap();
        let set = Txn::SetData { path: "/a".into(), data: None, version: 1 };
        run.commit(1, header(z(1, 4), 5, 3), &set).unwrap();
        run.ok(6, 3, z(1, 4), Reply::Empty).unwrap();
    }

    #[test]
    fn who_may_not_read_a_node_does_not_watch_it() {
        let mut run = Run::new(W03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.invoke(6, 1, Call::GetData { path: "/a".into(), watch: true }).unwrap();
        run.err(6, 1, z(1, 2), -102).unwrap();
        let set = Txn::SetData { path: "/a".into(), data: None, version: 1 };
        run.commit(1, header(z(1, 3), 5, 2), &set).unwrap();
        run.ok(6, 2, z(1, 3), Reply::Empty).unwrap();
    }
}
