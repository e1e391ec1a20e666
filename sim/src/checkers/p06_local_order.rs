//! P6: within an epoch the counters that a server logs and applies, and that leaders propose and
//! commit, are 1, 2, 3, ... without a gap.
//! Source: Remix I-5.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P06 {
    proposed: BTreeMap<ServerId, Zxid>,
    committed: BTreeMap<ServerId, Zxid>,
    applied: BTreeMap<ServerId, Zxid>,
}

impl Check for P06 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Boot,
            Topic::Proposed,
            Topic::Committed,
            Topic::Logged,
            Topic::Applied,
            Topic::SnapInstalled,
            Topic::PhaseEntered,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else {
            if let (Some(server), SimEvent::Boot { .. }) = (cx.server(), event) {
                self.applied.remove(&server);
            }
            return Ok(());
        };
        match note {
            Note::Proposed { zxid, .. } => follows("proposes", server, &mut self.proposed, *zxid),
            Note::Committed { zxid } => follows("commits", server, &mut self.committed, *zxid),
            Note::Logged { zxid, .. } => {
                let logged = cx.canon.member(server).map(|member| &member.log);
                let previous = logged
                    .and_then(|log| log.entry(log.len().checked_sub(2)?, &cx.canon.committed));
                match previous {
                    Some(previous) => step("logs", server, previous.zxid, *zxid),
                    None => Ok(()),
                }
            }
            Note::Applied { zxid, .. } => follows("applies", server, &mut self.applied, *zxid),
            Note::SnapInstalled { zxid, .. } => {
                self.applied.insert(server, *zxid);
                Ok(())
            }
            Note::PhaseEntered { .. } => {
                self.proposed.remove(&server);
                self.committed.remove(&server);
                Ok(())
            }
            _ => Ok(()),
        }?;
        Ok(())
    }
}

fn follows(
    what: &str,
    server: ServerId,
    last: &mut BTreeMap<ServerId, Zxid>,
    zxid: Zxid,
) -> Result<(), String> {
    match last.insert(server, zxid) {
        Some(previous) => step(what, server, previous, zxid),
        None => Ok(()),
    }
}

/// Backward steps are P7's.
fn step(what: &str, server: ServerId, previous: Zxid, zxid: Zxid) -> Result<(), String> {
    let expected = match previous.epoch() == zxid.epoch() {
        true => previous.counter() + 1,
        false => 1,
    };
    if zxid > previous && zxid.counter() != expected {
        return Err(format!("{server} {what} {zxid} after {previous}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;

    #[test]
    fn a_gap_is_found() {
        let mut run = Run::new(P06::default());
        run.boot_all();
        run.note(2, applied(z(1, 1), 5)).unwrap();
        run.note(2, applied(z(1, 2), 6)).unwrap();
        assert!(run.note(2, applied(z(1, 4), 7)).is_err());
    }

    #[test]
    fn a_new_epoch_starts_at_one() {
        let mut run = Run::new(P06::default());
        run.boot_all();
        run.log(2, z(1, 1), 5).unwrap();
        run.log(2, z(2, 1), 6).unwrap();
        assert!(run.log(2, z(3, 2), 7).is_err());
    }
}
