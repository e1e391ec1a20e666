//! W1: while a connection lives, its persistent watches are told of every change that they are for and
//! of no other, once, in the order of the changes, before any reply that could show it.

use crate::checkers::happened::{Change, Happened};
use crate::checkers::identities::May;
use crate::checkers::lasting_book::LastingBook;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{ClientFact, SessionFact};
use crate::observe::SimEvent;
use crate::oracle::tree::Event;
use std::collections::BTreeMap;
use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::wire::client::EventKind;

#[derive(Debug, Default)]
pub(crate) struct W01 {
    book: LastingBook,
    events: Happened,
    /// How many of them a session has been told of, or need not be told of any more.
    settled: BTreeMap<SessionId, usize>,
}

impl W01 {
    /// Changes that a session's watches are for and that it was not told of, with their places.
    fn unsettled(&self, session: SessionId) -> impl Iterator<Item = (usize, &Change)> {
        let oldest = self.book.oldest(session).map(|oldest| self.events.upto(oldest));
        let settled = self.settled.get(&session).copied().unwrap_or(0);
        let from = oldest.map_or(usize::MAX, |oldest| oldest.max(settled));
        let meets = move |change: &&Change| {
            self.book.meets(session, change.zxid, change.event.kind, &change.event.path)
        };
        let behind = self.events.behind(from).iter().enumerate();
        behind.filter(move |(_, change)| meets(change)).map(move |(at, change)| (from + at, change))
    }

    fn told(
        &mut self,
        cx: &Cx<'_>,
        session: SessionId,
        told: (Zxid, EventKind, &String),
    ) -> Result<(), String> {
        let (zxid, kind, path) = told;
        if self.book.resets(session) || !self.book.meets(session, zxid, kind, path) {
            return Ok(());
        }
        match self.place(cx, session, told)? {
            Some(place) => self.settled.insert(session, place + 1),
            None => {
                return Err(format!(
                    "session {session} is told {kind:?} {path} of {zxid} where nothing more happened"
                ));
            }
        };
        Ok(())
    }

    /// Where among the changes that the session was not told of this one is: nothing before it may be left
    /// out.
    fn place(
        &self,
        cx: &Cx<'_>,
        session: SessionId,
        told: (Zxid, EventKind, &String),
    ) -> Result<Option<usize>, String> {
        for (place, Change { zxid, event }) in self.unsettled(session) {
            let Event { kind, path, acl } = event;
            let may = cx.canon.may_hear(session, acl.as_deref());
            if may != May::No && (*zxid, *kind, path) == told {
                return Ok(Some(place));
            }
            if may == May::Yes {
                let (at, what, whose) = told;
                return Err(format!(
                    "session {session} is told {what:?} {whose} of {at}; its persistent watches had to \
                     be told {kind:?} {path} of {zxid} next"
                ));
            }
        }
        Ok(None)
    }

    /// A reply shows the tree at `zxid`.
    fn shown(&self, cx: &Cx<'_>, session: SessionId, zxid: Zxid) -> Result<(), String> {
        let shown = self.unsettled(session).take_while(|(_, change)| change.zxid <= zxid);
        let mut owed = shown
            .map(|(_, change)| change)
            .filter(|change| cx.canon.may_hear(session, change.event.acl.as_deref()) == May::Yes);
        let Some(Change { zxid: at, event: Event { kind, path, .. } }) = owed.next() else {
            return Ok(());
        };
        Err(format!(
            "session {session} sees {zxid}, but its persistent watches were not told {kind:?} {path} of {at}"
        ))
    }
}

