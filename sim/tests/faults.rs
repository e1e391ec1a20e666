//! Faults that wait for a packet, as they come out in a run.

use vivarium_sim::ids::SimTime;
use vivarium_sim::recording::{Message, Recording, What};
use vivarium_sim::run::record_scenario;
use vivarium_sim::scenario::file::ScenarioFile;

/// Three servers and one client that writes, and one fault.
fn recorded(fault: &str) -> Recording {
    let text = format!(
        r#"
why = "A broadcast that some hear."
seed = 5
fault_phase = "3 s"
stay_dead = []
faults = '''
at 1.5 s {fault}
'''

[[client]]
seed = 7
servers = ["s1", "s2", "s3"]
session_timeout_ms = 8000
starts = "0.9 s"
pipeline = 1
think = "20 ms"

[workload]
mix = {{ create_sequential = 10 }}

[cluster]
servers = 3
"#
    );
    let file: ScenarioFile = text.parse().unwrap_or_else(|mistake| panic!("{mistake:?}"));
    let (outcome, recording) = record_scenario(file.scenario, true).expect("it runs");
    assert!(outcome.verdict.is_ok(), "{:?}", outcome.verdict);
    recording
}

/// The first proposal from 1.5 s on, to each who was sent it by who proposed it.
fn proposals(recording: &Recording) -> Vec<&Message> {
    let sent = |message: &Message| recording.event(message.sent).at;
    let of =
        |message: &&Message| message.name == "PROPOSAL" && sent(message) >= SimTime::from_ms(1_500);
    let first = recording.messages.iter().find(of).expect("something is proposed");
    recording
        .messages
        .iter()
        .filter(of)
        .filter(|it| it.zxid == first.zxid && it.from == first.from)
        .collect()
}

#[test]
fn a_leader_dies_between_two_proposals() {
    for place in ["before PROPOSAL 2", "after PROPOSAL 1"] {
        let recording = recorded(&format!("crash leader {place} for 500 ms"));
        let proposals = proposals(&recording);
        assert_eq!(proposals.len(), 1, "{place}: {proposals:?}");
        let leader = proposals[0].from;
        let crash = |what: &What| matches!(what, What::Crash(_));
        let dies = recording.events.iter().find(|event| event.node == leader && crash(&event.what));
        assert_eq!(dies.map(|event| event.at), Some(recording.event(proposals[0].sent).at));
    }
}

#[test]
fn a_leader_that_stands_still_sends_the_rest_when_it_runs_again() {
    let recording = recorded("pause leader after PROPOSAL 1 for 200 ms");
    let [first, second] = &proposals(&recording)[..] else { panic!("two followers") };
    let at = |message: &Message| recording.event(message.sent).at;
    assert!(at(second) >= at(first).plus(200_000), "{first:?} {second:?}");
}

/// What is on its way when the cut comes does not arrive either.
#[test]
fn a_leader_is_cut_off_at_a_proposal() {
    let recording = recorded("isolate leader after PROPOSAL 1 for 200 ms");
    let proposals = proposals(&recording);
    let at = |message: &Message| recording.event(message.sent).at;
    let cut = at(proposals[0]);
    let (early, late): (Vec<&Message>, Vec<&Message>) =
        proposals.iter().partition(|message| at(message) == cut);
    assert_eq!(early.len(), 2, "{proposals:?}");
    assert!(late.iter().all(|message| at(message) >= cut.plus(200_000)), "{proposals:?}");
    for received in early.iter().filter_map(|message| message.received) {
        assert!(recording.event(received).at >= cut.plus(200_000), "{proposals:?}");
    }
}
