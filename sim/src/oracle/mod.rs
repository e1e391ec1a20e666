//! The oracle: a second, simpler implementation of the replicated state, driven once through the
//! committed transactions.

pub mod access;
#[cfg(test)]
mod agreement;
mod digest;
pub mod past;
pub mod predict;
pub mod quota;
pub mod tree;
pub mod txn;

use std::sync::Arc;

use bytes::Bytes;

use crate::history::Call;
use crate::oracle::access::{Identity, Rules};
use crate::oracle::past::Past;
use crate::oracle::predict::{Expected, Terms};
use crate::oracle::quota::Quotas;
use crate::oracle::tree::{Event, Move, MoveKind, Node, Standing, Tree};
use crate::oracle::txn::{Header, Txn};

/// The state after all committed transactions, and what it was before.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub rules: Rules,
    tree: Tree,
    past: Past,
    position: usize,
    full_digest: u64,
}

/// What a client asked for, and who it was then.
#[derive(Clone, Debug)]
pub struct Asked {
    pub call: Call,
    pub ids: Arc<[Identity]>,
    /// Number of transactions that whoever proposed it had applied by then.
    pub applied: usize,
}

/// One committed transaction, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    pub header: Header,
    pub txn: Txn,
    /// What the invoked operation had to lead to; `None` where no client asked for this.
    pub expected: Option<Expected>,
    /// What watches look at, in order.
    pub events: Vec<Event>,
    /// Whether the session was open just before.
    pub was_open: bool,
    /// Whether it was one of a single server.
    pub was_local: bool,
    /// Ephemeral nodes of the session just before; only filled for closeSession.
    pub had_ephemerals: Vec<String>,
    /// The node that the leader deletes by itself, just before.
    pub outlived: Option<Node>,
    /// Ephemeral nodes whose owner is not open just after.
    pub orphans: Vec<String>,
    /// What the leader said that ZooKeeper's digest of the tree would be just after.
    pub tree_digest: Option<u64>,
}

/// KeeperException.Code.SESSIONMOVED.
const SESSION_MOVED: i32 = -118;

/// Whether a request was refused for want of a session.
fn is_refused(txn: &Txn) -> bool {
    let expired = |txn: &Txn| matches!(txn, Txn::Error { code: predict::SESSION_EXPIRED });
    if let Txn::Multi(subs) = txn { subs.first().is_some_and(expired) } else { expired(txn) }
}

impl Default for Oracle {
    fn default() -> Self {
        let tree = Tree::default();
        let mut past = Past::default();
        let mut full_digest = 0u64;
        for (path, node) in tree.nodes() {
            past.record(0, path, Some(node));
            for name in &node.children {
                let (parent, name) = (path.into(), name.clone());
                past.record_move(0, Move { parent, name, kind: MoveKind::Adopted });
            }
            full_digest = full_digest.wrapping_add(digest::of_node(path, &node.record));
        }
        Self { rules: Rules::default(), tree, past, position: 0, full_digest }
    }
}

impl Oracle {
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Sessions that nobody opened for all may write.
    pub fn allow_local_sessions(&mut self) {
        self.tree.allow_local_sessions();
    }

    pub fn past(&self) -> &Past {
        &self.past
    }

    pub fn full_digest(&self) -> u64 {
        self.full_digest
    }

    /// Takes the next committed transaction. `None`: its bytes are not a transaction.
    pub fn commit(
        &mut self,
        payload: Bytes,
        asked: impl FnOnce(&Header) -> Option<Asked>,
    ) -> Option<Judged> {
        self.position += 1;
        let (header, txn, tree_digest) = txn::decode_with_digest(payload)?;
        // A session that has moved is refused whatever it asks for: who owned it is E6's concern.
        let moved = matches!(txn, Txn::Error { code: SESSION_MOVED });
        let standing = match self.tree.standing(header.session) {
            // Its server may find it over while it asks. That the client is not told so is E8's concern.
            Standing::Local if is_refused(&txn) => Standing::Gone,
            standing @ (Standing::Global | Standing::Local | Standing::Gone) => standing,
        };
        let expected = asked(&header).filter(|_| !moved).and_then(|asked| {
            let Asked { call, ids, applied } = asked;
            let quotas = Quotas { past: &self.past, position: applied };
            let quotas = self.rules.enforce_quota.then_some(quotas);
            let terms = Terms { ids: &ids, rules: &self.rules, quotas };
            predict::predict_for(standing, &mut self.tree, header, &call, terms)
        });
        let was_open = standing != Standing::Gone;
        let was_local = standing == Standing::Local;
        let closes = matches!(txn, Txn::CloseSession { .. });
        let had_ephemerals = match closes {
            true => self.tree.ephemerals(header.session).into_iter().collect(),
            false => Vec::new(),
        };
        let timeout_before = self.tree.sessions().get(&header.session).copied();
        let outlived = if let Txn::DeleteContainer { path } = &txn {
            self.tree.node(path).cloned()
        } else {
            None
        };
        let mut events = Vec::new();
        self.tree.apply(header, &txn, &mut events);
        let made_here = self.settle(header.session, timeout_before);
        let orphans = match self.tree.is_open(header.session) {
            true => Vec::new(),
            false if closes => self.tree.ephemerals(header.session).into_iter().collect(),
            false => made_here,
        };
        Some(Judged {
            header,
            txn,
            expected,
            events,
            was_open,
            was_local,
            had_ephemerals,
            outlived,
            orphans,
            tree_digest,
        })
    }

