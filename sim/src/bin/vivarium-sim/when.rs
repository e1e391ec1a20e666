//! From which moment on a failure was likely.

use clap::Args;
use serde::Serialize;
use vivarium_sim::ids::SimTime;
use vivarium_sim::run::{Look, Reroll, look_at};
use vivarium_sim::scenario::Scenario;
use vivarium_sim::shrink::Class;

use crate::subject::{Subject, SubjectArgs};
use crate::{Format, HARNESS, OK, UNUSABLE};

#[derive(Debug, Args)]
pub(crate) struct WhenArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// How often the rest of the run is drawn anew at each moment
    #[arg(long, value_name = "K", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tries: u32,
    /// How many moments are looked at first, evenly over the run; then the jump between two of them
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=1000))]
    moments: u32,
    /// `text` prints a table, `json` one document
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// The run was taken up to a moment, and what came then was drawn anew.
#[derive(Clone, Copy, Debug, Serialize)]
struct Share {
    at_seconds: f64,
    failed: u32,
    tries: u32,
    #[serde(skip)]
    at: SimTime,
}

impl Share {
    fn ratio(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.tries)
    }
}

/// Between two moments that are closer, in microseconds, nobody looks for a jump.
const FINE_US: u64 = 1_000;

pub(crate) fn run(args: &WhenArgs) -> u8 {
    let subject = match args.subject.read() {
        Ok(subject) => subject,
        Err(why) => {
            eprintln!("{why}");
            return UNUSABLE;
        }
    };
    let Subject { file, name, .. } = subject;
    let mut past = Past { scenario: file.scenario, white_box: file.white_box, tries: args.tries };
    match past.fails_at() {
        Ok(Some((end, class))) => match past.shares(end, &class, args.moments) {
            Ok((shares, jump)) => {
                print(&shares, jump, end, args.output);
                OK
            }
            Err(fault) => {
                eprintln!("{fault}");
                HARNESS
            }
        },
        Ok(None) => {
            eprintln!("{name} does not fail: there is nothing to look for");
            UNUSABLE
        }
        Err(fault) => {
            eprintln!("{fault}");
            HARNESS
        }
    }
}

struct Past {
    scenario: Scenario,
    white_box: bool,
    tries: u32,
}

impl Past {
    fn fails_at(&mut self) -> Result<Option<(SimTime, Class)>, String> {
        let look = Look { white_box: self.white_box, ..Look::default() };
        let outcome = look_at(self.scenario.clone(), look)?;
        let violation = outcome.verdict.err();
        Ok(violation.map(|violation| (outcome.end, Class::of(&violation))))
    }

    /// An even grid, then the widest jump halved until it is narrow.
    fn shares(
        &self,
        end: SimTime,
        class: &Class,
        moments: u32,
    ) -> Result<(Vec<Share>, usize), String> {
        let mut shares = Vec::new();
        for index in 0..=moments {
            let at = SimTime(end.0 * u64::from(index) / u64::from(moments));
            shares.push(self.share(at, end, class)?);
        }
        for _ in 0..6 {
            let jump = widest(&shares);
            let (before, behind) = (shares[jump - 1].at, shares[jump].at);
            if behind.since(before) < FINE_US {
                break;
            }
            let middle = SimTime(before.0.midpoint(behind.0));
            shares.insert(jump, self.share(middle, end, class)?);
        }
        let jump = widest(&shares);
        Ok((shares, jump))
    }

    fn share(&self, at: SimTime, end: SimTime, class: &Class) -> Result<Share, String> {
        let mut failed = 0;
        for index in 1..=self.tries {
            // Rolls that no other command has: what led here is what was drawn.
            let rolls = (1 << 30) + index;
            let look = Look {
                white_box: self.white_box,
                reroll: Some(Reroll { at, rolls }),
                // What fails much later fails for itself.
                until: Some(end.plus((end.0 / 2).max(1_000_000))),
                ..Look::default()
            };
            let outcome = look_at(self.scenario.clone(), look)?;
            let same = outcome.verdict.err().is_some_and(|it| Class::of(&it) == *class);
            failed += u32::from(same);
        }
        eprintln!("from {at} s: {failed} of {}", self.tries);
        Ok(Share { at_seconds: at.0 as f64 / 1e6, failed, tries: self.tries, at })
    }
}

/// Behind which moment the share rises most.
fn widest(shares: &[Share]) -> usize {
    let rise = |index: &usize| {
        let rise = shares[*index].ratio() - shares[*index - 1].ratio();
        (rise * 1e6) as i64
    };
    (1..shares.len()).rev().max_by_key(rise).expect("there are two moments at least")
}

fn print(shares: &[Share], jump: usize, end: SimTime, format: Format) {
    if format == Format::Json {
        let document = serde_json::json!({
            "failed_at_seconds": end.0 as f64 / 1e6,
            "moments": shares,
            "jump": { "from": shares[jump - 1].at_seconds, "to": shares[jump].at_seconds },
        });
        println!("{document:#}");
        return;
    }
    println!("drawn anew from   fails");
    for (index, share) in shares.iter().enumerate() {
        let bar = "#".repeat((share.ratio() * 40.0) as usize);
        let mark = if index == jump { "  <- it was decided before this" } else { "" };
        println!("{:>12.6} s  {:>4.0} %  {bar}{mark}", share.at_seconds, share.ratio() * 100.0);
    }
    println!("{:>12.6} s  it failed", end.0 as f64 / 1e6);
}
