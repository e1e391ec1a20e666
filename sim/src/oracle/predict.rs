//! What a client operation has to do: checks and effects of PROTOCOL 1.6 and 2.6, from the
//! oracle's own tree.

use bytes::Bytes;

use crate::history::{AccessList, Call, CreateCall, Life, Reply, SubCall, SubReply};
use crate::oracle::access::{self, Identity, Members, NO_AUTH, Rules};
use crate::oracle::quota::Quotas;
use crate::oracle::tree::{Node, Standing, Tree, parent_of};
use crate::oracle::txn::{CreateTxn, Header, Txn};

pub const NO_NODE: i32 = -101;
pub const BAD_VERSION: i32 = -103;
pub const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
pub const NODE_EXISTS: i32 = -110;
pub const NOT_EMPTY: i32 = -111;
pub const SESSION_EXPIRED: i32 = -112;
pub const BAD_ARGUMENTS: i32 = -8;
pub const RUNTIME_INCONSISTENCY: i32 = -2;
pub const UNIMPLEMENTED: i32 = -6;
pub const RECONFIG_DISABLED: i32 = -123;

/// Nodes that nobody deletes.
const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// What a request is judged by, beside the tree.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Of who asks.
    pub ids: &'a [Identity],
    pub rules: &'a Rules,
    /// `None`: nobody asks for limits.
    pub quotas: Option<Quotas<'a>>,
}

impl Terms<'_> {
    fn check_quota(&self, path: &str, count: i64, bytes: i64) -> Result<(), i32> {
        self.quotas.map_or(Ok(()), |quotas| quotas.check(path, count, bytes))
    }

    fn permit(&self, node: &Node, perms: i32) -> Result<(), i32> {
        let may = access::permits(self.rules, node.record.acl.as_deref(), perms, self.ids);
        if may { Ok(()) } else { Err(NO_AUTH) }
    }
}

/// The only transaction and reply that an operation may lead to at its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub txn: Txn,
    /// Error code of the reply header, or the body.
    pub reply: Result<Reply, i32>,
}

/// `None` for calls that take no zxid. The tree is as before when this returns.
pub fn predict(tree: &mut Tree, header: Header, call: &Call, terms: Terms<'_>) -> Option<Expected> {
    let standing = tree.standing(header.session);
    predict_for(standing, tree, header, call, terms)
}

/// The same where it is known better who knows the session.
pub fn predict_for(
    standing: Standing,
    tree: &mut Tree,
    header: Header,
    call: &Call,
    terms: Terms<'_>,
) -> Option<Expected> {
    if !call.is_write() {
        return None;
    }
    if matches!(call, Call::Reconfig { .. }) && terms.rules.members == Members::Fixed {
        return Some(failed(RECONFIG_DISABLED));
    }
    if standing == Standing::Gone {
        // The session is looked at for every op of a multi, so an empty one gets through.
        let Call::Multi(subs) = call else { return Some(failed(SESSION_EXPIRED)) };
        return Some(expired_multi(subs.len()));
    }
    let expected = match call {
        Call::Create(create) => single(tree, header, &SubCall::Create(create.clone()), terms),
        Call::Delete { path, version } => {
            let delete = SubCall::Delete { path: path.clone(), version: *version };
            single(tree, header, &delete, terms)
        }
        Call::SetData { path, data, version } => {
            let set =
                SubCall::SetData { path: path.clone(), data: data.clone(), version: *version };
            single(tree, header, &set, terms)
        }
        Call::SetAcl { path, acl, version } => {
            set_acl(tree, header, (path, acl, *version), terms).unwrap_or_else(failed)
        }
        Call::Reconfig { version } => failed(match terms.rules.members {
            Members::Of { version: now } if *version != -1 && *version != now => BAD_VERSION,
            Members::Fixed | Members::Alone | Members::Of { .. } => UNIMPLEMENTED,
        }),
        Call::Multi(subs) => multi(tree, header, subs, terms),
        Call::CloseSession => Expected {
            txn: Txn::CloseSession {
                paths: Some(tree.ephemerals(header.session).into_iter().collect()),
            },
            reply: Ok(Reply::Empty),
        },
        Call::Exists { .. }
        | Call::GetData { .. }
        | Call::GetChildren { .. }
        | Call::MultiRead(_)
        | Call::GetEphemerals { .. }
        | Call::CountAll { .. }
        | Call::GetAcl { .. }
        | Call::WhoAmI
        | Call::AddAuth { .. }
        | Call::Sync { .. }
        | Call::Watch(_)
        | Call::UnknownOp { .. }
        | Call::Malformed { .. } => return None,
    };
    tree.undo();
    Some(expected)
}

fn failed(code: i32) -> Expected {
    Expected { txn: Txn::Error { code }, reply: Err(code) }
}

