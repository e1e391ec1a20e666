//! One seed again, with its trace.

use std::io::{BufWriter, Write, stdout};
use std::sync::{Arc, Mutex};

use clap::Args;
use vivarium_sim::run::{Outcome, run_seed};
use vivarium_sim::{TraceLine, TraceSink};

use crate::{Format, HARNESS, OK, VIOLATION, WorldArgs};

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The seed to run
    seed: u64,
    #[command(flatten)]
    world: WorldArgs,
    /// End each line with a hash of all that it stands for, so that `diff` sees what it does not show
    #[arg(long)]
    hashes: bool,
    /// `text` prints one line an event and a summary, `json` one document
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

pub(crate) fn run(args: &ReplayArgs) -> u8 {
    let out = Arc::new(Mutex::new(BufWriter::new(stdout())));
    let sink = (args.output == Format::Text).then(|| {
        let out = Arc::clone(&out);
        let hashes = args.hashes;
        Box::new(move |line: &TraceLine<'_>| {
            let mut out = out.lock().expect("one thread writes");
            // A reader that has seen enough closes the pipe; the run goes on to its verdict.
            let _ = if hashes {
                writeln!(out, "{line} [{:016x}]", line.content)
            } else {
                writeln!(out, "{line}")
            };
        }) as TraceSink
    });
    let outcome = match run_seed(args.seed, &args.world.options(), sink) {
        Ok(outcome) => outcome,
        Err(fault) => {
            eprintln!("{fault}");
            return HARNESS;
        }
    };
    let mut out = out.lock().expect("the run is over");
    let written = match args.output {
        Format::Text => summary(&mut *out, &outcome),
        Format::Json => serde_json::to_string_pretty(&outcome.document())
            .map_err(std::io::Error::other)
            .and_then(|text| writeln!(out, "{text}")),
    };
    // As above: a closed pipe is no failure of the run.
    let _ = written.and_then(|()| out.flush());
    if outcome.verdict.is_ok() { OK } else { VIOLATION }
}

fn summary(out: &mut impl Write, outcome: &Outcome) -> std::io::Result<()> {
    writeln!(out)?;
    writeln!(
        out,
        "seed {}: {} servers, {} clients, {} simulated seconds, {} events",
        outcome.seed, outcome.servers, outcome.clients, outcome.end, outcome.events
    )?;
    for peer in &outcome.apache {
        writeln!(out, "s{} behaves as Apache's do: {}", peer.server, peer.habits.join(", "))?;
    }
    writeln!(out, "trace_hash {:016x}, commit {}", outcome.trace_hash, vivarium_sim::COMMIT)?;
    match &outcome.verdict {
        Ok(()) => writeln!(out, "verdict ok"),
        Err(violation) => writeln!(out, "verdict violation {violation}"),
    }
}
