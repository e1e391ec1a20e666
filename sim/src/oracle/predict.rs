//! What a client operation has to do: checks and effects of PROTOCOL 1.6 and 2.6, from the
//! oracle's own tree.

use std::sync::{Arc, LazyLock};

use crate::history::{Call, CreateCall, Life, Reply, SubCall, SubReply};
use crate::oracle::tree::{Standing, Tree, parent_of};
use crate::oracle::txn::{AclEntry, CreateTxn, Header, Txn};

pub const NO_NODE: i32 = -101;
pub const BAD_VERSION: i32 = -103;
pub const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
pub const NODE_EXISTS: i32 = -110;
pub const NOT_EMPTY: i32 = -111;
pub const SESSION_EXPIRED: i32 = -112;
pub const BAD_ARGUMENTS: i32 = -8;
pub const RUNTIME_INCONSISTENCY: i32 = -2;

/// What every create of the workload asks for.
static OPEN_ACL: LazyLock<Arc<[AclEntry]>> =
    LazyLock::new(|| Arc::new([(31, "world".into(), "anyone".into())]));

/// The only transaction and reply that an operation may lead to at its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub txn: Txn,
    /// Error code of the reply header, or the body.
    pub reply: Result<Reply, i32>,
}

/// `None` for calls that take no zxid. The tree is as before when this returns.
pub fn predict(tree: &mut Tree, header: Header, call: &Call) -> Option<Expected> {
    let standing = tree.standing(header.session);
    predict_for(standing, tree, header, call)
}

/// The same where it is known better who knows the session.
pub fn predict_for(
    standing: Standing,
    tree: &mut Tree,
    header: Header,
    call: &Call,
) -> Option<Expected> {
    if !call.is_write() {
        return None;
    }
    if standing == Standing::Gone {
        // The session is looked at for every op of a multi, so an empty one gets through.
        let Call::Multi(subs) = call else { return Some(failed(SESSION_EXPIRED)) };
        return Some(expired_multi(subs.len()));
    }
    let expected = match call {
        Call::Create(create) => single(tree, header, &SubCall::Create(create.clone())),
        Call::Delete { path, version } => {
            single(tree, header, &SubCall::Delete { path: path.clone(), version: *version })
        }
        Call::SetData { path, data, version } => {
            let set =
                SubCall::SetData { path: path.clone(), data: data.clone(), version: *version };
            single(tree, header, &set)
        }
        Call::Multi(subs) => multi(tree, header, subs),
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

fn single(tree: &mut Tree, header: Header, call: &SubCall) -> Expected {
    match step(tree, header, call) {
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

fn expired_multi(ops: usize) -> Expected {
    let code_at = |place| if place == 0 { SESSION_EXPIRED } else { RUNTIME_INCONSISTENCY };
    let codes: Vec<i32> = (0..ops).map(code_at).collect();
    Expected {
        txn: Txn::Multi(codes.iter().map(|&code| Txn::Error { code }).collect()),
        reply: Ok(Reply::Multi(codes.into_iter().map(SubReply::Error).collect())),
    }
}

/// Ops before the failure keep their records in the log, but answer 0 (traps T1, T3).
fn multi(tree: &mut Tree, header: Header, subs: &[SubCall]) -> Expected {
    let (mut txns, mut replies) = (Vec::new(), Vec::new());
    let mut failure = None;
    for (place, sub) in subs.iter().enumerate() {
        let done = match failure {
            None => step(tree, header, sub),
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
fn step(tree: &mut Tree, header: Header, call: &SubCall) -> Result<(Txn, SubReply), i32> {
    let txn = match call {
        SubCall::Create(create) => {
            // Its session has to be there when it goes.
            if create.life == Life::Ephemeral && !tree.is_open(header.session) {
                return Err(SESSION_EXPIRED);
            }
            create_txn(tree, create)?
        }
        SubCall::Delete { path, version } => {
            if matches!(path.as_str(), "/" | "/zookeeper") || path.starts_with("/zookeeper/") {
                return Err(BAD_ARGUMENTS);
            }
            tree.node(parent_of(path)).ok_or(NO_NODE)?;
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
            let version = next_version(tree, path, *version)?;
            Txn::SetData { path: path.clone(), data: data.clone(), version }
        }
        SubCall::Check { path, version } => {
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
    let node = tree.node(path).ok_or(NO_NODE)?;
    if asked != -1 && node.record.version != asked {
        return Err(BAD_VERSION);
    }
    Ok(node.record.version.wrapping_add(1))
}

fn create_txn(tree: &Tree, create: &CreateCall) -> Result<Txn, i32> {
    let parent = tree.node(parent_of(&create.path)).ok_or(NO_NODE)?;
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
    Ok(Txn::Create(CreateTxn {
        kind: create.code(),
        path,
        data: create.data.clone(),
        acl: Some(Arc::clone(&OPEN_ACL)),
        life: create.life,
        parent_cversion: parent.record.cversion.wrapping_add(1),
    }))
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
            with_stat: false,
        })
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
        let expected = predict(&mut tree, header(2), &Call::Multi(subs)).unwrap();
        let errors = [0, NO_NODE, RUNTIME_INCONSISTENCY].map(SubReply::Error).to_vec();
        assert_eq!(expected.reply, Ok(Reply::Multi(errors)));
        assert!(tree.node("/a").is_none());
        assert_eq!(tree.node("/").unwrap().record.cversion, 0);
    }

    #[test]
    fn sub_ops_of_a_multi_see_each_other() {
        let mut tree = tree();
        let subs = vec![create("/a", false), create("/a/s", true), create("/a/s", true)];
        let expected = predict(&mut tree, header(2), &Call::Multi(subs)).unwrap();
        let paths = ["/a", "/a/s0000000000", "/a/s0000000001"];
        let replies = paths.map(|path| SubReply::Path(path.into())).to_vec();
        assert_eq!(expected.reply, Ok(Reply::Multi(replies)));
    }

    #[test]
    fn an_unknown_session_writes_nothing() {
        let mut tree = Tree::default();
        let call = Call::Delete { path: "/a".into(), version: -1 };
        assert_eq!(predict(&mut tree, header(2), &call), Some(failed(SESSION_EXPIRED)));
    }
}
