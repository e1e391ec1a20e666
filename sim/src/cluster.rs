//! How big a simulated cluster is, and how it is configured: everything drawn small, so that
//! rolls, snapshots, DIFF from disk, SNAP, holds and timeouts are common.

use std::collections::{BTreeMap, BTreeSet};

use vivarium_core::config::{
    Address, Config, ContainerRules, DigestAlg, EnsembleConfig, FirstStart, Member, MemberRole,
    Words,
};
use vivarium_core::ids::ServerId;
use vivarium_core::server::input::Plane;
use vivarium_core::time::Span;

use crate::apache::Habits;
use crate::groups::Groups;
use crate::ids::SimTime;
use crate::machine::Machine;
use crate::oracle::access::digest;
use crate::rng::{SimRng, Stream};
use crate::workload::SUPER_USER;

const QUORUM_PORT: u16 = 2888;
const ELECTION_PORT: u16 = 3888;
const CLIENT_PORT: u16 = 2181;

/// Shortest pause between two requests of a client in the calm phase, in microseconds: it asks whether
/// things work, not how fast.
const CALM_THINK_US: u64 = 150_000;

/// A calm phase of so many microseconds uses up the zxids of one epoch at most (L1).
const CALM_EPOCH_US: u64 = 20_000_000;

/// Seeds whose snapshots take long, so that changes run ahead of the walk, in per mille.
const SLOW_WALKS: u64 = 500;

/// Seeds whose server limits what clients may have outstanding, in per mille.
const LIMITS_OUTSTANDING: u64 = 200;

/// Seeds whose servers take only so many requests at a time, in per mille.
const THROTTLES: u64 = 100;

/// Seeds whose new sessions are local; of them, those that upgrade, and those that let clients read without
/// a quorum, in per mille.
const LOCAL_SESSIONS: u64 = 250;
const UPGRADING: u64 = 650;
const READ_ONLY: u64 = 600;

/// Seeds whose servers take few connections of one client, in per mille.
const LIMITS_CONNECTIONS: u64 = 150;

/// Seeds in which few bytes may wait to be sent before a server stops to read, in per mille.
const LITTLE_ROOM: u64 = 150;
const USUAL_ROOM: u64 = 16 << 10;

/// Seeds whose servers keep little of what was, in per mille: who comes back gets a snapshot, and no log.
const FORGETFUL: u64 = 60;

/// Those take a snapshot after fewer transactions than this; others never do.
const FORGETS_WITHIN: u64 = 10;

/// Seeds with an unusual number of voters, in per mille.
const UNUSUAL: u64 = 100;

/// Runs whose passwords are hashed with any of what is offered, in per mille.
const OTHER_DIGESTS: u64 = 400;

/// A drawn cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub configs: Vec<Config>,
    /// Of each server, in the order of `configs`.
    pub machines: Vec<Machine>,
    pub voters: Vec<ServerId>,
    pub observers: Vec<ServerId>,
    pub clients: usize,
    /// The operator marked the first start, so that nobody has to ask everybody.
    pub marked_first_start: bool,
    /// Servers that behave as Apache's do.
    pub apache: BTreeMap<ServerId, Habits>,
}

/// How many servers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) voters: usize,
    pub(crate) observers: usize,
    /// One server without an ensemble.
    pub(crate) standalone: bool,
}

impl Cluster {
    /// Whether servers keep so little of what was that who comes back gets a snapshot.
    pub(crate) fn is_forgetful(&self) -> bool {
        self.configs[0].snap_count < FORGETS_WITHIN
    }

    /// Whether servers let little wait on a connection before they stop to write.
    pub(crate) fn is_cramped(&self) -> bool {
        self.configs[0].link_high_water_bytes < USUAL_ROOM
    }

    /// How many microseconds servers hear nothing of each other before they give each other up.
    pub(crate) fn silence_us(&self) -> u64 {
        let Config { tick, sync_limit_ticks, .. } = &self.configs[0];
        tick.0 * sync_limit_ticks
    }

    /// What is forgotten within a phase of faults of the usual length is within a longer one, too.
    pub(crate) fn stretch_memory(&mut self, faults_for: SimTime) {
        let times = (faults_for.0 / 5_000_000).max(1);
        if self.is_forgetful() {
            for config in &mut self.configs {
                config.snap_count *= times;
                config.commit_log_count *= times as usize;
            }
        }
    }

    /// `servers` forces the number of voters, which are an ensemble also where it is one.
    pub fn draw(seed: u64, servers: Option<usize>) -> Self {
        let size = |voters| Size { voters, observers: 0, standalone: false };
        Self::of_size(seed, servers.map(size))
    }

