//! O1: the oracle can follow: each committed transaction is one that was proposed, in bytes that are a
//! transaction. It carries K1, K4, K6, W4, T1 and what else compares with its tree, which fall silent
//! without it.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::SimEvent;

#[derive(Debug, Default)]
pub(crate) struct O01;

impl Check for O01 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh])
    }

    fn event(&mut self, cx: &Cx<'_>, _: &SimEvent) -> Result<(), String> {
        if !cx.canon.oracle_blind {
            return Ok(());
        }
        let unread = cx.canon.fresh.iter().find(|fresh| fresh.judged.is_none());
        let zxid = unread.map(|fresh| fresh.entry.zxid);
        Err(format!("the oracle cannot read {zxid:?}, which is committed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::server::note::Note;

    fn committed(payload: bool) -> Result<(), String> {
        let mut run = Run::new(O01);
        run.boot_all();
        run.establish(1, 1)?;
        if payload {
            return run.write(1, 1, 1);
        }
        run.propose(1, z(1, 1), 5)?;
        run.log(1, z(1, 1), 5)?;
        run.note(1, Note::Committed { zxid: z(1, 1) })
    }

    #[test]
    fn bytes_that_are_no_transaction_are_found() {
        committed(true).unwrap();
        assert!(committed(false).unwrap_err().contains("cannot read"));
    }
}
