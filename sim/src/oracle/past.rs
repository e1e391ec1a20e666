//! Every node as it was after each transaction, so that a read can be judged at its own zxid.

use std::collections::BTreeMap;

use bytes::Bytes;
use vivarium_core::wire::client::Stat;

use crate::oracle::tree::{Move, MoveKind, Node};

/// What a node showed from transaction number `since` on.
#[derive(Clone, Debug)]
struct Version {
    since: usize,
    shown: Option<(Option<Bytes>, Stat)>,
}

/// From this position on, until before that one.
type Span = (usize, Option<usize>);

/// Positions count transactions: position `n` is the state after the first `n` of them.
#[derive(Clone, Debug, Default)]
pub struct Past {
    nodes: BTreeMap<String, Vec<Version>>,
    /// Parent, then child: when it appeared, and when it went.
    children: BTreeMap<String, BTreeMap<String, Vec<Span>>>,
}

impl Past {
    /// Records one node that changed between `position - 1` and `position`.
    pub fn record(&mut self, position: usize, path: &str, after: Option<&Node>) {
        let shown = after.map(|node| (node.record.data.clone(), node.stat()));
        let version = Version { since: position, shown };
        match self.nodes.get_mut(path) {
            Some(versions) => versions.push(version),
            None => {
                self.nodes.insert(path.into(), vec![version]);
            }
        }
    }

    /// Records one child that came or went between `position - 1` and `position`.
    pub fn record_move(&mut self, position: usize, moved: Move) {
        let Move { parent, name, kind } = moved;
        let spans = self.children.entry(parent).or_default().entry(name).or_default();
        match kind {
            MoveKind::Adopted => spans.push((position, None)),
            MoveKind::Left => {
                if let Some((_, end)) = spans.last_mut() {
                    *end = Some(position);
                }
            }
        }
    }

    pub fn node(&self, position: usize, path: &str) -> Option<&(Option<Bytes>, Stat)> {
        let versions = self.nodes.get(path)?;
        let after = versions.partition_point(|version| version.since <= position);
        versions[after.checked_sub(1)?].shown.as_ref()
    }

    /// In byte order.
    pub fn children(&self, position: usize, path: &str) -> impl Iterator<Item = &str> {
        let there = move |spans: &[Span]| {
            let after = spans.partition_point(|(born, _)| *born <= position);
            after > 0 && spans[after - 1].1.is_none_or(|gone| gone > position)
        };
        let children = self.children.get(path).into_iter().flatten();
        children.filter(move |(_, spans)| there(spans)).map(|(name, _)| name.as_str())
    }
}
