//! All changes of the tree that watches may be for, in the order in which they happened.

use vivarium_core::ids::Zxid;

use crate::checkers::Cx;
use crate::oracle::tree::Event;

#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) zxid: Zxid,
    pub(crate) event: Event,
}

#[derive(Debug, Default)]
pub(crate) struct Happened(Vec<Change>);

impl Happened {
    /// Takes in what was committed just now.
    pub(crate) fn hear(&mut self, cx: &Cx<'_>) {
        for (fresh, judged) in cx.canon.judged() {
            let zxid = fresh.entry.zxid;
            let events = judged.events.iter().cloned();
            self.0.extend(events.map(|event| Change { zxid, event }));
        }
    }

    /// How many happened up to this moment.
    pub(crate) fn upto(&self, zxid: Zxid) -> usize {
        self.0.partition_point(|change| change.zxid <= zxid)
    }

    /// All but the first so many.
    pub(crate) fn behind(&self, count: usize) -> &[Change] {
        self.0.get(count..).unwrap_or_default()
    }
}
