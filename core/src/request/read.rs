//! Requests that the local tree answers. Facts: PROTOCOL 1.4, 2.7. Apache: `FinalRequestProcessor`.

use crate::acl::{Acl, Id, PERM_READ};
use crate::request::access::{ADMIN, permits};
use crate::tree::Database;
use crate::watch::WatchMode;
use crate::wire::client::{ReadOp, ReplyBody};
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

/// Answers for a client that is known by `ids`.
pub fn read<'a>(db: &Database, op: &'a ReadOp, ids: &[Id]) -> ReadAnswer<'a> {
    match op {
        ReadOp::Exists { path, watch } => {
            let reply = exists(db, path, ids);
            // The only read that watches what is not there.
            let may_watch = matches!(reply, Ok(_) | Err(Code::NoNode));
            let watch = (*watch && may_watch).then_some((WatchMode::Data, path.as_str()));
            ReadAnswer::new(reply, watch)
        }
        ReadOp::GetData { path, watch } => {
            let reply = get_data(db, path, ids);
            let watch = (*watch && reply.is_ok()).then_some((WatchMode::Data, path.as_str()));
            ReadAnswer::new(reply, watch)
        }
        ReadOp::GetChildren { path, watch, with_stat } => {
            let reply = get_children(db, path, *with_stat, ids);
            let watch = (*watch && reply.is_ok()).then_some((WatchMode::Child, path.as_str()));
            ReadAnswer::new(reply, watch)
        }
        ReadOp::GetAcl { path } => ReadAnswer::new(get_acl(db, path, ids), None),
    }
}

/// Whether the client may read the node; a missing node hides nothing.
pub fn may_read(db: &Database, path: &str, ids: &[Id]) -> bool {
    db.acl_entries(path).is_none_or(|acl| permits(acl, PERM_READ, ids))
}

fn exists(db: &Database, path: &str, ids: &[Id]) -> Result<ReplyBody, Code> {
    if path.contains('\0') {
        return Err(Code::BadArguments);
    }
    let stat = db.stat(path).ok_or(Code::NoNode)?;
    check_read(db, path, ids)?;
    Ok(ReplyBody::Stat(stat))
}

fn get_data(db: &Database, path: &str, ids: &[Id]) -> Result<ReplyBody, Code> {
    let node = db.node(path).ok_or(Code::NoNode)?;
    let stat = db.stat(path).ok_or(Code::NoNode)?;
    check_read(db, path, ids)?;
    Ok(ReplyBody::Data { data: node.data_bytes(), stat })
}

fn get_children(db: &Database, path: &str, with_stat: bool, ids: &[Id]) -> Result<ReplyBody, Code> {
    let stat = db.stat(path).ok_or(Code::NoNode)?;
    check_read(db, path, ids)?;
    let children = db.children(path).ok_or(Code::NoNode)?;
    Ok(if with_stat {
        ReplyBody::ChildrenStat { children, stat }
    } else {
        ReplyBody::Children(children)
    })
}

/// READ or ADMIN will do; without ADMIN the secret half of digest identities is hidden.
fn get_acl(db: &Database, path: &str, ids: &[Id]) -> Result<ReplyBody, Code> {
    let stat = db.stat(path).ok_or(Code::NoNode)?;
    let acl = db.acl_entries(path).ok_or(Code::NoNode)?;
    if !permits(acl, PERM_READ | ADMIN, ids) {
        return Err(Code::NoAuth);
    }
    let hide = !permits(acl, ADMIN, ids);
    let acl =
        acl.iter().map(|entry| if hide { without_secret(entry) } else { entry.clone() }).collect();
    Ok(ReplyBody::Acl { acl, stat })
}

fn check_read(db: &Database, path: &str, ids: &[Id]) -> Result<(), Code> {
    if may_read(db, path, ids) { Ok(()) } else { Err(Code::NoAuth) }
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