    /// The size is drawn too where it is not given.
    pub(crate) fn of_size(seed: u64, size: Option<Size>) -> Self {
        let mut rng = SimRng::new(seed, Stream::Config, 0);
        let mut drawn = draw_size(&mut rng);
        // A stream of its own: all other seeds stay what they are.
        let mut unusual = SimRng::new(seed, Stream::Config, 1);
        if unusual.chance(UNUSUAL) {
            drawn = draw_unusual_size(&mut unusual);
        }
        let Size { voters, observers, standalone } = size.unwrap_or(drawn);
        let mut ensemble = ensemble(voters, observers);
        Groups::draw(&mut SimRng::new(seed, Stream::Config, 8), voters).arrange(&mut ensemble);
        let mut shape = draw_limits(&mut rng);
        draw_further_limits(seed, &mut shape);
        let configs = ensemble
            .members
            .keys()
            .map(|&me| Config {
                me,
                ensemble: (!standalone).then(|| ensemble.clone()),
                seed: SimRng::new(seed, Stream::Node, me.0).bytes32(),
                ..shape.clone()
            })
            .collect();
        let id = |n: usize| ServerId(n as u64);
        let clients = rng.range(1, 6) as usize;
        let skewed = rng.chance(500);
        let machine = |&id: &ServerId| Machine::draw(seed, id, skewed);
        Self {
            configs,
            machines: ensemble.members.keys().map(machine).collect(),
            voters: (1..=voters).map(id).collect(),
            observers: (voters + 1..=voters + observers).map(id).collect(),
            clients,
            marked_first_start: rng.chance(300),
            apache: BTreeMap::new(),
        }
    }

    /// Makes peers of Apache's kind of some servers.
    pub fn disguise(&mut self, peers: BTreeMap<ServerId, Habits>) {
        for config in &mut self.configs {
            config.linearizable_sync &=
                peers.get(&config.me).is_none_or(|habits| !habits.weak_sync);
        }
        self.apache = peers;
    }

    /// How voters are counted.
    pub(crate) fn groups(&self) -> Groups {
        let ensemble = self.configs.first().and_then(|config| config.ensemble.as_ref());
        ensemble.map_or(Groups::None, Groups::of)
    }

    /// Counts voters so from now on.
    pub(crate) fn group(&mut self, groups: Groups) {
        for ensemble in self.configs.iter_mut().filter_map(|config| config.ensemble.as_mut()) {
            groups.arrange(ensemble);
        }
    }

    /// Shortest pause between two requests of a client in the calm phase, in microseconds.
    pub(crate) fn calm_think_us(&self) -> u64 {
        let limit = self.configs.first().map_or(u32::MAX, |config| config.zxid_counter_limit);
        CALM_THINK_US.max(self.clients as u64 * CALM_EPOCH_US / u64::from(limit.max(1)))
    }

    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }
}

/// Which server and port a name means.
pub fn resolve(host: &str, port: u16) -> Option<(ServerId, Plane)> {
    let id = host.strip_prefix("10.0.0.")?.parse().ok()?;
    let plane = match port {
        QUORUM_PORT => Plane::Quorum,
        ELECTION_PORT => Plane::Election,
        CLIENT_PORT => Plane::Client,
        _ => return None,
    };
    Some((ServerId(id), plane))
}

pub(crate) fn server_ip(id: ServerId) -> String {
    format!("10.0.0.{}", id.0)
}

/// As servers show it; each third client comes by version 6.
pub(crate) fn client_ip(index: usize) -> String {
    match index % 3 {
        2 => format!("fd00:0:0:0:0:0:1:{index:x}"),
        _ => format!("10.0.1.{index}"),
    }
}

fn draw_size(rng: &mut SimRng) -> Size {
    let draw = rng.below(10);
    let observers = usize::from(rng.chance(300)) + 1;
    let (voters, observers) = match draw {
        0..=5 => (3, 0),
        6..=8 => (5, 0),
        _ => (3, observers),
    };
    Size { voters, observers, standalone: false }
}

/// Voters, observers, and whether it is one server without an ensemble. Even numbers, whose majority
/// is more than a half and one; a quorum of one; and the largest that people run.
fn draw_unusual_size(rng: &mut SimRng) -> Size {
    let voters = *rng.pick(&[1, 1, 2, 4, 6, 7]);
    let alone = voters == 1 && rng.chance(500);
    let observers = if !alone && rng.chance(250) { rng.range(1, 2) as usize } else { 0 };
    Size { voters, observers, standalone: alone }
}

