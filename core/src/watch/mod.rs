//! One-shot watches of the clients of this server. Apache: `WatchManager`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::LinkId;
use crate::tree::TreeEvent;
use crate::wire::client::EventKind;

/// Which table a watch lives in (exists watches are data watches).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchTable {
    Data,
    Child,
}

/// All watches, keyed by path; they die with the client link.
#[derive(Debug, Default)]
pub struct Watches {
    data: Table,
    child: Table,
    /// What each link watches: the other side of both tables.
    by_link: BTreeMap<LinkId, BTreeSet<(WatchTable, Arc<str>)>>,
    len: usize,
}

/// No entry is empty.
type Table = BTreeMap<Arc<str>, BTreeSet<LinkId>>;

impl Watches {
    /// Adding the same watch twice counts once.
    pub fn add(&mut self, table: WatchTable, path: &str, link: LinkId) {
        let paths = self.table(table);
        let shared =
            paths.get_key_value(path).map_or_else(|| path.into(), |(key, _)| Arc::clone(key));
        if paths.entry(Arc::clone(&shared)).or_default().insert(link) {
            self.by_link.entry(link).or_default().insert((table, shared));
            self.len += 1;
        }
    }

    /// Whether this very watch stands. Apache: `checkWatches`.
    pub fn contains(&self, table: WatchTable, path: &str, link: LinkId) -> bool {
        let paths = match table {
            WatchTable::Data => &self.data,
            WatchTable::Child => &self.child,
        };
        paths.get(path).is_some_and(|links| links.contains(&link))
    }

    /// False where there was none. Apache: `removeWatches`.
    pub fn remove(&mut self, table: WatchTable, path: &str, link: LinkId) -> bool {
        if !self.contains(table, path, link) {
            return false;
        }
        self.forget(&(table, path.into()), link);
        detach(self.table(table), path, link);
        self.len -= 1;
        true
    }

    pub fn remove_link(&mut self, link: LinkId) {
        for (table, path) in self.by_link.remove(&link).unwrap_or_default() {
            detach(self.table(table), &path, link);
            self.len -= 1;
        }
    }

    /// Appends which links to tell about an event, in link order, each once; fired watches are
    /// removed. A deletion fires both tables of the path, but tells a link once (T10).
    pub fn fire(&mut self, event: &TreeEvent, told: &mut Vec<LinkId>) {
        let links = match event.kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => {
                self.take(WatchTable::Data, &event.path)
            }
            EventKind::NodeChildrenChanged => self.take(WatchTable::Child, &event.path),
            EventKind::NodeDeleted => {
                let mut links = self.take(WatchTable::Data, &event.path);
                links.append(&mut self.take(WatchTable::Child, &event.path));
                links
            }
        };
        told.extend(links);
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Paths of one table with their watchers, both in order.
    pub fn iter(
        &self,
        table: WatchTable,
    ) -> impl ExactSizeIterator<Item = (&str, &BTreeSet<LinkId>)> {
        let paths = match table {
            WatchTable::Data => &self.data,
            WatchTable::Child => &self.child,
        };
        paths.iter().map(|(path, links)| (&**path, links))
    }

    fn take(&mut self, table: WatchTable, path: &str) -> BTreeSet<LinkId> {
        let Some((path, links)) = self.table(table).remove_entry(path) else {
            return BTreeSet::new();
        };
        self.len -= links.len();
        let watch = (table, path);
        for &link in &links {
            self.forget(&watch, link);
        }
        links
    }

    fn table(&mut self, table: WatchTable) -> &mut Table {
        match table {
            WatchTable::Data => &mut self.data,
            WatchTable::Child => &mut self.child,
        }
    }

    /// Drops the link's side of a watch.
    fn forget(&mut self, watch: &(WatchTable, Arc<str>), link: LinkId) {
        let watched = self.by_link.get_mut(&link).expect("every watch is known to its link");
        watched.remove(watch);
        if watched.is_empty() {
            self.by_link.remove(&link);
        }
    }
}

/// Drops the path's side of a watch.
fn detach(paths: &mut Table, path: &str, link: LinkId) {
    let links = paths.get_mut(path).expect("every watch of a link is in its table");
    links.remove(&link);
    if links.is_empty() {
        paths.remove(path);
    }
}

#[cfg(test)]
mod tests;
