//! Recoveries of copies of disks, at moments that no fault chose: what a power cut would leave must
//! be worth as much as the server has promised, not only where one strikes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vivarium_core::config::Config;
use vivarium_core::server::action::Action;
use vivarium_core::server::note::Note;
use vivarium_core::server::{Recovery, RecoveryInput, RecoveryStep};
use vivarium_core::time::Stamp;

use crate::disk::Image;
use crate::ids::NodeId;
use crate::observe::{Shadow, SimEvent};
use crate::panics;
use crate::rng::SimRng;
use crate::world::World;

/// Disk operations from one look to the next, on average: some five thousand events of a run, so that
/// looking costs a twentieth of it.
const SPACING: u64 = 600;

/// When to look next.
#[derive(Debug)]
pub(crate) struct Shadows {
    rng: SimRng,
    left: u64,
}

impl Shadows {
    pub(crate) fn new(mut rng: SimRng) -> Self {
        let left = rng.range(1, 2 * SPACING);
        Self { rng, left }
    }

    /// A disk operation is done. Whether it is time to look.
    fn is_due(&mut self) -> bool {
        self.left -= 1;
        let due = self.left == 0;
        if due {
            self.left = self.rng.range(1, 2 * SPACING);
        }
        due
    }
}

impl World {
    /// Shows the observers, now and then, what a power cut at this moment would come to.
    pub(crate) fn look_at_disk(&mut self, index: usize) {
        if !self.shadows.is_due() || self.verdict.is_some() {
            return;
        }
        let slot = &self.servers[index];
        let (id, config, stamp) = (slot.id(), slot.config.clone(), slot.clock.stamp(self.now));
        let mut image = self.disks.of(id).image().clone();
        image.power_loss(&mut self.shadows.rng);
        let shadow = recover(image, config, stamp);
        self.observe(NodeId::Server(id), &SimEvent::Shadow(shadow));
    }
}

fn recover(mut image: Image, config: Config, at: Stamp) -> Shadow {
    let recovered = catch_unwind(AssertUnwindSafe(|| {
        let mut recovery = Recovery::start(config, at);
        let mut got = RecoveryInput::Begin;
        loop {
            got = match recovery.next(got) {
                RecoveryStep::Progress(_) => RecoveryInput::Done,
                RecoveryStep::Disk(action) => match image.carry_out(&action, &mut Vec::new()) {
                    Ok(None) => RecoveryInput::Done,
                    Ok(Some(data)) => RecoveryInput::Read(data),
                    Err(fault) => RecoveryInput::Failed(fault),
                },
                RecoveryStep::Done(_, mut outbox) => {
                    return Shadow::Recovered(outbox.drain().filter_map(note).collect());
                }
                RecoveryStep::Refused(reason) => return Shadow::Refused(format!("{reason:?}")),
            };
        }
    }));
    recovered.unwrap_or_else(|_| Shadow::Refused(panics::take()))
}

fn note(action: Action) -> Option<Note> {
    match action {
        Action::Note(note) => Some(note),
        Action::Link(_) | Action::Disk(_) | Action::Admin { .. } | Action::Halt(_) => None,
    }
}
