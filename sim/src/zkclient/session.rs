//! What a client knows of its session, and how it numbers requests.

use bytes::Bytes;
use vivarium_core::ids::{ServerId, SessionId};

use crate::client::ConnId;
use crate::history::RequestId;
use crate::workload::Stray;

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) password: Bytes,
    pub(super) timeout_ms: i32,
    /// Requests so far, over all connections.
    last_xid: i32,
    /// Those of older connections that do not count on this one.
    behind: i32,
    /// Connections that it was granted on.
    pub(super) connections: u32,
    /// A server without a quorum gave it, when the client had seen so much.
    pub(super) read_only: Option<i64>,
    /// Its end was asked for over a connection that it has left.
    pub(super) is_ending: bool,
    /// The connection that something was asked over behind which servers close it.
    pub(super) spoilt: Option<u32>,
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        password: Bytes,
        timeout_ms: i32,
        read_only: Option<i64>,
    ) -> Self {
        Self {
            id,
            password,
            timeout_ms,
            last_xid: 0,
            behind: 0,
            connections: 0,
            read_only,
            is_ending: false,
            spoilt: None,
        }
    }

    /// It was granted on one more connection. `fresh`: numbers begin anew there.
    pub(super) fn connected(&mut self, timeout_ms: i32, fresh: bool) {
        self.connections += 1;
        self.timeout_ms = timeout_ms;
        if fresh {
            self.behind = self.last_xid;
        }
    }

    /// The next request on its newest connection.
    pub(super) fn number(&mut self, server: ServerId) -> RequestId {
        self.last_xid += 1;
        let (session, xid, connection) = (self.id, self.last_xid, self.connections);
        RequestId { session, xid, connection, server, cxid: xid - self.behind }
    }

    /// The number of a request on the connection that it asks for, where `place` counts from 1.
    pub(super) fn cxid_ahead(&self, place: i32, fresh: bool) -> i32 {
        if fresh { place } else { self.last_xid + place - self.behind }
    }

    pub(super) fn part_us(&self, thirds: u64) -> u64 {
        u64::try_from(self.timeout_ms).unwrap_or(0) * 1000 * thirds / 3
    }
}

/// A connection that the client has left without closing it.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) conn: ConnId,
    server: ServerId,
    pub(super) session: SessionId,
    /// Which connection of its session it was.
    connection: u32,
    /// Requests of older connections that did not count on it.
    behind: i32,
    /// What was last sent over it.
    last_cxid: i32,
    /// What is still sent over it once the session goes on elsewhere.
    pub(super) stray: Option<Stray>,
}

impl Left {
    pub(super) fn new(
        session: &Session,
        conn: ConnId,
        server: ServerId,
        stray: Option<Stray>,
    ) -> Self {
        Self {
            conn,
            server,
            session: session.id,
            connection: session.connections,
            behind: session.behind,
            last_cxid: session.last_xid - session.behind,
            stray,
        }
    }

    /// The next request over it, while the session goes on elsewhere.
    pub(super) fn number(&mut self, session: &mut Session) -> RequestId {
        session.last_xid += 1;
        // Where numbers begin anew this connection counts on by itself, and meets those of the newest.
        let counts_alone = session.behind > self.behind;
        session.behind += i32::from(counts_alone);
        let next = if counts_alone { self.last_cxid + 1 } else { session.last_xid - self.behind };
        self.last_cxid = next;
        let (connection, server) = (self.connection, self.server);
        RequestId { session: self.session, xid: session.last_xid, connection, server, cxid: next }
    }
}
