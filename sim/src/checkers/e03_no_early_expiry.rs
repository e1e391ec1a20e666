//! E3: a leader expires a session only when its session clock ran for the whole timeout, that which the
//! client was granted, since the last use, and counts each use so; a pause counts for a tick of it at most; and
//! only the established leader of the newest epoch it knows does so. Seen from outside, while nothing is faulty:
//! not before timeout * (1 - drift) - tick after the last answered send, or the last return to it.
//!
//! The outside view holds only while no fault is in force, and for what was sent a syncLimit after the
//! last one: until then a follower whose leader has dropped it, or lost it on the way, goes on
//! answering pings which the leader never hears of. One that stays sick (its disk hangs) is dropped again
//! and again: what it answered before it noticed need not have been told.

use crate::checkers::session_clock::SessionClock;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::{ClientFact, SessionFact};
use crate::ids::{NodeId, SimTime};
use crate::observe::SimEvent;
use crate::oracle::txn::Txn;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use vivarium_core::ids::{ServerId, SessionId};
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct E03 {
    quiet_since: SimTime,
    /// What each session was granted last, or less where it may have less.
    timeouts: BTreeMap<SessionId, i32>,
    sent: BTreeMap<(SessionId, Option<i32>), VecDeque<SimTime>>,
    /// When each client asked for the session that it had.
    asked: BTreeMap<NodeId, SimTime>,
    /// When the last request left that was answered.
    used: BTreeMap<SessionId, SimTime>,
    /// Who granted each session its connection.
    at: BTreeMap<SessionId, ServerId>,
    /// When each server last found itself without a leader.
    lost_leader: BTreeMap<ServerId, SimTime>,
    expired: BTreeMap<SessionId, SimTime>,
    /// When the leader found it expired: what is sent from then on is answered until that is committed.
    found: BTreeMap<SessionId, SimTime>,
    /// When each session sent last, and when it last did so after its client had let it run out (the
    /// workload's silent operations do): what comes as late as that may meet the expiry on its way, and so
    /// may all that follows until the leader has heard of it.
    last: BTreeMap<SessionId, SimTime>,
    overslept: BTreeMap<SessionId, Range<SimTime>>,
    /// A learner may have been cut off from its leader one way, for as long as nobody notices: its
    /// clients are served, and the leader does not hear of them.
    half_open: bool,
    clocks: BTreeMap<ServerId, SessionClock>,
}

impl Check for E03 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Fresh,
            Topic::HalfOpen,
            Topic::Faults,
            Topic::Crash,
            Topic::Paused,
            Topic::Resumed,
            Topic::Exit,
            Topic::Boot,
            Topic::PhaseEntered,
            Topic::Established,
            Topic::SessionExpired,
            Topic::SessionTouched,
            Topic::Client,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let SimEvent::HalfOpen { on } = event {
            self.half_open = *on;
        }
        if matches!(
            event,
            SimEvent::Faults { .. }
                | SimEvent::HalfOpen { .. }
                | SimEvent::Crash(_)
                | SimEvent::Paused
                | SimEvent::Resumed
                | SimEvent::Exit(_)
                | SimEvent::Boot { .. }
                | SimEvent::Note(Note::Established { .. })
        ) {
            self.quiet_since = cx.now;
        }
        if let Some(server) = cx.server() {
            self.clocks.entry(server).or_default().hear(cx, event);
        }
        let starts = matches!(event, SimEvent::Boot { .. }) && cx.canon.cluster.standalone;
        if starts || matches!(event, SimEvent::Note(Note::Established { .. })) {
            // What an earlier leader found may never be committed.
            self.found.clear();
            // Nobody has told this one what was agreed on with others since the session was made.
            for (session, timeout_ms) in &mut self.timeouts {
                *timeout_ms = (*timeout_ms).min(made_with(cx, *session));
            }
        }
        if let Some((server, Note::SessionExpired { session, idle_ms, timeout_ms })) =
            note_of(cx, event)
        {
            if *idle_ms < u64::try_from(*timeout_ms).unwrap_or(0) {
                return Err(format!(
                    "{server} expires {session} after {idle_ms} of {timeout_ms} ms"
                ));
            }
            self.has_run_out(cx, server, *session, *timeout_ms)?;
            let member = cx.canon.member(server);
            let leads = member.is_some_and(|member| {
                matches!(member.phase, Phase::Standalone)
                    || (matches!(member.phase, Phase::LeadingBroadcast)
                        && cx.canon.established.get(&member.epoch) == Some(&server))
            });
            if !leads {
                return Err(format!("{server} expires {session} but does not lead"));
            }
            self.found.insert(*session, cx.now);
        }
        if let Some((server, Note::PhaseEntered { phase: Phase::Looking, .. })) = note_of(cx, event)
        {
            self.lost_leader.insert(server, cx.now);
        }
        if let Some((server, Note::SessionTouched { session, timeout_ms })) = note_of(cx, event) {
            self.counts_whole(cx, server, *session, *timeout_ms)?;
        }
        for (_, judged) in cx.canon.judged() {
            // Request number 0: no client asked for it.
            if matches!(judged.txn, Txn::CloseSession { .. }) && judged.header.cxid == 0 {
                let session = SessionId(judged.header.session);
                self.expired.insert(session, cx.now);
                self.judge(cx, session)?;
            }
        }
        if let SimEvent::Client(fact) = event {
            self.client(cx, fact)?;
        }
        Ok(())
    }
}

