//! L7: from the heal on the number of times that a server looks for a leader, and once all is quiet the
//! number of messages, stays under a budget that is linear in time and in what clients did: no storm of
//! votes, no loop of resends.

use std::collections::BTreeMap;

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::history::ClientFact;
use crate::ids::SimTime;
use crate::observe::SimEvent;
use vivarium_core::ids::ServerId;
use vivarium_core::server::note::{Note, Phase};

#[derive(Debug, Default)]
pub(crate) struct L07 {
    healed: Option<SimTime>,
    /// Since when messages are counted, and how many there were.
    quiet: Option<(SimTime, u64)>,
    /// Messages that what happened since accounts for.
    earned: u64,
    looked: BTreeMap<ServerId, u64>,
}

impl Check for L07 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Fresh,
            Topic::Healed,
            Topic::Traffic,
            Topic::Client,
            Topic::SyncChosen,
            Topic::PhaseEntered,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let SimEvent::Traffic { messages } = event {
            return self.judge(cx, *messages);
        }
        if matches!(event, SimEvent::Healed { .. }) {
            self.healed = Some(cx.now);
        }
        let Some(healed) = self.healed else { return Ok(()) };
        let servers = cx.canon.members.len() as u64;
        self.earned += cx.canon.fresh.len() as u64 * (FOR_A_COMMIT * servers);
        if let SimEvent::Client(fact) = event {
            self.earned += match fact {
                // A sync asks all for a word.
                ClientFact::Invoke { .. } => FOR_A_REQUEST * servers,
                ClientFact::Ping { .. } | ClientFact::Session(_) => FOR_A_REQUEST,
                ClientFact::Ok { .. }
                | ClientFact::Err { .. }
                | ClientFact::Unknown { .. }
                | ClientFact::Pong { .. }
                | ClientFact::Watch { .. }
                | ClientFact::Nonsense { .. } => 0,
            };
        }
        let Some((server, note)) = note_of(cx, event) else { return Ok(()) };
        match note {
            Note::SyncChosen { .. } => {
                self.earned += FOR_A_SYNC + FOR_A_COMMIT * cx.canon.committed.len() as u64;
            }
            Note::PhaseEntered { phase: Phase::Looking, .. } if !cx.canon.is_spared(server) => {
                let count = self.looked.entry(server).or_default();
                *count += 1;
                let seconds = cx.now.since(healed) / 1_000_000;
                let cluster = &cx.canon.cluster;
                let longest_pause = (cluster.init_limit_ticks * cluster.tick_us / 4).min(1_000_000);
                let a_second = LOOKS_A_SECOND.max(1_000_000 / longest_pause.max(1) + 1);
                if *count > LOOKS + LOOKS_OF_ONE_REFUSED + seconds * a_second {
                    return Err(format!(
                        "{server} looks for a leader for the {count}th time in {seconds} s of calm"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// For each server: request, PROPOSAL, ACK, COMMIT, and as much again for what is resent.
const FOR_A_COMMIT: u64 = 8;
const FOR_A_REQUEST: u64 = 8;
const FOR_A_SYNC: u64 = 100;
/// Of each pair of servers, for each tick: pings and their answers, and notifications while they look.
const FOR_A_TICK: u64 = 40;
/// Whatever is under way.
const UNDER_WAY: u64 = 2000;
/// A server looks so often at most, and each second, unless it is sent away again and again.
const LOOKS: u64 = 10;
const LOOKS_A_SECOND: u64 = 2;
/// One that is calls again after 4 ms, and after a pause of twice the length each time, up to the longest:
/// a second, or a quarter of initLimit (docs/decisions/0021).
const LOOKS_OF_ONE_REFUSED: u64 = 8;

impl L07 {
    fn judge(&mut self, cx: &Cx<'_>, messages: u64) -> Result<(), String> {
        let Some((since, before)) = self.quiet else {
            self.quiet = Some((cx.now, messages));
            self.earned = 0;
            return Ok(());
        };
        let cluster = &cx.canon.cluster;
        let servers = cx.canon.members.len() as u64;
        let ticks = cx.now.since(since) / cluster.tick_us.max(1) + 1;
        let budget = UNDER_WAY + ticks * servers * servers * FOR_A_TICK + self.earned;
        let sent = messages.saturating_sub(before);
        if sent > budget {
            return Err(format!(
                "{sent} messages in {ticks} ticks of calm; at most {budget} are due"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::ids::NodeId;

    fn healed() -> Run<L07> {
        let mut run = Run::new(L07::default());
        run.boot_all();
        run.heal().unwrap();
        run
    }

    fn calm() -> Run<L07> {
        let mut run = healed();
        run.wait_ms(61_000).unwrap();
        traffic(&mut run, 1_000_000).unwrap();
        run
    }

    fn traffic(run: &mut Run<L07>, messages: u64) -> Result<(), String> {
        run.feed(NodeId::World, &SimEvent::Traffic { messages })
    }

    #[test]
    fn a_storm_of_messages_is_found() {
        let mut run = calm();
        run.wait_ms(10_000).unwrap();
        traffic(&mut run, 1_002_000).unwrap();
        assert!(traffic(&mut run, 1_100_000).unwrap_err().contains("messages in"));
    }

    #[test]
    fn what_clients_do_is_no_storm() {
        let mut run = calm();
        run.establish(1, 1).unwrap();
        for counter in 1..=3000 {
            run.write(1, 1, counter).unwrap();
        }
        traffic(&mut run, 1_050_000).unwrap();
    }

    #[test]
    fn looking_again_and_again_is_found() {
        let mut run = healed();
        let looks = |run: &mut Run<L07>| run.note(2, phase(Phase::Looking, 1));
        assert!((0..20).any(|_| looks(&mut run).is_err()), "from the heal on");
        let mut run = healed();
        for _ in 0..20 {
            run.wait_ms(1_000).unwrap();
            looks(&mut run).unwrap();
        }
    }
}
