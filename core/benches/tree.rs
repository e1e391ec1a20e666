//! The tree alone: what a znode takes of memory, and how creates, reads and listings go, with few
//! nodes and with many.
//!
//! `cargo bench -p vivarium-core --bench tree` prints one line for each size.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vivarium_core::acl::Acl;
use vivarium_core::ids::{SessionId, Zxid};
use vivarium_core::time::Wall;
use vivarium_core::tree::Database;
use vivarium_core::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};

const DATA_BYTES: usize = 100;
const READS: u32 = 1_000_000;
/// Children listed in all, however many a listing has.
const LISTED: usize = 4_000_000;

fn main() {
    // What a fresh process pays for its first pages is no node's.
    drop(filled(1000));
    for nodes in [1_000, 1_000_000] {
        report(nodes);
    }
}

fn report(nodes: u32) {
    let before = resident_bytes();
    let (mut tree, created) = filled(nodes);
    let each = (resident_bytes().saturating_sub(before)) / u64::from(nodes);
    let read = time(|| read(&tree, nodes));
    let per_folder = tree.children("/bench/0").map_or(0, |names| names.len());
    let listings = (LISTED / per_folder.max(1)).max(1);
    let listed = time(|| (0..listings).for_each(|_| drop(black_box(tree.children("/bench/0")))));
    let set = time(|| set(&mut tree, nodes));
    let counted = time(|| assert!(black_box(tree.descendants("/bench")).is_some()));
    let recounted = time(|| limit(&mut tree, nodes));
    println!(
        "{nodes} znodes: all below a node counted in {} us, and for a new quota in {} us",
        counted.as_micros(),
        recounted.as_micros(),
    );
    println!(
        "{nodes} znodes of {DATA_BYTES} bytes: {each} bytes resident each; {} creates/s, {} sets/s, {} reads/s, \
         {} listings/s of {per_folder} children",
        per_second(nodes, created),
        per_second(nodes, set),
        per_second(READS, read),
        per_second(listings as u32, listed),
    );
}

fn filled(nodes: u32) -> (Database, Duration) {
    let mut tree = Database::new(false);
    let folders = folders(nodes);
    let mut zxid = 0;
    let mut apply = |path: String, data: Option<Bytes>| {
        zxid += 1;
        let acl = Some(vec![Acl::world(31)]);
        let create = CreateTxn { path, data, acl, ephemeral: false, parent_cversion: None };
        tree.apply(&logged(zxid, Txn::Create(create)), &mut Vec::new());
    };
    apply("/bench".into(), None);
    (0..folders).for_each(|folder| apply(format!("/bench/{folder}"), None));
    // As from the wire: a slice of a longer packet.
    let spent = time(|| {
        for number in 0..nodes {
            let packet = Bytes::from(vec![b'x'; DATA_BYTES + 60]);
            apply(path(number, folders), Some(packet.slice(60..)));
        }
    });
    (tree, spent)
}

/// A few hundred children in most places, as applications have them.
fn folders(nodes: u32) -> u32 {
    nodes.div_ceil(1000)
}

fn path(number: u32, folders: u32) -> String {
    format!("/bench/{}/node-{number:08}", number % folders)
}

fn logged(zxid: u64, txn: Txn) -> LoggedTxn {
    let header = TxnHeader {
        session: SessionId(1),
        cxid: 1,
        zxid: Zxid(zxid),
        time: Wall(1_700_000_000_000),
    };
    LoggedTxn { header, txn, digest: None }
}

fn read(tree: &Database, nodes: u32) {
    let folders = folders(nodes);
    let mut number = 1_u32;
    for _ in 0..READS {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let path = path((number >> 8) % nodes, folders);
        let node = tree.node(&path).expect("it was created");
        black_box((node.data_bytes(), node.client_stat()));
    }
}

fn set(tree: &mut Database, nodes: u32) {
    let folders = folders(nodes);
    let mut number = 1_u32;
    for zxid in 0..nodes {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let path = path((number >> 8) % nodes, folders);
        let data = Some(Bytes::from(vec![b'y'; DATA_BYTES]));
        let txn = Txn::SetData { path, data, version: 1 };
        tree.apply(&logged(u64::from(nodes) * 2 + u64::from(zxid), txn), &mut Vec::new());
    }
}

/// A quota begins to show what is there.
fn limit(tree: &mut Database, nodes: u32) {
    let folder = "/zookeeper/quota/bench";
    for (zxid, path) in (1..).zip([folder.into(), format!("{folder}/zookeeper_stats")]) {
        let acl = Some(vec![Acl::world(31)]);
        let create = CreateTxn { path, data: None, acl, ephemeral: false, parent_cversion: None };
        tree.apply(&logged(u64::from(nodes) * 4 + zxid, Txn::Create(create)), &mut Vec::new());
    }
}

fn per_second(count: u32, spent: Duration) -> u64 {
    (f64::from(count) / spent.as_secs_f64()) as u64
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Of this process, as Linux counts it.
fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * PAGE_BYTES
}
