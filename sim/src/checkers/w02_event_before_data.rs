//! W2: an event arrives before any reply that could show its transaction, and events come in zxid order.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{ClientFact, SessionFact};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::SessionId;

#[derive(Debug, Default)]
pub(crate) struct W02 {
    /// Highest zxid of a reply and of an event on the present connection.
    seen: BTreeMap<SessionId, (i64, i64)>,
}

impl Check for W02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let _ = cx;
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Ok { op, zxid, .. } | ClientFact::Err { op, zxid, .. } => {
                let (replied, _) = self.seen.entry(op.session).or_default();
                *replied = (*replied).max(*zxid);
            }
            ClientFact::Pong { session, zxid, .. } => {
                let (replied, _) = self.seen.entry(*session).or_default();
                *replied = (*replied).max(*zxid);
            }
            // Events made by SetWatches carry -1.
            ClientFact::Watch { session, zxid, path, kind, .. } if *zxid > 0 => {
                let (replied, fired) = self.seen.entry(*session).or_default();
                if *replied >= *zxid {
                    return Err(format!(
                        "{kind:?} {path} of {zxid:#x} comes after a reply of {replied:#x}"
                    ));
                }
                if *fired > *zxid {
                    return Err(format!(
                        "{kind:?} {path} of {zxid:#x} comes after an event of {fired:#x}"
                    ));
                }
                *fired = *zxid;
            }
            ClientFact::Session(SessionFact::Detached { session, .. }) => {
                self.seen.remove(session);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Reply;

    #[test]
    fn an_event_behind_its_data_is_found() {
        let mut run = Run::new(W02::default());
        run.watch(5, "/a", z(1, 1)).unwrap();
        run.ok(5, 1, z(1, 2), Reply::Empty).unwrap();
        assert!(run.watch(5, "/b", z(1, 2)).is_err());
    }

    #[test]
    fn events_out_of_order_are_found() {
        let mut run = Run::new(W02::default());
        run.watch(5, "/a", z(1, 2)).unwrap();
        assert!(run.watch(5, "/b", z(1, 1)).is_err());
    }
}
