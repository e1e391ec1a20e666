//! D2: a created node has the name and the effect that the tree asks for; the suffixes of sequential nodes
//! are the parent's counter, strictly rise as long as the parent lives, and are never used again.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, CreateCall, SubCall};
use crate::observe::SimEvent;
use crate::oracle::predict::same_txn;
use crate::oracle::tree::parent_of;
use crate::oracle::txn::{CreateTxn, Txn};
use std::collections::BTreeMap;
use vivarium_core::ids::Zxid;

#[derive(Debug, Default)]
pub(crate) struct D02 {
    /// By parent and its czxid: the last suffix.
    last: BTreeMap<(String, i64), i64>,
}

impl Check for D02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let _ = event;
        for (fresh, judged) in cx.canon.judged() {
            let zxid = fresh.entry.zxid;
            if let (Some(call @ Call::Create(_)), Some(expected)) = (&fresh.call, &judged.expected)
                && !same_txn(&expected.txn, &judged.txn)
            {
                return Err(format!(
                    "{zxid}: {call:?} has to be {:?} but is {:?}",
                    expected.txn, judged.txn
                ));
            }
            match (&fresh.call, &judged.txn) {
                (Some(Call::Create(create)), Txn::Create(made)) if create.sequential => {
                    self.rises(cx, zxid, made, create)?;
                }
                (Some(Call::Multi(subs)), Txn::Multi(made)) => {
                    if made.iter().any(|sub| matches!(sub, Txn::Error { .. })) {
                        continue;
                    }
                    for pair in subs.iter().zip(made) {
                        if let (SubCall::Create(create), Txn::Create(made)) = pair
                            && create.sequential
                        {
                            self.rises(cx, zxid, made, create)?;
                        }
                    }
                }
                (_, _) => {}
            }
        }
        Ok(())
    }
}

impl D02 {
    fn rises(
        &mut self,
        cx: &Cx<'_>,
        zxid: Zxid,
        made: &CreateTxn,
        asked: &CreateCall,
    ) -> Result<(), String> {
        let suffix = made.path.strip_prefix(&asked.path).and_then(|text| text.parse::<i64>().ok());
        let Some(suffix) = suffix else {
            return Err(format!("{zxid}: {} is no sequential name for {}", made.path, asked.path));
        };
        let parent = parent_of(&made.path);
        let born = cx.canon.oracle.tree().node(parent).map_or(0, |node| node.record.czxid);
        match self.last.insert((parent.into(), born), suffix) {
            Some(last) if last >= suffix => {
                Err(format!("{zxid}: {} comes after suffix {last}", made.path))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    fn sequential() -> Call {
        Call::Create(create_call("/s-", true))
    }

    fn made(path: &str, parent_cversion: i32) -> Txn {
        Txn::Create(create_txn(path, false, parent_cversion))
    }

    #[test]
    fn a_suffix_used_twice_is_found() {
        let mut run = Run::new(D02::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.invoke(5, 1, sequential()).unwrap();
        run.commit(1, header(z(1, 2), 5, 1), &made("/s-0000000000", 1)).unwrap();
        run.commit(1, header(z(1, 3), 5, 0), &Txn::Delete { path: "/s-0000000000".into() })
            .unwrap();
        run.invoke(5, 2, sequential()).unwrap();
        assert!(run.commit(1, header(z(1, 4), 5, 2), &made("/s-0000000000", 2)).is_err());
    }
}
