//! The fingerprint of a run, and its readable form.

use std::fmt;
use std::hash::{Hash, Hasher};

use vivarium_core::server::action::DiskAction;
use vivarium_core::server::input::{DiskInput, Input, LinkInput};

use crate::ids::{NodeId, SimTime};

/// Takes one line per event. Absent in bulk runs, where no line is even formatted.
pub type TraceSink = Box<dyn FnMut(&TraceLine<'_>) + Send>;

/// One event as a line.
#[derive(Clone, Copy, Debug)]
pub struct TraceLine<'a> {
    pub at: SimTime,
    pub node: NodeId,
    pub text: &'a str,
    /// Hash of what the text stands for: it covers more than is shown, such as bytes.
    pub content: u64,
}

impl fmt::Display for TraceLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<5} {}", self.at, self.node, self.text)
    }
}

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
            sink(&TraceLine { at: now, node, text: &line(), content });
        }
    }
}

pub(crate) fn mix(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (hash >> 29)
}

/// Four words at a time: each step of `mix` waits for the one before it.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [bytes.len() as u64, 1, 2, 3];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = mix(*lane, u64::from_le_bytes(*word));
        }
    }
    let hash = if blocks.is_empty() { lanes[0] } else { lanes.into_iter().fold(0, mix) };
    let (words, rest) = rest.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, &byte| mix(hash, u64::from(byte)))
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
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
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

/// An input in one short line: bytes by their number.
pub(crate) struct Brief<'a>(pub(crate) &'a Input);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Link(LinkInput::Bytes { link, bytes }) => {
                write!(f, "{} bytes on {link}", bytes.len())
            }
            Input::Disk(DiskInput::ReadDone { read, result }) => {
                write!(f, "read {read} done, {}", if result.is_ok() { "ok" } else { "failed" })
            }
            Input::Wake
            | Input::Link(_)
            | Input::Disk(_)
            | Input::Admin { .. }
            | Input::Stop
            | Input::ReloadConfig(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// One disk operation as a line of the trace.
pub(crate) fn describe(action: &DiskAction) -> String {
    match action {
        DiskAction::Write { file, offset, bytes, .. } => {
            format!("-> write {file} at {offset}, {} bytes", bytes.len())
        }
        DiskAction::SetLen { file, len, .. } => format!("-> set length of {file} to {len}"),
        DiskAction::SyncFile { file, .. } => format!("-> sync {file}"),
        DiskAction::Rename { from, to, .. } => format!("-> rename {from} to {to}"),
        DiskAction::SyncDir { dir, .. } => format!("-> sync folder {dir:?}"),
        DiskAction::Remove { file, .. } => format!("-> remove {file}"),
        DiskAction::Read { file, offset, len, .. } => format!("-> read {file} at {offset}, {len}"),
        DiskAction::List { dir, .. } => format!("-> list {dir:?}"),
    }
}

/// What a disk operation does, for the hash of the run.
pub(crate) fn hash_action(action: &DiskAction) -> u64 {
    match action {
        DiskAction::Write { file, offset, bytes, .. } => {
            mix(hash_value(&(1, file, offset)), hash_bytes(bytes))
        }
        DiskAction::SetLen { file, len, .. } => hash_value(&(2, file, len)),
        DiskAction::SyncFile { file, .. } => hash_value(&(3, file)),
        DiskAction::Rename { from, to, .. } => hash_value(&(4, from, to)),
        DiskAction::SyncDir { dir, .. } => hash_value(&(5, dir)),
        DiskAction::Remove { file, .. } => hash_value(&(6, file)),
        DiskAction::Read { file, offset, len, .. } => hash_value(&(7, file, offset, len)),
        DiskAction::List { dir, .. } => hash_value(&(8, dir)),
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::ids::OpId;
    use vivarium_core::server::input::Queue;
    use vivarium_core::storage::files::{Dir, FileName};

    use super::*;

    /// A server that writes something else, or elsewhere, gives its run another hash.
    #[test]
    fn the_hash_covers_what_goes_to_disk() {
        let write = |name: &str, offset, bytes: &'static [u8]| {
            let (queue, op, bytes) = (Queue::Log, OpId(1), bytes.into());
            hash_action(&DiskAction::Write {
                queue,
                op,
                file: FileName::new(Dir::Log, name),
                offset,
                bytes,
            })
        };
        let first = write("log.1", 16, b"abc");
        assert_eq!(first, write("log.1", 16, b"abc"));
        for other in
            [write("log.2", 16, b"abc"), write("log.1", 17, b"abc"), write("log.1", 16, b"abd")]
        {
            assert_ne!(first, other);
        }
    }
}
