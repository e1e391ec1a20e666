//! `report` and `diff` as a person uses them.

use std::fs;
use std::process::{Command, Output};

fn vivarium_sim(words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_vivarium-sim")).args(words).output();
    output.expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_report_is_a_page_and_a_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("run.html");
    let trace = folder.path().join("run.json");
    let (page, trace) = (page.to_str().expect("plain"), trace.to_str().expect("plain"));
    let words = ["report", "3", "--sim-seconds", "1", "--out", page, "--perfetto", trace];
    let output = vivarium_sim(&words);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains(page));
    let html = fs::read_to_string(page).expect("the page is there");
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    assert!(html.contains("vivarium-sim replay 3 --sim-seconds 1"), "how to run it again");
    let trace = fs::read_to_string(trace).expect("the trace is there");
    let trace: serde_json::Value = serde_json::from_str(&trace).expect("it is JSON");
    assert!(trace["traceEvents"].is_array());
}

#[test]
fn a_page_may_go_to_standard_output_and_says_nothing_else() {
    let output = vivarium_sim(&["report", "3", "--sim-seconds", "1", "--out", "-"]);
    assert!(stdout(&output).starts_with("<!doctype html>"));
}

#[test]
fn a_page_that_cannot_be_written_is_the_callers_fault() {
    let words = ["report", "3", "--sim-seconds", "1", "--out", "/no/such/folder/page.html"];
    let output = vivarium_sim(&words);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/folder/page.html"));
}

#[test]
fn a_seed_does_not_differ_from_itself_nor_from_its_saved_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("before.trace");
    let replay = vivarium_sim(&["replay", "4", "--sim-seconds", "1", "--hashes"]);
    fs::write(&saved, &replay.stdout).expect("written");
    let saved = saved.to_str().expect("plain");
    let same = vivarium_sim(&["diff", "4 --sim-seconds 1", "4 --sim-seconds 1"]);
    assert_eq!(same.status.code(), Some(0), "{}", stdout(&same));
    let same = vivarium_sim(&["diff", saved, "4 --sim-seconds 1"]);
    assert_eq!(same.status.code(), Some(0), "{}", stdout(&same));
}

#[test]
fn two_runs_part_somewhere() {
    let words = ["diff", "4 --sim-seconds 1", "5 --sim-seconds 1", "-o", "json"];
    let output = vivarium_sim(&words);
    assert_eq!(output.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let found = &found["comparison"];
    assert_eq!(found["result"], "differ");
    assert_ne!(found["a"][0], found["b"][0]);
}

#[test]
fn what_is_neither_seed_nor_file_is_refused() {
    for wrong in ["nowhere.trace", "4 --bogus"] {
        let output = vivarium_sim(&["diff", wrong, "4"]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(wrong));
    }
}
