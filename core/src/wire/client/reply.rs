//! Replies and watch events, written by servers and read by clients. Apache: `ReplyHeader`, the
//! response records of `zookeeper.jute`, `MultiResponse`, `WatcherEvent`.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::request::put_multi_header;
use super::{
    EventKind, MultiResult, Names, OP_ADD_WATCH, OP_AUTH, OP_CHECK, OP_CHECK_WATCHES,
    OP_CLOSE_SESSION, OP_CREATE, OP_CREATE_CONTAINER, OP_CREATE_TTL, OP_CREATE2, OP_DELETE,
    OP_ERROR, OP_EXISTS, OP_GET_ACL, OP_GET_ALL_CHILDREN_NUMBER, OP_GET_CHILDREN, OP_GET_CHILDREN2,
    OP_GET_DATA, OP_GET_EPHEMERALS, OP_MULTI, OP_MULTI_READ, OP_PING, OP_RECONFIG,
    OP_REMOVE_WATCHES, OP_SASL, OP_SET_ACL, OP_SET_DATA, OP_SET_WATCHES, OP_SET_WATCHES2, OP_SYNC,
    OP_WHO_AM_I, ReadResult, ReplyBody, ReplyHeader, Stat, XID_EVENT,
};
use crate::acl::Id;
use crate::ids::Xid;
use crate::wire::code::Code;
use crate::wire::frame::put_frame;
use crate::wire::jute::{JuteError, JuteWrite, Reader};

/// `KeeperState.SyncConnected`, the only state that a server puts into events.
const SYNC_CONNECTED: i32 = 3;

/// Appends a whole reply frame, length included. Where `code` is an error, the body is left out; only a
/// multiRead says behind its own how many reads it answers.
pub fn encode_reply(out: &mut BytesMut, xid: Xid, zxid: i64, code: Code, body: &ReplyBody) {
    put_frame(out, |out| {
        put_header(xid, zxid, code, out);
        if code == Code::Ok || matches!(body, ReplyBody::MultiRead(_)) {
            body.encode(out);
        }
    });
}

/// Appends a whole watch event frame. `zxid` is that of the change, -1 when SetWatches found it.
pub fn encode_event(out: &mut BytesMut, zxid: i64, kind: EventKind, path: &str) {
    put_frame(out, |out| {
        put_header(XID_EVENT, zxid, Code::Ok, out);
        out.put_i32(kind.to_wire());
        out.put_i32(SYNC_CONNECTED);
        out.put_ustring(path);
    });
}

fn put_header(xid: Xid, zxid: i64, code: Code, out: &mut BytesMut) {
    out.put_i32(xid.0);
    out.put_i64(zxid);
    out.put_i32(code.to_wire());
}

impl ReplyBody {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Empty => {}
            Self::Path(path) => out.put_ustring(path),
            Self::PathStat { path, stat } => {
                out.put_ustring(path);
                stat.encode(out);
            }
            Self::Stat(stat) => stat.encode(out),
            Self::Data { data, stat } => {
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Acl { acl, stat } => {
                out.put_acl_vector(Some(acl));
                stat.encode(out);
            }
            Self::Children(children) => children.encode(out),
            Self::ChildrenStat { children, stat } => {
                children.encode(out);
                stat.encode(out);
            }
            Self::Multi(results) => {
                for result in results {
                    result.encode(out);
                }
                put_multi_header(-1, true, -1, out);
            }
            Self::MultiRead(results) => {
                for result in results {
                    result.encode(out);
                }
                put_multi_header(-1, true, -1, out);
            }
            Self::Count(count) => out.put_i32(*count),
            Self::Clients(ids) => out.put_vector(Some(ids), |out, id| {
                out.put_ustring(&id.scheme);
                out.put_ustring(&id.id);
            }),
            Self::Token(token) => out.put_buffer(token.as_deref()),
            Self::Code(code) => out.put_i32(code.to_wire()),
        }
    }
}

impl ReadResult {
    /// Bytes on the wire, its header included.
    pub fn wire_len(&self) -> usize {
        const HEADER_LEN: usize = 4 + 1 + 4;
        const COUNT_LEN: usize = 4;
        HEADER_LEN
            + COUNT_LEN
            + match self {
                Self::Data { data, .. } => data.as_ref().map_or(0, Bytes::len) + Stat::LEN,
                Self::Children(names) => names.wire_len(),
                Self::Error(_) => 0,
            }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Data { data, stat } => {
                put_multi_header(OP_GET_DATA, false, 0, out);
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Children(names) => {
                put_multi_header(OP_GET_CHILDREN, false, 0, out);
                names.encode(out);
            }
            Self::Error(code) => put_error(*code, out),
        }
    }

    fn decode(kind: i32, reader: &mut Reader) -> Result<Self, JuteError> {
        Ok(match kind {
            OP_GET_DATA => Self::Data { data: reader.buffer()?, stat: Stat::decode(reader)? },
            OP_GET_CHILDREN => Self::Children(Names::decode(reader)?),
            OP_ERROR => Self::Error(code(reader)?),
            _ => return Err(JuteError::BadValue(kind)),
        })
    }
}

/// The result of one op of a multi that failed.
fn put_error(code: Code, out: &mut BytesMut) {
    put_multi_header(OP_ERROR, false, code.to_wire(), out);
    out.put_i32(code.to_wire());
}

