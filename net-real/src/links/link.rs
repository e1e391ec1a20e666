//! One connection.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use vivarium_core::ids::LinkId;
use vivarium_core::server::Input;
use vivarium_core::server::input::{LinkEnd, LinkInput};

use crate::ready::Ready;

/// Bytes that one turn reads before others get theirs.
const TURN: usize = 256 << 10;
/// Buffers that one `writev` takes.
const SLICES: usize = 16;

#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    ready: Arc<Ready>,
    waker: Waker,
    /// What the kernel has not taken yet.
    unsent: VecDeque<Bytes>,
    /// Taken by the kernel, but not yet told to the server.
    taken: u64,
    held: bool,
    /// The far side sent FIN.
    far_finished: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The server closed it: unsent bytes still go out.
    Flushing,
    /// FIN is sent and the end is told; bytes of the far side are thrown away until its FIN, because
    /// closing a socket with unread bytes resets it and may destroy what was just sent.
    Draining,
    /// To be told, then forgotten.
    Ended(LinkEnd),
    /// To be forgotten.
    Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Tell now what there is to tell.
    Done,
    /// Tell it with the next batch.
    Later,
}

impl Link {
    pub(super) fn new(stream: TcpStream, ready: Arc<Ready>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            waker: Waker::from(Arc::clone(&ready)),
            ready,
            unsent: VecDeque::new(),
            taken: 0,
            held: false,
            far_finished: false,
            state: State::Open,
        })
    }

    /// Asks for a turn.
    pub(super) fn again(&self) {
        self.ready.again();
    }

    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    pub(super) fn resume(&mut self) {
        self.held = false;
        self.again();
    }

    pub(super) fn is_flushing(&self) -> bool {
        self.state == State::Flushing
    }

    /// Writes at once what the kernel takes; the rest follows when it is ready.
    pub(super) fn send(&mut self, bytes: Bytes) {
        if self.state != State::Open {
            return;
        }
        let idle = self.unsent.is_empty();
        self.unsent.push_back(bytes);
        if idle {
            self.write();
        }
    }

    /// No more is sent; what waits still goes out, then FIN.
    pub(super) fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Flushing;
        }
    }

    /// Drops what was not written and resets the connection.
    pub(super) fn give_up(&mut self) {
        self.unsent.clear();
        // Fails only on a socket that is dead already.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        self.end(LinkEnd::Closed);
    }

    /// Looks at the socket after a wake.
    pub(super) fn turn(&mut self, id: LinkId, scratch: &mut [u8], inbox: &mut Vec<Input>) -> Turn {
        self.ready.seen();
        self.write();
        match self.state {
            State::Open if self.held || self.far_finished => Turn::Done,
            State::Open => self.read(scratch, |chunk| {
                let bytes = Bytes::copy_from_slice(chunk);
                inbox.push(Input::Link(LinkInput::Bytes { link: id, bytes }));
            }),
            State::Draining => self.read(scratch, |_| {}),
            State::Flushing | State::Ended(_) | State::Told => Turn::Done,
        }
    }

    /// Tells the server what became of the link; false when there is nothing left of it.
    pub(super) fn report(&mut self, id: LinkId, inbox: &mut Vec<Input>) -> bool {
        if self.taken > 0 && self.state != State::Draining {
            let bytes = std::mem::take(&mut self.taken);
            inbox.push(Input::Link(LinkInput::Sent { link: id, bytes }));
        }
        let end = match self.state {
            State::Open if self.far_finished => LinkEnd::Finished,
            State::Flushing if self.unsent.is_empty() => LinkEnd::Closed,
            State::Ended(end) => end,
            State::Draining => return !self.far_finished,
            State::Told => return false,
            State::Open | State::Flushing => return true,
        };
        inbox.push(Input::Link(LinkInput::Closed { link: id, end }));
        if self.state == State::Flushing && !self.far_finished {
            let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
            self.state = State::Draining;
            self.again();
            return true;
        }
        false
    }

    fn end(&mut self, end: LinkEnd) {
        self.unsent.clear();
        self.state = match self.state {
            State::Open => State::Ended(end),
            State::Flushing => State::Ended(LinkEnd::Closed),
            State::Draining | State::Told => State::Told,
            State::Ended(first) => State::Ended(first),
        };
    }

    fn write(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        while !self.unsent.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = if self.unsent.len() == 1 {
                stream.poll_write(&mut cx, &self.unsent[0])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                for (slice, bytes) in slices.iter_mut().zip(&self.unsent) {
                    *slice = IoSlice::new(bytes);
                }
                let used = self.unsent.len().min(SLICES);
                stream.poll_write_vectored(&mut cx, &slices[..used])
            };
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(taken)) => {
                    self.taken += taken as u64;
                    advance(&mut self.unsent, taken);
                }
                Poll::Ready(Err(_)) => return self.end(LinkEnd::Reset),
            }
        }
    }

    fn read(&mut self, scratch: &mut [u8], mut chunk: impl FnMut(&[u8])) -> Turn {
        let mut cx = Context::from_waker(&self.waker);
        let mut total = 0;
        while total < TURN {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.stream).poll_read(&mut cx, &mut buffer) {
                Poll::Pending => return Turn::Done,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.far_finished = true;
                    // The server hears of a FIN one batch after the bytes before it, so that it can
                    // answer them: some clients of four-letter words close their half at once.
                    return if total > 0 { Turn::Later } else { Turn::Done };
                }
                Poll::Ready(Ok(())) => {
                    total += buffer.filled().len();
                    chunk(buffer.filled());
                }
                Poll::Ready(Err(_)) => {
                    self.end(LinkEnd::Reset);
                    return Turn::Done;
                }
            }
        }
        self.again();
        Turn::Done
    }
}

/// Drops the first `taken` bytes.
fn advance(unsent: &mut VecDeque<Bytes>, mut taken: usize) {
    while let Some(first) = unsent.front_mut() {
        if first.len() > taken {
            first.advance(taken);
            return;
        }
        taken -= first.len();
        unsent.pop_front();
    }
}
