//! P11: initial histories of established epochs grow: that of an epoch is a prefix of that of every
//! later one. All of them lie in the committed sequence, so that lengths tell.
//! Source: Remix I-8.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::Epoch;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P11 {
    /// Length of the initial history of each established epoch.
    lengths: BTreeMap<Epoch, usize>,
}

impl Check for P11 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Established])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, Note::Established { epoch, history })) = note_of(cx, event) else {
            return Ok(());
        };
        let Some(member) = cx.canon.member(server) else { return Ok(()) };
        let len = history.map_or(0, |zxid| member.log.count_upto(zxid, &cx.canon.committed));
        if member.log.common() < len {
            return Err(format!(
                "{server} is established for epoch {epoch} with a history that parts from what was \
                 committed before"
            ));
        }
        let shorter = self.lengths.range(..*epoch).next_back().filter(|(_, older)| **older > len);
        if let Some((older, theirs)) = shorter {
            return Err(format!(
                "epoch {epoch} begins with {len} transactions, epoch {older} began with {theirs}"
            ));
        }
        let longer =
            self.lengths.range(Epoch(epoch.0 + 1)..).next().filter(|(_, newer)| **newer < len);
        if let Some((newer, theirs)) = longer {
            return Err(format!(
                "epoch {epoch} begins with {len} transactions, epoch {newer} began with {theirs}"
            ));
        }
        self.lengths.insert(*epoch, len);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    fn two_servers_with_one_transaction() -> Run<P11> {
        let mut run = Run::new(P11::default());
        run.boot_all();
        run.propose(1, z(1, 1), 5).unwrap();
        run.log(1, z(1, 1), 5).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        run
    }

    #[test]
    fn an_epoch_that_begins_with_less_than_an_older_one_is_found() {
        let mut run = two_servers_with_one_transaction();
        run.note(1, established_with(2, z(1, 1))).unwrap();
        run.note(2, established_with(3, z(1, 1))).unwrap();
        assert!(run.note(3, established(4)).is_err());
    }

    #[test]
    fn an_older_epoch_that_begins_with_more_is_found() {
        let mut run = two_servers_with_one_transaction();
        run.note(3, established(4)).unwrap();
        assert!(run.note(2, established_with(3, z(1, 1))).is_err());
    }

    #[test]
    fn two_histories_of_one_length_are_found() {
        let mut run = two_servers_with_one_transaction();
        run.propose(3, z(2, 1), 6).unwrap();
        run.log(3, z(2, 1), 6).unwrap();
        run.note(1, established_with(3, z(1, 1))).unwrap();
        assert!(run.note(3, established_with(4, z(2, 1))).is_err());
    }
}
