//! Requests of real clients, read as a server reads them. What the model of `oracle` covers becomes a
//! [`Call`]; everything else keeps its name, so that it can be counted.

use bytes::Bytes;
use vivarium_core::ids::SessionId;
use vivarium_core::wire::client::{AddMode, LastingWatches, SetWatches, WatchKind, WatchOp};

use crate::codec::Reader;
use crate::history::{AccessList, Call, CreateCall, Life, ReadCall, SubCall};

/// What a client frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Ping,
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

/// Whether it is known under which address servers see a client, and so who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Known,
    /// What depends on access lists is not modelled.
    Unknown,
}

/// `None`: not even a request header.
pub(crate) fn request(frame: Bytes, access: Access) -> Option<Asked> {
    let mut reader = Reader::new(frame);
    let (xid, code) = (reader.i32()?, reader.i32()?);
    let (name, writes) = name(code);
    Some(match code {
        11 => Asked::Ping,
        _ => match call(code, reader, access) {
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
        100 => ("addAuth", false),
        101 => ("setWatches", false),
        102 => ("sasl", false),
        103 => ("getEphemerals", false),
        104 => ("getAllChildrenNumber", false),
        105 => ("setWatches2", false),
        106 => ("addWatch", false),
        107 => ("whoAmI", false),
        _ => ("unknown request", false),
    }
}

fn call(code: i32, mut reader: Reader, access: Access) -> Option<Call> {
    let call = match code {
        1 | 15 | 19 | 21 => Call::Create(create(code, &mut reader, access)?),
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
        14 => Call::Multi(multi(&mut reader, access)?),
        17 => {
            let (path, kind) = (path_of_read(&mut reader)?, watch_kind(reader.i32()?)?);
            Call::Watch(WatchOp::Check { path, kind })
        }
        18 => {
            let (path, kind) = (path_of_read(&mut reader)?, watch_kind(reader.i32()?)?);
            Call::Watch(WatchOp::Remove { path, kind })
        }
        101 | 105 => Call::Watch(WatchOp::Set(set_watches(code, &mut reader)?)),
        106 => Call::Watch(WatchOp::Add {
            path: path_of_read(&mut reader)?,
            mode: match reader.i32()? {
                0 => AddMode::Persistent,
                1 => AddMode::PersistentRecursive,
                _ => return None,
            },
        }),
        103 => Call::GetEphemerals { prefix: reader.string()? },
        104 => Call::CountAll { path: path_of_read(&mut reader)? },
        -11 => Call::CloseSession,
        _ if access == Access::Unknown => return None,
        6 => Call::GetAcl { path: path_of_read(&mut reader)? },
        7 => {
            let (path, acl) = (path_of_read(&mut reader)?, access_list(&mut reader)?);
            Call::SetAcl { path, acl, version: reader.i32()? }
        }
        100 => {
            reader.i32()?;
            let (scheme, proof) = (reader.string()?, reader.buffer()?.unwrap_or_default());
            Call::AddAuth { scheme, proof: String::from_utf8_lossy(&proof).into_owned() }
        }
        107 => Call::WhoAmI,
        _ => return None,
    };
    reader.is_empty().then_some(call)
}

/// Of what lies below /zookeeper, quotas alone: all else is the servers' own, and differs between them.
pub(crate) fn is_modelled(path: &str) -> bool {
    let below = |folder: &str, rest: &str| {
        rest.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !below("/zookeeper", path) || below("/zookeeper/quota", path)
}

const fn watch_kind(number: i32) -> Option<WatchKind> {
    Some(match number {
        1 => WatchKind::Children,
        2 => WatchKind::Data,
        3 => WatchKind::Any,
        4 => WatchKind::Persistent,
        5 => WatchKind::PersistentRecursive,
        _ => return None,
    })
}

/// A null list is one without paths; what is not modelled is left out of each.
fn set_watches(code: i32, reader: &mut Reader) -> Option<SetWatches> {
    let relative_zxid = reader.i64()?;
    let mut list = || {
        let paths = reader.strings()?.unwrap_or_default().into_iter();
        Some(paths.filter(|path| is_modelled(path)).map(str::to_owned).collect::<Vec<_>>())
    };
    let (data, exist, child) = (list()?, list()?, list()?);
    let lasting = match code {
        105 => Some(LastingWatches { persistent: list()?, recursive: list()? }),
        _ => None,
    };
    Some(SetWatches { relative_zxid, data, exist, child, lasting })
}

/// Clients write an id that is empty as a null, too.
fn access_list(reader: &mut Reader) -> Option<AccessList> {
    let entry = |entry: &mut Reader| {
        let (perms, scheme, id) = (entry.i32()?, entry.string()?, entry.buffer()?);
        let id = String::from_utf8(id.unwrap_or_default().into()).ok()?;
        Some((perms, scheme, id))
    };
    Some(reader.vector(entry)??.into())
}

/// What a quota counts is up to each server: of quotas one above another it depends on when that started.
fn path_of_read(reader: &mut Reader) -> Option<String> {
    reader.string().filter(|path| is_modelled(path) && !path.ends_with("/zookeeper_stats"))
}

fn create(code: i32, reader: &mut Reader, access: Access) -> Option<CreateCall> {
    let (path, data) = (reader.string()?, reader.buffer()?);
    let acl = access_list(reader)?;
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
    let judged = open || access == Access::Known;
    judged.then_some(CreateCall { path, data, life, sequential, acl, with_stat: code != 1 })
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

fn multi(reader: &mut Reader, access: Access) -> Option<Vec<SubCall>> {
    let mut subs = Vec::new();
    loop {
        let (code, done, _) = (reader.i32()?, reader.bool()?, reader.i32()?);
        if done {
            return Some(subs);
        }
        subs.push(match code {
            1 | 15 | 19 | 21 => SubCall::Create(create(code, reader, access)?),
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
        let paths = || vec!["/a".to_owned()];
        let lasting = LastingWatches { persistent: paths(), recursive: paths() };
        let set = |lasting| SetWatches { data: paths(), lasting, ..SetWatches::default() };
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
            Call::GetEphemerals { prefix: "/".into() },
            Call::CountAll { path: "/a".into() },
            Call::Watch(WatchOp::Add { path: "/a".into(), mode: AddMode::PersistentRecursive }),
            Call::Watch(WatchOp::Remove { path: "/a".into(), kind: WatchKind::Any }),
            Call::Watch(WatchOp::Check { path: "/a".into(), kind: WatchKind::Children }),
            Call::Watch(WatchOp::Set(set(None))),
            Call::Watch(WatchOp::Set(set(Some(lasting)))),
            Call::CloseSession,
        ];
        for call in calls {
            let frame = wire::request(7, &call).slice(4..);
            assert_eq!(request(frame, Access::Unknown), Some(Asked::Call { xid: 7, call }));
        }
    }

    #[test]
    fn what_is_about_access_is_read_where_it_is_known_who_asks() {
        let acl: AccessList = [(1, "ip".to_owned(), "10.0.0.0/8".to_owned())].into();
        let closed = CreateCall {
            path: "/a".into(),
            data: None,
            life: Life::Persistent,
            sequential: false,
            acl: AccessList::clone(&acl),
            with_stat: false,
        };
        for call in [
            Call::Create(closed),
            Call::SetAcl { path: "/a".into(), acl, version: 2 },
            Call::GetAcl { path: "/a".into() },
            Call::AddAuth { scheme: "digest".into(), proof: "u:p".into() },
            Call::WhoAmI,
        ] {
            let frame = wire::request(7, &call).slice(4..);
            let other = request(frame.clone(), Access::Unknown);
            assert!(matches!(other, Some(Asked::Other { xid: 7, .. })), "{call:?}: {other:?}");
            assert_eq!(request(frame, Access::Known), Some(Asked::Call { xid: 7, call }));
        }
    }

    /// As kazoo writes `auth:`.
    #[test]
    fn a_null_in_an_access_list_is_an_empty_id() {
        let mut set_acl = Writer::new();
        set_acl.i32(3).i32(7).string("/a").i32(1).i32(31).string("auth").buffer(None).i32(-1);
        let acl = [(31, "auth".to_owned(), String::new())].into();
        let call = Call::SetAcl { path: "/a".into(), acl, version: -1 };
        let read = request(set_acl.finish(), Access::Known);
        assert_eq!(read, Some(Asked::Call { xid: 3, call }));
    }

    #[test]
    fn of_what_servers_keep_quotas_alone_are_modelled() {
        for (path, expected) in [
            ("/", true),
            ("/zookeeperish", true),
            ("/zookeeper", false),
            ("/zookeeper/config", false),
            ("/zookeeper/quota/a/zookeeper_limits", true),
        ] {
            assert_eq!(is_modelled(path), expected, "{path}");
        }
    }

    #[test]
    fn what_the_model_does_not_know_keeps_its_name() {
        let mut set_acl = Writer::new();
        set_acl.i32(3).i32(7).string("/a");
        let other = |name, code, writes| Some(Asked::Other { xid: 3, code, name, writes });
        assert_eq!(request(set_acl.finish(), Access::Unknown), other("setACL", 7, true));
        let config = Call::GetData { path: "/zookeeper/config".into(), watch: false };
        assert_eq!(
            request(wire::request(3, &config).slice(4..), Access::Unknown),
            other("getData", 4, false)
        );
        let mut container = Writer::new();
        container.i32(3).i32(1).string("/a").buffer(None);
        container.i32(1).i32(31).string("world").string("anyone").i32(4);
        let name = "create with flags or an ACL of its own";
        assert_eq!(request(container.finish(), Access::Unknown), other(name, 1, true));
    }
}
