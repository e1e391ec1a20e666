//! The fingerprint of a run, and its readable form.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::ids::{NodeId, SimTime};

/// Takes one line per event. Absent in bulk runs, where no line is even formatted.
pub type TraceSink = Box<dyn FnMut(&str) + Send>;

/// What kind of event a step of the hash covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    Opened = 1,
    DialFailed,
    Bytes,
    Sent,
    Closed,
    Disk,
    Wake,
    Stop,
    Boot,
    Crash,
    Exit,
    Note,
    Fault,
    Client,
}

/// A hash over all events so far, and the sink of their lines.
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    sink: Option<TraceSink>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x} after {})", self.hash, self.events)
    }
}

impl Trace {
    pub(crate) fn new(sink: Option<TraceSink>) -> Self {
        Self { hash: 0x5a4b_5a4b_5a4b_5a4b, events: 0, sink }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// One event; `line` is called only when somebody reads.
    pub(crate) fn event(
        &mut self,
        now: SimTime,
        node: NodeId,
        mark: Mark,
        content: u64,
        line: impl FnOnce() -> String,
    ) {
        self.events += 1;
        let who = match node {
            NodeId::World => 0,
            NodeId::Server(id) => id.0 << 1,
            NodeId::Client(id) => u64::from(id.0) << 1 | 1,
        };
        for part in [mark as u64, now.0, who, content] {
            self.hash = mix(self.hash, part);
        }
        if let Some(sink) = &mut self.sink {
            sink(&format!("{now} {node:<5} {}", line()));
        }
    }
}

pub(crate) fn mix(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (hash >> 29)
}

pub(crate) fn hash_bytes(bytes: &Bytes) -> u64 {
    let mut chunks = bytes.chunks_exact(8);
    let mut hash = bytes.len() as u64;
    for chunk in &mut chunks {
        hash = mix(hash, u64::from_le_bytes(chunk.try_into().expect("chunks of eight")));
    }
    chunks.remainder().iter().fold(hash, |hash, &byte| mix(hash, u64::from(byte)))
}

/// Hashes a value field by field, the same on every machine of one word size.
pub(crate) fn hash_value(value: &impl Hash) -> u64 {
    let mut folding = Folding(0);
    value.hash(&mut folding);
    folding.0
}

struct Folding(u64);

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0, value);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
