//! Which persistent watches each session has on its present connection, as the client must believe
//! it.

use std::collections::BTreeMap;

use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::wire::client::{AddMode, EventKind, WatchKind, WatchOp};

use crate::history::{Call, ClientFact, SessionFact};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lasting {
    pub(crate) path: String,
    pub(crate) recursive: bool,
}

impl Lasting {
    /// Whether an event is for it. A recursive one is told of no list of children.
    pub(crate) fn meets(&self, kind: EventKind, path: &str) -> bool {
        if !self.recursive {
            return path == self.path;
        }
        let below = |rest: &str| rest.is_empty() || self.path == "/" || rest.starts_with('/');
        kind != EventKind::NodeChildrenChanged && path.strip_prefix(&self.path).is_some_and(below)
    }
}

#[derive(Debug, Default)]
pub(crate) struct LastingBook {
    asked: BTreeMap<(SessionId, i32), WatchOp>,
    /// With the zxid of the reply that set it. No entry is empty.
    set: BTreeMap<SessionId, BTreeMap<Lasting, Zxid>>,
}

impl LastingBook {
    pub(crate) fn has_any(&self, session: SessionId) -> bool {
        self.set.contains_key(&session)
    }

    /// When the oldest of a session's watches was set.
    pub(crate) fn oldest(&self, session: SessionId) -> Option<Zxid> {
        self.set.get(&session)?.values().min().copied()
    }

    /// Whether a session has a watch that a change is for.
    pub(crate) fn meets(
        &self,
        session: SessionId,
        zxid: Zxid,
        kind: EventKind,
        path: &str,
    ) -> bool {
        let watches = self.set.get(&session).into_iter().flatten();
        let mut met = watches.filter(|(watch, since)| **since < zxid && watch.meets(kind, path));
        met.next().is_some()
    }

    /// Whether the session sets its watches again just now.
    pub(crate) fn resets(&self, session: SessionId) -> bool {
        let of_session = self.asked.range((session, i32::MIN)..=(session, i32::MAX));
        of_session.into_iter().any(|(_, op)| matches!(op, WatchOp::Set(_)))
    }

    pub(crate) fn learn(&mut self, fact: &ClientFact) {
        match fact {
            ClientFact::Invoke { op, call: Call::Watch(watch) } => {
                self.asked.insert((op.session, op.xid), watch.clone());
            }
            ClientFact::Ok { op, zxid, .. } => {
                if let Some(watch) = self.asked.remove(&(op.session, op.xid)) {
                    let since = Zxid::from_wire(*zxid).unwrap_or_default();
                    self.answered(op.session, watch, since);
                }
            }
            ClientFact::Err { op, .. } | ClientFact::Unknown { op } => {
                self.asked.remove(&(op.session, op.xid));
            }
            ClientFact::Session(
                SessionFact::Detached { session, .. }
                | SessionFact::Left { session }
                | SessionFact::Expired { session, .. },
            ) => {
                self.set.remove(session);
            }
            ClientFact::Invoke { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
    }

    fn answered(&mut self, session: SessionId, watch: WatchOp, since: Zxid) {
        let mut set = self.set.remove(&session).unwrap_or_default();
        match watch {
            WatchOp::Add { path, mode } => {
                let recursive = mode == AddMode::PersistentRecursive;
                set.entry(Lasting { path, recursive }).or_insert(since);
            }
            WatchOp::Remove { path, kind } => set.retain(|watch, _| {
                let meant = match kind {
                    WatchKind::Children | WatchKind::Data => false,
                    WatchKind::Any => true,
                    WatchKind::Persistent => !watch.recursive,
                    WatchKind::PersistentRecursive => watch.recursive,
                };
                !meant || watch.path != path
            }),
            WatchOp::Set(wanted) => {
                let lasting = wanted.lasting.unwrap_or_default();
                let of = |path, recursive| Lasting { path, recursive };
                let persistent = lasting.persistent.into_iter().map(|path| of(path, false));
                let recursive = lasting.recursive.into_iter().map(|path| of(path, true));
                for watch in persistent.chain(recursive) {
                    set.entry(watch).or_insert(since);
                }
            }
            WatchOp::Check { .. } => {}
        }
        if !set.is_empty() {
            self.set.insert(session, set);
        }
    }
}