impl MultiResult {
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Create { path } => {
                put_multi_header(OP_CREATE, false, 0, out);
                out.put_ustring(path);
            }
            Self::Create2 { path, stat } => {
                put_multi_header(OP_CREATE2, false, 0, out);
                out.put_ustring(path);
                stat.encode(out);
            }
            Self::Delete => put_multi_header(OP_DELETE, false, 0, out),
            Self::SetData { stat } => {
                put_multi_header(OP_SET_DATA, false, 0, out);
                stat.encode(out);
            }
            Self::Check => put_multi_header(OP_CHECK, false, 0, out),
            Self::Error(code) => put_error(*code, out),
        }
    }

    fn decode(kind: i32, reader: &mut Reader) -> Result<Self, JuteError> {
        Ok(match kind {
            OP_CREATE => Self::Create { path: reader.string()? },
            OP_CREATE2 => Self::Create2 { path: reader.string()?, stat: Stat::decode(reader)? },
            OP_DELETE => Self::Delete,
            OP_SET_DATA => Self::SetData { stat: Stat::decode(reader)? },
            OP_CHECK => Self::Check,
            OP_ERROR => Self::Error(code(reader)?),
            _ => return Err(JuteError::BadValue(kind)),
        })
    }
}

impl Stat {
    /// Bytes of the record.
    pub const LEN: usize = 68;

    pub fn encode(&self, out: &mut BytesMut) {
        out.put_i64(self.czxid);
        out.put_i64(self.mzxid);
        out.put_i64(self.ctime);
        out.put_i64(self.mtime);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner);
        out.put_i32(self.data_length);
        out.put_i32(self.num_children);
        out.put_i64(self.pzxid);
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, JuteError> {
        Ok(Self {
            czxid: reader.i64()?,
            mzxid: reader.i64()?,
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            data_length: reader.i32()?,
            num_children: reader.i32()?,
            pzxid: reader.i64()?,
        })
    }
}

/// Splits the payload of a reply or event frame into its header and the body behind it.
pub fn decode_reply(frame: Bytes) -> Result<(ReplyHeader, Bytes), JuteError> {
    let mut reader = Reader::new(frame);
    let (xid, zxid) = (Xid(reader.i32()?), reader.i64()?);
    let code = code(&mut reader)?;
    Ok((ReplyHeader { xid, zxid, code }, reader.into_rest()))
}

fn code(reader: &mut Reader) -> Result<Code, JuteError> {
    let raw = reader.i32()?;
    Code::from_wire(raw).ok_or(JuteError::BadValue(raw))
}

/// Decodes the body of a reply without error to a request with opcode `op`.
pub fn decode_reply_body(op: i32, body: Bytes) -> Result<ReplyBody, JuteError> {
    let mut reader = Reader::new(body);
    let reader = &mut reader;
    let decoded = match op {
        OP_DELETE | OP_PING | OP_AUTH | OP_CLOSE_SESSION | OP_SET_WATCHES | OP_SET_WATCHES2
        | OP_CHECK_WATCHES | OP_REMOVE_WATCHES => ReplyBody::Empty,
        OP_ADD_WATCH => ReplyBody::Code(code(reader)?),
        OP_SASL => ReplyBody::Token(reader.buffer()?),
        OP_CREATE | OP_SYNC => ReplyBody::Path(reader.string()?),
        OP_CREATE2 | OP_CREATE_CONTAINER | OP_CREATE_TTL => {
            ReplyBody::PathStat { path: reader.string()?, stat: Stat::decode(reader)? }
        }
        OP_EXISTS | OP_SET_DATA | OP_SET_ACL => ReplyBody::Stat(Stat::decode(reader)?),
        OP_GET_DATA | OP_RECONFIG => {
            ReplyBody::Data { data: reader.buffer()?, stat: Stat::decode(reader)? }
        }
        OP_GET_ACL => ReplyBody::Acl {
            acl: reader.acl_vector()?.unwrap_or_default(),
            stat: Stat::decode(reader)?,
        },
        OP_GET_CHILDREN | OP_GET_EPHEMERALS => ReplyBody::Children(Names::decode(reader)?),
        OP_GET_ALL_CHILDREN_NUMBER => ReplyBody::Count(reader.i32()?),
        OP_WHO_AM_I => ReplyBody::Clients(clients(reader)?),
        OP_GET_CHILDREN2 => ReplyBody::ChildrenStat {
            children: Names::decode(reader)?,
            stat: Stat::decode(reader)?,
        },
        OP_MULTI => ReplyBody::Multi(results(reader, MultiResult::decode)?),
        OP_MULTI_READ => ReplyBody::MultiRead(results(reader, ReadResult::decode)?),
        _ => return Err(JuteError::BadValue(op)),
    };
    reader.clone().finish()?;
    Ok(decoded)
}

fn results<R>(
    reader: &mut Reader,
    decode: impl Fn(i32, &mut Reader) -> Result<R, JuteError>,
) -> Result<Vec<R>, JuteError> {
    let mut results = Vec::new();
    loop {
        let kind = reader.i32()?;
        let done = reader.bool()?;
        let _err = reader.i32()?;
        if done {
            return Ok(results);
        }
        results.push(decode(kind, reader)?);
    }
}

fn clients(reader: &mut Reader) -> Result<Vec<Id>, JuteError> {
    let entry = |reader: &mut Reader| Ok(Id { scheme: reader.string()?, id: reader.string()? });
    Ok(reader.vector(8, entry)?.unwrap_or_default())
}

/// Decodes the body of a frame whose xid is [`XID_EVENT`].
pub fn decode_event(body: Bytes) -> Result<(EventKind, String), JuteError> {
    let mut reader = Reader::new(body);
    let raw = reader.i32()?;
    let kind = EventKind::from_wire(raw).ok_or(JuteError::BadValue(raw))?;
    let _state = reader.i32()?;
    let path = reader.string()?;
    reader.finish()?;
    Ok((kind, path))
}
