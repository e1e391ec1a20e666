//! E7: in the calm phase, the session of a client that says nothing ends: within its timeout, a few
//! ticks and the time that a leader has been in office.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::{ClientFact, SessionFact};
use crate::ids::SimTime;
use crate::observe::SimEvent;
use crate::oracle::txn::Txn;
use std::collections::BTreeMap;
use vivarium_core::ids::{ServerId, SessionId};
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct E07 {
    /// Every open session, and the timeout of its transaction.
    open: BTreeMap<SessionId, u64>,
    /// Of sessions that are local, too: one may be granted another timeout while the transaction that opens it
    /// for all is under way.
    granted: BTreeMap<SessionId, Granted>,
    /// When its client was last heard of, whatever became of what it said.
    used: BTreeMap<SessionId, SimTime>,
    /// Who came into office last, and when.
    leader: Option<(ServerId, SimTime)>,
    next: Option<SimTime>,
}

/// What the client of a session was told.
#[derive(Clone, Copy, Debug, Default)]
struct Granted {
    longest: u64,
    newest: u64,
    /// When it was told the newest.
    at: SimTime,
    /// What it has asked for since, and a leader may have agreed to: 0 where it was told.
    asked: u64,
}

/// Microseconds between two looks at all sessions.
const INTERVAL: u64 = 1_000_000;

/// Beyond its timeout a session may live until the end of its tick, one more for the last report of
/// its use, and some for the wheel of the expiry itself and for the commit.
const SPARE_TICKS: u64 = 4;
const SPARE: u64 = 500_000;

impl Check for E07 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client, Topic::Healed, Topic::PhaseEntered])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        for (_, judged) in cx.canon.judged() {
            let session = SessionId(judged.header.session);
            match judged.txn {
                Txn::CreateSession { timeout_ms } => {
                    self.open.insert(session, micros(timeout_ms));
                    self.used.insert(session, cx.now);
                }
                Txn::CloseSession { .. } => {
                    self.open.remove(&session);
                    self.used.remove(&session);
                    self.granted.remove(&session);
                }
                _ => {}
            }
        }
        match event {
            SimEvent::Client(fact) => self.client(cx.now, fact),
            SimEvent::Healed { .. } => self.next = Some(cx.now.plus(INTERVAL)),
            _ => {}
        }
        if let Some((server, Note::PhaseEntered { phase, .. })) = note_of(cx, event) {
            match phase {
                Phase::LeadingBroadcast | Phase::Standalone => {
                    self.leader = Some((server, cx.now));
                }
                Phase::LeadingDiscovery | Phase::LeadingSynchronization => self.leader = None,
                _ => {}
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.next
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        self.next = Some(cx.now.plus(INTERVAL));
        let (Some((leader, led)), Some(healed)) = (self.leader, cx.canon.healed_at) else {
            return Ok(());
        };
        // Without a leader nobody expires anything: whether there has to be one is L1's question.
        let in_office = cx.canon.member(leader).is_some_and(|member| {
            member.up && matches!(member.phase, Phase::LeadingBroadcast | Phase::Standalone)
        });
        if !in_office {
            self.leader = None;
            return Ok(());
        }
        // Nothing is asked of one that stays sick, which may well believe that it leads.
        if cx.canon.is_spared(leader) {
            return Ok(());
        }
        let spare = cx.canon.cluster.tick_us * SPARE_TICKS + SPARE;
        let settled = led.max(healed).plus(spare);
        // Until it has noticed who of its followers is dead, it may wait for them with each commit.
        let noticed = healed.plus(cx.canon.cluster.notices_us() + spare);
        for (session, created) in &self.open {
            let timeout = self.timeout(*session, *created, settled);
            let used = self.used.get(session).copied().unwrap_or_default();
            let drift = timeout / 1_000_000 * cx.spec.drift_ppm + cx.spec.drift_ppm;
            let from = used.max(led).max(healed);
            if cx.now > from.plus(timeout + drift + spare).max(noticed) {
                return Err(format!(
                    "{session} is open, though its client has said nothing since {used}, its timeout \
                     is {} ms, and the leader has been there since {led}",
                    timeout / 1000
                ));
            }
        }
        Ok(())
    }
}

