//! L4: in the calm phase, with a quorum able to fsync and talk, a write that a client sends is followed by
//! a commit within T_op, even while a minority is stalled, has a full disk or one that hangs, is deaf or mute.
//! The clock of writes sent earlier starts at T_le, when a leader is due; a connection that fails
//! silently holds it, as it does for L1.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::ClientFact;
use crate::ids::SimTime;
use crate::observe::SimEvent;

/// The oldest probe that no commit has followed.
#[derive(Debug, Default)]
pub(crate) struct L04 {
    probe: Option<SimTime>,
    /// When a leader is due.
    from: Option<SimTime>,
    half_open: bool,
    held: bool,
}

impl Check for L04 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Healed, Topic::HalfOpen, Topic::Client])
    }

    fn needs_quorum(&self) -> bool {
        true
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        match event {
            SimEvent::Healed { .. } => self.restart(cx),
            SimEvent::HalfOpen { on } => {
                self.half_open = *on;
                self.held |= *on && self.from.is_some();
                if self.from.is_some() && !on {
                    self.restart(cx);
                }
            }
            // Whoever reads without a quorum is told at once that nothing will be written.
            SimEvent::Client(ClientFact::Invoke { op, call })
                if self.from.is_some()
                    && call.is_write()
                    && !cx.canon.readers.contains(&op.session) =>
            {
                self.probe.get_or_insert(cx.now);
            }
            _ => {}
        }
        if !cx.canon.fresh.is_empty() {
            self.probe = None;
        }
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        let (probe, from) = (self.probe?, self.from?);
        (!self.half_open).then(|| probe.max(from).plus(T_OP_US))
    }

    fn due(&mut self, _: &Cx<'_>) -> Result<(), String> {
        let probe = self.probe.take();
        Err(format!("nothing was committed since a client wrote at {}", probe.unwrap_or_default()))
    }

    fn excuse(&self) -> Option<String> {
        self.held.then(|| {
            "connections that failed silently were still in use: the clock of writes began at their end"
                .into()
        })
    }
}

const T_OP_US: u64 = 30_000_000;

impl L04 {
    fn restart(&mut self, cx: &Cx<'_>) {
        let cluster = &cx.canon.cluster;
        self.from = Some(cx.now.plus(2 * cluster.init_limit_ticks * cluster.tick_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Call;
    use crate::ids::NodeId;
    use vivarium_core::ids::SessionId;

    fn probe(run: &mut Run<L04>, xid: i32) -> Result<(), String> {
        run.invoke(5, xid, Call::Delete { path: "/a".into(), version: -1 })
    }

    fn calm() -> Run<L04> {
        let mut run = Run::new(L04::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.heal().unwrap();
        run
    }

    #[test]
    fn a_write_that_no_commit_follows_is_found() {
        let mut run = calm();
        run.wait_ms(61_000).unwrap();
        probe(&mut run, 1).unwrap();
        run.wait_ms(29_000).unwrap();
        assert!(run.wait_ms(2_000).unwrap_err().contains("nothing was committed"));
    }

    #[test]
    fn a_write_of_a_session_that_may_only_read_asks_for_no_commit() {
        let mut run = calm();
        run.canon.readers.insert(SessionId(5));
        run.wait_ms(61_000).unwrap();
        probe(&mut run, 1).unwrap();
        run.wait_ms(100_000).unwrap();
    }

    #[test]
    fn a_commit_is_an_answer_to_all_before_it() {
        let mut run = calm();
        run.wait_ms(61_000).unwrap();
        probe(&mut run, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.wait_ms(100_000).unwrap();
    }

    #[test]
    fn the_clock_starts_when_a_leader_is_due_and_black_holes_hold_it() {
        let mut run = calm();
        probe(&mut run, 1).unwrap();
        run.feed(NodeId::World, &SimEvent::HalfOpen { on: true }).unwrap();
        run.wait_ms(300_000).unwrap();
        assert!(run.check.excuse().is_some());
        run.feed(NodeId::World, &SimEvent::HalfOpen { on: false }).unwrap();
        run.wait_ms(89_000).unwrap();
        assert!(run.wait_ms(2_000).is_err());
    }
}
