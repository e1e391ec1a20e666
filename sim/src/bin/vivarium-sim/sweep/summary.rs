//! What a sweep found: the sum of its seeds' records.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use vivarium_sim::coverage::Marks;
use vivarium_sim::failure::FailureClass;
use vivarium_sim::observe::Violation;
use vivarium_sim::scenario::Options;

pub(crate) use crate::sweep::range::SeedRange;
use crate::sweep::record::{SeedRecord, Verdict};
use crate::{HARNESS, OK, VIOLATION};

/// How many failures are told one by one, to people.
pub(crate) const SHOWN: u64 = 20;

/// How many of the seeds that cost most are named.
const DEAREST: usize = 5;

#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) commit: String,
    pub(crate) options: Options,
    pub(crate) shard: Option<String>,
    /// The flag or the variable that named the shard.
    pub(crate) shard_from: Option<String>,
    pub(crate) seeds: u64,
    /// Of those, seeds that were not run again.
    pub(crate) from_ledger: u64,
    /// How many ledgers were merged, and seeds that more than one of them has.
    pub(crate) ledgers: u64,
    pub(crate) repeated: u64,
    /// Seeds that no merged ledger has a result of; of those, the ones that were started.
    pub(crate) missing: Vec<SeedRange>,
    pub(crate) unfinished: Vec<u64>,
    pub(crate) seeds_per_second: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) sim_seconds: f64,
    pub(crate) events: u64,
    pub(crate) messages: u64,
    #[serde(flatten)]
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) skipped: BTreeMap<String, u64>,
    pub(crate) mixed: Mixed,
    pub(crate) coverage: Coverage,
    pub(crate) explored: Exploration,
    pub(crate) interrupted: bool,
    /// The most frequent first.
    pub(crate) classes: Vec<Class>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) harness_faults: Vec<String>,
    /// The seeds that cost most.
    pub(crate) dearest: Vec<Dear>,
}

/// What one seed cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Dear {
    pub(crate) seed: u64,
    pub(crate) cpu_us: u64,
    pub(crate) events: u64,
    pub(crate) replay: String,
}

/// Seeds with servers that behave as Apache's do.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Mixed {
    pub(crate) seeds: u64,
    pub(crate) peers: u64,
    /// How often each habit showed.
    pub(crate) habits: BTreeMap<String, u64>,
}

/// What a search guided by coverage did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Exploration {
    /// Scenarios that were made of kept ones, and not drawn.
    pub(crate) mutated: u64,
    /// Scenarios that reached something new.
    pub(crate) kept: u64,
    /// Scenarios that an earlier search had kept.
    pub(crate) taken_up: u64,
}

/// Marks that were hit by any seed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Coverage {
    pub(crate) hit: u64,
    pub(crate) of: u64,
    pub(crate) never: Vec<String>,
    #[serde(skip)]
    marks: Marks,
}

/// Failures of one cause.
#[derive(Debug, Serialize)]
pub(crate) struct Class {
    pub(crate) class: FailureClass,
    pub(crate) count: u64,
    /// The shortest run that shows it.
    pub(crate) smallest: Failure,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) violation: Violation,
    pub(crate) class: FailureClass,
    pub(crate) events: u64,
    pub(crate) trace_hash: String,
    pub(crate) replay: String,
}

impl Class {
    /// The check that objected.
    pub(crate) fn check(&self) -> &str {
        &self.smallest.violation.check
    }
}

