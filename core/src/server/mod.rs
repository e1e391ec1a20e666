//! The server: inputs in, actions out. The only module that sees all others.

pub mod action;
pub mod clients;
pub mod input;
pub mod note;
pub mod outbox;
pub mod view;

pub use action::Action;
pub use input::Input;
pub use outbox::Outbox;

use crate::config::Config;
use crate::ids::ServerId;
use crate::server::action::{DiskAction, FatalReason};
use crate::server::input::{DiskFault, ReadData};
use crate::server::view::View;
use crate::time::{Mono, Stamp};
use crate::timers::Timer;

/// One server: everything after recovery.
#[derive(Debug)]
pub struct Server {
    me: ServerId,
}

impl Server {
    /// Feeds one input and appends everything that follows from it to `out`.
    ///
    /// Infallible: whatever a peer, a client or the disk does has a defined answer.
    pub fn step(&mut self, at: Stamp, input: Input, out: &mut Outbox) {
        let _ = (at, input, out);
        todo!()
    }

    /// When the host should send `Wake` at the latest. Pure; a late or extra wake is harmless.
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        todo!()
    }

    pub fn view(&self) -> View {
        let _ = self.me;
        todo!()
    }
}

/// Rebuilds a server from its folder: a pull machine, one disk operation at a time.
#[derive(Debug)]
pub struct Recovery {
    config: Config,
}

/// What the host found when it carried out the last [`RecoveryStep`].
#[derive(Debug)]
pub enum RecoveryInput {
    /// First call.
    Begin,
    /// A write-like operation is complete.
    Done,
    Read(ReadData),
    Failed(DiskFault),
}

#[derive(Debug)]
pub enum RecoveryStep {
    /// Carry out this one operation (its ids are meaningless here), then call `next` again.
    Disk(DiskAction),
    /// For people: call `next(Done)`.
    Progress(RecoveryProgress),
    /// The server, and the notes and first actions that it starts with.
    Done(alloc::boxed::Box<Server>, Outbox),
    Refused(FatalReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryProgress {
    pub transactions: u64,
}

impl Recovery {
    pub fn start(config: Config, at: Stamp) -> Self {
        let _ = at;
        Self { config }
    }

    pub fn next(&mut self, got: RecoveryInput) -> RecoveryStep {
        let _ = (got, &self.config);
        todo!()
    }
}
