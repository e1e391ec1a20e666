//! Through all nodes, parents first, siblings in the byte order of their names.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{ChildIds, NodeId, Nodes};
use crate::tree::node::Node;

/// A path that compares as the walk goes: name by name, a node before all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tree) struct TreeOrder(pub(in crate::tree) String);

impl TreeOrder {
    pub(in crate::tree) fn compare(one: &str, other: &str) -> Ordering {
        one.split('/').cmp(other.split('/'))
    }
}

impl Ord for TreeOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        Self::compare(&self.0, &other.0)
    }
}

impl PartialOrd for TreeOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Stands at one node at a time, or at the end.
#[derive(Debug)]
pub(in crate::tree) struct WalkFrom<'n> {
    nodes: &'n Nodes,
    /// Of each level above the node: siblings that follow, and how long the parent's path is.
    above: Vec<(ChildIds<'n>, usize)>,
    at: Option<NodeId>,
    /// Of the node; "" for the root.
    path: String,
}

impl<'n> WalkFrom<'n> {
    pub(super) fn root(nodes: &'n Nodes) -> Self {
        let at = (!nodes.is_empty()).then_some(NodeId::ROOT);
        Self { nodes, above: vec![], at, path: String::new() }
    }

    /// At the first node behind `path`, which need not exist.
    pub(super) fn behind(nodes: &'n Nodes, path: &str) -> Self {
        let mut walk = Self::root(nodes);
        let names = path.split('/').filter(|name| !name.is_empty());
        for name in names {
            let Some(children) = walk.node().and_then(|(_, node)| node.child_list()) else {
                walk.advance();
                return walk;
            };
            let found =
                children.locate(|other| nodes.slots.node(other).name_bytes().cmp(name.as_bytes()));
            let is_there = found.is_ok();
            let (Ok(place) | Err(place)) = found;
            walk.above.push((children.iter_from(place), walk.path.len()));
            walk.next_sibling();
            if !is_there {
                return walk;
            }
        }
        walk.advance();
        walk
    }

    /// The node and its path.
    pub(in crate::tree) fn node(&self) -> Option<(&str, &'n Node)> {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        self.at.map(|id| (path, self.nodes.slots.node(id)))
    }

    pub(in crate::tree) fn advance(&mut self) {
        let Some(id) = self.at else { return };
        let node = self.nodes.slots.node(id);
        if node.num_children() > 0 {
            self.above.push((node.children(), self.path.len()));
        }
        self.next_sibling();
    }

    /// The next one of the innermost level that has one left.
    fn next_sibling(&mut self) {
        while let Some((siblings, parent_len)) = self.above.last_mut() {
            self.path.truncate(*parent_len);
            self.at = siblings.next();
            if let Some(id) = self.at {
                self.path.push('/');
                self.path.push_str(self.nodes.slots.node(id).name());
                return;
            }
            self.above.pop();
        }
        self.at = None;
    }
}
