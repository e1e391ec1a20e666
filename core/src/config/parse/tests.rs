//! Configuration texts: what is read from them, and what is said about wrong ones.

use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::config::MemberRole;

const THREE: &str = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/data\nclientPort=2181\n\
                     server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888:observer;9\n\
                     server.4=d:2888:3888\n";

fn read(text: &str, myid: Option<&str>) -> Result<Parsed, ConfigError> {
    parse(text, myid, [0; 32])
}

fn warnings(parsed: &Parsed) -> Vec<String> {
    parsed.warnings.iter().map(ToString::to_string).collect()
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
    assert_eq!(parsed.host.client.unwrap().to_string(), "0.0.0.0:2181");
    assert_eq!(parsed.host.data_log_dir, "/data");
    assert!(!config.separate_log_dir);
}

#[test]
fn without_servers_it_is_standalone_with_the_defaults() {
    let parsed = read("dataDir=/d\nclientPort=2181", None).unwrap();
    assert_eq!(parsed.config, Config::with_defaults(ServerId(1), None, [0; 32]));
    let one = "dataDir=/d\nclientPort=2181\nserver.1=a:1:2\n";
    let parsed = read(one, Some("1")).unwrap();
    assert_eq!(parsed.config.ensemble, None);
    assert!(warnings(&parsed)[0].starts_with("line 3: server.N: only one server"));
    let quorum = alloc::format!("{one}standaloneEnabled=false\ninitLimit=1\nsyncLimit=1");
    assert!(read(&quorum, Some("1")).unwrap().config.ensemble.is_some());
}

#[test]
fn every_key_reaches_its_place() {
    let text = "dataDir=/d\ndataLogDir=/l\nclientPort=1\nclientPortAddress=[::1]\n\
                minSessionTimeout=5\nmaxSessionTimeout=6\nmaxClientCnxns=0\nsnapCount=7\n\
                preAllocSize=8\ncommitLogCount=900\njute.maxbuffer=0x10\n\
                globalOutstandingLimit=11\nautopurge.snapRetainCount=12\n\
                autopurge.purgeInterval=1\n4lw.commands.whitelist=ruok, stat\n\
                db.autocreate=true\ncnxTimeout=13\nfastleader.minNotificationInterval=14\n\
                fastleader.maxNotificationInterval=15\nappendBatch=512\nzxidLimit=0xffff\n\
                sync.linearizable=false";
    let parsed = read(text, None).unwrap();
    assert_eq!(warnings(&parsed).len(), 1, "only that autocreate is risky");
    assert_eq!(parsed.host.client.as_ref().unwrap().to_string(), "[::1]:1");
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
    want.snap_retain_count = 12;
    want.four_letter_words = Words::Some(alloc::vec!["ruok".into(), "stat".into()]);
    want.first_start = FirstStart::AutoCreate;
    want.cnx_timeout = Span::from_ms(13);
    want.min_notification = Span::from_ms(14);
    want.max_notification = Span::from_ms(15);
    want.append_batch_bytes = 512;
    want.zxid_counter_limit = 0xffff;
    want.linearizable_sync = false;
    assert_eq!(config, want);
}

#[test]
fn errors_name_line_key_and_remedy() {
    for (text, myid, want) in [
        ("clientPort=1", None, "dataDir: is missing; name the folder"),
        ("dataDir=d\nclientPort=x", None, "line 2: clientPort: 'x' is not a port"),
        ("dataDir=d\nclientPortAddress=h", None, "line 2: clientPortAddress: is set, but"),
        ("dataDir=d\ntickTime=0", None, "line 2: tickTime: '0' is not a number that can be used"),
        (
            "dataDir=d\nminSessionTimeout=90000",
            None,
            "line 2: minSessionTimeout: 90000 ms is above",
        ),
        ("dataDir=d\nstandaloneEnabled=on", None, "line 2: standaloneEnabled: 'on' is neither"),
        ("dataDir=d\ndynamicConfigFile=x", None, "line 2: dynamicConfigFile: 'x' is not read"),
        ("dataDir=d\npeerType=boss", None, "line 2: peerType: 'boss' is neither"),
        ("dataDir=d\nserver.1=a:1", None, "line 2: server.1: 'a:1' is not 'host:"),
        (
            "dataDir=d\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2",
            Some("1"),
            "initLimit: is missing, and an ensemble needs it; add a line 'initLimit=10'",
        ),
        (THREE, None, "myid: the file is missing from dataDir; write this server's number"),
        (THREE, Some("9"), "myid: '9' is not among the servers of this file, 1, 2, 3, 4; correct"),
        (THREE, Some("x"), "myid: 'x' is not among"),
        (THREE, Some("3"), "line 5: clientPort: 0.0.0.0:2181 differs from 0.0.0.0:9"),
        ("dataDir=d\nserver.1=a:1:2:observer\nserver.2=b:1:2", Some("1"), "only one voter"),
        ("dataDir=d\nserver.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:3", None, "line 4: group.1: there"),
    ] {
        let error = read(text, myid).unwrap_err().to_string();
        assert!(error.contains(want), "{text:?} gave {error:?}");
    }
}

#[test]
fn warnings_never_stop_a_start() {
    for (line, want) in [
        ("tickTme=5", "line 10: tickTme: is not known"),
        ("zookeeper.snapCount=5", "written 'snapCount'"),
        ("tickTime=5", "line 1: tickTime: is set again in line 10"),
        ("commitLogCount=5", "line 10: commitLogCount: 5 is too low, 500 is used"),
        ("autopurge.snapRetainCount=5", "has no effect while autopurge.purgeInterval is 0"),
        ("peerType=observer", "peerType: says Observer"),
        ("server.5=e:1:2|f:1:2", "several addresses"),
        ("weight.1=3", "weights have no effect"),
        ("server.300=e:1:2", "session ids"),
        ("server.5=e:1:2", "4 voters survive"),
        ("dynamicConfigFile=x", "'x' is not read"),
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