impl E03 {
    fn has_run_out(
        &self,
        cx: &Cx<'_>,
        server: ServerId,
        session: SessionId,
        timeout_ms: i32,
    ) -> Result<(), String> {
        self.counts_whole(cx, server, session, timeout_ms)?;
        let ran_us = self.clocks.get(&server).map_or(u64::MAX, |it| it.ran_us(session, cx.now));
        let timeout_us = u64::try_from(timeout_ms).unwrap_or(0) * 1000;
        let drift = timeout_us / 1_000_000 * cx.spec.drift_ppm + cx.spec.drift_ppm;
        if ran_us < timeout_us.saturating_sub(drift) {
            return Err(format!(
                "{server} expires {session} after {ran_us} us of its own time, not {timeout_us}"
            ));
        }
        Ok(())
    }

    /// One that has been replaced and does not know has not heard what was agreed on since.
    fn counts_whole(
        &self,
        cx: &Cx<'_>,
        server: ServerId,
        session: SessionId,
        timeout_ms: i32,
    ) -> Result<(), String> {
        let granted = self.timeouts.get(&session).filter(|_| is_newest(cx, server));
        match granted.filter(|granted| **granted > timeout_ms) {
            None => Ok(()),
            Some(granted) => Err(format!(
                "{server} gives {session} {timeout_ms} ms, its client was granted {granted}"
            )),
        }
    }

    fn client(&mut self, cx: &Cx<'_>, fact: &ClientFact) -> Result<(), String> {
        let answered = match fact {
            ClientFact::Invoke { op, .. } => {
                self.sends(cx, op.session);
                let sent = self.sent.entry((op.session, Some(op.xid))).or_default();
                sent.push_back(cx.now);
                return Ok(());
            }
            ClientFact::Ping { session, .. } => {
                self.sends(cx, *session);
                self.sent.entry((*session, None)).or_default().push_back(cx.now);
                return Ok(());
            }
            ClientFact::Ok { op, .. } => (op.session, Some(op.xid)),
            ClientFact::Err { op, .. } | ClientFact::Unknown { op } => {
                self.sent.remove(&(op.session, Some(op.xid)));
                return Ok(());
            }
            ClientFact::Pong { session, .. } => (*session, None),
            ClientFact::Session(SessionFact::Asked {
                resume: Some(session), timeout_ms, ..
            }) => {
                self.asked.insert(cx.node, cx.now);
                // It holds before the client hears so.
                let known = self.timeouts.get_mut(session).filter(|_| !cx.spec.recorded);
                if let Some(known) = known {
                    *known = (*known).min(cx.canon.cluster.negotiated_ms(*timeout_ms));
                }
                return Ok(());
            }
            ClientFact::Session(SessionFact::Granted {
                asked, got, timeout_ms, server, ..
            }) => {
                self.at.insert(*got, *server);
                if let Some(at) = self.asked.remove(&cx.node).filter(|_| asked.is_some()) {
                    let used = self.used.entry(*got).or_default();
                    *used = (*used).max(at);
                }
                let known = self.timeouts.entry(*got).or_insert(i32::MAX);
                // An earlier leader's word is none of the newest one's, nor does it undo that.
                let most =
                    if is_newest(cx, *server) { i32::MAX } else { made_with(cx, *got).min(*known) };
                *known = most.min(*timeout_ms);
                return Ok(());
            }
            ClientFact::Session(SessionFact::Detached { session, .. }) => {
                self.sent.remove(&(*session, None));
                return Ok(());
            }
            // No leader hears of it.
            ClientFact::Session(SessionFact::ReadOnly { session, .. }) => {
                self.used.remove(session);
                return Ok(());
            }
            ClientFact::Watch { .. } | ClientFact::Session(_) | ClientFact::Nonsense { .. } => {
                return Ok(());
            }
        };
        let sent = self.sent.get_mut(&answered).and_then(VecDeque::pop_front);
        if answered.1.is_some() {
            self.sent.remove(&answered);
        }
        let is_late = |sent: &SimTime| {
            self.found.get(&answered.0).is_some_and(|at| at <= sent)
                || self.overslept.get(&answered.0).is_some_and(|late| late.contains(sent))
        };
        if let Some(sent) = sent.filter(|sent| !is_late(sent)) {
            let used = self.used.entry(answered.0).or_default();
            *used = (*used).max(sent);
            self.judge(cx, answered.0)?;
        }
        Ok(())
    }

