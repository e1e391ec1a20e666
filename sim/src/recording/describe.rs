//! Requests and transactions in a few words, for people.

use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn};
use vivarium_core::wire::client::{
    Create, CreateForm, CreateMode, MultiRead, Op, Parsed, ReadOp, SetWatches, WatchOp, WriteOp,
    parse_body,
};

use crate::history::{Call, CreateCall, Life, Reply, SubCall, SubReply};

/// A request as a client sends it: the name of its kind, and the whole.
pub(super) fn request(op: i32, body: bytes::Bytes) -> (&'static str, String) {
    match parse_body(op, body) {
        Parsed::Op(op) => (name_of(&op), operation(&op)),
        Parsed::Malformed => ("malformed", format!("malformed request, opcode {op}")),
        Parsed::Unknown => match op {
            vivarium_core::wire::client::OP_CREATE_SESSION => {
                ("createSession", String::from("createSession"))
            }
            _ => ("unknown", format!("unknown request, opcode {op}")),
        },
    }
}

fn name_of(op: &Op) -> &'static str {
    match op {
        Op::Write(write) => name_of_write(write),
        Op::Read(ReadOp::Exists { .. }) => "exists",
        Op::Read(ReadOp::GetData { .. }) => "getData",
        Op::Read(ReadOp::GetAcl { .. }) => "getACL",
        Op::Read(ReadOp::GetChildren { .. }) => "getChildren",
        Op::Read(ReadOp::Multi(_)) => "multiRead",
        Op::Read(ReadOp::GetEphemerals { .. }) => "getEphemerals",
        Op::Read(ReadOp::GetAllChildrenNumber { .. }) => "getAllChildrenNumber",
        Op::Read(ReadOp::WhoAmI) => "whoAmI",
        Op::Watch(WatchOp::Set(_)) => "setWatches",
        Op::Watch(WatchOp::Add { .. }) => "addWatch",
        Op::Watch(WatchOp::Check { .. }) => "checkWatches",
        Op::Watch(WatchOp::Remove { .. }) => "removeWatches",
        Op::SetAcl { .. } => "setACL",
        Op::Multi(_) => "multi",
        Op::Sync { .. } => "sync",
        Op::Auth { .. } => "auth",
        Op::Sasl { .. } => "sasl",
        Op::Reconfig(_) => "reconfig",
        Op::Ping => "ping",
        Op::CloseSession => "closeSession",
    }
}

fn name_of_write(write: &WriteOp) -> &'static str {
    match write {
        WriteOp::Create(_) => "create",
        WriteOp::Delete { .. } => "delete",
        WriteOp::SetData { .. } => "setData",
        WriteOp::Check { .. } => "check",
    }
}

fn operation(op: &Op) -> String {
    let name = name_of(op);
    match op {
        Op::Write(write) => write_operation(write),
        Op::Read(ReadOp::Exists { path, watch } | ReadOp::GetData { path, watch }) => {
            format!("{name} {path}{}", watched(*watch))
        }
        Op::Read(ReadOp::GetChildren { path, watch, .. }) => {
            format!("{name} {path}{}", watched(*watch))
        }
        Op::Read(ReadOp::GetAcl { path } | ReadOp::GetAllChildrenNumber { path })
        | Op::SetAcl { path, .. }
        | Op::Sync { path } => format!("{name} {path}"),
        Op::Read(ReadOp::Multi(MultiRead::Reads(parts))) => format!("{name} of {}", parts.len()),
        Op::Read(ReadOp::Multi(MultiRead::OfWrites)) => format!("{name} of writes"),
        Op::Read(ReadOp::GetEphemerals { prefix }) => {
            format!("{name} {}", prefix.as_deref().unwrap_or_default())
        }
        Op::Watch(WatchOp::Set(watches)) => {
            let SetWatches { relative_zxid, data, exist, child, lasting } = watches;
            let lasting =
                lasting.as_ref().map_or(0, |all| all.persistent.len() + all.recursive.len());
            let count = data.len() + exist.len() + child.len() + lasting;
            format!("{name}, {count} watches since {relative_zxid:#x}")
        }
        Op::Watch(WatchOp::Add { path, mode }) => format!("{name} {path} {mode:?}"),
        Op::Watch(WatchOp::Check { path, kind } | WatchOp::Remove { path, kind }) => {
            format!("{name} {path} {kind:?}")
        }
        Op::Multi(writes) => {
            let all: Vec<_> = writes.iter().map(write_operation).collect();
            format!("multi [{}]", all.join("; "))
        }
        Op::Auth { scheme, .. } => format!("auth {scheme}"),
        Op::Read(ReadOp::WhoAmI)
        | Op::Sasl { .. }
        | Op::Reconfig(_)
        | Op::Ping
        | Op::CloseSession => name.into(),
    }
}