impl Check for W01 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        self.events.hear(cx);
        let SimEvent::Client(fact) = event else { return Ok(()) };
        if cx.canon.oracle_blind {
            return Ok(());
        }
        let (session, zxid) = match fact {
            ClientFact::Ok { op, zxid, .. } | ClientFact::Err { op, zxid, .. } => {
                (op.session, *zxid)
            }
            ClientFact::Pong { session, zxid, .. } => (*session, *zxid),
            ClientFact::Watch { session, kind, path, zxid, .. } => {
                let Some(zxid) = Zxid::from_wire(*zxid) else { return Ok(()) };
                return self.told(cx, *session, (zxid, *kind, path));
            }
            ClientFact::Session(SessionFact::Detached { session, .. }) => {
                self.settled.remove(session);
                self.book.learn(fact);
                return Ok(());
            }
            ClientFact::Invoke { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {
                self.book.learn(fact);
                return Ok(());
            }
        };
        let zxid = Zxid::from_wire(zxid).unwrap_or_default();
        self.shown(cx, session, zxid)?;
        self.book.learn(fact);
        if self.book.has_any(session) {
            let upto = self.events.upto(zxid);
            let settled = self.settled.entry(session).or_default();
            *settled = (*settled).max(upto);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::{Call, Reply};
    use vivarium_core::wire::client::{AddMode, WatchKind, WatchOp};

    /// Session 6 watches / recursively and /a persistently since the first transaction; /a and /a/b
    /// are created, and /a/b is deleted.
    fn run() -> Run<W01> {
        let mut run = Run::new(W01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        for (xid, path, mode) in
            [(1, "/", AddMode::PersistentRecursive), (2, "/a", AddMode::Persistent)]
        {
            let add = WatchOp::Add { path: path.into(), mode };
            run.invoke(6, xid, Call::Watch(add)).unwrap();
            run.ok(6, xid, z(1, 1), Reply::Empty).unwrap();
        }
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.create(z(1, 3), 5, 2, "/a/b", false).unwrap();
        run
    }

    fn told(run: &mut Run<W01>, kind: EventKind, path: &str, zxid: Zxid) -> Result<(), String> {
        run.told(6, kind, path, zxid.to_wire())
    }

    use EventKind::{NodeChildrenChanged, NodeCreated};

    #[test]
    fn what_is_told_in_order_passes() {
        let mut run = run();
        told(&mut run, NodeCreated, "/a", z(1, 2)).unwrap();
        told(&mut run, NodeCreated, "/a/b", z(1, 3)).unwrap();
        told(&mut run, NodeChildrenChanged, "/a", z(1, 3)).unwrap();
        run.ok(6, 9, z(1, 3), Reply::Empty).unwrap();
    }

    #[test]
    fn an_event_that_is_missing_is_found_by_the_next_one_and_by_a_reply() {
        let mut late = run();
        told(&mut late, NodeCreated, "/a", z(1, 2)).unwrap();
        assert!(told(&mut late, NodeChildrenChanged, "/a", z(1, 3)).is_err());
        let mut never = run();
        told(&mut never, NodeCreated, "/a", z(1, 2)).unwrap();
        never.ok(6, 9, z(1, 2), Reply::Empty).unwrap();
        assert!(never.ok(6, 10, z(1, 3), Reply::Empty).is_err());
    }

    #[test]
    fn an_event_told_twice_or_out_of_order_is_found() {
        let mut twice = run();
        told(&mut twice, NodeCreated, "/a", z(1, 2)).unwrap();
        assert!(told(&mut twice, NodeCreated, "/a", z(1, 2)).is_err());
        assert!(told(&mut run(), NodeCreated, "/a/b", z(1, 3)).is_err());
    }

    #[test]
    fn a_watch_that_was_removed_is_owed_nothing() {
        let mut run = run();
        told(&mut run, NodeCreated, "/a", z(1, 2)).unwrap();
        let remove = WatchOp::Remove { path: "/".into(), kind: WatchKind::PersistentRecursive };
        run.invoke(6, 3, Call::Watch(remove)).unwrap();
        run.ok(6, 3, z(1, 2), Reply::Empty).unwrap();
        told(&mut run, NodeChildrenChanged, "/a", z(1, 3)).unwrap();
        run.ok(6, 9, z(1, 3), Reply::Empty).unwrap();
    }
}
