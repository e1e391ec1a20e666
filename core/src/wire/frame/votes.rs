//! The stream of an election connection: one initial message, then framed notifications.

use bytes::Bytes;

use super::chunks::Chunks;
use super::{FrameBuffer, FrameError};
use crate::wire::jute::JuteError;
use crate::wire::vote::{InitialMessage, MAX_ADDRESS, MAX_MESSAGE};

/// Cuts what comes in on an election connection. Apache: `QuorumCnxManager`.
#[derive(Debug, Default)]
pub struct VoteBuffer {
    frames: FrameBuffer,
}

impl VoteBuffer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, chunk: Bytes) {
        self.frames.push(chunk);
    }

    /// Bytes that came and were not handed out yet.
    pub fn buffered(&self) -> usize {
        self.frames.buffered()
    }

    /// The message that the initiator writes first; ask once, on accepted connections only.
    pub fn next_initial(&mut self) -> Result<Option<InitialMessage>, JuteError> {
        let chunks = &mut self.frames.chunks;
        let Some(size) = initial_size(chunks)? else { return Ok(None) };
        chunks.take(size).map(InitialMessage::decode).transpose()
    }

    /// The next message behind it, for `Notification::decode`. One that does not decode is
    /// dropped alone; after an error here the connection is useless.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.frames.next_frame(MAX_MESSAGE)? {
            Some(message) if message.is_empty() => Err(FrameError { len: 0, limit: MAX_MESSAGE }),
            other => Ok(other),
        }
    }
}

/// The size of the initial message as soon as it can be told.
fn initial_size(chunks: &mut Chunks) -> Result<Option<usize>, JuteError> {
    const ADDRESS_LEN_AT: usize = 16;
    let Some(first) = chunks.i64_at(0) else { return Ok(None) };
    if first >= 0 {
        return Ok(Some(8));
    }
    let Some(len) = chunks.i32_at(ADDRESS_LEN_AT) else { return Ok(None) };
    match usize::try_from(len) {
        Ok(size @ 1..=MAX_ADDRESS) => Ok(Some(ADDRESS_LEN_AT + 4 + size)),
        Ok(_) | Err(_) => Err(JuteError::BadLength(len)),
    }
}
