//! W1 and W4: an event answers a watch that is set, uses it up, and tells of a change that happened.

use crate::checkers::identities::May;
use crate::checkers::lasting_book::LastingBook;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::watch_book::WatchBook;
use crate::checkers::{Check, Cx};
use crate::history::ClientFact;
use crate::observe::SimEvent;
use crate::oracle::tree::Event;
use std::collections::BTreeMap;
use vivarium_core::ids::Zxid;

#[derive(Debug, Default)]
pub(crate) struct W04 {
    book: WatchBook,
    lasting: LastingBook,
    happened: BTreeMap<Zxid, Vec<Event>>,
}

impl Check for W04 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for (fresh, judged) in cx.canon.judged() {
            if !judged.events.is_empty() {
                self.happened.insert(fresh.entry.zxid, judged.events.clone());
            }
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        let used = self.book.learn(fact);
        self.lasting.learn(fact);
        let ClientFact::Watch { session, kind, path, zxid, .. } = fact else { return Ok(()) };
        // What comes while watches are set again is for W5.
        let Some(zxid) = Zxid::from_wire(*zxid).filter(|_| !self.lasting.resets(*session)) else {
            return Ok(());
        };
        let met = self.lasting.meets(*session, zxid, *kind, path);
        match used.iter().min() {
            None if !met => {
                return Err(format!("session {session} is told {kind:?} {path} without a watch"));
            }
            Some(set) if !met && *set >= zxid => {
                return Err(format!("{kind:?} {path} of {zxid} answers a watch set at {set}"));
            }
            None | Some(_) => {}
        }
        if cx.canon.oracle_blind {
            return Ok(());
        }
        let events = self.happened.get(&zxid).map_or(&[][..], Vec::as_slice);
        let mut happened =
            events.iter().filter(|event| event.kind == *kind && event.path == *path).peekable();
        if happened.peek().is_none() {
            return Err(format!(
                "session {session} is told {kind:?} {path} of {zxid}, which did not happen"
            ));
        }
        if happened.all(|event| cx.canon.may_hear(*session, event.acl.as_deref()) == May::No) {
            return Err(format!(
                "session {session} is told {kind:?} {path} of {zxid}, and may not read the node"
            ));
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
    use vivarium_core::wire::client::{AddMode, EventKind, SetWatches, WatchKind, WatchOp};

    fn run() -> Run<W04> {
        let mut run = Run::new(W04::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.invoke(6, 1, Call::Exists { path: "/a".into(), watch: true }).unwrap();
        run.err(6, 1, z(1, 1), -101).unwrap();
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run
    }

    #[test]
    fn a_second_delivery_is_found() {
        let mut run = run();
        run.watch(6, "/a", z(1, 2)).unwrap();
        assert!(run.watch(6, "/a", z(1, 2)).is_err());
    }

    #[test]
    fn a_recursive_watch_is_told_of_no_list_of_children() {
        let mut run = run();
        let path = "/".into();
        let add = WatchOp::Add { path, mode: AddMode::PersistentRecursive };
        run.invoke(6, 2, Call::Watch(add)).unwrap();
        run.ok(6, 2, z(1, 2), Reply::Empty).unwrap();
        run.create(z(1, 3), 5, 2, "/a/b", false).unwrap();
        run.watch(6, "/a/b", z(1, 3)).unwrap();
        let zxid = z(1, 3).to_wire();
        assert!(run.told(6, EventKind::NodeChildrenChanged, "/a", zxid).is_err());
    }

    #[test]
    fn a_watch_that_was_removed_is_told_of_nothing() {
        let mut run = run();
        let remove = WatchOp::Remove { path: "/a".into(), kind: WatchKind::Data };
        run.invoke(6, 2, Call::Watch(remove)).unwrap();
        run.ok(6, 2, z(1, 1), Reply::Empty).unwrap();
        assert!(run.watch(6, "/a", z(1, 2)).is_err());
    }

    /// A client that was not told of a node's end lists it among those that are and those that are not
    /// there: one of the two is answered at once, and the other is watched.
    #[test]
    fn a_path_of_two_lists_is_told_of_once_more() {
        let mut run = run();
        run.watch(6, "/a", z(1, 2)).unwrap();
        let paths = || vec!["/a".to_owned()];
        let wanted = SetWatches { data: paths(), exist: paths(), ..SetWatches::default() };
        run.invoke(6, 2, Call::Watch(WatchOp::Set(wanted))).unwrap();
        run.told(6, EventKind::NodeCreated, "/a", -1).unwrap();
        run.ok(6, 2, z(1, 2), Reply::Empty).unwrap();
        for (version, told) in [(1, true), (2, false)] {
            let zxid = z(1, 2 + version as u32);
            let set = Txn::SetData { path: "/a".into(), data: None, version };
            run.commit(1, header(zxid, 5, 1 + version), &set).unwrap();
            let event = run.told(6, EventKind::NodeDataChanged, "/a", zxid.to_wire());
            assert_eq!(event.is_ok(), told, "{event:?}");
        }
    }

    /// So does one that was not told, since it may not read the node, and lists it as a parent and as missing:
    /// its end answers the one, and the other is watched.
    #[test]
    fn the_end_of_a_parent_is_no_answer_to_who_waits_for_a_node() {
        let mut run = run();
        let delete = Txn::Delete { path: "/a".into() };
        run.commit(1, header(z(1, 3), 5, 2), &delete).unwrap();
        let paths = || vec!["/a".to_owned()];
        let wanted = SetWatches { child: paths(), exist: paths(), ..SetWatches::default() };
        run.invoke(6, 2, Call::Watch(WatchOp::Set(wanted))).unwrap();
        run.told(6, EventKind::NodeDeleted, "/a", -1).unwrap();
        run.ok(6, 2, z(1, 3), Reply::Empty).unwrap();
        run.create(z(1, 4), 5, 3, "/a", false).unwrap();
        run.watch(6, "/a", z(1, 4)).unwrap();
        assert!(run.watch(6, "/a", z(1, 4)).is_err());
    }

    #[test]
    fn what_a_client_may_not_know_is_not_told() {
        let mut run = run();
        let path = || "/b".to_owned();
        run.invoke(6, 2, Call::Exists { path: path(), watch: true }).unwrap();
        run.err(6, 2, z(1, 2), -101).unwrap();
        let closed = Txn::Create(closed_txn("/b"));
        run.commit(1, header(z(1, 3), 5, 2), &closed).unwrap();
        assert!(run.watch(6, "/b", z(1, 3)).unwrap_err().contains("may not read"));
    }

    #[test]
    fn an_event_of_nothing_is_found() {
        assert!(run().watch(6, "/a", z(1, 3)).is_err());
        assert!(run().watch(5, "/a", z(1, 2)).is_err());
    }
}
