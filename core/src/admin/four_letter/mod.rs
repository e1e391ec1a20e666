//! Four-letter words and their answers, one file per family. Facts: PROTOCOL 5.1, 5.3.
//! Apache: `FourLetterCommands` and the classes of `server.command`.
//!
//! A line whose value this server does not have is left out: nothing here is made up.

mod connections;
mod environment;
mod monitor;
mod server;
mod sessions;
mod settings;
mod watches;

use alloc::format;
use alloc::string::{String, ToString};

use crate::admin::report::Report;
use crate::config::Words;

/// Every word of ZooKeeper 3.9.5: four bytes that are none of these are the length of a frame.
const KNOWN: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// The word that a connection starts with.
pub fn known(first: &[u8]) -> Option<&'static str> {
    KNOWN.iter().find(|word| word.as_bytes() == first).copied()
}

/// What a word wants of the server besides an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// `crst`: the counts of each connection.
    Connections,
    /// `srst`: those of the server.
    Server,
}

/// What the server is to forget before it answers this word. Nothing for a word that is refused.
pub fn reset(word: &str, allowed: &Words, serving: bool) -> Option<Reset> {
    if !serving || !allowed.allows(word) {
        return None;
    }
    match word {
        "crst" => Some(Reset::Connections),
        "srst" => Some(Reset::Server),
        _ => None,
    }
}

/// The answer to a word. One that this server does not carry out is refused like one that is not
/// in the whitelist.
pub fn answer(word: &str, allowed: &Words, report: &Report<'_>) -> String {
    if !allowed.allows(word) {
        return refusal(word);
    }
    match word {
        "ruok" => return "imok".to_string(),
        "isro" => {
            let (full, read_only) = (report.view.serving, report.view.read_only);
            return if full {
                "rw"
            } else if read_only {
                "ro"
            } else {
                "null"
            }
            .to_string();
        }
        "envi" => return environment::envi(report),
        _ => {}
    }
    let answer: fn(&Report<'_>) -> String = match word {
        "srvr" => server::srvr,
        "stat" => server::stat,
        "cons" => connections::cons,
        "crst" => |_| "Connection stats reset.\n".to_string(),
        "srst" => |_| "Server stats reset.\n".to_string(),
        "conf" => settings::conf,
        "dump" => sessions::dump,
        "mntr" => monitor::mntr,
        "wchs" => watches::wchs,
        "wchc" => watches::wchc,
        "wchp" => watches::wchp,
        _ => return refusal(word),
    };
    let serves = report.view.serving || report.view.read_only;
    if serves { answer(report) } else { NOT_SERVING.to_string() }
}

fn refusal(word: &str) -> String {
    format!("{word} is not executed because it is not in the whitelist.\n")
}

/// `3.9.5-revision, built on ..`.
fn full_version(report: &Report<'_>) -> String {
    let crate::admin::report::Version { number, revision, built } = report.version;
    format!("{number}-{revision}, built on {built}")
}

#[cfg(test)]
mod tests;
