//! Quotas: how many nodes and bytes lie below a path, and how many may. Facts: PROTOCOL 2.3.
//! Apache: `Quotas`, `StatsTrack`, `DataTree.updateQuotaStat`, `ZooKeeperServer.checkQuota`.
//!
//! The limits of `/a` are written by clients into `/zookeeper/quota/a/zookeeper_limits`; what is there
//! is counted in `zookeeper_stats` beside it, by every server for itself, outside of transactions.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Database, Node, QUOTA_PATH};

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// Paths that have limits. The nearest one above a node counts, and no other.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limited: BTreeSet<String>,
}

impl Quotas {
    /// The path itself or the nearest one above it that has limits. The root has none.
    fn covering(&self, path: &str) -> Option<&str> {
        if self.limited.is_empty() {
            return None;
        }
        let mut prefix = path;
        while !prefix.is_empty() {
            if let Some(found) = self.limited.get(prefix) {
                return Some(found);
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
        None
    }
}

/// A limit that a change goes beyond.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuotaExcess {
    /// The path that has the limit.
    pub limited: String,
    pub of: Counted,
    /// What there would be behind the change.
    pub amount: i64,
    pub limit: i64,
    /// The change is refused; a soft limit is only told of.
    pub hard: bool,
}

/// What a quota limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    Nodes,
    Bytes,
}

/// What is below one name under the root, and what may be: the sums of its quotas, as `mntr` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaFigures {
    pub count_limit: i64,
    pub bytes_limit: i64,
    pub count: i64,
    pub bytes: i64,
}

/// The first name of a path. Apache: `PathUtils.getTopNamespace`.
pub fn namespace(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// The content of both kinds of nodes: numbers by name, -1 where there is none. In the order of names,
/// which are few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Track<'t>(Vec<(&'t str, i64)>);

impl<'t> Track<'t> {
    /// `name=number` between commas and semicolons. What cannot be read is left out, where Apache would
    /// not go on: whatever a client writes there, a tree stays usable.
    fn read(text: &'t str) -> Self {
        let mut track = Self::default();
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let (Some(name), Some(number)) = (parts.next(), parts.next()) else { continue };
            let number = if number.is_empty() { Ok(-1) } else { number.parse() };
            if let Ok(number) = number {
                track.set(name, number);
            }
        }
        track
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (*known).cmp(name))
    }

    fn get(&self, name: &str) -> i64 {
        self.place(name).map_or(-1, |at| self.0[at].1)
    }

    fn set(&mut self, name: &'t str, number: i64) {
        match self.place(name) {
            Ok(at) => self.0[at].1 = number,
            Err(at) => self.0.insert(at, (name, number)),
        }
    }

    fn add(&mut self, name: &'t str, diff: i64) {
        self.set(name, self.get(name).saturating_add(diff));
    }

    /// The hard limit, else the soft one; none where both are absent.
    fn limit(&self, hard: &str, soft: &str) -> Option<(i64, bool)> {
        let (hard, soft) = (self.get(hard), self.get(soft));
        if hard > -1 {
            return Some((hard, true));
        }
        (soft > -1).then_some((soft, false))
    }
}

impl fmt::Display for Track<'_> {
    /// The two that every version knows come first; a lone `=` makes old readers stop before the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.get("count"), self.get("bytes"))?;
        let mut others =
            self.0.iter().filter(|(name, _)| !matches!(*name, "count" | "bytes")).peekable();
        if others.peek().is_some() {
            f.write_str("=")?;
        }
        others.try_for_each(|(name, number)| write!(f, ";{name}={number}"))
    }
}

/// The path that a node in the folder of quotas is about, if its name is this.
fn subject<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(QUOTA_PATH)?.strip_suffix(name)?;
    rest.strip_suffix('/').filter(|subject| subject.starts_with('/'))
}

/// Whether this is a node that each server writes for itself.
pub(super) fn is_stats(path: &str) -> bool {
    subject(path, STATS).is_some()
}

fn limits_of(path: &str) -> String {
    [QUOTA_PATH, path, "/", LIMITS].concat()
}

fn stats_of(path: &str) -> String {
    [QUOTA_PATH, path, "/", STATS].concat()
}

/// What a client wrote there may be no text.
fn text_of(node: &Node) -> Cow<'_, str> {
    String::from_utf8_lossy(node.data().unwrap_or_default())
}

impl Database {
    /// A node was made: it counts, and may itself set limits, or begin to show what is there.
    pub(super) fn quota_created(&mut self, path: &str, bytes: usize) {
        if let Some(subject) = subject(path, LIMITS) {
            self.quotas.limited.insert(subject.into());
        }
        if let Some(subject) = subject(path, STATS) {
            self.count_anew(subject);
        }
        self.adjust_quota(path, bytes as i64, 1);
    }

    pub(super) fn quota_removed(&mut self, path: &str, bytes: usize) {
        if let Some(subject) = subject(path, LIMITS) {
            self.quotas.limited.remove(subject);
        }
        self.adjust_quota(path, -(bytes as i64), -1);
    }

    pub(super) fn quota_changed(&mut self, path: &str, before: usize, after: usize) {
        self.adjust_quota(path, after as i64 - before as i64, 0);
    }

