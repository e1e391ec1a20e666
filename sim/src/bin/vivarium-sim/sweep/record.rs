//! What is kept of one seed: a line of a ledger, and of `-o jsonl`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use vivarium_sim::failure::FailureClass;
use vivarium_sim::observe::Violation;
use vivarium_sim::run::Outcome;
use vivarium_sim::scenario::Options;

use crate::replay_command;
use crate::sweep::explore::Explored;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeedRecord {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) commit: String,
    pub(crate) verdict: Verdict,
    /// The check that objected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<FailureClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// Empty where the harness failed.
    pub(crate) trace_hash: String,
    /// Marks that were hit, as `Marks` writes them; empty where the harness failed.
    pub(crate) coverage: String,
    pub(crate) cost: Cost,
    /// Things that happened, by name.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Faults that struck, and units that could not.
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) skipped: BTreeMap<String, u64>,
    /// Servers that behave as Apache's do, and how often their habits showed.
    pub(crate) apache_peers: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) habits: BTreeMap<String, u64>,
    /// Where the scenario is not simply that of the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) explored: Option<Explored>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Ok,
    Violation,
    /// The simulator itself failed: nothing is known about the seed.
    HarnessFault,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Violation => "violation",
            Self::HarnessFault => "harness fault",
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) cpu_us: u64,
    pub(crate) sim_us: u64,
    pub(crate) events: u64,
    pub(crate) messages: u64,
}

impl SeedRecord {
    pub(crate) fn new(seed: u64, options: &Options, result: Result<Outcome, String>) -> Self {
        let mut record = Self {
            seed,
            options: options.clone(),
            commit: vivarium_sim::COMMIT.to_owned(),
            verdict: Verdict::HarnessFault,
            check: None,
            class: None,
            message: None,
            trace_hash: String::new(),
            coverage: String::new(),
            cost: Cost::default(),
            counts: BTreeMap::new(),
            faults: BTreeMap::new(),
            skipped: BTreeMap::new(),
            apache_peers: 0,
            habits: BTreeMap::new(),
            explored: None,
        };
        match result {
            Ok(outcome) => record.fill(&outcome),
            Err(fault) => record.fail_harness(fault),
        }
        record
    }

    fn fill(&mut self, outcome: &Outcome) {
        let stats = &outcome.stats;
        self.verdict = Verdict::Ok;
        if let Err(violation) = &outcome.verdict {
            self.verdict = Verdict::Violation;
            self.check = Some(violation.check.clone());
            self.class = Some(FailureClass::of(violation));
            self.message = Some(violation.what.clone());
        }
        self.trace_hash = format!("{:016x}", outcome.trace_hash);
        self.coverage = outcome.marks.to_hex();
        self.cost = Cost {
            cpu_us: u64::try_from(outcome.cpu.as_micros()).unwrap_or(u64::MAX),
            sim_us: outcome.end.0,
            events: outcome.events,
            messages: stats.messages,
        };
        let counts = [
            ("disk_ops", stats.disk_ops),
            ("commits", stats.commits),
            ("elections", stats.elections),
            ("boots", stats.boots),
        ];
        self.counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        self.faults = named(&stats.faults);
        self.skipped = named(&stats.skipped);
        self.apache_peers = outcome.apache.len() as u64;
        self.habits = named(&stats.habits);
    }

    /// The harness failed on what it found.
    pub(crate) fn fail_harness(&mut self, fault: String) {
        self.verdict = Verdict::HarnessFault;
        self.class = Some(FailureClass::of_harness(&fault));
        self.message = Some(fault);
        self.check = None;
    }

    /// The command that shows it again.
    pub(crate) fn replay(&self) -> String {
        match self.explored.as_ref().and_then(|explored| explored.scenario.as_ref()) {
            Some(path) => format!("vivarium-sim replay --scenario {}", path.display()),
            None => replay_command(self.seed, &self.options),
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        let check = self.check.clone()?;
        Some(Violation { check, what: self.message.clone().unwrap_or_default() })
    }
}

fn named(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}
