//! L9: in the calm phase, while no server begins or ends to serve, whoever is asked answers: no client gives
//! up a connection that it has made since then, over a request that nobody answered for long, nor one over
//! which it asked for a session in vain; and none is cut off that gave no cause. L5 lets that pass, for the
//! request has ended; a server that forgets an answer for good does this to every client that asks the same.
//! What faults left half-open shows within syncLimit: before that, nobody has to answer.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{ClientFact, RequestId, SessionFact};
use crate::ids::{NodeId, SimTime};
use crate::observe::SimEvent;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::{ServerId, SessionId};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct L09 {
    /// No server has begun or ended to serve for syncLimit before; `None`: it is not calm.
    steady: Option<SimTime>,
    /// Connections that were made since then.
    made: BTreeSet<(SessionId, u32)>,
    /// What was sent over them, and when.
    open: BTreeMap<RequestId, SimTime>,
    /// When each client asked for a session that waits for the answer.
    asking: BTreeMap<NodeId, SimTime>,
}

impl Check for L09 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Healed,
            Topic::Up,
            Topic::Exit,
            Topic::Serving,
            Topic::ServingReadOnly,
            Topic::Client,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let stirs = matches!(
            event,
            SimEvent::Up { .. }
                | SimEvent::Exit(_)
                | SimEvent::Note(Note::Serving { .. } | Note::ServingReadOnly { .. })
        );
        if matches!(event, SimEvent::Healed { .. }) || (self.steady.is_some() && stirs) {
            self.begin_anew(cx);
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, .. } => {
                if self.made.contains(&(op.session, op.connection)) {
                    self.open.insert(*op, cx.now);
                }
            }
            ClientFact::Ok { op, .. } | ClientFact::Err { op, .. } => {
                self.open.remove(op);
            }
            ClientFact::Unknown { op } => {
                if let Some(sent) = self.open.remove(op)
                    && cx.now.since(sent) >= PATIENCE_US
                    && cx.canon.refusal().is_none()
                {
                    return Err(format!("{op:?}, sent at {sent}, is given up without an answer"));
                }
            }
            ClientFact::Session(SessionFact::Asked { server, .. }) => {
                self.asking.remove(&cx.node);
                if self.is_settled(cx, *server) {
                    self.asking.insert(cx.node, cx.now);
                }
            }
            ClientFact::Session(SessionFact::GaveUp { server }) => {
                if let Some(asked) = self.asking.remove(&cx.node)
                    && cx.now.since(asked) >= PATIENCE_US
                    && cx.canon.refusal().is_none()
                {
                    return Err(format!(
                        "{} waits no longer for a session of {server}, asked for at {asked}",
                        cx.node
                    ));
                }
            }
            ClientFact::Session(SessionFact::Granted { got, connection, server, .. }) => {
                self.asking.remove(&cx.node);
                if self.is_settled(cx, *server) {
                    self.made.insert((*got, *connection));
                }
            }
            ClientFact::Session(SessionFact::Expired { .. }) => {
                self.asking.remove(&cx.node);
            }
            ClientFact::Session(SessionFact::Detached { session, connection, cut_off }) => {
                let made = self.made.remove(&(*session, *connection));
                if made && *cut_off && cx.canon.refusal().is_none() {
                    return Err(format!(
                        "connection {connection} of {session} is cut off for no cause"
                    ));
                }
            }
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Ok(())
    }
}

impl L09 {
    fn begin_anew(&mut self, cx: &Cx<'_>) {
        self.steady = Some(cx.now.plus(cx.canon.cluster.notices_us()));
        self.made.clear();
        self.open.clear();
        self.asking.clear();
    }

    /// Whether who is served by that server now has a right to answers.
    fn is_settled(&self, cx: &Cx<'_>, server: ServerId) -> bool {
        self.steady.is_some_and(|steady| cx.now >= steady) && !cx.canon.is_spared(server)
    }
}

/// Far longer than an answer takes where nothing is faulty, and shorter than most clients wait, in
/// microseconds.
const PATIENCE_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::{Call, Reply};

    /// A sync of a new connection that waits for `ms`, after which its client gives up.
    fn waits(
        calm: bool,
        settles: u64,
        ms: u64,
        between: impl FnOnce(&mut Run<L09>),
    ) -> Result<(), String> {
        let mut run = Run::new(L09::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        if calm {
            run.heal().unwrap();
        }
        run.wait_ms(settles).unwrap();
        run.grant(5, 3_000, 1).unwrap();
        run.invoke(5, 1, Call::Sync { path: "/".into() }).unwrap();
        between(&mut run);
        run.wait_ms(ms).unwrap();
        run.client(ClientFact::Unknown { op: request(5, 1) })
    }

    #[test]
    fn an_answer_that_never_comes_is_found() {
        assert!(waits(true, 60_000, 1_200, |_| ()).unwrap_err().contains("without an answer"));
    }

    #[test]
    fn a_client_may_leave_soon_and_where_something_is_faulty() {
        waits(true, 60_000, 500, |_| ()).unwrap();
        waits(false, 60_000, 1_200, |_| ()).unwrap();
        waits(true, 1, 1_200, |_| ()).unwrap();
    }

    #[test]
    fn a_session_that_is_asked_for_in_vain_is_found() {
        let waits = |ms, answered: bool| {
            let mut run = Run::new(L09::default());
            run.boot_all();
            run.establish(1, 1).unwrap();
            run.heal().unwrap();
            run.wait_ms(60_000).unwrap();
            let server = ServerId(1);
            let asked =
                SessionFact::Asked { resume: None, last_zxid: 0, timeout_ms: 3_000, server };
            run.client(ClientFact::Session(asked)).unwrap();
            if answered {
                run.grant(5, 3_000, 1).unwrap();
            }
            run.wait_ms(ms).unwrap();
            run.client(ClientFact::Session(SessionFact::GaveUp { server }))
        };
        assert!(waits(1_200, false).unwrap_err().contains("waits no longer"));
        waits(500, false).unwrap();
        waits(1_200, true).unwrap();
    }

    #[test]
    fn who_stops_to_serve_owes_no_answer() {
        let stops = |run: &mut Run<L09>| run.note(2, Note::Serving { on: false }).unwrap();
        waits(true, 60_000, 1_200, stops).unwrap();
    }

    #[test]
    fn who_is_cut_off_for_no_cause_is_found() {
        let ends = |settles, cut_off, between: Option<Note>| {
            let mut run = Run::new(L09::default());
            run.boot_all();
            run.establish(1, 1).unwrap();
            run.heal().unwrap();
            run.wait_ms(settles).unwrap();
            run.grant(5, 3_000, 1).unwrap();
            if let Some(note) = between {
                run.note(1, note).unwrap();
            }
            let (session, connection) = (SessionId(5), 1);
            let detached = SessionFact::Detached { session, connection, cut_off };
            run.client(ClientFact::Session(detached))
        };
        assert!(ends(60_000, true, None).unwrap_err().contains("cut off"));
        ends(60_000, false, None).unwrap();
        ends(1, true, None).unwrap();
        ends(60_000, true, Some(Note::Serving { on: false })).unwrap();
        ends(60_000, true, Some(Note::ServingReadOnly { on: false })).unwrap();
    }

    #[test]
    fn what_is_answered_is_done() {
        let answered = |run: &mut Run<L09>| {
            run.ok(5, 1, z(1, 1), Reply::Path("/".into())).unwrap();
        };
        waits(true, 60_000, 1_200, answered).unwrap();
    }
}
