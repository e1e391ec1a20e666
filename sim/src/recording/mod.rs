//! A run as a graph: what happened where, and what came of what.
//!
//! A recording is taken beside the trace and never looks back into the run: the trace hash is the
//! same with and without one. Bulk runs take none, and pay one test of an `Option` for each event.

mod describe;
mod event;
mod links;
mod packets;
mod pending_disk;
mod recorder;
mod spans;
mod subject;
mod tell;
#[cfg(test)]
mod tests;

pub use self::event::{DiskOp, Event, EventId, Message, What};
pub(crate) use self::recorder::Recorder;
pub use self::spans::{FaultSpan, Life, LifeEnd, Operation, OperationEnd, Pause, PhaseSpan, Spans};
pub use self::tell::Teller;
pub(crate) use self::tell::{error_name, phase_name};
use crate::ids::{NodeId, SimTime};
use crate::schedule::FaultUnit;

/// Everything that was recorded of one run.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// All servers, then all clients.
    pub nodes: Vec<NodeId>,
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// In the order in which they were sent.
    pub messages: Vec<Message>,
    /// The schedule: events name its units by number.
    pub faults: Vec<FaultUnit>,
    pub end: SimTime,
}

impl Recording {
    pub fn event(&self, id: EventId) -> &Event {
        &self.events[id.index()]
    }

    /// The event that broke a promise.
    pub fn violation(&self) -> Option<EventId> {
        let found = self.events.iter().rposition(|event| matches!(event.what, What::Violation(_)));
        found.map(EventId::at)
    }

    /// Everything that `event` came of, itself included, in order of time.
    pub fn past(&self, event: EventId) -> Vec<EventId> {
        let mut known = vec![false; self.events.len()];
        let mut open = vec![event];
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut known[id.index()], true) {
                open.extend(&self.event(id).causes);
            }
        }
        (0..self.events.len()).filter(|&index| known[index]).map(EventId::at).collect()
    }
}
