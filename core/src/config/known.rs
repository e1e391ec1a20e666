//! Every key that an operator may write, and what becomes of it here. The parser, `config show`, the
//! word `conf` and the table in `docs/operating.md` all read this one. Facts: PROTOCOL 6.

use alloc::string::String;
use alloc::vec::Vec;

use core::mem;

/// A key of `zoo.cfg`; one that ends with `*` stands for a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    /// As it would be written; empty where there is none.
    pub default: &'static str,
    pub standing: Standing,
    /// A new value is taken over while the server runs.
    pub live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Has the effect that the text names.
    Works(&'static str),
    /// Accepted; there is nothing here that it could change. Why.
    Idle(&'static str),
    /// What it asks for is not offered: a warning, unless it asks for nothing.
    Lacking { unless: &'static [&'static str], why: &'static str, help: &'static str },
    /// As `Lacking`, but starting without it would be less safe than was asked for: an error.
    Refused { unless: &'static [&'static str], why: &'static str, help: &'static str },
}

const fn works(name: &'static str, default: &'static str, does: &'static str) -> Key {
    Key { name, default, standing: Standing::Works(does), live: false }
}

const fn live(name: &'static str, default: &'static str, does: &'static str) -> Key {
    Key { name, default, standing: Standing::Works(does), live: true }
}

const fn idle(name: &'static str, why: &'static str) -> Key {
    Key { name, default: "", standing: Standing::Idle(why), live: false }
}

const fn lacking(
    name: &'static str,
    unless: &'static [&'static str],
    why: &'static str,
    help: &'static str,
) -> Key {
    Key { name, default: "", standing: Standing::Lacking { unless, why, help }, live: false }
}

const fn refused(
    name: &'static str,
    unless: &'static [&'static str],
    why: &'static str,
    help: &'static str,
) -> Key {
    Key { name, default: "", standing: Standing::Refused { unless, why, help }, live: false }
}

const OFF: &[&str] = &["false", "no", ""];
const NONE: &[&str] = &["", "0", "-1"];
const REMOVE: &str = "remove the line";

const JVM: &str = "is about the Java virtual machine, which is not used here";
const THREADS: &str = "is about threads and buffers that only the Java server has";
const ADMIN: &str = "is about the admin HTTP server, which is not offered yet";
const PACE: &str = "tunes the Java server from inside; there is nothing like it here";
const NO_TLS: &str = "asks for TLS, which is not offered yet: the port would carry plain text";
const NO_SASL: &str = "asks for SASL, which is not offered yet: peers would not be authenticated";
const NO_AUTH: &str = "asks for clients that are authenticated by SASL, which is not offered yet";
const PLAIN: &str = "remove the line, and keep the port behind a tunnel or on a closed network";
const CLOSED: &str = "remove the line, and keep the ports on a closed network";

