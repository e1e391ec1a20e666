//! D3: a multi takes effect whole or not at all under one zxid, and names each failure: the first one by
//! its code, later ones as runtime inconsistency. What is logged of ops before the failure has no effect
//! and is not compared.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::Call;
use crate::observe::SimEvent;
use crate::oracle::predict::same_txn;
use crate::oracle::txn::Txn;

#[derive(Debug, Default)]
pub(crate) struct D03;

impl Check for D03 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let _ = event;
        for (fresh, judged) in cx.canon.judged() {
            let (Some(call @ Call::Multi(_)), Some(expected)) = (&fresh.call, &judged.expected)
            else {
                continue;
            };
            let same = match (&expected.txn, &judged.txn) {
                (Txn::Multi(wanted), Txn::Multi(logged)) => {
                    let is_error = |txn: &Txn| matches!(txn, Txn::Error { .. });
                    let from = wanted.iter().position(is_error).unwrap_or(0);
                    wanted.len() == logged.len() && wanted[from..] == logged[from..]
                }
                (wanted, logged) => same_txn(wanted, logged),
            };
            if !same {
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
    use crate::history::SubCall;

    #[test]
    fn half_a_multi_is_found() {
        let mut run = Run::new(D03);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        let subs = vec![
            SubCall::Create(create_call("/a", false)),
            SubCall::Delete { path: "/nope".into(), version: -1 },
        ];
        run.invoke(5, 1, Call::Multi(subs.clone())).unwrap();
        let create = Txn::Create(create_txn("/a", false, 1));
        let whole = Txn::Multi(vec![create.clone(), Txn::Error { code: -101 }]);
        run.commit(1, header(z(1, 2), 5, 1), &whole).unwrap();
        run.invoke(5, 2, Call::Multi(subs)).unwrap();
        assert!(run.commit(1, header(z(1, 3), 5, 2), &Txn::Multi(vec![create])).is_err());
    }
}