    fn sends(&mut self, cx: &Cx<'_>, session: SessionId) {
        let before = self.last.insert(session, cx.now);
        let (Some(before), Some(timeout_ms)) = (before, self.timeouts.get(&session)) else {
            return;
        };
        if cx.now.since(before) >= least_us(cx, *timeout_ms) {
            self.overslept.insert(session, cx.now..cx.now.plus(report_us(cx)));
        }
    }

    fn judge(&self, cx: &Cx<'_>, session: SessionId) -> Result<(), String> {
        let (Some(expired), Some(used), Some(timeout_ms)) =
            (self.expired.get(&session), self.used.get(&session), self.timeouts.get(&session))
        else {
            return Ok(());
        };
        let noticed = self.quiet_since.plus(report_us(cx));
        let untold = self.at.get(&session).and_then(|server| self.lost_leader.get(server));
        let excused = untold.is_some_and(|lost| lost >= used);
        if self.half_open || cx.canon.faults_active > 0 || *used < noticed || excused {
            return Ok(());
        }
        if expired.since(*used) < least_us(cx, *timeout_ms) {
            return Err(format!(
                "{session} sent at {used} with success, but is expired at {expired}"
            ));
        }
        Ok(())
    }
}

/// Whether it leads in the newest epoch, or follows there.
fn is_newest(cx: &Cx<'_>, server: ServerId) -> bool {
    let newest = cx.canon.established.last_key_value().map(|(epoch, _)| *epoch);
    cx.canon.member(server).map(|member| member.epoch) >= newest
}

/// The timeout that is logged with the session.
fn made_with(cx: &Cx<'_>, session: SessionId) -> i32 {
    cx.canon.oracle.tree().sessions().get(&session.0).copied().unwrap_or(i32::MAX)
}

/// Until a leader knows of the clients of a follower, or that follower that it lost its leader. One tick more
/// for the report of who was there, which rides on the leader's ping.
fn report_us(cx: &Cx<'_>) -> u64 {
    let cluster = &cx.canon.cluster;
    (cluster.sync_limit_ticks + 1) * cluster.tick_us
}

