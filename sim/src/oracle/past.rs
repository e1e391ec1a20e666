//! Every node as it was after each transaction, so that a read can be judged at its own zxid.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use vivarium_core::wire::client::Stat;

use crate::history::AccessList;
use crate::oracle::tree::{Move, MoveKind, Node};

/// A node as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub data: Option<Bytes>,
    pub stat: Stat,
    pub acl: Option<AccessList>,
}

/// The name of the child of the root that this path is, or is below.
fn top_of(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

/// What a node showed from transaction number `since` on.
#[derive(Clone, Debug)]
struct Version {
    since: usize,
    shown: Option<Shown>,
}

/// The children of one path. Reads look at the recent past: who went long ago is not in their way.
#[derive(Clone, Debug, Default)]
struct Children {
    /// Name, and since when.
    there: BTreeMap<String, usize>,
    /// In the order in which they went.
    gone: Vec<Gone>,
}

#[derive(Clone, Debug)]
struct Gone {
    name: String,
    since: usize,
    until: usize,
}

/// Positions count transactions: position `n` is the state after the first `n` of them.
#[derive(Clone, Debug, Default)]
pub struct Past {
    nodes: BTreeMap<String, Vec<Version>>,
    children: BTreeMap<String, Children>,
    /// By the name of a child of the root.
    tallies: BTreeMap<String, Vec<Tally>>,
}

/// What there is at a child of the root and below it, from transaction number `since` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    since: usize,
    pub count: i64,
    pub bytes: i64,
}

impl Past {
    /// Records one node that changed between `position - 1` and `position`.
    pub fn record(&mut self, position: usize, path: &str, after: Option<&Node>) {
        let shown = after.map(|node| Shown {
            data: node.record.data.clone(),
            stat: node.stat(),
            acl: node.record.acl.clone(),
        });
        let version = Version { since: position, shown };
        let size = |version: &Version| {
            let node = version.shown.as_ref();
            node.map_or((0, 0), |node| (1, node.data.as_ref().map_or(0, Bytes::len) as i64))
        };
        let ((count, bytes), mut before) = (size(&version), (0, 0));
        match self.nodes.get_mut(path) {
            Some(versions) => {
                before = versions.last().map_or(before, size);
                versions.push(version);
            }
            None => {
                self.nodes.insert(path.into(), vec![version]);
            }
        }
        if (count, bytes) != before {
            self.weigh(position, path, count - before.0, bytes - before.1);
        }
    }

    fn weigh(&mut self, position: usize, path: &str, count: i64, bytes: i64) {
        let top = top_of(path);
        if !self.tallies.contains_key(top) {
            self.tallies.insert(top.into(), Vec::new());
        }
        let Some(tallies) = self.tallies.get_mut(top) else { return };
        let last = tallies.last().copied().unwrap_or_default();
        let tally = Tally { since: position, count: last.count + count, bytes: last.bytes + bytes };
        match tallies.last_mut().filter(|last| last.since == position) {
            Some(last) => *last = tally,
            None => tallies.push(tally),
        }
    }

    /// Nodes and bytes at and below the child of the root above this path.
    pub fn tally(&self, position: usize, path: &str) -> Tally {
        let tallies = self.tallies.get(top_of(path)).map_or(&[][..], Vec::as_slice);
        let after = tallies.partition_point(|tally| tally.since <= position);
        after.checked_sub(1).map(|at| tallies[at]).unwrap_or_default()
    }

    /// Records one child that came or went between `position - 1` and `position`.
    pub fn record_move(&mut self, position: usize, moved: Move) {
        let Move { parent, name, kind } = moved;
        let Children { there, gone } = self.children.entry(parent).or_default();
        match kind {
            MoveKind::Adopted => {
                there.insert(name, position);
            }
            MoveKind::Left => {
                if let Some(since) = there.remove(&name) {
                    gone.push(Gone { name, since, until: position });
                }
            }
        }
    }

    pub fn node(&self, position: usize, path: &str) -> Option<&Shown> {
        let versions = self.nodes.get(path)?;
        let after = versions.partition_point(|version| version.since <= position);
        versions[after.checked_sub(1)?].shown.as_ref()
    }

    /// Every node in byte order from `path` on, as it was.
    fn from(&self, position: usize, path: &str) -> impl Iterator<Item = (&str, &Stat)> {
        let nodes = self.nodes.range::<str, _>((Bound::Included(path), Bound::Unbounded));
        nodes.filter_map(move |(path, _)| {
            self.node(position, path).map(|node| (path.as_str(), &node.stat))
        })
    }

    /// Ephemeral nodes of a session whose path begins with `prefix`, in byte order.
    pub fn ephemerals(&self, position: usize, session: i64, prefix: &str) -> Vec<&str> {
        let from = self.from(position, prefix).take_while(|(path, _)| path.starts_with(prefix));
        from.filter(|(_, stat)| stat.ephemeral_owner == session).map(|(path, _)| path).collect()
    }

    /// How many nodes there were below this one.
    pub fn count_below(&self, position: usize, path: &str) -> usize {
        let below = if path == "/" { String::from("/") } else { format!("{path}/") };
        let from = self.from(position, &below).take_while(|(path, _)| path.starts_with(&below));
        from.filter(|(path, _)| *path != "/").count()
    }

    /// In byte order.
    pub fn children(&self, position: usize, path: &str) -> Vec<&str> {
        let Some(Children { there, gone }) = self.children.get(path) else { return Vec::new() };
        let there = there.iter().filter(|(_, since)| **since <= position);
        let mut names: Vec<&str> = there.map(|(name, _)| name.as_str()).collect();
        let still_there = &gone[gone.partition_point(|gone| gone.until <= position)..];
        if !still_there.is_empty() {
            let born = still_there.iter().filter(|gone| gone.since <= position);
            names.extend(born.map(|gone| gone.name.as_str()));
            names.sort_unstable();
        }
        names
    }
}
