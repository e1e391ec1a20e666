//! L8: in the calm phase, what has outlived its purpose goes: a container whose last child is gone, a node
//! without children whose TTL has passed. D4 says that nothing else does.

use crate::checkers::canon::Member;
use crate::checkers::d04_outlived::purpose;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::Life;
use crate::ids::SimTime;
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::ServerId;
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct L08 {
    next: Option<SimTime>,
    /// Who is in office.
    leader: Option<ServerId>,
    /// What its wall clock showed in the newest transaction, and when that was committed.
    clock: Option<(i64, SimTime)>,
    /// Nodes, of this czxid, that were found to have outlived their purpose.
    found: BTreeMap<(String, i64), Outlived>,
}

#[derive(Clone, Copy, Debug)]
struct Outlived {
    since: SimTime,
    /// When it has to be gone. Not less for what has gone since: that was in front of it.
    until: SimTime,
}

/// Between two looks, in microseconds.
const INTERVAL: u64 = 500_000;
/// For the commit, and for what is slow without being faulty, in microseconds.
const SPARE: u64 = 1_500_000;

impl Check for L08 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Healed, Topic::PhaseEntered])
    }

    fn needs_quorum(&self) -> bool {
        true
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if matches!(event, SimEvent::Healed { .. }) {
            self.next = Some(cx.now.plus(INTERVAL));
            // Clocks that were set are set right.
            self.begin_anew();
        }
        if let Some((server, Note::PhaseEntered { phase, .. })) = note_of(cx, event) {
            match phase {
                Phase::LeadingBroadcast | Phase::Standalone => {
                    self.leader = Some(server);
                    self.begin_anew();
                }
                Phase::LeadingDiscovery | Phase::LeadingSynchronization => self.leader = None,
                _ => {}
            }
        }
        // An older leader's clock may be far from that of this one.
        if let Some((fresh, judged)) = cx.canon.judged().last()
            && let Some(leader) = self.leader.and_then(|leader| cx.canon.member(leader))
            && fresh.entry.zxid.epoch() == leader.epoch
        {
            self.clock = Some((judged.header.time, cx.now));
        }
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.next
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        self.next = Some(cx.now.plus(INTERVAL));
        let (Some(leader), Some((time, at))) = (self.leader, self.clock) else { return Ok(()) };
        let in_office = cx.canon.member(leader).is_some_and(|member| {
            member.up && matches!(member.phase, Phase::LeadingBroadcast | Phase::Standalone)
        });
        if !in_office || cx.canon.is_spared(leader) || cx.canon.oracle_blind {
            self.begin_anew();
            return Ok(());
        }
        if !is_followed(cx, leader) {
            self.found.clear();
            return Ok(());
        }
        let passed_us = cx.now.since(at);
        let drift_us = passed_us / 1_000_000 * cx.spec.drift_ppm + cx.spec.drift_ppm;
        let wall = time + (passed_us.saturating_sub(drift_us) / 1000) as i64;
        self.look(cx, wall)
    }
}

/// Whether a quorum follows, without which nothing goes; how long that may last is L1's question.
fn is_followed(cx: &Cx<'_>, leader: ServerId) -> bool {
    let Some(epoch) = cx.canon.member(leader).map(|member| member.epoch) else { return false };
    let follows = |member: &Member| {
        let phases = [Phase::LeadingBroadcast, Phase::FollowingBroadcast, Phase::Standalone];
        member.up && member.epoch == epoch && phases.contains(&member.phase)
    };
    // Who hangs may take long to be given up.
    let serves = |id: &ServerId, member: &Member| follows(member) && !cx.canon.is_spared(*id);
    let followers = cx.canon.members.iter().filter(|(id, member)| serves(id, member));
    cx.canon.cluster.is_quorum(followers.map(|(id, _)| id))
}

impl L08 {
    fn begin_anew(&mut self) {
        self.clock = None;
        self.found.clear();
    }

