//! E8: a local session lives at the server that gave it and nowhere else, is not ended there before its
//! time, becomes global once at most, and is refused nothing but what only a global one may do. A server
//! without a quorum serves readers while it looks for a leader, and changes nothing for them.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::{Call, ClientFact, Reply, SessionFact, SubReply};
use crate::ids::SimTime;
use crate::observe::SimEvent;
use crate::oracle::tree::Standing;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::{ServerId, SessionId};
use vivarium_core::server::note::{LocalChange, Note, Phase};

pub(crate) const NOT_READ_ONLY: i32 = -119;
pub(crate) const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;
const SESSION_EXPIRED: i32 = -112;

#[derive(Debug, Default)]
pub(crate) struct E08 {
    /// Local sessions as their servers tell.
    living: BTreeMap<SessionId, Living>,
    /// Those whose server asked for them to be global.
    upgraded: BTreeSet<SessionId>,
    /// Who granted each session first.
    homes: BTreeMap<SessionId, ServerId>,
    /// Servers that serve readers without a quorum.
    readers: BTreeSet<ServerId>,
    /// Requests under way that want a quorum.
    changes: BTreeSet<(SessionId, i32)>,
}

#[derive(Clone, Copy, Debug)]
struct Living {
    server: ServerId,
    used: SimTime,
}

impl Check for E08 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Client,
            Topic::LocalSession,
            Topic::Serving,
            Topic::ServingReadOnly,
            Topic::PhaseEntered,
            Topic::Crash,
            Topic::Exit,
            Topic::Boot,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let (Some(server), SimEvent::Crash(_) | SimEvent::Exit(_) | SimEvent::Boot { .. }) =
            (cx.server(), event)
        {
            self.readers.remove(&server);
            self.forget(server);
        }
        if let Some((server, note)) = note_of(cx, event) {
            return self.note(cx, server, note);
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call } => {
                let ends = matches!(call, Call::CloseSession);
                if (call.is_write() && !ends) || matches!(call, Call::Sync { .. }) {
                    self.changes.insert((op.session, op.xid));
                }
                Ok(())
            }
            ClientFact::Ok { op, result, .. } => {
                self.parts_refused(cx, op.session, result)?;
                let changes = self.changes.remove(&(op.session, op.xid));
                if changes && cx.canon.readers.contains(&op.session) {
                    return Err(format!("{op:?} is done by a server without a quorum"));
                }
                Ok(())
            }
            ClientFact::Err { op, code, .. } => {
                self.changes.remove(&(op.session, op.xid));
                self.refused(cx, op.session, *code)
            }
            ClientFact::Unknown { op } => {
                self.changes.remove(&(op.session, op.xid));
                Ok(())
            }
            ClientFact::Session(fact) => self.session(cx, fact),
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Nonsense { .. } => Ok(()),
        }
    }
}

impl E08 {
    fn note(&mut self, cx: &Cx<'_>, server: ServerId, note: &Note) -> Result<(), String> {
        match note {
            Note::LocalSession { session, change } => self.change(cx, server, *session, *change)?,
            Note::Serving { on: false } => self.forget(server),
            Note::ServingReadOnly { on: true } => {
                self.readers.insert(server);
            }
            Note::ServingReadOnly { on: false } => {
                self.readers.remove(&server);
                self.forget(server);
            }
            _ => {}
        }
        let looks = cx.canon.member(server).is_none_or(|member| match member.phase {
            // All its connections end with it.
            Phase::Looking | Phase::Halted => true,
            _ => false,
        });
        if self.readers.contains(&server) && !(looks && cx.canon.cluster.read_only_mode) {
            return Err(format!("{server} serves readers, and does not look for a leader"));
        }
        Ok(())
    }

    /// The server has left the role in which it gave its sessions.
    fn forget(&mut self, server: ServerId) {
        self.living.retain(|_, living| living.server != server);
    }

