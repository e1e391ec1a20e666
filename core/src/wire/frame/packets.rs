//! Quorum packets cut from a stream that carries no lengths around them.

use bytes::Bytes;

use super::FrameError;
use super::chunks::Chunks;
use crate::wire::quorum::{LeaderPacket, LearnerPacket, PacketError};

/// int type, long zxid.
const DATA_LEN_AT: usize = 12;
/// An `Id` is at least two lengths.
const MIN_ID: usize = 8;

/// Finds where each `QuorumPacket` ends and decodes it.
///
/// The scan is resumed, never repeated: it remembers which length comes next and where.
#[derive(Debug, Default)]
pub struct PacketBuffer {
    chunks: Chunks,
    scan: Scan,
}

/// How far the packet at the front is known.
#[derive(Clone, Copy, Debug, Default)]
enum Scan {
    /// Not even the length of its data.
    #[default]
    Data,
    /// The count of its ids lies at `at`.
    Ids {
        at: usize,
    },
    /// `left` strings of its ids are still to be measured, the next at `at`.
    Strings {
        at: usize,
        left: usize,
        ids_at: usize,
    },
    Whole {
        size: usize,
    },
}

impl PacketBuffer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// Bytes that came and were not handed out yet.
    pub fn buffered(&self) -> usize {
        self.chunks.len()
    }

    /// The next packet from a learner. `max_data` bounds its data, and its ids taken together.
    pub fn next_learner_packet(
        &mut self,
        max_data: usize,
    ) -> Result<Option<LearnerPacket>, PacketError> {
        self.next_whole(max_data)?.map(LearnerPacket::decode).transpose()
    }

    /// The next packet from a leader; bounds as above.
    pub fn next_leader_packet(
        &mut self,
        max_data: usize,
    ) -> Result<Option<LeaderPacket>, PacketError> {
        self.next_whole(max_data)?.map(LeaderPacket::decode).transpose()
    }

    /// All bytes behind the last packet: a snapshot stream follows SNAP.
    pub fn take_rest(&mut self) -> Bytes {
        self.scan = Scan::Data;
        self.chunks.take_rest()
    }

    /// Gives back bytes that belong in front of what is buffered.
    pub fn unread(&mut self, bytes: Bytes) {
        self.scan = Scan::Data;
        self.chunks.unread(bytes);
    }

    fn next_whole(&mut self, max_data: usize) -> Result<Option<Bytes>, FrameError> {
        loop {
            self.scan = match self.scan {
                Scan::Data => {
                    let Some(len) = self.chunks.i32_at(DATA_LEN_AT) else { return Ok(None) };
                    Scan::Ids { at: DATA_LEN_AT + 4 + nullable(len, max_data)? }
                }
                Scan::Ids { at } => {
                    let Some(count) = self.chunks.i32_at(at) else { return Ok(None) };
                    let left = 2 * nullable(count, max_data / MIN_ID)?;
                    Scan::Strings { at: at + 4, left, ids_at: at + 4 }
                }
                Scan::Strings { at, left: 0, .. } => Scan::Whole { size: at },
                Scan::Strings { at, left, ids_at } => {
                    let Some(len) = self.chunks.i32_at(at) else { return Ok(None) };
                    let limit = max_data.saturating_sub(at - ids_at);
                    Scan::Strings { at: at + 4 + nullable(len, limit)?, left: left - 1, ids_at }
                }
                Scan::Whole { size } => {
                    let packet = self.chunks.take(size);
                    if packet.is_some() {
                        self.scan = Scan::Data;
                    }
                    return Ok(packet);
                }
            };
        }
    }
}

/// A length or count where -1 stands for null and takes no room.
fn nullable(len: i32, limit: usize) -> Result<usize, FrameError> {
    if len == -1 { Ok(0) } else { FrameError::check(len, limit) }
}
