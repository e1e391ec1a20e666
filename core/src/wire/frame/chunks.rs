//! A queue of bytes that is read from the front in pieces which ignore the chunk borders.

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Chunks below this size are joined, so that a stream of single bytes does not cost an
/// allocation and a slot for each.
const SMALL: usize = 512;
/// Where joining stops: larger runs would be copied for nothing.
const JOINED: usize = 4096;

/// Order of the bytes: `head`, then `whole`, then `joining`.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Front of a piece that spans chunks. Grows only as far as the piece is known to reach, so
    /// each byte enters it once.
    head: BytesMut,
    /// Never holds an empty chunk.
    whole: VecDeque<Bytes>,
    joining: BytesMut,
    len: usize,
}

impl Chunks {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        if chunk.is_empty() {
            return;
        }
        let follows_others = !(self.whole.is_empty() && self.joining.is_empty());
        if chunk.len() < SMALL && follows_others {
            self.joining.extend_from_slice(&chunk);
            if self.joining.len() >= JOINED {
                self.seal();
            }
        } else {
            self.seal();
            self.whole.push_back(chunk);
        }
    }

    /// Puts bytes in front of all others.
    pub(super) fn unread(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        if !self.head.is_empty() {
            self.whole.push_front(self.head.split().freeze());
        }
        if !chunk.is_empty() {
            self.whole.push_front(chunk);
        }
    }

    fn seal(&mut self) {
        if !self.joining.is_empty() {
            self.whole.push_back(self.joining.split().freeze());
        }
    }

    /// The int at `at`; `None` until it is there. Within a piece `at` may only rise.
    pub(super) fn i32_at(&mut self, at: usize) -> Option<i32> {
        self.contiguous(at + 4).map(|bytes| (&bytes[at..]).get_i32())
    }

    /// The long at `at`; as [`Chunks::i32_at`].
    pub(super) fn i64_at(&mut self, at: usize) -> Option<i64> {
        self.contiguous(at + 8).map(|bytes| (&bytes[at..]).get_i64())
    }

    /// Removes the first `size` bytes as one piece; `None` until they are there.
    pub(super) fn take(&mut self, size: usize) -> Option<Bytes> {
        self.contiguous(size)?;
        self.len -= size;
        if !self.head.is_empty() {
            return Some(self.head.split_to(size).freeze());
        }
        let Some(front) = self.whole.front_mut() else { return Some(Bytes::new()) };
        let piece = front.split_to(size);
        if front.is_empty() {
            self.whole.pop_front();
        }
        Some(piece)
    }

    /// Everything as one piece.
    pub(super) fn take_rest(&mut self) -> Bytes {
        self.take(self.len).unwrap_or_default()
    }

    /// Makes the first `size` bytes lie together: in the front chunk, or else in `head`.
    fn contiguous(&mut self, size: usize) -> Option<&[u8]> {
        if self.len < size {
            return None;
        }
        self.seal_if_needed(size);
        let in_front = self.whole.front().is_some_and(|front| front.len() >= size);
        if size > 0 && self.head.is_empty() && in_front {
            return self.whole.front().map(AsRef::as_ref);
        }
        self.fill_head(size);
        Some(&self.head[..])
    }

    fn seal_if_needed(&mut self, size: usize) {
        if self.len - self.joining.len() < size {
            self.seal();
        }
    }

    fn fill_head(&mut self, size: usize) {
        self.head.reserve(size.saturating_sub(self.head.len()));
        while self.head.len() < size {
            let front = self.whole.front_mut().expect("`len` counts bytes that are here");
            let part = front.len().min(size - self.head.len());
            self.head.extend_from_slice(&front[..part]);
            front.advance(part);
            if front.is_empty() {
                self.whole.pop_front();
            }
        }
    }

    pub(super) fn peek_word(&self) -> Option<[u8; 4]> {
        let mut word = [0; 4];
        let chunks = self.whole.iter().map(AsRef::as_ref);
        let all = core::iter::once(&self.head[..]).chain(chunks).chain([&self.joining[..]]);
        let mut bytes = all.flatten();
        for slot in &mut word {
            *slot = *bytes.next()?;
        }
        Some(word)
    }
}
