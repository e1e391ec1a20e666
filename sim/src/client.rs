//! The contract between the world and its simulated clients: passive machines, as servers are.
//!
//! The world calls a client with events and wakes; the client answers through [`ClientOut`]. Each
//! client is an endpoint of [`NetSim`](crate::net::NetSim) with connections as faulty as a server's.
//!
//! A client lives from the start of the run to its end. `ConnId`s are never reused. For each
//! `connect` there is exactly one `Connected` or `ConnectFailed`, and for each `Connected` at most
//! one `Closed`, which is the last event of that connection; after `ClientOut::close` no event
//! of that connection follows.

use bytes::Bytes;
use vivarium_core::ids::ServerId;

use crate::history::ClientFact;
use crate::ids::SimTime;
use crate::zkclient::Timed;

/// One connection attempt of a client, numbered by the client's own counter in [`ClientOut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// First event of the run.
    Start,
    Connected {
        conn: ConnId,
    },
    /// Refused, or nobody answered for a while.
    ConnectFailed {
        conn: ConnId,
        timed_out: bool,
    },
    /// A chunk of any size, in stream order.
    Bytes {
        conn: ConnId,
        bytes: Bytes,
    },
    /// The far side closed, or the connection broke.
    Closed {
        conn: ConnId,
    },
    /// Faults are over; the calm phase begins.
    Calm,
    /// The run ends: asks for nothing new, closes its session, and does not come back.
    Leave,
}

/// One simulated client.
pub trait SimClient {
    fn on_event(&mut self, now: SimTime, event: ClientEvent, out: &mut ClientOut);
    /// `deadline` has passed.
    fn on_wake(&mut self, now: SimTime, out: &mut ClientOut);
    /// When `on_wake` should be called.
    fn deadline(&self) -> Option<SimTime>;
    /// When it comes back, and to whom, is drawn anew.
    fn reroll(&mut self, rolls: u32) {
        let _ = rolls;
    }
    /// What it did in the run, where it was told to remember.
    fn take_performed(&mut self) -> Vec<Timed> {
        Vec::new()
    }
}

/// What a client asks for.
#[derive(Debug, Default)]
pub struct ClientOut {
    next_conn: u64,
    asks: Vec<ClientAsk>,
    /// Frames that the client decoded.
    pub(crate) frames: u64,
}

#[derive(Debug)]
pub(crate) enum ClientAsk {
    Connect { conn: ConnId, to: ServerId },
    Send { conn: ConnId, bytes: Bytes },
    Close { conn: ConnId, abort: bool },
    Fact(ClientFact),
}

impl ClientOut {
    pub fn new() -> Self {
        Self::default()
    }

    /// Dials the client port of a server.
    pub fn connect(&mut self, to: ServerId) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.asks.push(ClientAsk::Connect { conn, to });
        conn
    }

    pub fn send(&mut self, conn: ConnId, bytes: Bytes) {
        self.asks.push(ClientAsk::Send { conn, bytes });
    }

    /// FIN after everything sent. Also gives up an attempt that is still under way.
    pub fn close(&mut self, conn: ConnId) {
        self.asks.push(ClientAsk::Close { conn, abort: false });
    }

    /// RST; what was not delivered yet is lost.
    pub fn abort(&mut self, conn: ConnId) {
        self.asks.push(ClientAsk::Close { conn, abort: true });
    }

    /// The client decoded one frame: for the count of messages.
    pub fn heard_frame(&mut self) {
        self.frames += 1;
    }

    /// Tells the observers, in order.
    pub fn fact(&mut self, fact: ClientFact) {
        self.asks.push(ClientAsk::Fact(fact));
    }

    pub(crate) fn take(&mut self) -> Vec<ClientAsk> {
        std::mem::take(&mut self.asks)
    }

    /// What was asked so far, emptied; for tests of clients that run without a world.
    pub fn take_for_test(&mut self) -> Vec<TestAsk> {
        self.take()
            .into_iter()
            .map(|ask| match ask {
                ClientAsk::Connect { conn, to } => TestAsk::Connect(conn, to),
                ClientAsk::Send { conn, bytes } => TestAsk::Send(conn, bytes),
                ClientAsk::Close { conn, .. } => TestAsk::Close(conn),
                ClientAsk::Fact(fact) => TestAsk::Fact(fact),
            })
            .collect()
    }
}

/// A public mirror of what a client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestAsk {
    Connect(ConnId, ServerId),
    Send(ConnId, Bytes),
    Close(ConnId),
    Fact(ClientFact),
}
