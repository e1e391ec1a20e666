//! Bytes that end in zeros: those take no room, since logs are padded far ahead of what is written.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

#[derive(Clone, Debug, Default)]
pub(super) struct Padded {
    head: Vec<u8>,
    /// With the zeros behind the head.
    len: usize,
}

impl Padded {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Everything but zeros at the end.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn whole(&self) -> Cow<'_, [u8]> {
        if self.head.len() == self.len {
            return Cow::Borrowed(&self.head);
        }
        Cow::Owned(self.read(0, self.len).into())
    }

    /// The bytes from one place to another, as far as there are any.
    pub(super) fn read(&self, from: usize, to: usize) -> Bytes {
        let to = to.min(self.len);
        let from = from.min(to);
        let head = &self.head[from.min(self.head.len())..to.min(self.head.len())];
        if head.len() == to - from {
            return Bytes::copy_from_slice(head);
        }
        let mut bytes = BytesMut::zeroed(to - from);
        bytes[..head.len()].copy_from_slice(head);
        bytes.freeze()
    }

    /// Cuts, or goes on with zeros.
    pub(super) fn resize(&mut self, len: usize) {
        self.head.truncate(len);
        self.len = len;
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
        if self.head.len() < offset {
            self.head.resize(offset, 0);
        }
        let (over, behind) = bytes.split_at(bytes.len().min(self.head.len() - offset));
        self.head[offset..offset + over.len()].copy_from_slice(over);
        self.head.extend_from_slice(behind);
    }

    /// Flips bits of one byte.
    pub(super) fn flip(&mut self, at: usize, mask: u8) {
        let byte = self.head.get(at).copied().unwrap_or_default();
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
                match rng.below(5) {
                    0 => {
                        padded.resize(at);
                        model.resize(at, 0);
                    }
                    1 if at < model.len() => {
                        padded.flip(at, 4);
                        model[at] ^= 4;
                    }
                    kind => {
                        let bytes = vec![if kind < 3 { 0 } else { 7 }; rng.below(20) as usize];
                        padded.overwrite(at, &bytes);
                        if bytes.is_empty() {
                            continue;
                        }
                        model.resize(model.len().max(at + bytes.len()), 0);
                        model[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                assert_eq!(*padded.whole(), model, "seed {seed}");
                assert!(model.starts_with(padded.head()) && padded.len() == model.len());
                let (from, to) = (at.min(model.len()), (at + 9).min(model.len()));
                assert_eq!(padded.read(at, at + 9), model[from..to], "seed {seed}");
            }
        }
    }
}
