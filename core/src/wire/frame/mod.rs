//! Streams of bytes cut into frames, quorum packets and election messages.
//!
//! Chunks arrive in any size. What lies in one chunk is handed out as a slice of it; what spans
//! several is copied once. Work is linear in the bytes whatever the chunk borders are.

mod chunks;
mod packets;
mod votes;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use chunks::Chunks;
pub use packets::PacketBuffer;
pub use votes::VoteBuffer;

/// A length that the sender may not use; the stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("length {len} is not within 0 to {limit}")]
pub struct FrameError {
    pub len: i32,
    pub limit: usize,
}

impl FrameError {
    /// A length as it was received, if it may be believed.
    fn check(len: i32, limit: usize) -> Result<usize, Self> {
        match usize::try_from(len) {
            Ok(size) if size <= limit => Ok(size),
            Ok(_) | Err(_) => Err(Self { len, limit }),
        }
    }
}

/// Cuts a stream of `int length, payload` into payloads: client and election connections.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    chunks: Chunks,
}

impl FrameBuffer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// The next whole payload, of at most `max` bytes. After an error the stream is useless.
    pub fn next_frame(&mut self, max: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(len) = self.chunks.i32_at(0) else { return Ok(None) };
        let size = FrameError::check(len, max)?;
        Ok(self.chunks.take(4 + size).map(|mut frame| frame.split_off(4)))
    }

    /// The first four bytes of what is buffered: a fresh client connection may hold a word.
    pub fn peek_word(&self) -> Option<[u8; 4]> {
        self.chunks.peek_word()
    }

    /// Bytes that came and were not handed out yet.
    pub fn buffered(&self) -> usize {
        self.chunks.len()
    }
}

/// Appends what `write` writes as one frame behind its length.
pub fn put_frame(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    write(out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests;
