//! Recoveries of copies of disks, at moments that no fault chose: what a power cut would leave must
//! be worth as much as the server has promised, not only where one strikes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vivarium_core::config::Config;
use vivarium_core::ids::Zxid;
use vivarium_core::server::action::Action;
use vivarium_core::server::note::{Note, StateDigest};
use vivarium_core::server::{Recovery, RecoveryInput, RecoveryStep};
use vivarium_core::storage::files::FileName;
use vivarium_core::storage::snapshot::{Damage, SnapshotDecoder, Source};
use vivarium_core::time::Stamp;

use crate::apache;
use crate::disk::Image;
use crate::ids::NodeId;
use crate::observe::{Aged, Shadow, SimEvent};
use crate::panics;
use crate::rng::SimRng;
use crate::world::World;

/// Looks at a folder as Apache's server would have left it, in per mille: its snapshots hold parts of what
/// was going on, and what recovery replays over them has taken place already.
const AGED: u64 = 500;

/// How many walks are tried of one disk.
const WALKS: u32 = 3;

/// Files of a history that go, from one look to the next: what is left between two of them matters more
/// than what lies between two appends.
const REMOVALS: u64 = 8;

/// So much that a power cut would tear counts as one more operation: the end of a log is told from rot by its
/// length.
const TORN_BYTES: u64 = 100;

/// How many snapshots that were just sealed are read; a long run seals many, and its trees are large.
const SEALED_MOST: u32 = 12;

/// Looks at one that is sealed after these, in per mille.
const SEALED: u64 = 30;

/// When to look next.
#[derive(Debug)]
pub(crate) struct Shadows {
    rng: SimRng,
    /// Which snapshots are looked at.
    sealed: SimRng,
    /// How many were looked at.
    looked: u32,
    /// Disk operations from one look to the next, on average.
    every: u64,
    left: u64,
}

impl Shadows {
    pub(crate) fn new(every: u64, mut rng: SimRng, sealed: SimRng) -> Self {
        let left = rng.range(1, every.saturating_mul(2));
        Self { rng, sealed, looked: 0, every, left }
    }

    /// A disk operation is done. Whether it is time to look.
    fn is_due(&mut self, weight: u64) -> bool {
        self.left = self.left.saturating_sub(weight);
        let due = self.left == 0;
        if due {
            self.left = self.rng.range(1, self.every.saturating_mul(2));
        }
        due
    }
}

impl World {
    /// Shows the observers, now and then, what a power cut at this moment would come to.
    pub(crate) fn look_at_disk(&mut self, index: usize, removed: bool) {
        let slot = &self.servers[index];
        let id = slot.id();
        let torn = self.disks.of(id).image().unsynced_log_bytes() as u64 / TORN_BYTES;
        let weight = if removed { self.shadows.every / REMOVALS } else { torn };
        if !self.shadows.is_due(weight.max(1)) || self.verdict.is_some() {
            return;
        }
        let (config, stamp) = (slot.config.clone(), slot.clock.stamp(self.now));
        let mut image = self.disks.of(id).image().clone();
        image.power_loss(&mut self.shadows.rng);
        let rng = &mut self.shadows.rng;
        let committed = slot.committed().filter(|_| slot.guise.is_none() && rng.chance(AGED));
        let walkable = committed.and_then(|it| apache::Walkable::small(&image, it));
        let mut shadows = Vec::new();
        for _ in 0..WALKS {
            let mut image = image.clone();
            let aged = walkable.as_ref().and_then(|it| it.age(&mut image, &config, rng));
            let is_plain = aged.is_none();
            shadows.push(recover(image, config.clone(), stamp, aged));
            if is_plain {
                break;
            }
        }
        for shadow in shadows {
            self.observe(NodeId::Server(id), &SimEvent::Shadow(shadow));
        }
    }
}

impl World {
    /// Shows the observers, now and then, what a snapshot holds that was just sealed.
    pub(crate) fn look_at_snapshot(&mut self, index: usize, sealed: Zxid) {
        let slot = &self.servers[index];
        let looks = self.shadows.looked < SEALED_MOST || self.shadows.sealed.chance(SEALED);
        if !looks || slot.guise.is_some() || self.verdict.is_some() {
            return;
        }
        self.shadows.looked += 1;
        let id = slot.id();
        let read = read_snapshot(self.disks.of(id).image(), sealed, &slot.config);
        let shadow = Shadow::SnapshotAlone { sealed, read };
        self.observe(NodeId::Server(id), &SimEvent::Shadow(shadow));
    }
}

fn read_snapshot(image: &Image, zxid: Zxid, config: &Config) -> Result<StateDigest, Damage> {
    let file = image.read(&FileName::snapshot(zxid), 0, u32::MAX).unwrap_or_default();
    let mut decoder = SnapshotDecoder::new(Source::File, config);
    decoder.push(&file)?;
    Ok(decoder.finish(zxid)?.database.digest())
}

fn recover(mut image: Image, config: Config, at: Stamp, aged: Option<Aged>) -> Shadow {
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
                    let notes = outbox.drain().filter_map(note).collect();
                    return Shadow::Recovered { notes, aged };
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
