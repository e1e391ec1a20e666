//! Requests that the local tree answers. Facts: PROTOCOL 1.4, 2.7. Apache: `FinalRequestProcessor`.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::acl::{Acl, Id, PERM_ADMIN, PERM_READ};
use crate::config::AccessRules;
use crate::ids::SessionId;
use crate::request::auth::{permits, shown};
use crate::tree::{Database, Node};
use crate::watch::WatchMode;
use crate::wire::client::{MultiRead, Names, ReadOp, ReadPart, ReadResult, ReplyBody, Stat};
use crate::wire::code::Code;

/// The answer to a read, and the watch that it leaves behind.
#[derive(Debug)]
pub struct ReadAnswer<'a> {
    pub reply: Result<ReplyBody, Code>,
    pub watch: Option<(WatchMode, &'a str)>,
}

impl<'a> ReadAnswer<'a> {
    fn new(reply: Result<ReplyBody, Code>, watch: Option<(WatchMode, &'a str)>) -> Self {
        Self { reply, watch }
    }
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub session: SessionId,
    /// What it is known by.
    pub ids: &'a [Id],
    pub rules: &'a AccessRules,
}

/// Results of a multiRead take so many bytes at most: its parts may all name the same large node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiReadLimit(pub usize);

impl Asker<'_> {
    fn may(&self, acl: &[Acl], perms: i32) -> bool {
        permits(self.rules, acl, perms, self.ids)
    }
}

pub fn read<'a>(
    db: &Database,
    op: &'a ReadOp,
    asker: Asker<'_>,
    limit: MultiReadLimit,
) -> ReadAnswer<'a> {
    match op {
        ReadOp::Exists { path, watch } => {
            let reply = exists(db, path, asker);
            // The only read that watches what is not there.
            let may_watch = matches!(reply, Ok(_) | Err(Code::NoNode));
            let watch = (*watch && may_watch).then_some((WatchMode::Data, path.as_str()));
            ReadAnswer::new(reply, watch)
        }
        ReadOp::GetData { path, watch } => {
            let reply =
                get_data(db, path, asker).map(|(data, stat)| ReplyBody::Data { data, stat });
            let watch = (*watch && reply.is_ok()).then_some((WatchMode::Data, path.as_str()));
            ReadAnswer::new(reply, watch)
        }
        ReadOp::GetChildren { path, watch, with_stat } => {
            let reply = get_children(db, path, asker).map(|(children, stat)| match with_stat {
                true => ReplyBody::ChildrenStat { children, stat },
                false => ReplyBody::Children(children),
            });
            let watch = (*watch && reply.is_ok()).then_some((WatchMode::Child, path.as_str()));
            ReadAnswer::new(reply, watch)
        }
        ReadOp::GetAcl { path } => ReadAnswer::new(get_acl(db, path, asker), None),
        ReadOp::Multi(MultiRead::Reads(parts)) => {
            ReadAnswer::new(read_parts(db, parts, asker, limit), None)
        }
        ReadOp::Multi(MultiRead::OfWrites) => ReadAnswer::new(Err(Code::MarshallingError), None),
        ReadOp::GetEphemerals { prefix } => {
            let own = get_ephemerals(db, asker.session, prefix.as_deref());
            ReadAnswer::new(Ok(ReplyBody::Children(own)), None)
        }
        ReadOp::GetAllChildrenNumber { path } => {
            ReadAnswer::new(count_all_children(db, path, asker), None)
        }
        ReadOp::WhoAmI => {
            let ids = shown(asker.rules, asker.ids);
            ReadAnswer::new(Ok(ReplyBody::Clients(ids)), None)
        }
    }
}

/// Whether the client may read the node; a missing node hides nothing.
pub fn may_read(db: &Database, path: &str, asker: Asker<'_>) -> bool {
    db.acl_entries(path).is_none_or(|acl| asker.may(acl, PERM_READ))
}