    fn look(&mut self, cx: &Cx<'_>, wall: i64) -> Result<(), String> {
        let cluster = &cx.canon.cluster;
        let before = std::mem::take(&mut self.found);
        let mut mortals = 0;
        for (path, node) in cx.canon.oracle.tree().nodes() {
            if matches!(node.record.life(), Life::Persistent | Life::Ephemeral) {
                continue;
            }
            mortals += 1;
            if purpose(node, wall, cluster.never_used_ms).is_none() {
                let key = (path.to_owned(), node.record.czxid);
                let fresh = Outlived { since: cx.now, until: cx.now };
                let known = before.get(&key).copied().unwrap_or(fresh);
                self.found.insert(key, known);
            }
        }
        // Two looks of the leader, each with a pause behind all that goes.
        let pauses = 2 * (mortals + 2) * cluster.sweep_pause_us;
        let bound = 2 * cluster.sweep_interval_us + pauses + SPARE;
        for ((path, _), outlived) in &mut self.found {
            outlived.until = outlived.until.max(outlived.since.plus(bound));
            if cx.now > outlived.until {
                return Err(format!(
                    "{path} has had no purpose since {} at the latest, and is still there: \
                     the leader looks every {} us",
                    outlived.since, cluster.sweep_interval_us
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::Sickness;
    use crate::oracle::txn::{CreateTxn, Header, Txn};

    /// A container that was used and is empty, and a node with a TTL.
    fn run(ttl_ms: i64) -> Run<L08> {
        let mut run = Run::new(L08::default());
        run.canon.cluster.sweep_interval_us = 1_000_000;
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.heal().unwrap();
        let ttl = Life::Ttl { ms: ttl_ms };
        let made = CreateTxn { life: ttl, kind: 21, ..create_txn("/t", false, 1) };
        let at = |n| Header { time: 100, ..header(z(1, n), 5, 0) };
        run.commit(1, at(2), &Txn::Create(made)).unwrap();
        run
    }

    #[test]
    fn a_node_whose_time_has_passed_goes() {
        assert!(run(1_000).wait_ms(30_000).unwrap_err().contains("/t has had no purpose"));
        run(40_000).wait_ms(30_000).unwrap();
        let mut swept = run(1_000);
        swept.wait_ms(2_000).unwrap();
        let gone = Header { time: 2_500, ..header(z(1, 3), 0, 0) };
        swept.commit(1, gone, &Txn::DeleteContainer { path: "/t".into() }).unwrap();
        swept.wait_ms(30_000).unwrap();
    }

    #[test]
    fn what_goes_first_is_waited_for() {
        let mut run = run(1_000);
        run.canon.cluster.sweep_pause_us = 500_000;
        for n in 3..10 {
            let made = CreateTxn {
                life: Life::Ttl { ms: 1_000 },
                kind: 21,
                ..create_txn(&format!("/{n}"), false, 1)
            };
            let at = Header { time: 100, ..header(z(1, n), 5, 0) };
            run.commit(1, at, &Txn::Create(made)).unwrap();
        }
        run.wait_ms(1_500).unwrap();
        for n in 3..10 {
            run.wait_ms(1_000).unwrap();
            let time = 2_600 + 1_000 * i64::from(n);
            let gone = Header { time, ..header(z(1, 7 + n), 0, 0) };
            run.commit(1, gone, &Txn::DeleteContainer { path: format!("/{n}") }).unwrap();
        }
        run.wait_ms(1_000).unwrap();
        assert!(run.wait_ms(30_000).unwrap_err().contains("/t has had no purpose"));
    }

    #[test]
    fn a_new_leader_has_all_its_time() {
        let mut run = run(1_000);
        run.wait_ms(3_000).unwrap();
        run.note(1, phase(Phase::LeadingDiscovery, 2)).unwrap();
        run.wait_ms(30_000).unwrap();
    }

    #[test]
    fn who_hangs_follows_nobody() {
        let mut run = run(1_000);
        run.canon.sick.insert(ServerId(3), Sickness::Stalled);
        run.note(2, phase(Phase::Looking, 1)).unwrap();
        run.wait_ms(30_000).unwrap();
    }

    #[test]
    fn a_container_that_is_empty_goes() {
        let mut run = run(100_000);
        let container = CreateTxn { life: Life::Container, kind: 19, ..create_txn("/c", false, 2) };
        run.commit(1, header(z(1, 3), 5, 0), &Txn::Create(container)).unwrap();
        run.wait_ms(30_000).unwrap();
        run.commit(1, header(z(1, 4), 5, 0), &Txn::Create(create_txn("/c/x", false, 1))).unwrap();
        run.wait_ms(30_000).unwrap();
        run.commit(1, header(z(1, 5), 5, 0), &Txn::Delete { path: "/c/x".into() }).unwrap();
        assert!(run.wait_ms(30_000).unwrap_err().contains("/c has had no purpose"));
    }
}
