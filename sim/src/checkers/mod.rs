//! One file per invariant; docs/debugging.md lists them. All of them are online and linear.

// A statement is about few kinds of facts; a new kind is no concern of most.
#![allow(clippy::wildcard_enum_match_arm)]

mod backlog;
mod calls;
mod canon;
mod cluster;
mod d01_versions;
mod d02_sequential_names;
mod d03_multi_atomic;
mod d04_outlived;
mod d05_access;
mod d06_no_orphans;
mod d07_quotas;
mod damage;
mod e02_ephemerals;
mod e03_no_early_expiry;
mod e04_nothing_after_close;
mod e05_resume;
mod e06_session_move;
mod e07_expiry_happens;
mod e08_local_sessions;
mod happened;
mod identities;
mod k01_linearizable_writes;
mod k02_session_fifo;
mod k03_monotonic_zxid;
mod k04_reads;
mod k05_sync;
mod k06_exactly_once;
mod l01_one_leader;
mod l02_learners_catch_up;
mod l03_restart;
mod l04_probe_commits;
mod l05_requests_end;
mod l06_queues_drain;
mod l07_bounded_chatter;
mod l08_outlived_goes;
mod l09_prompt;
mod lasting_book;
mod line;
mod member;
mod o01_oracle_sees;
mod p01_leadership;
mod p02_integrity;
mod p03_quorum_evidence;
mod p04_zxid_uniqueness;
mod p05_total_order;
mod p06_local_order;
mod p07_global_order;
mod p08_leader_completeness;
mod p09_durability;
mod p10_history_consistency;
mod p11_initial_history_growth;
mod p12_epoch_monotonicity;
mod p13_electability;
mod p14_commit_consistency;
mod p15_zombie_fence;
mod p16_no_future_commit;
mod s01_replay;
mod s03_log_contiguity;
mod s04_tail_rule;
mod s05_epoch_files;
mod s06_ack_implies_durable;
mod s07_fsync_failure;
mod s08_purge_safety;
mod s09_epoch_implies_history;
mod session_clock;
mod t01_digest_equality;
mod t02_replay_digest;
#[cfg(test)]
mod testing;
mod topic;
mod w01_lasting_watches;
mod w02_event_before_data;
mod w03_no_lost_trigger;
mod w04_one_delivery;
mod w05_rewatching;
mod watch_book;
mod x02_ack_content;
mod x05_objections;
mod x06_evidence;

use std::fmt;

use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Note;

use crate::checkers::canon::Canon;
use crate::checkers::damage::Damage;
use crate::checkers::topic::{Topic, Topics};
use crate::disk_view::DiskView;
use crate::ids::{NodeId, SimTime};
use crate::observe::{Excuse, Observer, SimEvent, Violation};

/// What the events themselves do not tell about a run.
#[derive(Clone, Copy, Debug)]
pub struct RunSpec {
    /// The disks can be looked into: P3, P9, S3 to S6, S8, S9 and T2 are judged.
    pub white_box: bool,
    /// Highest drift of a node's clock, in parts per million.
    pub drift_ppm: u64,
    /// What happened is concluded from what clients and servers said: it comes in its order, and late.
    pub recorded: bool,
}

/// What a checker sees of a moment. `canon` knows this event already.
pub(crate) struct Cx<'a> {
    pub now: SimTime,
    pub node: NodeId,
    pub canon: &'a Canon,
    pub damage: &'a Damage,
    pub disks: &'a dyn DiskView,
    pub spec: RunSpec,
}

impl<'a> Cx<'a> {
    /// A moment at which nothing happens but that time has come.
    fn of_world(
        now: SimTime,
        canon: &'a Canon,
        damage: &'a Damage,
        disks: &'a dyn DiskView,
        spec: RunSpec,
    ) -> Self {
        Self { now, node: NodeId::World, canon, damage, disks, spec }
    }

    pub(crate) fn server(&self) -> Option<ServerId> {
        match self.node {
            NodeId::Server(server) => Some(server),
            NodeId::World | NodeId::Client(_) => None,
        }
    }
}

/// One statement.
pub(crate) trait Check: fmt::Debug {
    /// What it is called for. Of all else it must be none the wiser, and content with it.
    fn hears(&self) -> Topics;

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String>;

