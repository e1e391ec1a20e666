//! Logged transactions as the oracle reads them. Facts: PROTOCOL 4.2, 4.3.

use std::sync::Arc;

use bytes::Bytes;
use vivarium_core::ids::{SessionId, Zxid};

use crate::codec::Reader;
use crate::history::{AccessList, AclEntry, Life};

/// Type of the record that ends a session.
const CLOSE_SESSION: i32 = -11;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub session: i64,
    pub cxid: i32,
    pub zxid: Zxid,
    pub time: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTxn {
    /// Record type: 1 or 15, whose effect is the same, 19 or 21.
    pub kind: i32,
    pub path: String,
    pub data: Option<Bytes>,
    pub acl: Option<AccessList>,
    pub life: Life,
    pub parent_cversion: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txn {
    CreateSession {
        timeout_ms: i32,
    },
    CloseSession {
        paths: Option<Vec<String>>,
    },
    Create(CreateTxn),
    Delete {
        path: String,
    },
    /// By the leader itself.
    DeleteContainer {
        path: String,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Option<AccessList>,
        version: i32,
    },
    Multi(Vec<Self>),
    Error {
        code: i32,
    },
}

/// The session that this record is of.
pub fn session_of(payload: &[u8]) -> Option<SessionId> {
    Some(SessionId(i64::from_be_bytes(*payload.first_chunk()?)))
}

/// The session that this record ends, if it does.
pub fn ended_session(payload: &[u8]) -> Option<SessionId> {
    /// Behind the session, the number of the request, the zxid and the time.
    const KIND_AT: usize = 28;
    let ends = payload.get(KIND_AT..KIND_AT + 4)? == CLOSE_SESSION.to_be_bytes();
    session_of(payload).filter(|_| ends)
}

/// `None`: not a record that the simulated workload can lead to.
pub fn decode(payload: Bytes) -> Option<(Header, Txn)> {
    decode_with_digest(payload).map(|(header, txn, _)| (header, txn))
}

/// With the digest of the tree behind it, where the leader put it in.
pub fn decode_with_digest(payload: Bytes) -> Option<(Header, Txn, Option<u64>)> {
    let mut reader = Reader::new(payload);
    let session = reader.i64()?;
    let cxid = reader.i32()?;
    let zxid = Zxid::from_wire(reader.i64()?)?;
    let time = reader.i64()?;
    let kind = reader.i32()?;
    let txn = record(kind, &mut reader)?;
    let digest = match reader.i32() {
        Some(_version) => Some(reader.i64()?.cast_unsigned()),
        None => None,
    };
    Some((Header { session, cxid, zxid, time }, txn, digest))
}

fn record(kind: i32, reader: &mut Reader) -> Option<Txn> {
    Some(match kind {
        -10 => Txn::CreateSession { timeout_ms: reader.i32()? },
        CLOSE_SESSION if reader.is_empty() => Txn::CloseSession { paths: None },
        CLOSE_SESSION => Txn::CloseSession { paths: reader.vector(Reader::string)? },
        1 | 15 | 19 | 21 => Txn::Create(create(kind, reader)?),
        2 => Txn::Delete { path: reader.string()? },
        20 => Txn::DeleteContainer { path: reader.string()? },
        5 => {
            Txn::SetData { path: reader.string()?, data: reader.buffer()?, version: reader.i32()? }
        }
        7 => Txn::SetAcl {
            path: reader.string()?,
            acl: reader.vector(acl_entry)?.map(Arc::from),
            version: reader.i32()?,
        },
        13 => Txn::Check { path: reader.string()?, version: reader.i32()? },
        14 => Txn::Multi(reader.vector(sub_record)??),
        -1 => Txn::Error { code: reader.i32()? },
        _ => return None,
    })
}

fn create(kind: i32, reader: &mut Reader) -> Option<CreateTxn> {
    let (path, data) = (reader.string()?, reader.buffer()?);
    let acl = reader.vector(acl_entry)?.map(Arc::from);
    let mut life = match kind {
        19 => Life::Container,
        21 => Life::Persistent,
        _ if reader.bool()? => Life::Ephemeral,
        _ => Life::Persistent,
    };
    let parent_cversion = reader.i32()?;
    if kind == 21 {
        life = Life::Ttl { ms: reader.i64()? };
    }
    Some(CreateTxn { kind, path, data, acl, life, parent_cversion })
}

fn sub_record(reader: &mut Reader) -> Option<Txn> {
    let kind = reader.i32()?;
    record(kind, &mut Reader::new(reader.buffer()??))
}

fn acl_entry(reader: &mut Reader) -> Option<AclEntry> {
    Some((reader.i32()?, reader.string()?, reader.string()?))
}

#[cfg(test)]
pub(crate) mod build {
    //! Payloads for tests of checkers.

    use super::{Header, Txn};
    use crate::codec::Writer;
    use crate::history::Life;
    use bytes::Bytes;

    pub(crate) fn payload(header: Header, txn: &Txn) -> Bytes {
        let mut out = Writer::new();
        out.i64(header.session).i32(header.cxid).i64(header.zxid.to_wire()).i64(header.time);
        out.i32(kind(txn));
        body(txn, &mut out);
        out.finish()
    }

    fn kind(txn: &Txn) -> i32 {
        match txn {
            Txn::CreateSession { .. } => -10,
            Txn::CloseSession { .. } => super::CLOSE_SESSION,
            Txn::Create(create) => create.kind,
            Txn::Delete { .. } => 2,
            Txn::DeleteContainer { .. } => 20,
            Txn::SetData { .. } => 5,
            Txn::Check { .. } => 13,
            Txn::SetAcl { .. } => 7,
            Txn::Multi(_) => 14,
            Txn::Error { .. } => -1,
        }
    }

    fn body(txn: &Txn, out: &mut Writer) {
        match txn {
            Txn::CreateSession { timeout_ms } => {
                out.i32(*timeout_ms);
            }
            Txn::CloseSession { paths } => {
                let paths = paths.as_ref().expect("tests write new records");
                out.i32(paths.len() as i32);
                for path in paths {
                    out.string(path);
                }
            }
            Txn::Create(create) => {
                out.string(&create.path).buffer(create.data.as_deref());
                acl_list(create.acl.as_ref().expect("tests give one"), out);
                match create.life {
                    Life::Container => out.i32(create.parent_cversion),
                    Life::Ttl { ms } => out.i32(create.parent_cversion).i64(ms),
                    Life::Persistent | Life::Ephemeral => {
                        out.bool(create.life == Life::Ephemeral).i32(create.parent_cversion)
                    }
                };
            }
            Txn::SetAcl { path, acl, version } => {
                out.string(path);
                acl_list(acl.as_ref().expect("tests give one"), out);
                out.i32(*version);
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => {
                out.string(path);
            }
            Txn::SetData { path, data, version } => {
                out.string(path).buffer(data.as_deref()).i32(*version);
            }
            Txn::Check { path, version } => {
                out.string(path).i32(*version);
            }
            Txn::Multi(subs) => {
                out.i32(subs.len() as i32);
                for sub in subs {
                    let mut inner = Writer::new();
                    body(sub, &mut inner);
                    out.i32(kind(sub)).buffer(Some(&inner.finish()));
                }
            }
            Txn::Error { code } => {
                out.i32(*code);
            }
        }
    }

    fn acl_list(acl: &[super::AclEntry], out: &mut Writer) {
        out.i32(acl.len() as i32);
        for (perms, scheme, id) in acl {
            out.i32(*perms).string(scheme).string(id);
        }
    }

    #[test]
    fn a_multi_survives_the_round_trip() {
        let header = Header { session: 5, cxid: 2, zxid: vivarium_core::ids::Zxid(9), time: 1000 };
        let txn = Txn::Multi(vec![Txn::Delete { path: "/a".into() }, Txn::Error { code: -2 }]);
        assert_eq!(super::decode(payload(header, &txn)), Some((header, txn)));
    }
}
