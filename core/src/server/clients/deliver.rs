//! What comes back from the replicated side: applied transactions, syncs, refusals.

use alloc::vec::Vec;

use crate::acl::PERM_READ;
use crate::ids::{LinkId, SessionId, Xid, Zxid};
use crate::request::auth::permits;
use crate::request::order::Abandoned;
use crate::request::reply::Outcome;
use crate::server::action::{Close, CloseReason};
use crate::server::clients::link::Last;
use crate::server::clients::{ClientCx, Clients, Refusal};
use crate::server::note::Note;
use crate::tree::{TreeEvent, TxnResult};
use crate::txn::{LoggedTxn, Txn};
use crate::wire::client::encode_event;

impl Clients {
    /// Call before each `Database::apply`: what a client asked for in front of this write is
    /// answered from the tree without it.
    pub fn approaching(&mut self, txn: &LoggedTxn, cx: &mut ClientCx<'_>) {
        self.happened.follow(cx.db.applied());
        let Some(&link) = self.sessions.get(&txn.header.session) else { return };
        let Some(live) = self.links.get_mut(&link).and_then(|known| known.live_mut()) else {
            return;
        };
        let (cxid, zxid) = (Xid(txn.header.cxid), txn.header.zxid);
        if live.order.approaches(cxid, zxid, |kind| kind.fits(&txn.txn)) {
            self.flush(link, cx);
        }
    }

    /// Call after each `Database::apply`. Watch events leave first, then the reply of the request
    /// that waited for this transaction, then what waited behind it (trap T9).
    pub fn applied(
        &mut self,
        txn: &LoggedTxn,
        result: &TxnResult,
        events: Vec<TreeEvent>,
        cx: &mut ClientCx<'_>,
    ) {
        for event in &events {
            self.tell(event, cx);
        }
        self.happened.extend(txn.header.zxid, events, cx.config.event_history_bytes);
        let session = txn.header.session;
        let (cxid, zxid) = (Xid(txn.header.cxid), txn.header.zxid);
        match &txn.txn {
            Txn::CreateSession { .. } => self.created(session, result, cx),
            Txn::CloseSession { .. } => self.session_ended(session, cxid, zxid, result, cx),
            Txn::Create(_)
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
            | Txn::Error { .. } => self.written(session, cxid, zxid, result, cx),
        }
        self.readmit(cx);
    }

    /// The leader has answered the oldest sync of this connection.
    pub fn synced(&mut self, link: LinkId, cxid: Xid, cx: &mut ClientCx<'_>) {
        let Some(live) = self.links.get_mut(&link).and_then(|known| known.live_mut()) else {
            return;
        };
        if live.order.synced(cxid) {
            self.go_on(link, cx);
            self.readmit(cx);
        }
    }

    /// The replicated side will not carry out a request: its connection ends without a reply.
    pub fn refused(&mut self, session: SessionId, cxid: Xid, why: Refusal, cx: &mut ClientCx<'_>) {
        if self.take_abandoned(session, |gone| gone.xid == cxid) {
            return;
        }
        let Some(&link) = self.sessions.get(&session) else { return };
        let Some(live) = self.links.get(&link).and_then(|known| known.live()) else { return };
        if !live.order.waits_for(cxid) {
            return;
        }
        let why = match why {
            Refusal::Moved => CloseReason::SessionMoved,
            Refusal::Stopping => CloseReason::Stopping,
        };
        self.end(link, Close::Flush, why, cx);
        self.readmit(cx);
    }

    fn written(
        &mut self,
        session: SessionId,
        cxid: Xid,
        zxid: Zxid,
        result: &TxnResult,
        cx: &mut ClientCx<'_>,
    ) {
        if self.take_abandoned(session, |gone| gone.xid == cxid && gone.after < zxid) {
            return;
        }
        let Some(&link) = self.sessions.get(&session) else { return };
        let Some(live) = self.links.get_mut(&link).and_then(|known| known.live_mut()) else {
            return;
        };
        if live.order.written(cxid, zxid, |kind| Outcome::new(kind, zxid, result)) {
            self.go_on(link, cx);
        }
    }

    /// The session is over everywhere. Its client is told only if it asked for it.
    fn session_ended(
        &mut self,
        session: SessionId,
        cxid: Xid,
        zxid: Zxid,
        result: &TxnResult,
        cx: &mut ClientCx<'_>,
    ) {
        self.abandoned.remove(&session);
        let Some(&link) = self.sessions.get(&session) else { return };
        let Some(known) = self.links.get_mut(&link) else { return };
        let Some(live) = known.live_mut() else {
            // Its revalidation will fail; that answer tells the client.
            return;
        };
        if live.last == Some(Last::CloseSession(cxid))
            && live.order.written(cxid, zxid, |kind| Outcome::new(kind, zxid, result))
        {
            self.go_on(link, cx);
        }
        self.end(link, Close::Flush, CloseReason::SessionExpired, cx);
        self.abandoned.remove(&session);
    }

    /// A local session has expired.
    pub fn expired(&mut self, session: SessionId, cx: &mut ClientCx<'_>) {
        if let Some(&link) = self.sessions.get(&session) {
            self.end(link, Close::Flush, CloseReason::SessionExpired, cx);
        }
        self.abandoned.remove(&session);
        self.readmit(cx);
    }

    /// Answers what can be answered now, then takes more requests.
    fn go_on(&mut self, link: LinkId, cx: &mut ClientCx<'_>) {
        self.flush(link, cx);
        self.take_more(link, cx);
    }

    /// Takes the first abandoned write that fits, and all before it: they cannot come any more.
    fn take_abandoned(&mut self, session: SessionId, fits: impl Fn(&Abandoned) -> bool) -> bool {
        let Some(writes) = self.abandoned.get_mut(&session) else { return false };
        let Some(index) = writes.iter().position(fits) else { return false };
        writes.drain(..=index);
        if writes.is_empty() {
            self.abandoned.remove(&session);
        }
        true
    }

    /// Sends one change to all who watch for it and may read the node.
    fn tell(&mut self, event: &TreeEvent, cx: &mut ClientCx<'_>) {
        let mut told = Vec::new();
        for met in self.watches.fire(event, &mut told).into_iter().filter(|met| *met > 0) {
            self.traffic.told.of(event.kind).add(met as u64);
        }
        for link in told {
            let Some(known) = self.links.get(&link) else { continue };
            let Some(session) = known.session() else { continue };
            if !permits(&cx.config.access, &event.acl, PERM_READ, &known.ids) {
                continue;
            }
            let TreeEvent { kind, zxid, .. } = *event;
            cx.out.note(Note::WatchFired { session, kind, zxid });
            self.send_event(link, cx, |out| encode_event(out, zxid.to_wire(), kind, &event.path));
            self.set_reading(link, cx);
        }
    }
}
