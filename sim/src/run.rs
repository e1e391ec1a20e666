//! One seed, from nothing to a verdict.

use std::thread;
use std::time::Duration;

use madsim::Config as MadsimConfig;
use madsim::runtime::Runtime;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use vivarium_core::ids::ServerId;

use crate::apache::Habits;
use crate::checkers::{Checkers, RunSpec};
use crate::client::SimClient;
use crate::client_host::ClientSlot;
use crate::cluster::Cluster;
use crate::coverage::Marks;
use crate::ids::SimTime;
use crate::observe::{Excuse, Observer, Violation};
use crate::panics;
use crate::recording::Recording;
use crate::rng::{SimRng, Stream};
use crate::scenario::{Options, Scenario};
use crate::schedule::FaultUnit;
use crate::trace::TraceSink;
pub use crate::world::Reroll;
use crate::world::{Shared, Stats, WorldSpec};
use crate::zkclient::{ClientSpec, Timed, ZkClient};

/// How long it has to be quiet before a run ends, and the longest calm phase, in microseconds: every
/// bound on liveness (at most 50 s), and once more, since a planned change of epoch restarts some.
const CALM_MIN: u64 = 5_000_000;
const CALM_MAX: u64 = 120_000_000;

/// How a seed went.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub seed: u64,
    pub verdict: Result<(), Violation>,
    /// A quorum of disks was lost, and at the end nobody served.
    pub refused: bool,
    /// Equal for equal seeds and options, on any machine and in any build.
    pub trace_hash: u64,
    /// When the run ended.
    pub end: SimTime,
    pub events: u64,
    pub stats: Stats,
    pub servers: usize,
    pub clients: usize,
    /// Servers that behave as Apache's do.
    pub apache: Vec<ApachePeer>,
    pub faults: Vec<FaultUnit>,
    /// What it reached.
    pub marks: Marks,
    /// Fingerprints of the ways that servers went, in order.
    pub paths: Vec<u16>,
    /// Bounds on liveness that the run was excused from, and why.
    pub excuses: Vec<Excuse>,
    /// What it cost: no part of what a seed means.
    pub cpu: Duration,
    /// What each client did and when, where that was asked for.
    pub operations: Vec<Vec<Timed>>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct ApachePeer {
    pub server: u64,
    pub habits: Vec<&'static str>,
}

/// The machine-readable form of an outcome.
#[derive(Debug, Serialize)]
pub struct OutcomeDocument<'a> {
    pub seed: u64,
    pub trace_hash: String,
    pub verdict: &'static str,
    pub violation: Option<&'a Violation>,
    pub refused: bool,
    pub commit: &'static str,
    pub sim_seconds: f64,
    pub events: u64,
    pub messages: u64,
    pub servers: usize,
    pub clients: usize,
    pub apache: &'a [ApachePeer],
    pub faults: &'a [FaultUnit],
    pub excuses: &'a [Excuse],
}

impl Outcome {
    pub fn document(&self) -> OutcomeDocument<'_> {
        OutcomeDocument {
            seed: self.seed,
            trace_hash: format!("{:016x}", self.trace_hash),
            verdict: if self.verdict.is_ok() { "ok" } else { "violation" },
            violation: self.verdict.as_ref().err(),
            refused: self.refused,
            commit: crate::COMMIT,
            sim_seconds: self.end.0 as f64 / 1e6,
            events: self.events,
            messages: self.stats.messages,
            servers: self.servers,
            clients: self.clients,
            apache: &self.apache,
            faults: &self.faults,
            excuses: &self.excuses,
        }
    }
}

/// The whole run of a seed.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn run_seed(seed: u64, options: &Options, sink: Option<TraceSink>) -> Result<Outcome, String> {
    run_scenario(Scenario::draw(seed, options), options.white_box, sink)
}

/// How a run is looked at. It changes nothing of the run before the first violation.
#[derive(Default)]
pub struct Look {
    /// Judge with the checks that look into disks, too.
    pub white_box: bool,
    /// Takes a line for each event.
    pub sink: Option<TraceSink>,
    /// Keep what each client did.
    pub operations: bool,
    /// Take a recording: see [`look_and_record`].
    pub records: bool,
    /// Who judges, in place of the checks.
    pub judge: Option<Box<dyn Observer + Send>>,
    /// End it there if nothing was violated before.
    pub until: Option<SimTime>,
    pub reroll: Option<Reroll>,
}

