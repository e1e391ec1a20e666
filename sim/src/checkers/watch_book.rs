//! Which one-shot watches each session has, as the client must believe it.

use std::collections::BTreeMap;

use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::wire::client::{EventKind, SetWatches, WatchKind, WatchOp};

use crate::history::{Call, ClientFact, RequestId, SessionFact};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Data,
    Child,
}

/// Tables whose watches on the path an event of this kind uses up.
pub(crate) fn tables(kind: EventKind) -> &'static [Table] {
    match kind {
        EventKind::NodeCreated | EventKind::NodeDataChanged => &[Table::Data],
        EventKind::NodeDeleted => &[Table::Data, Table::Child],
        EventKind::NodeChildrenChanged => &[Table::Child],
    }
}

/// A list of a request that sets watches again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Data,
    Exist,
    Child,
}

impl List {
    const fn table(self) -> Table {
        match self {
            Self::Data | Self::Exist => Table::Data,
            Self::Child => Table::Child,
        }
    }

    /// Whether an event of this kind is the server's answer to a path of the list
    /// (`DataTree.setWatches`).
    const fn is_answered_by(self, kind: EventKind) -> bool {
        match kind {
            EventKind::NodeCreated => matches!(self, Self::Exist),
            EventKind::NodeDataChanged => matches!(self, Self::Data),
            EventKind::NodeDeleted => matches!(self, Self::Data | Self::Child),
            EventKind::NodeChildrenChanged => matches!(self, Self::Child),
        }
    }
}

/// What can be watched, by a number: every reply is compared with all watches of its session.
#[derive(Debug, Default)]
pub(crate) struct Watchables {
    numbers: [BTreeMap<String, usize>; 2],
    count: usize,
}

impl Watchables {
    pub(crate) fn number(&mut self, table: Table, path: &str) -> usize {
        if let Some(number) = self.known(table, path) {
            return number;
        }
        self.numbers[table as usize].insert(path.to_owned(), self.count);
        self.count += 1;
        self.count - 1
    }

    fn known(&self, table: Table, path: &str) -> Option<usize> {
        self.numbers[table as usize].get(path).copied()
    }

    pub(crate) fn path(&self, number: usize) -> &str {
        let mut all = self.numbers.iter().flatten();
        all.find(|(_, known)| **known == number).map_or("", |(path, _)| path)
    }
}

type Watches = BTreeMap<usize, Zxid>;

const NO_NODE: i32 = -101;

/// A request in flight that sets or removes watches.
#[derive(Debug)]
enum Asked {
    /// Sets one; on a missing node too?
    One {
        watched: usize,
        if_missing: bool,
    },
    /// Sets these, as far as they are not used up before the reply.
    Again(Vec<(List, usize)>),
    Remove(Vec<usize>),
}

#[derive(Debug, Default)]
pub(crate) struct WatchBook {
    pub(crate) watchables: Watchables,
    asked: BTreeMap<(SessionId, i32), Asked>,
    /// With the zxid of the reply that set it.
    set: BTreeMap<SessionId, Watches>,
}

impl WatchBook {
    pub(crate) fn of(&self, session: SessionId) -> Option<&Watches> {
        self.set.get(&session)
    }

    /// These are no longer set.
    pub(crate) fn forget(&mut self, session: SessionId, watches: &[usize]) {
        if let Some(set) = self.set.get_mut(&session).filter(|_| !watches.is_empty()) {
            set.retain(|watch, _| !watches.contains(watch));
        }
    }

