//! L1: within T_le (two initLimits) after all faults ended, connections that fail silently included,
//! there is exactly one established leader, and no further change of epoch. A planned change restarts the clock: at the zxid limit, once, and where
//! a server that is up has accepted a newer epoch than the leader's, which nothing else can bring back.

use crate::checkers::canon::Member;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::ids::SimTime;
use crate::observe::SimEvent;
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct L01 {
    next: Option<SimTime>,
    /// Established and in office when the clock ran out.
    leader: Option<ServerId>,
    last_proposed: Option<Zxid>,
    rolled_over: bool,
    healed: bool,
    /// A connection loses what is sent on it. It outlives the heal, until its ends give it up.
    half_open: bool,
}

impl Check for L01 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Healed,
            Topic::HalfOpen,
            Topic::Proposed,
            Topic::Established,
            Topic::PhaseEntered,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if cx.canon.cluster.standalone {
            return Ok(());
        }
        match event {
            SimEvent::Healed { .. } => {
                self.healed = true;
                self.restart(cx);
            }
            SimEvent::HalfOpen { on } => {
                self.half_open = *on;
                if self.healed && !on && self.leader.is_none() {
                    self.restart(cx);
                }
            }
            _ => {}
        }
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        if let Note::Proposed { zxid, .. } = note {
            self.last_proposed = Some(*zxid);
        }
        let Some(leader) = self.leader else { return Ok(()) };
        let changes = match note {
            Note::Established { .. } => true,
            Note::PhaseEntered { phase, .. } => {
                server == leader && *phase != Phase::LeadingBroadcast
            }
            _ => false,
        };
        if !changes {
            return Ok(());
        }
        let limit = cx.canon.cluster.zxid_counter_limit;
        let planned =
            self.last_proposed.is_some_and(|zxid| zxid.counter() >= limit.saturating_sub(1));
        // A server that accepted a newer epoch follows nobody of this one: a leader that makes room
        // for it does what has to be done, and each such epoch asks for it once.
        let newest =
            cx.canon.members.values().filter(|member| member.up).filter_map(|m| m.accepted).max();
        let outbid = newest > cx.canon.member(leader).map(|member| member.epoch);
        if (planned && !self.rolled_over) || outbid {
            self.rolled_over |= planned;
            self.restart(cx);
            return Ok(());
        }
        Err(format!("{server} changes the epoch in the calm phase: {note:?}"))
    }

    fn deadline(&self) -> Option<SimTime> {
        self.next
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        self.next = None;
        if self.half_open && only_leader(cx).is_err() {
            return Ok(());
        }
        self.leader = Some(only_leader(cx)?);
        Ok(())
    }

    fn wants(&mut self, cx: &Cx<'_>) -> Option<String> {
        if cx.canon.cluster.standalone { None } else { only_leader(cx).err() }
    }
}

fn only_leader(cx: &Cx<'_>) -> Result<ServerId, String> {
    let leads = |member: &Member| member.up && member.phase == Phase::LeadingBroadcast;
    let members = cx.canon.members.iter();
    let leaders: Vec<ServerId> =
        members.filter(|(_, member)| leads(member)).map(|(server, _)| *server).collect();
    match leaders[..] {
        [leader] => Ok(leader),
        _ => Err(format!("in the calm phase the leaders are {leaders:?}")),
    }
}

impl L01 {
    fn restart(&mut self, cx: &Cx<'_>) {
        let cluster = &cx.canon.cluster;
        self.leader = None;
        self.next = Some(cx.now.plus(2 * cluster.init_limit_ticks * cluster.tick_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::ids::NodeId;

    fn calm() -> Run<L01> {
        let mut run = Run::new(L01::default());
        run.boot_all();
        run.heal().unwrap();
        run
    }

    #[test]
    fn a_connection_that_fails_silently_holds_the_clock() {
        let half_open = |run: &mut Run<L01>, on| {
            run.feed(NodeId::World, &SimEvent::HalfOpen { on }).unwrap();
        };
        let mut run = calm();
        half_open(&mut run, true);
        run.wait_ms(100_000).unwrap();
        half_open(&mut run, false);
        run.wait_ms(59_000).unwrap();
        assert!(run.wait_ms(2_000).is_err(), "from its end on the clock runs");
    }

    #[test]
    fn no_leader_in_time_is_found() {
        let mut run = calm();
        run.wait_ms(59_000).unwrap();
        assert!(run.wait_ms(2_000).is_err());
    }

    #[test]
    fn one_leader_passes_and_a_later_change_is_found() {
        let mut run = calm();
        run.establish(1, 1).unwrap();
        run.wait_ms(61_000).unwrap();
        assert!(run.note(1, phase(Phase::Looking, 1)).is_err());
    }

    #[test]
    fn a_planned_change_restarts_the_clock() {
        let mut run = calm();
        run.canon.cluster.zxid_counter_limit = 1;
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.wait_ms(61_000).unwrap();
        run.note(1, phase(Phase::Looking, 1)).unwrap();
        run.establish(2, 2).unwrap();
        run.wait_ms(61_000).unwrap();
        assert!(run.note(2, phase(Phase::Looking, 2)).is_err());
    }

    #[test]
    fn a_run_goes_on_until_there_is_one_leader() {
        let mut run = calm();
        assert!(run.wants().is_some());
        run.establish(1, 1).unwrap();
        assert_eq!(run.wants(), None);
        run.note(2, phase(Phase::LeadingBroadcast, 2)).unwrap();
        assert!(run.wants().is_some());
    }
}
