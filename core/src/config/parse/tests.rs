//! Configuration texts: what is read from them, and what is said about wrong ones.

use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::config::given::Document;
use crate::config::known::{KEYS, Standing};
use crate::config::{DigestAlg, HostConfig, MemberRole};

const THREE: &str = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/data\nclientPort=2181\n\
                     server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888:observer;9\n\
                     server.4=d:2888:3888\n";

fn read(text: &str, myid: Option<&str>) -> Result<Parsed, ConfigError> {
    parse(&given(text, myid), [0; 32])
}

fn given(text: &str, myid: Option<&str>) -> Given {
    let myid = myid.map(|text| Document { name: "/data/myid".into(), text: text.into() });
    Given { myid, ..Given::file("zoo.cfg", text) }
}

fn warnings(parsed: &Parsed) -> Vec<String> {
    parsed.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_usual_file() {
    let parsed = read(THREE, Some("2\n")).unwrap();
    assert_eq!(warnings(&parsed), Vec::<String>::new());
    let config = &parsed.config;
    assert_eq!(config.me, ServerId(2));
    assert_eq!(config.tick, Span::from_ms(2000));
    assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (4000, 40_000));
    let ensemble = config.ensemble.as_ref().unwrap();
    assert_eq!(ensemble.members[&ServerId(3)].role, MemberRole::Observer);
    assert_eq!(config.host.client.as_ref().unwrap().to_string(), "0.0.0.0:2181");
    assert_eq!(parsed.config.host.data_log_dir, "/data");
    assert!(!config.separate_log_dir);
}

#[test]
fn without_servers_it_is_standalone_with_the_defaults() {
    let parsed = read("dataDir=/d\nclientPort=2181", None).unwrap();
    let mut want = Config::with_defaults(ServerId(1), None, [0; 32]);
    want.host.data_dir = "/d".into();
    want.host.data_log_dir = "/d".into();
    want.host.client = Some(Address { host: "0.0.0.0".into(), port: 2181 });
    assert_eq!(parsed.config, want);
    let one = "dataDir=/d\nclientPort=2181\nserver.1=a:1:2\n";
    let parsed = read(one, Some("1")).unwrap();
    assert_eq!(parsed.config.ensemble, None);
    assert!(warnings(&parsed)[0].starts_with("zoo.cfg:3: server.1 is the only server"));
    let quorum = alloc::format!("{one}standaloneEnabled=false\ninitLimit=1\nsyncLimit=1");
    assert!(read(&quorum, Some("1")).unwrap().config.ensemble.is_some());
}

#[test]
fn every_key_reaches_its_place() {
    let text = "dataDir=/d\ndataLogDir=/l\nclientPort=1\nclientPortAddress=[::1]\n\
                minSessionTimeout=5\nmaxSessionTimeout=6\nmaxClientCnxns=0\nsnapCount=7\n\
                preAllocSize=8\ncommitLogCount=900\njute.maxbuffer=0x10\n\
                globalOutstandingLimit=11\nrequest_throttle_max_requests=20\nautopurge.snapRetainCount=12\n\
                autopurge.purgeInterval=1\n4lw.commands.whitelist=ruok, stat\n\
                db.autocreate=true\ncnxTimeout=13\nfastleader.minNotificationInterval=14\n\
                fastleader.maxNotificationInterval=15\nappendBatch=512\nzxidLimit=0xffff\n\
                sync.linearizable=false\nreply.bounded=false\nsequence.bounded=false\neventHistory=0\nmaxCnxns=16\nleaderServes=no\n\
                fsync.warningthresholdms=17\nclientPortListenBacklog=18\n\
                quorumListenOnAllIPs=true\ndatadir.autocreate=false\nelectionAlg=3\n\
                standaloneEnabled=true\nlocalSessionsEnabled=true\n\
                localSessionsUpgradingEnabled=true\nreadonlymode.enabled=true\n\
                nio.sessionlessCnxnTimeout=19\n\
                DigestAuthenticationProvider.digestAlg=sha-256";
    let parsed = read(text, None).unwrap();
    assert_eq!(warnings(&parsed).len(), 1, "only that autocreate is risky");
    assert_eq!(parsed.config.host.client.as_ref().unwrap().to_string(), "[::1]:1");
    let config = parsed.config;
    let mut want = Config::with_defaults(ServerId(1), None, [0; 32]);
    want.separate_log_dir = true;
    want.min_session_timeout_ms = 5;
    want.max_session_timeout_ms = 6;
    want.max_client_connections = 0;
    want.snap_count = 7;
    want.pre_alloc_bytes = 8192;
    want.commit_log_count = 900;
    want.jute_max_buffer = 16;
    want.global_outstanding_limit = 11;
    want.throttle_requests = 20;
    want.snap_retain_count = 12;
    want.four_letter_words = Words::Some(alloc::vec!["ruok".into(), "stat".into(), "isro".into()]);
    want.first_start = FirstStart::AutoCreate;
    want.cnx_timeout = Span::from_ms(13);
    want.min_notification = Span::from_ms(14);
    want.max_notification = Span::from_ms(15);
    want.append_batch_bytes = 512;
    want.zxid_counter_limit = 0xffff;
    want.linearizable_sync = false;
    want.bounded_replies = false;
    want.bounded_sequences = false;
    want.event_history_bytes = 0;
    want.greeting_limit = Span::from_ms(19);
    want.access.digest_alg = DigestAlg::Sha256;
    want.local_sessions = true;
    want.local_sessions_upgrading = true;
    want.read_only_mode = true;
    want.max_connections = 16;
    want.leader_serves = false;
    want.host = HostConfig {
        data_dir: "/d".into(),
        data_log_dir: "/l".into(),
        new_myid: None,
        client: Some(Address { host: "::1".into(), port: 1 }),
        listen_backlog: 18,
        quorum_on_all_addresses: true,
        create_folders: false,
        fsync_warning: Span::from_ms(17),
        purge: Purge { retain: 12, interval_hours: 1 },
        standalone_enabled: true,
    };
    assert_eq!(config, want);
}

