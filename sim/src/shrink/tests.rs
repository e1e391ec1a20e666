use std::time::Duration;

use super::*;
use crate::scenario::Options;
use crate::scenario::file::ScenarioFile;

const QUICK: Effort = Effort { rolls: 2, budget: Duration::from_secs(600) };

/// Its ticks are so short that nobody stays leader: faults and clients have no part in it.
fn hopeless() -> Scenario {
    let text = "seed = 3\nfault_phase = '300 ms'\n[cluster]\nservers = 5\nobservers = 1\n\
                tickTime = 1\ninitLimit = 1\nsyncLimit = 1";
    text.parse::<ScenarioFile>().unwrap().scenario
}

#[test]
fn what_has_no_part_in_a_failure_goes() {
    let scenario = hopeless();
    let mut steps = Vec::new();
    let shrunk = shrink(scenario.clone(), true, QUICK, &mut |step, _| steps.push(step.to_owned()));
    let shrunk = shrunk.expect("it fails");
    assert_eq!(shrunk.after.fault_units, 0, "{:?}", shrunk.scenario.faults);
    assert_eq!(shrunk.after.operations, 0);
    assert_eq!(shrunk.after.clients, 1);
    assert!(shrunk.after.servers < shrunk.before.servers);
    assert!(steps.contains(&"fault units".to_owned()) && !shrunk.exhausted);
    // It still fails, for the same reason, from its file.
    let file = ScenarioFile {
        why: String::new(),
        expect: crate::scenario::file::Expect::Ok,
        white_box: true,
        scenario: shrunk.scenario,
    };
    let file: ScenarioFile = file.to_string().parse().unwrap();
    let file_scenario = file.scenario.clone();
    let again = crate::run::run_scenario(file.scenario, true, None).unwrap();
    assert_eq!(again.verdict, Err(shrunk.violation));
    // And it ends there again.
    let second = shrink(scenario, true, QUICK, &mut |_, _| {}).expect("it fails");
    assert_eq!((second.scenario, second.runs), (file_scenario, shrunk.runs));
}

#[test]
fn a_scenario_that_passes_is_not_shrunk() {
    let options = Options { sim_seconds: 1, ..Options::default() };
    let refused = shrink(Scenario::draw(1, &options), true, QUICK, &mut |_, _| {});
    assert_eq!(refused.err(), Some(Refused::Passes));
}

#[test]
fn without_a_budget_the_scenario_stays_as_it_is() {
    let none = Effort { rolls: 2, budget: Duration::ZERO };
    let shrunk = shrink(hopeless(), true, none, &mut |_, _| {}).expect("it fails");
    assert!(shrunk.exhausted);
    assert_eq!((shrunk.runs, shrunk.after.servers), (1, 6));
}
