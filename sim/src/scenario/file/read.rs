//! A scenario from the text of a file. What the text leaves out is drawn from its seed.

use std::collections::BTreeMap;
use std::str::FromStr;

use toml::Spanned;
use vivarium_core::config::{Config, DigestAlg};
use vivarium_core::ids::ServerId;
use vivarium_core::time::Span;

use super::sections::{
    ClientSection, ClusterSection, Sections, Seed, Text, Verdict, WorkloadSection,
};
use super::{DRAWN, DRAWN_READS, Expect, Mistake, ScenarioFile};
use crate::apache::{self, Habits};
use crate::cluster::{Cluster, Size};
use crate::groups::Groups;
use crate::ids::{ClientId, SimTime};
use crate::machine::MOST_DRIFT_PPM;
use crate::oracle::access::digest;
use crate::scenario::words::peer;
use crate::scenario::{Options, Scenario, draw_clients, span};
use crate::schedule::{FaultUnit, Peer, Scope};
use crate::workload::{Kind, SUPER_USER, Workload};
use crate::zkclient::{ClientSpec, Operations, Timed};

/// Most servers, and most clients, of a scenario.
const MOST: u64 = 100;

impl FromStr for ScenarioFile {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let reading = Reading { text };
        let sections = toml::from_str(text).map_err(|error| Mistake {
            line: error.span().map_or(0, |span| reading.line_of(span.start)),
            what: error.message().trim().to_owned(),
        })?;
        reading.file(sections)
    }
}

struct Reading<'a> {
    text: &'a str,
}