fn write_operation(write: &WriteOp) -> String {
    let name = name_of_write(write);
    match write {
        WriteOp::Create(Create { path, flags, form, .. }) => {
            let mode = CreateMode::from_flags(*flags);
            let sequential = mode.is_some_and(CreateMode::is_sequential);
            create(path, life_of(mode, *form), sequential)
        }
        WriteOp::Delete { path, version }
        | WriteOp::SetData { path, version, .. }
        | WriteOp::Check { path, version } => format!("{name} {path}{}", conditional(*version)),
    }
}

const fn life_of(mode: Option<CreateMode>, form: CreateForm) -> Life {
    match (mode, form) {
        (Some(CreateMode::Ephemeral | CreateMode::EphemeralSequential), _) => Life::Ephemeral,
        (Some(CreateMode::Container), _) => Life::Container,
        (_, CreateForm::Ttl { ms }) => Life::Ttl { ms },
        (_, CreateForm::Plain | CreateForm::WithStat | CreateForm::Container) => Life::Persistent,
    }
}

fn create(path: &str, life: Life, sequential: bool) -> String {
    let sequential = if sequential { " sequential" } else { "" };
    format!("create {path}{}{sequential}", life.words())
}

fn watched(watch: bool) -> &'static str {
    if watch { ", watch" } else { "" }
}

fn conditional(version: i32) -> String {
    if version == -1 { String::new() } else { format!(" if version {version}") }
}

/// What a log record does, as far as its bytes can be read.
pub(super) fn payload(payload: bytes::Bytes) -> String {
    match LoggedTxn::decode(payload) {
        Ok(logged) => transaction(&logged.txn),
        Err(error) => format!("unreadable ({error})"),
    }
}

fn transaction(txn: &Txn) -> String {
    match txn {
        Txn::CreateSession { timeout_ms } => format!("createSession, {timeout_ms} ms"),
        Txn::CloseSession { .. } => String::from("closeSession"),
        Txn::Create(CreateTxn { path, ephemeral, .. })
        | Txn::Create2(CreateTxn { path, ephemeral, .. }) => {
            let life = if *ephemeral { Life::Ephemeral } else { Life::Persistent };
            create(path, life, false)
        }
        Txn::CreateTtl { path, ttl, .. } => create(path, Life::Ttl { ms: *ttl }, false),
        Txn::CreateContainer { path, .. } => create(path, Life::Container, false),
        Txn::Delete { path } => format!("delete {path}"),
        Txn::DeleteContainer { path } => format!("delete {path}, which has outlived its purpose"),
        Txn::SetData { path, version, .. } => format!("setData {path} to version {version}"),
        Txn::Reconfig { version, .. } => format!("reconfig to version {version}"),
        Txn::SetAcl { path, .. } => format!("setACL {path}"),
        Txn::Check { path, version } => format!("check {path}{}", conditional(*version)),
        Txn::Multi(all) => {
            let all: Vec<_> = all.iter().map(transaction).collect();
            format!("multi [{}]", all.join("; "))
        }
        Txn::Error { code } => format!("refused: {}", super::tell::error_name(*code)),
    }
}

