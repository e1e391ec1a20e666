//! S4: only what the last append batch left may be taken for torn and cut off. Where a fault damaged older
//! records, a server either starts with all that it had or says that it is blank: then it has no vote, and
//! counts in no quorum, until its peers have filled it. S1 owes nothing of what rotted; this is why such
//! a server may not go on as if it had never had it. So nobody appends more at once than a batch may hold,
//! or one record.
//! Not judged of Apache's peers, which cannot tell rot from a torn end.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx, note_of};
use crate::observe::SimEvent;
use std::collections::BTreeMap;
use vivarium_core::ids::ServerId;
use vivarium_core::server::note::Note;

#[derive(Debug, Default)]
pub(crate) struct S04 {
    batch_bytes: u64,
    /// Committed transactions that a server had which starts from damage that no torn batch explains.
    had: BTreeMap<ServerId, usize>,
}

impl Check for S04 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Cluster, Topic::Boot, Topic::Recovered, Topic::BatchOutgrown])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        if let SimEvent::Cluster { servers, .. } = event {
            let batches = servers.iter().map(|config| config.append_batch_bytes as u64);
            self.batch_bytes = batches.max().unwrap_or_default();
        }
        if let (Some(server), SimEvent::BatchOutgrown { bytes, limit }) = (cx.server(), event) {
            return Err(format!("{server} appends {bytes} bytes at once, a batch has {limit}"));
        }
        if let (Some(server), SimEvent::Boot { .. }) = (cx.server(), event) {
            self.boots(cx, server);
        }
        let Some((server, Note::Recovered { blank, .. })) = note_of(cx, event) else {
            return Ok(());
        };
        let Some(had) = self.had.remove(&server).filter(|_| !blank) else { return Ok(()) };
        let has = cx.canon.member(server).map_or(0, |member| member.applied.common());
        match cx.canon.committed.get(has).filter(|_| has < had) {
            Some(lost) => Err(format!(
                "{server} goes on without {}, which rotted on its disk long before its last batch",
                lost.zxid
            )),
            None => Ok(()),
        }
    }
}

impl S04 {
    fn boots(&mut self, cx: &Cx<'_>, server: ServerId) {
        self.had.remove(&server);
        let is_apache = cx.canon.cluster.apache.contains(&server);
        if !cx.spec.white_box || is_apache || cx.disks.rot_reach(server) <= Some(self.batch_bytes) {
            return;
        }
        let durable = cx.disks.durable_last_log(server).map_or(0, |zxid| cx.canon.count_upto(zxid));
        let known = cx.canon.member(server).map_or(0, |member| member.log.common());
        self.had.insert(server, durable.min(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use vivarium_core::ids::Zxid;
    use vivarium_core::server::note::StateDigest;

    /// Server 2 has logged 1:1 and 1:2, finds damage with so many whole bytes behind it, and recovers.
    fn recovers(reach: u64, last: Option<Zxid>, blank: bool) -> Result<(), String> {
        let mut run = Run::new(S04::default());
        run.boot_all();
        run.establish(1, 1)?;
        run.write(1, 1, 1)?;
        run.write(1, 1, 2)?;
        run.disks.rot_reach = Some(reach);
        run.crash(2);
        run.server(2, SimEvent::Boot { incarnation: 2 })?;
        for counter in 1..=last.map_or(0, |last| last.counter()) {
            let (zxid, digest) = (z(1, counter), StateDigest::default());
            let hash = zxid.0 ^ 0x5555;
            run.note(2, Note::Applied { zxid, hash, digest, recovered: true })?;
        }
        run.note(2, Note::Recovered { last, from: None, blank, digest: StateDigest::default() })
    }

    #[test]
    fn rot_that_is_taken_for_the_end_of_the_log_is_found() {
        let far = 10 << 20;
        let lost = |zxid: Zxid| format!("goes on without {zxid}");
        assert!(recovers(far, None, false).unwrap_err().contains(&lost(z(1, 1))));
        let first = Some(z(1, 1));
        assert!(recovers(far, first, false).unwrap_err().contains(&lost(z(1, 2))));
        assert_eq!(recovers(far, Some(z(1, 2)), false), Ok(()), "a snapshot had it");
        assert_eq!(recovers(far, None, true), Ok(()), "it says that it is blank");
    }

    #[test]
    fn a_batch_that_outgrows_its_limit_is_found() {
        let mut run = Run::new(S04::default());
        let outgrown = SimEvent::BatchOutgrown { bytes: 600, limit: 512 };
        assert!(run.server(1, outgrown).unwrap_err().contains("a batch has 512"));
    }

    #[test]
    fn what_one_torn_batch_may_look_like_is_no_rot() {
        assert_eq!(recovers(100, Some(z(1, 1)), false), Ok(()));
    }
}
