//! Where `step` puts its actions, joined so that a batch of inputs costs one write.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::ids::{LinkId, OpId};
use crate::server::action::{Action, Close, CloseReason, DiskAction, LinkAction};
use crate::server::input::Queue;
use crate::server::note::Note;
use crate::storage::files::FileName;

/// Room for what most batches send on one link: packets are put together from small parts.
const SEND_BYTES: usize = 256;

/// Buffers of that size that are kept: a batch seldom sends on more links.
const SPARE_MOST: usize = 64;

/// Actions in causal order. Sends of one link are joined; so are neighbouring appends of one file.
///
/// A host steps any number of inputs into one outbox, then drains it. Dropping one that still
/// holds actions is a bug of the host.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    /// Where the open send buffer of a link lies; few links are touched between two drains.
    sends: Vec<(LinkId, usize)>,
    /// The newest append in `entries` that may still grow: entry of its Write, entry of its sync.
    open_append: Option<OpenAppend>,
    /// Empty, for the next sends: what most of them come to is copied out in one piece of its length.
    spare: Vec<BytesMut>,
}

#[derive(Debug)]
enum Entry {
    Plain(Action),
    Send { link: LinkId, bytes: BytesMut },
    Append { op: OpId, file: FileName, offset: u64, bytes: BytesMut },
}

#[derive(Debug)]
struct OpenAppend {
    write: usize,
    end: u64,
}

impl Outbox {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries it holds: the place of the next action.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn note(&mut self, note: Note) {
        self.entries.push_back(Entry::Plain(Action::Note(note)));
    }

    pub fn push(&mut self, action: Action) {
        self.entries.push_back(Entry::Plain(action));
    }

    /// Appends to what this batch already sends on the link.
    pub fn send(&mut self, link: LinkId, write: impl FnOnce(&mut BytesMut)) -> u64 {
        let index = match self.sends.iter().rev().find(|(known, _)| *known == link) {
            Some(&(_, index)) => index,
            None => {
                let spare = self.spare.pop();
                let bytes = spare.unwrap_or_else(|| BytesMut::with_capacity(SEND_BYTES));
                self.entries.push_back(Entry::Send { link, bytes });
                self.sends.push((link, self.entries.len() - 1));
                self.entries.len() - 1
            }
        };
        let Entry::Send { bytes, .. } = &mut self.entries[index] else {
            unreachable!("`sends` points at send entries only")
        };
        let before = bytes.len();
        write(bytes);
        (bytes.len() - before) as u64
    }

    pub fn close(&mut self, link: LinkId, how: Close, why: CloseReason) {
        self.sends.retain(|(known, _)| *known != link);
        self.push(Action::Link(LinkAction::Close { link, how, why }));
    }

    pub fn disk(&mut self, action: DiskAction) {
        self.open_append = None;
        self.push(Action::Disk(action));
    }

    /// Starts an append to the log that [`Outbox::extend_append`] may lengthen until the drain.
    /// The caller emits its SyncFile (and SyncDir) right behind it with `finish_append`.
    pub fn begin_append(&mut self, op: OpId, file: FileName, offset: u64, bytes: BytesMut) {
        let end = offset + bytes.len() as u64;
        self.entries.push_back(Entry::Append { op, file, offset, bytes });
        self.open_append = Some(OpenAppend { write: self.entries.len() - 1, end });
    }

    /// Emits a sync that belongs to the append before it and leaves that append open.
    pub fn finish_append(&mut self, sync: DiskAction) {
        self.push(Action::Disk(sync));
    }

    /// Lengthens the open append; false where there is none that ends at `offset`.
    pub fn extend_append(&mut self, offset: u64, more: &[u8]) -> bool {
        let Some(open) = &mut self.open_append else { return false };
        if open.end != offset {
            return false;
        }
        let Entry::Append { bytes, .. } = &mut self.entries[open.write] else {
            unreachable!("`open_append` points at append entries only")
        };
        bytes.extend_from_slice(more);
        open.end += more.len() as u64;
        true
    }

    /// Hands out everything in order and leaves the outbox empty.
    pub fn drain(&mut self) -> impl Iterator<Item = Action> + '_ {
        self.sends.clear();
        self.open_append = None;
        let spare = &mut self.spare;
        self.entries.drain(..).filter_map(|entry| match entry {
            Entry::Plain(action) => Some(action),
            Entry::Send { link, bytes } => {
                let bytes = take_out(bytes, spare);
                (!bytes.is_empty()).then_some(Action::Link(LinkAction::Send { link, bytes }))
            }
            Entry::Append { op, file, offset, bytes } => Some(Action::Disk(DiskAction::Write {
                op,
                queue: Queue::Log,
                file,
                offset,
                bytes: Bytes::from(bytes),
            })),
        })
    }
}

/// What was put into a buffer. The buffer itself is kept, unless it has grown.
fn take_out(mut buffer: BytesMut, spare: &mut Vec<BytesMut>) -> Bytes {
    if buffer.len() > SEND_BYTES {
        return buffer.freeze();
    }
    let bytes = Bytes::copy_from_slice(&buffer);
    if spare.len() < SPARE_MOST {
        buffer.clear();
        spare.push(buffer);
    }
    bytes
}

impl Drop for Outbox {
    fn drop(&mut self) {
        debug_assert!(self.is_empty(), "an outbox was dropped with actions in it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_stays_as_it_was_when_its_buffer_is_used_again() {
        let mut out = Outbox::new();
        let mut sent = Vec::new();
        for len in [3, SEND_BYTES, SEND_BYTES + 1, 0, 5] {
            for link in 0..3 {
                out.send(LinkId(link), |bytes| bytes.resize(len, len as u8 ^ link as u8));
            }
            sent.extend(out.drain());
        }
        let sent = sent.into_iter().map(|action| {
            let Action::Link(LinkAction::Send { link, bytes }) = action else {
                panic!("{action:?}");
            };
            (link, bytes)
        });
        let lens = [3, SEND_BYTES, SEND_BYTES + 1, 5];
        let want = lens.into_iter().flat_map(|len| (0..3).map(move |link| (link, len)));
        let want: Vec<_> = want
            .map(|(link, len)| (LinkId(link), Bytes::from([len as u8 ^ link as u8].repeat(len))))
            .collect();
        assert_eq!(sent.collect::<Vec<_>>(), want);
    }
}
