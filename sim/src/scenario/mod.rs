//! A scenario: everything that a run is made of, drawn from a seed or written by hand.

mod access;
mod fault_line;
pub mod file;
mod op_line;
pub mod span;
mod words;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use vivarium_core::ids::ServerId;

use crate::apache;
use crate::cluster::Cluster;
use crate::ids::{ClientId, SimTime};
use crate::rng::{SimRng, Stream};
use crate::schedule::{self, FaultUnit};
use crate::workload::Workload;
use crate::zkclient::{ClientSpec, Operations};

/// What a person may choose about the scenario of a seed; the seed decides the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// Faults may take more disks than a quorum can bear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond_quorum: bool,
    /// A scenario file in place of what seeds draw; what stands for a seed is then a roll of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: None,
            clients: None,
            sim_seconds: 5,
            white_box: true,
            apache_peers: None,
            beyond_quorum: false,
            scenario: None,
        }
    }
}

/// The whole input of a run: the same scenario gives the same trace hash, on any machine and in any
/// build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Names every random stream that the fields below do not fix: latencies, what a power cut
    /// leaves, the servers' own draws, the order of ready tasks.
    pub seed: u64,
    /// Draws all of these anew, and leaves what is written below as it is; 0: as the seed has them.
    pub rolls: u32,
    pub cluster: Cluster,
    pub workload: Workload,
    pub clients: Vec<ClientSpec>,
    /// The only source of faults, in order of time.
    pub faults: Vec<FaultUnit>,
    /// Length of the fault phase; a calm phase follows.
    pub faults_for: SimTime,
    /// Servers that do not come back when the faults end: as many of them, in this order, as the
    /// others can spare.
    pub stay_dead: Vec<ServerId>,
    /// Faults may take more disks than a quorum can bear. Then nobody has to serve any more, and what
    /// was promised is still not denied.
    pub beyond_quorum: bool,
    /// Disk operations from one look at what a power cut would leave to the next, on average.
    pub looks_every: u64,
}

/// A look costs a recovery, so that a seed gets a few of them.
pub(crate) const LOOKS_EVERY: u64 = 600;

impl Scenario {
    pub fn draw(seed: u64, options: &Options) -> Self {
        let mut cluster = Cluster::draw(seed, options.servers);
        cluster.clients = options.clients.unwrap_or(cluster.clients);
        cluster.disguise(apache::draw(seed, &cluster, options.apache_peers));
        let mut drawn = Self::around(seed, cluster, SimTime::from_secs(options.sim_seconds));
        drawn.cluster.stretch_memory(drawn.faults_for);
        Self { beyond_quorum: options.beyond_quorum, ..drawn }
    }

    /// Draws what happens to a cluster.
    fn around(seed: u64, cluster: Cluster, faults_for: SimTime) -> Self {
        let mut faults = schedule::draw(seed, &cluster, faults_for);
        let mut stay_dead = draw_dead(seed, &cluster);
        faults.extend(schedule::draw_sick(seed, &mut stay_dead, faults_for));
        let mut workload = Workload {
            digest_alg: cluster.configs[0].access.digest_alg,
            ..Workload::draw(SimRng::new(seed, Stream::Workload, 0).next_u64())
        };
        let forgotten = schedule::forgotten(seed, &cluster, faults_for);
        if forgotten.is_some() {
            // What a SNAP leaps over shows in what lasting watches are told again.
            workload = workload.watches_for_long();
        }
        Self {
            seed,
            rolls: 0,
            workload,
            clients: draw_clients(seed, &cluster, forgotten),
            faults,
            faults_for,
            stay_dead,
            beyond_quorum: false,
            looks_every: LOOKS_EVERY,
            cluster,
        }
    }
}

/// Behind the streams of clients, before that of their mix.
const READERS: u64 = u64::MAX - 1;
const OUTSIDERS: u64 = u64::MAX - 2;
const NUMBERERS: u64 = u64::MAX;
const HASTY: u64 = u64::MAX / 2;
const RENEGOTIATORS: u64 = u64::MAX / 4;
const RETURNERS: u64 = u64::MAX / 8;
const FORERUNNERS: u64 = u64::MAX / 16;

