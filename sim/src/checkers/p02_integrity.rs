//! P2: whatever is applied was proposed with these bytes, once, by the leader of its epoch.
//! Source: Remix I-2.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::hashed::HashedSet;
use crate::observe::SimEvent;
use vivarium_core::ids::Zxid;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P02 {
    proposed: HashedSet<Zxid>,
}

impl Check for P02 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Proposed, Topic::Applied])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        match note {
            Note::Proposed { zxid, .. } => {
                let standalone = cx.canon.cluster.standalone;
                if !self.proposed.insert(*zxid) && !standalone {
                    return Err(format!("{server} proposes {zxid} a second time"));
                }
                let leader = cx.canon.established.get(&zxid.epoch());
                if !standalone && leader != Some(&server) {
                    return Err(format!(
                        "{server} proposes {zxid}; that epoch's leader: {leader:?}"
                    ));
                }
            }
            Note::Applied { zxid, hash, .. } => match cx.canon.proposals.get(zxid) {
                None => return Err(format!("{server} applies {zxid}, which nobody proposed")),
                Some(known) if known.hash != *hash => {
                    return Err(format!(
                        "{server} applies {zxid} with bytes that {} did not propose",
                        known.by
                    ));
                }
                Some(_) => {}
            },
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    #[test]
    fn what_nobody_proposed_is_found() {
        let mut run = Run::new(P02::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        assert!(run.note(2, applied(z(1, 2), 7)).is_err());
    }

    #[test]
    fn other_bytes_under_the_same_zxid_are_found() {
        let mut run = Run::new(P02::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        assert!(run.note(2, applied(z(1, 1), 12345)).is_err());
    }

    #[test]
    fn a_proposal_of_a_stranger_is_found() {
        let mut run = Run::new(P02::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        assert!(run.note(2, proposed(z(1, 1), 5)).is_err());
    }
}
