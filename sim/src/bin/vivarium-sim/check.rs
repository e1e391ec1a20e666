//! A recorded history of real servers, judged.

use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use vivarium_sim::recorded::{Report, Servers, Unusable, check};

use crate::{Format, OK, UNUSABLE, VIOLATION};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// What scripts/record.py wrote
    history: PathBuf,
    /// The folder with the logs of one server that was in step at the end: its `version-2`
    #[arg(long, value_name = "FOLDER")]
    log: Option<PathBuf>,
    /// A zoo.cfg of the servers: what they let clients do (skipACL, superDigest, digestAlg)
    #[arg(long, value_name = "ZOO_CFG")]
    config: Option<PathBuf>,
    /// Servers answer sync without asking a quorum, as Apache's do: leaves K5 out
    #[arg(long)]
    weak_sync: bool,
    /// Some servers are Apache's: as --weak-sync, and who sets persistent watches again may be told nothing
    #[arg(long)]
    apache: bool,
    /// `text` prints a summary, `json` one document
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(crate) fn run(args: &CheckArgs) -> u8 {
    let report = match judge(args) {
        Ok(report) => report,
        Err(unusable) => {
            eprintln!("{unusable}");
            return UNUSABLE;
        }
    };
    let told = match args.output {
        Format::Text => text(&report),
        Format::Json => format!("{:#}\n", document(&report)),
    };
    // A reader that has seen enough closes the pipe.
    let _ = stdout().write_all(told.as_bytes());
    if report.verdict.is_ok() { OK } else { VIOLATION }
}

fn judge(args: &CheckArgs) -> Result<Report, Unusable> {
    let mut servers = Servers::new(args.weak_sync, args.apache);
    if let Some(path) = &args.config {
        servers.read_config(path)?;
    }
    check(&args.history, args.log.as_deref(), &servers)
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    line(format!(
        "{} frames, {} sessions, {} requests, {} transactions",
        report.frames, report.sessions, report.requests, report.transactions
    ));
    line(format!("judged by {}", report.judged_by.join(" ")));
    for (name, why) in &report.left_out {
        line(format!("left out: {name}: {why}"));
    }
    let count: u64 = report.unjudged.values().sum();
    if count > 0 {
        let names = report.unjudged.iter().map(|(name, count)| format!("{name} {count}"));
        line(format!("{count} requests not judged: {}", names.collect::<Vec<_>>().join(", ")));
    }
    if report.foreign > 0 {
        line(format!("{} transactions of clients that were not recorded", report.foreign));
    }
    if report.ambiguous > 0 {
        line(format!(
            "{} transactions that more than one unanswered request may have made",
            report.ambiguous
        ));
    }
    if report.torn {
        line("the last line is torn: the recorder was killed".into());
    }
    line(match &report.verdict {
        Ok(()) => "verdict ok".into(),
        Err((at, violation)) => format!("VIOLATION at line {at}: {violation}"),
    });
    out
}

fn document(report: &Report) -> serde_json::Value {
    let left_out = report.left_out.iter().map(|(name, why)| json!({"check": name, "why": why}));
    let violation = report.verdict.as_ref().err().map(
        |(line, violation)| json!({"line": line, "check": violation.check, "what": violation.what}),
    );
    json!({
        "verdict": if violation.is_none() { "ok" } else { "violation" },
        "violation": violation,
        "judged_by": report.judged_by,
        "left_out": left_out.collect::<Vec<_>>(),
        "frames": report.frames,
        "sessions": report.sessions,
        "requests": report.requests,
        "transactions": report.transactions,
        "unjudged": report.unjudged,
        "foreign_transactions": report.foreign,
        "ambiguous_transactions": report.ambiguous,
        "torn": report.torn,
    })
}
