//! What many watches cost: bytes of each, and the time to set them, to tell of a change, and to close
//! a connection that has many.
//!
//! `cargo bench -p vivarium-core --bench watches` prints one line for each.

use std::time::{Duration, Instant};

use vivarium_core::ids::{LinkId, Zxid};
use vivarium_core::tree::TreeEvent;
use vivarium_core::watch::{WatchMode, Watches};
use vivarium_core::wire::client::EventKind;

const MANY: u64 = 1_000_000;
const LINKS: u64 = 100_000;

fn main() {
    let before = resident_bytes();
    let mut watches = Watches::default();
    let spent = timed(|| {
        for number in 0..MANY {
            watches.add(WatchMode::Data, &path(number), LinkId(number % 10));
        }
    });
    let each = resident_bytes().saturating_sub(before) / MANY;
    println!(
        "1,000,000 paths of 40 bytes, 10 links: {each} bytes and {} to set one",
        per(spent, MANY)
    );
    let spent = timed(|| watches.remove_link(LinkId(3)));
    println!("a link with 100,000 of them closes in {:.1} ms", spent.as_secs_f64() * 1e3);
    let mut told = Vec::new();
    let spent = timed(|| {
        for number in (0..MANY).step_by(10) {
            watches.fire(&event(&path(number)), &mut told);
        }
    });
    println!("a change that one link watches: {}", per(spent, told.len() as u64));
    let mut watches = Watches::default();
    let spent = timed(|| {
        for link in 0..LINKS {
            watches.add(WatchMode::Data, "/leader", LinkId(link));
        }
    });
    println!("100,000 links on one path: {} to set one", per(spent, LINKS));
    told.clear();
    let spent = timed(|| {
        watches.fire(&event("/leader"), &mut told);
    });
    println!("a change that all of them watch: {:.1} ms", spent.as_secs_f64() * 1e3);
    assert_eq!(told.len() as u64, LINKS);
}

/// 40 bytes.
fn path(number: u64) -> String {
    format!("/services/region-1/instance-{:012}", number * 7919 % MANY)
}

fn event(path: &str) -> TreeEvent {
    let kind = EventKind::NodeDataChanged;
    TreeEvent { kind, path: path.into(), zxid: Zxid(1), acl: [].into() }
}

fn per(spent: Duration, count: u64) -> String {
    format!("{:.0} ns", spent.as_secs_f64() * 1e9 / count as f64)
}

/// Of this process, as Linux counts it; 0 elsewhere.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[allow(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
