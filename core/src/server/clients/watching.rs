//! What clients ask about their watches. Facts: PROTOCOL 2.1. Apache: `DataTree.setWatches`,
//! `addWatch`, `containsWatcher`, `removeWatch`.

use alloc::vec::Vec;

use super::missed::{LookAgain, Named};
use super::serve::NO_ZXID;
use super::{ClientCx, Clients};
use crate::acl::{Id, PERM_READ};
use crate::ids::{LinkId, Xid};
use crate::request::auth::permits;
use crate::request::read::Asker;
use crate::tree::Database;
use crate::watch::WatchMode;
use crate::wire::client::{
    AddMode, EventKind, LastingWatches, ReplyBody, SetWatches, Stat, WatchOp, encode_event,
};
use crate::wire::code::Code;

impl Clients {
    /// No path is looked at here: one that cannot be there is watched in vain.
    pub(super) fn answer_watch(
        &mut self,
        link: LinkId,
        xid: Xid,
        op: &WatchOp,
        ids: &[Id],
        cx: &mut ClientCx<'_>,
    ) {
        let Some(known) = self.links.get(&link) else { return };
        let applied = known.shown.max(cx.db.applied().to_wire());
        let reply = match op {
            WatchOp::Set(wanted) => {
                self.set_watches(link, wanted, ids, cx);
                Ok(ReplyBody::Empty)
            }
            WatchOp::Add { path, mode } => {
                let mode = match mode {
                    AddMode::Persistent => WatchMode::Persistent,
                    AddMode::PersistentRecursive => WatchMode::Recursive,
                };
                self.watches.add(mode, path, link);
                Ok(ReplyBody::Code(Code::Ok))
            }
            WatchOp::Check { path, kind } => found(self.watches.contains(*kind, path, link)),
            WatchOp::Remove { path, kind } => found(self.watches.remove(*kind, path, link)),
        };
        self.reply(link, xid, applied, reply, cx);
    }

    /// Watches again what changed in nothing since the client saw it, and tells what it missed.
    fn set_watches(
        &mut self,
        link: LinkId,
        wanted: &SetWatches,
        ids: &[Id],
        cx: &mut ClientCx<'_>,
    ) {
        // Telling may end the link, and must leave no watch of it behind.
        let mut missed = Vec::new();
        for (mode, path, change) in one_shots(wanted, cx.db) {
            match change {
                Some(kind) => missed.push((kind, path)),
                None => self.watches.add(mode, path, link),
            }
        }
        if let Some(lasting) = &wanted.lasting {
            for path in &lasting.persistent {
                self.watches.add(WatchMode::Persistent, path, link);
            }
            for path in &lasting.recursive {
                self.watches.add(WatchMode::Recursive, path, link);
            }
        }
        for (kind, path) in missed {
            self.send_event(link, cx, |out| encode_event(out, NO_ZXID, kind, path));
        }
        if let Some(lasting) = &wanted.lasting {
            self.replay(link, lasting, wanted.relative_zxid, ids, cx);
        }
    }

    /// Tells what persistent watches missed; where that is forgotten, where to look.
    fn replay(
        &mut self,
        link: LinkId,
        lasting: &LastingWatches,
        seen: i64,
        ids: &[Id],
        cx: &mut ClientCx<'_>,
    ) {
        if cx.config.event_history_bytes == 0 {
            return;
        }
        let Some(known) = self.links.get(&link) else { return };
        let told: Vec<_> = if let Some(events) = self.happened.after(seen) {
            let named = Named::new(lasting);
            events
                .filter(|event| named.meets(event.kind, &event.path))
                .filter(|event| permits(&cx.config.access, &event.acl, PERM_READ, ids))
                .map(|event| (event.kind, event.path.clone(), event.zxid.to_wire()))
                .collect()
        } else {
            let Some(session) = known.session() else { return };
            let asker = Asker { session, ids, rules: &cx.config.access };
            let again = LookAgain::at(lasting, seen, cx.db, asker);
            again.into_iter().map(|(kind, path)| (kind, path, NO_ZXID)).collect()
        };
        for (kind, path, zxid) in told {
            // A client takes an event for the answer to its one-shot watches of the path too.
            self.watches.answer(kind, &path, link);
            self.send_event(link, cx, |out| encode_event(out, zxid, kind, &path));
        }
    }
}

/// Each one-shot watch, and what happened to its node since, as far as the node still shows it.
fn one_shots<'a>(
    wanted: &'a SetWatches,
    db: &'a Database,
) -> impl Iterator<Item = (WatchMode, &'a str, Option<EventKind>)> {
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    let newer = |zxid: i64| zxid > wanted.relative_zxid;
    let data = wanted.data.iter().map(move |path| {
        let changed = |stat: Stat| newer(stat.mzxid).then_some(NodeDataChanged);
        (WatchMode::Data, path.as_str(), db.stat(path).map_or(Some(NodeDeleted), changed))
    });
    let exist = wanted
        .exist
        .iter()
        .map(move |path| (WatchMode::Data, path.as_str(), db.stat(path).map(|_| NodeCreated)));
    let child = wanted.child.iter().map(move |path| {
        let changed = |stat: Stat| newer(stat.pzxid).then_some(NodeChildrenChanged);
        (WatchMode::Child, path.as_str(), db.stat(path).map_or(Some(NodeDeleted), changed))
    });
    data.chain(exist).chain(child)
}

fn found(there: bool) -> Result<ReplyBody, Code> {
    if there { Ok(ReplyBody::Empty) } else { Err(Code::NoWatcher) }
}
