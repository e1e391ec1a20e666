//! A walk over the tree that writes the state of one zxid while changes go on.
//!
//! The walk goes parents first, siblings by name. Before a node ahead of it changes, its old image is set aside (or
//! the fact that it did not exist), and written instead when the walk gets there.

use alloc::collections::BTreeMap;
use alloc::string::String;

use bytes::{BufMut, Bytes, BytesMut};

use super::node::{Node, StoredStat};
use super::nodes::{Nodes, TreeOrder};
use crate::wire::jute::JuteWrite;

/// State of a walk after one more portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    More,
    Done,
    /// Pre-images outgrew their limit: the walk is cancelled; try again later.
    Dropped,
}

/// Charged per pre-image beside its path and data: map entry, Stat, allocations.
const IMAGE_OVERHEAD: usize = 160;

/// Room that is made at once for a portion, whatever its budget.
const PORTION_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) enum Walker {
    #[default]
    Idle,
    Walking(Walking),
    /// Told at the next portion.
    Overflown,
}

#[derive(Debug)]
pub(super) struct Walking {
    /// Sessions and ACL table as of the start, not yet written.
    head: BytesMut,
    /// The last path that is written; images are kept only for what comes after it.
    cursor: Option<String>,
    /// `None`: the path did not exist at the start.
    kept: BTreeMap<TreeOrder, Option<Image>>,
    kept_bytes: usize,
    limit: usize,
}

#[derive(Debug)]
struct Image {
    data: Option<Bytes>,
    acl: i64,
    stat: StoredStat,
}

impl Walker {
    pub(super) fn begin(head: BytesMut, limit: usize) -> Self {
        Self::Walking(Walking { head, cursor: None, kept: BTreeMap::new(), kept_bytes: 0, limit })
    }

    /// To be called before any change to what `path` holds; `now` is `None` before a create.
    pub(super) fn keep(&mut self, path: &str, now: Option<&Node>) {
        let Self::Walking(walk) = self else { return };
        if !walk.keep(path, now) {
            *self = Self::Overflown;
        }
    }

    pub(super) fn step(&mut self, nodes: &Nodes, budget: usize, out: &mut BytesMut) -> Walk {
        let Self::Walking(walk) = self else {
            *self = Self::Idle;
            return Walk::Dropped;
        };
        if walk.step(nodes, budget.max(1), out) {
            return Walk::More;
        }
        *self = Self::Idle;
        Walk::Done
    }
}

impl Walking {
    /// False where the images outgrow their limit.
    fn keep(&mut self, path: &str, now: Option<&Node>) -> bool {
        let written =
            self.cursor.as_deref().is_some_and(|cursor| TreeOrder::compare(path, cursor).is_le());
        if written {
            return true;
        }
        let place = TreeOrder(path.into());
        if self.kept.contains_key(&place) {
            return true;
        }
        self.kept_bytes += path.len() + now.map_or(0, Node::data_length) + IMAGE_OVERHEAD;
        if self.kept_bytes > self.limit {
            return false;
        }
        let image = now.map(|node| Image {
            data: node.data_bytes(),
            acl: node.acl_id(),
            stat: node.stat(),
        });
        self.kept.insert(place, image);
        true
    }

    /// Writes one portion; false where all is written.
    fn step(&mut self, nodes: &Nodes, budget: usize, out: &mut BytesMut) -> bool {
        let goal = out.len().saturating_add(budget);
        out.reserve(budget.min(PORTION_BYTES));
        out.put(self.head.split_to(self.head.len().min(budget)));
        let mut live = nodes.walk(self.cursor.as_deref());
        while out.len() < goal {
            let next = live.node();
            let kept = self.kept.first_entry().filter(|kept| {
                next.is_none_or(|(next, _)| TreeOrder::compare(&kept.key().0, next).is_le())
            });
            if let Some(kept) = kept {
                let (TreeOrder(path), image) = kept.remove_entry();
                self.kept_bytes -= path.len() + IMAGE_OVERHEAD;
                if let Some(image) = image {
                    self.kept_bytes -= image.data.as_ref().map_or(0, Bytes::len);
                    write_node(out, &path, image.data.as_deref(), image.acl, &image.stat);
                }
                if next.is_some_and(|(next, _)| next == path) {
                    live.advance();
                }
                self.cursor = Some(path);
            } else if let Some((path, node)) = next {
                write_node(out, path, node.data(), node.acl_id(), &node.stat());
                let cursor = self.cursor.get_or_insert_default();
                cursor.clear();
                cursor.push_str(path);
                live.advance();
            } else {
                out.put_ustring("/");
                return false;
            }
        }
        true
    }
}

fn write_node(out: &mut BytesMut, path: &str, data: Option<&[u8]>, acl: i64, stat: &StoredStat) {
    out.put_ustring(if path == "/" { "" } else { path });
    out.put_buffer(data);
    out.put_i64(acl);
    stat.write(out);
}
