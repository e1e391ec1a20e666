//! Requests about the watches of a connection. Apache: `SetWatches`, `SetWatches2`,
//! `AddWatchRequest`, `CheckWatchesRequest`, `RemoveWatchesRequest`, `Watcher.WatcherType`.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{BufMut, BytesMut};

use super::request::path;
use crate::wire::jute::{JuteError, JuteWrite, Reader};

pub const OP_CHECK_WATCHES: i32 = 17;
pub const OP_REMOVE_WATCHES: i32 = 18;
pub const OP_SET_WATCHES: i32 = 101;
pub const OP_SET_WATCHES2: i32 = 105;
pub const OP_ADD_WATCH: i32 = 106;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchOp {
    Set(SetWatches),
    Add { path: String, mode: AddMode },
    Check { path: String, kind: WatchKind },
    Remove { path: String, kind: WatchKind },
}

/// What a client watched before it lost its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetWatches {
    /// The newest zxid that it saw in a reply.
    pub relative_zxid: i64,
    pub data: Vec<String>,
    pub exist: Vec<String>,
    pub child: Vec<String>,
    /// `None` in the older form, which has no room for them.
    pub lasting: Option<LastingWatches>,
}

/// Watches that no event uses up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastingWatches {
    pub persistent: Vec<String>,
    pub recursive: Vec<String>,
}

/// Wire values 0 and 1. Apache: `AddWatchMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddMode {
    Persistent = 0,
    PersistentRecursive = 1,
}

/// Which watches of a path are meant: wire values 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    Children = 1,
    Data = 2,
    Any = 3,
    Persistent = 4,
    PersistentRecursive = 5,
}

impl AddMode {
    pub const fn from_wire(raw: i32) -> Option<Self> {
        match raw {
            0 => Some(Self::Persistent),
            1 => Some(Self::PersistentRecursive),
            _ => None,
        }
    }
}

impl WatchKind {
    pub const fn from_wire(raw: i32) -> Option<Self> {
        match raw {
            1 => Some(Self::Children),
            2 => Some(Self::Data),
            3 => Some(Self::Any),
            4 => Some(Self::Persistent),
            5 => Some(Self::PersistentRecursive),
            _ => None,
        }
    }
}

/// `op` is one of the five.
pub(super) fn watch_op(op: i32, reader: &mut Reader) -> Result<WatchOp, JuteError> {
    Ok(match op {
        OP_SET_WATCHES | OP_SET_WATCHES2 => {
            WatchOp::Set(SetWatches::decode(op == OP_SET_WATCHES2, reader)?)
        }
        OP_ADD_WATCH => WatchOp::Add { path: path(reader)?, mode: mode(reader)? },
        OP_CHECK_WATCHES => WatchOp::Check { path: path(reader)?, kind: kind(reader)? },
        OP_REMOVE_WATCHES => WatchOp::Remove { path: path(reader)?, kind: kind(reader)? },
        _ => return Err(JuteError::BadValue(op)),
    })
}

fn mode(reader: &mut Reader) -> Result<AddMode, JuteError> {
    let raw = reader.i32()?;
    AddMode::from_wire(raw).ok_or(JuteError::BadValue(raw))
}

fn kind(reader: &mut Reader) -> Result<WatchKind, JuteError> {
    let raw = reader.i32()?;
    WatchKind::from_wire(raw).ok_or(JuteError::BadValue(raw))
}

impl SetWatches {
    fn decode(with_lasting: bool, reader: &mut Reader) -> Result<Self, JuteError> {
        let relative_zxid = reader.i64()?;
        let mut paths = || reader.vector(4, Reader::string).map(Option::unwrap_or_default);
        let (data, exist, child) = (paths()?, paths()?, paths()?);
        let lasting = match with_lasting {
            true => Some(LastingWatches { persistent: paths()?, recursive: paths()? }),
            false => None,
        };
        Ok(Self { relative_zxid, data, exist, child, lasting })
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_i64(self.relative_zxid);
        let lasting =
            self.lasting.iter().flat_map(|lasting| [&lasting.persistent, &lasting.recursive]);
        for paths in [&self.data, &self.exist, &self.child].into_iter().chain(lasting) {
            out.put_vector(Some(paths), |out, path| out.put_ustring(path));
        }
    }
}

impl WatchOp {
    /// The opcode that carries this.
    pub fn code(&self) -> i32 {
        match self {
            Self::Set(SetWatches { lasting: None, .. }) => OP_SET_WATCHES,
            Self::Set(SetWatches { lasting: Some(_), .. }) => OP_SET_WATCHES2,
            Self::Add { .. } => OP_ADD_WATCH,
            Self::Check { .. } => OP_CHECK_WATCHES,
            Self::Remove { .. } => OP_REMOVE_WATCHES,
        }
    }

    pub(super) fn encode_body(&self, out: &mut BytesMut) {
        match self {
            Self::Set(watches) => watches.encode(out),
            Self::Add { path, mode } => {
                out.put_ustring(path);
                out.put_i32(*mode as i32);
            }
            Self::Check { path, kind } | Self::Remove { path, kind } => {
                out.put_ustring(path);
                out.put_i32(*kind as i32);
            }
        }
    }
}
