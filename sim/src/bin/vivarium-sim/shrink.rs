//! A failing seed, made as small as it gets.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use vivarium_sim::scenario::file::{Expect, ScenarioFile};
use vivarium_sim::shrink::{Effort, Refused, Shrunk, Size, shrink};
use vivarium_sim::zkclient::Operations;

use crate::subject::{Subject, SubjectArgs, write_file};
use crate::{Format, HARNESS, OK, UNUSABLE};

#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// How many rolls of latencies each smaller scenario is tried with
    #[arg(long, value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    tries: u32,
    /// CPU seconds, after which the smallest so far is taken
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    budget_seconds: u64,
    /// Where the small scenario goes [default: shrunk-SEED.toml]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// `text` prints a summary, `json` one document
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(crate) fn run(args: &ShrinkArgs) -> u8 {
    let subject = match args.subject.read() {
        Ok(subject) => subject,
        Err(why) => {
            eprintln!("{why}");
            return UNUSABLE;
        }
    };
    let effort = Effort { rolls: args.tries, budget: Duration::from_secs(args.budget_seconds) };
    let Subject { file, name, .. } = subject;
    let mut progress = |step: &str, size: Size| eprintln!("{step}: {}", told(size));
    let shrunk = match shrink(file.scenario.clone(), file.white_box, effort, &mut progress) {
        Ok(shrunk) => shrunk,
        Err(Refused::Passes) => {
            eprintln!("{name} does not fail: there is nothing to shrink");
            return UNUSABLE;
        }
        Err(Refused::Harness(fault)) => {
            eprintln!("{fault}");
            return HARNESS;
        }
    };
    let default = || PathBuf::from(format!("shrunk-{}.toml", file.scenario.seed));
    let path = args.out.clone().unwrap_or_else(default);
    let small = ScenarioFile {
        why: if file.why.is_empty() { format!("Shrunk from {name}.") } else { file.why },
        expect: Expect::Violation { check: Some(shrunk.violation.check.clone()) },
        white_box: file.white_box,
        scenario: shrunk.scenario.clone(),
    };
    if let Err(why) = write_file(&path, &small) {
        eprintln!("{why}");
        return UNUSABLE;
    }
    let path = path.display().to_string();
    match args.output {
        Format::Text => print!("{}", text(&shrunk, &path)),
        Format::Json => println!("{:#}", document(&shrunk, &path)),
    }
    OK
}

fn told(size: Size) -> String {
    let Size { fault_units, operations, clients, servers } = size;
    format!(
        "{fault_units} fault units, {operations} operations, {clients} clients, {servers} servers"
    )
}

fn text(shrunk: &Shrunk, path: &str) -> String {
    let mut out = String::new();
    for line in faults(shrunk).into_iter().chain(operations(shrunk)) {
        out.push_str(&format!("{line}\n"));
    }
    out.push_str(&format!("{} at {} s\n", shrunk.violation, shrunk.end));
    out.push_str(&format!("from {}\n", told(shrunk.before)));
    out.push_str(&format!("to {}\n", told(shrunk.after)));
    let over = if shrunk.exhausted { ", the budget is used up" } else { "" };
    let cpu = shrunk.cpu.as_secs_f64();
    out.push_str(&format!("{} runs, {cpu:.1} CPU seconds{over}\n", shrunk.runs));
    out.push_str(&format!("vivarium-sim replay --scenario {path}\n"));
    out
}

fn document(shrunk: &Shrunk, path: &str) -> serde_json::Value {
    json!({
        "violation": { "check": shrunk.violation.check, "what": shrunk.violation.what },
        "failed_at_seconds": shrunk.end.0 as f64 / 1e6,
        "before": shrunk.before,
        "after": shrunk.after,
        "faults": faults(shrunk),
        "operations": operations(shrunk),
        "runs": shrunk.runs,
        "cpu_seconds": shrunk.cpu.as_secs_f64(),
        "budget_used_up": shrunk.exhausted,
        "scenario": path,
        "replay": format!("vivarium-sim replay --scenario {path}"),
    })
}

fn faults(shrunk: &Shrunk) -> Vec<String> {
    shrunk.scenario.faults.iter().map(ToString::to_string).collect()
}

fn operations(shrunk: &Shrunk) -> Vec<String> {
    let mut lines = Vec::new();
    for client in &shrunk.scenario.clients {
        if let Operations::Listed(listed) = &client.operations {
            lines.extend(listed.iter().map(|timed| format!("c{}: {timed}", client.id.0)));
        }
    }
    lines
}
