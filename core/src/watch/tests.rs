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
    let [data, child] = watches.fire(&event(kind, path), &mut told);
    assert!(data.max(child) <= told.len() && told.len() <= data + child);
    told.into_iter().map(|link| link.0).collect()
}

#[test]
fn a_watch_fires_once() {
    let mut watches = Watches::default();
    watches.add(WatchMode::Data, "/a", LinkId(2));
    watches.add(WatchMode::Data, "/a", LinkId(2));
    watches.add(WatchMode::Data, "/a", LinkId(1));
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
        watches.add(WatchMode::Data, "/a", LinkId(1));
        watches.add(WatchMode::Child, "/a", LinkId(2));
        watches.add(WatchMode::Child, "/a", LinkId(3));
        watches.add(WatchMode::Data, "/a", LinkId(3));
        assert_eq!(fired(&mut watches, kind, "/a/b"), []);
        assert_eq!(fired(&mut watches, kind, "/a"), told, "{kind:?}");
        assert_eq!(watches.len(), left);
    }
}

/// Apache looks a deletion up in both tables, and counts each.
#[test]
fn what_is_met_is_counted_by_table() {
    let mut watches = Watches::default();
    watches.add(WatchMode::Persistent, "/a", LinkId(1));
    watches.add(WatchMode::Recursive, "/", LinkId(1));
    watches.add(WatchMode::Child, "/a", LinkId(2));
    watches.add(WatchMode::Recursive, "/", LinkId(3));
    let mut met = |kind| watches.fire(&event(kind, "/a"), &mut vec![]);
    assert_eq!(met(EventKind::NodeDataChanged), [2, 0]);
    assert_eq!(met(EventKind::NodeDeleted), [2, 2]);
    assert_eq!(met(EventKind::NodeChildrenChanged), [0, 1]);
    assert_eq!(met(EventKind::NodeCreated), [2, 0]);
}

#[test]
fn recursive_watches_are_told_of_all_below_but_of_no_list_of_children() {
    use EventKind::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    let mut watches = Watches::default();
    watches.add(WatchMode::Recursive, "/a", LinkId(1));
    watches.add(WatchMode::Persistent, "/a", LinkId(2));
    watches.add(WatchMode::Recursive, "/", LinkId(3));
    assert_eq!(watches.len(), 4, "a persistent watch is an entry of both tables");
    for (kind, path, told) in [
        (NodeCreated, "/a", vec![1, 2, 3]),
        (NodeDataChanged, "/a/b/c", vec![1, 3]),
        (NodeDeleted, "/a/b", vec![1, 3]),
        (NodeDeleted, "/a", vec![1, 2, 3]),
        (NodeChildrenChanged, "/a", vec![2]),
        (NodeChildrenChanged, "/a/b", vec![]),
        (NodeCreated, "/ab", vec![3]),
    ] {
        assert_eq!(fired(&mut watches, kind, path), told, "{kind:?} {path}");
    }
    assert_eq!(watches.len(), 4, "none is used up");
}

#[test]
fn a_link_is_told_once_and_keeps_what_is_persistent() {
    let mut watches = Watches::default();
    for mode in MODES {
        watches.add(mode, "/a", LinkId(1));
    }
    watches.add(WatchMode::Recursive, "/", LinkId(1));
    assert_eq!(watches.len(), 3);
    assert_eq!(fired(&mut watches, EventKind::NodeDataChanged, "/a"), [1]);
    assert!(!watches.contains(WatchKind::Data, "/a", LinkId(1)));
    assert!(watches.contains(WatchKind::Children, "/a", LinkId(1)));
    assert_eq!(fired(&mut watches, EventKind::NodeDeleted, "/a"), [1]);
    assert!(!watches.contains(WatchKind::Children, "/a", LinkId(1)));
    assert_eq!(watches.len(), 3);
    assert!(watches.remove(WatchKind::Persistent, "/a", LinkId(1)));
    assert!(!watches.remove(WatchKind::Persistent, "/a", LinkId(1)));
    assert!(watches.remove(WatchKind::Any, "/a", LinkId(1)));
    assert_eq!(fired(&mut watches, EventKind::NodeDeleted, "/a"), [1], "of the root");
}

const MODES: [WatchMode; 4] =
    [WatchMode::Data, WatchMode::Child, WatchMode::Persistent, WatchMode::Recursive];
const KINDS: [WatchKind; 5] = [
    WatchKind::Children,
    WatchKind::Data,
    WatchKind::Any,
    WatchKind::Persistent,
    WatchKind::PersistentRecursive,
];