/// A client operation as the workload asked for it.
pub(crate) fn call(call: &Call) -> String {
    match call {
        Call::Create(CreateCall { path, life, sequential, .. }) => create(path, *life, *sequential),
        Call::Delete { path, version } => format!("delete {path}{}", conditional(*version)),
        Call::SetData { path, version, .. } => format!("setData {path}{}", conditional(*version)),
        Call::Multi(subs) => {
            let all: Vec<_> = subs.iter().map(sub_call).collect();
            format!("multi [{}]", all.join("; "))
        }
        Call::Exists { path, watch } => format!("exists {path}{}", watched(*watch)),
        Call::GetData { path, watch } => format!("getData {path}{}", watched(*watch)),
        Call::GetChildren { path, watch, .. } => format!("getChildren {path}{}", watched(*watch)),
        Call::MultiRead(reads) => format!("multiRead of {}", reads.len()),
        Call::GetEphemerals { prefix } => format!("getEphemerals {prefix}"),
        Call::CountAll { path } => format!("getAllChildrenNumber {path}"),
        Call::Sync { path } => format!("sync {path}"),
        Call::AddAuth { scheme, .. } => format!("auth {scheme}"),
        Call::GetAcl { path } => format!("getACL {path}"),
        Call::SetAcl { path, version, .. } => format!("setACL {path}{}", conditional(*version)),
        Call::WhoAmI => String::from("whoAmI"),
        Call::Reconfig { .. } => String::from("reconfig"),
        Call::Watch(watch) => operation(&Op::Watch(watch.clone())),
        Call::CloseSession => String::from("closeSession"),
        Call::UnknownOp { code } => format!("unknown opcode {code}"),
        Call::Malformed { code } => format!("malformed body, opcode {code}"),
    }
}

fn sub_call(call: &SubCall) -> String {
    match call {
        SubCall::Create(CreateCall { path, life, sequential, .. }) => {
            create(path, *life, *sequential)
        }
        SubCall::Delete { path, version } => format!("delete {path}{}", conditional(*version)),
        SubCall::SetData { path, version, .. } => {
            format!("setData {path}{}", conditional(*version))
        }
        SubCall::Check { path, version } => format!("check {path}{}", conditional(*version)),
    }
}

/// What an answer says.
pub(super) fn reply(reply: &Reply) -> String {
    let data = |data: &Option<bytes::Bytes>| {
        data.as_ref()
            .map_or_else(|| String::from("no data"), |data| format!("{} bytes", data.len()))
    };
    match reply {
        Reply::Empty => String::from("ok"),
        Reply::Path(path) | Reply::PathStat(path, _) => path.clone(),
        Reply::Stat(stat) => format!("version {}", stat.version),
        Reply::Data(bytes, stat) => format!("{}, version {}", data(bytes), stat.version),
        Reply::Children(names) | Reply::ChildrenStat(names, _) => {
            format!("{} children", names.len())
        }
        Reply::MultiRead(parts) => format!("{} answers", parts.len()),
        Reply::Acl(acl, _) => format!("{} entries", acl.len()),
        Reply::Clients(ids) => format!("{} identities", ids.len()),
        Reply::Count(count) => format!("{count} nodes"),
        Reply::Multi(parts) => {
            let failed = parts.iter().find_map(|part| match part {
                SubReply::Error(code) if *code != 0 => Some(*code),
                SubReply::Error(_)
                | SubReply::Path(_)
                | SubReply::PathStat(..)
                | SubReply::Stat(_)
                | SubReply::Empty => None,
            });
            failed.map_or_else(
                || format!("{} parts done", parts.len()),
                |code| format!("failed as a whole: {}", super::tell::error_name(code)),
            )
        }
    }
}
