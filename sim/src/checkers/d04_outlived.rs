//! D4: a node goes by itself only when it has outlived its purpose: a container whose last child is gone,
//! a node without children that was not written to for longer than its TTL, by the leader's clock. No
//! session stands behind its deletion.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::Life;
use crate::observe::SimEvent;
use crate::oracle::Judged;
use crate::oracle::tree::Node;
use crate::oracle::txn::Txn;

#[derive(Debug, Default)]
pub(crate) struct D04;

impl Check for D04 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, _: &SimEvent) -> Result<(), String> {
        for (fresh, judged) in cx.canon.judged() {
            let Txn::DeleteContainer { path } = &judged.txn else { continue };
            if let Some(why) = objection(judged, cx.canon.cluster.never_used_ms) {
                return Err(format!("{}: {path} goes by itself, but {why}", fresh.entry.zxid));
            }
        }
        Ok(())
    }
}

fn objection(judged: &Judged, never_used_ms: u64) -> Option<String> {
    let header = judged.header;
    if (header.session, header.cxid) != (0, 0) {
        return Some(format!("session {:#x} asked for it", header.session));
    }
    let Some(node) = &judged.outlived else { return Some("is not there".into()) };
    purpose(node, header.time, never_used_ms)
}

/// Why a node still has a purpose at this moment of its leader's clock, if so.
pub(super) fn purpose(node: &Node, time: i64, never_used_ms: u64) -> Option<String> {
    if !node.children.is_empty() {
        return Some(format!("has {} children", node.children.len()));
    }
    let age_ms = time.saturating_sub(node.record.mtime);
    let is_older = |ms: i64| age_ms > ms;
    match node.record.life() {
        Life::Persistent | Life::Ephemeral => Some("nothing says that it may".into()),
        Life::Container => {
            let limit_ms = i64::try_from(never_used_ms).unwrap_or(i64::MAX);
            let may = node.record.cversion > 0 || (limit_ms > 0 && is_older(limit_ms));
            (!may).then(|| format!("was never used, and is {age_ms} ms old"))
        }
        Life::Ttl { ms } => (!is_older(ms)).then(|| format!("is {age_ms} ms old, of {ms}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::oracle::txn::{CreateTxn, Header};

    fn run() -> Run<D04> {
        let mut run = Run::new(D04);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run
    }

    fn made(path: &str, life: Life, kind: i32) -> Txn {
        Txn::Create(CreateTxn { life, kind, ..create_txn(path, false, 1) })
    }

    fn goes(run: &mut Run<D04>, n: u32, time: i64) -> Result<(), String> {
        let header = Header { time, ..header(z(1, n), 0, 0) };
        run.commit(1, header, &Txn::DeleteContainer { path: "/c".into() })
    }

    #[test]
    fn a_container_that_was_not_used_or_is_in_use_stays() {
        let mut fresh = run();
        fresh.commit(1, header(z(1, 2), 5, 1), &made("/c", Life::Container, 19)).unwrap();
        assert!(goes(&mut fresh, 3, 0).unwrap_err().contains("never used"));

        let mut run = run();
        run.commit(1, header(z(1, 2), 5, 1), &made("/c", Life::Container, 19)).unwrap();
        run.commit(1, header(z(1, 3), 5, 2), &made("/c/x", Life::Persistent, 1)).unwrap();
        run.commit(1, header(z(1, 4), 5, 3), &Txn::Delete { path: "/c/x".into() }).unwrap();
        goes(&mut run, 5, 0).unwrap();
        assert!(goes(&mut run, 6, 0).unwrap_err().contains("not there"));
    }

    #[test]
    fn a_container_with_children_and_a_plain_node_stay() {
        let mut used = run();
        used.commit(1, header(z(1, 2), 5, 1), &made("/c", Life::Container, 19)).unwrap();
        used.commit(1, header(z(1, 3), 5, 2), &made("/c/x", Life::Persistent, 1)).unwrap();
        assert!(goes(&mut used, 4, 0).unwrap_err().contains("1 children"));

        let mut plain = run();
        plain.commit(1, header(z(1, 2), 5, 1), &made("/c", Life::Persistent, 1)).unwrap();
        assert!(goes(&mut plain, 3, 0).is_err());
    }

    #[test]
    fn a_ttl_has_to_pass_first() {
        for (time, ok) in [(100, false), (101, true)] {
            let mut run = run();
            run.commit(1, header(z(1, 2), 5, 1), &made("/c", Life::Ttl { ms: 100 }, 21)).unwrap();
            assert_eq!(goes(&mut run, 3, time).is_ok(), ok, "{time}");
        }
    }

    #[test]
    fn a_client_cannot_have_it_done() {
        let mut run = run();
        run.commit(1, header(z(1, 2), 5, 1), &made("/c", Life::Ttl { ms: 0 }, 21)).unwrap();
        let asked = Header { time: 9, ..header(z(1, 3), 5, 2) };
        let txn = Txn::DeleteContainer { path: "/c".into() };
        assert!(run.commit(1, asked, &txn).unwrap_err().contains("asked for it"));
    }
}
