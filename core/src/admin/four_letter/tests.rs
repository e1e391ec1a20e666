//! Against what a real 3.9.5 printed.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{KNOWN, Reset, answer, known, reset};
use crate::acl::Acl;
use crate::admin::report::{AttachedSession, Connection, ExpirySet, Lead, Report, Version};
use crate::admin::summary::{Sizes, Summary};
use crate::admin::traffic::{LastAnswer, LinkTraffic, Traffic};
use crate::config::{Address, Config, EnsembleConfig, Member, MemberRole, Surroundings, Words};
use crate::ids::{Epoch, LinkId, ServerId, SessionId, Xid, Zxid};
use crate::server::input::Far;
use crate::server::note::{Phase, StateDigest};
use crate::server::view::{Counters, View};
use crate::time::{Mono, Span, Stamp, Wall};
use crate::tree::Database;
use crate::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};
use crate::watch::{WatchMode, Watches};

const RECORDED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/zookeeper-3.9.5/four-letter-words.txt"
));
const APACHE: Version = Version {
    number: "3.9.5",
    revision: "293c895a8d966a3ecb92872be4a1daf87d725da2",
    built: "2026-02-11 20:18 UTC",
};
/// Fri Nov 20 04:03:17 UTC 2026
const RECORDED_AT: Stamp = Stamp { mono: Mono(500_000_000), wall: Wall(1_795_147_397_000) };

/// What Apache answered, without the newline that the recorder added.
fn recorded(word: &str) -> String {
    let text = RECORDED.split_once(&alloc::format!("=== {word}\n")).expect("it is in the file").1;
    let text = text.split("\n===").next().expect("split yields one part at least");
    // Short answers were recorded with quotes and escapes.
    match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(text) => text.replace("\\n", "\n"),
        None => text.to_string(),
    }
}

/// A report that owns what it lends.
struct Sample {
    config: Config,
    view: View,
    db: Database,
    watches: Watches,
    traffic: Traffic,
    connections: Vec<Connection>,
    expiry: Option<Vec<ExpirySet>>,
    local_expiry: Option<Vec<ExpirySet>>,
    lead: Option<Lead>,
    quota_refusals: BTreeMap<String, u64>,
}

impl Sample {
    /// The server of the recording.
    fn recorded() -> Self {
        let mut config = Config::with_defaults(ServerId(1), None, [0; 32]);
        config.tick = Span::from_ms(1000);
        (config.min_session_timeout_ms, config.max_session_timeout_ms) = (2000, 20_000);
        let folder = Some("/var/lib/zookeeper/version-2".to_string());
        config.surroundings = Surroundings {
            client_port: Some(31811),
            data_dir: folder.clone(),
            data_log_dir: folder,
            ..Surroundings::default()
        };
        let mut response_sizes = Sizes::default();
        for size in [16, 219, 84] {
            response_sizes.add(size);
        }
        let traffic = Traffic {
            latency: Summary { count: 51, total: 82, min: 0, max: 39 },
            response_sizes,
            ..Traffic::default()
        };
        Self {
            config,
            view: view(),
            db: Database::new(false),
            watches: Watches::default(),
            traffic,
            connections: vec![asking(58506)],
            expiry: Some(Vec::new()),
            local_expiry: None,
            lead: None,
            quota_refusals: BTreeMap::new(),
        }
    }

    fn ask(&self, word: &str) -> String {
        let report = Report {
            version: APACHE,
            at: RECORDED_AT,
            config: &self.config,
            view: &self.view,
            db: &self.db,
            watches: &self.watches,
            traffic: &self.traffic,
            connections: self.connections.clone(),
            serving_since: Some(Mono(RECORDED_AT.mono.0 - 108_046_000)),
            expiry: self.expiry.clone(),
            local_expiry: self.local_expiry.clone(),
            lead: self.lead,
            quota_refusals: &self.quota_refusals,
        };
        answer(word, &Words::All, &report)
    }

    fn figures(&self) -> BTreeMap<String, String> {
        figures(&self.ask("mntr"))
    }
}

