//! Where nodes lie: numbered slots, in pieces that never move.

use alloc::vec::Vec;

use crate::tree::node::Node;

/// Slots of one piece but the first, which grows like any vector: most trees of a simulation are small.
const PIECE: usize = 1024;

/// The number of a slot; used anew once its node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tree) struct NodeId(u32);

impl NodeId {
    /// The root comes first and stays.
    pub(in crate::tree) const ROOT: Self = Self(0);

    fn place(self) -> (usize, usize) {
        (self.0 as usize / PIECE, self.0 as usize % PIECE)
    }
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    pieces: Vec<Vec<Option<Node>>>,
    free: Vec<NodeId>,
}

impl Slots {
    /// The node of an id that a parent, a map or a walk holds: those are taken back with the node.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        let (piece, place) = id.place();
        self.pieces[piece][place].as_ref().expect("an id lives no longer than its node")
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let (piece, place) = id.place();
        self.pieces[piece][place].as_mut().expect("an id lives no longer than its node")
    }

    pub(super) fn put(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.free.pop() {
            let (piece, place) = id.place();
            self.pieces[piece][place] = Some(node);
            return id;
        }
        if self.pieces.last().is_none_or(|last| last.len() == PIECE) {
            let room = if self.pieces.is_empty() { 0 } else { PIECE };
            self.pieces.push(Vec::with_capacity(room));
        }
        let pieces = self.pieces.len();
        let last = self.pieces.last_mut().expect("one with room was made above");
        last.push(Some(node));
        let number = (pieces - 1) * PIECE + last.len() - 1;
        NodeId(u32::try_from(number).expect("memory ends before four billion nodes"))
    }

    pub(super) fn take(&mut self, id: NodeId) -> Node {
        let (piece, place) = id.place();
        let node = self.pieces[piece][place].take().expect("an id lives no longer than its node");
        self.free.push(id);
        node
    }
}
