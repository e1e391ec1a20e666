use crate::checkers::Cx;
use crate::ids::SimTime;
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::SessionId;
use vivarium_core::server::note::Note;

/// How far the session clock of a server can have come.
#[derive(Debug, Default)]
pub(crate) struct SessionClock {
    /// Time in which its process stood still, but for a tick of each pause.
    missed_us: u64,
    paused: Option<SimTime>,
    /// When it came into office: each session then had its whole timeout before it.
    began: Reading,
    /// When each session was used last, as far as it says.
    used: BTreeMap<SessionId, Reading>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    at: SimTime,
    missed_us: u64,
}

impl SessionClock {
    pub(crate) fn hear(&mut self, cx: &Cx<'_>, event: &SimEvent) {
        match event {
            SimEvent::Paused => self.paused = Some(cx.now),
            SimEvent::Resumed => {
                let stood_us = self.paused.take().map_or(0, |since| cx.now.since(since));
                self.missed_us += stood_us.saturating_sub(cx.canon.cluster.tick_us);
            }
            SimEvent::Boot { .. } => {
                self.paused = None;
                self.begin(cx.now);
            }
            SimEvent::Note(Note::Established { .. }) => self.begin(cx.now),
            SimEvent::Note(Note::SessionTouched { session, .. }) => {
                self.used.insert(*session, self.read(cx.now));
            }
            _ => {}
        }
    }

    fn begin(&mut self, now: SimTime) {
        (self.began, self.used) = (self.read(now), BTreeMap::new());
    }

    fn read(&self, now: SimTime) -> Reading {
        Reading { at: now, missed_us: self.missed_us }
    }

    /// At most, since the session was used.
    pub(crate) fn ran_us(&self, session: SessionId, now: SimTime) -> u64 {
        let used = self.used.get(&session).unwrap_or(&self.began);
        now.since(used.at).saturating_sub(self.missed_us - used.missed_us)
    }
}
