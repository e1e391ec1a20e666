//! Which watches a client believes to have, as Java's client keeps them to set them again. Apache:
//! `ZKWatchManager`.

use std::collections::BTreeSet;

use vivarium_core::wire::client::{
    AddMode, EventKind, LastingWatches, SetWatches, WatchKind, WatchOp,
};

use crate::history::Call;

/// KeeperException.Code.NONODE.
const NO_NODE: i32 = -101;

#[derive(Debug, Default)]
pub(super) struct Watched {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

impl Watched {
    /// `code` is 0 where all is well.
    pub(super) fn answered(&mut self, call: &Call, code: i32) {
        match call {
            Call::Exists { path, watch: true } if code == NO_NODE => {
                self.exist.insert(path.clone());
            }
            Call::Exists { path, watch: true } | Call::GetData { path, watch: true }
                if code == 0 =>
            {
                self.data.insert(path.clone());
            }
            Call::GetChildren { path, watch: true, .. } if code == 0 => {
                self.child.insert(path.clone());
            }
            Call::Watch(WatchOp::Add { path, mode }) if code == 0 => {
                let kept = match mode {
                    AddMode::Persistent => &mut self.persistent,
                    AddMode::PersistentRecursive => &mut self.recursive,
                };
                kept.insert(path.clone());
            }
            Call::Watch(WatchOp::Remove { path, kind }) if code == 0 => self.remove(path, *kind),
            Call::Exists { .. }
            | Call::GetData { .. }
            | Call::GetChildren { .. }
            | Call::MultiRead(_)
            | Call::GetEphemerals { .. }
            | Call::CountAll { .. }
            | Call::Watch(_)
            | Call::Create(_)
            | Call::Delete { .. }
            | Call::SetData { .. }
            | Call::Multi(_)
            | Call::GetAcl { .. }
            | Call::SetAcl { .. }
            | Call::AddAuth { .. }
            | Call::WhoAmI
            | Call::Reconfig { .. }
            | Call::Sync { .. }
            | Call::CloseSession
            | Call::UnknownOp { .. }
            | Call::Malformed { .. } => {}
        }
    }

    fn remove(&mut self, path: &str, kind: WatchKind) {
        use WatchKind::{Any, Children, Data, Persistent, PersistentRecursive};
        let kinds = [
            (&mut self.data, Data),
            (&mut self.exist, Data),
            (&mut self.child, Children),
            (&mut self.persistent, Persistent),
            (&mut self.recursive, PersistentRecursive),
        ];
        for (kept, _) in kinds.into_iter().filter(|(_, is)| kind == *is || kind == Any) {
            kept.remove(path);
        }
    }

    pub(super) fn told(&mut self, kind: EventKind, path: &str) {
        if kind != EventKind::NodeChildrenChanged {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if matches!(kind, EventKind::NodeChildrenChanged | EventKind::NodeDeleted) {
            self.child.remove(path);
        }
    }

    /// What sets them all again; `None` where there is none.
    pub(super) fn again(&self, relative_zxid: i64) -> Option<Call> {
        let list = |paths: &BTreeSet<String>| paths.iter().cloned().collect();
        let Self { data, exist, child, persistent, recursive } = self;
        let all = [data, exist, child, persistent, recursive];
        all.iter().any(|paths| !paths.is_empty()).then(|| {
            let lasting =
                LastingWatches { persistent: list(persistent), recursive: list(recursive) };
            Call::Watch(WatchOp::Set(SetWatches {
                relative_zxid,
                data: list(data),
                exist: list(exist),
                child: list(child),
                // The older request has no room for them, and no need to be asked without them.
                lasting: (!persistent.is_empty() || !recursive.is_empty()).then_some(lasting),
            }))
        })
    }
}
