//! Simulated ZooKeeper clients: passive machines with a codec of their own.
//!
//! The world carries out [`ClientOut`]s in order, records what they say, and feeds back
//! [`ClientEvent`]s. A client has at most one connection at a time; `attempt` numbers it, so that
//! late events of an older one are told apart.

use bytes::Bytes;

use crate::event::{ClientFact, ClientId, NodeId, SimTime};

/// What the network tells a client about its connection number `attempt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    Connected {
        attempt: u64,
    },
    ConnectFailed {
        attempt: u64,
    },
    /// A chunk of any size, in stream order.
    Bytes {
        attempt: u64,
        bytes: Bytes,
    },
    Closed {
        attempt: u64,
    },
}

/// What a client asks of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOut {
    /// Answered by `Connected` or `ConnectFailed` with this attempt.
    Connect {
        attempt: u64,
        server: NodeId,
    },
    Send {
        attempt: u64,
        bytes: Bytes,
    },
    /// Drop the connection (RST); no event of this attempt may follow.
    Close {
        attempt: u64,
    },
    /// To be recorded as `SimEvent::Client` at this place.
    Record(ClientFact),
}

/// How a client behaves; drawn once per client.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    pub id: ClientId,
    /// Servers that it may dial.
    pub servers: Vec<NodeId>,
    pub session_timeout_ms: i32,
    /// Most requests in flight, 1 to 8.
    pub pipeline: usize,
    /// Mean time between bursts of requests.
    pub think_us: u64,
    pub seed: u64,
}

/// One client process.
#[derive(Debug)]
pub struct SimClient {
    spec: ClientSpec,
}

impl SimClient {
    pub fn new(spec: ClientSpec, workload: crate::workload::Workload) -> Self {
        let _ = workload;
        Self { spec }
    }

    pub fn id(&self) -> ClientId {
        self.spec.id
    }

    pub fn on_event(&mut self, now: SimTime, event: ClientEvent, out: &mut Vec<ClientOut>) {
        let _ = (now, event, out);
        todo!()
    }

    /// To be called first at the start of the run, then whenever `deadline` has passed. Extra
    /// calls are harmless.
    pub fn on_wake(&mut self, now: SimTime, out: &mut Vec<ClientOut>) {
        let _ = (now, out);
        todo!()
    }

    /// When to call `on_wake` at the latest.
    pub fn deadline(&self) -> Option<SimTime> {
        todo!()
    }

    /// From now on the client behaves: no silence, no dropped connections (calm phase).
    pub fn calm(&mut self) {
        todo!()
    }
}
