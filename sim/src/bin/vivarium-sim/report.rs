//! One run as a picture.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use vivarium_sim::report::{Origin, page, trace_events};
use vivarium_sim::run::{Outcome, record_scenario};

use crate::subject::{Subject, SubjectArgs};
use crate::{Format, HARNESS, OK, UNUSABLE, VIOLATION};

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// The page; `-` is standard output [default: report-SEED.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A trace for ui.perfetto.dev or chrome://tracing, too
    #[arg(long, value_name = "FILE")]
    perfetto: Option<PathBuf>,
    /// What is said about it: `text` lines, or one `json` document
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(crate) fn run(args: &ReportArgs) -> u8 {
    let Subject { file, name, replay } = match args.subject.read() {
        Ok(subject) => subject,
        Err(why) => {
            eprintln!("{why}");
            return UNUSABLE;
        }
    };
    let seed = file.scenario.seed;
    let (outcome, recording) = match record_scenario(file.scenario, file.white_box) {
        Ok(recorded) => recorded,
        Err(fault) => {
            eprintln!("{fault}");
            return HARNESS;
        }
    };
    let origin = Origin { name, replay };
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("report-{seed}.html")));
    let page = page(&origin, &outcome, &recording);
    let perfetto = args.perfetto.as_ref();
    let written = write(&out, page.as_bytes()).and_then(|()| match perfetto {
        Some(file) => write(file, trace_events(&recording).to_string().as_bytes()),
        None => Ok(()),
    });
    if let Err(failure) = written {
        eprintln!("{failure}");
        return UNUSABLE;
    }
    if out != Path::new("-") {
        tell(args, &outcome, &out, page.len());
    }
    if outcome.verdict.is_ok() { OK } else { VIOLATION }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    if file == Path::new("-") {
        // A reader that has seen enough closes the pipe.
        let _ = stdout().write_all(bytes);
        return Ok(());
    }
    fs::write(file, bytes).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn tell(args: &ReportArgs, outcome: &Outcome, out: &Path, bytes: usize) {
    let verdict = match &outcome.verdict {
        Ok(()) => String::from("verdict ok"),
        Err(violation) => format!("verdict violation {violation}"),
    };
    let told = match args.output {
        Format::Text => {
            let perfetto = args.perfetto.as_ref();
            let perfetto = perfetto.map(|file| format!("trace: {}\n", file.display()));
            format!("{verdict}\npage: {}\n{}", out.display(), perfetto.unwrap_or_default())
        }
        Format::Json => {
            let document = json!({
                "page": out,
                "perfetto": args.perfetto,
                "bytes": bytes,
                "outcome": outcome.document(),
            });
            format!("{document:#}\n")
        }
    };
    // As above.
    let _ = stdout().write_all(told.as_bytes());
}
