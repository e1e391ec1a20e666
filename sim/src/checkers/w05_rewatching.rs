//! W5: a client that sets its watches again is told what it missed: of one-shot watches what the nodes
//! still show; of persistent ones each change since the zxid that it names, in order, or, where the
//! server has forgotten some, whatever makes the client look again at all that has changed. An event
//! without a zxid comes at no other time.

use crate::checkers::happened::{Change, Happened};
use crate::checkers::lasting_book::Lasting;
use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::history::{AclEntry, Call, ClientFact};
use crate::observe::SimEvent;
use crate::oracle::access::{Identity, READ, Rules, permits};
use crate::oracle::past::Past;
use crate::oracle::tree::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::wire::client::{EventKind, SetWatches, Stat, WatchOp};

/// Kind, path, and zxid of the header.
type Told = (EventKind, String, i64);

#[derive(Debug)]
struct Asked {
    xid: i32,
    wanted: SetWatches,
    ids: Arc<[Identity]>,
    told: Vec<Told>,
}

#[derive(Debug, Default)]
pub(crate) struct W05 {
    asked: BTreeMap<SessionId, Asked>,
    events: Happened,
}

impl Check for W05 {
    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Fresh, Topic::Client])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        self.events.hear(cx);
        let SimEvent::Client(fact) = event else { return Ok(()) };
        match fact {
            ClientFact::Invoke { op, call: Call::Watch(WatchOp::Set(wanted)) } => {
                let ids = cx.canon.identities.of(op.session);
                let asked = Asked { xid: op.xid, wanted: wanted.clone(), ids, told: Vec::new() };
                self.asked.insert(op.session, asked);
            }
            ClientFact::Watch { session, kind, path, zxid, .. } => {
                if let Some(asked) = self.asked.get_mut(session) {
                    asked.told.push((*kind, path.clone(), *zxid));
                } else if *zxid <= 0 {
                    return Err(format!("session {session} is told {kind:?} {path} of no change"));
                }
            }
            ClientFact::Ok { op, zxid, .. } => {
                let xid = op.xid;
                if self.asked.get(&op.session).is_some_and(|asked| asked.xid == xid)
                    && let Some(asked) = self.asked.remove(&op.session)
                    && !cx.canon.oracle_blind
                {
                    let zxid = Zxid::from_wire(*zxid).unwrap_or_default();
                    if cx.canon.may_be_uncommitted(op.session, zxid) {
                        return Ok(());
                    }
                    return self.judge(cx, op.session, &asked, zxid);
                }
            }
            ClientFact::Err { op, .. } | ClientFact::Unknown { op } => {
                let xid = op.xid;
                if self.asked.get(&op.session).is_some_and(|asked| asked.xid == xid) {
                    self.asked.remove(&op.session);
                }
            }
            ClientFact::Invoke { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Ok(())
    }
}

impl W05 {
    fn judge(
        &self,
        cx: &Cx<'_>,
        session: SessionId,
        asked: &Asked,
        zxid: Zxid,
    ) -> Result<(), String> {
        let reader = Reader { rules: &cx.canon.cluster.access, ids: &asked.ids };
        let (past, position) = (cx.canon.oracle.past(), cx.canon.count_upto(zxid));
        let tree = Tree { past, position, reader };
        let Asked { wanted, told, .. } = asked;
        let missed = tree.missed(wanted);
        let watches = lasting(wanted);
        let rest = told.strip_prefix(&missed[..]);
        let replayed = self.replayed(&watches, wanted.relative_zxid, zxid, reader);
        let right = rest.is_some_and(|rest| {
            let cluster = &cx.canon.cluster;
            let forgets =
                !cluster.keeps_changes || (cx.spec.recorded && !cluster.apache.is_empty());
            if forgets && rest.is_empty() {
                return true;
            }
            let told = rest == replayed || rest == tree.look_again(&watches, wanted.relative_zxid);
            cluster.keeps_changes && told
        });
        if right {
            return Ok(());
        }
        let since = wanted.relative_zxid;
        Err(format!(
            "session {session} sets its watches again at {zxid}, having seen {since:#x}, and is told \
             {told:?}; it missed {missed:?} of one-shot watches, and of persistent ones {replayed:?}"
        ))
    }

