//! Whom this server serves: everybody, those who only want to read, or nobody.
//!
//! Apache: `QuorumPeer.run`, `ReadOnlyZooKeeperServer`.

use crate::ids::Epoch;
use crate::server::note::Note;
use crate::server::role::Role;
use crate::server::view::Service;
use crate::server::{Outbox, Server, client_cx};
use crate::time::Mono;

impl Server {
    /// Nobody goes on from one kind of service to another: all connections are closed between them.
    pub(super) fn serve(&mut self, service: Service, out: &mut Outbox) {
        if self.service == service {
            return;
        }
        let before = core::mem::replace(&mut self.service, service);
        if before != Service::None {
            self.clients.stop_serving(&mut client_cx!(self, out));
            while self.clients.next_submission().is_some() {}
        }
        if let Some(local) = &mut self.local {
            local.forget(self.config.tick, self.at.mono);
            if service == Service::Full {
                local.entered(self.history.current());
            }
        }
        match before {
            Service::Full => out.note(Note::Serving { on: false }),
            Service::ReadOnly => out.note(Note::ServingReadOnly { on: false }),
            Service::None => {}
        }
        self.serving_since = (service != Service::None).then_some(self.at.mono);
        if service != Service::None {
            self.clients.start_serving(service, &mut client_cx!(self, out));
        }
        match service {
            Service::Full => out.note(Note::Serving { on: true }),
            Service::ReadOnly => out.note(Note::ServingReadOnly { on: true }),
            Service::None => {}
        }
    }

    /// A learner serves once everything in its tree is committed: recovery replays the whole log, and
    /// the end of it may still be on its way to a quorum.
    pub(super) fn serve_when_current(&mut self, out: &mut Outbox) {
        let Role::Following(following) = &self.role else { return };
        let current = self.history.committed() >= self.db.applied();
        if following.is_up_to_date() && current && !self.chores.is_stopping() {
            self.serve(Service::Full, out);
        }
    }

    /// When those who only want to read are let in, if no leader is found before.
    pub(super) fn read_only_deadline(&self) -> Option<Mono> {
        let waits = self.config.read_only_mode
            && self.service == Service::None
            && matches!(self.role, Role::Looking)
            && !self.chores.is_stopping()
            && self.has_something_to_show();
        waits.then(|| self.looking_since + self.config.tick.max(self.config.read_only_patience))
    }

    pub(super) fn serve_readers(&mut self, out: &mut Outbox) {
        if self.read_only_deadline().is_some_and(|at| at <= self.at.mono) {
            self.serve(Service::ReadOnly, out);
        }
    }

    /// A tree that was lost is nothing to read. One that was never filled is the beginning of all.
    fn has_something_to_show(&self) -> bool {
        !self.history.blank || self.history.accepted() == Epoch::ZERO
    }
}
