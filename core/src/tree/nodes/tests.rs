//! Paths, order and lists against a sorted map of paths, and sizes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::tree::StoredStat;
use crate::tree::node::split;

fn node(path: &str) -> Node {
    Node::new(path, Some(path.as_bytes()), -1, StoredStat::fresh(1, 2))
}

fn with(paths: &[&str]) -> Nodes {
    let mut nodes = Nodes::default();
    for path in paths {
        assert!(nodes.insert(path, node(path)), "{path}");
    }
    nodes
}

fn walked(nodes: &Nodes, after: Option<&str>) -> Vec<String> {
    let mut walk = nodes.walk(after);
    let mut paths = Vec::new();
    while let Some((path, node)) = walk.node() {
        assert_eq!(node.data(), Some(path.as_bytes()), "the node of another path");
        paths.push(path.into());
        walk.advance();
    }
    paths
}

#[test]
fn a_node_is_small() {
    assert!(size_of::<Option<Node>>() <= 72, "{} bytes", size_of::<Option<Node>>());
}

#[test]
fn only_whole_paths_find_a_node() {
    let nodes = with(&["/", "/a", "/a/b", "/b"]);
    for path in ["/", "/a", "/a/b", "/b"] {
        assert_eq!(nodes.get(path).and_then(Node::data), Some(path.as_bytes()));
    }
    for path in ["", "a", "/a/", "//a", "/b/b", "/a/b/", "/a/a", "b"] {
        assert!(!nodes.contains(path), "{path}");
    }
    assert!(!with(&["/"]).insert("/x/y", node("/x/y")), "its parent is missing");
}

#[test]
fn a_walk_goes_on_behind_nodes_that_are_gone() {
    let nodes = with(&["/", "/a", "/a/x", "/a/y", "/a-", "/b"]);
    assert_eq!(walked(&nodes, None), ["/", "/a", "/a/x", "/a/y", "/a-", "/b"]);
    assert_eq!(walked(&nodes, Some("/")), ["/a", "/a/x", "/a/y", "/a-", "/b"]);
    assert_eq!(walked(&nodes, Some("/a/w")), ["/a/x", "/a/y", "/a-", "/b"]);
    assert_eq!(walked(&nodes, Some("/a/x/below")), ["/a/y", "/a-", "/b"]);
    assert_eq!(walked(&nodes, Some("/a/z/q")), ["/a-", "/b"]);
    assert_eq!(walked(&nodes, Some("/b")), [""; 0]);
    assert_eq!(walked(&nodes, Some("/zzz")), [""; 0]);
    assert_eq!(walked(&Nodes::default(), None), [""; 0]);
}

#[test]
fn what_changed_and_what_is_long_looks_as_it_was_put_in() {
    let long = Bytes::from(alloc::vec![7; 5000]);
    let stat = StoredStat { ephemeral_owner: 9, version: 3, ..StoredStat::fresh(1, 2) };
    for data in [None, Some(Bytes::new()), Some(Bytes::from_static(b"x")), Some(long)] {
        let mut nodes = with(&["/"]);
        assert!(nodes.insert("/née", Node::new("/née", data.as_deref(), 4, stat)));
        let node = nodes.get_mut("/née").expect("it was put in");
        assert_eq!((node.data_bytes(), node.stat(), node.name()), (data.clone(), stat, "née"));
        node.set_data(None);
        node.set_data(data.as_deref());
        node.set_stat(StoredStat::fresh(5, 6));
        assert_eq!((node.data(), node.stat()), (data.as_deref(), StoredStat::fresh(5, 6)));
    }
}

#[test]
fn longer_and_shorter_data_counts_at_every_node_above() {
    let mut nodes = with(&["/", "/a", "/a/b", "/a/b/c", "/d"]);
    nodes.resized("/a/b/c", 10);
    nodes.resized("/a/b", -1);
    nodes.resized("/", 5);
    let below = |path| nodes.get(path).map(Node::below);
    let of = |nodes, bytes| Some(Below { nodes, bytes });
    assert_eq!(below("/a/b"), of(1, 6 + 10));
    assert_eq!(below("/a"), of(2, 6 + 10 + 4 - 1));
    assert_eq!(below("/"), of(4, 6 + 10 + 4 - 1 + 2 + 2));
    assert_eq!(below("/a/b/c"), of(0, 0));
}

/// Many siblings, so that their lists break and join.
#[test]
fn a_thousand_children_stay_in_order() {
    let mut nodes = with(&["/"]);
    let mut left = BTreeMap::new();
    for step in 0..6000_u32 {
        let name = format!("{:x}", step.wrapping_mul(2_654_435_761) % 3000);
        let path = format!("/{name}");
        if left.remove(&name).is_some() {
            nodes.remove(&path).expect("it is there");
        } else {
            assert!(nodes.insert(&path, node(&path)));
            left.insert(name, ());
        }
        if step % 500 == 0 {
            assert!(nodes.child_names("/").expect("the root").eq(left.keys().map(String::as_str)));
        }
    }
    assert_eq!(nodes.len(), left.len() + 1);
    let names = nodes.child_names("/").expect("the root");
    assert_eq!(names.len(), left.len());
    assert!(names.eq(left.keys().map(String::as_str)));
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[a-c]", Just(String::from("a-"))], 1..4)
        .prop_map(|names| names.iter().map(|name| format!("/{name}")).collect())
}

proptest! {
    #[test]
    fn it_is_a_sorted_map_whose_keys_have_parents(
        changes in prop::collection::vec((any::<bool>(), path()), 0..60),
        from in path(),
    ) {
        let mut nodes = with(&["/"]);
        let mut model = BTreeMap::from([(TreeOrder("/".into()), ())]);
        for (adds, path) in changes {
            let place = TreeOrder(path.clone());
            let (parent, _) = split(&path).expect("a path");
            let is_leaf = !model.keys().any(|other| other.0.starts_with(&format!("{path}/")));
            if adds && !model.contains_key(&place) {
                let has_parent = model.contains_key(&TreeOrder(parent.into()));
                prop_assert_eq!(nodes.insert(&path, node(&path)), has_parent);
                if has_parent {
                    model.insert(place, ());
                }
            } else if !adds && is_leaf {
                prop_assert_eq!(nodes.remove(&path).is_some(), model.remove(&place).is_some());
            }
        }
        for TreeOrder(path) in model.keys() {
            let folder = if path == "/" { path.clone() } else { format!("{path}/") };
            let below = model.keys().map(|other| &other.0);
            let below = below.filter(|other| *other != path && other.starts_with(&folder));
            let sums = below.fold(Below::default(), |sums, other| Below {
                nodes: sums.nodes + 1,
                bytes: sums.bytes + other.len() as u64,
            });
            prop_assert_eq!(nodes.get(path).map(Node::below), Some(sums), "{}", path);
        }
        let all: Vec<String> = model.keys().map(|place| place.0.clone()).collect();
        prop_assert_eq!(walked(&nodes, None), all.clone());
        let behind = all.into_iter().filter(|path| TreeOrder::compare(path, &from).is_gt());
        prop_assert_eq!(walked(&nodes, Some(&from)), behind.collect::<Vec<_>>());
    }
}
