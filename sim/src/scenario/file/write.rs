//! A scenario as the text of a file.

use std::fmt;

use vivarium_core::config::Config;
use vivarium_core::ids::ServerId;

use super::{DRAWN, DRAWN_READS, Expect, ScenarioFile};
use crate::cluster::Cluster;
use crate::groups::Groups;
use crate::scenario::LOOKS_EVERY;
use crate::scenario::span::{moment, span};
use crate::workload::{Kind, Workload};
use crate::zkclient::{ClientSpec, Operations};

type Out<'a, 'b> = &'a mut fmt::Formatter<'b>;

impl fmt::Display for ScenarioFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scenario = &self.scenario;
        writeln!(f, "why = {}", quoted(&self.why))?;
        match i64::try_from(scenario.seed) {
            Ok(seed) => writeln!(f, "seed = {seed}")?,
            Err(_) => writeln!(f, "seed = \"{}\"", scenario.seed)?,
        }
        if scenario.rolls > 0 {
            writeln!(f, "rolls = {}", scenario.rolls)?;
        }
        if !self.white_box {
            writeln!(f, "white_box = false")?;
        }
        writeln!(f, "fault_phase = \"{}\"", span(scenario.faults_for.0))?;
        writeln!(f, "stay_dead = {}", servers(&scenario.stay_dead))?;
        if scenario.beyond_quorum {
            writeln!(f, "beyond_quorum = true")?;
        }
        if scenario.looks_every != LOOKS_EVERY {
            writeln!(f, "looks_every = {}", scenario.looks_every)?;
        }
        writeln!(f, "faults = '''")?;
        scenario.faults.iter().try_for_each(|unit| writeln!(f, "{unit}"))?;
        writeln!(f, "'''")?;
        expect(f, &self.expect)?;
        scenario.clients.iter().try_for_each(|spec| client(f, spec))?;
        workload(f, &scenario.workload)?;
        cluster(f, &scenario.cluster)?;
        machines(f, &scenario.cluster)
    }
}

fn expect(f: Out<'_, '_>, expect: &Expect) -> fmt::Result {
    match expect {
        Expect::Ok => writeln!(f, "\n[expect]\nverdict = \"ok\""),
        Expect::Refusal => writeln!(f, "\n[expect]\nverdict = \"refusal\""),
        Expect::Violation { check } => {
            writeln!(f, "\n[expect]\nverdict = \"violation\"")?;
            check.iter().try_for_each(|check| writeln!(f, "check = {}", quoted(check)))
        }
    }
}

fn client(f: Out<'_, '_>, spec: &ClientSpec) -> fmt::Result {
    let ClientSpec { id, servers: dials, session_timeout_ms, .. } = spec;
    writeln!(f, "\n[[client]] # c{}", id.0)?;
    writeln!(f, "seed = {}", spec.seed)?;
    writeln!(f, "servers = {}", servers(dials))?;
    writeln!(f, "session_timeout_ms = {session_timeout_ms}")?;
    writeln!(f, "starts = \"{}\"", moment(spec.starts))?;
    writeln!(f, "pipeline = {}", spec.pipeline)?;
    writeln!(f, "think = \"{}\"", span(spec.think_us))?;
    if spec.reads_only {
        writeln!(f, "reads_only = true")?;
    }
    if spec.fresh_xids {
        writeln!(f, "fresh_xids = true")?;
    }
    if let Some(other) = spec.other_timeout_ms {
        writeln!(f, "other_timeout_ms = {other}")?;
    }
    if spec.returns {
        writeln!(f, "returns = true")?;
    }
    if spec.asks_ahead {
        writeln!(f, "asks_ahead = true")?;
    }
    match &spec.operations {
        Operations::Drawn => writeln!(f, "operations = \"{DRAWN}\""),
        Operations::DrawnReads => writeln!(f, "operations = \"{DRAWN_READS}\""),
        Operations::Listed(listed) => {
            writeln!(f, "operations = '''")?;
            listed.iter().try_for_each(|timed| writeln!(f, "{timed}"))?;
            writeln!(f, "'''")
        }
    }
}

fn workload(f: Out<'_, '_>, workload: &Workload) -> fmt::Result {
    let Workload { weights, roots, names, watching, data_bytes, lasting, rewatching, .. } =
        workload;
    let Workload { guarded, showing, .. } = workload;
    let weight =
        |(kind, name): &(Kind, &str)| weights.get(kind).map(|weight| format!("{name} = {weight}"));
    let mix: Vec<_> = Kind::NAMES.iter().filter_map(weight).collect();
    writeln!(f, "\n[workload] # of clients whose operations are drawn, and of the calm phase")?;
    writeln!(f, "mix = {{ {} }}", mix.join(", "))?;
    writeln!(f, "roots = {roots}\nnames = {names}")?;
    writeln!(f, "watching_per_mille = {watching}\ndata_bytes = {data_bytes}")?;
    writeln!(f, "lasting_per_mille = {lasting}\nrewatching_per_mille = {rewatching}")?;
    writeln!(f, "guarded_per_mille = {guarded}\nshowing_per_mille = {showing}")
}