    fn change(
        &mut self,
        cx: &Cx<'_>,
        server: ServerId,
        session: SessionId,
        change: LocalChange,
    ) -> Result<(), String> {
        match change {
            LocalChange::Opened { .. } => {
                self.living.insert(session, Living { server, used: cx.now });
                return Ok(());
            }
            LocalChange::Touched => {
                if let Some(living) = self.living.get_mut(&session) {
                    living.used = cx.now;
                }
                return Ok(());
            }
            LocalChange::Upgraded => {
                if !self.upgraded.insert(session) {
                    return Err(format!("{server} asks a second time for {session} to be global"));
                }
            }
            LocalChange::Closed => {}
            LocalChange::Expired { idle_ms, timeout_ms } => {
                self.has_run_out(cx, server, session, idle_ms, timeout_ms)?;
            }
        }
        match self.living.remove(&session) {
            Some(living) if living.server == server => Ok(()),
            found => {
                Err(format!("{server}: {session}, {change:?}, is no session of it: {found:?}"))
            }
        }
    }

    fn has_run_out(
        &self,
        cx: &Cx<'_>,
        server: ServerId,
        session: SessionId,
        idle_ms: u64,
        timeout_ms: i32,
    ) -> Result<(), String> {
        let timeout_ms = u64::try_from(timeout_ms).unwrap_or(0);
        let used = self.living.get(&session).map_or(SimTime::ZERO, |living| living.used);
        let drift_us = timeout_ms * cx.spec.drift_ppm / 1000 + cx.spec.drift_ppm;
        let passed_us = cx.now.since(used) + drift_us;
        if idle_ms < timeout_ms || passed_us < timeout_ms * 1000 {
            return Err(format!(
                "{server} ends {session} after {idle_ms} of {timeout_ms} ms, used at {used}"
            ));
        }
        Ok(())
    }

    /// Whether a session may be answered so.
    fn refused(&self, cx: &Cx<'_>, session: SessionId, code: i32) -> Result<(), String> {
        let cluster = &cx.canon.cluster;
        let is_right = match code {
            NOT_READ_ONLY => cx.canon.readers.contains(&session),
            EPHEMERAL_ON_LOCAL_SESSION => {
                cluster.local_sessions
                    && !cluster.upgrading
                    && cx.canon.standing(session) == Standing::Local
            }
            // Whoever lost it is closed.
            SESSION_EXPIRED => {
                cx.canon.standing(session) != Standing::Local || self.upgraded.contains(&session)
            }
            _ => true,
        };
        if is_right { Ok(()) } else { Err(format!("{session} is answered {code}")) }
    }

    /// The same of each part of a multi.
    fn parts_refused(&self, cx: &Cx<'_>, session: SessionId, reply: &Reply) -> Result<(), String> {
        let Reply::Multi(parts) = reply else { return Ok(()) };
        for part in parts {
            if let SubReply::Error(code) = part {
                self.refused(cx, session, *code)?;
            }
        }
        Ok(())
    }

