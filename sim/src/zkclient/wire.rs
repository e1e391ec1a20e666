//! Client protocol as a client writes and reads it. Facts: PROTOCOL 1.2 to 1.4, 2.6.

use bytes::Bytes;
use vivarium_core::wire::client::{
    AddMode, EventKind, Names, SetWatches, Stat, WatchKind, WatchOp,
};

use crate::codec::{Reader, Writer};
use crate::history::{
    AclEntry, Call, CreateCall, Life, ReadCall, ReadReply, Reply, SubCall, SubReply,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub timeout_ms: i32,
    /// 0: the session is over, or was refused.
    pub session: i64,
    pub password: Bytes,
    /// The server has no quorum.
    pub read_only: bool,
}

pub(crate) fn connect(
    last_zxid: i64,
    timeout_ms: i32,
    session: i64,
    password: &[u8],
    read_only: bool,
) -> Bytes {
    let mut out = Writer::new();
    out.i32(0).i64(last_zxid).i32(timeout_ms).i64(session).buffer(Some(password)).bool(read_only);
    out.frame()
}

pub(crate) fn connected(frame: Bytes) -> Option<Granted> {
    let mut reader = Reader::new(frame);
    let _version = reader.i32()?;
    let timeout_ms = reader.i32()?;
    let session = reader.i64()?;
    let password = reader.buffer()??;
    // The byte was sent, so it comes back (trap T5).
    let read_only = reader.bool()?;
    reader.is_empty().then_some(Granted { timeout_ms, session, password, read_only })
}

pub(crate) fn ping() -> Bytes {
    let mut out = Writer::new();
    out.i32(-2).i32(11);
    out.frame()
}

pub(crate) fn request(xid: i32, call: &Call) -> Bytes {
    let mut out = Writer::new();
    out.i32(xid);
    match call {
        Call::Create(create) => {
            out.i32(create.code());
            create_body(create, &mut out);
        }
        Call::Delete { path, version } => {
            out.i32(2).string(path).i32(*version);
        }
        Call::SetData { path, data, version } => {
            out.i32(5).string(path).buffer(data.as_deref()).i32(*version);
        }
        Call::Multi(subs) => {
            out.i32(14);
            for sub in subs {
                sub_body(sub, &mut out);
            }
            out.i32(-1).bool(true).i32(-1);
        }
        Call::Exists { path, watch } => {
            out.i32(3).string(path).bool(*watch);
        }
        Call::GetData { path, watch } => {
            out.i32(4).string(path).bool(*watch);
        }
        Call::GetChildren { path, watch, with_stat } => {
            out.i32(if *with_stat { 12 } else { 8 }).string(path).bool(*watch);
        }
        Call::MultiRead(reads) => {
            out.i32(22);
            for read in reads {
                let (kind, path) = match read {
                    ReadCall::Data { path } => (4, path),
                    ReadCall::Children { path } => (8, path),
                };
                out.i32(kind).bool(false).i32(-1).string(path).bool(false);
            }
            out.i32(-1).bool(true).i32(-1);
        }
        Call::GetEphemerals { prefix } => {
            out.i32(103).string(prefix);
        }
        Call::CountAll { path } => {
            out.i32(104).string(path);
        }
        Call::Sync { path } => {
            out.i32(9).string(path);
        }
        Call::AddAuth { scheme, proof } => {
            out.i32(100).i32(0).string(scheme).string(proof);
        }
        Call::GetAcl { path } => {
            out.i32(6).string(path);
        }
        Call::SetAcl { path, acl, version } => {
            out.i32(7).string(path);
            access_list(acl, &mut out);
            out.i32(*version);
        }
        Call::WhoAmI => {
            out.i32(107);
        }
        Call::Reconfig { version } => {
            out.i32(16).string("").string("9").buffer(None).i64(*version);
        }
        Call::Watch(watch) => watch_body(watch, &mut out),
        Call::CloseSession => {
            out.i32(-11);
        }
        Call::UnknownOp { code } => {
            out.i32(*code);
        }
        // A path that claims to be longer than the frame.
        Call::Malformed { code } => {
            out.i32(*code).i32(1000).raw(b"/x");
        }
    }
    out.frame()
}

