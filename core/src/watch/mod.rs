//! One-shot watches of the clients of this server. Apache: `WatchManager`.

use alloc::vec::Vec;

use crate::ids::LinkId;
use crate::tree::TreeEvent;

/// Which table a watch lives in (exists watches are data watches).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchTable {
    Data,
    Child,
}

/// All watches, keyed by path; they die with the client link.
#[derive(Debug, Default)]
pub struct Watches {}

impl Watches {
    pub fn add(&mut self, table: WatchTable, path: &str, link: LinkId) {
        let _ = (table, path, link);
        todo!()
    }

    pub fn remove_link(&mut self, link: LinkId) {
        let _ = link;
        todo!()
    }

    /// Which links to tell about an event, in link order, each once; fired watches are removed.
    pub fn fire(&mut self, event: &TreeEvent, told: &mut Vec<LinkId>) {
        let _ = (event, told);
        todo!()
    }

    pub fn len(&self) -> usize {
        todo!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
