//! Requests of real clients, read as a server reads them. What the model of `oracle` covers becomes a
//! [`Call`]; everything else keeps its name, so that it can be counted.

use bytes::Bytes;
use vivarium_core::ids::SessionId;

use crate::codec::Reader;
use crate::history::{Call, CreateCall, Life, ReadCall, SubCall};

/// What a client frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Ping,
    /// Identities: answered out of band, no fact of the model.
    Auth,
    /// The client manages its watches by more than one-shot reads.
    Watches(&'static str),
    Call {
        xid: i32,
        call: Call,
    },
    /// A request that the model does not know.
    Other {
        xid: i32,
        code: i32,
        name: &'static str,
        writes: bool,
    },
}

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub last_zxid: i64,
    pub timeout_ms: i32,
    /// `None`: a new session is wanted.
    pub session: Option<SessionId>,
    pub password: Bytes,
}

/// The answer to it. `session`: `None` where it is over, or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connected {
    pub timeout_ms: i32,
    pub session: Option<SessionId>,
    pub password: Bytes,
}

fn session(raw: i64) -> Option<SessionId> {
    (raw != 0).then_some(SessionId(raw))
}

/// Old clients leave the read-only byte away.
pub(crate) fn connect(frame: Bytes) -> Option<Connect> {
    let mut reader = Reader::new(frame);
    reader.i32()?;
    let (last_zxid, timeout_ms, id) = (reader.i64()?, reader.i32()?, reader.i64()?);
    let password = reader.buffer()?.unwrap_or_default();
    Some(Connect { last_zxid, timeout_ms, session: session(id), password })
}

pub(crate) fn connected(frame: Bytes) -> Option<Connected> {
    let mut reader = Reader::new(frame);
    reader.i32()?;
    let (timeout_ms, id) = (reader.i32()?, reader.i64()?);
    let password = reader.buffer()?.unwrap_or_default();
    Some(Connected { timeout_ms, session: session(id), password })
}

/// `None`: not even a request header.
pub(crate) fn request(frame: Bytes) -> Option<Asked> {
    let mut reader = Reader::new(frame);
    let (xid, code) = (reader.i32()?, reader.i32()?);
    let (name, writes) = name(code);
    Some(match code {
        11 => Asked::Ping,
        100 | 102 => Asked::Auth,
        17 | 18 | 101 | 105 | 106 => Asked::Watches(name),
        _ => match call(code, reader) {
            Some(call) => Asked::Call { xid, call },
            None => Asked::Other { xid, code, name, writes },
        },
    })
}

/// How an opcode is told, and whether it takes a zxid.
fn name(code: i32) -> (&'static str, bool) {
    match code {
        1 => ("create with flags or an ACL of its own", true),
        2 => ("delete", true),
        3 => ("exists", false),
        4 => ("getData", false),
        5 => ("setData", true),
        6 => ("getACL", false),
        7 => ("setACL", true),
        8 | 12 => ("getChildren", false),
        9 => ("sync", false),
        14 => ("multi with an op that is not modelled", true),
        15 => ("create2 with flags or an ACL of its own", true),
        16 => ("reconfig", true),
        17 => ("checkWatches", false),
        18 => ("removeWatches", false),
        19 => ("createContainer with flags or an ACL of its own", true),
        20 => ("deleteContainer", true),
        21 => ("createTTL with flags or an ACL of its own", true),
        22 => ("multiRead of what is not modelled", false),
        101 => ("setWatches", false),
        103 => ("getEphemerals", false),
        104 => ("getAllChildrenNumber", false),
        105 => ("setWatches2", false),
        106 => ("addWatch", false),
        107 => ("whoAmI", false),
        _ => ("unknown request", false),
    }
}

fn call(code: i32, mut reader: Reader) -> Option<Call> {
    let call = match code {
        1 | 15 | 19 | 21 => Call::Create(create(code, &mut reader)?),
        2 => Call::Delete { path: reader.string()?, version: reader.i32()? },
        3 => Call::Exists { path: path_of_read(&mut reader)?, watch: reader.bool()? },
        4 => Call::GetData { path: path_of_read(&mut reader)?, watch: reader.bool()? },
        5 => {
            Call::SetData { path: reader.string()?, data: reader.buffer()?, version: reader.i32()? }
        }
        8 | 12 => Call::GetChildren {
            path: path_of_read(&mut reader)?,
            watch: reader.bool()?,
            with_stat: code == 12,
        },
        9 => Call::Sync { path: reader.string()? },
        22 => Call::MultiRead(multi_read(&mut reader)?),
        14 => Call::Multi(multi(&mut reader)?),
        -11 => Call::CloseSession,
        _ => return None,
    };
    reader.is_empty().then_some(call)
}

