//! Requests: a frame to a header and an operation, and back. Apache: `RequestHeader`, the
//! request records of `zookeeper.jute`, `MultiOperationRecord`.
//!
//! Bytes behind a complete body are ignored, as they are by ZooKeeper.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::watching::{
    OP_ADD_WATCH, OP_CHECK_WATCHES, OP_REMOVE_WATCHES, OP_SET_WATCHES, OP_SET_WATCHES2, watch_op,
};
use super::{
    Create, CreateForm, CreateMode, MultiRead, OP_AUTH, OP_CHECK, OP_CLOSE_SESSION, OP_CREATE,
    OP_CREATE_CONTAINER, OP_CREATE_TTL, OP_CREATE2, OP_DELETE, OP_DELETE_CONTAINER, OP_EXISTS,
    OP_GET_ACL, OP_GET_ALL_CHILDREN_NUMBER, OP_GET_CHILDREN, OP_GET_CHILDREN2, OP_GET_DATA,
    OP_GET_EPHEMERALS, OP_MULTI, OP_MULTI_READ, OP_PING, OP_RECONFIG, OP_SASL, OP_SET_ACL,
    OP_SET_DATA, OP_SYNC, OP_WHO_AM_I, Op, Parsed, ReadOp, ReadPart, Reconfig, RequestHeader,
    WriteOp,
};
use crate::ids::Xid;
use crate::wire::frame::put_frame;
use crate::wire::jute::{JuteError, JuteWrite, Reader};

impl RequestHeader {
    /// Splits a frame's payload into its header and the body behind it.
    pub fn split(frame: Bytes) -> Result<(Self, Bytes), JuteError> {
        let mut reader = Reader::new(frame);
        let header = Self { xid: Xid(reader.i32()?), op: reader.i32()? };
        Ok((header, reader.into_rest()))
    }
}

/// Whether a server without a quorum refuses this opcode. Apache: `ReadOnlyRequestProcessor`.
pub const fn needs_quorum(op: i32) -> bool {
    matches!(
        op,
        OP_SYNC
            | OP_CREATE
            | OP_CREATE2
            | OP_CREATE_TTL
            | OP_CREATE_CONTAINER
            | OP_DELETE
            | OP_DELETE_CONTAINER
            | OP_SET_DATA
            | OP_RECONFIG
            | OP_SET_ACL
            | OP_MULTI
            | OP_CHECK
    )
}

/// Decodes the body of a request from a client. Opcodes that only servers use are unknown here.
pub fn parse_body(op: i32, body: Bytes) -> Parsed {
    let mut reader = Reader::new(body);
    let parsed =
        match op {
            OP_CREATE | OP_CREATE2 | OP_CREATE_CONTAINER | OP_CREATE_TTL | OP_DELETE
            | OP_SET_DATA => write_op(op, &mut reader).map(Op::Write),
            OP_EXISTS
            | OP_GET_DATA
            | OP_GET_ACL
            | OP_GET_CHILDREN
            | OP_GET_CHILDREN2
            | OP_MULTI_READ
            | OP_GET_EPHEMERALS
            | OP_GET_ALL_CHILDREN_NUMBER
            | OP_WHO_AM_I => read_op(op, &mut reader).map(Op::Read),
            OP_RECONFIG => reconfig(&mut reader).map(Op::Reconfig),
            OP_SET_WATCHES | OP_SET_WATCHES2 | OP_ADD_WATCH | OP_CHECK_WATCHES
            | OP_REMOVE_WATCHES => watch_op(op, &mut reader).map(Op::Watch),
            OP_SET_ACL => set_acl(&mut reader),
            OP_MULTI => multi(&mut reader).map(Op::Multi),
            OP_SYNC => reader.string().map(|path| Op::Sync { path }),
            OP_AUTH => auth(&mut reader),
            OP_SASL => reader.buffer().map(|token| Op::Sasl { token }),
            OP_PING => Ok(Op::Ping),
            OP_CLOSE_SESSION => Ok(Op::CloseSession),
            _ => return Parsed::Unknown,
        };
    match parsed {
        Ok(op) => Parsed::Op(op),
        Err(_) => Parsed::Malformed,
    }
}

/// A null path names nothing: Apache's code runs into it and answers that the body is malformed.
pub(super) fn path(reader: &mut Reader) -> Result<String, JuteError> {
    reader.ustring()?.ok_or(JuteError::BadLength(-1))
}

fn write_op(op: i32, reader: &mut Reader) -> Result<WriteOp, JuteError> {
    Ok(match op {
        OP_CREATE => WriteOp::Create(create(CreateForm::Plain, reader)?),
        OP_CREATE2 => WriteOp::Create(create(CreateForm::WithStat, reader)?),
        OP_CREATE_CONTAINER => WriteOp::Create(create(CreateForm::Container, reader)?),
        OP_CREATE_TTL => {
            let body = create(CreateForm::Plain, reader)?;
            WriteOp::Create(Create { form: CreateForm::Ttl { ms: reader.i64()? }, ..body })
        }
        OP_DELETE => WriteOp::Delete { path: path(reader)?, version: reader.i32()? },
        OP_SET_DATA => {
            WriteOp::SetData { path: path(reader)?, data: reader.buffer()?, version: reader.i32()? }
        }
        OP_CHECK => WriteOp::Check { path: path(reader)?, version: reader.i32()? },
        _ => return Err(JuteError::BadValue(op)),
    })
}

