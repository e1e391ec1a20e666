use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::note::Note;

use super::{EventId, Recorder, Recording, Spans, Teller, What};
use crate::ids::{NodeId, SimTime};
use crate::observe::{CrashKind, SimEvent, Violation};
use crate::run::{Outcome, record_scenario, run_seed};
use crate::scenario::{Options, Scenario};
use crate::schedule::{FaultKind, FaultUnit, Scope};

fn record(seed: u64) -> (Outcome, Recording) {
    let options = Options { sim_seconds: 3, ..Options::default() };
    record_scenario(Scenario::draw(seed, &options), true).expect("the harness works")
}

/// Without faults, and without Apache's peers: servers elect, clients write, whatever else is drawn.
fn record_calm(seed: u64) -> Recording {
    let options =
        Options { servers: Some(3), sim_seconds: 3, apache_peers: Some(0), ..Options::default() };
    let mut scenario = Scenario::draw(seed, &options);
    scenario.faults.clear();
    record_scenario(scenario, true).expect("the harness works").1
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

/// A write that was answered came of its request, and of what the ensemble did about it.
#[test]
fn an_answer_comes_of_what_the_ensemble_did() {
    let recording = record_calm(1);
    let told = |past: &[EventId], wanted: fn(&Note) -> bool| {
        past.iter().any(|&id| matches!(&recording.event(id).what, What::Note(note) if wanted(note)))
    };
    let spans = Spans::of(&recording);
    let answered = spans.operations.iter().filter_map(|op| Some((op.asked, op.answered?)));
    let written = answered.map(|(asked, answered)| (asked, recording.past(answered))).find(
        |(asked, past)| {
            past.contains(asked)
                && told(past, |note| matches!(note, Note::Proposed { .. }))
                && told(past, |note| matches!(note, Note::AckedTxn { .. }))
                && told(past, |note| matches!(note, Note::Committed { .. }))
        },
    );
    let (_, past) = written.expect("a run of three calm seconds answers a write");
    assert!(past.len() < recording.events.len() / 2, "not everything is its past");
}

#[test]
fn messages_have_names_and_reach_their_receivers() {
    let recording = record_calm(1);
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
        let line = teller.tell(EventId::at(index));
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
    }
}

const S1: NodeId = NodeId::Server(ServerId(1));
const S2: NodeId = NodeId::Server(ServerId(2));

/// What a checker says in words is tied to the events that it is about.
#[test]
fn a_violation_comes_of_the_transactions_that_it_names() {
    let zxid = Zxid(0x1_0000_0007);
    let logged = |zxid| SimEvent::Note(Note::Logged { zxid, hash: 1, source: Epoch(1) });
    let mut recorder = Recorder::new(vec![S1, S2], Vec::new());
    recorder.begin(SimTime(5));
    recorder.observe(S1, &logged(zxid));
    recorder.begin(SimTime(6));
    recorder.observe(S1, &logged(Zxid(0x1_0000_0008)));
    recorder.begin(SimTime(9));
    recorder.observe(S2, &SimEvent::Note(Note::Committed { zxid }));
    recorder.violated(S2, &Violation::new("P3", "s2 commits 1:7 without a quorum"));
    let recording = recorder.finish(SimTime(9));
    let violation = recording.violation().expect("it was recorded");
    let past: Vec<_> = recording.past(violation).into_iter().map(EventId::index).collect();
    assert_eq!(past, [0, 2, 3], "not the transaction that nobody named");
}

#[test]
fn a_crash_comes_of_the_fault_that_struck() {
    let unit = FaultUnit {
        at: SimTime(5),
        length: 10,
        kind: FaultKind::Crash,
        scope: Scope::Servers(vec![1]),
    };
    let mut recorder = Recorder::new(vec![S1, S2], vec![unit]);
    recorder.begin(SimTime(5));
    recorder.fault_begins(0);
    recorder.observe(S1, &SimEvent::Crash(CrashKind::Process));
    recorder.begin(SimTime(20));
    recorder.observe(S1, &SimEvent::Boot { incarnation: 2 });
    let recording = recorder.finish(SimTime(30));
    let boot = EventId::at(2);
    assert_eq!(recording.past(boot).len(), 3, "it boots since it crashed, since the fault struck");
    assert_eq!(recording.event(boot).incarnation, 2);
}