/// So long a session lives at least behind what was answered.
fn least_us(cx: &Cx<'_>, timeout_ms: i32) -> u64 {
    let timeout_us = u64::try_from(timeout_ms).unwrap_or(0) * 1000;
    let drift = timeout_us / 1_000_000 * cx.spec.drift_ppm + cx.spec.drift_ppm;
    timeout_us.saturating_sub(drift).saturating_sub(cx.canon.cluster.tick_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    fn note(idle_ms: u64) -> Note {
        Note::SessionExpired { session: SessionId(5), idle_ms, timeout_ms: 20_000 }
    }

    #[test]
    fn an_early_expiry_is_found() {
        let mut run = Run::new(E03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.wait_ms(20_000).unwrap();
        run.note(1, note(20_000)).unwrap();
        assert!(run.note(1, note(19_999)).is_err());
    }

    #[test]
    fn an_expiry_after_less_than_was_granted_is_found() {
        let mut run = Run::new(E03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.grant(5, 30_000, 1).unwrap();
        let touched = |timeout_ms| Note::SessionTouched { session: SessionId(5), timeout_ms };
        run.note(1, touched(30_000)).unwrap();
        assert!(run.note(1, touched(29_999)).unwrap_err().contains("was granted 30000"));
        run.wait_ms(60_000).unwrap();
        assert!(run.note(1, note(20_000)).unwrap_err().contains("was granted 30000"));
    }

    /// A timeout that was agreed on later than the session was made binds who agreed, and from the question
    /// on; a leader that comes after knows only the first one.
    #[test]
    fn a_later_agreement_ends_with_its_leader() {
        let expires = |renewed: bool, asked_ms: Option<i32>| {
            let mut run = Run::new(E03::default());
            run.boot_all();
            run.canon.cluster.max_session_timeout_ms = 60_000;
            run.establish(1, 1).unwrap();
            run.commit(1, header(z(1, 1), 5, 0), &Txn::CreateSession { timeout_ms: 20_000 })
                .unwrap();
            run.grant(5, 30_000, 2).unwrap();
            let resume = Some(SessionId(5));
            if let Some(timeout_ms) = asked_ms {
                let (last_zxid, server) = (0, ServerId(1));
                let asked = SessionFact::Asked { resume, last_zxid, timeout_ms, server };
                run.client(ClientFact::Session(asked)).unwrap();
            }
            if renewed {
                run.establish(1, 2).unwrap();
            }
            run.wait_ms(60_000).unwrap();
            run.note(1, note(20_000))
        };
        assert!(expires(false, None).is_err() && expires(false, Some(40_000)).is_err());
        expires(true, None).unwrap();
        expires(false, Some(15_000)).unwrap();
    }

    /// A leader that stood still wakes to sessions that are as old as they were.
    #[test]
    fn an_expiry_of_time_that_a_pause_took_is_found() {
        let expires_after = |pause: bool, ms: u64| {
            let mut run = Run::new(E03::default());
            run.boot_all();
            run.establish(1, 1).unwrap();
            let touched = Note::SessionTouched { session: SessionId(5), timeout_ms: 20_000 };
            run.note(1, touched).unwrap();
            if pause {
                run.server(1, SimEvent::Paused).unwrap();
            }
            run.wait_ms(18_000).unwrap();
            if pause {
                run.server(1, SimEvent::Resumed).unwrap();
            }
            run.wait_ms(ms).unwrap();
            run.note(1, note(20_000))
        };
        assert!(expires_after(false, 2_000).is_ok());
        assert!(expires_after(false, 1_900).unwrap_err().contains("of its own time"));
        assert!(expires_after(true, 2_000).unwrap_err().contains("of its own time"));
        assert!(expires_after(true, 20_000).is_ok());
    }

    #[test]
    fn an_expiry_by_a_follower_is_found() {
        let mut run = Run::new(E03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        assert!(run.note(2, note(20_000)).is_err());
    }

    /// Session 5 with 20 seconds, granted by leader 1, a minute after the last fault.
    fn with_a_session() -> Run<E03> {
        let mut run = Run::new(E03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.commit(1, header(z(1, 1), 5, 0), &Txn::CreateSession { timeout_ms: 20_000 }).unwrap();
        run.grant(5, 20_000, 1).unwrap();
        run.wait_ms(60_000).unwrap();
        run
    }

    /// What is sent once the leader has found it expired does not count; if that leader goes, it does.
    #[test]
    fn an_expired_session_is_answered_until_its_end_is_committed() {
        let used_while_it_ends = |closed_by: u64| {
            let mut run = with_a_session();
            run.note(1, note(20_000)).unwrap();
            if closed_by == 2 {
                run.establish(2, 2).unwrap();
                run.wait_ms(60_000).unwrap();
            }
            let (session, connection) = (SessionId(5), 1);
            run.client(ClientFact::Ping { session, connection }).unwrap();
            run.client(ClientFact::Pong { session, connection, zxid: 1 }).unwrap();
            let zxid = if closed_by == 2 { z(2, 1) } else { z(1, 2) };
            run.commit(
                closed_by,
                header(zxid, 5, 0),
                &Txn::CloseSession { paths: Some(Vec::new()) },
            )
        };
        used_while_it_ends(1).unwrap();
        assert!(used_while_it_ends(2).is_err());
    }

    /// A client sends, is silent for so long, and sends again, and a last time so much later, while the
    /// expiry is on its way.
    fn sent_at_last_behind(silence_ms: u64, later_ms: u64) -> Result<(), String> {
        let mut run = with_a_session();
        (run.canon.cluster.tick_us, run.canon.cluster.sync_limit_ticks) = (100_000, 9);
        let (session, connection) = (SessionId(5), 1);
        for silence_ms in [0, silence_ms, later_ms] {
            run.wait_ms(silence_ms).unwrap();
            run.client(ClientFact::Ping { session, connection }).unwrap();
            run.client(ClientFact::Pong { session, connection, zxid: 1 }).unwrap();
        }
        run.commit(1, header(z(1, 2), 5, 0), &Txn::CloseSession { paths: Some(Vec::new()) })
    }

    #[test]
    fn who_lets_a_session_run_out_may_come_too_late() {
        assert_eq!(sent_at_last_behind(20_000, 0), Ok(()));
        assert_eq!(sent_at_last_behind(20_000, 500), Ok(()), "the leader has not heard of it");
        assert!(sent_at_last_behind(20_000, 15_000).is_err(), "by now it has");
        assert!(sent_at_last_behind(5_000, 0).is_err());
    }

    /// A session is used while a fault is long over, or just over, and expired then.
    fn used_then_expired(calm_ms: u64, after_ms: u64, half_open: &[bool]) -> Result<(), String> {
        let mut run = Run::new(E03::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.grant(5, 20_000, 1).unwrap();
        for &on in half_open {
            run.feed(NodeId::World, &SimEvent::HalfOpen { on }).unwrap();
        }
        run.wait_ms(calm_ms).unwrap();
        let (session, connection) = (SessionId(5), 1);
        run.client(ClientFact::Ping { session, connection }).unwrap();
        run.client(ClientFact::Pong { session, connection, zxid: 1 }).unwrap();
        run.wait_ms(after_ms).unwrap();
        run.close(z(1, 2), 5)
    }

    fn granted_by(server: u64, timeout_ms: i32) -> ClientFact {
        let (got, server) = (SessionId(5), ServerId(server));
        let (asked, same_password, connection) = (Some(got), true, 1);
        ClientFact::Session(SessionFact::Granted {
            asked,
            got,
            same_password,
            timeout_ms,
            server,
            connection,
        })
    }

    /// It was gone for almost all of its time, and comes back.
    #[test]
    fn an_expiry_in_spite_of_a_return_is_found() {
        let returns = |server: u64, read_only: bool| {
            let mut run = with_a_session();
            let (resume, last_zxid, server) = (Some(SessionId(5)), 0, ServerId(server));
            let asked = SessionFact::Asked { resume, last_zxid, timeout_ms: 20_000, server };
            run.client(ClientFact::Session(asked)).unwrap();
            run.client(granted_by(server.0, 20_000)).unwrap();
            if read_only {
                let session = SessionId(5);
                run.client(ClientFact::Session(SessionFact::ReadOnly { session, server })).unwrap();
            }
            run.wait_ms(5_000).unwrap();
            run.close(z(1, 2), 5)
        };
        assert!(returns(1, false).is_err());
        returns(1, true).unwrap();
    }

    /// Its server finds that the leader has dropped it: nobody need have told of the use before.
    #[test]
    fn who_lost_its_leader_may_have_told_nobody() {
        let used_at = |server: u64, loses: u64| {
            let mut run = with_a_session();
            run.client(granted_by(server, 20_000)).unwrap();
            let (session, connection) = (SessionId(5), 1);
            run.client(ClientFact::Ping { session, connection }).unwrap();
            run.client(ClientFact::Pong { session, connection, zxid: 1 }).unwrap();
            run.note(loses, phase(Phase::Looking, 1)).unwrap();
            run.close(z(1, 2), 5)
        };
        used_at(2, 2).unwrap();
        assert!(used_at(2, 3).is_err());
    }

    /// Who asks an earlier leader again gets no promise of the newest one.
    #[test]
    fn an_earlier_leader_undoes_no_agreement() {
        let mut run = with_a_session();
        run.establish(2, 2).unwrap();
        run.note(1, phase(Phase::LeadingBroadcast, 1)).unwrap();
        run.client(granted_by(2, 10_000)).unwrap();
        run.client(granted_by(1, 20_000)).unwrap();
        let touched = |timeout_ms| Note::SessionTouched { session: SessionId(5), timeout_ms };
        run.note(2, touched(10_000)).unwrap();
        assert!(run.note(2, touched(9_999)).unwrap_err().contains("was granted 10000"));
    }

    /// Also of a server that served all the time.
    #[test]
    fn an_expiry_in_spite_of_use_is_found_from_outside() {
        assert!(used_then_expired(60_000, 5_000, &[]).is_err());
        used_then_expired(60_000, 20_000, &[]).unwrap();
        used_then_expired(1_000, 5_000, &[]).unwrap();
    }

    #[test]
    fn a_half_open_connection_excuses_only_while_it_lasts() {
        used_then_expired(60_000, 5_000, &[true]).unwrap();
        assert!(used_then_expired(60_000, 5_000, &[true, false]).is_err());
    }
}
