//! P9: no truncation, recovery, crash or snapshot takes a committed transaction off a disk so that
//! fewer than a quorum of voters hold it. Judged by the disks; copies that a wipe or bit rot took are
//! charged to the fault, so they count as held.

use crate::checkers::damage::Fall;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::observe::{Durable, SimEvent};
use vivarium_core::ids::{ServerId, Zxid};

#[derive(Debug, Default)]
pub(crate) struct P09;

impl Check for P09 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Boot,
            Topic::HistoryLost,
            Topic::Durable,
            Topic::Crash,
            Topic::Exit,
            Topic::Recovered,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        // Apache's servers keep their log when a SNAP replaces their tree; those that only behave like
        // them cannot (S8).
        let apache = cx.server().is_some_and(|server| cx.canon.cluster.apache.contains(&server));
        if apache && matches!(event, SimEvent::Durable(Durable::Removed { .. })) {
            return Ok(());
        }
        match (cx.server(), cx.damage.fall()) {
            (Some(server), Some(fall)) if cx.spec.white_box => judge_removal(cx, server, fall),
            _ => Ok(()),
        }
    }
}

fn judge_removal(cx: &Cx<'_>, server: ServerId, fall: Fall) -> Result<(), String> {
    let upto = |zxid: Option<Zxid>| zxid.map_or(0, |zxid| cx.canon.count_upto(zxid));
    for entry in &cx.canon.committed[upto(fall.to)..upto(fall.from)] {
        let holds = |voter: &ServerId| {
            cx.damage.took(*voter, entry.zxid)
                || cx.disks.durable_has_txn(*voter, entry.zxid, entry.hash)
        };
        let held = || cx.canon.cluster.voters.iter().filter(|voter| holds(voter));
        if !cx.canon.cluster.is_quorum(held()) {
            return Err(format!(
                "{server} lost {}, which is committed; {} voters still hold it",
                entry.zxid,
                held().count()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::observe::LossKind;

    fn run() -> Run<P09> {
        let mut run = Run::new(P09);
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.write(1, 1, 1).unwrap();
        for server in 1..=3 {
            let last = Some(z(1, 1));
            run.server(server, SimEvent::Durable(Durable::Log { last })).unwrap();
        }
        run
    }

    #[test]
    fn two_truncations_of_a_commit_are_found() {
        let mut run = run();
        run.disks.clear(1);
        run.server(1, SimEvent::Durable(Durable::Log { last: None })).unwrap();
        run.disks.clear(2);
        assert!(run.server(2, SimEvent::Durable(Durable::Log { last: None })).is_err());
    }

    #[test]
    fn a_peer_of_apaches_kind_removes_what_apache_would_keep() {
        for apache in [true, false] {
            let mut run = run();
            let peer = apache.then_some(ServerId(2));
            run.canon.cluster.apache = peer.into_iter().collect();
            run.disks.clear(1);
            run.server(1, SimEvent::Durable(Durable::Log { last: None })).unwrap();
            run.disks.clear(2);
            assert_eq!(
                run.server(2, SimEvent::Durable(Durable::Removed { aside: false })).is_ok(),
                apache
            );
        }
    }

    #[test]
    fn what_was_logged_behind_rot_is_charged_with_it() {
        let mut run = run();
        run.server(1, SimEvent::HistoryLost(LossKind::BitRot)).unwrap();
        run.write(1, 1, 2).unwrap();
        for server in 1..=3 {
            let last = Some(z(1, 2));
            run.server(server, SimEvent::Durable(Durable::Log { last })).unwrap();
        }
        run.server(1, SimEvent::Boot { incarnation: 2 }).unwrap();
        run.disks.clear(1);
        run.server(1, SimEvent::Durable(Durable::Removed { aside: false })).unwrap();
        run.disks.clear(2);
        run.server(2, SimEvent::Durable(Durable::Log { last: None })).unwrap();
        run.disks.clear(3);
        assert!(run.server(3, SimEvent::Durable(Durable::Log { last: None })).is_err());
    }

    #[test]
    fn a_wipe_is_charged_to_the_fault() {
        let mut run = run();
        run.disks.clear(1);
        run.server(1, SimEvent::HistoryLost(LossKind::Wiped)).unwrap();
        run.disks.clear(2);
        run.server(2, SimEvent::Durable(Durable::Log { last: None })).unwrap();
        run.disks.clear(3);
        assert!(run.server(3, SimEvent::Durable(Durable::Log { last: None })).is_err());
    }
}