#[test]
fn every_key_that_works_is_taken_by_the_parser() {
    for key in KEYS.iter().filter(|key| matches!(key.standing, Standing::Works(_))) {
        let name = key.name.replace(".N", ".1");
        let error = match read(&alloc::format!("{THREE}{name}="), Some("1")) {
            Ok(parsed) => warnings(&parsed).join("\n"),
            Err(error) => error.to_string(),
        };
        assert!(!error.contains(&alloc::format!("{name} is not known")), "{error}");
    }
}

#[test]
fn what_is_not_offered_is_refused_warned_about_or_noted() {
    for (line, severity, want) in [
        ("secureClientPort=2182", Severity::Error, "zoo.cfg:10: secureClientPort asks for TLS"),
        ("sslQuorum=true", Severity::Error, "the port would carry plain text; remove the line"),
        ("quorum.auth.enableSasl=true", Severity::Error, "peers would not be authenticated"),
        ("sessionRequireClientSASLAuth=true", Severity::Error, "authenticated by SASL"),
        ("enforce.auth.enabled=true", Severity::Error, "names no scheme"),
        (
            "DigestAuthenticationProvider.digestAlg=MD5",
            Severity::Error,
            "name one of SHA1, SHA-224",
        ),
        ("forceSync=no", Severity::Warning, "would answer before the data is on disk"),
        ("authProvider.1=x", Severity::Warning, "only the schemes"),
        ("admin.enableServer=true", Severity::Info, "the admin HTTP server"),
        ("nio.numWorkerThreads=3", Severity::Info, "only the Java server has; it has no effect"),
    ] {
        let findings = match read(&alloc::format!("{THREE}{line}\n"), Some("1")) {
            Ok(parsed) => parsed.findings,
            Err(error) => error.findings,
        };
        let [finding] = findings.as_slice() else { panic!("{line}: {findings:?}") };
        assert_eq!(finding.severity, severity, "{line}");
        assert!(finding.to_string().contains(want), "{line}: {finding}");
    }
    let off = "secureClientPort=\nsslQuorum=false\nskipACL=no\nforceSync=yes\n\
               reconfigEnabled=false\nportUnification=false\nquorum.auth.enableSasl=false\n";
    let parsed = read(&alloc::format!("{THREE}{off}"), Some("1")).unwrap();
    assert_eq!(warnings(&parsed), Vec::<String>::new(), "nothing is asked for");
}

#[test]
fn who_gets_in_is_read() {
    let strict = "enforce.auth.enabled=true\nenforce.auth.schemes= digest , ip\nskipACL=yes\n\
                  DigestAuthenticationProvider.superDigest=super:x=\n";
    let parsed = read(&alloc::format!("{THREE}{strict}"), Some("1")).unwrap();
    let access = &parsed.config.access;
    assert_eq!(access.enforced_schemes, ["digest", "ip"]);
    assert_eq!((access.skip_acl, access.super_digest.as_deref()), (true, Some("super:x=")));
    for wrong in [
        "enforce.auth.schemes=sasl",
        "enforce.auth.schemes=digest\n\
                   DigestAuthenticationProvider.enabled=false",
    ] {
        let text = alloc::format!("{THREE}enforce.auth.enabled=true\n{wrong}\n");
        assert!(read(&text, Some("1")).unwrap_err().to_string().contains("is no scheme"));
    }
    // Without the switch nothing is asked of anybody.
    let named = alloc::format!("{THREE}enforce.auth.schemes=digest\n");
    assert!(read(&named, Some("1")).unwrap().config.access.enforced_schemes.is_empty());
}