    /// Answers the zxids at which the watches were set that an event used up.
    pub(crate) fn learn(&mut self, fact: &ClientFact) -> Vec<Zxid> {
        match fact {
            ClientFact::Invoke { op, call } => {
                let key = (op.session, op.xid);
                let (table, path, if_missing) = match call {
                    Call::Watch(WatchOp::Set(wanted)) => {
                        let again = self.listed(wanted);
                        self.asked.insert(key, Asked::Again(again));
                        return Vec::new();
                    }
                    Call::Watch(WatchOp::Remove { path, kind }) => {
                        let meant = meant(*kind).iter();
                        let removed = meant.map(|table| self.watchables.number(*table, path));
                        let removed = removed.collect();
                        self.asked.insert(key, Asked::Remove(removed));
                        return Vec::new();
                    }
                    Call::Exists { path, watch: true } => (Table::Data, path, true),
                    Call::GetData { path, watch: true } => (Table::Data, path, false),
                    Call::GetChildren { path, watch: true, .. } => (Table::Child, path, false),
                    _ => return Vec::new(),
                };
                let watched = self.watchables.number(table, path);
                self.asked.insert(key, Asked::One { watched, if_missing });
            }
            ClientFact::Ok { op, zxid, .. } => self.answered(*op, *zxid, 0),
            ClientFact::Err { op, zxid, code } => self.answered(*op, *zxid, *code),
            ClientFact::Unknown { op } => {
                self.asked.remove(&(op.session, op.xid));
            }
            ClientFact::Watch { session, kind, path, zxid, .. } => {
                self.caught_up(*session, *kind, path);
                if *zxid <= 0 {
                    return Vec::new();
                }
                let Some(set) = self.set.get_mut(session) else { return Vec::new() };
                let watched =
                    tables(*kind).iter().filter_map(|table| self.watchables.known(*table, path));
                return watched.filter_map(|watched| set.remove(&watched)).collect();
            }
            ClientFact::Session(
                SessionFact::Detached { session, .. }
                | SessionFact::Left { session }
                | SessionFact::Expired { session, .. },
            ) => {
                self.set.remove(session);
            }
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {}
        }
        Vec::new()
    }

    /// The one-shot watches of a request that sets them again.
    fn listed(&mut self, wanted: &SetWatches) -> Vec<(List, usize)> {
        let lists = [
            (List::Data, &wanted.data),
            (List::Exist, &wanted.exist),
            (List::Child, &wanted.child),
        ];
        let all =
            lists.into_iter().flat_map(|(list, paths)| paths.iter().map(move |it| (list, it)));
        all.map(|(list, path)| (list, self.watchables.number(list.table(), path))).collect()
    }

    /// An event that comes before watches are set again is an answer to them too. A path may be in several
    /// lists: an event answers some, and the server watches for the others.
    fn caught_up(&mut self, session: SessionId, kind: EventKind, path: &str) {
        let used: Vec<usize> =
            tables(kind).iter().filter_map(|table| self.watchables.known(*table, path)).collect();
        let in_flight = (session, i32::MIN)..=(session, i32::MAX);
        for (_, asked) in self.asked.range_mut(in_flight) {
            if let Asked::Again(again) = asked {
                again.retain(|(list, watched)| {
                    !(list.is_answered_by(kind) && used.contains(watched))
                });
            }
        }
    }

    /// `code` is 0 where all is well.
    fn answered(&mut self, op: RequestId, zxid: i64, code: i32) {
        let Some(asked) = self.asked.remove(&(op.session, op.xid)) else { return };
        let Some(zxid) = Zxid::from_wire(zxid) else { return };
        let set = self.set.entry(op.session).or_default();
        match asked {
            // Who may not read a node does not watch it either.
            Asked::One { watched, if_missing } if code == 0 || if_missing && code == NO_NODE => {
                set.entry(watched).or_insert(zxid);
            }
            Asked::One { .. } => {}
            Asked::Again(again) => {
                for (_, watched) in again {
                    set.entry(watched).or_insert(zxid);
                }
            }
            Asked::Remove(removed) if code == 0 => {
                for watched in removed {
                    set.remove(&watched);
                }
            }
            Asked::Remove(_) => {}
        }
    }
}

/// Tables of whose one-shot watches a request to remove speaks.
fn meant(kind: WatchKind) -> &'static [Table] {
    match kind {
        WatchKind::Children => &[Table::Child],
        WatchKind::Data => &[Table::Data],
        WatchKind::Any => &[Table::Data, Table::Child],
        WatchKind::Persistent | WatchKind::PersistentRecursive => &[],
    }
}