fn watch_body(op: &WatchOp, out: &mut Writer) {
    match op {
        WatchOp::Add { path, mode } => {
            out.i32(106).string(path).i32(i32::from(*mode == AddMode::PersistentRecursive));
        }
        WatchOp::Check { path, kind } => {
            out.i32(17).string(path).i32(watcher_type(*kind));
        }
        WatchOp::Remove { path, kind } => {
            out.i32(18).string(path).i32(watcher_type(*kind));
        }
        WatchOp::Set(SetWatches { relative_zxid, data, exist, child, lasting }) => {
            out.i32(if lasting.is_some() { 105 } else { 101 }).i64(*relative_zxid);
            let lasting = lasting.iter().flat_map(|all| [&all.persistent, &all.recursive]);
            for paths in [data, exist, child].into_iter().chain(lasting) {
                out.i32(i32::try_from(paths.len()).expect("a client has few watches"));
                for path in paths {
                    out.string(path);
                }
            }
        }
    }
}

const fn watcher_type(kind: WatchKind) -> i32 {
    match kind {
        WatchKind::Children => 1,
        WatchKind::Data => 2,
        WatchKind::Any => 3,
        WatchKind::Persistent => 4,
        WatchKind::PersistentRecursive => 5,
    }
}

fn create_body(create: &CreateCall, out: &mut Writer) {
    out.string(&create.path).buffer(create.data.as_deref());
    access_list(&create.acl, out);
    out.i32(create.flags());
    if let Life::Ttl { ms } = create.life {
        out.i64(ms);
    }
}

fn access_list(acl: &[AclEntry], out: &mut Writer) {
    out.i32(i32::try_from(acl.len()).expect("a client lists few"));
    for (perms, scheme, id) in acl {
        out.i32(*perms).string(scheme).string(id);
    }
}

