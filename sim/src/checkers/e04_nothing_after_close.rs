//! E4: no transaction of a session has an effect after the one that closed it, nor before it was opened.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;
use crate::oracle::txn::Txn;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(crate) struct E04 {
    known: BTreeSet<i64>,
}

impl Check for E04 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let _ = event;
        for (fresh, judged) in cx.canon.judged() {
            let works = match &judged.txn {
                // The leader's own: no session stands behind it.
                Txn::Error { .. } | Txn::DeleteContainer { .. } => false,
                Txn::CreateSession { .. } => {
                    if !self.known.insert(judged.header.session) {
                        return Err(format!("{} opens a session a second time", fresh.entry.zxid));
                    }
                    false
                }
                Txn::Multi(subs) => !subs.iter().any(|sub| matches!(sub, Txn::Error { .. })),
                // As in Apache, a close that meets a closed session is logged and does nothing.
                Txn::CloseSession { paths } => paths.as_ref().is_none_or(|paths| !paths.is_empty()),
                Txn::Create(_)
                | Txn::Delete { .. }
                | Txn::SetData { .. }
                | Txn::Check { .. }
                | Txn::SetAcl { .. } => true,
            };
            if works && !judged.was_open {
                return Err(format!(
                    "{} is of session {:#x}, which is not open",
                    fresh.entry.zxid, judged.header.session
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

    #[test]
    fn a_write_after_the_close_is_found() {
        let mut run = Run::new(E04::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.close(z(1, 2), 5).unwrap();
        run.commit(1, header(z(1, 3), 5, 1), &Txn::Error { code: -112 }).unwrap();
        let write = Txn::Create(create_txn("/a", false, 1));
        assert!(run.commit(1, header(z(1, 4), 5, 2), &write).is_err());
    }

    #[test]
    fn an_id_used_twice_is_found() {
        let mut run = Run::new(E04::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.close(z(1, 2), 5).unwrap();
        let again = Txn::CreateSession { timeout_ms: 1 };
        assert!(run.commit(1, header(z(1, 3), 5, 0), &again).is_err());
    }
}