    /// When `due` must be called, as of now.
    fn deadline(&self) -> Option<SimTime> {
        None
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        let _ = cx;
        Ok(())
    }

    /// In the calm phase: what it still wants to see, in words. A run that ends before would not have
    /// judged it.
    fn wants(&mut self, cx: &Cx<'_>) -> Option<String> {
        let _ = cx;
        None
    }

    /// Whether it asks for what only a quorum of whole disks can give. Where faults took that, it is
    /// excused, and nothing else is: a server may refuse, and must not lie.
    fn needs_quorum(&self) -> bool {
        false
    }

    /// Why less was asked of this run than of others, as far as it turned out so.
    fn excuse(&self) -> Option<String> {
        None
    }
}

pub(crate) fn note_of<'e>(cx: &Cx<'_>, event: &'e SimEvent) -> Option<(ServerId, &'e Note)> {
    match (cx.node, event) {
        (NodeId::Server(server), SimEvent::Note(note)) => Some((server, note)),
        _ => None,
    }
}

/// The names of all statements.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().into_iter().map(|(name, _)| name)
}

fn all() -> Vec<(&'static str, Box<dyn Check + Send>)> {
    vec![
        ("P1", Box::new(p01_leadership::P01)),
        ("P2", Box::new(p02_integrity::P02::default())),
        ("P3", Box::new(p03_quorum_evidence::P03::default())),
        ("P4", Box::new(p04_zxid_uniqueness::P04::default())),
        ("P5", Box::new(p05_total_order::P05)),
        ("P6", Box::new(p06_local_order::P06::default())),
        ("P7", Box::new(p07_global_order::P07::default())),
        ("P8", Box::new(p08_leader_completeness::P08)),
        ("P9", Box::new(p09_durability::P09)),
        ("P10", Box::new(p10_history_consistency::P10::default())),
        ("P11", Box::new(p11_initial_history_growth::P11::default())),
        ("P12", Box::new(p12_epoch_monotonicity::P12::default())),
        ("P13", Box::new(p13_electability::P13::default())),
        ("P14", Box::new(p14_commit_consistency::P14)),
        ("P15", Box::new(p15_zombie_fence::P15)),
        ("P16", Box::new(p16_no_future_commit::P16::default())),
        ("S1", Box::new(s01_replay::S01::default())),
        ("S3", Box::new(s03_log_contiguity::S03)),
        ("S4", Box::new(s04_tail_rule::S04::default())),
        ("S5", Box::new(s05_epoch_files::S05::default())),
        ("S6", Box::new(s06_ack_implies_durable::S06)),
        ("S7", Box::new(s07_fsync_failure::S07::default())),
        ("S8", Box::new(s08_purge_safety::S08)),
        ("S9", Box::new(s09_epoch_implies_history::S09)),
        ("T1", Box::new(t01_digest_equality::T01::default())),
        ("T2", Box::new(t02_replay_digest::T02)),
        ("D5", Box::new(d05_access::D05::default())),
        ("D7", Box::new(d07_quotas::D07)),
        ("D1", Box::new(d01_versions::D01)),
        ("D2", Box::new(d02_sequential_names::D02::default())),
        ("D3", Box::new(d03_multi_atomic::D03)),
        ("D4", Box::new(d04_outlived::D04)),
        ("D6", Box::new(d06_no_orphans::D06)),
        ("K1", Box::new(k01_linearizable_writes::K01::default())),
        ("K2", Box::new(k02_session_fifo::K02::default())),
        ("K3", Box::new(k03_monotonic_zxid::K03::default())),
        ("K4", Box::new(k04_reads::K04::default())),
        ("K5", Box::new(k05_sync::K05::default())),
        ("K6", Box::new(k06_exactly_once::K06::default())),
        ("W1", Box::new(w01_lasting_watches::W01::default())),
        ("W2", Box::new(w02_event_before_data::W02::default())),
        ("W3", Box::new(w03_no_lost_trigger::W03::default())),
        ("W4", Box::new(w04_one_delivery::W04::default())),
        ("W5", Box::new(w05_rewatching::W05::default())),
        ("E2", Box::new(e02_ephemerals::E02)),
        ("E3", Box::new(e03_no_early_expiry::E03::default())),
        ("E4", Box::new(e04_nothing_after_close::E04::default())),
        ("E5", Box::new(e05_resume::E05::default())),
        ("E6", Box::new(e06_session_move::E06::default())),
        ("E7", Box::new(e07_expiry_happens::E07::default())),
        ("E8", Box::new(e08_local_sessions::E08::default())),
        ("L1", Box::new(l01_one_leader::L01::default())),
        ("L2", Box::new(l02_learners_catch_up::L02::default())),
        ("L3", Box::new(l03_restart::L03::default())),
        ("L4", Box::new(l04_probe_commits::L04::default())),
        ("L5", Box::new(l05_requests_end::L05::default())),
        ("L6", Box::new(l06_queues_drain::L06)),
        ("L7", Box::new(l07_bounded_chatter::L07::default())),
        ("L8", Box::new(l08_outlived_goes::L08::default())),
        ("L9", Box::new(l09_prompt::L09::default())),
        ("X2", Box::new(x02_ack_content::X02::default())),
        ("X5", Box::new(x05_objections::X05::default())),
        ("X6", Box::new(x06_evidence::X06::default())),
        ("O1", Box::new(o01_oracle_sees::O01)),
    ]
}