/// In the order in which `docs/operating.md` shows them.
pub const KEYS: &[Key] = &[
    works("dataDir", "", "folder of snapshots, `myid` and epoch files"),
    works("dataLogDir", "dataDir", "folder of the transaction log; best a disk of its own"),
    works("clientPort", "", "port for clients; may stand in the own server line instead"),
    works(
        "clientPortAddress",
        "0.0.0.0",
        "address that `clientPort` is opened on; `0.0.0.0`: all, of IPv6 too",
    ),
    works("clientPortListenBacklog", "1024", "connections that wait to be accepted"),
    works("tickTime", "3000", "ms of a tick, the unit of the limits below"),
    works("initLimit", "", "ticks that a server may take to join a leader; needed in an ensemble"),
    works("syncLimit", "", "ticks of silence between servers; needed in an ensemble"),
    live("minSessionTimeout", "2 ticks", "shortest session timeout a client gets, ms"),
    live("maxSessionTimeout", "20 ticks", "longest session timeout a client gets, ms"),
    live("maxClientCnxns", "60", "connections of one client address; 0: no limit"),
    live("maxCnxns", "0", "connections of all clients; 0: no limit"),
    works(
        "nio.sessionlessCnxnTimeout",
        "10000",
        "ms of silence that end a connection without a session",
    ),
    live(
        "globalOutstandingLimit",
        "1000",
        "requests under way before reading from clients is held",
    ),
    works(
        "request_throttle_max_requests",
        "0",
        "requests under way at which nobody's next one is read; 0: no such limit",
    ),
    live("4lw.commands.whitelist", "srvr", "four-letter words that are answered; `*`: all"),
    works("jute.maxbuffer", "1048575", "bytes of the largest request, and of a node's data"),
    works("leaderServes", "yes", "`no`: a leader serves no clients itself"),
    live("snapCount", "100000", "transactions between snapshots, drawn from its upper half"),
    live("autopurge.snapRetainCount", "3", "snapshots that a purge keeps, at least 3"),
    live("autopurge.purgeInterval", "0", "0: no purge; else old files go after each new snapshot"),
    works("preAllocSize", "65536", "KiB by which a log file grows ahead of what is written"),
    works("commitLogCount", "500", "transactions in memory for followers that come back"),
    live("fsync.warningthresholdms", "1000", "an fsync that takes longer is logged"),
    works("datadir.autocreate", "true", "`false`: missing data folders are an error"),
    works("db.autocreate", "false", "`true`: ZooKeeper's first start, see below"),
    works("server.N", "", "`host:quorumPort:electionPort[:role][;[address:]clientPort]`"),
    works("group.N", "", "servers of a group, for hierarchical quorums: `1:2:3`"),
    works("weight.N", "1", "weight of a server within its group"),
    works("peerType", "participant", "`observer`: no vote; the server line counts"),
    works("dynamicConfigFile", "", "file that holds the server, group and weight lines"),
    works("standaloneEnabled", "true", "`false`: one server alone is an ensemble of one"),
    works(
        "quorumListenOnAllIPs",
        "false",
        "`true`: quorum and election ports on all addresses, of IPv6 too",
    ),
    works("electionAlg", "3", "only 3, fast leader election"),
    works("cnxTimeout", "5000", "ms for an attempt to connect to another server"),
    works(
        "fastleader.minNotificationInterval",
        "200",
        "ms before votes are sent again, doubling ..",
    ),
    works("fastleader.maxNotificationInterval", "60000", ".. up to this"),
    works(
        "extendedTypesEnabled",
        "false",
        "`true`: clients may make TTL nodes; same on all servers",
    ),
    works(
        "znode.container.checkIntervalMs",
        "60000",
        "ms between looks for containers and TTL nodes",
    ),
    works("znode.container.maxPerMinute", "10000", "of these that are deleted in a minute"),
    works(
        "znode.container.maxNeverUsedIntervalMs",
        "0",
        "ms that a container without any child stays; 0: for ever",
    ),
    works(
        "localSessionsEnabled",
        "false",
        "`true`: new sessions live at their server alone; same on all servers",
    ),
    works(
        "localSessionsUpgradingEnabled",
        "false",
        "`true`: such a session becomes global with its first ephemeral node",
    ),
    works(
        "readonlymode.enabled",
        "false",
        "`true`: without a quorum, clients that ask for it may read; needs local sessions",
    ),
    works("enforceQuota", "false", "`true`: hard limits of quotas refuse what goes beyond them"),
    works("skipACL", "no", "`yes`: access lists are not looked at"),
    works("DigestAuthenticationProvider.enabled", "true", "`false`: nobody is known by a digest"),
    works(
        "DigestAuthenticationProvider.digestAlg",
        "SHA1",
        "what digests are made with: `SHA1`, `SHA-256`, `SHA3-256` and their kin; same on all servers",
    ),
    works("DigestAuthenticationProvider.superDigest", "", "`user:hash` of who may do everything"),
    works("enforce.auth.enabled", "false", "`true`: clients must be of one of the schemes below"),
    works("enforce.auth.schemes", "", "schemes, with commas: `digest`, `ip`"),
    works(
        "reconfigEnabled",
        "false",
        "`true`: reconfig is answered with -6, not -123; members change by their lines in this file",
    ),
    works("appendBatch", "262144", "ours: bytes of the largest append that one fsync covers"),
    works(
        "eventHistory",
        "1048576",
        "ours: bytes of changes kept for persistent watches that are set again",
    ),
    works(
        "reply.bounded",
        "true",
        "ours: a longer reply than jute.maxbuffer to a read is error -5",
    ),
    works("sequence.bounded", "true", "ours: a sequence that is used up refuses, -8"),
    works("sync.linearizable", "true", "ours: `sync` waits until a quorum confirms the leader"),
    works("zxidLimit", "4294967295", "ours: counter at which a leader plans a new epoch"),
    // What would be less safe than it reads.
    refused("secureClientPort", NONE, NO_TLS, PLAIN),
    refused("secureClientPortAddress", &[""], NO_TLS, PLAIN),
    refused("sslQuorum", OFF, NO_TLS, PLAIN),
    refused("portUnification", OFF, NO_TLS, PLAIN),
    refused("client.portUnification", OFF, NO_TLS, PLAIN),
    refused("quorum.auth.enableSasl", OFF, NO_SASL, CLOSED),
    refused("quorum.auth.serverRequireSasl", OFF, NO_SASL, CLOSED),
    refused("quorum.auth.learnerRequireSasl", OFF, NO_SASL, CLOSED),
    refused("sessionRequireClientSASLAuth", OFF, NO_AUTH, CLOSED),
    refused("requireClientAuthScheme", &[""], NO_AUTH, CLOSED),
    // What is missing.
    lacking(
        "ensembleAuthName",
        &[""],
        "has no effect: clients are not asked for the name of the ensemble",
        REMOVE,
    ),
    lacking("audit.enable", OFF, "has no effect: there is no audit log yet", REMOVE),
    lacking(
        "forceSync",
        &["yes", "true", ""],
        "would answer before the data is on disk, which is never done here",
        REMOVE,
    ),
    lacking(
        "emulate353TTLNodes",
        OFF,
        "has no effect: TTL nodes of ZooKeeper 3.5.3 are not read",
        REMOVE,
    ),
    lacking(
        "observerMasterPort",
        NONE,
        "has no effect: observers learn from the leader only",
        REMOVE,
    ),
    lacking(
        "oraclePath",
        &[""],
        "has no effect: an ensemble of two needs both",
        "add a third voter",
    ),
    lacking(
        "snapshot.trust.empty",
        OFF,
        "has no effect: recovery decides by what it finds",
        REMOVE,
    ),
    lacking(
        "snapshot.compression.method",
        &[""],
        "has no effect: snapshots are written plain",
        REMOVE,
    ),
    lacking(
        "metricsProvider.className",
        &["", "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"],
        "has no effect: there is no metrics endpoint yet",
        "use the word mntr",
    ),
    lacking(
        "authProvider.*",
        &[""],
        "has no effect: only the schemes world, auth, ip and digest are known",
        REMOVE,
    ),
    lacking(
        "superUser*",
        &[""],
        "has no effect: there is no SASL or TLS identity to match",
        REMOVE,
    ),
    lacking(
        "X509AuthenticationProvider.superUser",
        &[""],
        "has no effect: there is no TLS identity to match",
        REMOVE,
    ),
    lacking("enableEagerACLCheck", OFF, "has no effect: access is checked by the leader", REMOVE),
    lacking("connectToLearnerMasterLimit", NONE, "has no effect: syncLimit is the limit", REMOVE),
    lacking(
        "request_stale_latency_check",
        OFF,
        "has no effect: a request waits in its connection, and its age is not known",
        REMOVE,
    ),
    lacking(
        "throttled_op_wait_time",
        NONE,
        "has no effect: a request that had to wait is carried out all the same",
        REMOVE,
    ),
    lacking(
        "connection_throttle_tokens",
        NONE,
        "has no effect: connections are not throttled",
        "use maxCnxns",
    ),
    lacking(
        "largeRequestThreshold",
        NONE,
        "has no effect: jute.maxbuffer limits one request, and request_throttle_max_requests all",
        REMOVE,
    ),
    lacking(
        "txnLogSizeLimitInKb",
        NONE,
        "has no effect: a log file ends with a snapshot",
        "use snapCount",
    ),
    lacking(
        "multiAddress.enabled",
        OFF,
        "has no effect: the first address of a server is used",
        REMOVE,
    ),
    // What means nothing here.
    idle("admin.*", ADMIN),
    idle("metricsProvider.*", "is about a metrics endpoint, which is not offered yet"),
    idle("multiAddress.*", "is about several addresses for one server, which are not offered yet"),
    idle("ssl.*", "is about TLS, which is not offered yet"),
    idle("sslQuorumReloadCertFiles", "is about TLS, which is not offered yet"),
    idle("fips-mode", "is about TLS, which is not offered yet"),
    idle("quorum.auth.*", "is about SASL between servers, which is not offered yet"),
    idle("sasl.*", "is about SASL, which is not offered yet"),
    idle("kerberos.*", "is about SASL, which is not offered yet"),
    idle("security.*", "is about SASL, which is not offered yet"),
    idle("allowSaslFailedClients", "is about SASL, which is not offered yet"),
    idle("letAnySaslUserDoX", "is about SASL, which is not offered yet"),
    idle("SASLAuthenticationProvider.*", "is about SASL, which is not offered yet"),
    idle("IPAuthenticationProvider.*", "is about the admin HTTP server, which is not offered yet"),
    idle("audit.*", "is about the audit log, which is not offered yet"),
    idle("java.*", JVM),
    idle("javax.*", JVM),
    idle("jvm.*", JVM),
    idle("com.sun.*", JVM),
    idle("jmx*", JVM),
    idle("log4j*", "configures Java's logging; here VIVARIUM_LOG and --log-format do"),
    idle("logback*", "configures Java's logging; here VIVARIUM_LOG and --log-format do"),
    idle(
        "zookeeper.root.logger",
        "configures Java's logging; here VIVARIUM_LOG and --log-format do",
    ),
    idle("serverCnxnFactory", THREADS),
    idle("clientCnxnSocket", "is about clients"),
    idle("netty.*", THREADS),
    idle("nio.*", THREADS),
    idle("commitProcessor.*", THREADS),
    idle("quorum.cnxn.threads.size", THREADS),
    idle("intBufferStartingSizeBytes", THREADS),
    idle("watch*", THREADS),
    idle("maxInProcessingDeadWatchers", THREADS),
    idle("bitHashCacheSize", THREADS),
    idle("maxResponseCacheSize", THREADS),
    idle("maxGetChildrenResponseCacheSize", THREADS),
    idle("request_throttle*", PACE),
    idle(
        "request_stale*",
        "is not needed: what a connection that is gone did not get in is dropped",
    ),
    idle("connection_throttle*", PACE),
    idle("largeRequestMaxBytes", PACE),
    idle(
        "jute.maxbuffer.extrasize",
        "is not needed: what a leader adds to a request is allowed for",
    ),
    idle("flushDelay", "is not needed: an fsync covers what came while the last one ran"),
    idle(
        "maxWriteQueuePollTime",
        "is not needed: an fsync covers what came while the last one ran",
    ),
    idle("maxBatchSize", "is not needed: appendBatch is the limit"),
    idle("forceSnapshotSync", "is not needed: a learner always gets what it lacks"),
    idle("snapSizeLimitInKb", "is not needed: snapCount says when a snapshot is due"),
    idle(
        "snapshotSizeFactor",
        "is not needed: a learner reads the log from disk as far as it goes",
    ),
    idle("serializeLastProcessedZxid.enabled", "is not needed: snapshots are exact to one zxid"),
    idle("digest.enabled", "is not needed: digests are always written"),
    idle("closeSessionTxn.enabled", "is not needed: the form of 3.6 and later is always written"),
    idle("syncEnabled", "is not needed: an observer always keeps its log and snapshots"),
    idle("electionPortBindRetry", "is not needed: a port in use ends the start at once"),
    idle("quorumCnxnTimeoutMs", "is not needed: silent connections are found by notifications"),
    idle("tcpKeepAlive", "is not needed: silent connections are found by pings"),
    idle("clientTcpKeepAlive", "is not needed: silent connections are found by pings"),
    idle("leader.*", PACE),
    idle("follower.*", PACE),
    idle("learner.*", PACE),
    idle("observer.*", PACE),
    idle("observerMaster.*", PACE),
    idle("leaderConnectDelayDuringRetryMs", PACE),
    idle("forward_learner_requests_to_commit_processor_disabled", PACE),
    idle("messageTracker.*", PACE),
    idle("pathStats.*", PACE),
];