/// The node, if the client may read it.
fn readable<'d>(db: &'d Database, path: &str, asker: Asker<'_>) -> Result<&'d Node, Code> {
    let node = db.node(path).ok_or(Code::NoNode)?;
    if asker.may(db.acl_list(node), PERM_READ) { Ok(node) } else { Err(Code::NoAuth) }
}

fn exists(db: &Database, path: &str, asker: Asker<'_>) -> Result<ReplyBody, Code> {
    if path.contains('\0') {
        return Err(Code::BadArguments);
    }
    readable(db, path, asker).map(|node| ReplyBody::Stat(node.client_stat()))
}

fn get_data(db: &Database, path: &str, asker: Asker<'_>) -> Result<(Option<Bytes>, Stat), Code> {
    readable(db, path, asker).map(|node| (node.data_bytes(), node.client_stat()))
}

fn get_children(db: &Database, path: &str, asker: Asker<'_>) -> Result<(Names, Stat), Code> {
    let stat = readable(db, path, asker)?.client_stat();
    Ok((db.children(path).ok_or(Code::NoNode)?, stat))
}

/// Stops where the results outgrow the limit: a request of a megabyte can ask for 64 gigabytes.
fn read_parts(
    db: &Database,
    parts: &[ReadPart],
    asker: Asker<'_>,
    MultiReadLimit(mut left): MultiReadLimit,
) -> Result<ReplyBody, Code> {
    let mut results = Vec::new();
    for part in parts {
        let result = read_part(db, part, asker);
        left = left.checked_sub(result.wire_len()).ok_or(Code::MarshallingError)?;
        results.push(result);
    }
    Ok(ReplyBody::MultiRead(results))
}

/// Each on its own: one that fails keeps no other from its answer.
fn read_part(db: &Database, part: &ReadPart, asker: Asker<'_>) -> ReadResult {
    let result = match part {
        ReadPart::GetData { path } => {
            get_data(db, path, asker).map(|(data, stat)| ReadResult::Data { data, stat })
        }
        ReadPart::GetChildren { path } => {
            get_children(db, path, asker).map(|(children, _)| ReadResult::Children(children))
        }
    };
    result.unwrap_or_else(ReadResult::Error)
}

/// READ or ADMIN will do; without ADMIN the secret half of digest identities is hidden.
fn get_acl(db: &Database, path: &str, asker: Asker<'_>) -> Result<ReplyBody, Code> {
    let node = db.node(path).ok_or(Code::NoNode)?;
    let (acl, stat) = (db.acl_list(node), node.client_stat());
    if !asker.may(acl, PERM_READ | PERM_ADMIN) {
        return Err(Code::NoAuth);
    }
    let hide = !asker.may(acl, PERM_ADMIN);
    let acl =
        acl.iter().map(|entry| if hide { without_secret(entry) } else { entry.clone() }).collect();
    Ok(ReplyBody::Acl { acl, stat })
}

/// What the session itself made: no access list is asked.
fn get_ephemerals(db: &Database, session: SessionId, prefix: Option<&str>) -> Names {
    // Java trims whatever is not above a blank.
    let meant = prefix.map_or("", |prefix| prefix.trim_matches(|letter| letter <= ' '));
    let prefix = if matches!(meant, "" | "/") { "" } else { prefix.unwrap_or_default() };
    db.ephemerals(session).into_iter().filter(|path| path.starts_with(prefix)).collect()
}

fn count_all_children(db: &Database, path: &str, asker: Asker<'_>) -> Result<ReplyBody, Code> {
    readable(db, path, asker)?;
    let count = db.descendants(path).ok_or(Code::NoNode)?;
    Ok(ReplyBody::Count(i32::try_from(count).unwrap_or(i32::MAX)))
}

fn without_secret(entry: &Acl) -> Acl {
    let mut shown = entry.clone();
    if shown.id.scheme == "digest"
        && let Some(colon) = shown.id.id.find(':')
    {
        shown.id.id.truncate(colon + 1);
        shown.id.id.push('x');
    }
    shown
}