/// All checkers of a run.
#[derive(Debug)]
pub struct Checkers {
    spec: RunSpec,
    canon: Canon,
    damage: Damage,
    checks: Vec<(&'static str, Box<dyn Check + Send>)>,
    /// Who hears a topic: a bit for each of `checks`.
    audience: [u64; Topic::COUNT],
    /// Those that ask for what only a quorum of whole disks can give: a bit for each of `checks`.
    need_quorum: u64,
    /// What was still wanted when `is_content` was asked last.
    wanted: Option<Violation>,
}

impl Checkers {
    pub fn new(spec: RunSpec) -> Self {
        Self::of(spec, all())
    }

    /// Only the statements of these names.
    pub(crate) fn only(spec: RunSpec, names: &[&str]) -> Self {
        let mut checks = all();
        checks.retain(|(name, _)| names.contains(name));
        Self::of(spec, checks)
    }

    /// Clients come from these addresses, by their numbers, and not from those of the simulated world.
    pub(crate) fn see_clients_at(&mut self, addresses: &[String]) {
        self.canon.identities.see_at(addresses);
    }

    fn of(spec: RunSpec, checks: Vec<(&'static str, Box<dyn Check + Send>)>) -> Self {
        assert!(checks.len() <= u64::BITS as usize, "an audience has a bit for each check");
        let mut audience = [0; Topic::COUNT];
        for (index, (_, check)) in checks.iter().enumerate() {
            let hears = check.hears();
            for (topic, listeners) in audience.iter_mut().enumerate() {
                *listeners |= u64::from(hears.has(topic)) << index;
            }
        }
        let mut need_quorum = 0;
        for (index, (_, check)) in checks.iter().enumerate() {
            need_quorum |= u64::from(check.needs_quorum()) << index;
        }
        let (canon, damage) = (Canon::default(), Damage::default());
        Self { spec, canon, damage, checks, audience, need_quorum, wanted: None }
    }

    /// The checks that are excused from now on.
    fn excused(&self) -> u64 {
        if self.canon.lost_quorum.is_empty() { 0 } else { self.need_quorum }
    }

    /// The checks that this event concerns, in their order.
    fn listeners(&self, event: &SimEvent) -> u64 {
        let fresh =
            if self.canon.fresh.is_empty() { 0 } else { self.audience[Topic::Fresh as usize] };
        (self.audience[Topic::of(event) as usize] | fresh) & !self.excused()
    }
}

impl Observer for Checkers {
    fn event(
        &mut self,
        now: SimTime,
        node: NodeId,
        event: &SimEvent,
        disks: &dyn DiskView,
    ) -> Result<(), Violation> {
        self.canon.learn(now, node, event);
        self.damage.learn(node, event, disks);
        let mut listeners = self.listeners(event);
        let cx = Cx { now, node, canon: &self.canon, damage: &self.damage, disks, spec: self.spec };
        while listeners != 0 {
            let (name, check) = &mut self.checks[listeners.trailing_zeros() as usize];
            check.event(&cx, event).map_err(|what| Violation::new(*name, what))?;
            listeners &= listeners - 1;
        }
        self.canon.forget(event);
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        let excused = self.excused();
        let asked = self.checks.iter().enumerate().filter(|(index, _)| excused >> index & 1 == 0);
        asked.filter_map(|(_, (_, check))| check.deadline()).min()
    }

