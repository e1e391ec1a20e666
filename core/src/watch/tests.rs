//! Watches against a list of triples.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::ids::Zxid;

fn event(kind: EventKind, path: &str) -> TreeEvent {
    TreeEvent { kind, path: path.into(), zxid: Zxid(1), acl: [].into() }
}

fn fired(watches: &mut Watches, kind: EventKind, path: &str) -> Vec<u64> {
    let mut told = vec![];
    watches.fire(&event(kind, path), &mut told);
    told.into_iter().map(|link| link.0).collect()
}

#[test]
fn a_watch_fires_once() {
    let mut watches = Watches::default();
    watches.add(WatchTable::Data, "/a", LinkId(2));
    watches.add(WatchTable::Data, "/a", LinkId(2));
    watches.add(WatchTable::Data, "/a", LinkId(1));
    assert_eq!(watches.len(), 2);
    assert_eq!(fired(&mut watches, EventKind::NodeDataChanged, "/a"), [1, 2]);
    assert_eq!(fired(&mut watches, EventKind::NodeDataChanged, "/a"), []);
    assert!(watches.is_empty());
}

#[test]
fn each_kind_looks_into_its_table() {
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    for (kind, told, left) in [
        (NodeCreated, vec![1, 3], 2),
        (NodeDataChanged, vec![1, 3], 2),
        (NodeChildrenChanged, vec![2, 3], 2),
        // Link 3 watches both ways and is told once.
        (NodeDeleted, vec![1, 2, 3], 0),
    ] {
        let mut watches = Watches::default();
        watches.add(WatchTable::Data, "/a", LinkId(1));
        watches.add(WatchTable::Child, "/a", LinkId(2));
        watches.add(WatchTable::Child, "/a", LinkId(3));
        watches.add(WatchTable::Data, "/a", LinkId(3));
        assert_eq!(fired(&mut watches, kind, "/a/b"), []);
        assert_eq!(fired(&mut watches, kind, "/a"), told, "{kind:?}");
        assert_eq!(watches.len(), left);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(WatchTable, &'static str, LinkId),
    Remove(WatchTable, &'static str, LinkId),
    RemoveLink(LinkId),
    Fire(EventKind, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let table = || prop::sample::select(vec![WatchTable::Data, WatchTable::Child]);
    let path = || prop::sample::select(vec!["/", "/a", "/a/b"]);
    let link = || (0..4_u64).prop_map(LinkId);
    let kind = prop::sample::select(vec![
        EventKind::NodeCreated,
        EventKind::NodeDeleted,
        EventKind::NodeDataChanged,
        EventKind::NodeChildrenChanged,
    ]);
    prop_oneof![
        6 => (table(), path(), link()).prop_map(|(table, path, link)| Step::Add(table, path, link)),
        1 => (table(), path(), link())
            .prop_map(|(table, path, link)| Step::Remove(table, path, link)),
        1 => link().prop_map(Step::RemoveLink),
        3 => (kind, path()).prop_map(|(kind, path)| Step::Fire(kind, path)),
    ]
}

proptest! {
    #[test]
    fn watches_equal_a_list(steps in prop::collection::vec(step(), 0..80)) {
        let mut watches = Watches::default();
        let mut list: Vec<(WatchTable, &str, LinkId)> = vec![];
        for step in steps {
            match step {
                Step::Add(table, path, link) => {
                    watches.add(table, path, link);
                    list.retain(|entry| *entry != (table, path, link));
                    list.push((table, path, link));
                }
                Step::Remove(table, path, link) => {
                    let before = list.len();
                    list.retain(|entry| *entry != (table, path, link));
                    prop_assert_eq!(watches.remove(table, path, link), list.len() < before);
                }
                Step::RemoveLink(link) => {
                    watches.remove_link(link);
                    list.retain(|entry| entry.2 != link);
                }
                Step::Fire(kind, path) => {
                    let hit = |table| match kind {
                        EventKind::NodeDeleted => true,
                        EventKind::NodeChildrenChanged => table == WatchTable::Child,
                        EventKind::NodeCreated | EventKind::NodeDataChanged => {
                            table == WatchTable::Data
                        }
                    };
                    let mut want: Vec<LinkId> = list
                        .iter()
                        .filter(|entry| entry.1 == path && hit(entry.0))
                        .map(|entry| entry.2)
                        .collect();
                    want.sort_unstable();
                    want.dedup();
                    list.retain(|entry| entry.1 != path || !hit(entry.0));
                    let mut told = vec![];
                    watches.fire(&event(kind, path), &mut told);
                    prop_assert_eq!(told, want);
                }
            }
            prop_assert_eq!(watches.len(), list.len());
            for table in [WatchTable::Data, WatchTable::Child] {
                let kept: usize = watches.iter(table).map(|(_, links)| links.len()).sum();
                prop_assert_eq!(kept, list.iter().filter(|entry| entry.0 == table).count());
            }
            let by_link: usize = watches.by_link.values().map(BTreeSet::len).sum();
            prop_assert_eq!(by_link, list.len());
        }
    }
}
