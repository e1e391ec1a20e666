//! One seed, from nothing to a verdict.

use std::thread;

use madsim::Config as MadsimConfig;
use madsim::runtime::Runtime;
use serde::Serialize;
use vivarium_core::ids::ServerId;

use crate::apache::{self, Habits};
use crate::checkers::{Checkers, RunSpec};
use crate::client::SimClient;
use crate::cluster::Cluster;
use crate::ids::{ClientId, SimTime};
use crate::observe::{Observer, Violation};
use crate::panics;
use crate::rng::{SimRng, Stream};
use crate::schedule::{self, FaultUnit};
use crate::trace::TraceSink;
use crate::workload::Workload;
use crate::world::{Shared, Stats, WorldSpec};
use crate::zkclient::{ClientSpec, ZkClient};

/// What a person may choose about a run; the seed decides the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of voters; drawn where `None`.
    pub servers: Option<usize>,
    /// Number of clients; drawn where `None`.
    pub clients: Option<usize>,
    /// Length of the fault phase.
    pub sim_seconds: u64,
    /// Judge with the checks that look into disks.
    pub white_box: bool,
    /// Number of servers that behave as Apache's do; drawn where `None`. One of ours stays.
    pub apache_peers: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { servers: None, clients: None, sim_seconds: 5, white_box: true, apache_peers: None }
    }
}

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

/// The whole run of a seed, on an OS thread of its own: nothing carries over from other seeds.
///
/// # Errors
/// What went wrong in the harness itself.
pub fn run_seed(seed: u64, options: &Options, sink: Option<TraceSink>) -> Result<Outcome, String> {
    let options = options.clone();
    thread::Builder::new()
        .name(format!("seed-{seed}"))
        .spawn(move || {
            panics::capture();
            run_here(seed, &options, sink)
        })
        .map_err(|error| format!("no thread for seed {seed}: {error}"))?
        .join()
        .map_err(|_| format!("seed {seed}: the harness itself panicked"))
}

fn run_here(seed: u64, options: &Options, sink: Option<TraceSink>) -> Outcome {
    let mut cluster = Cluster::draw(seed, options.servers);
    cluster.clients = options.clients.unwrap_or(cluster.clients);
    cluster.disguise(apache::draw(seed, &cluster, options.apache_peers));
    let faults_for = SimTime::from_secs(options.sim_seconds);
    let faults = schedule::draw(seed, &cluster, faults_for);
    let spec = WorldSpec {
        seed,
        clients: clients(seed, &cluster),
        observer: observer(&cluster, options),
        faults: faults.clone(),
        faults_for,
        sink,
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
    let world = world.take();
    Outcome {
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
    }
}

fn peers(cluster: &Cluster) -> Vec<ApachePeer> {
    let peer =
        |(id, habits): (&ServerId, &Habits)| ApachePeer { server: id.0, habits: habits.names() };
    cluster.apache.iter().map(peer).collect()
}

fn clients(seed: u64, cluster: &Cluster) -> Vec<Box<dyn SimClient + Send>> {
    let workload = Workload::draw(SimRng::new(seed, Stream::Workload, 0).next_u64());
    let servers: Vec<_> = cluster.configs.iter().map(|config| config.me).collect();
    let limits = &cluster.configs[0];
    (0..cluster.clients)
        .map(|index| {
            let mut rng = SimRng::new(seed, Stream::Workload, index as u64 + 1);
            let (low, high) = (limits.min_session_timeout_ms, limits.max_session_timeout_ms);
            let spec = ClientSpec {
                id: ClientId(index as u32),
                servers: servers.clone(),
                session_timeout_ms: rng.range(low as u64, high as u64) as i32,
                seed: rng.next_u64(),
            };
            Box::new(ZkClient::new(spec, workload.clone())) as Box<dyn SimClient + Send>
        })
        .collect()
}

fn observer(cluster: &Cluster, options: &Options) -> Box<dyn Observer + Send> {
    let drift_ppm = if cluster.skewed_clocks { 1000 } else { 10 };
    Box::new(Checkers::new(RunSpec { white_box: options.white_box, drift_ppm }))
}