    fn due(&mut self, now: SimTime, disks: &dyn DiskView) -> Result<(), Violation> {
        self.canon.fresh.clear();
        let cx = Cx::of_world(now, &self.canon, &self.damage, disks, self.spec);
        let excused = self.excused();
        for (index, (name, check)) in self.checks.iter_mut().enumerate() {
            while excused >> index & 1 == 0
                && check.deadline().is_some_and(|deadline| deadline <= now)
            {
                check.due(&cx).map_err(|what| Violation::new(*name, what))?;
            }
        }
        Ok(())
    }

    fn is_content(&mut self, now: SimTime, disks: &dyn DiskView) -> bool {
        self.canon.fresh.clear();
        let cx = Cx::of_world(now, &self.canon, &self.damage, disks, self.spec);
        self.wanted = None;
        // All are asked: some compare with the time before.
        for (name, check) in &mut self.checks {
            if let Some(what) = check.wants(&cx) {
                self.wanted.get_or_insert_with(|| Violation::new(*name, what));
            }
        }
        self.wanted.is_none()
    }

    fn excuses(&self) -> Vec<Excuse> {
        let excused = self.excused();
        let excuse = |(index, (check, known)): (usize, &(&'static str, Box<dyn Check + Send>))| {
            let lost = || self.canon.refusal();
            let why = if excused >> index & 1 == 0 { known.excuse() } else { lost() };
            why.map(|why| Excuse { check: (*check).into(), why })
        };
        self.checks.iter().enumerate().filter_map(excuse).collect()
    }

    fn finish(&mut self, now: SimTime, disks: &dyn DiskView) -> Result<(), Violation> {
        self.due(now, disks)?;
        self.wanted.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use crate::disk_view::NoDisks;

    use super::testing::{Run, all_at_once, header, z};
    use super::*;
    use crate::history::{Call, Reply};
    use crate::oracle::txn::Txn;
    use crate::run::{Look, look_at};
    use crate::scenario::{Options, Scenario};

    /// A history without fault: no checker may object, also not to a quiet end.
    #[test]
    fn nobody_objects_to_a_healthy_run() {
        let mut run: Run<testing::All> = all_at_once();
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.grant(5, 20_000, 1).unwrap();
        run.create(z(1, 2), 5, 1, "/a", true).unwrap();
        run.ok(5, 1, z(1, 2), Reply::Path("/a".into())).unwrap();
        let exists = || Call::GetChildren { path: "/".into(), watch: true, with_stat: false };
        run.invoke(5, 2, exists()).unwrap();
        let names = ["a", "zookeeper"].into_iter().collect();
        run.ok(5, 2, z(1, 2), Reply::Children(names)).unwrap();
        run.invoke(5, 3, Call::Delete { path: "/b".into(), version: -1 }).unwrap();
        run.commit(1, header(z(1, 3), 5, 3), &Txn::Error { code: -101 }).unwrap();
        run.err(5, 3, z(1, 3), -101).unwrap();
        run.heal().unwrap();
        run.wait_ms(20_000).unwrap();
        run.close(z(1, 4), 5).unwrap();
        run.wait_ms(200_000).unwrap();
        assert_eq!(run.canon.committed.len(), 4);
        assert!(!run.canon.oracle_blind);
    }

    /// Where faults took a quorum of disks, nobody has to serve: no bound on service is asked any more,
    /// and everything else is.
    #[test]
    fn a_lost_quorum_excuses_liveness_and_nothing_else() {
        let asked = |lost: &[u64]| {
            let mut checkers =
                Checkers::new(RunSpec { white_box: true, drift_ppm: 0, recorded: false });
            let mut now = SimTime::ZERO;
            let mut tell = |node, event: &SimEvent| {
                now = now.plus(1000);
                checkers.event(now, node, event, &NoDisks)
            };
            let cluster = SimEvent::Cluster { servers: testing::configs(), apache: Vec::new() };
            tell(NodeId::World, &cluster).unwrap();
            let lost: Vec<ServerId> = lost.iter().copied().map(ServerId).collect();
            if !lost.is_empty() {
                tell(NodeId::World, &SimEvent::QuorumLost { lost }).unwrap();
            }
            let healed = SimEvent::Healed { dead: Vec::new(), sick: Vec::new() };
            tell(NodeId::World, &healed).unwrap();
            let elected = Note::Elected { leader: ServerId(9), round: 1 };
            let lie = tell(NodeId::Server(ServerId(1)), &SimEvent::Note(elected));
            assert_eq!(lie.unwrap_err().check, "P13", "a lie is one with and without disks");
            (checkers.due(SimTime::from_ms(200_000), &NoDisks), checkers.excuses())
        };
        let (due, excuses) = asked(&[]);
        assert_eq!(due.unwrap_err().check, "L1");
        assert_eq!(excuses, []);
        let (due, excuses) = asked(&[1, 3]);
        assert_eq!(due, Ok(()));
        let excused: Vec<&str> = excuses.iter().map(|excuse| &*excuse.check).collect();
        assert_eq!(excused, ["L1", "L2", "L4", "L5", "L6", "L8"]);
        assert!(excuses.iter().all(|excuse| excuse.why.contains("of 3 voters 1, 3 lost")));
    }

    /// Every check is told everything, by a harness that minds what it does with what it does not hear.
    #[derive(Debug)]
    struct Audited(Checkers);

    impl Observer for Audited {
        fn event(
            &mut self,
            now: SimTime,
            node: NodeId,
            event: &SimEvent,
            disks: &dyn DiskView,
        ) -> Result<(), Violation> {
            let Checkers { spec, canon, damage, checks, .. } = &mut self.0;
            canon.learn(now, node, event);
            damage.learn(node, event, disks);
            let cx = Cx { now, node, canon, damage, disks, spec: *spec };
            let fresh = !canon.fresh.is_empty();
            for (name, check) in checks {
                let told = testing::tell(&mut **check, &cx, event, fresh);
                told.map_err(|what| Violation::new(*name, what))?;
            }
            canon.forget(event);
            Ok(())
        }
    }

    #[test]
    fn what_a_check_does_not_hear_is_nothing_to_it() {
        let options = Options { sim_seconds: 1, ..Options::default() };
        for (seed, white_box) in [(3, true), (6, true), (8, false), (10, true)] {
            let scenario =
                Scenario { faults_for: SimTime(500_000), ..Scenario::draw(seed, &options) };
            let checkers = Checkers::new(RunSpec { white_box, drift_ppm: 1000, recorded: false });
            let judge: Box<dyn Observer + Send> = Box::new(Audited(checkers));
            let outcome =
                look_at(scenario, Look { judge: Some(judge), ..Look::default() }).unwrap();
            outcome.verdict.unwrap();
            assert!(outcome.stats.commits > 20, "seed {seed}: {:?}", outcome.stats);
        }
    }

    /// A check that was never seen to object proves nothing. Each has tests of its own in which it does.
    #[test]
    fn every_check_is_proven_by_a_violation() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checkers");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap()).collect();
        for name in names() {
            let (letter, number) = name.split_at(1);
            let prefix = format!("{}{:0>2}_", letter.to_lowercase(), number);
            let file = files.iter().find(|file| {
                file.file_name().to_str().is_some_and(|name| name.starts_with(&prefix))
            });
            let file = file.unwrap_or_else(|| panic!("no file {prefix}* for {name}"));
            let text = std::fs::read_to_string(file.path()).unwrap();
            let (_, tests) = text.split_once("#[cfg(test)]").expect("a check has tests");
            let objects = tests.contains(".is_err()") || tests.contains(".unwrap_err()");
            assert!(objects, "{name} objects to nothing in its tests");
        }
    }

    /// What is wanted stops the run from ending well, and is told where it ends all the same.
    #[test]
    fn a_calm_phase_that_shows_nothing_is_no_success() {
        let mut checkers =
            Checkers::new(RunSpec { white_box: true, drift_ppm: 0, recorded: false });
        let (now, disks) = (SimTime(1), testing::Disks::default());
        let servers = testing::configs();
        checkers
            .event(now, NodeId::World, &SimEvent::Cluster { servers, apache: Vec::new() }, &disks)
            .unwrap();
        assert!(!checkers.is_content(now, &disks));
        assert_eq!(checkers.finish(now, &disks).unwrap_err().check, "L1");
    }
}
