//! A sweep as others start it: a process with options, an environment, files and an exit code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// What engines say about shards must not come from whoever runs this test.
const ENGINES: [&str; 5] = [
    "VIVARIUM_SHARD",
    "SLURM_ARRAY_TASK_ID",
    "JOB_COMPLETION_INDEX",
    "CI_NODE_INDEX",
    "CI_NODE_TOTAL",
];

fn simulator(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium-sim"));
    ENGINES.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.current_dir(folder).args(arguments.split_whitespace());
    command
}

fn run(folder: &Path, arguments: &str) -> Output {
    simulator(folder, arguments).output().expect("the simulator starts")
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        panic!("no document: {error}\n{out}\n{err}")
    })
}

/// Trace hash of each seed of a ledger, or of `-o jsonl`.
fn hashes(text: &str) -> BTreeMap<u64, String> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let results = lines.filter_map(|line| {
        let seed = line.get("seed")?.as_u64()?;
        assert_eq!(line["verdict"], "ok");
        assert!(line["cost"]["cpu_us"].as_u64() > Some(0), "{line}");
        Some((seed, line["trace_hash"].as_str()?.to_owned()))
    });
    results.collect()
}

#[test]
fn jsonl_has_a_line_for_each_seed_and_then_the_sum() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(folder.path(), "run --seeds 5 --sim-seconds 1 -o jsonl");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(hashes(&text).keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["summary"]["seeds"], 5);
}

#[test]
fn a_ledger_takes_up_where_it_was_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("l.jsonl");
    let command = "run --sim-seconds 1 --ledger l.jsonl -o json --seeds";
    assert_eq!(document(&run(folder.path(), &format!("{command} 4")))["from_ledger"], 0);
    let text = fs::read_to_string(&ledger).expect("a ledger");
    fs::write(&ledger, &text[..text.len() - 30]).expect("written");
    let again = document(&run(folder.path(), &format!("{command} 6")));
    assert_eq!((&again["from_ledger"], &again["seeds"]), (&3.into(), &6.into()));
    assert_eq!(hashes(&fs::read_to_string(&ledger).expect("a ledger")).len(), 6);

    let other = run(folder.path(), "run --seeds 4 --sim-seconds 2 --ledger l.jsonl");
    assert_eq!(other.status.code(), Some(2));
    let why = String::from_utf8_lossy(&other.stderr);
    assert!(
        why.contains("l.jsonl: holds results of options") && why.contains("remove this one"),
        "{why}"
    );
}