fn view() -> View {
    let zxid = Some(Zxid(0x63));
    View {
        me: ServerId(1),
        phase: Phase::Standalone,
        leader: None,
        accepted: Epoch(0),
        current: Epoch(0),
        logged: zxid,
        durable: zxid,
        committed: zxid,
        applied: zxid,
        digest: StateDigest::default(),
        serving: true,
        read_only: false,
        local_sessions: 0,
        tracked_sessions: 0,
        sessions: 15,
        clients: 1,
        nodes: 11,
        watches: 0,
        outstanding: 0,
        received: 0,
        awaited: vec![],
        synced: 0,
        counters: Counters::default(),
    }
}

/// The connection on which a word arrives.
fn asking(port: u16) -> Connection {
    Connection {
        link: LinkId(u64::from(port)),
        far: Far { ip: "127.0.0.1".into(), port },
        since: RECORDED_AT.mono,
        reading: false,
        writing: false,
        queued: 0,
        traffic: LinkTraffic { received: 1, ..LinkTraffic::default() },
        session: None,
        silent_at: Mono(RECORDED_AT.mono.0 + 10_000_000),
    }
}

/// A connection with a session of its own.
fn attached(port: u16, session: i64) -> Connection {
    let session = Some(AttachedSession { id: SessionId(session), timeout_ms: 10_000 });
    Connection { session, reading: true, ..asking(port) }
}

fn figures(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (key, value) = line.split_once('\t').expect("a tab divides key and value");
        (key.strip_prefix("zk_").expect("every key begins so").to_string(), value.to_string())
    };
    text.lines().map(line).collect()
}

#[test]
fn srvr_and_stat_read_as_apache_wrote_them() {
    let mut server = Sample::recorded();
    (server.traffic.received, server.traffic.sent) = (121, 125);
    assert_eq!(server.ask("srvr"), recorded("srvr"));
    (server.traffic.received, server.traffic.sent) = (119, 123);
    assert_eq!(server.ask("stat"), recorded("stat"));
}

#[test]
fn a_leader_tells_the_sizes_of_its_proposals() {
    let mut server = leader();
    let tail = |server: &Sample| {
        server.ask("srvr").split_once("Mode: ").expect("it has a mode").1.to_string()
    };
    let expected = "leader\nNode count: 11\nProposal sizes last/min/max: -1/-1/-1\n";
    assert_eq!(tail(&server), expected);
    let lead = server.lead.as_mut().expect("it leads");
    for size in [36, 32, 48] {
        lead.proposal_sizes.add(size);
    }
    assert!(tail(&server).ends_with("last/min/max: 48/32/48\n"));
}

#[test]
fn cons_tells_of_a_session_only_where_there_is_one() {
    let mut server = Sample::recorded();
    server.connections = vec![asking(58516)];
    assert_eq!(server.ask("cons"), recorded("cons"));

    let mut busy = attached(2000, 0x0100_000c_d6f1_0023);
    busy.writing = true;
    busy.far.ip = "::1".into();
    busy.since = Mono(RECORDED_AT.mono.0 - 2_000_000);
    let (operation, zxid) = ("PING", Zxid(0x63));
    let last =
        |at, took_ms| LastAnswer { operation, zxid, at: Mono(at), took: Span::from_ms(took_ms) };
    busy.traffic.answered(Xid(0), last(499_000_000, 6));
    busy.traffic.answered(Xid(17), last(499_500_000, 1));
    busy.traffic.answered(Xid(-2), last(499_900_999, 0));
    server.connections = vec![attached(1000, 0x10), busy];
    assert_eq!(
        server.ask("cons"),
        " /127.0.0.1:1000[1](queued=0,recved=1,sent=0,sid=0x10,lop=NA,est=1795147397000,to=10000,\
         lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n \
         /[0:0:0:0:0:0:0:1]:2000[5](queued=0,recved=1,sent=0,sid=0x100000cd6f10023,lop=PING,\
         est=1795147395000,to=10000,lcxid=0x11,lzxid=0x63,lresp=499900,llat=0,minlat=0,avglat=2,\
         maxlat=6)\n\n"
    );
}

