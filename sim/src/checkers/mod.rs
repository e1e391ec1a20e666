//! One file per invariant; docs/debugging.md lists them. All of them are online and linear.

mod canon;
#[allow(clippy::wildcard_enum_match_arm)]
mod damage;
mod line;
#[cfg(test)]
mod testing;
#[allow(clippy::wildcard_enum_match_arm)]
mod watch_book;

use std::fmt;

use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Note;

use crate::checkers::canon::Canon;
use crate::checkers::damage::Damage;
use crate::disk_view::DiskView;
use crate::ids::{NodeId, SimTime};
use crate::observe::{Observer, SimEvent, Violation};

/// What the events themselves do not tell about a run.
#[derive(Clone, Copy, Debug)]
pub struct RunSpec {
    /// The disks can be looked into: P3, P9, S6 and S9 are judged.
    pub white_box: bool,
    /// Highest drift of a node's clock, in parts per million.
    pub drift_ppm: u64,
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

impl Cx<'_> {
    pub(crate) fn server(&self) -> Option<ServerId> {
        match self.node {
            NodeId::Server(server) => Some(server),
            NodeId::World | NodeId::Client(_) => None,
        }
    }
}

/// One statement.
pub(crate) trait Check: fmt::Debug {
    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String>;

    /// When `due` must be called, as of now.
    fn deadline(&self) -> Option<SimTime> {
        None
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        let _ = cx;
        Ok(())
    }
}

pub(crate) fn note_of<'e>(cx: &Cx<'_>, event: &'e SimEvent) -> Option<(ServerId, &'e Note)> {
    match (cx.node, event) {
        (NodeId::Server(server), SimEvent::Note(note)) => Some((server, note)),
        _ => None,
    }
}

macro_rules! checkers {
    ($($file:ident :: $check:ident = $name:literal,)*) => {
        // A statement is about few kinds of facts; a new kind is no concern of most.
        $(#[allow(clippy::wildcard_enum_match_arm)] mod $file;)*

        fn all() -> Vec<(&'static str, Box<dyn Check + Send>)> {
            vec![$(($name, Box::new($file::$check::default()))),*]
        }
    };
}

checkers! {
    p01_leadership::P01 = "P1",
    p02_integrity::P02 = "P2",
    p03_quorum_evidence::P03 = "P3",
    p04_zxid_uniqueness::P04 = "P4",
    p05_total_order::P05 = "P5",
    p06_local_order::P06 = "P6",
    p07_global_order::P07 = "P7",
    p08_leader_completeness::P08 = "P8",
    p09_durability::P09 = "P9",
    p10_history_consistency::P10 = "P10",
    p12_epoch_monotonicity::P12 = "P12",
    p13_electability::P13 = "P13",
    p15_zombie_fence::P15 = "P15",
    s01_replay::S01 = "S1",
    s06_ack_implies_durable::S06 = "S6",
    s09_epoch_implies_history::S09 = "S9",
    t01_digest_equality::T01 = "T1",
    d01_versions::D01 = "D1",
    d02_sequential_names::D02 = "D2",
    d03_multi_atomic::D03 = "D3",
    k01_linearizable_writes::K01 = "K1",
    k02_session_fifo::K02 = "K2",
    k03_monotonic_zxid::K03 = "K3",
    k04_reads::K04 = "K4",
    k05_sync::K05 = "K5",
    k06_exactly_once::K06 = "K6",
    w02_event_before_data::W02 = "W2",
    w03_no_lost_trigger::W03 = "W3",
    w04_one_delivery::W04 = "W4",
    e02_ephemerals::E02 = "E2",
    e03_no_early_expiry::E03 = "E3",
    e04_nothing_after_close::E04 = "E4",
    e05_resume::E05 = "E5",
    e06_session_move::E06 = "E6",
    l01_one_leader::L01 = "L1",
    l02_learners_catch_up::L02 = "L2",
    l03_restart::L03 = "L3",
    l05_requests_end::L05 = "L5",
}

/// All checkers of a run.
#[derive(Debug)]
pub struct Checkers {
    spec: RunSpec,
    canon: Canon,
    damage: Damage,
    checks: Vec<(&'static str, Box<dyn Check + Send>)>,
}

impl Checkers {
    pub fn new(spec: RunSpec) -> Self {
        Self { spec, canon: Canon::default(), damage: Damage::default(), checks: all() }
    }

    /// Committed transactions so far.
    pub fn committed(&self) -> usize {
        self.canon.committed.len()
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
        let cx = Cx { now, node, canon: &self.canon, damage: &self.damage, disks, spec: self.spec };
        for (name, check) in &mut self.checks {
            check.event(&cx, event).map_err(|what| Violation::new(*name, what))?;
        }
        self.canon.forget(event);
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.checks.iter().filter_map(|(_, check)| check.deadline()).min()
    }

    fn due(&mut self, now: SimTime, disks: &dyn DiskView) -> Result<(), Violation> {
        self.canon.fresh.clear();
        let cx = Cx {
            now,
            node: NodeId::World,
            canon: &self.canon,
            damage: &self.damage,
            disks,
            spec: self.spec,
        };
        for (name, check) in &mut self.checks {
            while check.deadline().is_some_and(|deadline| deadline <= now) {
                check.due(&cx).map_err(|what| Violation::new(*name, what))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, now: SimTime, disks: &dyn DiskView) -> Result<(), Violation> {
        self.due(now, disks)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Run, all_at_once, header, z};
    use super::*;
    use crate::history::{Call, Reply};
    use crate::oracle::txn::Txn;

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
        let names = vec!["a".to_owned(), "zookeeper".to_owned()];
        run.ok(5, 2, z(1, 2), Reply::Children(names)).unwrap();
        run.invoke(5, 3, Call::Delete { path: "/b".into(), version: -1 }).unwrap();
        run.commit(1, header(z(1, 3), 5, 3), &Txn::Error { code: -101 }).unwrap();
        run.err(5, 3, z(1, 3), -101).unwrap();
        run.heal().unwrap();
        run.wait_ms(200_000).unwrap();
        run.close(z(1, 4), 5).unwrap();
        run.wait_ms(200_000).unwrap();
        assert_eq!(run.canon.committed.len(), 4);
        assert!(!run.canon.oracle_blind);
    }
}