fn ensemble(voters: usize, observers: usize) -> EnsembleConfig {
    let address = |id: u64, port| Address { host: server_ip(ServerId(id)), port };
    let members: BTreeMap<_, _> = (1..=(voters + observers) as u64)
        .map(|id| {
            let role =
                if id as usize <= voters { MemberRole::Participant } else { MemberRole::Observer };
            let member = Member {
                quorum: address(id, QUORUM_PORT),
                election: address(id, ELECTION_PORT),
                role,
                client: Some(address(id, CLIENT_PORT)),
            };
            (ServerId(id), member)
        })
        .collect();
    EnsembleConfig {
        members,
        groups: BTreeMap::<u64, BTreeSet<ServerId>>::new(),
        weights: BTreeMap::new(),
        version: 0,
    }
}

fn draw_limits(rng: &mut SimRng) -> Config {
    let tick_ms = rng.range(100, 500);
    let init_limit = rng.range(10, 20);
    Config {
        separate_log_dir: rng.chance(300),
        tick: Span::from_ms(tick_ms),
        init_limit_ticks: init_limit,
        sync_limit_ticks: rng.range(4, 8),
        min_session_timeout_ms: (2 * tick_ms) as i32,
        max_session_timeout_ms: (20 * tick_ms) as i32,
        snap_count: rng.log_range(FORGETS_WITHIN, 1_000),
        commit_log_count: rng.log_range(4, 500) as usize,
        pre_alloc_bytes: *rng.pick(&[4 << 10, 16 << 10, 64 << 10]),
        append_batch_bytes: rng.log_range(512, 2048) as usize,
        snap_retain_count: *rng.pick(&[0, 3, 3]),
        zxid_counter_limit: if rng.chance(150) {
            // An epoch of a run of 5 s has about a hundred transactions.
            rng.log_range(20, 2_000) as u32
        } else {
            u32::MAX
        },
        first_start: FirstStart::AskAll,
        link_high_water_bytes: rng.log_range(USUAL_ROOM, 1 << 20),
        link_limit_bytes: 16 << 20,
        cnx_timeout: Span::from_ms(rng.range(300, 2_000)),
        min_notification: Span::from_ms(rng.range(50, 200)),
        // Two servers that back off may not miss each other for longer than a bound on liveness.
        max_notification: Span::from_ms(tick_ms * init_limit / 4),
        finalize_wait: Span::from_ms(rng.range(50, 200)),
        four_letter_words: Words::All,
        extended_types: true,
        full_digest: true,
        ..Config::with_defaults(ServerId(1), None, [0; 32])
    }
}

/// Looks often enough that some fall between a proposal and its commit.
fn draw_containers(rng: &mut SimRng) -> ContainerRules {
    ContainerRules {
        check_interval: Span::from_ms(rng.log_range(20, 2_000)),
        max_per_minute: rng.log_range(60, 60_000) as u32,
        never_used: if rng.chance(500) {
            Span::from_ms(rng.log_range(50, 4_000))
        } else {
            Span::ZERO
        },
    }
}

/// Who may do everything, whether anything is forbidden at all, how who asks for other members is refused, and
/// whether quotas refuse.
fn draw_access(rng: &mut SimRng, config: &mut Config, mut hashes: SimRng) {
    if hashes.chance(OTHER_DIGESTS) {
        config.access.digest_alg = *hashes.pick(&DigestAlg::ALL);
    }
    config.access.super_digest =
        rng.chance(500).then(|| digest(config.access.digest_alg, SUPER_USER));
    config.access.skip_acl = rng.chance(50);
    config.reconfig_enabled = rng.chance(300);
    config.enforce_quota = rng.chance(600);
}

/// Each from a stream of its own: all others stay what they are.
fn draw_further_limits(seed: u64, config: &mut Config) {
    let stream = |index| SimRng::new(seed, Stream::Config, index);
    config.event_history_bytes = stream(2).log_range(300, 100_000) as usize;
    config.containers = draw_containers(&mut stream(3));
    let mut walks = stream(4);
    if walks.chance(SLOW_WALKS) {
        config.snap_portion_bytes = walks.log_range(24, 8 << 10) as usize;
        config.snap_preimage_limit_bytes = walks.log_range(2 << 10, 1 << 20) as usize;
    }
    let mut sessions = SimRng::new(seed, Stream::Sessions, 0);
    config.local_sessions = sessions.chance(LOCAL_SESSIONS);
    config.local_sessions_upgrading = config.local_sessions && sessions.chance(UPGRADING);
    config.read_only_mode = config.local_sessions && sessions.chance(READ_ONLY);
    config.read_only_patience = Span::from_ms(sessions.log_range(50, 2_000));
    let mut connections = stream(6);
    if connections.chance(LIMITS_CONNECTIONS) {
        config.max_client_connections = connections.range(2, 4) as usize;
    }
    let mut room = stream(7);
    if room.chance(LITTLE_ROOM) {
        config.link_high_water_bytes = room.log_range(512, 8 << 10);
    }
    let mut outstanding = stream(5);
    if outstanding.chance(LIMITS_OUTSTANDING) {
        config.global_outstanding_limit = outstanding.log_range(1, 32) as usize;
    }
    let mut throttle = stream(8);
    if throttle.chance(THROTTLES) {
        config.throttle_requests = throttle.log_range(1, 16) as usize;
    }
    let mut memory = stream(9);
    if memory.chance(FORGETFUL) {
        config.commit_log_count = memory.log_range(2, 12) as usize;
        config.snap_count = memory.range(4, FORGETS_WITHIN);
        config.snap_retain_count = 3;
    }
    draw_access(&mut stream(20), config, stream(21));
}