fn draw_clients(seed: u64, cluster: &Cluster, forgotten: Option<ServerId>) -> Vec<ClientSpec> {
    let servers: Vec<ServerId> = cluster.configs.iter().map(|config| config.me).collect();
    let limits = &cluster.configs[0];
    let (low, high) = (limits.min_session_timeout_ms, limits.max_session_timeout_ms);
    // What is left behind shows in what they are told: the answers of others wait behind a write.
    let has_readers = SimRng::new(seed, Stream::Workload, READERS).chance(400)
        || schedule::has_left_behind(seed, cluster);
    // Sessions that a short silence ends.
    let share = if limits.local_sessions { 600 } else { 250 };
    let hasty = SimRng::new(seed, Stream::Sessions, HASTY).chance(share);
    let client = |index: usize| {
        let mut rng = SimRng::new(seed, Stream::Workload, index as u64 + 1);
        let mut spec = ClientSpec {
            id: ClientId(index as u32),
            servers: servers.clone(),
            session_timeout_ms: rng.range(low as u64, high as u64) as i32,
            // A number that every reader of TOML takes.
            seed: rng.next_u64() >> 16,
            starts: SimTime(rng.below(500_000)),
            pipeline: rng.range(1, 8),
            think_us: rng.log_range(2_000, 100_000),
            operations: Operations::Drawn,
            reads_only: limits.read_only_mode && reads_only(seed, index),
            fresh_xids: !limits.local_sessions && fresh_xids(seed, index),
            other_timeout_ms: draw_other_timeout(seed, index, low, high),
            returns: returns(seed, index),
            asks_ahead: asks_ahead(seed, index),
        };
        let share = if limits.local_sessions { 900 } else { 500 };
        if hasty && SimRng::new(seed, Stream::Sessions, HASTY - 1 - index as u64).chance(share) {
            spec.session_timeout_ms = spec.session_timeout_ms.min(low + low / 2);
        }
        if let Some(asked) = draw_outside(seed, index as u64, low, high) {
            spec.session_timeout_ms = asked;
        }
        // One client writes always: that a write succeeds is how liveness is seen.
        if has_readers && rng.chance(800) && index > 0 {
            spec.operations = Operations::DrawnReads;
            // Some know one server only, and stay with it whatever others do.
            if rng.chance(500) {
                spec.servers = vec![*rng.pick(&servers)];
            }
        }
        if let Some(forgotten) = forgotten
            && index > 0
            && (index + 1 == cluster.clients || spec.servers.len() == 1)
        {
            // Who knows that one only outlives its absence, and sees both sides of it.
            spec.operations = Operations::DrawnReads;
            (spec.servers, spec.session_timeout_ms) = (vec![forgotten], high);
        }
        spec
    };
    (0..cluster.clients).map(client).collect()
}

/// Whether a client goes on with a server that has no quorum.
fn reads_only(seed: u64, index: usize) -> bool {
    SimRng::new(seed, Stream::Sessions, index as u64 + 1).chance(600)
}

/// Whether a client begins to number its requests anew on each connection. Where sessions are local, a
/// server lets it in again while the leader has yet to hear of what it asked for before: the log could not
/// tell the two requests of one number apart.
fn fresh_xids(seed: u64, index: usize) -> bool {
    SimRng::new(seed, Stream::Sessions, NUMBERERS - index as u64).chance(300)
}

/// Whether a client goes back to where it was.
fn returns(seed: u64, index: usize) -> bool {
    SimRng::new(seed, Stream::Sessions, RETURNERS - index as u64).chance(150)
}

/// Whether a client says who it is, and sets its watches again, before it is let in.
fn asks_ahead(seed: u64, index: usize) -> bool {
    SimRng::new(seed, Stream::Sessions, FORERUNNERS - index as u64).chance(250)
}

/// Of those that ask for another timeout when they come back, what they ask for.
fn draw_other_timeout(seed: u64, index: usize, low: i32, high: i32) -> Option<i32> {
    let mut rng = SimRng::new(seed, Stream::Sessions, RENEGOTIATORS - index as u64);
    rng.chance(150).then(|| rng.range(low as u64, high as u64) as i32)
}

/// What a client asks for that knows nothing of the limits of the servers. Behind the streams of
/// clients too.
fn draw_outside(seed: u64, index: u64, low: i32, high: i32) -> Option<i32> {
    let mut rng = SimRng::new(seed, Stream::Workload, OUTSIDERS - index);
    let asked = *rng.pick(&[1, low / 2, low - 1, high + 1, 2 * high, i32::MAX]);
    rng.chance(100).then_some(asked)
}

/// In half of the seeds, a minority.
fn draw_dead(seed: u64, cluster: &Cluster) -> Vec<ServerId> {
    let mut rng = SimRng::new(seed, Stream::Fault, 1);
    let spare = (cluster.voters.len() - 1) / 2;
    if spare == 0 || rng.chance(500) {
        return Vec::new();
    }
    let mut dead = cluster.voters.clone();
    rng.shuffle(&mut dead);
    dead.truncate(rng.range(1, spare as u64) as usize);
    dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_forgotten_has_a_client_that_outlives_its_absence() {
        let mut met = 0;
        for seed in 0..400 {
            let Scenario { cluster, clients, workload, faults_for, .. } =
                Scenario::draw(seed, &Options::default());
            let Some(forgotten) = schedule::forgotten(seed, &cluster, faults_for) else { continue };
            assert_eq!(workload.rewatching, 1000);
            let [_, .., last] = &clients[..] else { continue };
            assert_eq!(last.servers, [forgotten], "seed {seed}");
            assert_eq!(last.session_timeout_ms, cluster.configs[0].max_session_timeout_ms);
            met += 1;
        }
        assert!(met >= 5, "{met} of 400");
    }
}
