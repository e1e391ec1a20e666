//! Who has a session: the ensemble, or this server alone; and when it ends.

use bytes::{BufMut, BytesMut};

use crate::ids::{LinkId, SessionId, Xid};
use crate::request::change::{Change, Standing, WriteRequest};
use crate::server::note::{LocalChange, Note};
use crate::server::role::Role;
use crate::server::standalone::Question;
use crate::server::sweep::Sweep;
use crate::server::view::Service;
use crate::server::write::forwarded;
use crate::server::{Outbox, Server, client_cx, zab_cx};
use crate::session::local::Expired;
use crate::session::tracker::{Owner, Touched};
use crate::session::{LocalSessions, SessionTracker};
use crate::time::Mono;
use crate::wire::client::OP_CREATE_SESSION;
use crate::zab::leading::Missing;

impl Server {
    pub(super) fn create_session(&mut self, link: LinkId, timeout_ms: i32, out: &mut Outbox) {
        let sessions = self.db.sessions();
        let local = self.local.as_ref();
        let session = self
            .session_ids
            .next(|id| sessions.contains_key(&id) || local.is_some_and(|local| local.contains(id)));
        if let Some(local) = &mut self.local {
            local.open(session, timeout_ms);
            self.clients.session_assigned(link, session);
            out.note(Note::LocalSession { session, change: LocalChange::Opened { timeout_ms } });
            self.clients.opened(session, &mut client_cx!(self, out));
        } else if self.service == Service::ReadOnly {
            self.clients.turn_away(link, &mut client_cx!(self, out));
        } else {
            self.clients.session_assigned(link, session);
            self.ask_for_session(session, timeout_ms, out);
        }
    }

    /// Makes it a session of the ensemble.
    fn ask_for_session(&mut self, session: SessionId, timeout_ms: i32, out: &mut Outbox) {
        if let Role::Following(following) = &mut self.role {
            let mut body = BytesMut::with_capacity(4);
            body.put_i32(timeout_ms);
            let request = forwarded(session, Xid(0), OP_CREATE_SESSION, body.freeze());
            following.forward(request, &mut zab_cx!(self, out));
            return;
        }
        let change = Change::CreateSession { timeout_ms };
        let standing = Standing::Global;
        let request = WriteRequest { session, standing, cxid: 0, ids: [].into(), change };
        self.propose(request, Owner::Local, out);
    }

    /// A local session wants to own a node: its createSession goes before what makes that node.
    pub(super) fn upgrade_session(&mut self, session: SessionId, out: &mut Outbox) {
        let epoch = self.history.current();
        let local = self.local.as_mut();
        let Some(timeout_ms) = local.and_then(|local| local.upgrade(session, epoch)) else {
            return;
        };
        out.note(Note::LocalSession { session, change: LocalChange::Upgraded });
        self.ask_for_session(session, timeout_ms, out);
    }

    pub(super) fn end_local_session(&mut self, session: SessionId, out: &mut Outbox) {
        if self.local.as_mut().is_some_and(|local| local.close(session)) {
            out.note(Note::LocalSession { session, change: LocalChange::Closed });
        }
    }

    pub(super) fn revalidate(&mut self, session: SessionId, timeout_ms: i32, out: &mut Outbox) {
        if self.local.as_mut().is_some_and(|local| local.touch(session, timeout_ms)) {
            self.clients.revalidated(session, Some(Standing::Local), &mut client_cx!(self, out));
            return;
        }
        if self.service == Service::ReadOnly {
            return self.answer_without_quorum(session, out);
        }
        if let Role::Following(following) = &mut self.role {
            // What an older connection is still to be reported for has the timeout that was asked for then.
            self.touched.remove(session);
            following.revalidate(session, timeout_ms, &mut zab_cx!(self, out));
            return;
        }
        if self.attach(session, timeout_ms, Owner::Local, out) {
            self.clients.revalidated(session, Some(Standing::Global), &mut client_cx!(self, out));
        } else {
            self.miss(Missing { learner: None, session, timeout_ms }, out);
        }
    }

    /// A session of the ensemble is not this server's to go on with. Of one that it does not know it can
    /// say that it is over only if it gave it, and never asked the ensemble to take it.
    fn answer_without_quorum(&mut self, session: SessionId, out: &mut Outbox) {
        let was_local = self.session_ids.has_issued(session)
            && !self.db.sessions().contains_key(&session)
            && self.local.as_ref().is_some_and(|local| !local.is_upgrading(session));
        if was_local {
            self.clients.revalidated(session, None, &mut client_cx!(self, out));
        } else {
            self.clients.turn_away_session(session, &mut client_cx!(self, out));
        }
    }

    /// A new leader gives every session its full timeout.
    pub(super) fn lead_sessions(&mut self) {
        let mut tracker = SessionTracker::new(self.config.tick, self.at.mono);
        tracker.track_all(self.db.sessions());
        self.tracker = Some(tracker);
        self.sweep = Some(Sweep::new(self.at.mono, &self.config.containers));
    }