/// What each kind of question is about, said once more.
fn means(kind: WatchKind, mode: WatchMode) -> bool {
    match kind {
        WatchKind::Children => mode == WatchMode::Child,
        WatchKind::Data => mode == WatchMode::Data,
        WatchKind::Any => true,
        WatchKind::Persistent => mode == WatchMode::Persistent,
        WatchKind::PersistentRecursive => mode == WatchMode::Recursive,
    }
}

type Watch = (WatchMode, &'static str, LinkId);

/// Whether an event is for a watch, said once more.
fn hits((mode, watched, _): Watch, kind: EventKind, path: &str) -> bool {
    let below = watched == "/" || path.strip_prefix(watched).is_some_and(|p| p.starts_with('/'));
    match mode {
        WatchMode::Data => watched == path && kind != EventKind::NodeChildrenChanged,
        WatchMode::Child => {
            watched == path
                && matches!(kind, EventKind::NodeChildrenChanged | EventKind::NodeDeleted)
        }
        WatchMode::Persistent => watched == path,
        WatchMode::Recursive => {
            (watched == path || below) && kind != EventKind::NodeChildrenChanged
        }
    }
}

/// Entries as Apache counts them: (path, link), once per table.
fn entries(list: &[Watch], modes: &[WatchMode]) -> usize {
    let held = list.iter().filter(|(mode, ..)| modes.contains(mode));
    held.map(|(_, path, link)| (*path, *link)).collect::<BTreeSet<_>>().len()
}

#[derive(Clone, Debug)]
enum Step {
    Add(WatchMode, &'static str, LinkId),
    Remove(WatchKind, &'static str, LinkId),
    RemoveLink(LinkId),
    Fire(EventKind, &'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop::sample::select(MODES.to_vec());
    let asked = prop::sample::select(KINDS.to_vec());
    let path = || prop::sample::select(vec!["/", "/a", "/ab", "/a/b", "/a/b/c"]);
    let link = || (0..4_u64).prop_map(LinkId);
    let kind = prop::sample::select(vec![
        EventKind::NodeCreated,
        EventKind::NodeDeleted,
        EventKind::NodeDataChanged,
        EventKind::NodeChildrenChanged,
    ]);
    prop_oneof![
        6 => (mode, path(), link()).prop_map(|(mode, path, link)| Step::Add(mode, path, link)),
        2 => (asked, path(), link()).prop_map(|(kind, path, link)| Step::Remove(kind, path, link)),
        1 => link().prop_map(Step::RemoveLink),
        3 => (kind, path()).prop_map(|(kind, path)| Step::Fire(kind, path)),
    ]
}

proptest! {
    #[test]
    fn watches_equal_a_list(steps in prop::collection::vec(step(), 0..80)) {
        let mut watches = Watches::default();
        let mut list: Vec<Watch> = vec![];
        for step in steps {
            match step {
                Step::Add(mode, path, link) => {
                    watches.add(mode, path, link);
                    list.retain(|entry| *entry != (mode, path, link));
                    list.push((mode, path, link));
                }
                Step::Remove(kind, path, link) => {
                    let meant = |entry: &Watch| means(kind, entry.0) && entry.1 == path && entry.2 == link;
                    let there = list.iter().any(meant);
                    prop_assert_eq!(watches.contains(kind, path, link), there);
                    list.retain(|entry| !meant(entry));
                    prop_assert_eq!(watches.remove(kind, path, link), there);
                }
                Step::RemoveLink(link) => {
                    watches.remove_link(link);
                    list.retain(|entry| entry.2 != link);
                }
                Step::Fire(kind, path) => {
                    let hit = list.iter().filter(|watch| hits(**watch, kind, path));
                    let want: BTreeSet<LinkId> = hit.map(|entry| entry.2).collect();
                    let lasting = |mode| matches!(mode, WatchMode::Persistent | WatchMode::Recursive);
                    list.retain(|watch| lasting(watch.0) || !hits(*watch, kind, path));
                    let mut told = vec![];
                    watches.fire(&event(kind, path), &mut told);
                    prop_assert_eq!(told, want.into_iter().collect::<Vec<_>>());
                }
            }
            let data = entries(&list, &[WatchMode::Data, WatchMode::Persistent, WatchMode::Recursive]);
            let child = entries(&list, &[WatchMode::Child, WatchMode::Persistent]);
            prop_assert_eq!(watches.len(), data + child);
            for (table, count) in [(WatchTable::Data, data), (WatchTable::Child, child)] {
                let kept: usize = watches.iter(table).map(|(_, links)| links.count()).sum();
                prop_assert_eq!(kept, count);
            }
            let by_link: usize = watches.by_link.values().map(BTreeSet::len).sum();
            prop_assert_eq!(by_link, entries(&list, &MODES));
            let recursive: usize = watches.recursive.values().sum();
            prop_assert_eq!(recursive, entries(&list, &[WatchMode::Recursive]));
        }
    }
}
