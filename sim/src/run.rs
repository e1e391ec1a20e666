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
use crate::cluster::Cluster;
use crate::ids::SimTime;
use crate::observe::{Observer, Violation};
use crate::panics;
use crate::recording::Recording;
use crate::rng::{SimRng, Stream};
use crate::scenario::{Options, Scenario};
use crate::schedule::FaultUnit;
use crate::trace::TraceSink;
use crate::world::{Shared, Stats, WorldSpec};
use crate::zkclient::ZkClient;

/// How long it has to be quiet before a run ends, and the longest calm phase, in microseconds: every
/// bound on liveness (at most 50 s), and once more, since a planned change of epoch restarts some.
const CALM_MIN: u64 = 5_000_000;
const CALM_MAX: u64 = 120_000_000;

/// How a seed went.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub seed: u64,
    pub verdict: Result<(), Violation>,
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
    /// What it cost: no part of what a seed means.
    pub cpu: Duration,
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
    pub commit: &'static str,
    pub sim_seconds: f64,
    pub events: u64,
    pub messages: u64,
    pub servers: usize,
    pub clients: usize,
    pub apache: &'a [ApachePeer],
    pub faults: &'a [FaultUnit],
}

impl Outcome {
    pub fn document(&self) -> OutcomeDocument<'_> {
        OutcomeDocument {
            seed: self.seed,
            trace_hash: format!("{:016x}", self.trace_hash),
            verdict: if self.verdict.is_ok() { "ok" } else { "violation" },
            violation: self.verdict.as_ref().err(),
            commit: crate::COMMIT,
            sim_seconds: self.end.0 as f64 / 1e6,
            events: self.events,
            messages: self.stats.messages,
            servers: self.servers,
            clients: self.clients,
            apache: &self.apache,
            faults: &self.faults,
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

/// The whole run of a scenario, on an OS thread of its own: nothing carries over from other runs.
/// `white_box`: judge with the checks that look into disks, too.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn run_scenario(
    scenario: Scenario,
    white_box: bool,
    sink: Option<TraceSink>,
) -> Result<Outcome, String> {
    run_apart(scenario, white_box, sink, false).map(|(outcome, _)| outcome)
}

/// As [`run_scenario`], and takes a recording. The outcome is the same, its trace hash included.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn record_scenario(
    scenario: Scenario,
    white_box: bool,
) -> Result<(Outcome, Recording), String> {
    let (outcome, recording) = run_apart(scenario, white_box, None, true)?;
    Ok((outcome, recording.expect("a run that records has a recording")))
}

fn run_apart(
    scenario: Scenario,
    white_box: bool,
    sink: Option<TraceSink>,
    records: bool,
) -> Result<(Outcome, Option<Recording>), String> {
    let seed = scenario.seed;
    thread::Builder::new()
        .name(format!("seed-{seed}"))
        .spawn(move || {
            panics::capture();
            let before = cpu_used();
            let (outcome, recording) = run_here(scenario, white_box, sink, records);
            (Outcome { cpu: cpu_used().saturating_sub(before), ..outcome }, recording)
        })
        .map_err(|error| format!("no thread for seed {seed}: {error}"))?
        .join()
        .map_err(|_| format!("seed {seed}: the harness itself panicked"))
}

fn run_here(
    scenario: Scenario,
    white_box: bool,
    sink: Option<TraceSink>,
    records: bool,
) -> (Outcome, Option<Recording>) {
    let Scenario { seed, cluster, workload, clients, faults, faults_for } = scenario;
    let client =
        |spec| Box::new(ZkClient::new(spec, workload.clone())) as Box<dyn SimClient + Send>;
    let spec = WorldSpec {
        seed,
        clients: clients.into_iter().map(client).collect(),
        observer: observer(&cluster, white_box),
        faults: faults.clone(),
        faults_for,
        sink,
        records,
        calm_min: CALM_MIN,
        calm_max: CALM_MAX,
        cluster: cluster.clone(),
    };
    let tasks = SimRng::new(seed, Stream::Tasks, 0).next_u64();
    let runtime = Runtime::with_seed_and_config(tasks, MadsimConfig::default());
    let handle = runtime.handle().clone();
    let (verdict, world) = runtime.block_on(async move {
        let world = Shared::build(&handle, spec);
        (world.run().await, world)
    });
    let mut world = world.take();
    let recording = world.recorder.take().map(|recorder| recorder.finish(world.now));
    let outcome = Outcome {
        seed,
        verdict,
        trace_hash: world.trace.hash(),
        end: world.now,
        events: world.trace.events(),
        stats: world.stats,
        servers: cluster.configs.len(),
        clients: cluster.clients,
        apache: peers(&cluster),
        faults,
        cpu: Duration::ZERO,
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

fn observer(cluster: &Cluster, white_box: bool) -> Box<dyn Observer + Send> {
    let drift_ppm = if cluster.skewed_clocks { 1000 } else { 10 };
    Box::new(Checkers::new(RunSpec { white_box, drift_ppm }))
}