#[test]
fn shards_of_two_engines_merge_to_the_sweep_of_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole =
        run(folder.path(), "run --seeds 8 --sim-seconds 1 --shard none --ledger whole -o json");
    let command = |ledger: &str| {
        simulator(
            folder.path(),
            &format!("run --seeds 8 --sim-seconds 1 --ledger parts/{ledger}.jsonl -o json"),
        )
    };
    let mut slurm = command("first");
    slurm.env("SLURM_ARRAY_TASK_ID", "5").env("SLURM_ARRAY_TASK_MIN", "5");
    let first = slurm.env("SLURM_ARRAY_TASK_COUNT", "2").output().expect("the simulator starts");
    assert_eq!(document(&first)["shard"], "1/2");
    assert_eq!(document(&first)["shard_from"], "SLURM_ARRAY_TASK_ID");
    let second = command("second").env("VIVARIUM_SHARD", "2/2").output().expect("it starts");
    assert_eq!(document(&second)["seeds"], 4);

    let lacking = run(folder.path(), "merge parts/first.jsonl -o json");
    assert_eq!(lacking.status.code(), Some(3));
    assert_eq!(document(&lacking)["missing"].as_array().map(Vec::len), Some(4));
    let merged = run(folder.path(), "merge parts -o json --junit report.xml");
    assert_eq!(merged.status.code(), Some(0));
    let (merged, whole) = (document(&merged), document(&whole));
    for name in [
        "seeds",
        "events",
        "messages",
        "coverage",
        "faults",
        "skipped",
        "boots",
        "sim_seconds",
        "classes",
    ] {
        assert_eq!(merged[name], whole[name], "{name}");
    }
    let read =
        |name: &str| hashes(&fs::read_to_string(folder.path().join(name)).expect("a ledger"));
    let mut joined = read("parts/first.jsonl");
    joined.extend(read("parts/second.jsonl"));
    assert_eq!(joined, read("whole"));
    let junit = fs::read_to_string(folder.path().join("report.xml")).expect("a report");
    assert!(roxmltree::Document::parse(&junit).is_ok(), "{junit}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("text"), "hello\n").expect("written");
    for (arguments, named) in [
        ("run --shard 5/4", "5/4"),
        ("run --ledger text/below/a/file", "text/below/a/file"),
        ("run --ledger text", "text:1"),
        ("merge", "LEDGERS"),
        ("merge none", "none"),
        ("merge text", "text:1"),
        ("merge .", "no file in it ends in .jsonl"),
    ] {
        let output = run(folder.path(), arguments);
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {why}");
        assert!(why.contains(named), "{arguments}: {why}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}

#[test]
fn a_search_is_the_same_one_with_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let search = |jobs: u8| {
        let command = format!("run --explore --seeds 80 --sim-seconds 1 -o json --jobs {jobs}");
        let mut found = document(&run(folder.path(), &command));
        for name in ["wall_seconds", "cpu_seconds", "seeds_per_second", "dearest"] {
            found[name] = Value::Null;
        }
        found
    };
    let alone = search(1);
    assert_eq!(alone, search(3));
    assert!(alone["explored"]["mutated"].as_u64() > Some(0), "{}", alone["explored"]);
    assert!(alone["explored"]["kept"].as_u64() > Some(5), "{}", alone["explored"]);
}

#[test]
fn a_search_takes_up_what_an_earlier_one_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let search = |more: &str| {
        let command = format!("run --explore --corpus kept --sim-seconds 1 -o json {more}");
        document(&run(folder.path(), &command))
    };
    let first = search("--seeds 30");
    let kept = first["explored"]["kept"].as_u64().expect("a number");
    assert_eq!(first["explored"]["taken_up"], 0);
    let files = || fs::read_dir(folder.path().join("kept")).expect("the corpus").count() as u64;
    assert_eq!(files(), kept);
    let again = search("--seeds 1 --seed-start 500");
    assert_eq!(again["explored"]["taken_up"], kept);
    assert_eq!(again["seeds"], kept + 1);
    let hit = |document: &Value| document["coverage"]["hit"].as_u64().expect("a number");
    assert!(hit(&again) >= hit(&first), "what was reached once is reached again");
    let before = files();
    search("--seeds 1 --seed-start 500");
    assert_eq!(files(), before, "the same search finds the same again");
    fs::write(folder.path().join("kept/wrong.toml"), "seed = -1\n").expect("written");
    let refused = run(folder.path(), "run --explore --corpus kept --seeds 1");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("kept/wrong.toml: line 1"));
}

#[test]
fn a_sweep_and_what_joins_ledgers_write_the_same_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a page");
    run(folder.path(), "run --seeds 4 --sim-seconds 1 --ledger l.jsonl --html sweep.html");
    assert_eq!(run(folder.path(), "merge l.jsonl --html merged.html").status.code(), Some(0));
    let (swept, merged) = (page("sweep.html"), page("merged.html"));
    assert_eq!(swept.replace("</p></header>", ", from 1 ledger</p></header>"), merged);
    assert!(merged.contains("no failure in 4 seeds") && merged.contains("Never hit"), "{merged}");
    let refused = run(folder.path(), "merge l.jsonl --html no/such/folder/page.html");
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no/such/folder/page.html"));
}

/// What docs/ci.md tells to type, in its order, with fewer and shorter seeds.
#[test]
fn the_commands_of_the_page_on_sweeps_work_as_they_stand() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = include_str!("../../docs/ci.md");
    let mut in_shell = false;
    let mut ran = 0;
    for line in page.lines() {
        if line.starts_with("```") {
            in_shell = line == "```sh";
            continue;
        }
        let Some(arguments) = line.strip_prefix("vivarium-sim ").filter(|_| in_shell) else {
            continue;
        };
        let mut arguments: String = arguments.replace("00", "");
        if arguments.starts_with("run") {
            arguments.push_str(" --sim-seconds 1");
        }
        let output = run(folder.path(), &arguments);
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}: {why}");
        assert!(!output.stdout.is_empty(), "{line}");
        ran += 1;
    }
    assert!(ran >= 8, "the page shows {ran} commands");
}
