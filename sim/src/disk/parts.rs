//! Bytes as they were written, one write behind the other: what is written in large pieces, as
//! snapshots are, is never copied.

use bytes::{Bytes, BytesMut};

#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    parts: Vec<Bytes>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Parts {
    pub(super) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.ends.push(self.len() + bytes.len());
        self.parts.push(bytes);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| &part[..])
    }

    pub(super) fn flat(&self) -> Vec<u8> {
        self.parts.concat()
    }

    /// `from..to` must lie within.
    pub(super) fn read(&self, from: usize, to: usize) -> Bytes {
        let first = self.ends.partition_point(|end| *end <= from);
        let touched = self.parts[first..].iter().zip(&self.ends[first..]);
        let mut slices = touched.map_while(|(part, end)| {
            let start = end - part.len();
            (start < to).then(|| part.slice(from.max(start) - start..to.min(*end) - start))
        });
        let slice = slices.next().unwrap_or_default();
        if slice.len() == to - from {
            return slice;
        }
        let mut bytes = BytesMut::with_capacity(to - from);
        bytes.extend_from_slice(&slice);
        slices.for_each(|slice| bytes.extend_from_slice(&slice));
        bytes.freeze()
    }
}
