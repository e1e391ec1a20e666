//! `scenario`, `shrink` and `when` as people start them: files, exit codes, documents.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Fails without any bug: nobody gets a leader within two initLimits of one millisecond.
const IMPOSSIBLE: &str = r#"
why = "Nobody can do this."
seed = 3
fault_phase = "1 s"
stay_dead = []
faults = '''
at 0.2 s slow-fsync s1 for 300 ms
at 0.4 s pause s2 for 100 ms
at 0.7 s crash s3 for 200 ms
'''

[expect]
verdict = "violation"
check = "L1"

[cluster]
servers = 3
tickTime = 1
initLimit = 1
"#;

fn run(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium-sim"));
    command.current_dir(folder).args(arguments.split_whitespace());
    command.output().expect("the simulator starts")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("impossible.toml"), IMPOSSIBLE).expect("written");
    folder
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

fn document(output: &Output) -> Value {
    let (out, err) = said(output);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("no document: {error}\n{out}\n{err}"))
}

#[test]
fn a_seed_that_is_exported_is_the_same_run() {
    let folder = folder();
    let written = run(folder.path(), "scenario 42 --sim-seconds 1 --out forty-two.toml");
    assert_eq!(written.status.code(), Some(0));
    let (out, err) = said(&written);
    assert_eq!(out, "", "the file is what was asked for");
    assert!(err.contains("seed 42 is in forty-two.toml"), "{err}");
    let of_file = document(&run(folder.path(), "replay --scenario forty-two.toml -o json"));
    let of_seed = document(&run(folder.path(), "replay 42 --sim-seconds 1 -o json"));
    assert_eq!(of_file["trace_hash"], of_seed["trace_hash"]);
    let printed = run(folder.path(), "scenario 42 --sim-seconds 1");
    let text = fs::read_to_string(folder.path().join("forty-two.toml")).expect("the file");
    assert_eq!(said(&printed).0, text);
}

#[test]
fn a_file_is_looked_through_and_told() {
    let folder = folder();
    let checked = run(folder.path(), "scenario --scenario impossible.toml --check");
    assert_eq!(checked.status.code(), Some(0));
    let told = "impossible.toml: in order: 3 fault units,";
    assert!(said(&checked).0.starts_with(told), "{:?}", said(&checked));
    let asked = "scenario --scenario impossible.toml --why Because. --expect refusal -o json";
    let told = document(&run(folder.path(), asked));
    assert_eq!((&told["servers"], &told["fault_units"]), (&3.into(), &3.into()));
    assert_eq!(told["expect"], "a refusal to serve");
    let text = told["scenario"].as_str().expect("the file");
    assert!(text.starts_with("why = \"Because.\"\n"), "{text}");
}

#[test]
fn an_expectation_that_is_met_is_said_to_be() {
    let folder = folder();
    let replayed = run(folder.path(), "replay --scenario impossible.toml -o json");
    assert_eq!(replayed.status.code(), Some(1), "a violation was found");
    let told = document(&replayed);
    assert_eq!((&told["verdict"], &told["as_expected"]), (&"violation".into(), &true.into()));
    assert_eq!(told["violation"]["check"], "L1");
    run(folder.path(), "scenario --scenario impossible.toml --expect ok --out ok.toml");
    let told = document(&run(folder.path(), "replay --scenario ok.toml -o json"));
    assert_eq!(told["as_expected"], false);
}

#[test]
fn a_failure_is_made_small_and_the_small_one_fails() {
    let folder = folder();
    let shrunk = run(folder.path(), "shrink --scenario impossible.toml --out small.toml -o json");
    assert_eq!(shrunk.status.code(), Some(0), "{:?}", said(&shrunk));
    let told = document(&shrunk);
    assert_eq!(told["violation"]["check"], "L1");
    assert_eq!(told["before"]["fault_units"], 3);
    assert_eq!(told["after"]["fault_units"], 0, "no fault had a part in it");
    assert_eq!(told["budget_used_up"], false);
    assert_eq!(told["replay"], "vivarium-sim replay --scenario small.toml");
    assert!(said(&shrunk).1.contains("fault units"), "progress goes to standard error");
    let again = run(folder.path(), "replay --scenario small.toml -o json");
    assert_eq!(again.status.code(), Some(1));
    let again = document(&again);
    assert_eq!((&again["violation"]["check"], &again["as_expected"]), (&"L1".into(), &true.into()));

    let by_default = run(folder.path(), "shrink --scenario impossible.toml --tries 1");
    assert_eq!(by_default.status.code(), Some(0));
    assert!(folder.path().join("shrunk-3.toml").is_file());
    let (out, _) = said(&by_default);
    assert!(
        out.contains("\nto 0 fault units,") && out.ends_with("--scenario shrunk-3.toml\n"),
        "{out}"
    );
}

#[test]
fn it_is_told_when_a_failure_was_likely() {
    let folder = folder();
    let asked = run(folder.path(), "when --scenario impossible.toml --tries 2 --moments 2 -o json");
    assert_eq!(asked.status.code(), Some(0), "{:?}", said(&asked));
    let told = document(&asked);
    let moments = told["moments"].as_array().expect("a list");
    assert!(moments.len() >= 3, "{told}");
    assert!(moments.iter().all(|moment| moment["failed"] == 2 && moment["tries"] == 2), "{told}");
    assert!(told["failed_at_seconds"].as_f64() > Some(1.0), "it fails behind the fault phase");
    assert!(told["jump"]["from"].as_f64() < told["jump"]["to"].as_f64());
}

#[test]
fn what_does_not_fail_or_cannot_be_read_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("wrong.toml"), "seed = 1\nfaults = \"at 1 s sneeze s1\"\n")
        .expect("written");
    for (arguments, named) in [
        ("shrink 1 --sim-seconds 1", "does not fail"),
        ("when 1 --sim-seconds 1", "does not fail"),
        ("scenario --scenario none.toml", "none.toml"),
        ("scenario --scenario wrong.toml --check", "wrong.toml: line 2"),
        ("shrink --scenario wrong.toml", "line 2"),
        ("when --scenario wrong.toml", "line 2"),
        ("scenario 1 --check", "--scenario"),
        ("scenario 1 --out no/such/folder/file.toml", "no/such/folder/file.toml"),
        ("shrink", "<SEED>"),
    ] {
        let output = run(folder.path(), arguments);
        let (out, why) = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {why}");
        assert!(why.contains(named), "{arguments}: {why}");
        assert_eq!(out, "", "{arguments}");
    }
    assert!(!folder.path().join("shrunk-1.toml").exists(), "nothing is written of nothing");
}
