//! E6: after a session is served over a new connection, nothing sent over an older one takes effect behind
//! what was sent over the new one; and no session is turned away for ever once all is well.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{ClientFact, SessionFact};
use crate::observe::SimEvent;
use crate::oracle::txn::Txn;
use std::collections::BTreeMap;
use vivarium_core::ids::SessionId;

#[derive(Debug, Default)]
pub(crate) struct E06 {
    newest: BTreeMap<SessionId, u32>,
    turned_away: BTreeMap<SessionId, u32>,
}

impl Check for E06 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for fresh in &cx.canon.fresh {
            let Some(op) = fresh.op else { continue };
            // Refusing a request of a connection that was left behind is what has to happen.
            let refused = fresh.judged.as_ref().is_some_and(|judged| {
                !judged.was_open || matches!(judged.txn, Txn::Error { code: -118 | -112 })
            });
            if refused {
                continue;
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

/// Connections in a row that end without a single answer, in the calm phase.
const MOST_TURNS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Call;

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
    fn being_turned_away_for_ever_is_found() {
        let mut run = Run::new(E06::default());
        run.heal().unwrap();
        let fact = SessionFact::Detached { session: SessionId(5), connection: 1 };
        let failed = (0..100).any(|_| run.client(ClientFact::Session(fact.clone())).is_err());
        assert!(failed);
    }
}