    /// What limits there are is read from the tree, and what they limit is counted: after every load.
    pub(super) fn find_quotas(&mut self) {
        let mut limited = BTreeSet::new();
        self.each_below(QUOTA_PATH, |path, _| {
            limited.extend(subject(path, LIMITS).map(String::from));
        });
        for path in &limited {
            self.count_anew(path);
        }
        self.quotas.limited = limited;
    }

    /// The limits that one more node (`count` 1), or so many more bytes, go beyond; a hard one comes last. It
    /// looks at what is applied, so that a burst may overshoot, as in Apache.
    pub fn quota_excesses(&self, path: &str, bytes: i64, count: i64) -> Vec<QuotaExcess> {
        let mut excesses = Vec::new();
        let Some(covering) = self.quotas.covering(path) else { return excesses };
        let (limits, stats) = (self.node(&limits_of(covering)), self.node(&stats_of(covering)));
        let (Some(limits), Some(stats)) = (limits, stats) else { return excesses };
        let (limits, stats) = (text_of(limits), text_of(stats));
        let (limits, stats) = (Track::read(&limits), Track::read(&stats));
        for (diff, of, name, hard) in [
            (count, Counted::Nodes, "count", "countHardLimit"),
            (bytes, Counted::Bytes, "bytes", "byteHardLimit"),
        ] {
            let Some((limit, hard)) = limits.limit(hard, name) else { continue };
            let amount = stats.get(name).saturating_add(diff);
            if diff != 0 && amount > limit {
                let limited = covering.into();
                excesses.push(QuotaExcess { limited, of, amount, limit, hard });
                if hard {
                    break;
                }
            }
        }
        excesses
    }

    /// Limits and counts by namespace. Apache: `QuotaMetricsUtils`.
    pub fn quota_figures(&self) -> BTreeMap<String, QuotaFigures> {
        let mut all: BTreeMap<String, QuotaFigures> = BTreeMap::new();
        self.each_below(QUOTA_PATH, |path, node| {
            let (limits, stats) = (subject(path, LIMITS), subject(path, STATS));
            let Some(subject) = limits.or(stats) else { return };
            let text = text_of(node);
            let track = Track::read(&text);
            let figures = all.entry(namespace(subject).into()).or_default();
            if limits.is_some() {
                let limit = |hard, soft| track.limit(hard, soft).map_or(-1, |(limit, _)| limit);
                figures.count_limit =
                    figures.count_limit.saturating_add(limit("countHardLimit", "count"));
                figures.bytes_limit =
                    figures.bytes_limit.saturating_add(limit("byteHardLimit", "bytes"));
            } else {
                figures.count = figures.count.saturating_add(track.get("count"));
                figures.bytes = figures.bytes.saturating_add(track.get("bytes"));
            }
        });
        all
    }

    fn adjust_quota(&mut self, path: &str, bytes: i64, count: i64) {
        let Some(covering) = self.quotas.covering(path) else { return };
        self.edit(&stats_of(covering), |node| {
            let text = text_of(node);
            let mut track = Track::read(&text);
            track.add("count", count);
            track.add("bytes", bytes);
            let text = format!("{track}");
            node.set_data(Some(text.as_bytes()));
        });
    }

    fn count_anew(&mut self, path: &str) {
        let (mut count, mut bytes) = (0, 0);
        if let Some(node) = self.node(path) {
            let below = node.below();
            count = 1 + u64::from(below.nodes);
            bytes = node.data_length() as u64 + below.bytes;
        }
        self.edit(&stats_of(path), |node| {
            node.set_data(Some(format!("count={count},bytes={bytes}").as_bytes()));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_write_is_read_and_written_as_apache_does() {
        for (text, written) in [
            ("count=3,bytes=-1", "count=3,bytes=-1"),
            ("", "count=-1,bytes=-1"),
            ("count=,bytes=7", "count=-1,bytes=7"),
            (
                "count=1,bytes=2=;byteHardLimit=4;countHardLimit=3",
                "count=1,bytes=2=;byteHardLimit=4;countHardLimit=3",
            ),
            ("nonsense", "count=-1,bytes=-1"),
            ("count=x,bytes=5", "count=-1,bytes=5"),
        ] {
            assert_eq!(format!("{}", Track::read(text)), written, "{text}");
        }
    }

    #[test]
    fn the_nearest_limited_path_counts() {
        let mut quotas = Quotas::default();
        for path in ["/a", "/a/b/c"] {
            quotas.limited.insert(path.into());
        }
        for (path, covering) in [
            ("/a", Some("/a")),
            ("/a/b", Some("/a")),
            ("/a/b/c", Some("/a/b/c")),
            ("/a/b/c/d", Some("/a/b/c")),
            ("/ab", None),
            ("/", None),
        ] {
            assert_eq!(quotas.covering(path), covering, "{path}");
        }
    }

    #[test]
    fn nodes_in_the_folder_of_quotas_have_subjects() {
        assert_eq!(subject("/zookeeper/quota/a/b/zookeeper_limits", LIMITS), Some("/a/b"));
        for other in [
            "/zookeeper/quota/zookeeper_limits",
            "/zookeeper/quotas/a/zookeeper_limits",
            "/zookeeper/zookeeper_limits",
            "/a/zookeeper_limits",
            "/zookeeper/quota/a/my_zookeeper_limits",
        ] {
            assert_eq!(subject(other, LIMITS), None, "{other}");
        }
        assert!(is_stats("/zookeeper/quota/a/zookeeper_stats"));
    }
}