#[test]
fn conf_prints_what_apache_prints_as_far_as_it_is_known() {
    let mut server = Sample::recorded();
    // Sizes of folders are the host's to know; the backlog cannot be configured.
    let unknown = ["dataDirSize=", "dataLogSize=", "clientPortListenBacklog="];
    let apache = recorded("conf");
    let expected: Vec<_> = apache
        .lines()
        .filter(|line| !line.is_empty() && !unknown.iter().any(|key| line.starts_with(key)))
        .collect();
    assert_eq!(server.ask("conf").lines().collect::<Vec<_>>(), expected);

    server.config.surroundings = Surroundings::default();
    assert!(server.ask("conf").starts_with("secureClientPort=-1\ntickTime=1000\n"));
    server.config.ensemble = Some(ensemble());
    assert!(server.ask("conf").ends_with(
        "serverId=1\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3888\n\
         quorumPort=2888\npeerType=0\nmembership: \n\
         server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
         server.3=c:2888:3888:participant\nserver.4=d:2888:3888:observer\nversion=0"
    ));
}

#[test]
fn dump_reads_as_apache_wrote_it() {
    let mut server = Sample::recorded();
    let low = |lows: &[i64]| {
        lows.iter().map(|low| SessionId(0x0100_000c_d6f1_0000 + low)).collect::<Vec<_>>()
    };
    let sets = [
        (0, low(&[0x22, 0x19, 0x1a])),
        (1, low(&[0x1b, 0x1d, 0x1c])),
        (2, low(&[0x1e, 0x1f])),
        (3, low(&[0x25, 0x28, 0x20, 0x21, 0x26, 0x27])),
        (18, low(&[0x23])),
    ];
    let set =
        |(seconds, sessions): (u64, _)| ExpirySet { left: Span::from_ms(1000 * seconds), sessions };
    server.expiry = Some(sets.into_iter().map(set).collect());
    server.connections = vec![asking(58558)];
    let apache = recorded("dump");
    let until_connections = apache.split("Connections Sets").next().expect("one part at least");
    let connections = "Connections Sets (1)/(1):\n1 expire at Fri Nov 20 04:03:27 UTC 2026:\n\
                       \tip: /127.0.0.1:58558 sessionId: 0x0\n";
    assert!(apache.contains(connections.split_once('\n').expect("two lines").1));
    assert_eq!(server.ask("dump"), until_connections.to_string() + connections);
}

#[test]
fn a_learner_dumps_the_sessions_without_their_ends() {
    let mut server = Sample::recorded();
    (server.expiry, server.connections) = (None, vec![]);
    let create = |path: &str| CreateTxn {
        path: path.into(),
        data: None,
        acl: Some(Acl::open()),
        ephemeral: true,
        parent_cversion: Some(1),
    };
    let open = Txn::CreateSession { timeout_ms: 10_000 };
    let txns = [open, Txn::Create(create("/b")), Txn::Create(create("/a"))];
    for (zxid, txn) in (1..).zip(txns) {
        let (session, time) = (SessionId(0x10), Wall(0));
        let header = TxnHeader { session, cxid: 0, zxid: Zxid(zxid), time };
        server.db.apply(&LoggedTxn { header, txn, digest: None }, &mut Vec::new());
    }
    assert_eq!(
        server.ask("dump"),
        "SessionTracker dump:\nGlobal Sessions(1):\n0x10\t10000ms\nephemeral nodes dump:\n\
         Sessions with Ephemerals (1):\n0x10:\n\t/a\n\t/b\nConnections dump:\n\
         Connections Sets (0)/(0):\n"
    );
    assert_eq!(server.figures()["ephemerals_count"], "2");
}

