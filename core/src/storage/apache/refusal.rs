//! Why Apache would not start, for people.

use core::fmt;

use crate::ids::Zxid;
use crate::storage::files::FileName;

/// What ends the start of an Apache server on a folder. Numbers of epoch files are Java longs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    SnapshotInLogDir(FileName),
    LogInDataDir(FileName),
    NoSnapshot {
        log: FileName,
    },
    /// Candidates are there and none can be read; this is the newest.
    NoWholeSnapshot {
        newest: FileName,
        offset: u64,
        what: &'static str,
    },
    Log {
        file: FileName,
        offset: u64,
        what: &'static str,
    },
    EpochText(FileName),
    CurrentEpochBehind {
        current: i64,
        last: Zxid,
    },
    AcceptedEpochBehind {
        accepted: i64,
        current: i64,
    },
}

impl Refusal {
    /// What an operator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::SnapshotInLogDir(_) | Self::LogInDataDir(_) => {
                "set dataDir and dataLogDir as they were, or move the file"
            }
            Self::NoSnapshot { .. } => {
                "restore a snapshot, or, for a folder of ZooKeeper 3.4, start it once with \
                 snapshot.trust.empty=true"
            }
            Self::NoWholeSnapshot { .. } | Self::Log { .. } => {
                "restore the file from a backup, or empty the folder so that the peers of this \
                 server fill it"
            }
            Self::EpochText(_) => "put the number of the epoch into it, or empty the folder",
            Self::CurrentEpochBehind { .. } => {
                "start Vivarium on it until it serves, then stop it in order"
            }
            Self::AcceptedEpochBehind { .. } => {
                "restore both files from one backup, or empty the folder so that the peers of \
                 this server fill it"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SnapshotInLogDir(file) => {
                write!(f, "{} is a snapshot in the folder of the transaction logs", file.name)
            }
            Self::LogInDataDir(file) => {
                write!(f, "{} is a transaction log in the folder of the snapshots", file.name)
            }
            Self::NoSnapshot { log } => {
                write!(f, "{} is a transaction log, and there is no snapshot", log.name)
            }
            Self::NoWholeSnapshot { newest, offset, what } => {
                write!(f, "no snapshot is whole: {} fails at byte {offset} ({what})", newest.name)
            }
            Self::Log { file, offset, what } => {
                write!(f, "{} fails at byte {offset} ({what})", file.name)
            }
            Self::EpochText(file) => write!(f, "{} does not hold a number", file.name),
            Self::CurrentEpochBehind { current, last } => write!(
                f,
                "currentEpoch is {current}, and the last transaction {last} is of epoch {}",
                last.epoch().0
            ),
            Self::AcceptedEpochBehind { accepted, current } => {
                write!(f, "acceptedEpoch is {accepted}, below currentEpoch {current}")
            }
        }
    }
}
