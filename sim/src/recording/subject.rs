//! What an event is about, so that events about one thing can be tied together.

use vivarium_core::ids::Zxid;
use vivarium_core::server::note::Note;

use super::What;
use crate::history::ClientFact;
use crate::observe::Durable;

/// The transaction that an event is about, if it is about one.
pub(super) fn zxid_of(what: &What) -> Option<Zxid> {
    match what {
        What::Note(note) => zxid_of_note(note),
        What::Client(
            ClientFact::Ok { zxid, .. }
            | ClientFact::Err { zxid, .. }
            | ClientFact::Watch { zxid, .. },
        ) => Zxid::from_wire(*zxid),
        What::Durable(Durable::Log { last }) => *last,
        What::Durable(Durable::Snapshot { zxid }) => Some(*zxid),
        What::FuzzySnap { base, .. } => Some(*base),
        What::Client(
            ClientFact::Invoke { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. },
        )
        | What::Durable(
            Durable::AcceptedEpoch(_) | Durable::CurrentEpoch(_) | Durable::Removed { .. },
        )
        | What::Boot
        | What::Up
        | What::Crash(_)
        | What::Exit(_)
        | What::Paused
        | What::Resumed
        | What::Woken(_)
        | What::StopAsked
        | What::Disguised
        | What::Dialled { .. }
        | What::DialFailed { .. }
        | What::Opened { .. }
        | What::Sent { .. }
        | What::Received { .. }
        | What::Closes { .. }
        | What::Closed { .. }
        | What::Disk { .. }
        | What::DiskDone
        | What::DiskFailed
        | What::HistoryLost(_)
        | What::ClientStarts
        | What::ClientWoken
        | What::FaultBegins(_)
        | What::FaultSkipped(_)
        | What::FaultEnds(_)
        | What::Healed { .. }
        | What::Violation(_) => None,
    }
}

fn zxid_of_note(note: &Note) -> Option<Zxid> {
    match note {
        Note::Proposed { zxid, .. }
        | Note::Logged { zxid, .. }
        | Note::AckedTxn { zxid, .. }
        | Note::Committed { zxid }
        | Note::Applied { zxid, .. }
        | Note::Truncated { upto: zxid }
        | Note::Uncuttable { upto: zxid }
        | Note::Disowned { upto: zxid }
        | Note::SnapInstalled { zxid, .. }
        | Note::SnapshotSealed { zxid }
        | Note::SessionClosed { zxid, .. }
        | Note::WatchFired { zxid, .. } => Some(*zxid),
        Note::EpochEntered { history, .. }
        | Note::Established { history, .. }
        | Note::AckedNewLeader { history, .. } => *history,
        Note::Promised { last, .. } | Note::Recovered { last, .. } => *last,
        Note::PhaseEntered { .. }
        | Note::Elected { .. }
        | Note::EpochAccepted { .. }
        | Note::Serving { .. }
        | Note::ServingReadOnly { .. }
        | Note::MovedAside
        | Note::SessionOpened { .. }
        | Note::SessionExpired { .. }
        | Note::SessionTouched { .. }
        | Note::LocalSession { .. }
        | Note::SessionAttached { .. }
        | Note::SyncChosen { .. }
        | Note::PeerUnreachable { .. }
        | Note::PeerReachable { .. }
        | Note::FirstStartWaits { .. }
        | Note::QuotaExceeded(_)
        | Note::Reloaded(_)
        | Note::Halting { .. } => None,
    }
}

/// Every transaction that a sentence names, as zxids are written for people: `1:28`, or `0x10000001c`.
pub(super) fn zxids_in(text: &str) -> Vec<Zxid> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == ':'));
    let mut found: Vec<Zxid> = words.filter_map(zxid_in).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn zxid_in(word: &str) -> Option<Zxid> {
    let word = word.trim_matches(':');
    if let Some(hex) = word.strip_prefix("0x") {
        let raw = u64::from_str_radix(hex, 16).ok()?;
        // A session id in hexadecimal is far greater than any zxid of a run.
        return (raw >> 32 > 0 && raw >> 52 == 0).then_some(Zxid(raw));
    }
    let (epoch, counter) = word.split_once(':')?;
    let (epoch, counter) = (epoch.parse::<u32>().ok()?, counter.parse::<u32>().ok()?);
    Some(Zxid(u64::from(epoch) << 32 | u64::from(counter)))
}

#[cfg(test)]
mod tests {
    use vivarium_core::ids::Zxid;

    use super::zxids_in;

    #[test]
    fn a_sentence_names_transactions() {
        let found = zxids_in("s1 commits 1:28, but s2 has 0x10000001b (at 5.351678) and nothing");
        assert_eq!(found, [Zxid(0x1_0000_001b), Zxid(0x1_0000_001c)]);
        assert!(zxids_in("session 0x100000000000000 of s1: ended").is_empty());
    }
}
