//! L1: within T_le (two initLimits) after all faults ended, connections that fail silently included,
//! there is exactly one established leader, and no further change of epoch. A planned change restarts the
//! clock: at the zxid limit, once for each epoch that reaches it, and where a server that is up has accepted
//! a newer epoch than the leader's, which nothing else can bring back. So does a disk that has still to write
//! what its server took before faults ended, for as long as it comes on.

use crate::checkers::backlog::Backlog;
use crate::checkers::canon::Member;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::ids::SimTime;
use crate::observe::SimEvent;
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct L01 {
    next: Option<SimTime>,
    /// Established and in office when the clock ran out.
    leader: Option<ServerId>,
    last_proposed: Option<Zxid>,
    /// Newest epoch whose zxids were used up.
    rolled_over: Option<Epoch>,
    healed: bool,
    /// What the clock was started anew for, or held.
    excuse: Option<String>,
    held: bool,
    /// A connection loses what is sent on it. It outlives the heal, until its ends give it up.
    half_open: bool,
    backlog: Backlog,
    /// In office when faults ended, and sick for good: whoever follows has its time from its end on.
    sick_leader: Option<ServerId>,
}

const IN_ORDER: &str = "a leader changed the epoch in order, at the last zxid of its own";

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

    fn needs_quorum(&self) -> bool {
        true
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if cx.canon.cluster.standalone {
            return Ok(());
        }
        match event {
            SimEvent::Healed { .. } => {
                self.healed = true;
                self.backlog = Backlog::at_heal(cx);
                self.sick_leader = sick_leader(cx);
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
        if let Note::PhaseEntered { .. } = note
            && self.sick_leader.take_if(|sick| *sick == server).is_some()
            && self.leader.is_none()
        {
            self.excuse = Some(fell_sick(server));
            self.restart(cx);
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
        let used_up = self.used_up(cx);
        // A server that accepted a newer epoch follows nobody of this one: a leader that makes room
        // for it does what has to be done, and each such epoch asks for it once.
        let newest =
            cx.canon.members.values().filter(|member| member.up).filter_map(|m| m.accepted).max();
        let outbid = newest > cx.canon.member(leader).map(|member| member.epoch);
        let sick = cx.canon.sick.contains_key(&leader);
        if used_up.is_some() || outbid || sick {
            self.rolled_over = used_up.or(self.rolled_over);
            self.excuse = Some(match (used_up, outbid) {
                (Some(_), _) => IN_ORDER.into(),
                (_, true) => format!("{leader} made room for an epoch that a server had accepted"),
                (_, _) => fell_sick(leader),
            });
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
        if let (Err(_), Some(epoch)) = (only_leader(cx), self.used_up(cx)) {
            self.rolled_over = Some(epoch);
            self.excuse = Some(IN_ORDER.into());
            self.restart(cx);
            return Ok(());
        }
        if self.half_open && only_leader(cx).is_err() {
            if self.held {
                only_leader(cx)?;
            }
            let why = "a connection that failed silently was still in use when a leader was due";
            self.excuse = Some(why.into());
            self.held = true;
            // Whoever looks for a leader gives up a silent connection within this time, and then the
            // bound begins once more.
            self.restart(cx);
            self.next = self.next.map(|at| at.plus(cx.canon.cluster.silence_us));
            return Ok(());
        }
        if let (Err(_), Some(server)) = (only_leader(cx), self.backlog.shrinking(cx)) {
            let excuse = format!("the disk of {server} still wrote what came before faults ended");
            self.excuse = Some(excuse);
            self.restart(cx);
            return Ok(());
        }
        self.leader = Some(only_leader(cx)?);
        Ok(())
    }

    fn wants(&mut self, cx: &Cx<'_>) -> Option<String> {
        if cx.canon.cluster.standalone { None } else { only_leader(cx).err() }
    }

    fn excuse(&self) -> Option<String> {
        self.excuse.clone()
    }
}

fn fell_sick(leader: ServerId) -> String {
    format!("{leader} led when faults ended, and stayed sick")
}

/// One that is cut off keeps nobody from electing another.
fn sick_leader(cx: &Cx<'_>) -> Option<ServerId> {
    let leads = |server: &ServerId| {
        cx.canon.member(*server).is_some_and(|member| member.phase == Phase::LeadingBroadcast)
    };
    let mut heard = cx.canon.sick.iter().filter(|(_, sick)| !sick.is_cut_off());
    heard.find(|(server, _)| leads(server)).map(|(server, _)| *server)
}

fn only_leader(cx: &Cx<'_>) -> Result<ServerId, String> {
    let leads = |member: &Member| member.up && member.phase == Phase::LeadingBroadcast;
    // Such a one may believe what it likes.
    let is_cut_off = |server| cx.canon.sick.get(server).is_some_and(|sick| sick.is_cut_off());
    let members = cx.canon.members.iter().filter(|(server, _)| !is_cut_off(*server));
    let leaders: Vec<ServerId> =
        members.filter(|(_, member)| leads(member)).map(|(server, _)| *server).collect();
    match leaders[..] {
        [leader] => Ok(leader),
        _ => Err(format!("in the calm phase the leaders are {leaders:?}")),
    }
}

impl L01 {
    /// The newest epoch, where its zxids are used up and its end has not been excused yet.
    fn used_up(&self, cx: &Cx<'_>) -> Option<Epoch> {
        let limit = cx.canon.cluster.zxid_counter_limit;
        let last = self.last_proposed.filter(|zxid| zxid.counter() >= limit.saturating_sub(1))?;
        Some(last.epoch()).filter(|epoch| Some(*epoch) != self.rolled_over)
    }

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
    use crate::observe::Sickness;

    fn calm() -> Run<L01> {
        let mut run = Run::new(L01::default());
        run.boot_all();
        run.heal().unwrap();
        run
    }

    #[test]
    fn a_connection_that_fails_silently_holds_the_clock_once() {
        let mut run = calm();
        run.canon.cluster.silence_us = 10_000_000;
        run.feed(NodeId::World, &SimEvent::HalfOpen { on: true }).unwrap();
        run.wait_ms(129_000).unwrap();
        assert!(run.check.excuse().unwrap().contains("failed silently"));
        assert!(run.wait_ms(2_000).is_err(), "60 s, 10 s until it is given up, and 60 s again");
    }

    #[test]
    fn from_the_end_of_such_a_connection_on_the_clock_runs() {
        let mut run = calm();
        run.feed(NodeId::World, &SimEvent::HalfOpen { on: true }).unwrap();
        run.wait_ms(50_000).unwrap();
        run.feed(NodeId::World, &SimEvent::HalfOpen { on: false }).unwrap();
        run.wait_ms(59_000).unwrap();
        assert!(run.wait_ms(2_000).is_err());
    }

    #[test]
    fn no_leader_in_time_is_found() {
        let mut run = calm();
        run.wait_ms(59_000).unwrap();
        assert!(run.wait_ms(2_000).is_err());
    }

    #[test]
    fn a_disk_that_comes_on_with_what_it_had_to_write_puts_off_the_leader() {
        let mut run = Run::new(L01::default());
        run.boot_all();
        for counter in 1..=3 {
            run.log(1, z(1, counter), 1).unwrap();
        }
        run.heal().unwrap();
        run.wait_ms(59_000).unwrap();
        run.disks.put(1, z(1, 1), 1);
        run.wait_ms(60_000).unwrap();
        assert!(run.check.excuse().unwrap().contains("the disk of 1"));
        assert!(run.wait_ms(2_000).is_err(), "it has not come on since");
    }

    #[test]
    fn a_disk_that_is_through_puts_off_nobody() {
        let mut run = Run::new(L01::default());
        run.boot_all();
        run.log(1, z(1, 1), 1).unwrap();
        run.heal().unwrap();
        run.disks.put(1, z(1, 1), 1);
        assert!(run.wait_ms(61_000).is_err());
    }

    #[test]
    fn who_is_cut_off_may_believe_that_it_leads() {
        let mut run = Run::new(L01::default());
        run.boot_all();
        run.establish(3, 1).unwrap();
        let sick = vec![(ServerId(3), Sickness::Mute)];
        run.feed(NodeId::World, &SimEvent::Healed { dead: Vec::new(), sick }).unwrap();
        run.establish(1, 2).unwrap();
        run.wait_ms(61_000).unwrap();
        assert_eq!(run.check.leader, Some(ServerId(1)));
        assert_eq!(run.check.excuse(), None);
    }

    #[test]
    fn a_sick_leader_may_fall_and_the_run_says_so() {
        let mut run = Run::new(L01::default());
        run.boot_all();
        let sick = vec![(ServerId(1), Sickness::DiskStalled)];
        run.feed(NodeId::World, &SimEvent::Healed { dead: Vec::new(), sick }).unwrap();
        run.establish(1, 1).unwrap();
        run.wait_ms(61_000).unwrap();
        run.note(1, phase(Phase::Looking, 1)).unwrap();
        assert!(run.check.excuse().unwrap().contains("stayed sick"));
        assert!(run.wait_ms(61_000).is_err(), "another one has to follow");
    }

    #[test]
    fn a_sick_leader_that_falls_before_the_clock_ran_out_leaves_the_next_its_time() {
        let mut run = Run::new(L01::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        let sick = vec![(ServerId(1), Sickness::DiskStalled)];
        run.feed(NodeId::World, &SimEvent::Healed { dead: Vec::new(), sick }).unwrap();
        run.wait_ms(50_000).unwrap();
        run.note(1, phase(Phase::Looking, 1)).unwrap();
        run.wait_ms(59_000).unwrap();
        assert!(run.check.excuse().unwrap().contains("stayed sick"));
        assert!(run.wait_ms(2_000).is_err(), "another one has to follow");
    }

    #[test]
    fn one_leader_passes_and_a_later_change_is_found() {
        let mut run = calm();
        run.establish(1, 1).unwrap();
        run.wait_ms(61_000).unwrap();
        assert!(run.note(1, phase(Phase::Looking, 1)).is_err());
    }

    /// One transaction is all that fits an epoch; epoch 2 is established a minute later.
    fn with_epoch_1_used_up() -> Run<L01> {
        let mut run = calm();
        run.canon.cluster.zxid_counter_limit = 1;
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        run.wait_ms(61_000).unwrap();
        run.note(1, phase(Phase::Looking, 1)).unwrap();
        run.establish(2, 2).unwrap();
        run
    }

    #[test]
    fn a_planned_change_restarts_the_clock() {
        let mut run = with_epoch_1_used_up();
        run.wait_ms(61_000).unwrap();
        assert!(run.note(2, phase(Phase::Looking, 2)).is_err());
    }

    #[test]
    fn each_epoch_that_is_used_up_restarts_the_clock_once() {
        let mut run = with_epoch_1_used_up();
        run.write(2, 2, 1).unwrap();
        run.note(2, phase(Phase::Looking, 2)).unwrap();
        run.wait_ms(61_000).expect("epoch 2 is over in order when the clock runs out");
        assert!(run.wait_ms(61_000).is_err(), "and nobody leads a third one");
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
