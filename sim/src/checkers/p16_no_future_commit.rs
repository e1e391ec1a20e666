//! P16: a server applies only what is in its log.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::{ServerId, Zxid};
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct P16 {
    /// Newest transaction in the log of each server, or in the snapshot in its place.
    logged: BTreeMap<ServerId, Zxid>,
}

impl Check for P16 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Logged,
            Topic::SnapInstalled,
            Topic::Recovered,
            Topic::Truncated,
            Topic::Applied,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        match note {
            Note::Logged { zxid, .. } | Note::SnapInstalled { zxid, .. } => {
                self.logged.insert(server, *zxid);
            }
            Note::Recovered { last, .. } => {
                self.logged.insert(server, last.unwrap_or_default());
            }
            Note::Truncated { upto } => {
                let logged = self.logged.entry(server).or_default();
                *logged = (*logged).min(*upto);
            }
            Note::Applied { zxid, recovered: false, .. } => {
                let logged = self.logged.get(&server).copied().unwrap_or_default();
                if *zxid > logged {
                    return Err(format!("{server} applies {zxid}, its log ends with {logged}"));
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
    fn applying_what_was_never_logged_is_found() {
        let mut run = Run::new(P16::default());
        run.boot_all();
        run.log(2, z(1, 1), 5).unwrap();
        run.note(2, applied(z(1, 1), 5)).unwrap();
        assert!(run.note(2, applied(z(1, 2), 6)).is_err());
    }

    #[test]
    fn applying_what_was_cut_off_is_found() {
        let mut run = Run::new(P16::default());
        run.boot_all();
        run.log(2, z(1, 1), 5).unwrap();
        run.note(2, Note::Truncated { upto: Zxid::ZERO }).unwrap();
        assert!(run.note(2, applied(z(1, 1), 5)).is_err());
    }
}
