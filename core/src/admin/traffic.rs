//! What is counted of the talk with clients. Apache: `ServerStats`, the statistics of `ServerCnxn`.

use crate::admin::summary::{Sizes, Summary};
use crate::ids::{Xid, Zxid};
use crate::time::{Mono, Span};
use crate::wire::client::EventKind;

/// Counts of one server since its start, or since `srst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames and words that came, frames and answers that went.
    pub received: u64,
    pub sent: u64,
    pub bytes_received: u64,
    /// Bytes of replies and of watch events, without their frames' lengths.
    pub response_bytes: u64,
    pub watch_bytes: u64,
    /// From a request's arrival to its answer.
    pub latency: Summary,
    pub reads: Summary,
    pub updates: Summary,
    pub response_sizes: Sizes,
    /// Watchers met per change and table, where there were any.
    pub told: Told,
    pub connection_requests: u64,
    pub revalidations: u64,
    /// Refused for `maxClientCnxns`.
    pub rejected: u64,
    /// Closed because they never said what they are.
    pub sessionless_expired: u64,
}

/// One summary per kind of change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub created: Summary,
    pub deleted: Summary,
    pub changed: Summary,
    pub children: Summary,
}

impl Told {
    pub fn of(&mut self, kind: EventKind) -> &mut Summary {
        match kind {
            EventKind::NodeCreated => &mut self.created,
            EventKind::NodeDeleted => &mut self.deleted,
            EventKind::NodeDataChanged => &mut self.changed,
            EventKind::NodeChildrenChanged => &mut self.children,
        }
    }
}

/// Counts of one connection since it was made, or since `crst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTraffic {
    pub received: u64,
    pub sent: u64,
    pub latency: Summary,
    pub last: Option<LastAnswer>,
    /// Of the newest request with a number of its own: pings and the like have none.
    pub last_xid: Option<Xid>,
}

/// The newest request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAnswer {
    /// Four letters, as `cons` prints them.
    pub operation: &'static str,
    pub zxid: Zxid,
    pub at: Mono,
    pub took: Span,
}

impl LinkTraffic {
    pub fn answered(&mut self, xid: Xid, answer: LastAnswer) {
        if xid.0 >= 0 {
            self.last_xid = Some(xid);
        }
        self.latency.add_span(answer.took);
        self.last = Some(answer);
    }
}
