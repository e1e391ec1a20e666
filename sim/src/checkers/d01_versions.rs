//! D1: setData, delete and check with a version succeed exactly when it is the node's version, and a
//! write makes it one higher; the other checks of PROTOCOL 1.6 come in their order.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::Call;
use crate::observe::SimEvent;
use crate::oracle::predict::same_txn;

#[derive(Debug, Default)]
pub(crate) struct D01;

impl Check for D01 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let _ = event;
        for (fresh, judged) in cx.canon.judged() {
            let (Some(call), Some(expected)) = (&fresh.call, &judged.expected) else { continue };
            if matches!(call, Call::SetData { .. } | Call::Delete { .. })
                && !same_txn(&expected.txn, &judged.txn)
            {
                return Err(format!(
                    "{}: {call:?} has to be {:?} but is {:?}",
                    fresh.entry.zxid, expected.txn, judged.txn
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
    use crate::oracle::txn::Txn;

    #[test]
    fn a_write_over_another_version_is_found() {
        let mut run = Run::new(D01);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.invoke(5, 2, Call::SetData { path: "/a".into(), data: None, version: 3 }).unwrap();
        let wrong = Txn::SetData { path: "/a".into(), data: None, version: 1 };
        assert!(run.commit(1, header(z(1, 3), 5, 2), &wrong).is_err());
    }

    #[test]
    fn the_right_outcome_passes() {
        let mut run = Run::new(D01);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.invoke(5, 2, Call::SetData { path: "/a".into(), data: None, version: 3 }).unwrap();
        run.commit(1, header(z(1, 3), 5, 2), &Txn::Error { code: -103 }).unwrap();
        run.invoke(5, 3, Call::Delete { path: "/a".into(), version: 0 }).unwrap();
        run.commit(1, header(z(1, 4), 5, 3), &Txn::Delete { path: "/a".into() }).unwrap();
    }
}