    fn session(&mut self, cx: &Cx<'_>, fact: &SessionFact) -> Result<(), String> {
        match fact {
            SessionFact::Granted { asked: None, got, server, .. } => {
                self.homes.insert(*got, *server);
            }
            SessionFact::Granted { asked: Some(session), server, .. } => {
                let local = cx.canon.standing(*session) == Standing::Local
                    && !self.upgraded.contains(session);
                let home = self.homes.get(session);
                if local && home.is_some_and(|home| home != server) {
                    return Err(format!("{server} goes on with {session}, a session of {home:?}"));
                }
            }
            SessionFact::Expired { session, server }
                if self.living.get(session).is_some_and(|living| living.server == *server) =>
            {
                return Err(format!("{server} says that {session} is over, which it keeps"));
            }
            SessionFact::Expired { .. }
            | SessionFact::ReadOnly { .. }
            | SessionFact::Forged { .. }
            | SessionFact::Asked { .. }
            | SessionFact::Detached { .. }
            | SessionFact::Silent { .. }
            | SessionFact::GaveUp { .. }
            | SessionFact::Left { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::config::Config;
    use vivarium_core::ids::Epoch;

    const FIVE: SessionId = SessionId(5);

    /// A cluster of local sessions that lets clients read, and session 5 of server 1.
    fn run(set: impl Fn(&mut Config)) -> Run<E08> {
        let mut run = Run::with_config(E08::default(), |config| {
            config.local_sessions = true;
            config.read_only_mode = true;
            set(config);
        });
        run.boot_all();
        run.establish(1, 1).unwrap();
        change(&mut run, LocalChange::Opened { timeout_ms: 20_000 }).unwrap();
        run.grant(5, 20_000, 1).unwrap();
        run
    }

    fn change(run: &mut Run<E08>, change: LocalChange) -> Result<(), String> {
        run.note(1, Note::LocalSession { session: FIVE, change })
    }

    fn granted_by(run: &mut Run<E08>, server: u64) -> Result<(), String> {
        run.client(ClientFact::Session(SessionFact::Granted {
            asked: Some(FIVE),
            got: FIVE,
            same_password: true,
            timeout_ms: 20_000,
            server: ServerId(server),
            connection: 2,
        }))
    }

    #[test]
    fn a_local_session_at_another_server_is_found() {
        granted_by(&mut run(|_| ()), 1).unwrap();
        assert!(granted_by(&mut run(|_| ()), 2).is_err());
        let mut run = run(|_| ());
        change(&mut run, LocalChange::Upgraded).unwrap();
        granted_by(&mut run, 2).unwrap();
        assert!(change(&mut run, LocalChange::Upgraded).is_err(), "once");
    }

    #[test]
    fn an_end_before_its_time_is_found() {
        let expires_after = |ms: u64, idle_ms| {
            let mut run = run(|_| ());
            run.wait_ms(10_000).unwrap();
            change(&mut run, LocalChange::Touched).unwrap();
            run.wait_ms(ms).unwrap();
            change(&mut run, LocalChange::Expired { idle_ms, timeout_ms: 20_000 })
        };
        expires_after(20_100, 20_100).unwrap();
        assert!(expires_after(20_100, 19_900).is_err(), "its server says so");
        assert!(expires_after(19_000, 20_100).is_err(), "whatever its server says");
        let expired = SessionFact::Expired { session: FIVE, server: ServerId(1) };
        assert!(run(|_| ()).client(ClientFact::Session(expired)).is_err());
    }

    #[test]
    fn a_refusal_that_had_not_to_be_is_found() {
        run(|_| ()).err(5, 1, z(1, 0), EPHEMERAL_ON_LOCAL_SESSION).unwrap();
        let upgrading = |config: &mut Config| config.local_sessions_upgrading = true;
        assert!(run(upgrading).err(5, 1, z(1, 0), EPHEMERAL_ON_LOCAL_SESSION).is_err());
        for code in [NOT_READ_ONLY, SESSION_EXPIRED] {
            assert!(run(|_| ()).err(5, 1, z(1, 0), code).is_err(), "{code}");
            let parts = vec![SubReply::Error(0), SubReply::Error(code)];
            assert!(run(|_| ()).ok(5, 1, z(1, 0), Reply::Multi(parts)).is_err(), "{code}");
        }
    }

    #[test]
    fn readers_who_stay_while_their_server_leads_are_found() {
        let mut run = run(|_| ());
        let enter = |phase| Note::PhaseEntered { phase, epoch: Epoch(1) };
        run.note(2, enter(Phase::Looking)).unwrap();
        run.note(2, Note::ServingReadOnly { on: true }).unwrap();
        assert!(run.note(2, enter(Phase::FollowingDiscovery)).is_err());
    }

    #[test]
    fn a_change_without_a_quorum_is_found() {
        let mut run = run(|_| ());
        let fact = SessionFact::ReadOnly { session: FIVE, server: ServerId(1) };
        run.client(ClientFact::Session(fact)).unwrap();
        run.err(5, 1, z(1, 0), NOT_READ_ONLY).unwrap();
        run.invoke(5, 2, Call::Sync { path: "/".into() }).unwrap();
        assert!(run.ok(5, 2, z(1, 0), Reply::Path("/".into())).is_err());
    }
}
