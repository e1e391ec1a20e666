//! Ledgers of one sweep, joined to one report.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;

use crate::sweep::ledger::{Contents, Header};
use crate::sweep::record::{SeedRecord, Verdict};
use crate::sweep::report::ReportArgs;
use crate::sweep::summary::{SeedRange, Summary};
use crate::sweep::text;
use crate::{Format, HARNESS, UNUSABLE};

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// What `run --ledger` wrote, in any order; of a folder all files whose names end in .jsonl
    #[arg(required = true)]
    ledgers: Vec<PathBuf>,
    /// `text` prints a summary, `json` one document
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(args: &MergeArgs) -> u8 {
    let merged = files(&args.ledgers).and_then(|files| {
        let mut merge = Merge::default();
        for path in files {
            merge.take(&path.display().to_string(), Contents::read(&path)?)?;
        }
        merge.summary()
    });
    let summary = match merged {
        Ok(summary) => summary,
        Err(why) => {
            eprintln!("{why}");
            return UNUSABLE;
        }
    };
    let told = match args.output {
        Format::Text => text::of(&summary),
        Format::Json => {
            format!(
                "{}\n",
                serde_json::to_string_pretty(&summary).expect("a summary is plain data")
            )
        }
    };
    // A reader that has seen enough closes the pipe.
    let _ = stdout().write_all(told.as_bytes());
    args.report.write(&summary).unwrap_or_else(|why| {
        eprintln!("{why}");
        HARNESS
    })
}

