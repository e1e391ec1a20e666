//! Four-letter words and their answers. Facts: PROTOCOL 5.1.
//! Apache: `FourLetterCommands`, `ServerStats`.

use alloc::format;
use alloc::string::{String, ToString};

use crate::config::Words;
use crate::ids::Zxid;
use crate::server::note::Phase;
use crate::server::view::View;
use crate::time::Span;

/// Every word of ZooKeeper 3.9.5: four bytes that are none of these are the length of a frame.
const KNOWN: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// What `srvr` calls the version of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// `3.9.5`: clients compare it.
    pub number: &'static str,
    pub revision: &'static str,
    pub built: &'static str,
}

/// How long requests took, in whole milliseconds, as ZooKeeper counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    pub count: u64,
    pub total_ms: u64,
    pub min_ms: u64,
    pub max_ms: u64,
}

impl Latency {
    pub fn count(&mut self, took: Span) {
        let ms = took.as_ms();
        self.min_ms = if self.count == 0 { ms } else { self.min_ms.min(ms) };
        self.max_ms = self.max_ms.max(ms);
        self.total_ms = self.total_ms.saturating_add(ms);
        self.count += 1;
    }

    /// Average with up to four decimals and at least one, as Java prints a rounded double.
    fn average(self) -> String {
        let count = u128::from(self.count.max(1));
        let scaled = (u128::from(self.total_ms) * 10_000 + count / 2) / count;
        let digits = format!("{:04}", scaled % 10_000);
        let decimals = digits.trim_end_matches('0');
        format!("{}.{}", scaled / 10_000, if decimals.is_empty() { "0" } else { decimals })
    }
}

/// The word that a connection starts with.
pub fn known(first: &[u8]) -> Option<&'static str> {
    KNOWN.iter().find(|word| word.as_bytes() == first).copied()
}

/// The answer to a word. One that this server does not carry out is refused like one that is not
/// in the whitelist.
pub fn answer(
    word: &str,
    allowed: &Words,
    version: Version,
    view: &View,
    latency: Latency,
) -> String {
    if !allowed.allows(word) {
        return refusal(word);
    }
    match word {
        "ruok" => "imok".to_string(),
        "isro" => if view.serving { "rw" } else { "null" }.to_string(),
        "srvr" if view.serving => srvr(version, view, latency),
        "srvr" => NOT_SERVING.to_string(),
        _ => refusal(word),
    }
}

fn refusal(word: &str) -> String {
    format!("{word} is not executed because it is not in the whitelist.\n")
}

fn srvr(version: Version, view: &View, latency: Latency) -> String {
    let Version { number, revision, built } = version;
    let Latency { min_ms, max_ms, .. } = latency;
    let mut text = format!(
        "Zookeeper version: {number}-{revision}, built on {built}\n\
         Latency min/avg/max: {min_ms}/{}/{max_ms}\n\
         Received: {}\nSent: {}\nConnections: {}\nOutstanding: {}\nZxid: {:#x}\nMode: {}\n\
         Node count: {}\n",
        latency.average(),
        view.counters.client_received,
        view.counters.client_sent,
        view.clients,
        view.outstanding,
        view.applied.unwrap_or(Zxid::ZERO).0,
        mode(view.phase),
        view.nodes,
    );
    if mode(view.phase) == "leader" {
        text.push_str("Proposal sizes last/min/max: -1/-1/-1\n");
    }
    text
}

fn mode(phase: Phase) -> &'static str {
    match phase {
        Phase::Standalone => "standalone",
        Phase::LeadingDiscovery | Phase::LeadingSynchronization | Phase::LeadingBroadcast => {
            "leader"
        }
        Phase::FollowingDiscovery | Phase::FollowingSynchronization | Phase::FollowingBroadcast => {
            "follower"
        }
        Phase::ObservingDiscovery | Phase::ObservingSynchronization | Phase::ObservingBroadcast => {
            "observer"
        }
        Phase::Looking | Phase::Halted => "looking",
    }
}