fn create(form: CreateForm, reader: &mut Reader) -> Result<Create, JuteError> {
    Ok(Create {
        path: path(reader)?,
        data: reader.buffer()?,
        acl: reader.acl_vector()?,
        flags: reader.i32()?,
        form,
    })
}

fn read_op(op: i32, reader: &mut Reader) -> Result<ReadOp, JuteError> {
    Ok(match op {
        OP_EXISTS => ReadOp::Exists { path: path(reader)?, watch: reader.bool()? },
        OP_GET_DATA => ReadOp::GetData { path: path(reader)?, watch: reader.bool()? },
        OP_GET_ACL => ReadOp::GetAcl { path: path(reader)? },
        OP_GET_CHILDREN | OP_GET_CHILDREN2 => ReadOp::GetChildren {
            path: path(reader)?,
            watch: reader.bool()?,
            with_stat: op == OP_GET_CHILDREN2,
        },
        OP_MULTI_READ => ReadOp::Multi(multi_read(reader)?),
        OP_GET_EPHEMERALS => ReadOp::GetEphemerals { prefix: reader.ustring()? },
        OP_GET_ALL_CHILDREN_NUMBER => ReadOp::GetAllChildrenNumber { path: path(reader)? },
        OP_WHO_AM_I => ReadOp::WhoAmI,
        _ => return Err(JuteError::BadValue(op)),
    })
}

/// As a multi, of reads. One kind of ops alone: beside a write, a read makes the whole unreadable.
fn multi_read(reader: &mut Reader) -> Result<MultiRead, JuteError> {
    let mut ahead = reader.clone();
    let (first, done) = (ahead.i32()?, ahead.bool()?);
    if !done && !matches!(first, OP_GET_DATA | OP_GET_CHILDREN) {
        return multi(reader).map(|_| MultiRead::OfWrites);
    }
    let mut parts = Vec::new();
    loop {
        let op = reader.i32()?;
        let done = reader.bool()?;
        let _err = reader.i32()?;
        if done {
            return Ok(MultiRead::Reads(parts));
        }
        let path = path(reader)?;
        let _watch = reader.bool()?;
        parts.push(match op {
            OP_GET_DATA => ReadPart::GetData { path },
            OP_GET_CHILDREN => ReadPart::GetChildren { path },
            _ => return Err(JuteError::BadValue(op)),
        });
    }
}

fn reconfig(reader: &mut Reader) -> Result<Reconfig, JuteError> {
    Ok(Reconfig {
        joining: reader.ustring()?,
        leaving: reader.ustring()?,
        members: reader.ustring()?,
        version: reader.i64()?,
    })
}

fn set_acl(reader: &mut Reader) -> Result<Op, JuteError> {
    Ok(Op::SetAcl { path: path(reader)?, acl: reader.acl_vector()?, version: reader.i32()? })
}

fn auth(reader: &mut Reader) -> Result<Op, JuteError> {
    let _type = reader.i32()?;
    Ok(Op::Auth { scheme: reader.string()?, proof: reader.buffer()? })
}

/// Each op lies behind a header {int type, bool done, int err}; the last header says done.
fn multi(reader: &mut Reader) -> Result<Vec<WriteOp>, JuteError> {
    let mut ops = Vec::new();
    loop {
        let op = reader.i32()?;
        let done = reader.bool()?;
        let _err = reader.i32()?;
        if done {
            return Ok(ops);
        }
        let write = write_op(op, reader)?;
        if let WriteOp::Create(create) = &write {
            check_part(create)?;
        }
        ops.push(write);
    }
}

/// What would be a refusal of its own code alone, makes Apache unable to read the whole multi; not so
/// in a createTTL, which it takes apart in another way.
fn check_part(create: &Create) -> Result<(), JuteError> {
    match create.form {
        CreateForm::Ttl { .. } => Ok(()),
        CreateForm::Plain | CreateForm::WithStat | CreateForm::Container => {
            let mode = CreateMode::from_flags(create.flags).filter(|mode| !mode.is_ttl());
            if mode.is_none() {
                return Err(JuteError::BadValue(create.flags));
            }
            if create.acl.is_some() { Ok(()) } else { Err(JuteError::BadLength(-1)) }
        }
    }
}

/// Appends a whole request frame, length included.
pub fn encode_request(out: &mut BytesMut, xid: Xid, op: &Op) {
    put_frame(out, |out| {
        out.put_i32(xid.0);
        out.put_i32(op.code());
        op.encode_body(out);
    });
}

impl WriteOp {
    /// The opcode that carries this.
    pub fn code(&self) -> i32 {
        match self {
            Self::Create(create) => create.form.code(),
            Self::Delete { .. } => OP_DELETE,
            Self::SetData { .. } => OP_SET_DATA,
            Self::Check { .. } => OP_CHECK,
        }
    }

