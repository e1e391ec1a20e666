//! What the server asks of its host. Closed enums: a host matches them without `_`.

use alloc::string::String;

use core::fmt;

use bytes::Bytes;

use crate::ids::{AskId, DialId, LinkId, OpId, ReadId};
use crate::server::input::{DiskFault, Plane, Queue};
use crate::server::note::Note;
use crate::storage::files::{Dir, FileName};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Link(LinkAction),
    Disk(DiskAction),
    /// Answer to `Input::Admin`.
    Admin {
        ask: AskId,
        answer: String,
    },
    Note(Note),
    /// The last action of this incarnation: `step` does nothing after it.
    Halt(Halt),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAction {
    /// Connect; answered by `Opened` with this dial, or `DialFailed`.
    Dial {
        dial: DialId,
        plane: Plane,
        host: String,
        port: u16,
    },
    /// May be written at once: nothing sent waits for the disk.
    Send {
        link: LinkId,
        bytes: Bytes,
    },
    /// Stop reading from the socket; `Bytes` already read may still arrive.
    Hold {
        link: LinkId,
    },
    Resume {
        link: LinkId,
    },
    Close {
        link: LinkId,
        how: Close,
        why: CloseReason,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Write what was sent, then FIN.
    Flush,
    /// Drop what was not written, RST.
    Abort,
}

/// Why the server closes a connection; for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The far side broke the protocol; the text says how.
    Protocol(&'static str),
    FrameTooLong {
        len: i64,
        limit: i64,
    },
    /// A word was answered, a session closed, or the client was refused.
    Finished,
    SessionExpired,
    SessionMoved,
    /// Another connection of the same session took over.
    Superseded,
    ClientAhead,
    NotServing,
    TooManyConnections,
    /// The election connection belongs to the higher id.
    DirectionRule,
    /// The far side sent nothing for longer than its limit.
    Silent,
    /// The far side does not take what is sent to it.
    TooSlow,
    /// This server left the role that the connection served.
    RoleEnded,
    Stopping,
    /// Without a quorum, this server has nothing that the client asked for.
    NoQuorum,
}

/// Operations on named files. Those with an `op` complete in the order of their queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskAction {
    /// Creates the file where it does not exist. Holes read as zeros.
    Write {
        op: OpId,
        queue: Queue,
        file: FileName,
        offset: u64,
        bytes: Bytes,
    },
    /// Cuts the file, or grows it with zeros.
    SetLen {
        op: OpId,
        queue: Queue,
        file: FileName,
        len: u64,
    },
    /// Makes content and length of the file durable (fdatasync); not its directory entry.
    SyncFile {
        op: OpId,
        queue: Queue,
        file: FileName,
    },
    /// Replaces `to` where it exists.
    Rename {
        op: OpId,
        queue: Queue,
        from: FileName,
        to: FileName,
    },
    /// Makes creations, renames and removals in the folder durable.
    SyncDir {
        op: OpId,
        queue: Queue,
        dir: Dir,
    },
    /// Removing a file that does not exist succeeds.
    Remove {
        op: OpId,
        queue: Queue,
        file: FileName,
    },
    Read {
        read: ReadId,
        file: FileName,
        offset: u64,
        len: u32,
    },
    List {
        read: ReadId,
        dir: Dir,
    },
}

/// End of an incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The graceful stop is complete.
    Stop,
    /// Drop the server, close all links, recover from disk.
    Restart(RestartReason),
    /// Exit with an error; the operator must act.
    Fatal(FatalReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestartReason {
    /// The log was cut at the leader's word; the tree is rebuilt from disk.
    Truncated,
    /// A SNAP broke off: memory and disk no longer agree.
    SnapIncomplete,
    /// The own log cannot be read where a learner needs it; recovery judges the damage.
    LogUnreadable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FatalReason {
    Disk { file: String, fault: DiskFault },
    Corrupt { file: String, offset: u64, what: &'static str },
    Config(String),
}

impl fmt::Display for FatalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { file, fault: DiskFault::NoSpace } => {
                write!(
                    f,
                    "no space left on the disk for {file}; nothing acknowledged is lost; free some \
                     space, then start again"
                )
            }
            Self::Disk { file, fault: DiskFault::Io } => write!(
                f,
                "reading or writing {file} failed; nothing acknowledged is lost while a quorum of \
                 the others lives; check the disk, then start again"
            ),
            Self::Disk { file, fault: DiskFault::Denied } => {
                write!(f, "no permission to read or write {file}; check its owner and mode")
            }
            Self::Corrupt { file, offset, what } => write!(
                f,
                "{file} is damaged at byte {offset} ({what}); restore it from a backup, or empty \
                 the data folder so that this server is filled by its peers"
            ),
            Self::Config(what) => f.write_str(what),
        }
    }
}
