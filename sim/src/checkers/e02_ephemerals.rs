//! E2: an ephemeral node lives exactly as long as its session, and goes in the transaction that closes it.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;
use crate::oracle::txn::Txn;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(crate) struct E02;

impl Check for E02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let _ = event;
        for (fresh, judged) in cx.canon.judged() {
            let zxid = fresh.entry.zxid;
            if let Some(orphan) = judged.orphans.first() {
                return Err(format!("{zxid}: {orphan} belongs to a session that is not open"));
            }
            let Txn::CloseSession { paths: Some(paths) } = &judged.txn else { continue };
            let closed: BTreeSet<&String> = paths.iter().collect();
            let had: BTreeSet<&String> = judged.had_ephemerals.iter().collect();
            if closed != had {
                return Err(format!(
                    "{zxid} closes a session with {had:?}, but removes {closed:?}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    fn run() -> Run<E02> {
        let mut run = Run::new(E02);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/e", true).unwrap();
        run
    }

    #[test]
    fn a_node_that_outlives_its_session_is_found() {
        let none = Txn::CloseSession { paths: Some(vec![]) };
        assert!(run().commit(1, header(z(1, 3), 5, 0), &none).is_err());
        run().close(z(1, 3), 5).unwrap();
    }

    #[test]
    fn a_node_of_a_closed_session_is_found() {
        let mut run = run();
        run.close(z(1, 3), 5).unwrap();
        let late = Txn::Create(create_txn("/f", true, 2));
        assert!(run.commit(1, header(z(1, 4), 5, 0), &late).is_err());
    }
}
