//! P4: a zxid means one transaction for ever, over all servers and boots.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::hashed::HashedMap;
use crate::observe::SimEvent;
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P04 {
    seen: HashedMap<Zxid, (u64, ServerId)>,
}

impl Check for P04 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Proposed, Topic::Logged, Topic::Applied, Topic::Recovered])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        let (zxid, hash) = match note {
            Note::Proposed { zxid, hash, .. }
            | Note::Logged { zxid, hash, .. }
            | Note::Applied { zxid, hash, .. } => (*zxid, *hash),
            Note::Recovered { last, .. } if cx.canon.cluster.standalone => {
                // Alone, zxids that never became durable are free again.
                let keep = last.unwrap_or_default();
                self.seen.retain(|zxid, _| *zxid <= keep);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (first, by) = *self.seen.entry(zxid).or_insert((hash, server));
        if first != hash {
            return Err(format!("{zxid} is {hash:#x} at {server} but was {first:#x} at {by}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    #[test]
    fn a_zxid_used_twice_is_found() {
        let mut run = Run::new(P04::default());
        run.boot_all();
        run.log(1, z(1, 1), 5).unwrap();
        run.log(2, z(1, 1), 5).unwrap();
        assert!(run.log(3, z(1, 1), 6).is_err());
    }
}
