//! FIFO byte streams with small kernel buffers.

use std::collections::VecDeque;

use bytes::Bytes;

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Server { node: usize, boot: u64 },
    Client(usize),
}

#[derive(Debug)]
pub struct Conn {
    pub ends: [End; 2],
    /// Whether that side still wants to hear of this connection.
    pub open: [bool; 2],
    /// Stream from side i to side 1 - i.
    pub streams: [Stream; 2],
}

#[derive(Debug, Default)]
pub struct Stream {
    /// Sent by the program, not yet taken by the kernel.
    pub out: VecDeque<Bytes>,
    /// On the way, each with its time of arrival.
    pub flight: VecDeque<(u64, Bytes)>,
    pub in_kernel: usize,
    pub last_arrival: u64,
    /// The receiver does not read.
    pub held: bool,
    /// The sender has closed; the end follows the bytes.
    pub fin: bool,
    pub fin_queued: bool,
    /// When the next look at the stream is due; at most one is scheduled.
    pub armed: Option<u64>,
}

pub const KERNEL_BYTES: usize = 4096;
