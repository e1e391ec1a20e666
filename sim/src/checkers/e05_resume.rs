//! E5: a client that asks for its session gets that one, with the same password, or is told that it is
//! over; and it is told so only of a session whose end is committed: another leader would drop an end that
//! was only proposed, or a power cut would, and the session would live on. Who does not know the password,
//! or claims to have seen what nobody has, gets no session. A session has the timeout that was asked for,
//! within the limits of the server.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::{ClientFact, Forgery, SessionFact};
use crate::ids::NodeId;
use crate::observe::SimEvent;
use crate::oracle::tree::Standing;
use crate::oracle::txn::ended_session;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::SessionId;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct E05 {
    granted: BTreeSet<SessionId>,
    /// Sessions whose end was proposed, in a recording: that does not say when it was committed.
    ending: BTreeSet<SessionId>,
    /// Sessions that everybody knew when their clients last asked for them.
    global: BTreeSet<SessionId>,
    /// What each client has asked for and not been granted yet.
    timeouts: BTreeMap<NodeId, i32>,
}

impl Check for E05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Proposed, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let Some((_, Note::Proposed { payload, .. })) = note_of(cx, event)
            && cx.spec.recorded
        {
            self.ending.extend(ended_session(payload));
        }
        let SimEvent::Client(ClientFact::Session(fact)) = event else { return Ok(()) };
        self.negotiate(cx, fact)?;
        match fact {
            SessionFact::Granted { asked: Some(asked), got, same_password, server, .. } => {
                if asked != got || !same_password {
                    return Err(format!(
                        "{server} answers {asked} with {got}, same password: {same_password}"
                    ));
                }
            }
            SessionFact::Granted { asked: None, got, server, .. } => {
                if !self.granted.insert(*got) {
                    return Err(format!("{server} grants {got} a second time"));
                }
            }
            SessionFact::Asked { resume: Some(session), .. } => {
                if cx.canon.standing(*session) == Standing::Global {
                    self.global.insert(*session);
                }
            }
            // Of a local session, its server alone can say; E8 looks at that.
            SessionFact::Expired { session, .. }
                if cx.canon.cluster.local_sessions && !self.global.contains(session) => {}
            SessionFact::Expired { session, server }
                if !cx.canon.closed.contains_key(session) && !self.ending.contains(session) =>
            {
                return Err(format!("{server} says that {session} is over, but it is not closed"));
            }
            SessionFact::Forged { session, server, forgery, granted: true } => {
                return Err(match forgery {
                    Forgery::WrongPassword => {
                        format!("{server} grants {session} for a wrong password")
                    }
                    Forgery::ClientAhead => {
                        format!("{server} grants {session}, which claims to have seen the future")
                    }
                });
            }
            SessionFact::Forged { granted: false, .. }
            | SessionFact::Expired { .. }
            | SessionFact::ReadOnly { .. }
            | SessionFact::Asked { .. }
            | SessionFact::Detached { .. }
            | SessionFact::Silent { .. }
            | SessionFact::GaveUp { .. }
            | SessionFact::Left { .. } => {}
        }
        Ok(())
    }
}

impl E05 {
    /// A session gets the timeout that its client asks for, within the limits of the server.
    fn negotiate(&mut self, cx: &Cx<'_>, fact: &SessionFact) -> Result<(), String> {
        match fact {
            SessionFact::Asked { timeout_ms, .. } => {
                self.timeouts.insert(cx.node, *timeout_ms);
                Ok(())
            }
            SessionFact::Granted { timeout_ms, got, server, .. } => {
                let Some(asked) = self.timeouts.remove(&cx.node).filter(|_| !cx.spec.recorded)
                else {
                    return Ok(());
                };
                let cluster = &cx.canon.cluster;
                let (low, high) = (cluster.min_session_timeout_ms, cluster.max_session_timeout_ms);
                match *timeout_ms == cluster.negotiated_ms(asked) {
                    true => Ok(()),
                    false => Err(format!(
                        "{server} gives {got} a timeout of {timeout_ms} ms; {asked} ms were asked \
                         for, and its limits are {low} and {high} ms"
                    )),
                }
            }
            SessionFact::Forged { .. }
            | SessionFact::ReadOnly { .. }
            | SessionFact::Expired { .. }
            | SessionFact::Detached { .. }
            | SessionFact::Silent { .. }
            | SessionFact::GaveUp { .. }
            | SessionFact::Left { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::oracle::txn::Txn;
    use crate::oracle::txn::build::payload;
    use vivarium_core::ids::ServerId;

    #[test]
    fn a_session_declared_dead_while_it_lives_is_found() {
        let mut run = Run::new(E05::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.grant(5, 1000, 1).unwrap();
        let (session, server) = (SessionId(5), ServerId(1));
        let expired = ClientFact::Session(SessionFact::Expired { session, server });
        assert!(run.client(expired.clone()).is_err());
        let end = payload(header(z(1, 3), 5, 0), &Txn::CloseSession { paths: Some(Vec::new()) });
        run.note(1, Note::Proposed { zxid: z(1, 3), hash: 1, payload: end }).unwrap();
        assert!(run.client(expired.clone()).is_err(), "its end is proposed, and may never come");
        run.close(z(1, 2), 5).unwrap();
        run.client(expired).unwrap();
    }

    #[test]
    fn a_session_granted_for_a_forged_request_is_found() {
        for forgery in [Forgery::WrongPassword, Forgery::ClientAhead] {
            let mut run = Run::new(E05::default());
            run.grant(5, 1000, 1).unwrap();
            let forged = |granted| {
                let (session, server) = (SessionId(5), ServerId(1));
                ClientFact::Session(SessionFact::Forged { session, server, forgery, granted })
            };
            run.client(forged(false)).unwrap();
            assert!(run.client(forged(true)).is_err());
        }
    }

    #[test]
    fn a_timeout_beyond_the_limits_is_found() {
        let granted = |asked: i32, timeout_ms: i32| {
            let mut run = Run::new(E05::default());
            run.boot_all();
            let cluster = &mut run.canon.cluster;
            (cluster.min_session_timeout_ms, cluster.max_session_timeout_ms) = (200, 2000);
            let fact = SessionFact::Asked {
                resume: None,
                last_zxid: 0,
                timeout_ms: asked,
                server: ServerId(1),
            };
            run.client(ClientFact::Session(fact)).unwrap();
            run.grant(5, timeout_ms, 1)
        };
        for (asked, due) in [(1, 200), (-7, 200), (200, 200), (700, 700), (i32::MAX, 2000)] {
            assert_eq!(granted(asked, due), Ok(()));
            assert!(granted(asked, due + 1).is_err() && granted(asked, due - 1).is_err());
        }
    }

    #[test]
    fn an_id_granted_twice_is_found() {
        let mut run = Run::new(E05::default());
        run.grant(5, 1000, 1).unwrap();
        assert!(run.grant(5, 1000, 1).is_err());
    }
}
