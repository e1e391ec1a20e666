//! Watches of the clients of this server. Apache: `WatchManager`, `PathParentIterator`.

mod history;
mod modes;
mod watchers;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::LinkId;
use crate::path;
use crate::tree::TreeEvent;
use crate::wire::client::{EventKind, WatchKind};

pub use history::EventHistory;
use modes::Modes;
pub use modes::{WatchMode, WatchTable};
use watchers::Watchers;

/// All watches, by path; they die with the client link.
#[derive(Debug, Default)]
pub struct Watches {
    /// No entry is empty.
    paths: BTreeMap<Arc<str>, Watchers>,
    /// What each link watches: the other side. No entry is empty.
    by_link: BTreeMap<LinkId, BTreeSet<Arc<str>>>,
    /// How many links watch each of these recursively: only here the way up to the root is looked
    /// for watchers.
    recursive: BTreeMap<Arc<str>, usize>,
    len: usize,
}

impl Watches {
    /// Adding the same watch twice counts once.
    pub fn add(&mut self, mode: WatchMode, path: &str, link: LinkId) {
        self.change(path, link, |modes| modes.with(Modes::of(mode)));
    }

    /// Apache: `checkWatches`.
    pub fn contains(&self, kind: WatchKind, path: &str, link: LinkId) -> bool {
        self.paths.get(path).is_some_and(|watchers| watchers.modes(link).meets(asked(kind)))
    }

    /// False where there was none. Apache: `removeWatches`.
    pub fn remove(&mut self, kind: WatchKind, path: &str, link: LinkId) -> bool {
        self.change(path, link, |modes| modes.without(asked(kind)))
    }

    pub fn remove_link(&mut self, link: LinkId) {
        for path in self.by_link.remove(&link).unwrap_or_default() {
            let watchers = self.paths.get_mut(&path).expect("what a link watches is known by path");
            let held = watchers.modes(link);
            watchers.set(link, Modes::NONE);
            if watchers.is_empty() {
                self.paths.remove(&path);
            }
            self.recount(&path, held, Modes::NONE);
        }
    }

    /// Appends which links to tell about an event, in link order, each once, however many of its
    /// watches it meets (trap T10); one-shot watches are used up. Answers how many it met in each
    /// table, which is what Apache counts: a deletion is looked up in both.
    pub fn fire(&mut self, event: &TreeEvent, told: &mut Vec<LinkId>) -> [usize; 2] {
        let hit = met_by(event.kind);
        let (mut data, mut child) = (Vec::new(), Vec::new());
        if hit[0].meets(Modes::RECURSIVE) && !self.recursive.is_empty() {
            self.look_up(&event.path, &mut data);
        }
        self.use_up(&event.path, hit, &mut data, &mut child);
        data.sort_unstable();
        data.dedup();
        let met = [data.len(), child.len()];
        if !child.is_empty() {
            data.append(&mut child);
            data.sort_unstable();
            data.dedup();
        }
        told.append(&mut data);
        met
    }

    /// A link is told of an event outside of the order of changes: the one-shot watches that it takes for
    /// answered are used up.
    pub fn answer(&mut self, kind: EventKind, path: &str, link: LinkId) {
        let [data, child] = met_by(kind);
        self.change(path, link, |modes| modes.after(data.with(child)));
    }

