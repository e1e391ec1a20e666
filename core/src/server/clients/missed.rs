//! What a client missed that sets its persistent watches again. ZooKeeper tells it nothing
//! (docs/decisions/0024).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::path;
use crate::request::read::{Asker, may_read};
use crate::tree::Database;
use crate::wire::client::{EventKind, LastingWatches};

/// Nodes looked at for one request. A client that watches more is told to look at the rest itself.
const MOST_NODES: usize = 10_000;

/// Whether one of the watches is for an event.
pub(super) struct Named<'a> {
    persistent: BTreeSet<&'a str>,
    recursive: BTreeSet<&'a str>,
}

impl<'a> Named<'a> {
    pub(super) fn new(lasting: &'a LastingWatches) -> Self {
        let set = |paths: &'a [String]| paths.iter().map(String::as_str).collect();
        Self { persistent: set(&lasting.persistent), recursive: set(&lasting.recursive) }
    }

    pub(super) fn meets(&self, kind: EventKind, path: &str) -> bool {
        self.persistent.contains(path)
            || kind != EventKind::NodeChildrenChanged && self.is_below(path)
    }

    fn is_below(&self, path: &str) -> bool {
        if self.recursive.is_empty() {
            return false;
        }
        let mut at = Some(path);
        while let Some(path) = at {
            if self.recursive.contains(path) {
                return true;
            }
            at = path::parent(path);
        }
        false
    }
}

/// Where a client has to look that cannot be told what happened: each event once.
pub(super) struct LookAgain<'a> {
    db: &'a Database,
    asker: Asker<'a>,
    /// The newest zxid that the client has seen.
    seen: i64,
    known: BTreeSet<(EventKind, String)>,
    events: Vec<(EventKind, String)>,
    /// Nodes that may still be looked at.
    room: usize,
}

impl<'a> LookAgain<'a> {
    pub(super) fn at(
        lasting: &LastingWatches,
        seen: i64,
        db: &'a Database,
        asker: Asker<'a>,
    ) -> Vec<(EventKind, String)> {
        let (known, events) = (BTreeSet::new(), Vec::new());
        let mut looked = Self { db, asker, seen, known, events, room: MOST_NODES };
        for path in &lasting.persistent {
            looked.look_at(path);
        }
        for path in &lasting.recursive {
            looked.look_below(path);
        }
        looked.events
    }

    /// As for one-shot watches of both kinds, and a node that was made since is told as such.
    fn look_at(&mut self, path: &str) {
        let Some(stat) = self.db.stat(path) else { return self.tell(EventKind::NodeDeleted, path) };
        if stat.czxid > self.seen {
            self.tell(EventKind::NodeCreated, path);
        } else if stat.mzxid > self.seen {
            self.tell(EventKind::NodeDataChanged, path);
        }
        if stat.pzxid > self.seen.max(stat.czxid) {
            self.tell(EventKind::NodeChildrenChanged, path);
        }
    }

    /// A recursive watch is told of no list of children: that a child came or went is told as a
    /// change of its parent.
    fn look_below(&mut self, root: &str) {
        if self.db.stat(root).is_none() {
            return self.tell(EventKind::NodeDeleted, root);
        }
        let mut ahead = Vec::from([String::from(root)]);
        while let Some(path) = ahead.pop() {
            let Some(stat) = self.db.stat(&path) else { continue };
            if self.room == 0 {
                return self.tell(EventKind::NodeDataChanged, root);
            }
            self.room -= 1;
            if stat.czxid > self.seen {
                self.tell(EventKind::NodeCreated, &path);
            } else if stat.mzxid.max(stat.pzxid) > self.seen {
                self.tell(EventKind::NodeDataChanged, &path);
            }
            self.line_up(&path, &mut ahead);
        }
    }

    /// Children go last to first, so that the first is looked at next.
    fn line_up(&self, path: &str, ahead: &mut Vec<String>) {
        let Some(names) = self.db.children(path) else { return };
        let folder = if path == "/" { "" } else { path };
        let behind = ahead.len();
        for name in names.iter().take(self.room + 1) {
            ahead.push([folder, "/", name].concat());
        }
        ahead[behind..].reverse();
    }

    fn tell(&mut self, kind: EventKind, path: &str) {
        if may_read(self.db, path, self.asker) && self.known.insert((kind, path.into())) {
            self.events.push((kind, path.into()));
        }
    }
}