/// The ledgers themselves, where folders are named.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let fail = |error: std::io::Error| format!("{}: {error}", path.display());
        let entries = std::fs::read_dir(path).map_err(fail)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut found = paths.collect::<Result<Vec<_>, _>>().map_err(fail)?;
        found.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        if found.is_empty() {
            return Err(format!("{}: no file in it ends in .jsonl", path.display()));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

#[derive(Debug, Default)]
struct Merge {
    /// The first sweep of each ledger, with the ledger's name.
    sweeps: Vec<(String, Header)>,
    /// First seed and length of each sweep, shards aside.
    spans: BTreeSet<(u64, u64)>,
    records: BTreeMap<u64, (usize, SeedRecord)>,
    started: BTreeSet<u64>,
    /// Seeds that more than one ledger has a result of.
    repeated: u64,
    contradictions: Vec<String>,
}

impl Merge {
    fn take(&mut self, name: &str, contents: Contents) -> Result<(), String> {
        let Some(first) = contents.headers.first() else {
            return Err(format!("{name}: no sweep has begun in this ledger"));
        };
        if let Some((other, header)) = self.sweeps.first() {
            matches(name, first, other, header)?;
        }
        let ledger = self.sweeps.len();
        self.sweeps.push((name.to_owned(), first.clone()));
        self.spans.extend(contents.headers.iter().map(|header| (header.seed_start, header.seeds)));
        self.started.extend(contents.started);
        for (seed, record) in contents.ended {
            self.join(seed, ledger, record);
        }
        Ok(())
    }

    fn join(&mut self, seed: u64, ledger: usize, record: SeedRecord) {
        let Some((of, known)) = self.records.get(&seed) else {
            self.records.insert(seed, (ledger, record));
            return;
        };
        self.repeated += 1;
        if known.verdict == Verdict::HarnessFault {
            self.records.insert(seed, (ledger, record));
        } else if record.verdict != Verdict::HarnessFault
            && (known.trace_hash != record.trace_hash || known.verdict != record.verdict)
        {
            self.contradictions.push(format!(
                "seed {seed} is {} {} in {} and {} {} in {}: the same seed must be the same run",
                known.verdict,
                known.trace_hash,
                self.sweeps[*of].0,
                record.verdict,
                record.trace_hash,
                self.sweeps[ledger].0,
            ));
        }
    }

    fn summary(self) -> Result<Summary, String> {
        let Some((_, header)) = self.sweeps.first() else {
            return Err(String::from("no ledger, no report"));
        };
        let mut summary = Summary::new(&header.commit, &header.options);
        summary.ledgers = self.sweeps.len() as u64;
        summary.repeated = self.repeated;
        self.records.values().for_each(|(_, record)| summary.add(record));
        let missing = self.missing();
        let unfinished = missing.iter().filter(|seed| self.started.contains(seed));
        summary.unfinished = unfinished.copied().collect();
        summary.missing = SeedRange::of(&missing);
        if !missing.is_empty() {
            let ranges: Vec<_> = summary.missing.iter().map(SeedRange::to_string).collect();
            let fault = format!("{} seeds have no result: {}", missing.len(), listed(&ranges));
            summary.harness_faults.push(fault);
        }
        if !summary.unfinished.is_empty() {
            let seeds: Vec<_> = summary.unfinished.iter().map(u64::to_string).collect();
            let fault = format!(
                "started and not ended, as by a process that was killed: {}",
                listed(&seeds)
            );
            summary.harness_faults.push(fault);
        }
        summary.harness_faults.extend(self.contradictions);
        let builds: BTreeSet<_> = self.sweeps.iter().map(|(_, header)| &header.program).collect();
        if builds.len() > 1 {
            eprintln!("written by {} builds of commit {}", builds.len(), summary.commit);
        }
        summary.close();
        Ok(summary)
    }

    /// Seeds of the sweeps without a result, in order.
    fn missing(&self) -> Vec<u64> {
        let of_span =
            |&(start, seeds): &(u64, u64)| (0..seeds).map(move |place| start.wrapping_add(place));
        let missing =
            self.spans.iter().flat_map(of_span).filter(|seed| !self.records.contains_key(seed));
        missing.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Results of different commits or options are no parts of one sweep.
fn matches(name: &str, one: &Header, other_name: &str, other: &Header) -> Result<(), String> {
    let mixed = |what: &str, one: &str, other: &str| {
        Err(format!("{name} is of {what} {one}, {other_name} of {what} {other}: merge them apart"))
    };
    if one.commit != other.commit {
        return mixed("commit", &one.commit, &other.commit);
    }
    if one.options != other.options {
        let text = |header: &Header| {
            serde_json::to_string(&header.options).expect("options are plain data")
        };
        return mixed("options", &text(one), &text(other));
    }
    Ok(())
}

/// The first of many.
fn listed(items: &[String]) -> String {
    const LISTED: usize = 20;
    let shown = items[..items.len().min(LISTED)].join(", ");
    if items.len() > LISTED { format!("{shown} and more") } else { shown }
}

#[cfg(test)]
mod tests {
    use vivarium_sim::scenario::Options;

    use super::{Contents, Header, Merge, SeedRecord, Verdict};
    use crate::{HARNESS, OK, VIOLATION};

    fn header(shard: &str) -> Header {
        Header {
            commit: "c0".into(),
            program: "p0".into(),
            options: Options::default(),
            seed_start: 10,
            seeds: 6,
            shard: shard.parse().ok(),
        }
    }

    fn ended(seed: u64, verdict: Verdict, trace_hash: &str) -> (u64, SeedRecord) {
        let record = SeedRecord::new(seed, &Options::default(), Err("no thread".into()));
        let check = (verdict == Verdict::Violation).then(|| String::from("P3"));
        (seed, SeedRecord { verdict, check, trace_hash: trace_hash.into(), ..record })
    }

    fn ledger(shard: &str, seeds: &[u64]) -> Contents {
        let ended = seeds.iter().map(|&seed| ended(seed, Verdict::Ok, "a")).collect();
        let started = seeds.iter().copied().collect();
        Contents { headers: vec![header(shard)], ended, started, ..Contents::default() }
    }

    fn merged(ledgers: impl IntoIterator<Item = Contents>) -> Merge {
        let mut merge = Merge::default();
        for (index, contents) in ledgers.into_iter().enumerate() {
            merge.take(&format!("l{index}"), contents).unwrap();
        }
        merge
    }

    #[test]
    fn shards_join_to_the_whole_sweep() {
        let merge = merged([ledger("1/2", &[10, 12, 14]), ledger("2/2", &[11, 13, 15])]);
        let summary = merge.summary().unwrap();
        assert_eq!((summary.seeds, summary.ledgers, summary.repeated), (6, 2, 0));
        assert_eq!(summary.exit_code(), OK, "{summary:?}");
        let mut failing = ledger("2/2", &[11, 13]);
        failing.ended.extend([ended(15, Verdict::Violation, "b")]);
        let summary = merged([ledger("1/2", &[10, 12, 14]), failing]).summary().unwrap();
        assert_eq!(summary.exit_code(), VIOLATION);
        assert_eq!(summary.failures[0].seed, 15);
    }

    #[test]
    fn what_is_missing_is_named_and_so_is_the_seed_that_a_process_died_at() {
        let mut torn = ledger("1/2", &[10]);
        torn.started.insert(12);
        let summary = merged([torn, ledger("2/2", &[11])]).summary().unwrap();
        assert_eq!(summary.exit_code(), HARNESS);
        assert_eq!(summary.unfinished, [12]);
        let told = summary.harness_faults.join("\n");
        assert!(told.contains("4 seeds have no result: 12-15"), "{told}");
        assert!(told.contains("killed: 12"), "{told}");
    }

    #[test]
    fn one_seed_with_two_results_is_a_fault_of_the_harness_unless_they_are_one() {
        let whole = || ledger("none", &[10, 11, 12, 13, 14, 15]);
        let summary = merged([whole(), ledger("1/2", &[10, 12, 14])]).summary().unwrap();
        assert_eq!((summary.seeds, summary.repeated, summary.exit_code()), (6, 3, OK));
        let mut other = ledger("1/2", &[10, 12]);
        other.ended.extend([ended(14, Verdict::Ok, "other")]);
        let summary = merged([whole(), other]).summary().unwrap();
        assert_eq!(summary.exit_code(), HARNESS);
        assert!(summary.harness_faults[0].contains("seed 14 is ok a in l0 and ok other in l1"));
        let mut faulty = whole();
        faulty.ended.extend([ended(14, Verdict::HarnessFault, "")]);
        let summary = merged([faulty, ledger("1/2", &[10, 12, 14])]).summary().unwrap();
        assert_eq!(summary.exit_code(), OK, "the other ledger knows it");
    }

    #[test]
    fn ledgers_of_different_sweeps_are_not_joined() {
        let mut commit = ledger("1/2", &[10]);
        commit.headers[0].commit = "c1".into();
        let mut options = ledger("1/2", &[10]);
        options.headers[0].options.white_box = false;
        let empty = Contents::default();
        for (other, named) in
            [(commit, "commit c1"), (options, "\"white_box\":false"), (empty, "no sweep")]
        {
            let mut merge = merged([ledger("2/2", &[11])]);
            let refusal = merge.take("other", other).unwrap_err();
            assert!(refusal.contains(named) && refusal.contains("other"), "{refusal}");
        }
    }
}