impl Reading<'_> {
    fn file(&self, mut sections: Sections) -> Result<ScenarioFile, Mistake> {
        let Seed(seed) = sections.seed;
        let faults_for = match &sections.fault_phase {
            Some(text) => SimTime(self.time(text)?),
            None => SimTime::from_secs(Options::default().sim_seconds),
        };
        let mut cluster = self.cluster(seed, &sections)?;
        if let Some(clients) = &sections.client {
            cluster.clients = clients.len();
        }
        let mut scenario = Scenario::around(seed, cluster, faults_for);
        scenario.rolls = sections.rolls;
        scenario.beyond_quorum = sections.beyond_quorum;
        if let Some(value) = &sections.looks_every {
            scenario.looks_every = self.within(value, 1, u64::MAX)?;
        }
        if let Some(workload) = sections.workload.take() {
            self.workload(&mut scenario.workload, workload)?;
        }
        if let Some(clients) = sections.client.take() {
            scenario.clients = self.clients(seed, &scenario.cluster, clients)?;
        }
        if let Some(faults) = &sections.faults {
            scenario.faults = self.faults(faults, &scenario)?;
        }
        if let Some(dead) = &sections.stay_dead {
            scenario.stay_dead = self.servers(dead, &scenario.cluster)?;
        }
        let check = sections.expect.as_ref().and_then(|expect| expect.check.clone());
        let expect = match sections.expect.map_or(Verdict::Ok, |expect| expect.verdict) {
            Verdict::Ok | Verdict::Refusal if check.is_some() => {
                let what = "expect: a check goes with verdict = \"violation\"".into();
                return Err(Mistake { line: 0, what });
            }
            Verdict::Ok => Expect::Ok,
            Verdict::Refusal => Expect::Refusal,
            Verdict::Violation => Expect::Violation { check },
        };
        let white_box = sections.white_box.unwrap_or(true);
        Ok(ScenarioFile { why: sections.why, expect, white_box, scenario })
    }

    fn cluster(&self, seed: u64, sections: &Sections) -> Result<Cluster, Mistake> {
        let section = &sections.cluster;
        let count = |value: &Option<Spanned<u64>>, low| match value {
            Some(value) => self.within(value, low, MOST).map(Some),
            None => Ok(None),
        };
        let (voters, observers) = (count(&section.servers, 1)?, count(&section.observers, 0)?);
        let standalone = section.standalone.as_ref().is_some_and(|value| *value.get_ref());
        let size = voters.map(|voters| Size {
            voters: voters as usize,
            observers: observers.unwrap_or(0) as usize,
            standalone,
        });
        match (size, &section.standalone, &section.observers) {
            (None, Some(spanned), _) => return Err(self.wrong(spanned, NEEDS_SERVERS)),
            (None, None, Some(spanned)) => return Err(self.wrong(spanned, NEEDS_SERVERS)),
            (Some(size), Some(spanned), _) if standalone && size.voters + size.observers > 1 => {
                return Err(self.wrong(spanned, "one server alone is standalone"));
            }
            (Some(_) | None, _, _) => {}
        }
        let mut cluster = Cluster::of_size(seed, size);
        for config in &mut cluster.configs {
            self.limits(config, section)?;
        }
        cluster.group(match &section.groups {
            // A file that does not speak of them is of runs without them.
            None => Groups::None,
            Some(name) => Groups::named(name.get_ref())
                .ok_or_else(|| self.wrong(name, "groups are none, one, last_weightless or each"))?,
        });
        if let Some(marked) = section.marked_first_start {
            cluster.marked_first_start = marked;
        }
        let mut peers = apache::draw(seed, &cluster, None);
        self.machines(&mut cluster, &mut peers, sections)?;
        cluster.disguise(peers);
        Ok(cluster)
    }

    fn limits(&self, config: &mut Config, section: &ClusterSection) -> Result<(), Mistake> {
        let hour_ms = 3_600_000;
        let set = |to: &mut u64, value: &Option<Spanned<u64>>, low, high| match value {
            Some(value) => self.within(value, low, high).map(|value| *to = value),
            None => Ok(()),
        };
        let set_ms = |to: &mut Span, value: &Option<Spanned<u64>>| match value {
            Some(value) => self.within(value, 1, hour_ms).map(|ms| *to = Span::from_ms(ms)),
            None => Ok(()),
        };
        if let Some(separate) = section.separate_log_dir {
            config.separate_log_dir = separate;
        }
        // A file that does not speak of them is of runs without them.
        config.local_sessions = section.local_sessions.unwrap_or(false);
        config.local_sessions_upgrading = section.local_sessions_upgrading.unwrap_or(false);
        config.read_only_mode = section.read_only_after_ms.is_some();
        set_ms(&mut config.read_only_patience, &section.read_only_after_ms)?;
        set_ms(&mut config.tick, &section.tick_time)?;
        set_ms(&mut config.cnx_timeout, &section.cnx_timeout)?;
        set_ms(&mut config.min_notification, &section.min_notification)?;
        set_ms(&mut config.max_notification, &section.max_notification)?;
        set_ms(&mut config.finalize_wait, &section.finalize_wait)?;
        set(&mut config.init_limit_ticks, &section.init_limit, 1, 1_000)?;
        set(&mut config.sync_limit_ticks, &section.sync_limit, 1, 1_000)?;
        set(&mut config.snap_count, &section.snap_count, 2, u64::MAX)?;
        set(&mut config.link_high_water_bytes, &section.link_high_water_bytes, 1, u64::MAX)?;
        for (to, value, low) in [
            (&mut config.min_session_timeout_ms, &section.min_session_timeout, 1),
            (&mut config.max_session_timeout_ms, &section.max_session_timeout, 1),
        ] {
            if let Some(value) = value {
                *to = self.within(value, low, hour_ms)? as i32;
            }
        }
        for (to, value, low) in [
            (&mut config.commit_log_count, &section.commit_log_count, 1),
            (&mut config.append_batch_bytes, &section.append_batch, 1),
            (&mut config.event_history_bytes, &section.event_history, 1),
            (&mut config.snap_portion_bytes, &section.snap_portion_bytes, 1),
            (&mut config.snap_preimage_limit_bytes, &section.snap_preimage_limit_bytes, 1),
            (&mut config.snap_retain_count, &section.snap_retain_count, 0),
            (&mut config.global_outstanding_limit, &section.global_outstanding_limit, 0),
            (&mut config.throttle_requests, &section.throttle_requests, 0),
        ] {
            if let Some(value) = value {
                *to = self.within(value, low, 1 << 30)? as usize;
            }
        }
        if let Some(value) = &section.pre_alloc_size {
            config.pre_alloc_bytes = self.within(value, 1, 1 << 20)? * 1024;
        }
        if let Some(value) = &section.zxid_limit {
            config.zxid_counter_limit = self.within(value, 2, u32::MAX.into())? as u32;
        }
        if let Some(value) = &section.max_client_connections {
            config.max_client_connections = self.within(value, 0, 1 << 30)? as usize;
        }
        self.containers(config, section)?;
        self.access(config, section)
    }

    /// When containers and TTL nodes go. What the file does not say is drawn, as all limits are.
    fn containers(&self, config: &mut Config, section: &ClusterSection) -> Result<(), Mistake> {
        let hour_ms = 3_600_000;
        let rules = &mut config.containers;
        if let Some(value) = &section.container_check_interval {
            rules.check_interval = Span::from_ms(self.within(value, 1, hour_ms)?);
        }
        if let Some(value) = &section.container_max_per_minute {
            rules.max_per_minute = self.within(value, 1, 1_000_000)? as u32;
        }
        if let Some(value) = &section.container_never_used {
            rules.never_used = Span::from_ms(self.within(value, 0, hour_ms)?);
        }
        Ok(())
    }

    fn access(&self, config: &mut Config, section: &ClusterSection) -> Result<(), Mistake> {
        config.enforce_quota = section.enforce_quota.unwrap_or(config.enforce_quota);
        config.reconfig_enabled = section.reconfig_enabled.unwrap_or(config.reconfig_enabled);
        let rules = &mut config.access;
        rules.skip_acl = section.skip_acl.unwrap_or(rules.skip_acl);
        // A file that does not speak of it is of runs that knew no other.
        rules.digest_alg = DigestAlg::Sha1;
        if let Some(name) = &section.digest_alg {
            let Some(alg) = DigestAlg::named(name.get_ref()) else {
                let known = DigestAlg::ALL.map(DigestAlg::name).join(", ");
                return Err(self.wrong(name, &format!("nothing is hashed so; there are {known}")));
            };
            rules.digest_alg = alg;
        }
        rules.super_digest = match &section.super_digest {
            Some(digest) => Some(digest.clone()).filter(|digest| !digest.is_empty()),
            // Whether there is one was drawn; it is known by what the file says.
            None => rules.super_digest.take().map(|_| digest(rules.digest_alg, SUPER_USER)),
        };
        Ok(())
    }

    fn machines(
        &self,
        cluster: &mut Cluster,
        peers: &mut BTreeMap<ServerId, Habits>,
        sections: &Sections,
    ) -> Result<(), Mistake> {
        for (name, section) in &sections.server {
            let id = self.server(name, cluster)?;
            let at = cluster.configs.iter().position(|config| config.me == id);
            let machine = &mut cluster.machines[at.expect("the server is there")];
            if let Some(text) = &section.starts {
                machine.starts = SimTime(self.time(text)?);
            }
            machine.clock_offset_ms = section.clock_offset_ms.unwrap_or(machine.clock_offset_ms);
            if let Some(drift) = &section.clock_drift_ppm {
                let ppm = *drift.get_ref();
                if ppm.unsigned_abs() > MOST_DRIFT_PPM.unsigned_abs() {
                    return Err(self.wrong(drift, "a clock drifts by -1000 to 1000 ppm"));
                }
                machine.clock_drift_ppm = ppm;
            }
            machine.cpu_us = section.cpu_us.unwrap_or(machine.cpu_us);
            machine.sync_us = section.sync_us.unwrap_or(machine.sync_us);
            machine.snap_writes_us = section.snap_writes_us.unwrap_or(machine.snap_writes_us);
            machine.slow_syncs_per_mille =
                section.slow_syncs_per_mille.unwrap_or(machine.slow_syncs_per_mille);
            if let Some(names) = &section.apache {
                peers.remove(&id);
                if !names.is_empty() {
                    peers.insert(id, self.habits(names)?);
                }
            }
        }
        Ok(())
    }

    fn habits(&self, names: &[Text]) -> Result<Habits, Mistake> {
        let mut habits = Habits::NONE;
        for name in names {
            let Some(habit) = habits.named(name.get_ref()) else {
                let known = Habits::ALL.names().join(", ");
                return Err(self.wrong(name, &format!("this is no habit; there are {known}")));
            };
            *habit = true;
        }
        Ok(habits)
    }

    fn workload(
        &self,
        workload: &mut Workload,
        section: Spanned<WorkloadSection>,
    ) -> Result<(), Mistake> {
        let wrong = self.wrong(&section, "mix, roots, names and data_bytes are at least 1");
        let section = section.into_inner();
        if let Some(mix) = section.mix {
            workload.weights.clear();
            for (name, weight) in mix {
                let Some((kind, _)) = Kind::NAMES.iter().find(|(_, known)| known == name.get_ref())
                else {
                    let known: Vec<_> = Kind::NAMES.iter().map(|(_, name)| *name).collect();
                    let what = format!("no client does this; it can {}", known.join(", "));
                    return Err(self.wrong(&name, &what));
                };
                workload.weights.insert(*kind, weight.min(1_000_000));
            }
        }
        workload.roots = section.roots.unwrap_or(workload.roots);
        workload.names = section.names.unwrap_or(workload.names);
        workload.watching = section.watching_per_mille.unwrap_or(workload.watching);
        workload.lasting = section.lasting_per_mille.unwrap_or(workload.lasting);
        workload.rewatching = section.rewatching_per_mille.unwrap_or(workload.rewatching);
        workload.guarded = section.guarded_per_mille.unwrap_or(workload.guarded);
        workload.showing = section.showing_per_mille.unwrap_or(workload.showing);
        workload.data_bytes = section.data_bytes.unwrap_or(workload.data_bytes).min(1 << 20);
        let least = workload.roots.min(workload.names).min(workload.data_bytes);
        let total: u64 = workload.weights.values().sum();
        if least.min(total) == 0 { Err(wrong) } else { Ok(()) }
    }

    fn clients(
        &self,
        seed: u64,
        cluster: &Cluster,
        sections: Vec<Spanned<ClientSection>>,
    ) -> Result<Vec<ClientSpec>, Mistake> {
        if sections.len() as u64 > MOST {
            let what = format!("{} clients: at most {MOST}", sections.len());
            return Err(Mistake { line: 0, what });
        }
        let drawn = draw_clients(seed, cluster, None);
        let read = |(section, drawn): (Spanned<ClientSection>, ClientSpec)| {
            self.client(cluster, section, drawn)
        };
        sections.into_iter().zip(drawn).map(read).collect()
    }

    fn client(
        &self,
        cluster: &Cluster,
        section: Spanned<ClientSection>,
        drawn: ClientSpec,
    ) -> Result<ClientSpec, Mistake> {
        let wrong = |what: &str| self.wrong(&section, what);
        let given = section.get_ref();
        let mut spec = drawn;
        spec.seed = given.seed.unwrap_or(spec.seed);
        spec.session_timeout_ms = given.session_timeout_ms.unwrap_or(spec.session_timeout_ms);
        spec.pipeline = given.pipeline.unwrap_or(spec.pipeline);
        spec.reads_only = given.reads_only.unwrap_or(false);
        spec.fresh_xids = given.fresh_xids.unwrap_or(false);
        spec.other_timeout_ms = given.other_timeout_ms;
        spec.returns = given.returns.unwrap_or(false);
        spec.asks_ahead = given.asks_ahead.unwrap_or(false);
        if let Some(text) = &given.starts {
            spec.starts = SimTime(self.time(text)?);
        }
        if let Some(text) = &given.think {
            spec.think_us = self.time(text)?;
        }
        if let Some(servers) = &given.servers {
            spec.servers = self.servers(servers, cluster)?;
        }
        if let Some(text) = &given.operations {
            spec.operations = self.operations(text)?;
        }
        match &spec {
            ClientSpec { servers, .. } if servers.is_empty() => Err(wrong("it dials no server")),
            ClientSpec { session_timeout_ms: ..=0, .. }
            | ClientSpec { other_timeout_ms: Some(..=0), .. } => {
                Err(wrong("its session has no time"))
            }
            ClientSpec { pipeline: 0, .. } => Err(wrong("pipeline is at least 1")),
            ClientSpec { think_us: 0, .. } => Err(wrong("think is longer than nothing")),
            ClientSpec { id: ClientId(_), .. } => Ok(spec),
        }
    }

    fn operations(&self, text: &Text) -> Result<Operations, Mistake> {
        match text.get_ref().as_str() {
            DRAWN => Ok(Operations::Drawn),
            DRAWN_READS => Ok(Operations::DrawnReads),
            _ => {
                let mut listed: Vec<Timed> =
                    self.lines(text)?.into_iter().map(|(_, it)| it).collect();
                listed.sort_by_key(|timed| timed.at);
                Ok(Operations::Listed(listed))
            }
        }
    }

    fn faults(&self, text: &Text, scenario: &Scenario) -> Result<Vec<FaultUnit>, Mistake> {
        let mut units = Vec::new();
        for (line, unit) in self.lines::<FaultUnit>(text)? {
            for peer in unit.scope.peers() {
                let is_there = match peer {
                    Peer::Server(id) => (1..=scenario.cluster.configs.len() as u64).contains(&id),
                    Peer::Client(id) => (id as usize) < scenario.clients.len(),
                };
                if !is_there {
                    let what = format!("{} is not there", crate::scenario::words::names(&[peer]));
                    return Err(Mistake { line, what });
                }
            }
            units.push(unit);
        }
        units.sort_by_key(|unit| unit.at);
        Ok(units)
    }

    /// Every line of a text but comments and empty ones, with its number in the file.
    fn lines<T: FromStr<Err = String>>(&self, text: &Text) -> Result<Vec<(usize, T)>, Mistake> {
        let start = text.span().start;
        // TOML drops a line end right behind the opening quotes.
        let opening = self.text.get(start..).unwrap_or("");
        let quotes = opening.trim_start_matches(['\'', '"']);
        let dropped = usize::from(quotes.starts_with(['\n', '\r']));
        let first = self.line_of(start) + dropped;
        let mut found = Vec::new();
        for (index, line) in text.get_ref().lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if !line.is_empty() {
                let at = first + index;
                let item = line.parse().map_err(|what| Mistake { line: at, what })?;
                found.push((at, item));
            }
        }
        Ok(found)
    }

    fn servers(&self, names: &[Text], cluster: &Cluster) -> Result<Vec<ServerId>, Mistake> {
        names.iter().map(|name| self.server(name, cluster)).collect()
    }

    fn server(&self, name: &Text, cluster: &Cluster) -> Result<ServerId, Mistake> {
        let count = cluster.configs.len() as u64;
        match peer(name.get_ref()) {
            Ok(Peer::Server(id)) if (1..=count).contains(&id) => Ok(ServerId(id)),
            Ok(Peer::Server(_) | Peer::Client(_)) | Err(_) => {
                let what = format!("`{}` is no server: s1 to s{count}", name.get_ref());
                Err(self.wrong(name, &what))
            }
        }
    }

    fn time(&self, text: &Text) -> Result<u64, Mistake> {
        span::parse_text(text.get_ref()).map_err(|what| self.wrong(text, &what))
    }

    fn within(&self, value: &Spanned<u64>, low: u64, high: u64) -> Result<u64, Mistake> {
        match *value.get_ref() {
            number if (low..=high).contains(&number) => Ok(number),
            number => Err(self.wrong(value, &format!("{number} is not within {low} to {high}"))),
        }
    }

    fn wrong<T>(&self, spanned: &Spanned<T>, what: &str) -> Mistake {
        Mistake { line: self.line_of(spanned.span().start), what: what.to_owned() }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

const NEEDS_SERVERS: &str = "say `servers`, too: how many voters there are";

impl Scope {
    fn peers(&self) -> Vec<Peer> {
        match self {
            Self::Servers(ids) => ids.iter().map(|&id| Peer::Server(id)).collect(),
            Self::Leader | Self::Others => Vec::new(),
            Self::Between { from, to } => from.iter().chain(to).copied().collect(),
        }
    }
}
