//! Bytes that end in zeros: those take no room, since logs are padded far ahead of what is written.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::disk::parts::Parts;

/// A file whose first write is as long as this keeps its writes as they are.
const LARGE: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Padded {
    head: Head,
    /// With the zeros behind the head.
    len: usize,
}

/// Everything but zeros at the end.
#[derive(Clone, Debug)]
enum Head {
    Flat(Vec<u8>),
    Parts(Parts),
}

impl Default for Head {
    fn default() -> Self {
        Self::Flat(Vec::new())
    }
}

impl Head {
    fn len(&self) -> usize {
        match self {
            Self::Flat(bytes) => bytes.len(),
            Self::Parts(parts) => parts.len(),
        }
    }

    fn flat(&mut self) -> &mut Vec<u8> {
        if let Self::Parts(parts) = self {
            *self = Self::Flat(parts.flat());
        }
        match self {
            Self::Flat(bytes) => bytes,
            Self::Parts(_) => unreachable!("made flat above"),
        }
    }

    /// `from..to` must lie within.
    fn read(&self, from: usize, to: usize) -> Bytes {
        match self {
            Self::Flat(bytes) => Bytes::copy_from_slice(&bytes[from..to]),
            Self::Parts(parts) => parts.read(from, to),
        }
    }
}

impl Padded {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Everything but zeros at the end.
    pub(super) fn head(&self) -> Cow<'_, [u8]> {
        match &self.head {
            Head::Flat(bytes) => Cow::Borrowed(bytes),
            Head::Parts(parts) => Cow::Owned(parts.flat()),
        }
    }

    /// The head, in one piece or in several.
    pub(super) fn slices(&self) -> Vec<&[u8]> {
        match &self.head {
            Head::Flat(bytes) => vec![bytes],
            Head::Parts(parts) => parts.iter().collect(),
        }
    }

    pub(super) fn whole(&self) -> Cow<'_, [u8]> {
        if self.head.len() == self.len {
            return self.head();
        }
        Cow::Owned(self.read(0, self.len).into())
    }

    /// The bytes from one place to another, as far as there are any.
    pub(super) fn read(&self, from: usize, to: usize) -> Bytes {
        let to = to.min(self.len);
        let from = from.min(to);
        let head = self.head.read(from.min(self.head.len()), to.min(self.head.len()));
        if head.len() == to - from {
            return head;
        }
        let mut bytes = BytesMut::zeroed(to - from);
        bytes[..head.len()].copy_from_slice(&head);
        bytes.freeze()
    }

    /// Everything from a place on but zeros at the end.
    pub(super) fn head_from(&self, from: usize) -> Bytes {
        self.head.read(from.min(self.head.len()), self.head.len())
    }

    /// Cuts, or goes on with zeros.
    pub(super) fn resize(&mut self, len: usize) {
        if len < self.head.len() {
            self.head.flat().truncate(len);
        }
        self.len = len;
    }

    /// As `overwrite`; keeps the bytes where it can.
    pub(super) fn write(&mut self, offset: usize, bytes: &Bytes) {
        let behind = offset == self.head.len() && offset == self.len && !bytes.is_empty();
        let parts = match &mut self.head {
            Head::Parts(parts) if behind => parts,
            Head::Flat(_) if behind && offset == 0 && bytes.len() >= LARGE => {
                self.head = Head::Parts(Parts::default());
                return self.write(offset, bytes);
            }
            Head::Flat(_) | Head::Parts(_) => return self.overwrite(offset, bytes),
        };
        parts.push(bytes.clone());
        self.len = parts.len();
    }

    /// Writing nothing changes nothing, not even the length.
    pub(super) fn overwrite(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        self.len = self.len.max(end);
        if offset >= self.head.len() && bytes.iter().all(|byte| *byte == 0) {
            return;
        }
        let head = self.head.flat();
        if head.len() < offset {
            head.resize(offset, 0);
        }
        let (over, behind) = bytes.split_at(bytes.len().min(head.len() - offset));
        head[offset..offset + over.len()].copy_from_slice(over);
        head.extend_from_slice(behind);
    }

    /// Flips bits of one byte.
    pub(super) fn flip(&mut self, at: usize, mask: u8) {
        let byte = self.read(at, at + 1).first().copied().unwrap_or_default();
        self.overwrite(at, &[byte ^ mask]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{SimRng, Stream};

    #[test]
    fn padded_bytes_are_what_a_whole_vector_would_be() {
        for seed in 0..300 {
            let mut rng = SimRng::new(seed, Stream::Disk, 0);
            let (mut padded, mut model) = (Padded::default(), Vec::new());
            for _ in 0..30 {
                let at = rng.below(60) as usize;
                match rng.below(6) {
                    0 => {
                        padded.resize(at);
                        model.resize(at, 0);
                    }
                    1 if at < model.len() => {
                        padded.flip(at, 4);
                        model[at] ^= 4;
                    }
                    2 => {
                        let bytes = Bytes::from(vec![seed as u8; LARGE + at]);
                        padded.write(model.len(), &bytes);
                        model.extend_from_slice(&bytes);
                    }
                    kind => {
                        let bytes = vec![if kind < 4 { 0 } else { 7 }; rng.below(20) as usize];
                        padded.overwrite(at, &bytes);
                        if bytes.is_empty() {
                            continue;
                        }
                        model.resize(model.len().max(at + bytes.len()), 0);
                        model[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                assert_eq!(*padded.whole(), model, "seed {seed}");
                assert!(model.starts_with(&padded.head()) && padded.len() == model.len());
                assert_eq!(padded.slices().concat(), *padded.head());
                for len in [9, LARGE, 3 * LARGE] {
                    let (from, to) = (at.min(model.len()), (at + len).min(model.len()));
                    assert_eq!(padded.read(at, at + len), model[from..to], "seed {seed}");
                }
            }
        }
    }
}
