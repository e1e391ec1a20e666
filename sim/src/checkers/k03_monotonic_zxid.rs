//! K3: the zxids that a session sees never go down, also over reconnects, nor below what its client said that it
//! has seen; a server that is behind them does not take the session, and one that lost what it had
//! acknowledged takes none until it has been filled.

use crate::checkers::canon::Member;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::{ClientFact, SessionFact};
use crate::ids::NodeId;
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{ServerId, SessionId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct K03 {
    seen: BTreeMap<SessionId, Zxid>,
    /// What sessions had seen when they asked a server that has not answered. One whose client gave up may
    /// be read much later, when the session has seen more elsewhere.
    asked: BTreeMap<(SessionId, ServerId), Vec<Zxid>>,
    /// What clients without a session said when they asked for one.
    newcomers: BTreeMap<NodeId, Zxid>,
}

impl K03 {
    /// What a session that a server takes had seen when it asked for that, at least.
    fn floor(&self, session: SessionId, server: ServerId) -> Zxid {
        let asked = self.asked.get(&(session, server)).and_then(|asked| asked.iter().min());
        asked.or_else(|| self.seen.get(&session)).copied().unwrap_or_default()
    }

    fn asks(&mut self, client: NodeId, fact: &SessionFact) {
        match fact {
            SessionFact::Asked { resume: Some(session), last_zxid, server, .. } => {
                let last_zxid = Zxid::from_wire(*last_zxid).unwrap_or_default();
                self.asked.entry((*session, *server)).or_default().push(last_zxid);
            }
            SessionFact::Asked { resume: None, last_zxid, .. } => {
                let last_zxid = Zxid::from_wire(*last_zxid).unwrap_or_default();
                self.newcomers.insert(client, last_zxid);
            }
            // The answer to its newest question.
            SessionFact::Granted { asked, got: session, server, .. } => {
                if asked.is_none()
                    && let Some(seen) = self.newcomers.remove(&client)
                {
                    self.seen.insert(*session, seen);
                }
                self.asked.entry((*session, *server)).or_default().pop();
            }
            SessionFact::Expired { session, server } => {
                self.asked.entry((*session, *server)).or_default().pop();
            }
            SessionFact::ReadOnly { .. }
            | SessionFact::Forged { .. }
            | SessionFact::Detached { .. }
            | SessionFact::Silent { .. }
            | SessionFact::GaveUp { .. }
            | SessionFact::Left { .. } => {}
        }
    }
}

impl Check for K03 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::SessionAttached, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let Some((server, Note::SessionAttached { session, .. })) = note_of(cx, event) {
            let seen = self.floor(*session, server);
            let member = cx.canon.member(server);
            let applied = member.map_or(0, |member| member.applied.len());
            let is_ours = !cx.canon.cluster.apache.contains(&server);
            // Who has promised nothing yet cannot know that it ever held anything.
            let knows = |member: &&Member| is_ours && member.blank && member.accepted.is_some();
            let blank = member.filter(knows);
            if let Some(vouched) = blank.and_then(|member| member.vouched)
                && cx.canon.count_upto(vouched) > applied
            {
                return Err(format!(
                    "{server} takes session {session}, and lacks {vouched}, which its disk lost"
                ));
            }
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
            ClientFact::Session(fact) => {
                self.asks(cx.node, fact);
                return Ok(());
            }
            ClientFact::Invoke { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Watch { .. }
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
    use crate::observe::LossKind;
    use vivarium_core::ids::{Epoch, LinkId};
    use vivarium_core::server::note::StateDigest;

    #[test]
    fn going_back_in_time_is_found() {
        let mut run = Run::new(K03::default());
        run.ok(5, 1, z(1, 2), Reply::Empty).unwrap();
        run.err(5, 2, Zxid(u64::MAX), -6).unwrap();
        assert!(run.ok(5, 3, z(1, 1), Reply::Empty).is_err());
    }

    #[test]
    fn a_new_session_goes_on_where_its_client_was() {
        for (said, saw, right) in [(1, 1, true), (2, 1, false), (2, 3, true), (-1, 1, true)] {
            let mut run = Run::new(K03::default());
            let server = ServerId(1);
            let last_zxid = if said < 0 { said } else { z(1, said as u32).to_wire() };
            let asks = SessionFact::Asked { resume: None, last_zxid, timeout_ms: 900, server };
            run.client(ClientFact::Session(asks)).unwrap();
            run.grant(5, 900, 1).unwrap();
            assert_eq!(run.ok(5, 1, z(1, saw), Reply::Empty).is_ok(), right, "{said} {saw}");
        }
    }

    #[test]
    fn who_lost_its_tree_shows_it_to_nobody() {
        for (wiped, promises, filled) in
            [(true, true, false), (true, false, false), (true, true, true), (false, true, false)]
        {
            let mut run = Run::new(K03::default());
            run.boot_all();
            run.establish(1, 1).unwrap();
            run.write(1, 1, 1).unwrap();
            if wiped {
                run.crash(2);
                run.server(2, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
                run.boot(2);
                let digest = StateDigest::default();
                run.note(2, Note::Recovered { last: None, from: None, blank: true, digest })
                    .unwrap();
            }
            if promises {
                run.note(2, Note::EpochAccepted { epoch: Epoch(1) }).unwrap();
            }
            if filled {
                let (epoch, history) = (Epoch(1), Some(z(1, 1)));
                run.note(2, Note::AckedNewLeader { epoch, history }).unwrap();
            }
            let attached = Note::SessionAttached { session: SessionId(5), link: LinkId(1) };
            assert_eq!(run.note(2, attached).is_err(), wiped && promises && !filled);
        }
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

    #[test]
    fn a_question_that_is_read_late_owes_what_its_session_had_seen_when_it_asked() {
        let mut run = Run::new(K03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        let ask = |run: &mut Run<K03>, server, last_zxid: Zxid| {
            let (resume, server) = (Some(SessionId(5)), ServerId(server));
            let last_zxid = last_zxid.0.cast_signed();
            let fact = SessionFact::Asked { resume, last_zxid, timeout_ms: 1000, server };
            run.client(ClientFact::Session(fact)).unwrap();
        };
        ask(&mut run, 3, Zxid::ZERO);
        run.write(1, 1, 1).unwrap();
        ask(&mut run, 1, Zxid::ZERO);
        run.grant(5, 1000, 1).unwrap();
        run.ok(5, 1, z(1, 1), Reply::Empty).unwrap();
        let attached = || Note::SessionAttached { session: SessionId(5), link: LinkId(1) };
        run.boot(3);
        run.note(3, attached()).unwrap();
        ask(&mut run, 2, z(1, 1));
        run.boot(2);
        assert!(run.note(2, attached()).is_err());
    }
}