    /// Books what changed; answers the ephemerals of `session` among it.
    fn settle(&mut self, session: i64, timeout_before: Option<i32>) -> Vec<String> {
        let mut owned = Vec::new();
        let settled = self.tree.settle();
        for moved in settled.moves {
            self.past.record_move(self.position, moved);
        }
        for (path, before) in settled.nodes {
            let after = self.tree.node(&path);
            let old = before.map_or(0, |record| digest::of_node(&path, &record));
            let new = after.map_or(0, |node| digest::of_node(&path, &node.record));
            self.past.record(self.position, &path, after);
            self.full_digest = self.full_digest.wrapping_sub(old).wrapping_add(new);
            if after.is_some_and(|node| session != 0 && node.record.owner == session) {
                owned.push(path);
            }
        }
        let timeout_after = self.tree.sessions().get(&session).copied();
        let of = |timeout: Option<i32>| {
            timeout.map_or(0, |timeout| digest::of_session(session, timeout))
        };
        self.full_digest =
            self.full_digest.wrapping_sub(of(timeout_before)).wrapping_add(of(timeout_after));
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::txn::{CreateTxn, build::payload};
    use super::*;
    use crate::history::Life;
    use vivarium_core::ids::Zxid;

    fn run(oracle: &mut Oracle, zxid: u64, session: i64, txn: Txn) -> Judged {
        let header = Header { session, cxid: 1, zxid: Zxid(zxid), time: 7 };
        oracle.commit(payload(header, &txn), |_| None).unwrap()
    }

    fn ephemeral(path: &str, parent_cversion: i32) -> Txn {
        Txn::Create(CreateTxn {
            kind: 1,
            path: path.into(),
            data: None,
            acl: Some([(31, "world".into(), "anyone".into())].into()),
            life: Life::Ephemeral,
            parent_cversion,
        })
    }

    #[test]
    fn the_digest_is_a_sum_over_what_is_there() {
        let mut oracle = Oracle::default();
        run(&mut oracle, 1, 5, Txn::CreateSession { timeout_ms: 1000 });
        run(&mut oracle, 2, 5, ephemeral("/e", 1));
        let nodes: u64 = oracle
            .tree()
            .nodes()
            .map(|(path, node)| digest::of_node(path, &node.record))
            .fold(0, u64::wrapping_add);
        let all = nodes.wrapping_add(digest::of_session(5, 1000));
        assert_eq!(oracle.full_digest(), all);
    }

    #[test]
    fn the_past_stays_as_it_was() {
        let mut oracle = Oracle::default();
        run(&mut oracle, 1, 5, Txn::CreateSession { timeout_ms: 1000 });
        run(&mut oracle, 2, 5, ephemeral("/e", 1));
        let judged = run(&mut oracle, 3, 5, Txn::CloseSession { paths: Some(vec!["/e".into()]) });
        assert_eq!(judged.had_ephemerals, ["/e"]);
        assert!(judged.orphans.is_empty());
        let past = oracle.past();
        assert!(past.node(1, "/e").is_none() && past.node(3, "/e").is_none());
        assert_eq!(past.node(2, "/e").unwrap().stat.ephemeral_owner, 5);
        assert!(past.children(2, "/") == ["e", "zookeeper"]);
        assert!(past.children(3, "/") == ["zookeeper"]);
    }

    #[test]
    fn an_ephemeral_that_outlives_its_session_is_an_orphan() {
        let mut oracle = Oracle::default();
        run(&mut oracle, 1, 5, Txn::CreateSession { timeout_ms: 1000 });
        run(&mut oracle, 2, 5, ephemeral("/e", 1));
        let judged = run(&mut oracle, 3, 5, Txn::CloseSession { paths: Some(vec![]) });
        assert_eq!(judged.orphans, ["/e"]);
    }
}
