//! A seed as a file that a person reads and edits; a file, looked through.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use vivarium_sim::scenario::file::Expect;

use crate::subject::{SubjectArgs, write_file};
use crate::{Format, OK, UNUSABLE};

#[derive(Debug, Args)]
pub(crate) struct ScenarioArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Write the file here, and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What it is kept for
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// How the run should end from now on: `ok` for a pin, which fails until its bug is gone
    #[arg(long, value_name = "VERDICT")]
    expect: Option<Expected>,
    /// Only say whether the file is in order
    #[arg(long, requires = "scenario", conflicts_with = "out")]
    check: bool,
    /// `text` prints the file, `json` one document with the file in it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    Ok,
    Refusal,
    Violation,
}

pub(crate) fn run(args: &ScenarioArgs) -> u8 {
    let mut subject = match args.subject.read() {
        Ok(subject) => subject,
        Err(why) => {
            eprintln!("{why}");
            return UNUSABLE;
        }
    };
    if let Some(why) = &args.why {
        subject.file.why.clone_from(why);
    }
    match args.expect {
        Some(Expected::Ok) => subject.file.expect = Expect::Ok,
        Some(Expected::Refusal) => subject.file.expect = Expect::Refusal,
        Some(Expected::Violation) => subject.file.expect = Expect::Violation { check: None },
        None => {}
    }
    let file = &subject.file;
    if let Some(path) = &args.out {
        if let Err(why) = write_file(path, file) {
            eprintln!("{why}");
            return UNUSABLE;
        }
        eprintln!("{} is in {}", subject.name, path.display());
        return OK;
    }
    let told = match args.output {
        Format::Json => {
            let scenario = &file.scenario;
            let document = json!({
                "of": subject.name,
                "expect": file.expect.to_string(),
                "servers": scenario.cluster.configs.len(),
                "clients": scenario.clients.len(),
                "fault_units": scenario.faults.len(),
                "scenario": file.to_string(),
            });
            format!("{document:#}\n")
        }
        Format::Text if args.check => format!(
            "{}: in order: {} fault units, {} clients, {} servers, expects {}\n",
            subject.name,
            file.scenario.faults.len(),
            file.scenario.clients.len(),
            file.scenario.cluster.configs.len(),
            file.expect
        ),
        Format::Text => file.to_string(),
    };
    // A reader that has seen enough closes the pipe.
    let _ = stdout().write_all(told.as_bytes());
    OK
}
