//! One file per invariant, named as in VERIFICATION section 3; all of them online and linear.

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

/// All checkers of a run.
#[derive(Debug)]
pub struct Checkers {
    spec: RunSpec,
}

impl Checkers {
    pub fn new(spec: RunSpec) -> Self {
        Self { spec }
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
        let _ = (now, node, event, disks, self.spec);
        Ok(())
    }
}