impl Summary {
    pub(crate) fn new(commit: &str, options: &Options) -> Self {
        let none = [("disk_ops", 0), ("commits", 0), ("elections", 0), ("boots", 0)];
        Self {
            commit: commit.to_owned(),
            options: options.clone(),
            shard: None,
            shard_from: None,
            seeds: 0,
            from_ledger: 0,
            ledgers: 0,
            repeated: 0,
            missing: Vec::new(),
            unfinished: Vec::new(),
            seeds_per_second: 0.0,
            wall_seconds: 0.0,
            cpu_seconds: 0.0,
            sim_seconds: 0.0,
            events: 0,
            messages: 0,
            counts: none.map(|(name, count)| (name.to_owned(), count)).into(),
            faults: BTreeMap::new(),
            skipped: BTreeMap::new(),
            mixed: Mixed::default(),
            coverage: Coverage::default(),
            explored: Exploration::default(),
            interrupted: false,
            classes: Vec::new(),
            failures: Vec::new(),
            harness_faults: Vec::new(),
            dearest: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, record: &SeedRecord) {
        self.seeds += 1;
        if record.verdict == Verdict::HarnessFault {
            self.harness_faults.push(record.message.clone().unwrap_or_default());
            return;
        }
        self.sim_seconds += record.cost.sim_us as f64 / 1e6;
        self.cpu_seconds += record.cost.cpu_us as f64 / 1e6;
        self.events += record.cost.events;
        self.messages += record.cost.messages;
        for (sum, part) in [
            (&mut self.counts, &record.counts),
            (&mut self.faults, &record.faults),
            (&mut self.skipped, &record.skipped),
            (&mut self.mixed.habits, &record.habits),
        ] {
            for (name, count) in part {
                *sum.entry(name.clone()).or_default() += count;
            }
        }
        if let Some(marks) = Marks::from_hex(&record.coverage) {
            self.coverage.marks.join(&marks);
        }
        if let Some(explored) = &record.explored {
            self.explored.mutated += u64::from(explored.mutated);
            self.explored.kept += u64::from(explored.kept);
            self.explored.taken_up += u64::from(explored.taken_up);
        }
        self.mixed.seeds += u64::from(record.apache_peers > 0);
        self.mixed.peers += record.apache_peers;
        self.rank(record);
        if let Some(violation) = record.violation() {
            self.fail(Failure {
                seed: record.seed,
                class: record.class.clone().unwrap_or_else(|| FailureClass::of(&violation)),
                violation,
                events: record.cost.events,
                trace_hash: record.trace_hash.clone(),
                replay: record.replay(),
            });
        }
    }

    fn rank(&mut self, record: &SeedRecord) {
        let (seed, cost) = (record.seed, record.cost);
        let place = self.dearest.partition_point(|dear| dear.cpu_us >= cost.cpu_us);
        if place < DEAREST {
            let replay = record.replay();
            let dear = Dear { seed, cpu_us: cost.cpu_us, events: cost.events, replay };
            self.dearest.insert(place, dear);
            self.dearest.truncate(DEAREST);
        }
    }

    fn fail(&mut self, failure: Failure) {
        match self.classes.iter_mut().find(|known| known.class == failure.class) {
            Some(known) => {
                known.count += 1;
                let size = |failure: &Failure| (failure.events, failure.seed);
                if size(&failure) < size(&known.smallest) {
                    known.smallest = failure.clone();
                }
            }
            None => {
                let (class, smallest) = (failure.class.clone(), failure.clone());
                self.classes.push(Class { class, count: 1, smallest });
            }
        }
        self.failures.push(failure);
    }

    /// All seeds are in: lists come into an order that does not depend on which seed ended first.
    pub(crate) fn close(&mut self) {
        let (hit, never) = self.coverage.marks.split();
        self.coverage.hit = hit.len() as u64;
        self.coverage.of = (hit.len() + never.len()) as u64;
        self.coverage.never = never;
        self.failures.sort_by_key(|failure| failure.seed);
        self.classes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.class.cmp(&b.class)));
        self.harness_faults.sort();
    }

    /// The seeds that are not from a ledger took so long.
    pub(crate) fn took(&mut self, wall: Duration) {
        self.wall_seconds = wall.as_secs_f64();
        let ran = (self.seeds - self.from_ledger) as f64;
        self.seeds_per_second = ran / self.wall_seconds.max(1e-9);
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn exit_code(&self) -> u8 {
        if !self.failures.is_empty() {
            VIOLATION
        } else if !self.harness_faults.is_empty() {
            HARNESS
        } else {
            OK
        }
    }
}
