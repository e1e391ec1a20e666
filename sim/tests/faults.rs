//! Faults that wait for a packet, or for something that they can destroy, as they come out in a run.

use vivarium_core::ids::ServerId;
use vivarium_sim::ids::{NodeId, SimTime};
use vivarium_sim::recording::{Event, Message, Recording, What};
use vivarium_sim::run::{Outcome, record_scenario, run_scenario};
use vivarium_sim::scenario::Scenario;
use vivarium_sim::scenario::file::ScenarioFile;

/// Three servers and one client that writes, and one fault, as `at 1.5 s crash leader for 1 s`.
fn scenario(fault: &str) -> Scenario {
    let text = format!(
        r#"
why = "A broadcast that some hear."
seed = 5
fault_phase = "3 s"
stay_dead = []
faults = '''
{fault}
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
    file.scenario
}

fn recorded(fault: &str) -> Recording {
    let (outcome, recording) = record_scenario(scenario(fault), true).expect("it runs");
    assert!(outcome.verdict.is_ok(), "{:?}", outcome.verdict);
    recording
}

fn run(fault: &str) -> Outcome {
    let outcome = run_scenario(scenario(fault), true, None).expect("it runs");
    assert!(outcome.verdict.is_ok(), "{:?}", outcome.verdict);
    outcome
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
        let recording = recorded(&format!("at 1.5 s crash leader {place} for 500 ms"));
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
    let recording = recorded("at 1.5 s pause leader after PROPOSAL 1 for 200 ms");
    let [first, second] = &proposals(&recording)[..] else { panic!("two followers") };
    let at = |message: &Message| recording.event(message.sent).at;
    assert!(at(second) >= at(first).plus(200_000), "{first:?} {second:?}");
}

/// What is on its way when the cut comes does not arrive either.
#[test]
fn a_leader_is_cut_off_at_a_proposal() {
    let recording = recorded("at 1.5 s isolate leader after PROPOSAL 1 for 200 ms");
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

fn all(recording: &Recording, is_it: impl Fn(&What) -> bool) -> Vec<&Event> {
    recording.events.iter().filter(|event| is_it(&event.what)).collect()
}

/// The event that comes once.
fn once(recording: &Recording, is_it: impl Fn(&What) -> bool) -> &Event {
    let [event] = all(recording, is_it)[..] else { panic!("not once") };
    event
}

/// At 50 ms no log holds anything yet.
#[test]
fn rot_waits_until_there_is_something_to_rot() {
    let fault = "at 50 ms bit-rot s1 for 2.5 s";
    let recording = recorded(fault);
    let begins = once(&recording, |what| matches!(what, What::FaultBegins(_)));
    assert!(begins.at > SimTime::from_ms(500), "{begins:?}");
    assert_eq!((begins.at.0 - 50_000) % 20_000, 0, "it looks each 20 ms: {begins:?}");
    let lost = once(&recording, |what| matches!(what, What::HistoryLost(_)));
    assert_eq!((lost.at, lost.node), (begins.at, NodeId::Server(ServerId(1))));
    let skipped = all(&recording, |what| matches!(what, What::FaultSkipped(_)));
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(run(fault).stats.faults.get("bit_rot"), Some(&1));
}

#[test]
fn rot_that_waits_in_vain_is_skipped_once() {
    let fault = "at 50 ms bit-rot s1 for 100 ms";
    let recording = recorded(fault);
    let skipped = once(&recording, |what| matches!(what, What::FaultSkipped(_)));
    assert_eq!(skipped.at, SimTime::from_ms(150));
    assert!(all(&recording, |what| matches!(what, What::FaultBegins(_))).is_empty());
    let outcome = run(fault);
    assert_eq!(outcome.stats.faults.get("bit_rot"), None);
    assert_eq!(outcome.stats.skipped.get("bit_rot"), Some(&1));
}

/// A recording changes nothing, also where a fault waits.
#[test]
fn a_run_whose_fault_waits_is_the_same_when_it_is_recorded() {
    for length in ["2.5 s", "100 ms"] {
        let scenario = scenario(&format!("at 50 ms bit-rot s1 for {length}"));
        let (recorded, _) = record_scenario(scenario.clone(), true).expect("it runs");
        let plain = run_scenario(scenario, true, None).expect("it runs");
        assert_eq!(recorded.trace_hash, plain.trace_hash);
    }
}

#[test]
fn rot_while_a_server_is_down_is_what_it_finds_when_it_comes_back() {
    let recording = recorded("at 1.5 s bit-rot s1 while down for 400 ms");
    let one = NodeId::Server(ServerId(1));
    let at = |is_it: fn(&What) -> bool| {
        let of = all(&recording, is_it).into_iter().filter(|event| event.node == one);
        of.map(|event| event.at).collect::<Vec<_>>()
    };
    let lost = at(|what| matches!(what, What::HistoryLost(_)));
    assert_eq!(at(|what| matches!(what, What::Crash(_))), lost);
    let [lost] = lost[..] else { panic!("once: {lost:?}") };
    let boots = at(|what| matches!(what, What::Boot));
    assert_eq!(boots.last(), Some(&lost.plus(400_000)), "{boots:?}");
}
