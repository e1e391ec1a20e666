//! Names of the files that make up a server's state, exactly as Apache 3.9 lays them out.
//! Facts: PROTOCOL 4.1.

use alloc::format;
use alloc::string::String;

use core::fmt;

use crate::ids::Zxid;

/// A folder. The host maps it to a path; the simulator keeps it as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dir {
    /// `dataLogDir` itself: holds the `initialize` marker.
    LogRoot,
    /// `dataDir/version-2`: snapshots and epoch files; logs too unless they are kept apart.
    Data,
    /// `dataLogDir/version-2` where `dataLogDir` differs from `dataDir`.
    Log,
}

/// One file, named by folder and plain name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    pub dir: Dir,
    pub name: String,
}

impl FileName {
    pub fn new(dir: Dir, name: impl Into<String>) -> Self {
        Self { dir, name: name.into() }
    }

    pub fn snapshot(zxid: Zxid) -> Self {
        Self::new(Dir::Data, format!("snapshot.{:x}", zxid.0))
    }

    /// `dir` is [`Dir::Data`] or [`Dir::Log`].
    pub fn log(dir: Dir, first: Zxid) -> Self {
        Self::new(dir, format!("log.{:x}", first.0))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = match self.dir {
            Dir::LogRoot => "dataLogDir",
            Dir::Data => "dataDir/version-2",
            Dir::Log => "dataLogDir/version-2",
        };
        write!(f, "{dir}/{}", self.name)
    }
}
