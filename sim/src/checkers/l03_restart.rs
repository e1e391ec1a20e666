//! L3: a server whose disk is intact starts: it is up within the bound, and no fatal end is its own.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::ids::SimTime;
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::ServerId;
use vivarium_core::server::action::{FatalReason, Halt};

/// How long an operation may be under way, in microseconds.
const GRACE_US: u64 = 5_000_000;

#[derive(Debug, Default)]
pub(crate) struct L03 {
    next: Option<SimTime>,
    calm_since: SimTime,
    booting: BTreeMap<ServerId, SimTime>,
}

impl Check for L03 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Faults, Topic::Boot, Topic::Up, Topic::Crash, Topic::Exit])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if matches!(event, SimEvent::Faults { active: 0 }) {
            self.calm_since = cx.now;
            self.set_deadline();
        }
        let Some(server) = cx.server().filter(|server| !cx.canon.sick.contains_key(server)) else {
            return Ok(());
        };
        match event {
            SimEvent::Boot { .. } => {
                self.booting.insert(server, cx.now);
            }
            SimEvent::Up { .. } | SimEvent::Crash(_) => {
                self.booting.remove(&server);
            }
            SimEvent::Exit(Halt::Fatal(reason)) => {
                self.booting.remove(&server);
                let excused = match reason {
                    // An operation that was asked for under the fault may fail after its end.
                    FatalReason::Disk { .. } => {
                        cx.canon.faults_active > 0 || cx.now.since(self.calm_since) < GRACE_US
                    }
                    FatalReason::Corrupt { .. } => cx.damage.is_rotten(server),
                    FatalReason::Config(_) => false,
                };
                if !excused {
                    return Err(format!("{server} ends with an intact disk: {reason}"));
                }
            }
            SimEvent::Exit(Halt::Stop | Halt::Restart(_)) => {
                self.booting.remove(&server);
            }
            _ => {}
        }
        self.set_deadline();
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.next
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        // Disks may be faulty: the bound begins when nothing is.
        self.next = Some(cx.now.plus(T_START_US));
        let late = |since: &SimTime| cx.now.since((*since).max(self.calm_since)) >= T_START_US;
        self.booting.retain(|server, _| !cx.canon.sick.contains_key(server));
        match self.booting.iter().find(|(_, since)| late(since)) {
            Some((server, since)) if cx.canon.faults_active == 0 => {
                Err(format!("{server} recovers since {since} and is not up yet"))
            }
            Some(_) => Ok(()),
            None => {
                self.next = None;
                Ok(())
            }
        }
    }
}

impl L03 {
    fn set_deadline(&mut self) {
        let first = self.booting.values().min();
        self.next = first.map(|since| (*since).max(self.calm_since).plus(T_START_US));
    }
}

const T_START_US: u64 = 30_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::LossKind;

    fn corrupt() -> SimEvent {
        let file = "log.1".into();
        SimEvent::Exit(Halt::Fatal(FatalReason::Corrupt { file, offset: 1, what: "checksum" }))
    }

    #[test]
    fn refusing_an_intact_disk_is_found() {
        let mut run = Run::new(L03::default());
        run.boot_all();
        run.server(1, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        run.server(1, corrupt()).unwrap();
        assert!(run.server(2, corrupt()).is_err());
    }

    #[test]
    fn a_recovery_that_never_ends_is_found() {
        let mut run = Run::new(L03::default());
        run.server(2, SimEvent::Boot { incarnation: 1 }).unwrap();
        run.wait_ms(29_000).unwrap();
        assert!(run.wait_ms(2_000).is_err());
    }
}
