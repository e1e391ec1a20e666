//! What the host tells the server. The list of inputs, each with its [`Stamp`], is the trace.
//!
//! [`Stamp`]: crate::time::Stamp

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use bytes::Bytes;

use crate::config::Config;
use crate::ids::{AskId, DialId, LinkId, OpId, ReadId};

/// One event from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A deadline may have passed. Late or extra wakes are harmless.
    Wake,
    Link(LinkInput),
    Disk(DiskInput),
    Admin {
        ask: AskId,
        question: Question,
    },
    /// The operator asks for a graceful stop (SIGTERM).
    Stop,
    /// The configuration was read again, and is one that a server could start with.
    ReloadConfig(Box<Config>),
}

/// Which of the three ports a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plane {
    Election,
    Quorum,
    Client,
}

/// Address of the other side of an accepted connection, for logs, ACLs and limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Far {
    /// Textual IP address without port.
    pub ip: String,
    pub port: u16,
}

impl Far {
    /// As Java writes the address: version 6 with all its zeros. Clients see it, and operators.
    pub fn ip_unabridged(&self) -> String {
        match self.ip.parse::<Ipv6Addr>() {
            Ok(v6) => {
                let [a, b, c, d, e, f, g, h] = v6.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
            }
            Err(_) => self.ip.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkInput {
    /// A connection stands. `dial` names our attempt; `None` means that it was accepted.
    Opened {
        link: LinkId,
        dial: Option<DialId>,
        plane: Plane,
        far: Far,
    },
    /// A chunk of any size, in stream order.
    Bytes {
        link: LinkId,
        bytes: Bytes,
    },
    /// The kernel took this many more bytes of what was sent on the link.
    Sent {
        link: LinkId,
        bytes: u64,
    },
    /// The connection is gone; the last input of that link.
    Closed {
        link: LinkId,
        end: LinkEnd,
    },
    DialFailed {
        dial: DialId,
        why: DialError,
    },
}

/// How a connection ended, as the host saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The far side closed in order (FIN).
    Finished,
    /// Reset, timeout or any other error.
    Reset,
    /// We asked for it.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialError {
    Refused,
    TimedOut,
    /// The host name does not resolve (resolved anew at each dial).
    Unresolved,
    Other,
}

/// The two FIFO queues of disk work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Transaction log and epoch files.
    Log,
    /// Snapshots, purges.
    Snap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskInput {
    /// Every operation of `queue` up to and including `upto` is done. Only a completed SyncFile or
    /// SyncDir makes anything durable.
    Done {
        queue: Queue,
        upto: OpId,
    },
    /// That operation failed; later ones of the queue are not tried.
    Failed {
        queue: Queue,
        op: OpId,
        fault: DiskFault,
    },
    ReadDone {
        read: ReadId,
        result: Result<ReadData, DiskFault>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadData {
    /// Shorter than asked for only at the end of the file.
    Bytes(Bytes),
    /// All plain files of a folder, in name order. A missing folder is empty.
    Listing(Vec<FileEntry>),
    /// The file does not exist.
    Missing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    pub name: String,
    pub len: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// EIO and everything that means the medium.
    Io,
    /// ENOSPC, EDQUOT.
    NoSpace,
    /// EACCES, EROFS and other faults that an operator must mend.
    Denied,
}

/// A question of an operator, outside the client protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A four-letter word.
    Word(String),
}
