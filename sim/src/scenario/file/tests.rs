use super::*;
use crate::run::run_scenario;
use crate::scenario::Options;
use crate::zkclient::Operations;
use vivarium_core::config::DigestAlg;

fn exported(seed: u64, options: &Options) -> ScenarioFile {
    ScenarioFile {
        why: String::new(),
        expect: Expect::Ok,
        white_box: options.white_box,
        scenario: Scenario::draw(seed, options),
    }
}

#[test]
fn every_seed_reads_back_from_its_file() {
    for seed in (0..400).chain([u64::MAX, u64::MAX / 2 + 1]) {
        let servers = (seed % 5 == 0).then_some(5);
        let options = Options { servers, white_box: seed % 7 != 0, ..Options::default() };
        let mut file = exported(seed, &options);
        file.scenario.rolls = (seed % 3) as u32;
        let text = file.to_string();
        let read: ScenarioFile = text.parse().unwrap_or_else(|why| panic!("{why}\n{text}"));
        assert_eq!(read, file, "{text}");
    }
}

#[test]
fn an_exported_seed_runs_to_the_same_hash() {
    for seed in 0..60 {
        let options = Options { sim_seconds: 1, ..Options::default() };
        let drawn = run_scenario(Scenario::draw(seed, &options), true, None).unwrap();
        let file: ScenarioFile = exported(seed, &options).to_string().parse().unwrap();
        let again = run_scenario(file.scenario, true, None).unwrap();
        assert_eq!(drawn.trace_hash, again.trace_hash, "seed {seed}");
    }
}

#[test]
fn what_is_left_out_is_drawn() {
    let file: ScenarioFile = "seed = 42".parse().unwrap();
    assert_eq!(file, exported(42, &Options::default()));
    let text = "seed = 42\nfaults = ''\nfault_phase = '2 s'\n[cluster]\nservers = 5\nsnapCount = 9";
    let file: ScenarioFile = text.parse().unwrap();
    assert_eq!(file.scenario.cluster.voters.len(), 5);
    assert!(file.scenario.cluster.configs.iter().all(|config| config.snap_count == 9));
    assert!(file.scenario.faults.is_empty());
}

#[test]
fn a_person_writes_clients_with_operations() {
    let text = r#"
why = "two writes"
seed = 1
faults = '''
# the leader stands still
at 1 s pause leader for 2 s
'''
[[client]]
servers = ["s1"]
operations = '''
at 1 s create /r0 "a"
at 0.5 s create /r1 "b" # earlier
'''
[cluster]
servers = 3
[expect]
verdict = "violation"
check = "P8"
"#;
    let file: ScenarioFile = text.parse().unwrap();
    assert_eq!(file.scenario.clients.len(), 1);
    let Operations::Listed(listed) = &file.scenario.clients[0].operations else { panic!() };
    assert_eq!(listed[0].to_string(), "at 0.5 s create /r1 \"b\"");
    assert_eq!(file.expect, Expect::Violation { check: Some("P8".into()) });
    let violation = |check| Err(Violation::new(check, String::new()));
    assert!(file.expect.is_met_by(&violation("P8"), false));
    assert!(!file.expect.is_met_by(&violation("P9"), false));
    assert!(!file.expect.is_met_by(&Ok(()), false));
}

#[test]
fn a_refusal_is_no_service_and_no_violation() {
    let text = "seed = 4\nbeyond_quorum = true\n[expect]\nverdict = \"refusal\"\n";
    let file: ScenarioFile = text.parse().unwrap();
    assert!(file.scenario.beyond_quorum);
    assert_eq!(file.to_string().parse::<ScenarioFile>().unwrap(), file);
    assert!(file.expect.is_met_by(&Ok(()), true));
    assert!(!file.expect.is_met_by(&Ok(()), false), "somebody serves");
    assert!(!file.expect.is_met_by(&Err(Violation::new("P8", String::new())), true));
    let checked = format!("{text}check = \"P8\"\n");
    assert!(checked.parse::<ScenarioFile>().is_err(), "a check goes with a violation");
}

