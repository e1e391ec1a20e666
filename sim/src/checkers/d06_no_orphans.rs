//! D6: a committed transaction is legal where it stands, and takes effect: a node is created below a
//! parent that exists and is not ephemeral, what is deleted was there and had no children, what is set
//! exists. The oracle's tree tells, whoever asked.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;
use crate::oracle::tree::{Tree, parent_of};
use crate::oracle::txn::Txn;
use vivarium_core::ids::Zxid;

#[derive(Debug, Default)]
pub(crate) struct D06;

impl Check for D06 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, _: &SimEvent) -> Result<(), String> {
        let Some(last) = cx.canon.fresh.last() else { return Ok(()) };
        let tree = cx.canon.oracle.tree();
        for (fresh, judged) in cx.canon.judged() {
            // The tree is that of the last one: an effect may be gone again before it.
            let is_last = fresh.entry.zxid == last.entry.zxid;
            if is_last && let Some(trouble) = trouble(tree, fresh.entry.zxid, &judged.txn) {
                return Err(format!("{}: {trouble}", fresh.entry.zxid));
            }
        }
        Ok(())
    }
}

/// Why the effect of a transaction is not in the tree that it led to. Inside a multi a later part may
/// undo an earlier one, so that only parents are looked at.
fn trouble(tree: &Tree, zxid: Zxid, txn: &Txn) -> Option<String> {
    match txn {
        Txn::Create(made) => orphan(tree, &made.path).or_else(|| {
            let new = tree.node(&made.path).is_some_and(|node| node.record.czxid == zxid.to_wire());
            (!new).then(|| format!("{} was not created", made.path))
        }),
        Txn::Delete { path } | Txn::DeleteContainer { path } => {
            tree.node(path).is_some().then(|| format!("{path} is still there"))
        }
        Txn::SetData { path, .. } => {
            let set = tree.node(path).is_some_and(|node| node.record.mzxid == zxid.to_wire());
            (!set).then(|| format!("{path} was not set"))
        }
        Txn::Multi(parts) => parts.iter().find_map(|part| match part {
            Txn::Create(made) => tree.node(&made.path).and_then(|_| orphan(tree, &made.path)),
            _ => None,
        }),
        Txn::CreateSession { .. }
        | Txn::CloseSession { .. }
        | Txn::Check { .. }
        | Txn::SetAcl { .. }
        | Txn::Error { .. } => None,
    }
}

fn orphan(tree: &Tree, path: &str) -> Option<String> {
    let parent = parent_of(path);
    match tree.node(parent) {
        None => Some(format!("{path} has no parent")),
        Some(node) if node.record.is_ephemeral() => {
            Some(format!("{path} is below an ephemeral node"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    fn run() -> Run<D06> {
        let mut run = Run::new(D06);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run
    }

    fn made(path: &str, ephemeral: bool) -> Txn {
        Txn::Create(create_txn(path, ephemeral, 1))
    }

    #[test]
    fn a_child_without_a_parent_or_below_an_ephemeral_is_found() {
        let mut run = run();
        run.commit(1, header(z(1, 2), 5, 1), &made("/e", true)).unwrap();
        let below = run.commit(1, header(z(1, 3), 5, 2), &made("/e/c", false));
        assert!(below.unwrap_err().contains("below an ephemeral"));
        let orphan = run.commit(1, header(z(1, 4), 5, 3), &made("/no/c", false));
        assert!(orphan.unwrap_err().contains("no parent"));
    }

    #[test]
    fn what_takes_no_effect_is_found() {
        let mut run = run();
        run.commit(1, header(z(1, 2), 5, 1), &made("/a", false)).unwrap();
        let again = run.commit(1, header(z(1, 3), 5, 2), &made("/a", false));
        assert!(again.unwrap_err().contains("was not created"));
        let set = Txn::SetData { path: "/no".into(), data: None, version: 1 };
        assert!(run.commit(1, header(z(1, 4), 5, 3), &set).is_err());
    }
}