fn single(tree: &mut Tree, header: Header, call: &SubCall, terms: Terms<'_>) -> Expected {
    match step(tree, header, call, terms) {
        Err(code) => failed(code),
        Ok((txn, reply)) => Expected {
            txn,
            reply: Ok(match reply {
                SubReply::Path(path) => Reply::Path(path),
                SubReply::PathStat(path, stat) => Reply::PathStat(path, stat),
                SubReply::Stat(stat) => Reply::Stat(stat),
                SubReply::Empty | SubReply::Error(_) => Reply::Empty,
            }),
        },
    }
}

fn set_acl(
    tree: &mut Tree,
    header: Header,
    (path, asked, version): (&str, &AccessList, i32),
    terms: Terms<'_>,
) -> Result<Expected, i32> {
    let acl = Some(access::kept(asked, terms.ids)?);
    let node = tree.node(path).ok_or(NO_NODE)?;
    terms.permit(node, access::ADMIN)?;
    let version = next(node.record.aversion, version)?;
    let txn = Txn::SetAcl { path: path.into(), acl, version };
    tree.apply(header, &txn, &mut Vec::new());
    let stat = tree.node(path).ok_or(NO_NODE)?.stat();
    Ok(Expected { txn, reply: Ok(Reply::Stat(stat)) })
}

fn expired_multi(ops: usize) -> Expected {
    let code_at = |place| if place == 0 { SESSION_EXPIRED } else { RUNTIME_INCONSISTENCY };
    let codes: Vec<i32> = (0..ops).map(code_at).collect();
    Expected {
        txn: Txn::Multi(codes.iter().map(|&code| Txn::Error { code }).collect()),
        reply: Ok(Reply::Multi(codes.into_iter().map(SubReply::Error).collect())),
    }
}

/// Ops before the failure keep their records in the log, but answer 0 (traps T1, T3).
fn multi(tree: &mut Tree, header: Header, subs: &[SubCall], terms: Terms<'_>) -> Expected {
    let (mut txns, mut replies) = (Vec::new(), Vec::new());
    let mut failure = None;
    for (place, sub) in subs.iter().enumerate() {
        let done = match failure {
            None => step(tree, header, sub, terms),
            Some(_) => Err(RUNTIME_INCONSISTENCY),
        };
        match done {
            Ok((txn, reply)) => {
                txns.push(txn);
                replies.push(reply);
            }
            Err(code) => {
                failure.get_or_insert(place);
                txns.push(Txn::Error { code });
                replies.push(SubReply::Error(code));
            }
        }
    }
    if let Some(place) = failure {
        replies[..place].fill(SubReply::Error(0));
    }
    Expected { txn: Txn::Multi(txns), reply: Ok(Reply::Multi(replies)) }
}

/// Checks one write and carries it out on the tree, to be undone by the caller.
fn step(
    tree: &mut Tree,
    header: Header,
    call: &SubCall,
    terms: Terms<'_>,
) -> Result<(Txn, SubReply), i32> {
    let txn = match call {
        SubCall::Create(create) => {
            // Its session has to be there when it goes.
            if create.life == Life::Ephemeral && !tree.is_open(header.session) {
                return Err(SESSION_EXPIRED);
            }
            create_txn(tree, create, terms)?
        }
        SubCall::Delete { path, version } => {
            if SPECIAL.contains(&path.as_str()) {
                return Err(BAD_ARGUMENTS);
            }
            terms.permit(tree.node(parent_of(path)).ok_or(NO_NODE)?, access::DELETE)?;
            let node = tree.node(path).ok_or(NO_NODE)?;
            if *version != -1 && node.record.version != *version {
                return Err(BAD_VERSION);
            }
            if !node.children.is_empty() {
                return Err(NOT_EMPTY);
            }
            Txn::Delete { path: path.clone() }
        }
        SubCall::SetData { path, data, version } => {
            let node = tree.node(path).ok_or(NO_NODE)?;
            terms.permit(node, access::WRITE)?;
            terms.check_quota(path, 0, len(data.as_ref()) - len(node.record.data.as_ref()))?;
            let version = next_version(tree, path, *version)?;
            Txn::SetData { path: path.clone(), data: data.clone(), version }
        }
        SubCall::Check { path, version } => {
            terms.permit(tree.node(path).ok_or(NO_NODE)?, access::READ)?;
            let version = next_version(tree, path, *version)?;
            Txn::Check { path: path.clone(), version }
        }
    };
    tree.apply(header, &txn, &mut Vec::new());
    let stat = |path: &str| tree.node(path).expect("it was just written").stat();
    let reply = match &txn {
        Txn::Create(made) if made.kind != 1 => {
            SubReply::PathStat(made.path.clone(), stat(&made.path))
        }
        Txn::Create(made) => SubReply::Path(made.path.clone()),
        Txn::SetData { path, .. } => SubReply::Stat(stat(path)),
        Txn::Delete { .. }
        | Txn::DeleteContainer { .. }
        | Txn::Check { .. }
        | Txn::SetAcl { .. }
        | Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Multi(_)
        | Txn::Error { .. } => SubReply::Empty,
    };
    Ok((txn, reply))
}