fn sub_body(sub: &SubCall, out: &mut Writer) {
    let mut head = |kind: i32| {
        out.i32(kind).bool(false).i32(-1);
    };
    match sub {
        SubCall::Create(create) => {
            head(create.code());
            create_body(create, out);
        }
        SubCall::Delete { path, version } => {
            head(2);
            out.string(path).i32(*version);
        }
        SubCall::SetData { path, data, version } => {
            head(5);
            out.string(path).buffer(data.as_deref()).i32(*version);
        }
        SubCall::Check { path, version } => {
            head(13);
            out.string(path).i32(*version);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyHeader {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
}

pub(crate) fn header(reader: &mut Reader) -> Option<ReplyHeader> {
    Some(ReplyHeader { xid: reader.i32()?, zxid: reader.i64()?, err: reader.i32()? })
}

/// Body of a notification; servers send state 3 only.
pub(crate) fn event(mut reader: Reader) -> Option<(EventKind, String)> {
    let kind = match reader.i32()? {
        1 => EventKind::NodeCreated,
        2 => EventKind::NodeDeleted,
        3 => EventKind::NodeDataChanged,
        4 => EventKind::NodeChildrenChanged,
        _ => return None,
    };
    let state = reader.i32()?;
    let path = reader.string()?;
    (state == 3 && reader.is_empty()).then_some((kind, path))
}

/// Body of a reply without error.
pub(crate) fn reply(call: &Call, mut reader: Reader) -> Option<Reply> {
    let body = match call {
        Call::Create(create) if create.shows_stat() => {
            Reply::PathStat(reader.string()?, stat(&mut reader)?)
        }
        Call::Create(_) | Call::Sync { .. } => Reply::Path(reader.string()?),
        // It says a second time that all is well.
        Call::Watch(WatchOp::Add { .. }) => {
            (reader.i32()? == 0).then_some(())?;
            Reply::Empty
        }
        Call::Watch(WatchOp::Set(_) | WatchOp::Check { .. } | WatchOp::Remove { .. })
        | Call::Delete { .. }
        | Call::AddAuth { .. }
        | Call::CloseSession => Reply::Empty,
        Call::SetData { .. } | Call::SetAcl { .. } | Call::Exists { .. } => {
            Reply::Stat(stat(&mut reader)?)
        }
        Call::GetData { .. } => Reply::Data(reader.buffer()?, stat(&mut reader)?),
        Call::GetChildren { with_stat, .. } => {
            let children = names(&mut reader)?;
            match with_stat {
                true => Reply::ChildrenStat(children, stat(&mut reader)?),
                false => Reply::Children(children),
            }
        }
        Call::Multi(_) => Reply::Multi(results(&mut reader, sub_reply)?),
        Call::MultiRead(_) => Reply::MultiRead(results(&mut reader, read_reply)?),
        Call::GetEphemerals { .. } => Reply::Children(names(&mut reader)?),
        Call::CountAll { .. } => Reply::Count(reader.i32()?),
        Call::GetAcl { .. } => Reply::Acl(reader.vector(acl_entry)??, stat(&mut reader)?),
        Call::WhoAmI => {
            let mut ids = reader.vector(|reader| Some((reader.string()?, reader.string()?)))??;
            // Nobody promises an order.
            ids.sort_unstable();
            Reply::Clients(ids)
        }
        // These never succeed.
        Call::Reconfig { .. } | Call::UnknownOp { .. } | Call::Malformed { .. } => return None,
    };
    reader.is_empty().then_some(body)
}

/// In byte order, which nobody promises.
fn names(reader: &mut Reader) -> Option<Names> {
    let mut names = reader.strings()??;
    names.sort_unstable();
    Some(names.into_iter().collect())
}

fn acl_entry(reader: &mut Reader) -> Option<AclEntry> {
    Some((reader.i32()?, reader.string()?, reader.string()?))
}

/// Each behind its kind; what failed says so twice.
fn results<R>(
    reader: &mut Reader,
    read: impl Fn(i32, i32, &mut Reader) -> Option<R>,
) -> Option<Vec<R>> {
    let mut replies = Vec::new();
    loop {
        let (kind, done, err) = (reader.i32()?, reader.bool()?, reader.i32()?);
        if done {
            return (kind == -1 && err == -1).then_some(replies);
        }
        replies.push(read(kind, err, reader)?);
    }
}

fn sub_reply(kind: i32, err: i32, reader: &mut Reader) -> Option<SubReply> {
    Some(match kind {
        1 => SubReply::Path(reader.string()?),
        15 => SubReply::PathStat(reader.string()?, stat(reader)?),
        5 => SubReply::Stat(stat(reader)?),
        2 | 13 => SubReply::Empty,
        -1 => SubReply::Error(reader.i32().filter(|code| *code == err)?),
        _ => return None,
    })
}

fn read_reply(kind: i32, err: i32, reader: &mut Reader) -> Option<ReadReply> {
    Some(match kind {
        4 => ReadReply::Data(reader.buffer()?, stat(reader)?),
        8 => ReadReply::Children(names(reader)?),
        -1 => ReadReply::Error(reader.i32().filter(|code| *code == err)?),
        _ => return None,
    })
}

fn stat(reader: &mut Reader) -> Option<Stat> {
    Some(Stat {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::access;
    use vivarium_core::wire::client::LastingWatches;

    #[test]
    fn a_create_is_written_as_the_java_client_writes_it() {
        let create = CreateCall {
            path: "/a".into(),
            data: Some(Bytes::from_static(b"x")),
            life: Life::Persistent,
            sequential: false,
            acl: access::open(),
            with_stat: false,
        };
        let golden = "00000032000000010000000100000002\
                      2f610000000178000000010000001f00000005776f726c6400000006616e796f6e6500000000";
        assert_eq!(hex(&request(1, &Call::Create(create))), golden);
    }

    #[test]
    fn a_connect_request_is_written_as_the_java_client_writes_it() {
        let golden = "0000002d0000000000000000000000000000138800000000000000000000001000000000\
                      00000000000000000000000000";
        assert_eq!(hex(&connect(0, 5000, 0, &[0; 16], false)), golden);
    }

    #[test]
    fn requests_about_watches_are_written_as_the_java_client_writes_them() {
        let path = || "/a".to_owned();
        let add = WatchOp::Add { path: path(), mode: AddMode::PersistentRecursive };
        let golden = "00000012000000160000006a000000022f6100000001";
        assert_eq!(hex(&request(22, &Call::Watch(add))), golden);
        let remove = WatchOp::Remove { path: path(), kind: WatchKind::Any };
        let golden = "000000120000001900000012000000022f6100000003";
        assert_eq!(hex(&request(25, &Call::Watch(remove))), golden);
        let lasting = Some(LastingWatches::default());
        let set = SetWatches { data: vec![path()], lasting, ..SetWatches::default() };
        let golden = "0000002afffffff800000069000000000000000000000001000000022f61\
                      00000000000000000000000000000000";
        assert_eq!(hex(&request(-8, &Call::Watch(WatchOp::Set(set)))), golden);
    }

    #[test]
    fn a_failed_multi_is_read() {
        let mut out = Writer::new();
        for code in [0, -101, -2] {
            out.i32(-1).bool(false).i32(code).i32(code);
        }
        out.i32(-1).bool(true).i32(-1);
        let reply = reply(&Call::Multi(vec![]), Reader::new(out.finish())).unwrap();
        assert_eq!(reply, Reply::Multi([0, -101, -2].map(SubReply::Error).to_vec()));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
