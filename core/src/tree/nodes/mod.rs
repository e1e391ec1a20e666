//! All znodes of a tree, found by path, listed by parent: a table of slots, in which a node that was
//! created and never changed takes one allocation, name and data together.
//!
//! The map of paths holds hashes and slot numbers alone; a path is compared name by name, up through the
//! parents. Nothing here iterates in the order of hashes.

mod children;
mod slots;
mod walk;

use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::node::{Node, split};
pub use children::Below;
pub(super) use children::{ChildIds, Children};
pub(super) use slots::NodeId;
use slots::Slots;
pub(super) use walk::{TreeOrder, WalkFrom};

const HASHER: FixedState = FixedState::with_seed(0x7669_7661_7269_756d);

/// Invariant: every node but the root is listed by its parent, under its own name; every node of the table
/// has one entry in `by_path`; and every node knows how much lies below it.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    slots: Slots,
    by_path: HashTable<Entry>,
}

/// The hash is kept, so that a table that grows need not put paths together.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    id: NodeId,
}

impl Entry {
    /// All 64 bits matter to the table.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Nodes {
    pub(super) fn len(&self) -> usize {
        self.by_path.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.find(path).map(|id| self.slots.node(id))
    }

    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.find(path).map(|id| self.slots.node_mut(id))
    }

    /// Names of the children in byte order; `None` where there is no such node.
    pub(super) fn child_names(&self, path: &str) -> Option<impl ExactSizeIterator<Item = &str>> {
        let ids = self.get(path)?.children();
        Some(ids.map(|id| self.slots.node(id).name()))
    }

    /// Takes in a node that is not there yet and lists it at its parent. False where the parent is missing
    /// or the path cannot name a node.
    pub(super) fn insert(&mut self, path: &str, mut node: Node) -> bool {
        let listed_by = match split(path) {
            Ok((parent, _)) => {
                let Some(parent) = self.find(parent) else { return false };
                node.set_parent(parent);
                Some(parent)
            }
            Err(_) if path == "/" => None,
            Err(_) => return false,
        };
        let bytes = node.data_length() as i64;
        let id = self.slots.put(node);
        crate::invariant!(listed_by.is_some() == (id != NodeId::ROOT), "{path} is in slot {id:?}");
        if let Some(parent) = listed_by {
            self.relist(parent, |children, slots| {
                let name = slots.node(id).name_bytes();
                children.insert(id, |other| slots.node(other).name_bytes().cmp(name));
            });
            self.count_above(parent, 1, bytes);
        }
        let hash = hash_of(path);
        self.by_path.insert_unique(Entry::spread(hash), Entry { hash, id }, |entry| {
            Entry::spread(entry.hash)
        });
        true
    }

    /// Removes a node that has no children.
    pub(super) fn remove(&mut self, path: &str) -> Option<Node> {
        let id = self.find(path)?;
        let is_leaf = self.slots.node(id).num_children() == 0;
        crate::invariant!(is_leaf, "{path} is removed and its children are not");
        if id != NodeId::ROOT {
            let gone = self.slots.node(id);
            let (parent, bytes) = (gone.parent(), gone.data_length() as i64);
            self.count_above(parent, -1, -bytes);
            self.relist(parent, |children, slots| {
                let name = slots.node(id).name_bytes();
                children.remove(|other| slots.node(other).name_bytes().cmp(name));
            });
        }
        let found = self.by_path.find_entry(Entry::spread(hash_of(path)), |entry| entry.id == id);
        found.expect("every node has an entry").remove();
        Some(self.slots.take(id))
    }

    /// The data of this node became so many bytes longer.
    pub(super) fn resized(&mut self, path: &str, bytes: i64) {
        if let Some(id) = self.find(path).filter(|id| *id != NodeId::ROOT) {
            self.count_above(self.slots.node(id).parent(), 0, bytes);
        }
    }

    /// From the first node behind `after` in [`TreeOrder`], or from the root.
    pub(super) fn walk(&self, after: Option<&str>) -> WalkFrom<'_> {
        match after {
            None => WalkFrom::root(self),
            Some(path) => WalkFrom::behind(self, path),
        }
    }

    fn find(&self, path: &str) -> Option<NodeId> {
        let hash = hash_of(path);
        let is_it = |entry: &Entry| entry.hash == hash && self.is_at(entry.id, path);
        self.by_path.find(Entry::spread(hash), is_it).map(|entry| entry.id)
    }

    fn is_at(&self, id: NodeId, path: &str) -> bool {
        if path == "/" {
            return id == NodeId::ROOT;
        }
        let (mut id, mut rest) = (id, path.as_bytes());
        while id != NodeId::ROOT {
            let node = self.slots.node(id);
            let above = rest.strip_suffix(node.name_bytes());
            let above = above.and_then(|above| above.strip_suffix(b"/"));
            let Some(above) = above else { return false };
            (id, rest) = (node.parent(), above);
        }
        rest.is_empty()
    }

    /// Keeps up what is counted at `parent` and everywhere above it.
    fn count_above(&mut self, parent: NodeId, nodes: i32, bytes: i64) {
        let mut id = parent;
        loop {
            let node = self.slots.node_mut(id);
            node.count_below(nodes, bytes);
            if id == NodeId::ROOT {
                return;
            }
            id = node.parent();
        }
    }

    fn relist(&mut self, parent: NodeId, change: impl FnOnce(&mut Children, &Slots)) {
        let mut children = self.slots.node_mut(parent).take_children();
        change(&mut children, &self.slots);
        self.slots.node_mut(parent).put_children(children);
    }
}

fn hash_of(path: &str) -> u32 {
    // The upper half of a 64-bit hash is as good as the lower.
    (HASHER.hash_one(path) >> 32) as u32
}

#[cfg(test)]
mod tests;
