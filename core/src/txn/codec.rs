//! Log payloads to transactions and back. Apache: `SerializeUtils.deserializeTxn`, `DataTree`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{CreateTxn, LoggedTxn, Txn, TxnDigest, TxnHeader};
use crate::ids::{SessionId, Zxid};
use crate::time::Wall;
use crate::wire::client::{
    OP_CHECK, OP_CLOSE_SESSION, OP_CREATE, OP_CREATE_CONTAINER, OP_CREATE_SESSION, OP_CREATE_TTL,
    OP_CREATE2, OP_DELETE, OP_DELETE_CONTAINER, OP_ERROR, OP_MULTI, OP_RECONFIG, OP_SET_ACL,
    OP_SET_DATA,
};
use crate::wire::jute::{JuteError, JuteWrite, Reader};

const HEADER_LEN: usize = 32;
const DIGEST_LEN: usize = 12;
/// The only digest version that ZooKeeper has written since 3.6.
const DIGEST_VERSION: i32 = 2;

pub(super) fn decode(payload: Bytes) -> Result<LoggedTxn, JuteError> {
    let mut reader = Reader::new(payload);
    let (header, kind) = header(&mut reader)?;
    let txn = match kind {
        OP_CREATE_SESSION => Txn::CreateSession { timeout_ms: reader.i32()? },
        OP_CLOSE_SESSION => close_session(&mut reader)?,
        OP_SET_ACL => Txn::SetAcl {
            path: reader.string()?,
            acl: reader.acl_vector()?,
            version: reader.i32()?,
        },
        OP_RECONFIG => {
            let (path, data, version) = set_data(&mut reader)?;
            Txn::Reconfig { path, data, version }
        }
        OP_MULTI => multi(&mut reader)?,
        OP_CHECK => return Err(JuteError::BadValue(kind)),
        _ => simple(kind, &mut reader)?,
    };
    let digest = match reader.remaining() {
        DIGEST_LEN => {
            Some(TxnDigest { version: reader.i32()?, tree: reader.i64()?.cast_unsigned() })
        }
        _ => None,
    };
    reader.finish()?;
    Ok(LoggedTxn { header, txn, digest })
}

pub(super) fn peek(payload: &[u8]) -> Option<TxnHeader> {
    if payload.len() < HEADER_LEN {
        return None;
    }
    let mut rest = payload;
    let session = SessionId(rest.get_i64());
    let cxid = rest.get_i32();
    let zxid = Zxid::from_wire(rest.get_i64())?;
    let time = Wall(rest.get_i64());
    Some(TxnHeader { session, cxid, zxid, time })
}

fn header(reader: &mut Reader) -> Result<(TxnHeader, i32), JuteError> {
    let session = SessionId(reader.i64()?);
    let cxid = reader.i32()?;
    let raw = reader.i64()?;
    let zxid = Zxid::from_wire(raw).ok_or(JuteError::BadValue((raw >> 32) as i32))?;
    let time = Wall(reader.i64()?);
    Ok((TxnHeader { session, cxid, zxid, time }, reader.i32()?))
}

/// Logs before 3.6, and those of `closeSessionTxn.enabled=false`, have no list of paths. A digest
/// may then follow the header at once; as a list it would be two empty paths, which nobody writes.
fn close_session(reader: &mut Reader) -> Result<Txn, JuteError> {
    let bare = match reader.remaining() {
        0 => true,
        DIGEST_LEN => reader.clone().i32()? == DIGEST_VERSION,
        _ => false,
    };
    let paths = if bare { None } else { reader.vector(4, Reader::string)? };
    Ok(Txn::CloseSession { paths })
}

fn multi(reader: &mut Reader) -> Result<Txn, JuteError> {
    let subs = reader.vector(8, |reader| {
        let kind = reader.i32()?;
        let body = reader.buffer()?.ok_or(JuteError::BadLength(-1))?;
        let mut body = Reader::new(body);
        let txn = simple(kind, &mut body)?;
        body.finish()?;
        Ok(txn)
    })?;
    Ok(Txn::Multi(subs.ok_or(JuteError::BadLength(-1))?))
}

/// The records that are legal inside a multi; all but `Check` also stand alone.
fn simple(kind: i32, reader: &mut Reader) -> Result<Txn, JuteError> {
    Ok(match kind {
        OP_CREATE => Txn::Create(create(reader, true)?),
        OP_CREATE2 => Txn::Create2(create(reader, false)?),
        OP_CREATE_TTL => Txn::CreateTtl {
            path: reader.string()?,
            data: reader.buffer()?,
            acl: reader.acl_vector()?,
            parent_cversion: reader.i32()?,
            ttl: reader.i64()?,
        },
        OP_CREATE_CONTAINER => Txn::CreateContainer {
            path: reader.string()?,
            data: reader.buffer()?,
            acl: reader.acl_vector()?,
            parent_cversion: reader.i32()?,
        },
        OP_DELETE => Txn::Delete { path: reader.string()? },
        OP_DELETE_CONTAINER => Txn::DeleteContainer { path: reader.string()? },
        OP_SET_DATA => {
            let (path, data, version) = set_data(reader)?;
            Txn::SetData { path, data, version }
        }
        OP_CHECK => Txn::Check { path: reader.string()?, version: reader.i32()? },
        OP_ERROR => Txn::Error { code: reader.i32()? },
        _ => return Err(JuteError::BadValue(kind)),
    })
}