/// What servers keep below /zookeeper is theirs, and differs between them.
pub(crate) fn is_modelled(path: &str) -> bool {
    path != "/zookeeper" && !path.starts_with("/zookeeper/")
}

fn path_of_read(reader: &mut Reader) -> Option<String> {
    reader.string().filter(|path| is_modelled(path))
}

fn create(code: i32, reader: &mut Reader) -> Option<CreateCall> {
    let (path, data) = (reader.string()?, reader.buffer()?);
    let acl = reader.vector(|entry| Some((entry.i32()?, entry.string()?, entry.string()?)))??;
    let flags = reader.i32()?;
    let open = matches!(&acl[..], [(31, scheme, id)] if scheme == "world" && id == "anyone");
    let (life, sequential) = match (code, flags) {
        (1 | 15, 0) => (Life::Persistent, false),
        (1 | 15, 1) => (Life::Ephemeral, false),
        (1 | 15, 2) => (Life::Persistent, true),
        (1 | 15, 3) => (Life::Ephemeral, true),
        (19, 4) => (Life::Container, false),
        (21, 5 | 6) => (Life::Ttl { ms: reader.i64()? }, flags == 6),
        _ => return None,
    };
    let acl = acl.into();
    open.then_some(CreateCall { path, data, life, sequential, acl, with_stat: code != 1 })
}

fn multi_read(reader: &mut Reader) -> Option<Vec<ReadCall>> {
    let mut reads = Vec::new();
    loop {
        let (code, done, _) = (reader.i32()?, reader.bool()?, reader.i32()?);
        if done {
            return Some(reads);
        }
        let path = path_of_read(reader)?;
        reader.bool()?;
        reads.push(match code {
            4 => ReadCall::Data { path },
            8 => ReadCall::Children { path },
            _ => return None,
        });
    }
}

fn multi(reader: &mut Reader) -> Option<Vec<SubCall>> {
    let mut subs = Vec::new();
    loop {
        let (code, done, _) = (reader.i32()?, reader.bool()?, reader.i32()?);
        if done {
            return Some(subs);
        }
        subs.push(match code {
            1 | 15 | 19 | 21 => SubCall::Create(create(code, reader)?),
            2 => SubCall::Delete { path: reader.string()?, version: reader.i32()? },
            5 => SubCall::SetData {
                path: reader.string()?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            13 => SubCall::Check { path: reader.string()?, version: reader.i32()? },
            _ => return None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writer;
    use crate::zkclient::wire;

    #[test]
    fn what_the_simulated_client_writes_is_read_back() {
        let create = |sequential| CreateCall {
            path: "/a".into(),
            data: Some(Bytes::from_static(b"x")),
            life: Life::Ephemeral,
            sequential,
            acl: crate::oracle::access::open(),
            with_stat: true,
        };
        let calls = [
            Call::Create(create(true)),
            Call::Delete { path: "/a".into(), version: -1 },
            Call::SetData { path: "/a".into(), data: None, version: 3 },
            Call::Multi(vec![
                SubCall::Create(create(false)),
                SubCall::Check { path: "/b".into(), version: 1 },
            ]),
            Call::Exists { path: "/a".into(), watch: true },
            Call::GetChildren { path: "/".into(), watch: false, with_stat: true },
            Call::MultiRead(vec![
                ReadCall::Data { path: "/a".into() },
                ReadCall::Children { path: "/".into() },
            ]),
            Call::Sync { path: "/".into() },
            Call::CloseSession,
        ];
        for call in calls {
            let frame = wire::request(7, &call).slice(4..);
            assert_eq!(request(frame), Some(Asked::Call { xid: 7, call }));
        }
    }

    #[test]
    fn what_the_model_does_not_know_keeps_its_name() {
        let mut set_acl = Writer::new();
        set_acl.i32(3).i32(7).string("/a");
        let other = |name, code, writes| Some(Asked::Other { xid: 3, code, name, writes });
        assert_eq!(request(set_acl.finish()), other("setACL", 7, true));
        let config = Call::GetData { path: "/zookeeper/config".into(), watch: false };
        assert_eq!(request(wire::request(3, &config).slice(4..)), other("getData", 4, false));
        let mut container = Writer::new();
        container.i32(3).i32(1).string("/a").buffer(None);
        container.i32(1).i32(31).string("world").string("anyone").i32(4);
        let name = "create with flags or an ACL of its own";
        assert_eq!(request(container.finish()), other(name, 1, true));
    }
}
