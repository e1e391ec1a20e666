//! All changes of the tree that watches may be for, in the order in which they happened.

use std::ops::Index;

use vivarium_core::ids::Zxid;
use vivarium_core::wire::client::EventKind;

use crate::checkers::Cx;

pub(crate) type Change = (Zxid, EventKind, String);

#[derive(Debug, Default)]
pub(crate) struct Happened(Vec<Change>);

impl Happened {
    /// Takes in what was committed just now.
    pub(crate) fn hear(&mut self, cx: &Cx<'_>) {
        for (fresh, judged) in cx.canon.judged() {
            let zxid = fresh.entry.zxid;
            let changes = judged.events.iter().map(|(kind, path)| (zxid, *kind, path.clone()));
            self.0.extend(changes);
        }
    }

    /// How many happened up to this moment.
    pub(crate) fn upto(&self, zxid: Zxid) -> usize {
        self.0.partition_point(|(at, ..)| *at <= zxid)
    }

    /// All but the first so many.
    pub(crate) fn behind(&self, count: usize) -> &[Change] {
        self.0.get(count..).unwrap_or_default()
    }
}

impl Index<usize> for Happened {
    type Output = Change;

    fn index(&self, place: usize) -> &Change {
        &self.0[place]
    }
}