    /// Entries of both tables: what one link watches on one path is one in each.
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
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = LinkId>)> {
        let held = Modes::in_table(table);
        self.paths.iter().filter_map(move |(path, watchers)| {
            let mut links = watchers.iter().filter(move |(_, modes)| modes.meets(held)).peekable();
            links.peek()?;
            Some((&**path, links.map(|(link, _)| link)))
        })
    }

    /// Who watches something above `path` recursively.
    fn look_up(&self, path: &str, links: &mut Vec<LinkId>) {
        let mut above = path::parent(path);
        while let Some(path) = above {
            if self.recursive.contains_key(path)
                && let Some(watchers) = self.paths.get(path)
            {
                let theirs = watchers.iter().filter(|(_, modes)| modes.meets(Modes::RECURSIVE));
                links.extend(theirs.map(|(link, _)| link));
            }
            above = path::parent(path);
        }
    }

    /// Who watches `path` itself, by table.
    fn use_up(
        &mut self,
        path: &str,
        [in_data, in_child]: [Modes; 2],
        data: &mut Vec<LinkId>,
        child: &mut Vec<LinkId>,
    ) {
        let Some(watchers) = self.paths.get_mut(path) else { return };
        let (mut gone, mut used) = (Vec::new(), 0);
        watchers.update(|link, modes| {
            if modes.meets(in_data) {
                data.push(link);
            }
            if modes.meets(in_child) {
                child.push(link);
            }
            let left = modes.after(in_data.with(in_child));
            used += modes.entries() - left.entries();
            if left == Modes::NONE {
                gone.push(link);
            }
            left
        });
        self.len -= used;
        if watchers.is_empty() {
            self.paths.remove(path);
        }
        for link in gone {
            self.forget(path, link);
        }
    }

    /// Changes how a link watches a path; false where that leaves it as it was.
    fn change(&mut self, path: &str, link: LinkId, to: impl FnOnce(Modes) -> Modes) -> bool {
        let Some(watchers) = self.paths.get_mut(path) else {
            let modes = to(Modes::NONE);
            if modes == Modes::NONE {
                return false;
            }
            let shared: Arc<str> = path.into();
            self.paths.insert(Arc::clone(&shared), Watchers::One(link, modes));
            self.recount(&shared, Modes::NONE, modes);
            self.by_link.entry(link).or_default().insert(shared);
            return true;
        };
        let held = watchers.modes(link);
        let modes = to(held);
        if modes == held {
            return false;
        }
        watchers.set(link, modes);
        let gone = watchers.is_empty();
        let (shared, _) = self.paths.get_key_value(path).expect("it was just changed");
        let shared = Arc::clone(shared);
        if gone {
            self.paths.remove(path);
        }
        self.recount(&shared, held, modes);
        if modes == Modes::NONE {
            self.forget(path, link);
        } else {
            self.by_link.entry(link).or_default().insert(shared);
        }
        true
    }

    /// Keeps the counts in step with a change of one link's modes.
    fn recount(&mut self, path: &Arc<str>, held: Modes, modes: Modes) {
        self.len = self.len + modes.entries() - held.entries();
        let (was, is) = (held.meets(Modes::RECURSIVE), modes.meets(Modes::RECURSIVE));
        if is && !was {
            *self.recursive.entry(Arc::clone(path)).or_default() += 1;
        }
        if was && !is {
            let count = self.recursive.get_mut(path).expect("each recursive watch is counted");
            *count -= 1;
            if *count == 0 {
                self.recursive.remove(path);
            }
        }
    }

    /// Drops the link's side of a watch.
    fn forget(&mut self, path: &str, link: LinkId) {
        let watched = self.by_link.get_mut(&link).expect("every watch is known to its link");
        watched.remove(path);
        if watched.is_empty() {
            self.by_link.remove(&link);
        }
    }
}

/// The watches that an event of a path's own is for, in the data table and in the child table.
/// Recursive ones are told of no list of children.
fn met_by(kind: EventKind) -> [Modes; 2] {
    let (data, child) = (Modes::in_table(WatchTable::Data), Modes::in_table(WatchTable::Child));
    match kind {
        EventKind::NodeCreated | EventKind::NodeDataChanged => [data, Modes::NONE],
        EventKind::NodeChildrenChanged => [Modes::NONE, child],
        EventKind::NodeDeleted => [data, child],
    }
}

/// What a client means that asks about its watches.
fn asked(kind: WatchKind) -> Modes {
    match kind {
        WatchKind::Children => Modes::of(WatchMode::Child),
        WatchKind::Data => Modes::of(WatchMode::Data),
        WatchKind::Any => Modes::ALL,
        WatchKind::Persistent => Modes::of(WatchMode::Persistent),
        WatchKind::PersistentRecursive => Modes::RECURSIVE,
    }
}

#[cfg(test)]
mod tests;