fn next_version(tree: &Tree, path: &str, asked: i32) -> Result<i32, i32> {
    next(tree.node(path).ok_or(NO_NODE)?.record.version, asked)
}

const fn next(version: i32, asked: i32) -> Result<i32, i32> {
    if asked != -1 && version != asked {
        return Err(BAD_VERSION);
    }
    Ok(version.wrapping_add(1))
}

fn create_txn(tree: &Tree, create: &CreateCall, terms: Terms<'_>) -> Result<Txn, i32> {
    let acl = access::kept(&create.acl, terms.ids)?;
    let parent = tree.node(parent_of(&create.path)).ok_or(NO_NODE)?;
    terms.permit(parent, access::CREATE)?;
    let path = match create.sequential {
        true => format!("{}{:010}", create.path, parent.record.cversion),
        false => create.path.clone(),
    };
    if tree.node(&path).is_some() {
        return Err(NODE_EXISTS);
    }
    if parent.record.is_ephemeral() {
        return Err(NO_CHILDREN_FOR_EPHEMERALS);
    }
    terms.check_quota(&path, 1, len(create.data.as_ref()))?;
    Ok(Txn::Create(CreateTxn {
        kind: create.code(),
        path,
        data: create.data.clone(),
        acl: Some(acl),
        life: create.life,
        parent_cversion: parent.record.cversion.wrapping_add(1),
    }))
}

fn len(data: Option<&Bytes>) -> i64 {
    data.map_or(0, Bytes::len) as i64
}

/// Whether what was logged is what had to be logged. Paths of a closeSession may come in any order.
pub fn same_txn(expected: &Txn, logged: &Txn) -> bool {
    match (expected, logged) {
        (Txn::CloseSession { paths: Some(a) }, Txn::CloseSession { paths: Some(b) }) => {
            let (mut a, mut b) = (a.clone(), b.clone());
            a.sort();
            b.sort();
            a == b
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use vivarium_core::ids::Zxid;

    use super::*;
    use crate::history::Life;

    fn header(zxid: u64) -> Header {
        Header { session: 5, cxid: 1, zxid: Zxid(zxid), time: 0 }
    }

    fn create(path: &str, sequential: bool) -> SubCall {
        SubCall::Create(CreateCall {
            path: path.into(),
            data: None,
            life: Life::Persistent,
            sequential,
            acl: access::open(),
            with_stat: false,
        })
    }

    fn predicted(tree: &mut Tree, call: &Call) -> Option<Expected> {
        let terms = Terms { ids: &[], rules: &Rules::default(), quotas: None };
        predict(tree, header(2), call, terms)
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.apply(header(1), &Txn::CreateSession { timeout_ms: 1000 }, &mut Vec::new());
        tree.settle();
        tree
    }

    #[test]
    fn a_failed_multi_leaves_no_trace_and_names_each_failure() {
        let mut tree = tree();
        let subs = vec![
            create("/a", false),
            SubCall::Delete { path: "/nope".into(), version: -1 },
            SubCall::Delete { path: "/nope2".into(), version: -1 },
        ];
        let expected = predicted(&mut tree, &Call::Multi(subs)).unwrap();
        let errors = [0, NO_NODE, RUNTIME_INCONSISTENCY].map(SubReply::Error).to_vec();
        assert_eq!(expected.reply, Ok(Reply::Multi(errors)));
        assert!(tree.node("/a").is_none());
        assert_eq!(tree.node("/").unwrap().record.cversion, 0);
    }

    #[test]
    fn sub_ops_of_a_multi_see_each_other() {
        let mut tree = tree();
        let subs = vec![create("/a", false), create("/a/s", true), create("/a/s", true)];
        let expected = predicted(&mut tree, &Call::Multi(subs)).unwrap();
        let paths = ["/a", "/a/s0000000000", "/a/s0000000001"];
        let replies = paths.map(|path| SubReply::Path(path.into())).to_vec();
        assert_eq!(expected.reply, Ok(Reply::Multi(replies)));
    }

    #[test]
    fn an_unknown_session_writes_nothing() {
        let mut tree = Tree::default();
        let call = Call::Delete { path: "/a".into(), version: -1 };
        assert_eq!(predicted(&mut tree, &call), Some(failed(SESSION_EXPIRED)));
    }
}
