//! Which request a transaction was made for.
//!
//! The log names it by its session and by the client's own number, and a client may begin to count anew
//! on each connection. While a session goes on over its newest connection, nothing of the older ones is
//! proposed but refusals (E6): so what a number means is clear when its transaction is proposed. A local
//! session may go on before that; where there are any, clients count on.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use vivarium_core::ids::{Epoch, SessionId, Zxid};

use crate::codec::Reader;
use crate::history::{Call, RequestId};
use crate::oracle::Asked;
use crate::oracle::txn::Header;

/// Session, number on the wire, connection.
type Key = (SessionId, i32, u32);

/// The kind of transaction that a refusal is.
const ERROR: i32 = -1;

/// SESSIONMOVED
const MOVED: i32 = -118;

/// Writes that have no place in the order yet.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: BTreeMap<Key, (RequestId, Asked)>,
    /// Those that a transaction was proposed for, by epoch. Another one of that number and epoch was made
    /// for another.
    proposed: BTreeSet<(Epoch, Key)>,
}

impl Calls {
    pub(crate) fn insert(&mut self, op: RequestId, asked: Asked) {
        self.waiting.insert(key(&op), (op, asked));
    }

    pub(crate) fn contains(&self, op: &RequestId) -> bool {
        self.waiting.contains_key(&key(op))
    }

    pub(crate) fn remove(&mut self, op: &RequestId) {
        self.waiting.remove(&key(op));
    }

    /// The connection over which this transaction was asked for, just now or some time ago.
    pub(crate) fn proposed(&mut self, payload: &Bytes) -> Option<u32> {
        let (session, cxid, epoch, fate) = read(payload.clone())?;
        let is_new =
            |connection: &u32| !self.proposed.contains(&(epoch, (session, cxid, *connection)));
        let has_new = self.named(session, cxid).any(|connection| is_new(&connection));
        // The end of a session is never refused, also where what is late from elsewhere has its number; unless it
        // is that which is late.
        let mut named = self.named(session, cxid).filter(|&connection| {
            let ends =
                matches!(self.waiting[&(session, cxid, connection)].1.call, Call::CloseSession);
            (fate != Fate::Refused || !ends) && (is_new(&connection) || !has_new)
        });
        let newest = named.next_back()?;
        // What is refused as moved comes over a connection that the session has left.
        let is_left = fate == Fate::Moved;
        let meant = if is_left { named.next().unwrap_or(newest) } else { newest };
        drop(named);
        self.proposed.insert((epoch, (session, cxid, meant)));
        Some(meant)
    }

    /// The request of a transaction that is committed now.
    pub(crate) fn take(
        &mut self,
        header: &Header,
        connection: Option<u32>,
    ) -> Option<(RequestId, Asked)> {
        let (session, cxid) = (SessionId(header.session), header.cxid);
        let connection = connection.or_else(|| self.named(session, cxid).next())?;
        let key = (session, cxid, connection);
        self.proposed.remove(&(header.zxid.epoch(), key));
        self.waiting.remove(&key)
    }

    /// The connections over which a session used this number.
    fn named(&self, session: SessionId, cxid: i32) -> impl DoubleEndedIterator<Item = u32> {
        let all = (session, cxid, 0)..=(session, cxid, u32::MAX);
        self.waiting.range(all).map(|((_, _, connection), _)| *connection)
    }
}

fn key(op: &RequestId) -> Key {
    (op.session, op.cxid, op.connection)
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Made,
    Refused,
    /// Its session is elsewhere now.
    Moved,
}

/// Session and number, the epoch of the leader, and what became of the request.
fn read(payload: Bytes) -> Option<(SessionId, i32, Epoch, Fate)> {
    let mut reader = Reader::new(payload);
    let (session, cxid) = (SessionId(reader.i64()?), reader.i32()?);
    let (zxid, _time, kind) = (reader.i64()?, reader.i64()?, reader.i32()?);
    let fate = match kind {
        ERROR if reader.i32()? == MOVED => Fate::Moved,
        ERROR => Fate::Refused,
        _ => Fate::Made,
    };
    Some((session, cxid, Zxid::from_wire(zxid)?.epoch(), fate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{header, request, z};
    use crate::oracle::txn::{Txn, build::payload};

    /// Number 3 of session 5, over these connections.
    fn calls(connections: &[u32]) -> Calls {
        let mut calls = Calls::default();
        for connection in connections {
            let call = Call::Delete { path: "/a".into(), version: -1 };
            let asked = Asked { call, ids: Default::default(), applied: 0 };
            let xid = 10 * i32::try_from(*connection).unwrap();
            calls.insert(RequestId { connection: *connection, cxid: 3, ..request(5, xid) }, asked);
        }
        calls
    }

    fn meant(connections: &[u32], txn: &Txn) -> Option<i32> {
        let mut calls = calls(connections);
        let header = header(z(1, 2), 5, 3);
        let connection = calls.proposed(&payload(header, txn));
        let taken = calls.take(&header, connection).map(|(op, _)| op.xid);
        assert_eq!(calls.waiting.len() + usize::from(taken.is_some()), connections.len());
        taken
    }

    #[test]
    fn the_newest_connection_is_meant() {
        let delete = Txn::Delete { path: "/a".into() };
        assert_eq!(meant(&[1, 2], &delete), Some(20));
        assert_eq!(meant(&[1], &delete), Some(10));
        assert_eq!(meant(&[], &delete), None);
    }

    #[test]
    fn what_is_refused_as_moved_came_over_an_older_one() {
        assert_eq!(meant(&[1, 2], &Txn::Error { code: MOVED }), Some(10));
        assert_eq!(meant(&[2], &Txn::Error { code: MOVED }), Some(20));
        assert_eq!(meant(&[1, 2], &Txn::Error { code: -101 }), Some(20));
    }

    #[test]
    fn the_end_of_a_session_is_not_what_is_refused() {
        let mut calls = calls(&[1]);
        let asked = Asked { call: Call::CloseSession, ids: Default::default(), applied: 0 };
        let close = RequestId { connection: 2, cxid: 3, ..request(5, 20) };
        calls.insert(close, asked);
        let late = payload(header(z(1, 3), 5, 3), &Txn::Error { code: -112 });
        assert_eq!(calls.proposed(&late), Some(1));
        let closed = payload(header(z(1, 2), 5, 3), &Txn::CloseSession { paths: Some(Vec::new()) });
        assert_eq!(calls.proposed(&closed), Some(2));
    }

    #[test]
    fn a_second_proposal_of_a_number_is_for_another_connection() {
        let mut calls = calls(&[1, 2]);
        let of = |txn| payload(header(z(1, 2), 5, 3), &txn);
        assert_eq!(calls.proposed(&of(Txn::Error { code: MOVED })), Some(1));
        assert_eq!(calls.proposed(&of(Txn::Error { code: MOVED })), Some(2));
        assert_eq!(calls.proposed(&of(Txn::Error { code: -101 })), Some(2), "once too often");
        // What a leader proposes that was replaced says nothing of the next one's.
        let next = payload(header(z(2, 1), 5, 3), &Txn::Error { code: -101 });
        assert_eq!(calls.proposed(&next), Some(2));
    }

    /// In a recorded history all is proposed before anything is asked for.
    #[test]
    fn what_was_not_clear_then_is_the_oldest() {
        let header = header(z(1, 2), 5, 3);
        let taken = calls(&[1, 2]).take(&header, None).map(|(op, _)| op.xid);
        assert_eq!(taken, Some(10));
    }
}