    fn replayed(
        &self,
        watches: &[Lasting],
        since: i64,
        upto: Zxid,
        reader: Reader<'_>,
    ) -> Vec<Told> {
        let met = |kind, path: &str| watches.iter().any(|watch| watch.meets(kind, path));
        let seen = Zxid::from_wire(since).map_or(0, |since| self.events.upto(since));
        let missed = self.events.behind(seen).iter().take_while(|change| change.zxid <= upto);
        let meets =
            |event: &Event| met(event.kind, &event.path) && reader.may(event.acl.as_deref());
        let events = missed.filter(|change| meets(&change.event));
        let told =
            |Change { zxid, event }: &Change| (event.kind, event.path.clone(), zxid.to_wire());
        events.map(told).collect()
    }
}

fn lasting(wanted: &SetWatches) -> Vec<Lasting> {
    let Some(all) = &wanted.lasting else { return Vec::new() };
    let of = |path: &String, recursive| Lasting { path: path.clone(), recursive };
    let persistent = all.persistent.iter().map(|path| of(path, false));
    persistent.chain(all.recursive.iter().map(|path| of(path, true))).collect()
}

/// Who sets its watches again.
#[derive(Clone, Copy)]
struct Reader<'a> {
    rules: &'a Rules,
    ids: &'a [Identity],
}

impl Reader<'_> {
    fn may(self, acl: Option<&[AclEntry]>) -> bool {
        permits(self.rules, acl, READ, self.ids)
    }
}

/// The tree at one moment.
struct Tree<'a> {
    past: &'a Past,
    position: usize,
    reader: Reader<'a>,
}

/// What no transaction tells of.
const NO_ZXID: i64 = -1;