    fn encode_body(&self, out: &mut BytesMut) {
        match self {
            Self::Create(create) => {
                out.put_ustring(&create.path);
                out.put_buffer(create.data.as_deref());
                out.put_acl_vector(create.acl.as_deref());
                out.put_i32(create.flags);
                match create.form {
                    CreateForm::Ttl { ms } => out.put_i64(ms),
                    CreateForm::Plain | CreateForm::WithStat | CreateForm::Container => {}
                }
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                out.put_ustring(path);
                out.put_i32(*version);
            }
            Self::SetData { path, data, version } => {
                out.put_ustring(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
        }
    }
}

impl ReadOp {
    /// The opcode that carries this.
    pub fn code(&self) -> i32 {
        match self {
            Self::Exists { .. } => OP_EXISTS,
            Self::GetData { .. } => OP_GET_DATA,
            Self::GetAcl { .. } => OP_GET_ACL,
            Self::GetChildren { with_stat: true, .. } => OP_GET_CHILDREN2,
            Self::GetChildren { with_stat: false, .. } => OP_GET_CHILDREN,
            Self::Multi(_) => OP_MULTI_READ,
            Self::GetEphemerals { .. } => OP_GET_EPHEMERALS,
            Self::GetAllChildrenNumber { .. } => OP_GET_ALL_CHILDREN_NUMBER,
            Self::WhoAmI => OP_WHO_AM_I,
        }
    }

    fn encode_body(&self, out: &mut BytesMut) {
        match self {
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch, .. } => {
                out.put_ustring(path);
                out.put_bool(*watch);
            }
            Self::GetAcl { path } | Self::GetAllChildrenNumber { path } => out.put_ustring(path),
            Self::GetEphemerals { prefix: Some(prefix) } => out.put_ustring(prefix),
            Self::GetEphemerals { prefix: None } => out.put_i32(-1),
            Self::WhoAmI => {}
            Self::Multi(read) => read.encode(out),
        }
    }
}

impl MultiRead {
    /// Which writes they were is forgotten: one stands for them.
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Reads(parts) => {
                for part in parts {
                    let (op, path) = match part {
                        ReadPart::GetData { path } => (OP_GET_DATA, path),
                        ReadPart::GetChildren { path } => (OP_GET_CHILDREN, path),
                    };
                    put_multi_header(op, false, -1, out);
                    out.put_ustring(path);
                    out.put_bool(false);
                }
            }
            Self::OfWrites => {
                let delete = WriteOp::Delete { path: String::from("/"), version: -1 };
                put_multi_header(delete.code(), false, -1, out);
                delete.encode_body(out);
            }
        }
        put_multi_header(-1, true, -1, out);
    }
}

impl Reconfig {
    fn encode(&self, out: &mut BytesMut) {
        for text in [&self.joining, &self.leaving, &self.members] {
            match text {
                Some(text) => out.put_ustring(text),
                None => out.put_i32(-1),
            }
        }
        out.put_i64(self.version);
    }
}

impl Op {
    /// The opcode that carries this.
    pub fn code(&self) -> i32 {
        match self {
            Self::Read(read) => read.code(),
            Self::Watch(watch) => watch.code(),
            Self::Write(write) => write.code(),
            Self::SetAcl { .. } => OP_SET_ACL,
            Self::Multi(_) => OP_MULTI,
            Self::Sync { .. } => OP_SYNC,
            Self::Auth { .. } => OP_AUTH,
            Self::Sasl { .. } => OP_SASL,
            Self::Reconfig(_) => OP_RECONFIG,
            Self::Ping => OP_PING,
            Self::CloseSession => OP_CLOSE_SESSION,
        }
    }

    /// Appends the body alone: what a learner forwards behind a session, cxid and opcode.
    pub fn encode_body(&self, out: &mut BytesMut) {
        match self {
            Self::Read(read) => read.encode_body(out),
            Self::Watch(watch) => watch.encode_body(out),
            Self::Write(write) => write.encode_body(out),
            Self::SetAcl { path, acl, version } => {
                out.put_ustring(path);
                out.put_acl_vector(acl.as_deref());
                out.put_i32(*version);
            }
            Self::Multi(ops) => {
                for op in ops {
                    put_multi_header(op.code(), false, -1, out);
                    op.encode_body(out);
                }
                put_multi_header(-1, true, -1, out);
            }
            Self::Sync { path } => out.put_ustring(path),
            Self::Auth { scheme, proof } => {
                out.put_i32(0);
                out.put_ustring(scheme);
                out.put_buffer(proof.as_deref());
            }
            Self::Sasl { token } => out.put_buffer(token.as_deref()),
            Self::Reconfig(reconfig) => reconfig.encode(out),
            Self::Ping | Self::CloseSession => {}
        }
    }
}

/// Stands before each op and each result of a multi, and at the end of both.
pub(super) fn put_multi_header(kind: i32, done: bool, err: i32, out: &mut BytesMut) {
    out.put_i32(kind);
    out.put_bool(done);
    out.put_i32(err);
}