#[test]
fn watches_are_shown_by_count_by_session_and_by_path() {
    let mut server = Sample::recorded();
    for word in ["wchs", "wchc", "wchp"] {
        assert_eq!(server.ask(word), recorded(word));
    }
    server.connections = vec![attached(1, 0xa), attached(2, 0xb)];
    server.watches.add(WatchMode::Data, "/x", LinkId(2));
    server.watches.add(WatchMode::Data, "/x", LinkId(1));
    server.watches.add(WatchMode::Data, "/y", LinkId(2));
    server.watches.add(WatchMode::Child, "/z", LinkId(1));
    assert_eq!(server.ask("wchs"), "2 connections watching 2 paths\nTotal watches:3\n");
    assert_eq!(server.ask("wchc"), "0xa\n\t/x\n0xb\n\t/x\n\t/y\n\n");
    assert_eq!(server.ask("wchp"), "/x\n\t0xa\n\t0xb\n/y\n\t0xb\n\n");
    server.watches.add(WatchMode::Persistent, "/x", LinkId(1));
    server.watches.add(WatchMode::Persistent, "/y", LinkId(1));
    server.watches.add(WatchMode::Recursive, "/", LinkId(1));
    assert_eq!(server.ask("wchs"), "2 connections watching 3 paths\nTotal watches:5\n");
    assert_eq!(server.ask("wchp"), "/\n\t0xa\n/x\n\t0xa\n\t0xb\n/y\n\t0xa\n\t0xb\n\n");
    assert_eq!(server.watches.len(), 8, "the child table has /x, /y and /z");
}

#[test]
fn mntr_prints_apaches_keys_and_for_equal_facts_its_values() {
    let mut server = Sample::recorded();
    (server.traffic.received, server.traffic.sent) = (126, 130);
    server.traffic.updates = Summary { count: 77, total: 155, min: 0, max: 39 };
    server.traffic.reads = Summary { count: 25, total: 9, min: 0, max: 2 };
    server.traffic.told.children.add(1);
    (0..2).for_each(|_| server.traffic.told.changed.add(1));
    server.traffic.bytes_received = 2_101_781;
    (server.traffic.response_bytes, server.traffic.watch_bytes) = (2755, 185);
    (server.traffic.connection_requests, server.traffic.revalidations) = (45, 3);
    server.view.counters.expired = 25;
    let apache = figures(&recorded("mntr"));
    let ours = server.figures();
    let differ: Vec<_> =
        ours.iter().filter(|(key, value)| apache.get(*key) != Some(*value)).collect();
    // The tree of the recording is not this one.
    assert_eq!(differ, [(&"approximate_data_size".to_string(), &"44".to_string())]);
    assert_eq!(ours.len(), 57);
    let text = server.ask("mntr");
    assert!(text.starts_with("zk_version\t3.9.5-293c"), "the first line is the version");
}

#[test]
fn mntr_of_an_ensemble_tells_who_leads_whom() {
    let mut server = leader();
    let figure = |server: &Sample, key: &str| server.figures().get(key).cloned();
    for (key, expected) in [
        ("server_state", "leader"),
        ("peer_state", "leading - broadcast"),
        ("learners", "4"),
        ("synced_followers", "2"),
        ("synced_non_voting_followers", "0"),
        ("synced_observers", "1"),
        ("pending_syncs", "5"),
        ("quorum_size", "3"),
        ("leader_uptime", "108046"),
        ("last_proposal_size", "-1"),
        ("proposal_count", "7"),
    ] {
        assert_eq!(figure(&server, key).as_deref(), Some(expected), "{key}");
    }
    server.lead = None;
    server.view.phase = Phase::FollowingBroadcast;
    assert_eq!(figure(&server, "peer_state").as_deref(), Some("following - broadcast"));
    assert_eq!(figure(&server, "synced_observers").as_deref(), Some("0"));
    assert_eq!(figure(&server, "learners"), None);
    server.view.phase = Phase::ObservingBroadcast;
    server.view.leader = Some(ServerId(3));
    assert_eq!(figure(&server, "observer_master_id").as_deref(), Some("3"));
    assert_eq!(figure(&server, "synced_observers"), None);
}

#[test]
fn envi_prints_what_the_host_said() {
    let mut server = Sample::recorded();
    let head = recorded("envi").lines().take(2).collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(server.ask("envi"), head);
    server.config.surroundings.host_name = Some("localhost".into());
    server.config.surroundings.user_dir = Some("/srv".into());
    server.view.serving = false;
    assert_eq!(server.ask("envi"), head + "host.name=localhost\nuser.dir=/srv\n");
}

#[test]
fn a_server_without_service_answers_three_ways() {
    let mut server = Sample::recorded();
    server.view = View { serving: false, phase: Phase::Looking, ..view() };
    assert_eq!(server.ask("ruok"), "imok");
    assert_eq!(server.ask("isro"), "null");
    for word in ["srvr", "stat", "cons", "conf", "mntr", "dump", "wchs", "wchc", "wchp", "crst"] {
        let expected = "This ZooKeeper instance is not currently serving requests\n";
        assert_eq!(server.ask(word), expected, "{word}");
    }
    assert_eq!(reset("srst", &Words::All, false), None);
}