/// The whole run of a scenario. `white_box`: judge with the checks that look into disks, too.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn run_scenario(
    scenario: Scenario,
    white_box: bool,
    sink: Option<TraceSink>,
) -> Result<Outcome, String> {
    look_at(scenario, Look { white_box, sink, ..Look::default() })
}

/// As [`run_scenario`], and takes a recording. The outcome is the same, its trace hash included.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn record_scenario(
    scenario: Scenario,
    white_box: bool,
) -> Result<(Outcome, Recording), String> {
    look_and_record(scenario, Look { white_box, ..Look::default() })
}

/// As [`look_at`], and takes a recording.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn look_and_record(scenario: Scenario, look: Look) -> Result<(Outcome, Recording), String> {
    let (outcome, recording) = run_apart(scenario, Look { records: true, ..look })?;
    Ok((outcome, recording.expect("a run that records has a recording")))
}

/// The whole run of a scenario, looked at in one way or another.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn look_at(scenario: Scenario, look: Look) -> Result<Outcome, String> {
    run_apart(scenario, look).map(|(outcome, _)| outcome)
}

/// On an OS thread of its own: nothing carries over from other runs.
fn run_apart(scenario: Scenario, look: Look) -> Result<(Outcome, Option<Recording>), String> {
    let seed = scenario.seed;
    thread::Builder::new()
        .name(format!("seed-{seed}"))
        .spawn(move || {
            panics::capture();
            let before = cpu_used();
            let (outcome, recording) = run_here(scenario, look);
            (Outcome { cpu: cpu_used().saturating_sub(before), ..outcome }, recording)
        })
        .map_err(|error| format!("no thread for seed {seed}: {error}"))?
        .join()
        .map_err(|_| format!("seed {seed}: the harness itself panicked"))
}

fn run_here(scenario: Scenario, look: Look) -> (Outcome, Option<Recording>) {
    let Scenario { seed, rolls, cluster, workload, clients, faults, faults_for, .. } = scenario;
    let calm_think_us = cluster.calm_think_us();
    let client = |spec: ClientSpec| {
        let starts = spec.starts;
        let client = ZkClient::new(spec, workload.clone(), calm_think_us, rolls);
        let client = if look.operations { client.recording() } else { client };
        (starts, Box::new(client) as Box<dyn SimClient + Send>)
    };
    let spec = WorldSpec {
        seed,
        rolls,
        clients: clients.into_iter().map(client).collect(),
        stay_dead: scenario.stay_dead,
        beyond_quorum: scenario.beyond_quorum,
        observer: look.judge.unwrap_or_else(|| checkers(&cluster, look.white_box)),
        faults: faults.clone(),
        faults_for,
        sink: look.sink,
        records: look.records,
        until: look.until,
        reroll: look.reroll,
        calm_min: CALM_MIN,
        calm_max: CALM_MAX,
        looks_every: scenario.looks_every,
        cluster: cluster.clone(),
    };
    let tasks = SimRng::rolled(seed, rolls, Stream::Tasks, 0).next_u64();
    let runtime = Runtime::with_seed_and_config(tasks, MadsimConfig::default());
    let handle = runtime.handle().clone();
    let (verdict, world) = runtime.block_on(async move {
        let world = Shared::build(&handle, spec);
        (world.run().await, world)
    });
    let mut world = world.take();
    let recording = world.recorder.take().map(|recorder| recorder.finish(world.now));
    let (marks, paths) = std::mem::take(&mut world.coverage).finish(&world.stats);
    let outcome = Outcome {
        seed,
        verdict,
        refused: world.has_refused(),
        trace_hash: world.trace.hash(),
        end: world.now,
        events: world.trace.events(),
        stats: world.stats,
        servers: cluster.configs.len(),
        clients: cluster.clients,
        apache: peers(&cluster),
        faults,
        marks,
        paths,
        excuses: world.observer.excuses(),
        cpu: Duration::ZERO,
        operations: world.clients.iter_mut().map(ClientSlot::take_performed).collect(),
    };
    (outcome, recording)
}

/// What this thread has used of a processor.
fn cpu_used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn peers(cluster: &Cluster) -> Vec<ApachePeer> {
    let peer =
        |(id, habits): (&ServerId, &Habits)| ApachePeer { server: id.0, habits: habits.names() };
    cluster.apache.iter().map(peer).collect()
}

fn checkers(cluster: &Cluster, white_box: bool) -> Box<dyn Observer + Send> {
    let drift = cluster.machines.iter().map(|machine| machine.clock_drift_ppm.unsigned_abs());
    let drift_ppm = drift.max().unwrap_or(0);
    Box::new(Checkers::new(RunSpec { white_box, drift_ppm, recorded: false }))
}
