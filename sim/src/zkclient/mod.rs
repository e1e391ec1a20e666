//! A simulated ZooKeeper client with a codec of its own: a second, independent reading of the
//! protocol.

use vivarium_core::ids::ServerId;

use crate::client::{ClientEvent, ClientOut, SimClient};
use crate::ids::{ClientId, SimTime};
use crate::workload::Workload;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    pub id: ClientId,
    /// Servers that it may dial.
    pub servers: Vec<ServerId>,
    /// What it asks for; servers clamp it.
    pub session_timeout_ms: i32,
    pub seed: u64,
}

/// One client process.
#[derive(Debug)]
pub struct ZkClient {
    spec: ClientSpec,
    workload: Workload,
}

impl ZkClient {
    pub fn new(spec: ClientSpec, workload: Workload) -> Self {
        Self { spec, workload }
    }
}

impl SimClient for ZkClient {
    fn on_event(&mut self, now: SimTime, event: ClientEvent, out: &mut ClientOut) {
        let _ = (now, event, out, &self.spec, &self.workload);
    }

    fn on_wake(&mut self, now: SimTime, out: &mut ClientOut) {
        let _ = (now, out);
    }

    fn deadline(&self) -> Option<SimTime> {
        None
    }
}