#[cfg(test)]
mod tests {
    use super::{CALM_EPOCH_US, Cluster, client_ip, resolve};
    use vivarium_core::config::DigestAlg;
    use vivarium_core::ids::ServerId;
    use vivarium_core::server::input::Plane;

    #[test]
    fn hashes_and_addresses_of_both_versions_are_drawn() {
        let drawn = (0..400).map(|seed| Cluster::draw(seed, None).configs[0].access.digest_alg);
        let drawn: Vec<DigestAlg> = drawn.collect();
        for alg in DigestAlg::ALL {
            assert!(drawn.contains(&alg), "{alg:?} is never drawn");
        }
        let usual = drawn.iter().filter(|alg| **alg == DigestAlg::Sha1).count();
        assert!((200..300).contains(&usual), "{usual} of 400 seeds keep to what is usual");
        let ips: Vec<String> = (0..6).map(client_ip).collect();
        assert_eq!(ips.iter().filter(|ip| ip.contains(':')).count(), 2, "{ips:?}");
    }

    #[test]
    fn a_seed_draws_one_cluster_and_seeds_draw_all_sizes() {
        let sizes: Vec<_> = (0..1000)
            .map(|seed| {
                let cluster = Cluster::draw(seed, None);
                assert_eq!(cluster.configs, Cluster::draw(seed, None).configs);
                (cluster.voters.len(), cluster.observers.len())
            })
            .collect();
        let usual = [(3, 0), (5, 0), (3, 1), (3, 2)];
        for size in usual.into_iter().chain([(1, 0), (1, 1), (2, 0), (4, 0), (6, 0), (7, 0)]) {
            assert!(sizes.contains(&size), "{size:?} never drawn");
        }
        assert_eq!(Cluster::draw(1, Some(7)).voters.len(), 7);
        assert!(Cluster::draw(1, Some(1)).configs[0].ensemble.is_some());
    }

    #[test]
    fn one_seed_in_ten_has_an_unusual_size_and_some_of_them_no_ensemble() {
        let clusters: Vec<_> = (0..1000).map(|seed| Cluster::draw(seed, None)).collect();
        let unusual = clusters.iter().filter(|cluster| ![3, 5].contains(&cluster.voters.len()));
        assert!((70..=130).contains(&unusual.count()));
        let alone = clusters.iter().filter(|cluster| cluster.configs[0].ensemble.is_none());
        assert!((5..=35).contains(&alone.count()));
        assert!(Cluster::draw(3, Some(1)).configs[0].ensemble.is_some(), "it was asked for");
    }

    #[test]
    fn a_calm_phase_uses_up_one_epoch_at_most() {
        let mut cluster = Cluster::draw(1, Some(3));
        cluster.clients = 6;
        let mut writes = |limit: u32| {
            cluster.configs[0].zxid_counter_limit = limit;
            6 * CALM_EPOCH_US / cluster.calm_think_us()
        };
        assert_eq!((writes(20), writes(400)), (20, 400));
        assert_eq!(writes(u32::MAX), 800);
    }

    #[test]
    fn every_address_of_a_config_resolves_to_its_server_and_port() {
        let cluster = Cluster::draw(3, None);
        let members = &cluster.configs[0].ensemble.as_ref().unwrap().members;
        for (&id, member) in members {
            let found = resolve(&member.election.host, member.election.port);
            assert_eq!(found, Some((id, Plane::Election)));
            assert_eq!(resolve(&member.quorum.host, member.quorum.port), Some((id, Plane::Quorum)));
        }
        assert_eq!(resolve("10.0.0.1", 2181), Some((ServerId(1), Plane::Client)));
        assert_eq!(resolve("elsewhere", 2181), None);
    }
}