impl Tree<'_> {
    fn stat(&self, path: &str) -> Option<&Stat> {
        self.past.node(self.position, path).map(|node| &node.stat)
    }

    /// What one-shot watches missed, in the order in which they are listed.
    fn missed(&self, wanted: &SetWatches) -> Vec<Told> {
        use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
        let since = wanted.relative_zxid;
        let mut missed = Vec::new();
        let mut tell = |kind: Option<EventKind>, path: &String| {
            missed.extend(kind.map(|kind| (kind, path.clone(), NO_ZXID)));
        };
        for path in &wanted.data {
            let changed = |stat: &Stat| (stat.mzxid > since).then_some(NodeDataChanged);
            tell(self.stat(path).map_or(Some(NodeDeleted), changed), path);
        }
        for path in &wanted.exist {
            tell(self.stat(path).map(|_| NodeCreated), path);
        }
        for path in &wanted.child {
            let changed = |stat: &Stat| (stat.pzxid > since).then_some(NodeChildrenChanged);
            tell(self.stat(path).map_or(Some(NodeDeleted), changed), path);
        }
        missed
    }

    /// What tells a client where to look that cannot be told what happened.
    fn look_again(&self, watches: &[Lasting], since: i64) -> Vec<Told> {
        use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
        let mut told: Vec<Told> = Vec::new();
        let mut known = BTreeSet::new();
        let mut tell = |kind: EventKind, path: &str| {
            let node = self.past.node(self.position, path);
            let may = node.is_none_or(|node| self.reader.may(node.acl.as_deref()));
            if may && known.insert((kind, path.to_owned())) {
                told.push((kind, path.to_owned(), NO_ZXID));
            }
        };
        for Lasting { path, recursive } in watches {
            let Some(stat) = self.stat(path) else {
                tell(NodeDeleted, path);
                continue;
            };
            if !recursive {
                if stat.czxid > since {
                    tell(NodeCreated, path);
                } else if stat.mzxid > since {
                    tell(NodeDataChanged, path);
                }
                if stat.pzxid > since.max(stat.czxid) {
                    tell(NodeChildrenChanged, path);
                }
                continue;
            }
            let mut ahead = vec![path.clone()];
            while let Some(path) = ahead.pop() {
                let Some(stat) = self.stat(&path) else { continue };
                if stat.czxid > since {
                    tell(NodeCreated, &path);
                } else if stat.mzxid.max(stat.pzxid) > since {
                    tell(NodeDataChanged, &path);
                }
                let folder = if path == "/" { "" } else { &path };
                let names = self.past.children(self.position, &path);
                ahead.extend(names.iter().rev().map(|name| format!("{folder}/{name}")));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::history::Reply;
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    use vivarium_core::wire::client::LastingWatches;

    /// /a, and then /a/b, are created after what the client has seen.
    fn run(data: &[&str], persistent: &[&str], recursive: &[&str]) -> Run<W05> {
        let mut run = Run::new(W05::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        run.open(z(1, 1), 5);
        run.create(z(1, 2), 5, 1, "/a", false).unwrap();
        run.create(z(1, 3), 5, 2, "/a/b", false).unwrap();
        let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let wanted = SetWatches {
            relative_zxid: z(1, 1).to_wire(),
            data: list(data),
            lasting: Some(LastingWatches {
                persistent: list(persistent),
                recursive: list(recursive),
            }),
            ..SetWatches::default()
        };
        run.invoke(6, 1, Call::Watch(WatchOp::Set(wanted))).unwrap();
        run
    }

    fn answer(mut run: Run<W05>, told: &[(EventKind, &str, i64)]) -> Result<(), String> {
        for (kind, path, zxid) in told {
            run.told(6, *kind, path, *zxid)?;
        }
        run.ok(6, 1, z(1, 3), Reply::Empty)
    }

    #[test]
    fn one_shot_watches_are_told_what_their_nodes_show() {
        let run = || run(&["/a", "/gone"], &[], &[]);
        answer(run(), &[(NodeDataChanged, "/a", -1), (NodeDeleted, "/gone", -1)]).unwrap();
        assert!(answer(run(), &[(NodeDeleted, "/gone", -1)]).is_err());
        assert!(answer(run(), &[]).is_err());
    }

    /// z(1, 9) is nothing that anybody committed.
    #[test]
    fn readers_may_be_shown_what_is_not_committed() {
        let mut reader = run(&["/gone"], &[], &[]);
        reader.canon.readers.insert(SessionId(6));
        reader.ok(6, 1, z(1, 9), Reply::Empty).unwrap();
        let mut reader = run(&["/gone"], &[], &[]);
        reader.canon.readers.insert(SessionId(6));
        assert!(reader.ok(6, 1, z(1, 3), Reply::Empty).is_err(), "but this is");
        assert!(run(&["/gone"], &[], &[]).ok(6, 1, z(1, 9), Reply::Empty).is_err());
    }

    #[test]
    fn a_replay_has_all_that_persistent_watches_missed() {
        let (first, second) = (z(1, 2).to_wire(), z(1, 3).to_wire());
        let all = [
            (NodeCreated, "/a", first),
            (NodeCreated, "/a/b", second),
            (NodeChildrenChanged, "/a", second),
        ];
        let run = || run(&[], &["/a"], &["/"]);
        answer(run(), &all).unwrap();
        assert!(answer(run(), &all[..2]).is_err(), "the last one is missing");
        assert!(answer(run(), &[]).is_err(), "all are");
        assert!(answer(run(), &[all[1], all[0], all[2]]).is_err(), "out of order");
        let twice = [all[0], all[0], all[1], all[2]];
        assert!(answer(run(), &twice).is_err(), "one comes twice");
    }

    #[test]
    fn where_changes_are_forgotten_the_client_is_told_where_to_look() {
        let run = || run(&[], &["/gone"], &["/"]);
        let all = [
            (NodeDeleted, "/gone", -1),
            (NodeDataChanged, "/", -1),
            (NodeCreated, "/a", -1),
            (NodeCreated, "/a/b", -1),
        ];
        answer(run(), &all).unwrap();
        assert!(answer(run(), &all[..3]).is_err());
    }

    #[test]
    fn an_event_of_no_change_is_found_at_any_other_time() {
        let mut run = run(&[], &[], &[]);
        run.ok(6, 1, z(1, 3), Reply::Empty).unwrap();
        assert!(run.told(6, NodeDataChanged, "/a", -1).is_err());
    }
}
