//! A summary, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::sweep::summary::{Class, Coverage, SHOWN, Summary};

/// Of more harness faults than this, the rest says nothing new.
const HARNESS_SHOWN: usize = 20;

pub(crate) fn of(summary: &Summary) -> String {
    let mut out = String::new();
    write(summary, &mut out).expect("a string takes everything");
    out
}

fn write(summary: &Summary, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{}", headline(summary))?;
    writeln!(
        out,
        "{} messages, {} disk operations, {} commits, {} leaders established, {} boots, {} events",
        summary.messages,
        summary.count("disk_ops"),
        summary.count("commits"),
        summary.count("elections"),
        summary.count("boots"),
        summary.events
    )?;
    writeln!(out, "faults: {}", counts(&summary.faults))?;
    writeln!(out, "could not strike: {}", counts(&summary.skipped))?;
    let mixed = &summary.mixed;
    writeln!(
        out,
        "mixed ensembles: {} seeds, {} Apache peers, habits seen: {}",
        mixed.seeds,
        mixed.peers,
        counts(&mixed.habits)
    )?;
    let explored = &summary.explored;
    if explored.kept > 0 {
        writeln!(
            out,
            "explored: {} scenarios made of others, {} of the corpus, {} reached something new",
            explored.mutated, explored.taken_up, explored.kept
        )?;
    }
    write_coverage(&summary.coverage, out)?;
    let kinds = match summary.classes.len() {
        0 => String::new(),
        1 => String::from(" of 1 class"),
        many => format!(" of {many} classes"),
    };
    writeln!(out, "{} failures{kinds}", summary.failures.len())?;
    for class in summary.classes.iter().take(SHOWN as usize) {
        write_class(class, out)?;
    }
    if summary.classes.len() > SHOWN as usize {
        let more = summary.classes.len() - SHOWN as usize;
        writeln!(out, "and {more} more classes; -o json lists them all")?;
    }
    for fault in summary.harness_faults.iter().take(HARNESS_SHOWN) {
        writeln!(out, "harness: {fault}")?;
    }
    let more = summary.harness_faults.len().saturating_sub(HARNESS_SHOWN);
    if more > 0 {
        writeln!(out, "and {more} more faults of the harness; -o json lists them all")?;
    }
    Ok(())
}

fn headline(summary: &Summary) -> String {
    let shard = match (&summary.shard, &summary.shard_from) {
        (Some(shard), Some(from)) => format!("shard {shard} (by {from}): "),
        (Some(shard), None) => format!("shard {shard}: "),
        (None, _) if summary.ledgers > 0 => match summary.repeated {
            0 => format!("{} ledgers: ", summary.ledgers),
            repeated => format!("{} ledgers, {repeated} seeds in several: ", summary.ledgers),
        },
        (None, _) => String::new(),
    };
    let partial = if summary.interrupted { " (interrupted)" } else { "" };
    let before = match summary.from_ledger {
        0 => String::new(),
        known => format!(" ({known} of them from the ledger)"),
    };
    let pace = if summary.wall_seconds > 0.0 {
        format!(" in {:.1} s: {:.1} seeds/s", summary.wall_seconds, summary.seeds_per_second)
    } else {
        String::new()
    };
    format!(
        "{shard}{} seeds{partial}{before}{pace}, {:.0} simulated seconds ({:.0} for each second of a core)",
        summary.seeds,
        summary.sim_seconds,
        summary.sim_seconds / summary.cpu_seconds.max(1e-9),
    )
}

fn write_coverage(coverage: &Coverage, out: &mut String) -> std::fmt::Result {
    let Coverage { hit, of, never, .. } = coverage;
    writeln!(out, "marks hit: {hit} of {of} ({:.1} %)", *hit as f64 * 100.0 / *of as f64)?;
    // A short sweep misses too many for a list to say anything.
    if hit * 2 < *of {
        return Ok(());
    }
    never.iter().try_for_each(|name| writeln!(out, "  never: {name}"))
}

fn write_class(class: &Class, out: &mut String) -> std::fmt::Result {
    let smallest = &class.smallest;
    writeln!(out, "{} x {}", class.count, class.class)?;
    writeln!(
        out,
        "  smallest: seed {}, {} events: {}",
        smallest.seed, smallest.events, smallest.violation
    )?;
    writeln!(out, "  {}", smallest.replay)
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let all: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if all.is_empty() { String::from("none") } else { all.join(", ") }
}