/// `v0_allowed`: records of ZooKeeper 3.3 end before the parent's cversion.
fn create(reader: &mut Reader, v0_allowed: bool) -> Result<CreateTxn, JuteError> {
    let path = reader.string()?;
    let data = reader.buffer()?;
    let acl = reader.acl_vector()?;
    let ephemeral = reader.bool()?;
    let v0 = v0_allowed && matches!(reader.remaining(), 0 | DIGEST_LEN);
    let parent_cversion = if v0 { None } else { Some(reader.i32()?) };
    Ok(CreateTxn { path, data, acl, ephemeral, parent_cversion })
}

type SetData = (alloc::string::String, Option<Bytes>, i32);

fn set_data(reader: &mut Reader) -> Result<SetData, JuteError> {
    Ok((reader.string()?, reader.buffer()?, reader.i32()?))
}

pub(super) fn encode(logged: &LoggedTxn, out: &mut BytesMut) {
    let header = &logged.header;
    out.put_i64(header.session.0);
    out.put_i32(header.cxid);
    out.put_i64(header.zxid.to_wire());
    out.put_i64(header.time.0);
    out.put_i32(kind(&logged.txn));
    put_record(&logged.txn, out);
    if let Some(digest) = &logged.digest {
        out.put_i32(digest.version);
        out.put_u64(digest.tree);
    }
}

fn kind(txn: &Txn) -> i32 {
    match txn {
        Txn::CreateSession { .. } => OP_CREATE_SESSION,
        Txn::CloseSession { .. } => OP_CLOSE_SESSION,
        Txn::Create(_) => OP_CREATE,
        Txn::Create2(_) => OP_CREATE2,
        Txn::CreateTtl { .. } => OP_CREATE_TTL,
        Txn::CreateContainer { .. } => OP_CREATE_CONTAINER,
        Txn::Delete { .. } => OP_DELETE,
        Txn::DeleteContainer { .. } => OP_DELETE_CONTAINER,
        Txn::SetData { .. } => OP_SET_DATA,
        Txn::Reconfig { .. } => OP_RECONFIG,
        Txn::SetAcl { .. } => OP_SET_ACL,
        Txn::Check { .. } => OP_CHECK,
        Txn::Multi(_) => OP_MULTI,
        Txn::Error { .. } => OP_ERROR,
    }
}

fn put_record(txn: &Txn, out: &mut BytesMut) {
    match txn {
        Txn::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
        Txn::CloseSession { paths: None } => {}
        Txn::CloseSession { paths: Some(paths) } => {
            out.put_vector(Some(paths), |out, path| out.put_ustring(path));
        }
        Txn::Create(create) => {
            put_create(create, out);
            if let Some(cversion) = create.parent_cversion {
                out.put_i32(cversion);
            }
        }
        Txn::Create2(create) => {
            put_create(create, out);
            // No V0 form exists for type 15; -1 says the same to every reader.
            out.put_i32(create.parent_cversion.unwrap_or(-1));
        }
        Txn::CreateTtl { path, data, acl, parent_cversion, ttl } => {
            put_node(path, data.as_ref(), acl.as_deref(), out);
            out.put_i32(*parent_cversion);
            out.put_i64(*ttl);
        }
        Txn::CreateContainer { path, data, acl, parent_cversion } => {
            put_node(path, data.as_ref(), acl.as_deref(), out);
            out.put_i32(*parent_cversion);
        }
        Txn::Delete { path } | Txn::DeleteContainer { path } => out.put_ustring(path),
        Txn::SetData { path, data, version } | Txn::Reconfig { path, data, version } => {
            out.put_ustring(path);
            out.put_buffer(data.as_deref());
            out.put_i32(*version);
        }
        Txn::SetAcl { path, acl, version } => {
            out.put_ustring(path);
            out.put_acl_vector(acl.as_deref());
            out.put_i32(*version);
        }
        Txn::Check { path, version } => {
            out.put_ustring(path);
            out.put_i32(*version);
        }
        Txn::Multi(subs) => out.put_vector(Some(subs), put_sub),
        Txn::Error { code } => out.put_i32(*code),
    }
}

fn put_create(create: &CreateTxn, out: &mut BytesMut) {
    put_node(&create.path, create.data.as_ref(), create.acl.as_deref(), out);
    out.put_bool(create.ephemeral);
}

fn put_node(path: &str, data: Option<&Bytes>, acl: Option<&[crate::acl::Acl]>, out: &mut BytesMut) {
    out.put_ustring(path);
    out.put_buffer(data.map(AsRef::as_ref));
    out.put_acl_vector(acl);
}

/// A sub-transaction is its type and a buffer; the length is patched in when it is known.
fn put_sub(out: &mut BytesMut, sub: &Txn) {
    out.put_i32(kind(sub));
    let at = out.len();
    out.put_i32(0);
    put_record(sub, out);
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}
