//! K3: the zxids that a session sees never go down, also over reconnects; a server that is behind them
//! does not take the session.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::ClientFact;
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct K03 {
    seen: BTreeMap<SessionId, Zxid>,
}

impl Check for K03 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::SessionAttached, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let Some((server, Note::SessionAttached { session, .. })) = note_of(cx, event) {
            let seen = self.seen.get(session).copied().unwrap_or_default();
            let applied = cx.canon.member(server).map_or(0, |member| member.applied.len());
            if cx.canon.count_upto(seen) > applied {
                return Err(format!(
                    "{server} takes session {session}, which saw {seen}, after {applied} transactions"
                ));
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
            | ClientFact::Nonsense { .. } => return Ok(()),
        };
        // Some refusals carry no zxid (trap T8).
        let Some(zxid) = Zxid::from_wire(zxid).filter(|zxid| *zxid > Zxid::ZERO) else {
            return Ok(());
        };
        match self.seen.insert(session, zxid) {
            Some(before) if before > zxid => {
                return Err(format!("session {session} sees {zxid} after {before}"));
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Reply;
    use vivarium_core::ids::LinkId;

    #[test]
    fn going_back_in_time_is_found() {
        let mut run = Run::new(K03::default());
        run.ok(5, 1, z(1, 2), Reply::Empty).unwrap();
        run.err(5, 2, Zxid(u64::MAX), -6).unwrap();
        assert!(run.ok(5, 3, z(1, 1), Reply::Empty).is_err());
    }

    #[test]
    fn a_server_that_is_behind_may_not_take_the_session() {
        let mut run = Run::new(K03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.ok(5, 1, z(1, 1), Reply::Empty).unwrap();
        let attached = Note::SessionAttached { session: SessionId(5), link: LinkId(1) };
        run.note(2, attached.clone()).unwrap();
        run.boot(3);
        assert!(run.note(3, attached).is_err());
    }
}