/// What a file says of access and of nodes that go by themselves counts on every server, and for the lists
/// that clients draw; without a word of hashes it is of runs that knew SHA-1 alone.
#[test]
fn a_file_says_what_clients_may_do_and_when_nodes_go() {
    let text = "seed = 7\n[cluster]\nservers = 3\nskipACL = false\nenforceQuota = true\n\
                reconfigEnabled = false\ndigestAlg = 'SHA3-256'\nsuperDigest = 'root:x'\n\
                maxClientCnxns = 9\ncontainerCheckIntervalMs = 70\ncontainerMaxPerMinute = 600\n\
                containerMaxNeverUsedIntervalMs = 0\n";
    let scenario = text.parse::<ScenarioFile>().unwrap().scenario;
    for config in &scenario.cluster.configs {
        let access = &config.access;
        assert!(!access.skip_acl && config.enforce_quota && !config.reconfig_enabled);
        assert_eq!(access.digest_alg, DigestAlg::Sha3x256);
        assert_eq!(access.super_digest.as_deref(), Some("root:x"));
        assert_eq!(config.max_client_connections, 9);
        let rules = &config.containers;
        assert_eq!((rules.check_interval.as_ms(), rules.max_per_minute), (70, 600));
        assert_eq!(rules.never_used.as_ms(), 0);
    }
    assert_eq!(scenario.workload.digest_alg, DigestAlg::Sha3x256);
    let nobody = "seed = 7\n[cluster]\nservers = 3\nsuperDigest = ''\n";
    let access = &nobody.parse::<ScenarioFile>().unwrap().scenario.cluster.configs[0].access;
    assert_eq!((access.digest_alg, &access.super_digest), (DigestAlg::Sha1, &None));
}

#[test]
fn a_mistake_names_its_line_and_what_is_allowed() {
    let head = "seed = 1\n[cluster]\nservers = 3\n";
    for (text, line, hint) in [
        ("why = 'x'", 1, "missing field `seed`"),
        ("seed = -1", 1, "not negative"),
        ("seed = 1\nfault = ''", 2, "expected one of `why`, `seed`"),
        ("seed = 1\nfaults = '''\n\nat 1 s jump s1 for 2 s\n'''", 4, "there are crash"),
        ("seed = 1\nfaults = 'at 1 s pause s9 for 2 s'", 2, "s9 is not there"),
        ("seed = 1\nfault_phase = '3'", 2, "a number and a unit"),
        ("seed = 1\nstay_dead = [\n's9']", 3, "is no server: s1 to s"),
        ("seed = 1\n[cluster]\nservers = 0", 3, "not within 1 to 100"),
        ("seed = 1\n[cluster]\nobservers = 2", 3, "say `servers`, too"),
        ("seed = 1\n[cluster]\nservers = 3\ntickTime = 0", 4, "not within 1"),
        ("seed = 1\n[cluster]\ndigestAlg = 'MD5'", 3, "there are SHA1"),
        ("seed = 1\n[cluster]\ncontainerMaxPerMinute = 0", 3, "not within 1"),
        ("seed = 1\n[workload]\nmix = { creates = 3 }", 3, "it can create"),
        ("seed = 1\n[workload]\nroots = 0", 2, "at least 1"),
        ("seed = 1\n[[client]]\nservers = []", 2, "it dials no server"),
        ("seed = 1\n[[client]]\noperations = '''\nat 1 s fly'''", 4, "it can create"),
        ("seed = 1\n[server.s1]\nclock_drift_ppm = 5000", 3, "-1000 to 1000"),
        ("seed = 1\n[server.s1]\napache = ['odd']", 3, "plain_greetings"),
        ("seed = 1\n[expect]\nverdict = 'fine'", 3, "`ok`, `refusal`"),
    ] {
        let mistake = text.parse::<ScenarioFile>().expect_err(text);
        assert_eq!(mistake.line, line, "{text}: {mistake}");
        assert!(mistake.what.contains(hint), "{text}: {mistake}");
    }
    assert!(head.parse::<ScenarioFile>().is_ok());
}