    /// A session that is not there, or about to end. A leader that was deposed and does not know may lack
    /// what the next one opened, so that it says no only where a quorum follows it still. An end that is
    /// not yet on disk may be lost with the power.
    fn miss(&mut self, missing: Missing, out: &mut Outbox) {
        match &mut self.role {
            Role::Leading(leading) => leading.confirm_missing(missing, &mut zab_cx!(self, out)),
            Role::Standalone(alone) => alone.ask(Question::Missing(missing)),
            // Whoever asked is closed.
            Role::Starting
            | Role::Looking
            | Role::Following(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => {}
        }
    }

    pub(super) fn answer_missing(&mut self, missing: Missing, out: &mut Outbox) {
        let Missing { learner, session, timeout_ms } = missing;
        let owner = learner.map_or(Owner::Local, Owner::Learner);
        let valid = self.attach(session, timeout_ms, owner, out);
        let Some(link) = learner else {
            let standing = valid.then_some(Standing::Global);
            self.clients.revalidated(session, standing, &mut client_cx!(self, out));
            return;
        };
        if let Role::Leading(leading) = &mut self.role {
            leading.answer_revalidate(link, session, valid, &mut zab_cx!(self, out));
        }
    }

    /// Asked by a learner whose client came back.
    pub(super) fn revalidate_for(
        &mut self,
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
        out: &mut Outbox,
    ) {
        if !self.attach(session, timeout_ms, Owner::Learner(link), out) {
            self.miss(Missing { learner: Some(link), session, timeout_ms }, out);
        } else if let Role::Leading(leading) = &mut self.role {
            leading.answer_revalidate(link, session, true, &mut zab_cx!(self, out));
        }
    }

    /// The session moves to `owner`, if it lives.
    fn attach(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        owner: Owner,
        out: &mut Outbox,
    ) -> bool {
        let Some(tracker) = &mut self.tracker else { return false };
        if tracker.move_to(session, timeout_ms, owner) != Touched::Touched {
            return false;
        }
        let timeout_ms = tracker.timeout_ms(session).unwrap_or(timeout_ms);
        out.note(Note::SessionTouched { session, timeout_ms });
        true
    }

    pub(super) fn touch_session(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        user: Owner,
        out: &mut Outbox,
    ) {
        if let Some(tracker) = &mut self.tracker
            && tracker.touch_by(session, timeout_ms, user) == Touched::Touched
        {
            let timeout_ms = tracker.timeout_ms(session).unwrap_or(timeout_ms);
            out.note(Note::SessionTouched { session, timeout_ms });
        }
    }

    /// While nothing may be proposed, no session of the ensemble expires: then there is no need to wake.
    pub(super) fn expiry_deadline(&self) -> Option<Mono> {
        let proposes = self.next_zxid().is_some();
        let global = self.tracker.as_ref().filter(|_| proposes).and_then(SessionTracker::deadline);
        let local = self.local.as_ref().and_then(LocalSessions::deadline);
        [global, local].into_iter().flatten().min()
    }

    /// Expiry by the leader itself, never forwarded (B62): only while it may propose.
    pub(super) fn expire_sessions(&mut self, out: &mut Outbox) {
        if self.next_zxid().is_none() {
            return;
        }
        let Some(tracker) = &mut self.tracker else { return };
        for session in tracker.expired() {
            let Some(tracker) = &self.tracker else { return };
            let idle_ms = tracker.idle_ms(session).unwrap_or(0);
            let timeout_ms = tracker.timeout_ms(session).unwrap_or(0);
            out.note(Note::SessionExpired { session, idle_ms, timeout_ms });
            self.counters.expired += 1;
            let (standing, change) = (Standing::Global, Change::CloseSession);
            let request = WriteRequest { session, standing, cxid: 0, ids: [].into(), change };
            self.replicate(&request, out);
        }
    }

    /// Local sessions expire where they live, whoever leads.
    pub(super) fn expire_local_sessions(&mut self, out: &mut Outbox) {
        let Some(local) = &mut self.local else { return };
        for expired in local.expired() {
            let Expired { session, idle_ms, timeout_ms } = expired;
            let change = LocalChange::Expired { idle_ms, timeout_ms };
            out.note(Note::LocalSession { session, change });
            self.counters.expired += 1;
            self.clients.expired(session, &mut client_cx!(self, out));
        }
    }

    /// Whether a session that the leader does not know may live at the server that asks for it.
    ///
    /// Apache takes the word of every server but itself. Here one vouches for sessions that it made, and
    /// none for a session that this leader has seen closing.
    pub(super) fn may_be_local(&self, session: SessionId, owner: Owner) -> bool {
        match owner {
            Owner::Local => self.local.as_ref().is_some_and(|local| local.contains(session)),
            Owner::Learner(link) => {
                let Role::Leading(leading) = &self.role else { return false };
                let learner = leading.learner_id(link);
                self.config.local_sessions
                    && !self.closed.contains(session)
                    && learner.is_some_and(|id| session.is_of(id))
            }
        }
    }
}
