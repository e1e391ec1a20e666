//! The children of one node: their slots, in the byte order of their names, and how much there is of them
//! and below them.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::NodeId;

/// Ids of one piece. A change moves at most so many.
const PIECE: usize = 512;

/// Ids alone: the names lie with the nodes, so that whoever looks for a place brings the order.
/// Invariant: no piece is empty.
#[derive(Debug, Default)]
pub(in crate::tree) struct Children {
    pieces: Vec<Vec<NodeId>>,
    /// There are no more ids than fit. The fields are small and lie side by side: every node that was
    /// changed once has them.
    len: u32,
    nodes_below: u32,
    bytes_below: u64,
}

/// All below one node, at whatever depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Below {
    pub nodes: u32,
    /// Of data.
    pub bytes: u64,
}

/// Of a child, or where one would belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    piece: usize,
    index: usize,
}

/// In order, from the first.
#[derive(Clone, Debug)]
pub(in crate::tree) struct ChildIds<'c> {
    children: Option<&'c Children>,
    next: Place,
    left: usize,
}

impl Children {
    pub(in crate::tree) fn len(&self) -> usize {
        self.len as usize
    }

    pub(in crate::tree) fn below(&self) -> Below {
        Below { nodes: self.nodes_below, bytes: self.bytes_below }
    }

    /// So many more nodes and bytes lie below; fewer, where a number is negative.
    pub(in crate::tree) fn count_below(&mut self, nodes: i32, bytes: i64) {
        let sums = (
            self.nodes_below.checked_add_signed(nodes),
            self.bytes_below.checked_add_signed(bytes),
        );
        let (Some(nodes), Some(bytes)) = sums else {
            crate::invariant!(false, "what goes from below a node was counted when it came");
            return;
        };
        (self.nodes_below, self.bytes_below) = (nodes, bytes);
    }

    pub(in crate::tree) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `order` says how the name of another child compares to that of the new one.
    pub(super) fn insert(&mut self, id: NodeId, order: impl Fn(NodeId) -> Ordering) {
        self.len += 1;
        // Names that count up are the usual case: they fill pieces to the brim.
        let is_last = self.pieces.last().and_then(|last| last.last());
        if is_last.is_none_or(|&last| order(last) == Ordering::Less) {
            match self.pieces.last_mut().filter(|last| last.len() < PIECE) {
                Some(last) => last.push(id),
                None => self.pieces.push([id].into()),
            }
            return;
        }
        let (Ok(place) | Err(place)) = self.locate(order);
        let piece = &mut self.pieces[place.piece];
        piece.insert(place.index, id);
        if piece.len() > PIECE {
            let behind = piece.split_off(PIECE / 2);
            self.pieces.insert(place.piece + 1, behind);
        }
    }

    /// `order` says how the name of another child compares to that of the one to go.
    pub(super) fn remove(&mut self, order: impl Fn(NodeId) -> Ordering) {
        let Ok(place) = self.locate(order) else { return };
        self.len -= 1;
        let piece = &mut self.pieces[place.piece];
        piece.remove(place.index);
        if piece.is_empty() {
            self.pieces.remove(place.piece);
        } else if piece.capacity() > 4 * piece.len() {
            piece.shrink_to(2 * piece.len());
        }
    }

    /// The place of the child that `order` calls equal, or of the first one behind it.
    pub(super) fn locate(&self, order: impl Fn(NodeId) -> Ordering) -> Result<Place, Place> {
        // The last piece that does not begin behind it.
        let behind = self.pieces.partition_point(|piece| order(piece[0]) != Ordering::Greater);
        let piece = behind.saturating_sub(1);
        let Some(ids) = self.pieces.get(piece) else { return Err(Place { piece, index: 0 }) };
        let found = ids.binary_search_by(|&id| order(id));
        found.map(|index| Place { piece, index }).map_err(|index| Place { piece, index })
    }

    pub(super) fn iter_from(&self, mut place: Place) -> ChildIds<'_> {
        if self.pieces.get(place.piece).is_some_and(|piece| piece.len() == place.index) {
            place = Place { piece: place.piece + 1, index: 0 };
        }
        let before: usize = self.pieces.iter().take(place.piece).map(Vec::len).sum();
        ChildIds { children: Some(self), next: place, left: self.len() - before - place.index }
    }
}

impl<'c> ChildIds<'c> {
    pub(in crate::tree) fn of(children: Option<&'c Children>) -> Self {
        let left = children.map_or(0, Children::len);
        Self { children, next: Place { piece: 0, index: 0 }, left }
    }
}

impl Iterator for ChildIds<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let piece = self.children?.pieces.get(self.next.piece)?;
        let id = *piece.get(self.next.index)?;
        self.left -= 1;
        self.next.index += 1;
        if self.next.index == piece.len() {
            self.next = Place { piece: self.next.piece + 1, index: 0 };
        }
        Some(id)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ChildIds<'_> {}
