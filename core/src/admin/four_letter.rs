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

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;

    use super::{KNOWN, Latency, Version, answer, known};
    use crate::config::Words;
    use crate::ids::{Epoch, ServerId, Zxid};
    use crate::server::note::{Phase, StateDigest};
    use crate::server::view::{Counters, View};
    use crate::time::Span;

    const RECORDED: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/zookeeper-3.9.5/four-letter-words.txt"
    ));
    const APACHE: Version = Version {
        number: "3.9.5",
        revision: "293c895a8d966a3ecb92872be4a1daf87d725da2",
        built: "2026-02-11 20:18 UTC",
    };
    const LATENCY: Latency = Latency { count: 51, total_ms: 82, min_ms: 0, max_ms: 39 };

    fn view() -> View {
        View {
            me: ServerId(1),
            phase: Phase::Standalone,
            leader: None,
            accepted: Epoch(0),
            current: Epoch(0),
            logged: Some(Zxid(0x63)),
            durable: Some(Zxid(0x63)),
            committed: Some(Zxid(0x63)),
            applied: Some(Zxid(0x63)),
            digest: StateDigest::default(),
            serving: true,
            sessions: 0,
            clients: 1,
            nodes: 11,
            watches: 0,
            outstanding: 0,
            awaited: alloc::vec![],
            synced: 0,
            counters: Counters { client_received: 121, client_sent: 125, ..Counters::default() },
        }
    }

    fn ask(word: &str, view: &View) -> String {
        answer(word, &Words::All, APACHE, view, LATENCY)
    }

    #[test]
    fn srvr_reads_as_apache_wrote_it() {
        let recorded = RECORDED.split_once("=== srvr\n").expect("it is in the file").1;
        let recorded = recorded.split("===").next().expect("split yields one part at least");
        // The recorder printed each answer with a newline of its own.
        assert_eq!(Some(ask("srvr", &view()).as_str()), recorded.strip_suffix('\n'));
        let leader = View { phase: Phase::LeadingBroadcast, ..view() };
        assert!(
            ask("srvr", &leader)
                .ends_with("Mode: leader\nNode count: 11\nProposal sizes last/min/max: -1/-1/-1\n")
        );
    }

    #[test]
    fn a_server_without_service_answers_three_ways() {
        let view = View { serving: false, phase: Phase::Looking, ..view() };
        assert_eq!(ask("ruok", &view), "imok");
        assert_eq!(ask("isro", &view), "null");
        assert_eq!(
            ask("srvr", &view),
            "This ZooKeeper instance is not currently serving requests\n"
        );
    }

    #[test]
    fn the_whitelist_rules() {
        let allowed = Words::Some(vec!["srvr".into()]);
        assert_eq!(
            answer("ruok", &allowed, APACHE, &view(), LATENCY),
            "ruok is not executed because it is not in the whitelist.\n"
        );
        assert_eq!(ask("ruok", &view()), "imok");
        assert_eq!(ask("isro", &view()), "rw");
    }

    #[test]
    fn only_words_of_the_table_are_words() {
        for word in KNOWN {
            assert_eq!(known(word.as_bytes()), Some(*word));
        }
        for other in [b"abcd", b"RUOK", &[0, 0, 0, 45]] {
            assert_eq!(known(other), None);
        }
    }

    #[test]
    fn averages_print_like_rounded_java_doubles() {
        for (total_ms, count, expected) in [
            (0, 0, "0.0"),
            (3, 3, "1.0"),
            (1, 4, "0.25"),
            (82, 51, "1.6078"),
            (1, 20_000, "0.0001"),
            (2, 3, "0.6667"),
            (19_999, 20_000, "1.0"),
        ] {
            let latency = Latency { count, total_ms, min_ms: 0, max_ms: 0 };
            assert_eq!(latency.average(), expected, "{total_ms}/{count}");
        }
        let mut latency = Latency::default();
        for ms in [5, 3, 9] {
            latency.count(Span::from_ms(ms));
        }
        assert_eq!(latency, Latency { count: 3, total_ms: 17, min_ms: 3, max_ms: 9 });
    }
}