/// Sums by the first name of the path, with that name in front, as Apache has them.
#[test]
fn quotas_have_their_figures() {
    let mut server = Sample::recorded();
    let create = |path: &str, data: &str| {
        let data = Some(Bytes::copy_from_slice(data.as_bytes()));
        let acl = Some(vec![Acl::world(31)]);
        let path = path.into();
        Txn::Create(CreateTxn { path, data, acl, ephemeral: false, parent_cversion: None })
    };
    let nodes = [
        ("/a", "1234"),
        ("/a/b", "12"),
        ("/zookeeper/quota/a", ""),
        ("/zookeeper/quota/a/zookeeper_limits", "count=5,bytes=6=;byteHardLimit=100"),
        ("/zookeeper/quota/a/zookeeper_stats", ""),
    ];
    for (zxid, (path, data)) in (1..).zip(nodes) {
        let (session, zxid, time) = (SessionId(1), Zxid(zxid), Wall(1));
        let header = TxnHeader { session, cxid: 1, zxid, time };
        let txn = LoggedTxn { header, txn: create(path, data), digest: None };
        server.db.apply(&txn, &mut Vec::new());
    }
    server.quota_refusals.insert("a".into(), 7);
    let figures = server.figures();
    for (key, value) in [
        ("a_quota_count_limit_per_namespace", "5"),
        ("a_quota_bytes_limit_per_namespace", "100"),
        ("a_quota_count_usage_per_namespace", "2"),
        ("a_quota_bytes_usage_per_namespace", "6"),
        ("a_quota_exceeded_error_per_namespace", "7"),
    ] {
        assert_eq!(figures.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[test]
fn the_whitelist_rules() {
    let server = Sample::recorded();
    let allowed = Words::Some(vec!["srvr".into()]);
    assert_eq!(server.ask("isro"), recorded("isro"));
    assert_eq!(server.ask("ruok"), recorded("ruok"));
    for word in ["crst", "srst"] {
        assert_eq!(server.ask(word), recorded(word));
        assert_eq!(reset(word, &allowed, true), None);
    }
    assert_eq!(reset("crst", &Words::All, true), Some(Reset::Connections));
    assert_eq!(reset("srst", &Words::All, true), Some(Reset::Server));
    assert_eq!(reset("stat", &Words::All, true), None);
    for word in ["hash", "gtmk", "stmk", "dirs"] {
        let refused = "is not executed because it is not in the whitelist.\n";
        assert!(server.ask(word).ends_with(refused), "{word} is not carried out");
    }
}

#[test]
fn only_words_of_the_table_are_words() {
    for word in KNOWN {
        assert_eq!(known(word.as_bytes()), Some(*word));
    }
    for other in [b"abcd", b"RUOK", &[0, 0, 0, 45]] {
        assert_eq!(known(other), None);
    }
}

fn leader() -> Sample {
    let mut server = Sample::recorded();
    server.config.ensemble = Some(ensemble());
    server.view.phase = Phase::LeadingBroadcast;
    server.view.counters.proposals = 7;
    server.lead = Some(Lead {
        learners: 4,
        synced_followers: 2,
        synced_non_voting_followers: 0,
        synced_observers: 1,
        pending_syncs: 5,
        proposal_sizes: Sizes::default(),
    });
    server
}

fn ensemble() -> EnsembleConfig {
    let member = |(id, host): (u64, &str)| {
        let address = |port| Address { host: host.into(), port };
        let role = if id == 4 { MemberRole::Observer } else { MemberRole::Participant };
        let (quorum, election) = (address(2888), address(3888));
        (ServerId(id), Member { quorum, election, role, client: None })
    };
    EnsembleConfig {
        members: [(1, "a"), (2, "b"), (3, "c"), (4, "d")].into_iter().map(member).collect(),
        groups: BTreeMap::new(),
        weights: BTreeMap::new(),
        version: 0,
    }
}
