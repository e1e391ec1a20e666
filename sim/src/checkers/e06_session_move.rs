//! E6: once a client knows that its session is served over a new connection, nothing sent over an older
//! one is proposed any more by the leader in whose name it is served, nor takes effect behind what was sent
//! over the new one; what is sent over the newest is not refused as if the session had gone elsewhere; and no
//! session is turned away for ever once all is well.
//!
//! When something was proposed is known in simulations alone: recorded histories say what was committed.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::{ClientFact, SessionFact};
use crate::observe::SimEvent;
use crate::oracle::Judged;
use crate::oracle::txn::Txn;
use std::collections::BTreeMap;
use vivarium_core::ids::{Epoch, SessionId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct E06 {
    newest: BTreeMap<SessionId, u32>,
    turned_away: BTreeMap<SessionId, u32>,
    moves: BTreeMap<SessionId, Moves>,
    /// The greatest zxid that anybody has proposed.
    proposed: Zxid,
}

/// How the client of a session went from server to server.
#[derive(Debug, Default)]
struct Moves {
    /// The connection that it was granted last.
    granted: u32,
    /// What was proposed when it was.
    proposed: Zxid,
    /// The epoch of the server that granted it. The leader of a later one is not told of it.
    epoch: Epoch,
    /// It has asked for another one, and has no answer.
    asks: bool,
    /// It gave up one that it had asked for: a server may still take that for the newest.
    strays: bool,
}

impl Moves {
    /// Whether the session is where this connection ends, and nowhere else.
    fn ends_at(&self, connection: u32) -> bool {
        self.granted == connection && !self.asks && !self.strays
    }
}

/// SESSIONMOVED
const MOVED: i32 = -118;

impl Check for E06 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Proposed, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let Some((_, Note::Proposed { zxid, .. })) = note_of(cx, event) {
            self.proposed = self.proposed.max(*zxid);
        }
        for fresh in &cx.canon.fresh {
            let Some(op) = fresh.op else { continue };
            let moved = |judged: &Judged| matches!(judged.txn, Txn::Error { code: MOVED });
            let stayed = self.moves.get(&op.session).is_some_and(|at| at.ends_at(op.connection));
            if stayed && fresh.judged.as_ref().is_some_and(moved) {
                let zxid = fresh.entry.zxid;
                return Err(format!("{zxid}: {op:?} is refused, though its session did not move"));
            }
            // Refusing a request of a connection that was left behind is what has to happen.
            let refused = fresh.judged.as_ref().is_some_and(|judged| {
                !judged.was_open || matches!(judged.txn, Txn::Error { code: MOVED | -112 })
            });
            if refused {
                continue;
            }
            if let Some(at) = self.moves.get(&op.session)
                && op.connection < at.granted
                && fresh.entry.zxid > at.proposed
                && fresh.entry.zxid.epoch() <= at.epoch
                && !cx.spec.recorded
                // Its server goes on with it at once: what it forwarded before is still on its way.
                && !fresh.judged.as_ref().is_some_and(|judged| judged.was_local)
            {
                let (zxid, granted) = (fresh.entry.zxid, at.granted);
                return Err(format!(
                    "{zxid}: {op:?} is proposed after connection {granted} was granted"
                ));
            }
            match self.newest.insert(op.session, op.connection) {
                Some(newest) if newest > op.connection => {
                    return Err(format!(
                        "{}: {op:?} takes effect after connection {newest}",
                        fresh.entry.zxid
                    ));
                }
                Some(_) | None => {}
            }
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        self.follow(cx, fact);
        match fact {
            ClientFact::Ok { op, .. } | ClientFact::Err { op, .. } => {
                self.turned_away.remove(&op.session);
            }
            ClientFact::Pong { session, .. } => {
                self.turned_away.remove(session);
            }
            ClientFact::Session(SessionFact::Detached { session, .. })
                if cx.canon.healed_at.is_some() =>
            {
                let count = self.turned_away.entry(*session).or_default();
                *count += 1;
                if *count > MOST_TURNS {
                    return Err(format!(
                        "{session} is turned away {count} times without an answer"
                    ));
                }
            }
            ClientFact::Invoke { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Ok(())
    }
}

impl E06 {
    fn follow(&mut self, cx: &Cx<'_>, fact: &ClientFact) {
        let ClientFact::Session(fact) = fact else { return };
        match fact {
            SessionFact::Asked { resume: Some(session), .. } => {
                let moves = self.moves.entry(*session).or_default();
                moves.strays |= moves.asks;
                moves.asks = true;
            }
            SessionFact::Granted { got, connection, server, .. } => {
                let epoch = cx.canon.member(*server).map_or(Epoch::ZERO, |member| member.epoch);
                let moves = self.moves.entry(*got).or_default();
                (moves.granted, moves.asks) = (*connection, false);
                (moves.proposed, moves.epoch) = (self.proposed, epoch);
            }
            SessionFact::Expired { session, .. } | SessionFact::Left { session } => {
                self.moves.remove(session);
            }
            SessionFact::Asked { resume: None, .. }
            | SessionFact::Forged { .. }
            | SessionFact::ReadOnly { .. }
            | SessionFact::Detached { .. }
            | SessionFact::GaveUp { .. }
            | SessionFact::Silent { .. } => {}
        }
    }
}

/// Connections in a row that end without a single answer, in the calm phase.
const MOST_TURNS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Call;
    use vivarium_core::ids::ServerId;

    #[test]
    fn a_straggler_of_the_old_connection_is_found() {
        let mut run = Run::new(E06::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        let call = || Call::Delete { path: "/a".into(), version: -1 };
        run.invoke(5, 1, call()).unwrap();
        let mut moved = request(5, 2);
        moved.connection = 2;
        run.client(ClientFact::Invoke { op: moved, call: call() }).unwrap();
        run.commit(1, header(z(1, 2), 5, 2), &Txn::Error { code: -101 }).unwrap();
        assert!(run.commit(1, header(z(1, 3), 5, 1), &Txn::Error { code: -101 }).is_err());
    }

    #[test]
    fn what_is_proposed_for_the_old_connection_once_the_new_one_is_granted_is_found() {
        let straggles = |granted_first: bool, recorded: bool| {
            let mut run = Run::new(E06::default());
            run.spec.recorded = recorded;
            run.boot_all();
            run.establish(1, 1).unwrap();
            run.open(z(1, 1), 5);
            run.grant(5, 1000, 1).unwrap();
            run.invoke(5, 1, Call::Delete { path: "/a".into(), version: -1 }).unwrap();
            if granted_first {
                run.grant(5, 1000, 2).unwrap();
            }
            run.commit(1, header(z(1, 2), 5, 1), &Txn::Error { code: -101 })?;
            run.grant(5, 1000, 2)
        };
        assert_eq!(straggles(false, false), Ok(()));
        assert_eq!(straggles(true, true), Ok(()), "a recorded history does not say when");
        assert!(straggles(true, false).unwrap_err().contains("after connection 2 was granted"));
    }

    /// A leader that was replaced takes a session back, and the next one does not hear of it.
    #[test]
    fn what_the_next_leader_proposes_for_the_old_connection_is_right() {
        let mut run = Run::new(E06::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.invoke(5, 1, Call::Delete { path: "/a".into(), version: -1 }).unwrap();
        run.grant(5, 1000, 2).unwrap();
        run.establish(2, 2).unwrap();
        run.commit(2, header(z(2, 1), 5, 1), &Txn::Error { code: -101 }).unwrap();
    }

    /// A session is asked for so many times before it is granted, and once more behind that if `goes`; then
    /// what was sent over the connection is refused as moved.
    fn refused_as_moved(asked: u32, goes: bool) -> Result<(), String> {
        let mut run = Run::new(E06::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        let ask = |run: &mut Run<E06>| {
            let (resume, server) = (Some(SessionId(5)), ServerId(1));
            let fact = SessionFact::Asked { resume, last_zxid: 0, timeout_ms: 1000, server };
            run.client(ClientFact::Session(fact)).unwrap();
        };
        (0..asked).for_each(|_| ask(&mut run));
        run.grant(5, 1000, 1).unwrap();
        run.invoke(5, 1, Call::Delete { path: "/a".into(), version: -1 }).unwrap();
        if goes {
            ask(&mut run);
        }
        run.commit(1, header(z(1, 2), 5, 1), &Txn::Error { code: MOVED })
    }

    #[test]
    fn a_session_that_stayed_is_not_refused_as_moved() {
        assert!(refused_as_moved(0, false).is_err());
        assert!(refused_as_moved(1, false).is_err());
        assert_eq!(refused_as_moved(1, true), Ok(()), "it is on its way to another server");
        assert_eq!(refused_as_moved(2, false), Ok(()), "what it asked for first may come late");
    }

    #[test]
    fn being_turned_away_for_ever_is_found() {
        let mut run = Run::new(E06::default());
        run.heal().unwrap();
        let fact = SessionFact::Detached { session: SessionId(5), connection: 1, cut_off: false };
        let failed = (0..100).any(|_| run.client(ClientFact::Session(fact.clone())).is_err());
        assert!(failed);
    }
}
