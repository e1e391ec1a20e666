//! L5: once all faults ended, every request ends within T_op + the session timeout, and while clients
//! ask, some of them are answered.

use crate::checkers::e08_local_sessions::NOT_READ_ONLY;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{ClientFact, RequestId};
use crate::ids::SimTime;
use crate::observe::SimEvent;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct L05 {
    next: Option<SimTime>,
    healed: bool,
    open: BTreeMap<RequestId, SimTime>,
    /// Writes that were sent since, and whether one of them was answered.
    writes: BTreeSet<RequestId>,
    wrote: bool,
    /// When the last request was sent, and when the last one was answered.
    asked: SimTime,
    answered: SimTime,
    /// Why nobody has to answer.
    refusal: Option<String>,
}

impl Check for L05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Healed, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if matches!(event, SimEvent::Healed { .. }) {
            self.healed = true;
            self.next = Some(cx.now.plus(bound(cx)));
            self.answered = cx.now;
            self.refusal = cx.canon.refusal();
        }
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call } => {
                if self.healed && !self.wrote && call.is_write() {
                    self.writes.insert(*op);
                }
                self.open.insert(*op, cx.now);
                self.asked = cx.now;
            }
            ClientFact::Err { op, code: NOT_READ_ONLY, .. } => {
                self.open.remove(op);
            }
            ClientFact::Ok { op, .. } | ClientFact::Err { op, .. } => {
                self.open.remove(op);
                self.answered = cx.now;
                self.wrote |= self.writes.remove(op);
            }
            ClientFact::Unknown { op } => {
                self.open.remove(op);
            }
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.next
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        let bound = bound(cx);
        self.next = self.healed.then(|| cx.now.plus(PERIOD_US));
        if let Some((op, since)) =
            self.open.iter().find(|(_, since)| cx.now.since(**since) >= bound)
        {
            return Err(format!("{op:?} was sent at {since} and has not ended"));
        }
        // Where a quorum of disks is lost, to be refused is an end, too.
        let must_answer = self.refusal.is_none();
        if must_answer && self.asked > self.answered && cx.now.since(self.answered) >= bound {
            return Err(format!("nobody was answered since {}", self.answered));
        }
        Ok(())
    }

    fn excuse(&self) -> Option<String> {
        self.refusal.clone()
    }

    /// A write of the calm phase was answered, and nothing waits longer than it should where nothing
    /// is faulty.
    fn wants(&mut self, cx: &Cx<'_>) -> Option<String> {
        if !self.wrote {
            return Some("no write was answered in the calm phase".into());
        }
        let slow = self.open.iter().find(|(_, since)| cx.now.since(**since) >= PROMPT_US);
        slow.map(|(op, since)| format!("{op:?} was sent at {since} and has not ended"))
    }
}

/// Far longer than an answer takes where nothing is faulty, in microseconds.
const PROMPT_US: u64 = 3_000_000;
const T_OP_US: u64 = 30_000_000;
const PERIOD_US: u64 = 1_000_000;

fn bound(cx: &Cx<'_>) -> u64 {
    T_OP_US + cx.canon.cluster.max_session_timeout_ms * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::{Call, Reply};

    #[test]
    fn a_request_without_an_end_is_found() {
        let mut run = Run::new(L05::default());
        run.invoke(5, 1, Call::Sync { path: "/".into() }).unwrap();
        run.heal().unwrap();
        run.wait_ms(80_000).unwrap();
        run.invoke(6, 1, Call::Sync { path: "/".into() }).unwrap();
        run.ok(6, 1, z(1, 1), Reply::Path("/".into())).unwrap();
        assert!(run.wait_ms(11_000).unwrap_err().contains("has not ended"));
    }

    #[test]
    fn losing_every_connection_is_no_answer() {
        let mut run = Run::new(L05::default());
        run.heal().unwrap();
        for xid in 1..100 {
            run.invoke(5, xid, Call::Sync { path: "/".into() }).unwrap();
            run.client(ClientFact::Unknown { op: request(5, xid) }).unwrap();
            if run.wait_ms(1_000).is_err() {
                return;
            }
        }
        panic!("it was not found");
    }

    #[test]
    fn a_run_goes_on_until_a_write_of_the_calm_phase_is_answered_and_nothing_waits() {
        let mut run = Run::new(L05::default());
        let write = || Call::Delete { path: "/a".into(), version: -1 };
        run.invoke(5, 1, write()).unwrap();
        run.heal().unwrap();
        run.ok(5, 1, z(1, 1), Reply::Empty).unwrap();
        run.invoke(5, 2, Call::Sync { path: "/".into() }).unwrap();
        assert!(run.wants().unwrap().contains("no write"), "that one was sent before");
        run.invoke(5, 3, write()).unwrap();
        run.err(5, 3, z(1, 2), -101).unwrap();
        assert_eq!(run.wants(), None);
        run.wait_ms(3_000).unwrap();
        assert!(run.wants().unwrap().contains("has not ended"));
        run.client(ClientFact::Unknown { op: request(5, 2) }).unwrap();
        assert_eq!(run.wants(), None);
    }
}
