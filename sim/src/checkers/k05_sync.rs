//! K5: the answer of a sync, and every read that its session sends behind it, shows all that was
//! committed anywhere before that sync was sent, whether anybody was told of it or not. A sync that may
//! have been answered under a leader with ZooKeeper's weaker one owes nothing.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{Call, ClientFact};
use crate::observe::SimEvent;
use std::collections::{BTreeMap, BTreeSet};
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};

#[derive(Debug, Default)]
pub(crate) struct K05 {
    reads: BTreeSet<(SessionId, i32)>,
    syncs: BTreeMap<(SessionId, i32), Asked>,
    owed: BTreeMap<SessionId, Zxid>,
}

/// A sync when it was sent.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// Highest zxid that was committed by then.
    floor: Zxid,
    /// The epoch that its server was in.
    epoch: Epoch,
}

impl Asked {
    /// Whether, since it was sent, its server has been in an epoch whose leader has the weaker sync.
    fn is_weak(self, cx: &Cx<'_>, server: ServerId) -> bool {
        let weak = &cx.canon.cluster.weak_sync;
        let last = cx.canon.member(server).map_or(self.epoch, |member| member.epoch);
        !weak.is_empty()
            && cx
                .canon
                .established
                .range(self.epoch..=last.max(self.epoch))
                .any(|(_, leader)| weak.contains(leader))
    }
}

impl Check for K05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call } => match call {
                Call::Sync { .. } => {
                    let epoch =
                        cx.canon.member(op.server).map_or(Epoch::ZERO, |member| member.epoch);
                    let last = cx.canon.committed.last();
                    let floor = last.map_or(Zxid::ZERO, |entry| entry.zxid);
                    let asked = Asked { floor, epoch };
                    self.syncs.insert((op.session, op.xid), asked);
                }
                call if call.is_read() => {
                    self.reads.insert((op.session, op.xid));
                }
                _ => {}
            },
            ClientFact::Ok { op, zxid, .. } | ClientFact::Err { op, zxid, .. } => {
                let key = (op.session, op.xid);
                let zxid = Zxid::from_wire(*zxid).unwrap_or_default();
                let refused =
                    matches!(fact, ClientFact::Err { code, .. } if !matches!(code, -101 | -102));
                if let Some(asked) = self.syncs.remove(&key)
                    && matches!(fact, ClientFact::Ok { .. })
                    && !asked.is_weak(cx, op.server)
                {
                    let owed = self.owed.entry(op.session).or_default();
                    *owed = (*owed).max(asked.floor);
                    if zxid < asked.floor {
                        let floor = asked.floor;
                        return Err(format!("{op:?} is a sync that shows {zxid} and owes {floor}"));
                    }
                }
                let owed = self.owed.get(&op.session).copied().unwrap_or_default();
                if self.reads.remove(&key) && !refused && zxid < owed {
                    return Err(format!("{op:?} shows {zxid} behind a sync that owes {owed}"));
                }
            }
            ClientFact::Unknown { op } => {
                let key = (op.session, op.xid);
                self.reads.remove(&key);
                self.syncs.remove(&key);
            }
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Reply;

    /// Behind a commit of 1:2, of which nobody was told, a session sends a sync and a read, which show
    /// these. `weak` answers syncs alone; server 1 leads, and the session asks server 1.
    fn shown(weak: Option<u64>, sync: Zxid, read: Zxid) -> Result<(), String> {
        let mut run = Run::new(K05::default());
        run.canon.cluster.weak_sync = weak.map(ServerId).into_iter().collect();
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.invoke(6, 1, Call::Sync { path: "/".into() }).unwrap();
        run.invoke(6, 2, Call::Exists { path: "/a".into(), watch: false }).unwrap();
        run.ok(6, 1, sync, Reply::Path("/".into()))?;
        run.err(6, 2, read, -101)
    }

    #[test]
    fn a_sync_that_shows_too_little_is_found() {
        assert!(shown(None, z(1, 1), z(1, 2)).is_err());
        assert_eq!(shown(None, z(1, 2), z(1, 2)), Ok(()));
    }

    #[test]
    fn a_stale_read_behind_a_sync_is_found() {
        assert!(shown(None, z(1, 2), z(1, 1)).is_err());
    }

    #[test]
    fn under_a_leader_with_the_weaker_sync_it_is_legal() {
        assert_eq!(shown(Some(1), z(1, 1), z(1, 1)), Ok(()));
    }

    #[test]
    fn followers_with_the_weaker_sync_excuse_nothing() {
        assert!(shown(Some(2), z(1, 1), z(1, 1)).is_err());
    }

    #[test]
    fn without_a_sync_it_is_legal() {
        let mut run = Run::new(K05::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.ok(5, 1, z(1, 2), Reply::Path("/a".into())).unwrap();
        run.invoke(6, 2, Call::Exists { path: "/a".into(), watch: false }).unwrap();
        run.err(6, 2, z(1, 1), -101).unwrap();
    }
}