fn cluster(f: Out<'_, '_>, cluster: &Cluster) -> fmt::Result {
    let config: &Config = &cluster.configs[0];
    writeln!(f, "\n[cluster]")?;
    writeln!(f, "servers = {}\nobservers = {}", cluster.voters.len(), cluster.observers.len())?;
    if config.ensemble.is_none() {
        writeln!(f, "standalone = true")?;
    }
    if cluster.groups() != Groups::None {
        writeln!(f, "groups = \"{}\"", cluster.groups())?;
    }
    writeln!(f, "marked_first_start = {}", cluster.marked_first_start)?;
    writeln!(f, "separate_log_dir = {}", config.separate_log_dir)?;
    if config.local_sessions {
        writeln!(f, "localSessionsEnabled = true")?;
        let upgrading = config.local_sessions_upgrading;
        writeln!(f, "localSessionsUpgradingEnabled = {upgrading}")?;
    }
    if config.read_only_mode {
        writeln!(f, "read_only_after_ms = {}", config.read_only_patience.as_ms())?;
    }
    for (key, value) in [
        ("tickTime", config.tick.as_ms()),
        ("initLimit", config.init_limit_ticks),
        ("syncLimit", config.sync_limit_ticks),
        ("minSessionTimeout", config.min_session_timeout_ms as u64),
        ("maxSessionTimeout", config.max_session_timeout_ms as u64),
        ("snapCount", config.snap_count),
        ("commitLogCount", config.commit_log_count as u64),
        ("preAllocSize", config.pre_alloc_bytes / 1024),
        ("eventHistory", config.event_history_bytes as u64),
        ("appendBatch", config.append_batch_bytes as u64),
        ("snapRetainCount", config.snap_retain_count as u64),
        ("globalOutstandingLimit", config.global_outstanding_limit as u64),
        ("request_throttle_max_requests", config.throttle_requests as u64),
        ("zxidLimit", config.zxid_counter_limit.into()),
        ("maxClientCnxns", config.max_client_connections as u64),
        ("containerCheckIntervalMs", config.containers.check_interval.as_ms()),
        ("containerMaxPerMinute", config.containers.max_per_minute.into()),
        ("containerMaxNeverUsedIntervalMs", config.containers.never_used.as_ms()),
        ("link_high_water_bytes", config.link_high_water_bytes),
        ("snap_portion_bytes", config.snap_portion_bytes as u64),
        ("snap_preimage_limit_bytes", config.snap_preimage_limit_bytes as u64),
        ("cnxTimeout", config.cnx_timeout.as_ms()),
        ("minNotificationInterval", config.min_notification.as_ms()),
        ("maxNotificationInterval", config.max_notification.as_ms()),
        ("finalizeWait", config.finalize_wait.as_ms()),
    ] {
        writeln!(f, "{key} = {value}")?;
    }
    for (key, value) in [
        ("skipACL", config.access.skip_acl),
        ("enforceQuota", config.enforce_quota),
        ("reconfigEnabled", config.reconfig_enabled),
    ] {
        writeln!(f, "{key} = {value}")?;
    }
    writeln!(f, "digestAlg = \"{}\"", config.access.digest_alg.name())?;
    let super_digest = config.access.super_digest.as_deref().unwrap_or_default();
    writeln!(f, "superDigest = \"{super_digest}\"")
}

fn machines(f: Out<'_, '_>, cluster: &Cluster) -> fmt::Result {
    for (config, machine) in cluster.configs.iter().zip(&cluster.machines) {
        let habits = cluster.apache.get(&config.me).map_or_else(Vec::new, |habits| habits.names());
        let habits: Vec<_> = habits.iter().map(|habit| format!("\"{habit}\"")).collect();
        writeln!(f, "\n[server.s{}]", config.me)?;
        writeln!(f, "starts = \"{}\"", moment(machine.starts))?;
        writeln!(f, "clock_offset_ms = {}", machine.clock_offset_ms)?;
        writeln!(f, "clock_drift_ppm = {}", machine.clock_drift_ppm)?;
        writeln!(f, "cpu_us = {}\nsync_us = {}", machine.cpu_us, machine.sync_us)?;
        writeln!(f, "slow_syncs_per_mille = {}", machine.slow_syncs_per_mille)?;
        writeln!(f, "snap_writes_us = {}", machine.snap_writes_us)?;
        writeln!(f, "apache = [{}]", habits.join(", "))?;
    }
    Ok(())
}

fn servers(ids: &[ServerId]) -> String {
    let names: Vec<_> = ids.iter().map(|id| format!("\"s{id}\"")).collect();
    format!("[{}]", names.join(", "))
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