impl Key {
    /// Whether this entry stands for `key`.
    pub fn covers(&self, key: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix) && key.len() > prefix.len(),
            None => match self.name.strip_suffix(".N") {
                Some(family) => {
                    let rest = key.strip_prefix(family).and_then(|rest| rest.strip_prefix('.'));
                    rest.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
                }
                None => self.name == key,
            },
        }
    }
}

/// The most exact entry for `key`.
pub fn find(key: &str) -> Option<&'static Key> {
    let exact = KEYS.iter().find(|known| known.name == key);
    exact.or_else(|| {
        let covering = KEYS.iter().filter(|known| known.covers(key));
        covering.max_by_key(|known| known.name.len())
    })
}

/// The name that was probably meant. Case does not count, and two letters that changed places are one
/// mistake.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let most = (word.len() / 4).clamp(1, 3);
    let known = names.filter(|name| !name.ends_with(['*', 'N']));
    let judged = known.map(|name| {
        let letters: Vec<char> = String::from(name).to_lowercase().chars().collect();
        (distance(&word, &letters), name)
    });
    judged.filter(|(steps, _)| *steps <= most).min_by_key(|(steps, _)| *steps).map(|(_, name)| name)
}

/// Edits between two words, neighbours that changed places counted as one.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut now = Vec::with_capacity(other.len() + 1);
        now.push(row + 1);
        for (column, known) in other.iter().enumerate() {
            let changed = last[column] + usize::from(letter != known);
            let mut best = changed.min(last[column + 1] + 1).min(now[column] + 1);
            let swapped =
                row > 0 && column > 0 && one[row - 1] == *known && other[column - 1] == *letter;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            now.push(best);
        }
        before = mem::replace(&mut last, now);
    }
    last.last().copied().unwrap_or(one.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> Option<&'static str> {
        find(key).map(|known| known.name)
    }

    #[test]
    fn the_most_exact_entry_counts() {
        for (key, entry) in [
            ("tickTime", Some("tickTime")),
            ("server.12", Some("server.N")),
            ("server.x", None),
            ("metricsProvider.className", Some("metricsProvider.className")),
            ("metricsProvider.httpPort", Some("metricsProvider.*")),
            ("quorum.auth.enableSasl", Some("quorum.auth.enableSasl")),
            ("quorum.auth.kerberos.servicePrincipal", Some("quorum.auth.*")),
            ("ssl.quorum.keyStore.location", Some("ssl.*")),
            ("authProvider.1", Some("authProvider.*")),
            ("request_throttle_max_requests", Some("request_throttle_max_requests")),
            ("jvm.pause.monitor", Some("jvm.*")),
            ("nonsense", None),
        ] {
            assert_eq!(name(key), entry, "{key}");
        }
    }

    #[test]
    fn a_name_stands_once() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.name != key.name), "{}", key.name);
        }
    }

    #[test]
    fn small_mistakes_lead_to_the_name_that_was_meant() {
        let names = || KEYS.iter().map(|key| key.name);
        for (word, meant) in [
            ("tickTme", Some("tickTime")),
            ("ticktime", Some("tickTime")),
            ("clietnPort", Some("clientPort")),
            ("maxClientCnxn", Some("maxClientCnxns")),
            ("autopurge.purgeIntervall", Some("autopurge.purgeInterval")),
            ("dataLogdir", Some("dataLogDir")),
            ("some.unknown.key", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, names()), meant, "{word}");
        }
    }
}
