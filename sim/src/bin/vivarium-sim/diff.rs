//! Two runs, and the first event in which they differ.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write, stdout};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use clap::{Args, Parser};
use serde_json::json;
use vivarium_sim::divergence::{Comparison, Divergence, Line, compare};
use vivarium_sim::run::{Outcome, run_scenario};
use vivarium_sim::{TraceLine, TraceSink};

use crate::subject::SubjectArgs;
use crate::{Format, HARNESS, OK, UNUSABLE, VIOLATION};

/// Lines of one run that may wait for the other.
const AHEAD: usize = 4096;

#[derive(Debug, Args)]
#[command(after_help = "Each side is a seed, or whatever else `replay` takes, in one argument, \
    as in \"42 --servers 3\" or \"--scenario FILE\", or a file that `replay --hashes` has written. \
    Exit code 0: equal, 1: they differ, 2: a side that cannot be run or read.")]
pub(crate) struct DiffArgs {
    /// One run
    a: String,
    /// The other one
    b: String,
    /// How many events are shown on each side of the place where they part
    #[arg(short, long, default_value_t = 5, value_name = "N")]
    context: u8,
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// What stands behind `replay`.
#[derive(Debug, Parser)]
#[command(name = "replay", no_binary_name = true)]
struct Replayed {
    #[command(flatten)]
    subject: SubjectArgs,
}

/// One side: its events, and the run that makes them.
struct Side {
    lines: Box<dyn Iterator<Item = Line>>,
    run: Option<JoinHandle<Result<Outcome, String>>>,
}

pub(crate) fn run(args: &DiffArgs) -> u8 {
    let (a, b) = match (Side::open(&args.a), Side::open(&args.b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("{why}");
            return UNUSABLE;
        }
    };
    let found = compare(a.lines, b.lines, args.context.into());
    // The longer of two runs goes on to its verdict.
    let verdicts = match (verdict(a.run), verdict(b.run)) {
        (Ok(a), Ok(b)) => [a, b],
        (Err(fault), _) | (_, Err(fault)) => {
            eprintln!("{fault}");
            return HARNESS;
        }
    };
    let told = match args.output {
        Format::Text => text(args, &found, &verdicts),
        Format::Json => {
            let document = json!({
                "a": { "run": args.a, "verdict": verdicts[0] },
                "b": { "run": args.b, "verdict": verdicts[1] },
                "comparison": found,
            });
            format!("{document:#}\n")
        }
    };
    // A reader that has seen enough closes the pipe.
    let _ = stdout().write_all(told.as_bytes());
    if matches!(found, Comparison::Equal { .. }) { OK } else { VIOLATION }
}

impl Side {
    fn open(what: &str) -> Result<Self, String> {
        let first = what.split_whitespace().next().unwrap_or("");
        if first.parse::<u64>().is_ok() || first == "--scenario" {
            let replayed = Replayed::try_parse_from(what.split_whitespace())
                .map_err(|error| format!("\"{what}\" is not what `replay` takes: {error}"))?;
            return Self::start(replayed);
        }
        let file = fs::File::open(what).map_err(|error| {
            format!("\"{what}\" is neither a seed nor a file that can be read: {error}")
        })?;
        // Behind the empty line stands what `replay` says about the run as a whole.
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        let lines = lines.take_while(|line| !line.is_empty()).map(|line| Line::parse(&line));
        Ok(Self { lines: Box::new(lines), run: None })
    }

    fn start(replayed: Replayed) -> Result<Self, String> {
        let (sender, receiver) = sync_channel(AHEAD);
        let sink = Box::new(move |line: &TraceLine<'_>| {
            // Once the runs have parted nobody reads on.
            let _ = sender.send(Line { text: line.to_string(), content: Some(line.content) });
        }) as TraceSink;
        let file = replayed.subject.read()?.file;
        let seed = file.scenario.seed;
        let run = thread::Builder::new()
            .spawn(move || run_scenario(file.scenario, file.white_box, Some(sink)))
            .map_err(|error| format!("no thread for seed {seed}: {error}"))?;
        Ok(Self { lines: Box::new(drained(receiver)), run: Some(run) })
    }
}

fn drained(receiver: Receiver<Line>) -> impl Iterator<Item = Line> {
    receiver.into_iter()
}

/// `None` for a side that was read from a file.
fn verdict(run: Option<JoinHandle<Result<Outcome, String>>>) -> Result<Option<String>, String> {
    let Some(run) = run else { return Ok(None) };
    let outcome = run.join().map_err(|_| String::from("the harness itself panicked"))??;
    Ok(Some(match outcome.verdict {
        Ok(()) => String::from("ok"),
        Err(violation) => format!("violation {violation}"),
    }))
}

fn text(args: &DiffArgs, found: &Comparison, verdicts: &[Option<String>; 2]) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    for ((name, run), verdict) in [("A", &args.a), ("B", &args.b)].into_iter().zip(verdicts) {
        let verdict = verdict.as_ref().map(|verdict| format!(", verdict {verdict}"));
        line(format!("{name}: {run}{}", verdict.unwrap_or_default()));
    }
    match found {
        Comparison::Equal { events } => line(format!("equal: {events} events")),
        Comparison::Differ(divergence) => told(divergence, &mut line),
    }
    out
}

fn told(divergence: &Divergence, line: &mut dyn FnMut(String)) {
    line(format!("{} events in common", divergence.common));
    for common in &divergence.before {
        line(format!("  {}", common.text));
    }
    for (name, after) in [("A", &divergence.a), ("B", &divergence.b)] {
        for own in after {
            line(format!("{name} {}", own.text));
        }
        if after.is_empty() {
            line(format!("{name} ends here"));
        }
    }
    if divergence.hidden {
        line(String::from("the first lines read the same: what differs is their content"));
        if let Some((place, a, b)) = &divergence.visible {
            line(format!("the first lines that read differently come after {place} events:"));
            line(format!("A {}", a.text));
            line(format!("B {}", b.text));
        }
    }
}
