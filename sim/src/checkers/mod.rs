//! One file per invariant, named as in VERIFICATION section 3; all of them online and linear.

mod canon;
mod line;
#[cfg(test)]
mod testing;

use std::fmt;

use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Note;

use crate::checkers::canon::Canon;
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

/// A statement is about few of the notes: the others are named here, once.
pub(crate) fn ignore(_: &Note) {}

/// The same for events.
pub(crate) fn skip(_: &SimEvent) {}

macro_rules! checkers {
    ($($file:ident :: $check:ident = $name:literal,)*) => {
        $(mod $file;)*

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
}

/// All checkers of a run.
#[derive(Debug)]
pub struct Checkers {
    spec: RunSpec,
    canon: Canon,
    checks: Vec<(&'static str, Box<dyn Check + Send>)>,
}

impl Checkers {
    pub fn new(spec: RunSpec) -> Self {
        Self { spec, canon: Canon::default(), checks: all() }
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
        let cx = Cx { now, node, canon: &self.canon, disks, spec: self.spec };
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
        let cx = Cx { now, node: NodeId::World, canon: &self.canon, disks, spec: self.spec };
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