impl E07 {
    fn client(&mut self, now: SimTime, fact: &ClientFact) {
        let session = match fact {
            ClientFact::Invoke { op, .. } => op.session,
            ClientFact::Ping { session, .. } => *session,
            ClientFact::Session(
                SessionFact::Asked { resume: Some(session), .. }
                | SessionFact::Granted { got: session, .. },
            ) => *session,
            ClientFact::Session(_)
            | ClientFact::Ok { .. }
            | ClientFact::Err { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Nonsense { .. } => return,
        };
        if let Some(used) = self.used.get_mut(&session) {
            *used = now;
        }
        if let ClientFact::Session(SessionFact::Granted { timeout_ms, .. }) = fact {
            let granted = self.granted.entry(session).or_default();
            let newest = micros(*timeout_ms);
            let longest = granted.longest.max(newest);
            *granted = Granted { longest, newest, at: now, asked: 0 };
        }
        if let ClientFact::Session(SessionFact::Asked { timeout_ms, .. }) = fact {
            let granted = self.granted.entry(session).or_default();
            granted.asked = granted.asked.max(micros(*timeout_ms));
        }
    }

    /// One that comes back may have negotiated another timeout. The newest binds where it was granted under this
    /// leader, while all was calm; else the longest: a new leader begins with that of the transaction, and a
    /// server among faults may not come to tell of what it granted.
    fn timeout(&self, session: SessionId, created: u64, settled: SimTime) -> u64 {
        let Some(granted) = self.granted.get(&session) else { return created };
        let told = match granted.at > settled {
            true => granted.newest,
            false => granted.longest.max(created),
        };
        told.max(granted.asked)
    }
}

fn micros(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::Sickness;

    /// Server 1 leads, and session 5 is open.
    fn begun() -> Run<E07> {
        let mut run = Run::new(E07::default());
        run.boot_all();
        run.establish(1, 1).expect("it may lead");
        run.open(z(1, 1), 5);
        run
    }

    #[test]
    fn a_session_that_never_ends_is_found() {
        let mut run = begun();
        run.wait_ms(100_000).unwrap();
        run.heal().unwrap();
        run.client(ClientFact::Ping { session: SessionId(5), connection: 1 }).unwrap();
        assert!(run.wait_ms(60_000).unwrap_err().contains("said nothing"));
    }

    #[test]
    fn a_leader_that_died_expires_nothing() {
        let mut run = begun();
        run.heal().unwrap();
        run.crash(1);
        run.wait_ms(60_000).unwrap();
    }

    #[test]
    fn a_leader_that_stays_sick_owes_nothing() {
        let mut run = begun();
        run.heal().unwrap();
        run.canon.sick.insert(ServerId(1), Sickness::Stalled);
        run.wait_ms(60_000).unwrap();
        run.canon.sick.clear();
        assert!(run.wait_ms(60_000).is_err());
    }

    /// A session that was local is opened for all by what its client does, and the client has another timeout by
    /// the time that this is committed.
    #[test]
    fn what_was_granted_before_the_session_was_known_binds_too() {
        let ends = |granted_ms: i32, after_ms| {
            let mut run = Run::new(E07::default());
            run.boot_all();
            run.establish(1, 1)?;
            run.grant(5, granted_ms, 1)?;
            run.open(z(1, 1), 5);
            run.heal()?;
            run.wait_ms(after_ms)
        };
        ends(30_000, 30_000).unwrap();
        assert!(ends(30_000, 60_000).is_err());
        assert!(ends(1_000, 40_000).is_err());
    }

    #[test]
    fn a_shorter_timeout_binds_where_this_leader_granted_it_while_all_is_calm() {
        let ends = |wait_ms| {
            let mut run = begun();
            run.grant(5, 60_000, 1)?;
            run.heal()?;
            run.wait_ms(wait_ms)?;
            run.grant(5, 1_000, 2)?;
            run.wait_ms(30_000)
        };
        assert!(ends(30_000).is_err());
        ends(0).unwrap();
    }

    /// A leader that agreed to it counts with it, whether its client is still there to hear of that or not.
    #[test]
    fn a_longer_timeout_that_was_asked_for_in_vain_may_bind() {
        let ends = |told: bool| {
            let mut run = begun();
            run.heal()?;
            run.wait_ms(10)?;
            let (resume, server) = (Some(SessionId(5)), ServerId(1));
            let asked = SessionFact::Asked { resume, last_zxid: 0, timeout_ms: 40_000, server };
            run.client(ClientFact::Session(asked))?;
            if told {
                run.grant(5, 1_000, 2)?;
            }
            run.wait_ms(40_000)
        };
        ends(false).unwrap();
        assert!(ends(true).is_err());
    }

    /// Followers that faults have left dead hold up its commits until it has given them up.
    #[test]
    fn a_leader_has_a_while_to_notice_who_is_dead() {
        let mut run = begun();
        run.heal().unwrap();
        run.wait_ms(run.canon.cluster.notices_us() / 1000).unwrap();
        assert!(run.wait_ms(15_000).is_err());
    }

    #[test]
    fn one_that_is_used_or_closed_is_fine() {
        let mut run = begun();
        run.open(z(1, 2), 6);
        run.close(z(1, 3), 6).unwrap();
        run.heal().unwrap();
        for _ in 0..100 {
            run.client(ClientFact::Ping { session: SessionId(5), connection: 1 }).unwrap();
            run.wait_ms(1_000).unwrap();
        }
    }
}
