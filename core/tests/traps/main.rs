//! The traps of ZooKeeper's protocol: behaviours that a server written from its documents gets wrong.
//!
//! Each has a test whose name begins with `trap_` and its number: here, where clients meet them, and
//! elsewhere beside what they are about. `every_trap_has_a_test` counts them.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test fails like the test itself"
)]

mod client;
#[path = "../cluster/harness/disk.rs"]
#[allow(dead_code, unreachable_pub)]
mod disk;
mod rig;
#[path = "../cluster/harness/rng.rs"]
#[allow(dead_code, unreachable_pub)]
mod rng;

use std::collections::BTreeSet;
use std::path::Path;

const TRAPS: u32 = 45;

/// Test functions, and interactions by their file's name.
#[test]
fn every_trap_has_a_test() {
    let mut found = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    let missing: Vec<u32> = (1..=TRAPS).filter(|number| !found.contains(number)).collect();
    assert!(missing.is_empty(), "no test of traps {missing:?}");
}

fn collect(folder: &Path, found: &mut BTreeSet<u32>) {
    for entry in std::fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".txt") {
            found.extend(number(&name));
        }
        if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).expect("a source file is readable");
            let tests = text.split("#[test]").skip(1);
            found.extend(tests.filter_map(|test| number(test.trim_start().strip_prefix("fn ")?)));
        }
    }
}

fn number(name: &str) -> Option<u32> {
    name.strip_prefix("trap_")?.split('_').next()?.parse().ok()
}
