//! P7: the zxids that a server applies, and those that it appends to its log, strictly increase.
//! Source: Remix I-6; S3 for the log.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P07 {
    applied: BTreeMap<ServerId, Zxid>,
}

impl Check for P07 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Boot, Topic::Applied, Topic::SnapInstalled, Topic::Logged])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        if matches!(event, SimEvent::Boot { .. }) {
            self.applied.remove(&server);
        }
        let Some((_, note)) = note_of(cx, event) else { return Ok(()) };
        match note {
            Note::Applied { zxid, .. } => {
                if let Some(previous) = self.applied.insert(server, *zxid)
                    && previous >= *zxid
                {
                    return Err(format!("{server} applies {zxid} after {previous}"));
                }
            }
            Note::SnapInstalled { zxid, .. } => {
                self.applied.insert(server, *zxid);
            }
            Note::Logged { zxid, .. } => {
                let committed = &cx.canon.committed;
                let log = cx.canon.member(server).map(|member| &member.log);
                let previous = log.and_then(|log| log.entry(log.len().checked_sub(2)?, committed));
                if let Some(previous) = previous
                    && previous.zxid >= *zxid
                {
                    return Err(format!("{server} logs {zxid} after {}", previous.zxid));
                }
            }
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
    fn a_step_back_is_found() {
        let mut run = Run::new(P07::default());
        run.boot_all();
        run.note(2, applied(z(2, 1), 5)).unwrap();
        assert!(run.note(2, applied(z(1, 9), 6)).is_err());
    }

    #[test]
    fn appending_what_is_there_already_is_found() {
        let mut run = Run::new(P07::default());
        run.boot_all();
        run.log(2, z(1, 1), 5).unwrap();
        assert!(run.log(2, z(1, 1), 5).is_err());
    }
}