#[test]
fn a_server_whose_sessions_would_look_like_ttls_makes_no_ttl_nodes() {
    let of = |id: u64| {
        let text = alloc::format!(
            "initLimit=1\nsyncLimit=1\ndataDir=/d\nclientPort=1\nserver.1=a:1:2\nserver.{id}=b:1:2\n\
             server.3=c:1:2\nextendedTypesEnabled=true\n"
        );
        read(&text, Some(&id.to_string()))
    };
    assert!(of(254).unwrap().config.extended_types);
    assert!(of(255).unwrap_err().to_string().contains("254 at most"));
}

const STATIC: &str = "dataDir=/data\ninitLimit=1\nsyncLimit=1\ndynamicConfigFile=zoo.dyn.1a\n";
const DYNAMIC: &str = "server.1=[::1]:1:2:participant;[::1]:3\nserver.2=b:1:2\nserver.3=c:1:2";

fn with_dynamic(text: &str, dynamic: &str) -> Given {
    let document = Document { name: "zoo.dyn.1a".into(), text: dynamic.into() };
    Given { dynamic: Some(Ok(document)), ..given(text, Some("1")) }
}

#[test]
fn servers_may_lie_in_a_file_of_their_own() {
    let parsed = parse(&with_dynamic(STATIC, DYNAMIC), [0; 32]).unwrap();
    assert_eq!(warnings(&parsed), Vec::<String>::new());
    let ensemble = parsed.config.ensemble.as_ref().unwrap();
    assert_eq!((ensemble.members.len(), ensemble.version), (3, 0x1a));
    assert_eq!(parsed.config.host.client.as_ref().unwrap().to_string(), "[::1]:3");
    assert_eq!(parsed.origin("server.2").to_string(), "zoo.dyn.1a:2");
    assert_eq!(parsed.origin("clientPort").to_string(), "zoo.dyn.1a:1");
    let inside = alloc::format!("{DYNAMIC}\nversion=2b");
    let parsed = parse(&with_dynamic(STATIC, &inside), [0; 32]).unwrap();
    assert_eq!(parsed.config.ensemble.unwrap().version, 0x2b);
    for (text, dynamic, want) in [
        (STATIC, "server.1=a:1", "zoo.dyn.1a:1: server.1 'a:1' is not 'host:"),
        (STATIC, "server.1=a:1:2\nserver.2=b:1:2\nversion=x", "zoo.dyn.1a: version 'x' is not"),
        (
            "dynamicConfigFile=z\nserver.1=a:1:2\ndataDir=d",
            DYNAMIC,
            "zoo.cfg:2: server.1 stands beside dynamicConfigFile, and may stand in z only",
        ),
    ] {
        let error = parse(&with_dynamic(text, dynamic), [0; 32]).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let unread = Given { dynamic: Some(Err("no such file".into())), ..given(STATIC, Some("1")) };
    let error = parse(&unread, [0; 32]).unwrap_err().to_string();
    assert!(error.contains("zoo.cfg:4: dynamicConfigFile 'zoo.dyn.1a' cannot be read: no such"));
}

#[test]
fn variables_make_a_configuration_as_the_image_does() {
    let variable = |name: &str, value: &str| (String::from(name), String::from(value));
    let given = |variables: Vec<(String, String)>| Given {
        text: None,
        variables,
        ..Given::file("/conf/zoo.cfg", "")
    };
    let alone = parse(&given(alloc::vec![variable("ZOO_TICK_TIME", "2000")]), [0; 32]).unwrap();
    assert_eq!(alone.config.ensemble, None);
    assert_eq!(alone.config.host.client.as_ref().unwrap().to_string(), "0.0.0.0:2181");
    assert!(alone.findings.iter().all(|finding| finding.severity == Severity::Info));
    let servers = "server.1=a:2888:3888;2181 server.2=b:2888:3888;2181 server.3=c:2888:3888;2181";
    let three = given(alloc::vec![variable("ZOO_SERVERS", servers), variable("ZOO_MY_ID", "3")]);
    let parsed = parse(&three, [0; 32]).unwrap();
    assert_eq!((parsed.config.me, parsed.config.host.new_myid), (ServerId(3), Some(ServerId(3))));
    assert_eq!(parsed.origin("server.2").to_string(), "ZOO_SERVERS");
    assert_eq!(parsed.origin("tickTime"), Origin::Default);
    let wrong = given(alloc::vec![variable("ZOO_SERVERS", servers), variable("ZOO_MY_ID", "9")]);
    let error = parse(&wrong, [0; 32]).unwrap_err().to_string();
    assert!(error.starts_with("ZOO_MY_ID: myid '9' is not among"), "{error}");
    let wrong = given(alloc::vec![variable("ZOO_TICK_TIME", "soon")]);
    let error = parse(&wrong, [0; 32]).unwrap_err().to_string();
    assert!(error.starts_with("ZOO_TICK_TIME: tickTime 'soon' is not a number"), "{error}");
}

#[test]
fn a_variable_that_does_nothing_is_said_so() {
    let mut given = given(THREE, Some("1"));
    given.variables.push(("ZOO_TICK_TIME".into(), "1".into()));
    given.variables.push(("ZOO_MYID".into(), "1".into()));
    given.variables.push(("ZOO_MY_ID".into(), "2".into()));
    let parsed = parse(&given, [0; 32]).unwrap();
    assert_eq!(parsed.config.me, ServerId(1));
    let found = warnings(&parsed).join("\n");
    for want in [
        "zoo.cfg: variables have no effect beside this file: ZOO_TICK_TIME; put",
        "ZOO_MYID: ZOO_MYID is not known and has no effect; did you mean 'ZOO_MY_ID'?",
        "ZOO_MY_ID: myid '2' has no effect: /data/myid holds 1",
    ] {
        assert!(found.contains(want), "{found}");
    }
}

#[test]
fn errors_name_line_key_and_remedy() {
    for (text, myid, want) in [
        ("clientPort=1", None, "zoo.cfg: dataDir is missing; name the folder"),
        ("dataDir=d\nclientPort=x", None, "zoo.cfg:2: clientPort 'x' is not a port"),
        ("dataDir=d\nclientPortAddress=h", None, "zoo.cfg:2: clientPortAddress is set, but"),
        ("dataDir=d\ntickTime=0", None, "zoo.cfg:2: tickTime '0' is not a number that can be used"),
        (
            "dataDir=d\nminSessionTimeout=90000",
            None,
            "zoo.cfg:2: minSessionTimeout 90000 ms is above",
        ),
        ("dataDir=d\nstandaloneEnabled=on", None, "zoo.cfg:2: standaloneEnabled 'on' is neither"),
        ("dataDir=d\ndynamicConfigFile=x", None, "zoo.cfg:2: dynamicConfigFile 'x' was not read"),
        ("dataDir=d\npeerType=boss", None, "zoo.cfg:2: peerType 'boss' is neither"),
        ("dataDir=d\nserver.1=a:1", None, "zoo.cfg:2: server.1 'a:1' is not 'host:"),
        (
            "dataDir=d\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2",
            Some("1"),
            "zoo.cfg: initLimit is missing, and an ensemble needs it; add a line 'initLimit=10'",
        ),
        (THREE, None, "/data/myid: myid is missing; write this server's number"),
        (
            THREE,
            Some("9"),
            "/data/myid: myid '9' is not among the servers that are listed, 1, 2, 3, 4; write",
        ),
        (THREE, Some("x"), "/data/myid: myid 'x' is not among"),
        (THREE, Some("3"), "zoo.cfg:5: clientPort 0.0.0.0:2181 differs from 0.0.0.0:9"),
        ("dataDir=d\nserver.1=a:1:2:observer\nserver.2=b:1:2", Some("1"), "only one voter"),
        (
            "dataDir=d\nserver.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:3",
            None,
            "zoo.cfg:4: group.1 there",
        ),
    ] {
        let error = read(text, myid).unwrap_err().to_string();
        assert!(error.contains(want), "{text:?} gave {error:?}");
    }
}

#[test]
fn warnings_never_stop_a_start() {
    for (line, want) in [
        (
            "tickTme=5",
            "zoo.cfg:10: tickTme is not known and has no effect; did you mean 'tickTime'?",
        ),
        ("zookeeper.snapCount=5", "written 'snapCount'"),
        ("tickTime=5", "zoo.cfg:1: tickTime is set again at zoo.cfg:10"),
        ("commitLogCount=5", "zoo.cfg:10: commitLogCount 5 is too low, 500 is used"),
        ("autopurge.snapRetainCount=5", "has no effect while autopurge.purgeInterval is 0"),
        ("peerType=observer", "zoo.cfg:10: peerType says Observer, zoo.cfg:6 says Participant"),
        ("server.5=e:1:2|f:1:2", "several addresses"),
        ("weight.1=3", "weights have no effect"),
        ("server.300=e:1:2", "session ids"),
        ("server.5=e:1:2", "4 voters survive"),
    ] {
        let text = alloc::format!("{THREE}{line}\n");
        let parsed = read(&text, Some("1")).unwrap();
        let found = warnings(&parsed);
        assert!(found.iter().any(|warning| warning.contains(want)), "{line}: {found:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(server|group|weight|tickTime|dataDir)[.=:0-9a-z\\[\\]|;\n]{0,60}") {
        let _ = read(&text, Some("1"));
        let _ = read(&alloc::format!("dataDir=/d\n{text}"), Some(&text));
    }
}
