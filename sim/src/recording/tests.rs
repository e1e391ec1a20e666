use vivarium_core::server::note::Note;

use super::{OperationEnd, Recording, Spans, Teller, What};
use crate::run::{Outcome, record_scenario, run_seed};
use crate::scenario::{Options, Scenario};

fn record(seed: u64) -> (Outcome, Recording) {
    let options = Options { sim_seconds: 3, ..Options::default() };
    record_scenario(Scenario::draw(seed, &options), true).expect("the harness works")
}

#[test]
fn a_recording_changes_nothing_of_the_run() {
    let options = Options { sim_seconds: 3, ..Options::default() };
    for seed in 1..6 {
        let plain = run_seed(seed, &options, None).expect("the harness works");
        let (recorded, recording) = record(seed);
        assert_eq!(plain.trace_hash, recorded.trace_hash, "seed {seed}");
        assert_eq!(recording.end, recorded.end);
    }
}

/// Whoever follows causes backwards comes to an end.
#[test]
fn causes_come_before_what_they_cause() {
    let (_, recording) = record(2);
    for (index, event) in recording.events.iter().enumerate() {
        for &cause in &event.causes {
            assert!(cause.index() < index, "{index} of {}: {:?}", event.node, event.what);
            assert!(recording.event(cause).at <= event.at);
        }
    }
}

/// What was answered was asked, and a request is among what its answer came of.
#[test]
fn an_answer_comes_of_what_the_ensemble_did() {
    let (_, recording) = record(1);
    let spans = Spans::of(&recording);
    let written = spans.operations.iter().find(|operation| {
        operation.call.starts_with("create") && matches!(operation.end, OperationEnd::Ok { .. })
    });
    let written = written.expect("a run of three seconds creates a node");
    let past = recording.past(written.answered.expect("it was answered"));
    assert!(past.contains(&written.asked));
    let noted = |wanted: fn(&Note) -> bool| {
        past.iter().any(|&id| matches!(&recording.event(id).what, What::Note(note) if wanted(note)))
    };
    assert!(noted(|note| matches!(note, Note::Proposed { .. })), "somebody proposed it");
    assert!(noted(|note| matches!(note, Note::AckedTxn { .. })), "somebody acknowledged it");
    assert!(noted(|note| matches!(note, Note::Committed { .. })), "somebody committed it");
    assert!(past.len() < recording.events.len() / 2, "not everything is its past");
}

#[test]
fn messages_have_names_and_reach_their_receivers() {
    let (_, recording) = record(1);
    let unread = recording.messages.iter().filter(|message| message.name == "unreadable");
    assert_eq!(unread.count(), 0);
    let arrived = recording.messages.iter().filter(|message| message.received.is_some());
    assert!(arrived.count() * 2 > recording.messages.len());
    for name in ["vote", "FOLLOWERINFO", "NEWLEADER", "PROPOSAL", "ACK", "COMMIT", "reply"] {
        assert!(recording.messages.iter().any(|message| message.name == name), "no {name}");
    }
    for message in &recording.messages {
        assert_eq!(recording.event(message.sent).node, message.from);
        if let Some(received) = message.received {
            assert_eq!(recording.event(received).node, message.to);
        }
    }
}

#[test]
fn every_event_can_be_told_in_a_line() {
    let (_, recording) = record(3);
    let teller = Teller::new(&recording);
    for index in 0..recording.events.len() {
        let line = teller.tell(super::EventId::at(index));
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
    }
}
