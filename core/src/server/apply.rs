//! Commits, in order, into the tree; then whoever waited for them.

use alloc::vec::Vec;

use crate::election::Election;
use crate::ids::Zxid;
use crate::server::note::Note;
use crate::server::role::Role;
use crate::server::view::{Counters, Service, View};
use crate::server::{Outbox, Server, client_cx};
use crate::session::{LocalSessions, SessionTracker};
use crate::tree::TxnResult;
use crate::txn::{LoggedTxn, Txn, payload_hash};

impl Server {
    /// Applies the oldest committed transaction that is not applied yet. False when there is none.
    pub(super) fn apply_next(&mut self, out: &mut Outbox) -> bool {
        let (applied, committed) = (self.db.applied(), self.history.committed());
        if applied >= committed {
            return false;
        }
        let Some(entry) = self.history.window.next_after(applied) else { return false };
        if entry.zxid > committed {
            return false;
        }
        let (zxid, payload) = (entry.zxid, entry.payload.clone());
        let hash = payload_hash(&payload);
        match LoggedTxn::decode(payload) {
            Ok(txn) => self.apply(&txn, out),
            // Nothing that is logged may stop a server (T31): what nobody can read changes nothing.
            Err(_) => self.db.set_applied(zxid),
        }
        let digest = self.db.digest();
        out.note(Note::Applied { zxid, hash, digest, recovered: false });
        self.preparer.applied(zxid);
        self.chores.count_transaction();
        self.trim(zxid);
        true
    }

    fn apply(&mut self, txn: &LoggedTxn, out: &mut Outbox) {
        self.clients.approaching(txn, &mut client_cx!(self, out));
        let mut events = Vec::new();
        let result = self.db.apply(txn, &mut events);
        self.follow_session(txn, &result, out);
        self.clients.applied(txn, &result, events, &mut client_cx!(self, out));
    }

    /// The session table changed: expiry and touch reports follow it.
    fn follow_session(&mut self, txn: &LoggedTxn, result: &TxnResult, out: &mut Outbox) {
        let session = txn.header.session;
        match (&txn.txn, result) {
            (Txn::CreateSession { .. }, TxnResult::SessionCreated { timeout_ms }) => {
                let timeout_ms = *timeout_ms;
                out.note(Note::SessionOpened { session, timeout_ms });
                if let Some(local) = &mut self.local {
                    local.upgraded(session);
                }
                if let Some(tracker) = &mut self.tracker
                    && tracker.timeout_ms(session).is_none()
                {
                    tracker.track(session, timeout_ms, None);
                }
            }
            (Txn::CloseSession { .. }, _) => {
                out.note(Note::SessionClosed { session, zxid: txn.header.zxid });
                self.touched.remove(session);
                if let Some(tracker) = &mut self.tracker {
                    tracker.remove(session);
                    if self.config.local_sessions {
                        self.closed.insert(session);
                    }
                }
            }
            (
                Txn::CreateSession { .. }
                | Txn::Create(_)
                | Txn::Create2(_)
                | Txn::CreateTtl { .. }
                | Txn::CreateContainer { .. }
                | Txn::Delete { .. }
                | Txn::DeleteContainer { .. }
                | Txn::SetData { .. }
                | Txn::Reconfig { .. }
                | Txn::SetAcl { .. }
                | Txn::Check { .. }
                | Txn::Multi(_)
                | Txn::Error { .. },
                _,
            ) => {}
        }
    }

    /// Keeps the newest transactions in memory for DIFF; those that are not durable here stay, so
    /// that each can be acknowledged.
    fn trim(&mut self, applied: Zxid) {
        let settled = applied.min(self.history.durable());
        self.history.window.trim(settled, self.config.commit_log_count);
    }

    /// What this server looks like from outside.
    pub fn view(&self) -> View {
        let (leader, synced) = match &self.role {
            Role::Leading(leading) => (Some(self.config.me), leading.synced_learners()),
            Role::Following(following) => (Some(following.leader()), 0),
            Role::Starting
            | Role::Looking
            | Role::Standalone(_)
            | Role::Truncating { .. }
            | Role::Stopping { .. }
            | Role::Halted => (None, 0),
        };
        let last = self.history.last();
        let log = self.history.log.counts();
        View {
            me: self.config.me,
            phase: self.phase(),
            leader,
            accepted: self.history.accepted_durable(),
            current: self.history.current(),
            logged: last,
            durable: last.map(|_| self.history.durable()),
            committed: last.map(|_| self.history.committed()),
            applied: last.map(|_| self.db.applied()),
            digest: self.db.digest(),
            serving: self.service == Service::Full,
            read_only: self.service == Service::ReadOnly,
            sessions: self.db.sessions().len(),
            tracked_sessions: self.tracker.as_ref().map_or(0, SessionTracker::len),
            local_sessions: self.local.as_ref().map_or(0, LocalSessions::len),
            clients: self.clients.links(),
            nodes: self.db.node_count(),
            watches: self.clients.watches().len(),
            outstanding: self.clients.outstanding(),
            received: self.clients.traffic().received,
            awaited: self.election.as_ref().map_or_else(Vec::new, Election::waiting_for),
            synced,
            counters: Counters {
                log_batches: log.batches,
                log_records: log.records,
                ..self.counters
            },
        }
    }
}
