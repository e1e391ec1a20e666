//! P8: the history of a server that gets established begins with everything committed in earlier
//! epochs, that of one that commits with everything committed before. A quorum's last word may reach a
//! leader when a later epoch is established already: it can commit nothing, and what that epoch
//! committed is none of its business.
//! Source: Remix I-7.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P08;

impl Check for P08 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Established, Topic::Committed])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        let committed = &cx.canon.committed[..cx.canon.before()];
        let needs = match note {
            Note::Established { epoch, .. } => {
                committed.partition_point(|entry| entry.zxid.epoch() < *epoch)
            }
            Note::Committed { zxid }
                if cx.canon.find(*zxid).is_none() || !cx.canon.fresh.is_empty() =>
            {
                committed.len()
            }
            _ => return Ok(()),
        };
        let Some(member) = cx.canon.member(server) else { return Ok(()) };
        let has = member.log.common();
        if has < needs {
            let lost = cx.canon.committed[has].zxid;
            return Err(format!(
                "{server} says {note:?} without {lost}, which was committed before"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    #[test]
    fn a_leader_that_lacks_a_commit_is_found() {
        let mut run = Run::new(P08);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.propose(1, z(1, 1), 5).unwrap();
        run.log(1, z(1, 1), 5).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        run.note(1, Note::Committed { zxid: z(1, 1) }).unwrap();
        run.note(2, established_with(2, z(1, 1))).unwrap();
        assert!(run.note(3, established(3)).is_err());
    }
}
