//! One seed, or one scenario, again with its trace.

use std::collections::BTreeSet;
use std::io::{BufWriter, Stdout, Write, stdout};
use std::str::FromStr;
use std::sync::{Arc, Mutex, mpsc};

use clap::Args;
use serde_json::{Value, json};
use vivarium_sim::ids::{NodeId, SimTime};
use vivarium_sim::run::{Look, Outcome, look_and_record, look_at};
use vivarium_sim::scenario::{Scenario, span};
use vivarium_sim::{TraceLine, TraceSink};

use crate::subject::{Subject, SubjectArgs};
use crate::{Format, HARNESS, OK, UNUSABLE, VIOLATION};

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// End each line with a hash of all that it stands for, so that `diff` sees what it does not show
    #[arg(long)]
    hashes: bool,
    /// End the run there if nothing was violated before: 3.2, or `800 ms`
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Show only what happens to this server or client (s2, c1) and to the world; may be repeated
    #[arg(long, value_name = "NODE", value_parser = node)]
    node: Vec<String>,
    /// Show each packet between servers, and each request and reply of a client, in words
    #[arg(long)]
    verbose: bool,
    /// `text` prints one line an event and a summary, `json` one document
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug)]
struct Moment(SimTime);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = format!("{text} s");
        let text = if text.contains(' ') { text } else { &seconds };
        span::parse_text(text).map(|micros| Self(SimTime(micros)))
    }
}

fn node(text: &str) -> Result<String, String> {
    let number = text.strip_prefix(['s', 'c']).and_then(|id| id.parse::<u32>().ok());
    match number {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("`{text}` is neither a server (s1, s2, ..) nor a client (c0, c1, ..)")),
    }
}

pub(crate) fn run(args: &ReplayArgs) -> u8 {
    let subject = match args.subject.read() {
        Ok(subject) => subject,
        Err(why) => {
            eprintln!("{why}");
            return UNUSABLE;
        }
    };
    let out = Arc::new(Mutex::new(BufWriter::new(stdout())));
    let outcome = match play(args, &subject, &out) {
        Ok(outcome) => outcome,
        Err(fault) => {
            eprintln!("{fault}");
            return HARNESS;
        }
    };
    let mut out = out.lock().expect("the run is over");
    let written = match args.output {
        Format::Text => summary(&mut *out, &outcome, &subject),
        Format::Json => writeln!(out, "{:#}", document(&outcome, &subject)),
    };
    // As above: a closed pipe is no failure of the run.
    let _ = written.and_then(|()| out.flush());
    if outcome.verdict.is_ok() { OK } else { VIOLATION }
}

type Out = Arc<Mutex<BufWriter<Stdout>>>;

/// The run, with each line of its trace that is wanted.
fn play(args: &ReplayArgs, subject: &Subject, out: &Out) -> Result<Outcome, String> {
    let shown: BTreeSet<String> = args.node.iter().cloned().collect();
    let scenario = subject.file.scenario.clone();
    let until = args.until.map(|Moment(until)| until);
    let look = Look { white_box: subject.file.white_box, until, ..Look::default() };
    if args.output == Format::Json {
        return look_at(scenario, look);
    }
    if args.verbose {
        return play_with_packets(scenario, look, &shown, out);
    }
    let (out, hashes) = (Arc::clone(out), args.hashes);
    let sink = Box::new(move |line: &TraceLine<'_>| {
        if is_shown(line, &shown) {
            let mut out = out.lock().expect("one thread writes");
            // A reader that has seen enough closes the pipe; the run goes on to its verdict.
            let _ = match hashes {
                true => writeln!(out, "{line} [{:016x}]", line.content),
                false => writeln!(out, "{line}"),
            };
        }
    }) as TraceSink;
    look_at(scenario, Look { sink: Some(sink), ..look })
}

/// Each packet stands where it was sent, behind what else happened at that moment.
fn play_with_packets(
    scenario: Scenario,
    look: Look,
    shown: &BTreeSet<String>,
    out: &Out,
) -> Result<Outcome, String> {
    let (sender, lines) = mpsc::channel();
    let wanted = shown.clone();
    let sink = Box::new(move |line: &TraceLine<'_>| {
        if is_shown(line, &wanted) {
            let _ = sender.send((line.at, line.to_string()));
        }
    }) as TraceSink;
    let (outcome, recording) = look_and_record(scenario, Look { sink: Some(sink), ..look })?;
    let mut all: Vec<(SimTime, String)> = lines.into_iter().collect();
    for message in &recording.messages {
        let (from, to) = (message.from.to_string(), message.to.to_string());
        if shown.is_empty() || shown.contains(&from) || shown.contains(&to) {
            let at = recording.event(message.sent).at;
            let arrival = message.received.map(|id| recording.event(id).at);
            let fate = match arrival {
                Some(at) => format!("arrives at {at}"),
                None => "never arrives".to_owned(),
            };
            let text = &message.text;
            all.push((at, format!("{at} {from:<5} => {to} {text}, {fate}")));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    let mut out = out.lock().expect("the run is over");
    for (_, line) in all {
        // As above.
        let _ = writeln!(out, "{line}");
    }
    Ok(outcome)
}

fn is_shown(line: &TraceLine<'_>, shown: &BTreeSet<String>) -> bool {
    let is_wanted = || shown.contains(&line.node.to_string());
    shown.is_empty() || line.node == NodeId::World || is_wanted() || line.text.starts_with(VIOLATED)
}

/// How the line of a violation begins.
const VIOLATED: &str = "VIOLATION";

/// The form that scripts know, and what was expected of a scenario file.
fn document(outcome: &Outcome, subject: &Subject) -> Value {
    let mut document = json!(outcome.document());
    let expect = &subject.file.expect;
    document["replay"] = json!(subject.replay);
    document["expected"] = json!(expect.to_string());
    document["as_expected"] = json!(expect.is_met(outcome));
    document
}

fn summary(out: &mut impl Write, outcome: &Outcome, subject: &Subject) -> std::io::Result<()> {
    writeln!(out)?;
    writeln!(
        out,
        "{}: {} servers, {} clients, {} simulated seconds, {} events",
        subject.name, outcome.servers, outcome.clients, outcome.end, outcome.events
    )?;
    if !subject.file.why.is_empty() {
        writeln!(out, "why: {}", subject.file.why)?;
    }
    for peer in &outcome.apache {
        writeln!(out, "s{} behaves as Apache's do: {}", peer.server, peer.habits.join(", "))?;
    }
    for excuse in &outcome.excuses {
        writeln!(out, "excused {excuse}")?;
    }
    writeln!(out, "trace_hash {:016x}, commit {}", outcome.trace_hash, vivarium_sim::COMMIT)?;
    match &outcome.verdict {
        Ok(()) if outcome.refused => writeln!(out, "verdict ok, nobody serves")?,
        Ok(()) => writeln!(out, "verdict ok")?,
        Err(violation) => writeln!(out, "verdict violation {violation}")?,
    }
    if !subject.file.expect.is_met(outcome) && outcome.verdict.is_ok() {
        writeln!(out, "expected {}", subject.file.expect)?;
    }
    Ok(())
}
