//! What is known of one server while it lives.

use vivarium_core::ids::{Epoch, ServerId, Zxid};

use crate::coverage::labels::{Kept, Means, Part, Stage};
use crate::ids::SimTime;

#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) votes: bool,
    /// `None`: it is down.
    pub(crate) part: Option<Part>,
    /// Of its last phase.
    pub(crate) epoch: Epoch,
    /// How often it has booted.
    pub(crate) lives: u32,
    pub(crate) sync: Option<Synchronization>,
    /// What its disk made durable last, in this life.
    pub(crate) kept: Option<Kept>,
    pub(crate) accepted: Epoch,
    pub(crate) current: Epoch,
    /// The last zxid that it gave out, in this life.
    pub(crate) proposed: Option<Zxid>,
    pub(crate) paused_at: Option<SimTime>,
    pub(crate) blank: bool,
    pub(crate) had_history: bool,
    /// Its last life ended before it had recovered.
    pub(crate) cut_short: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Synchronization {
    pub(crate) how: Means,
    pub(crate) leader: ServerId,
    pub(crate) stage: Stage,
}

impl Seat {
    pub(crate) const fn new(votes: bool) -> Self {
        Self {
            votes,
            part: None,
            epoch: Epoch::ZERO,
            lives: 0,
            sync: None,
            kept: None,
            accepted: Epoch::ZERO,
            current: Epoch::ZERO,
            proposed: None,
            paused_at: None,
            blank: false,
            had_history: false,
            cut_short: false,
        }
    }

    pub(crate) const fn begin(&mut self) {
        self.part = Some(Part::Recovering);
        self.lives += 1;
    }

    pub(crate) const fn end(&mut self, cut_short: bool) {
        self.part = None;
        self.sync = None;
        self.kept = None;
        self.proposed = None;
        self.paused_at = None;
        self.cut_short = cut_short;
    }
}
