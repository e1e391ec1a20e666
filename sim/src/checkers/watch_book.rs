//! Which one-shot watches each session has, as the client must believe it.

use std::collections::BTreeMap;

use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::wire::client::EventKind;

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

#[derive(Debug, Default)]
pub(crate) struct WatchBook {
    pub(crate) watchables: Watchables,
    /// Requests in flight that set a watch; true where they do so on a missing node too.
    asked: BTreeMap<(SessionId, i32), (usize, bool)>,
    /// With the zxid of the reply that set it.
    set: BTreeMap<SessionId, Watches>,
}

impl WatchBook {
    pub(crate) fn of(&self, session: SessionId) -> Option<&Watches> {
        self.set.get(&session)
    }

    /// Answers the zxids at which the watches were set that an event used up.
    pub(crate) fn learn(&mut self, fact: &ClientFact) -> Vec<Zxid> {
        match fact {
            ClientFact::Invoke { op, call } => {
                let (table, path, if_missing) = match call {
                    Call::Exists { path, watch: true } => (Table::Data, path, true),
                    Call::GetData { path, watch: true } => (Table::Data, path, false),
                    Call::GetChildren { path, watch: true, .. } => (Table::Child, path, false),
                    _ => return Vec::new(),
                };
                let watched = self.watchables.number(table, path);
                self.asked.insert((op.session, op.xid), (watched, if_missing));
            }
            ClientFact::Ok { op, zxid, .. } => self.answered(*op, *zxid, true),
            ClientFact::Err { op, zxid, code } => self.answered(*op, *zxid, *code != -101),
            ClientFact::Unknown { op } => {
                self.asked.remove(&(op.session, op.xid));
            }
            ClientFact::Watch { session, kind, path, .. } => {
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

    /// `found`: the node was there, or the request failed in a way that sets nothing.
    fn answered(&mut self, op: RequestId, zxid: i64, found: bool) {
        let Some((watched, if_missing)) = self.asked.remove(&(op.session, op.xid)) else {
            return;
        };
        if !found && !if_missing {
            return;
        }
        if let Some(zxid) = Zxid::from_wire(zxid) {
            self.set.entry(op.session).or_default().entry(watched).or_insert(zxid);
        }
    }
}
