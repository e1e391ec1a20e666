//! `conf`: the configuration in force. Apache: `ZooKeeperServer.dumpConf`,
//! `QuorumZooKeeperServer.dumpConf`.

use alloc::string::String;
use core::fmt::{Display, Write};

use crate::admin::report::Report;
use crate::config::{EnsembleConfig, MemberRole};

/// Fast leader election, the only one that is left.
const ELECTION_ALGORITHM: u8 = 3;

pub(super) fn conf(report: &Report<'_>) -> String {
    let (config, around) = (report.config, &report.config.surroundings);
    let mut text = String::new();
    let mut put = |key: &str, value: Option<&dyn Display>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{key}={value}");
        }
    };
    put("clientPort", around.client_port.as_ref().map(|port| port as &dyn Display));
    // No port for TLS can be configured: Apache prints -1 for that.
    put("secureClientPort", Some(&-1));
    put("dataDir", around.data_dir.as_ref().map(|folder| folder as &dyn Display));
    put("dataLogDir", around.data_log_dir.as_ref().map(|folder| folder as &dyn Display));
    put("tickTime", Some(&config.tick.as_ms()));
    put("maxClientCnxns", Some(&config.max_client_connections));
    put("minSessionTimeout", Some(&config.min_session_timeout_ms));
    put("maxSessionTimeout", Some(&config.max_session_timeout_ms));
    // A standalone server has no number of its own.
    let number = if config.ensemble.is_some() { config.me.0 } else { 0 };
    put("serverId", Some(&number));
    if let Some(ensemble) = &config.ensemble {
        put_quorum(report, ensemble, &mut text);
    }
    text
}

fn put_quorum(report: &Report<'_>, ensemble: &EnsembleConfig, text: &mut String) {
    let config = report.config;
    let (init, sync) = (config.init_limit_ticks, config.sync_limit_ticks);
    let _ = write!(text, "initLimit={init}\nsyncLimit={sync}\nelectionAlg={ELECTION_ALGORITHM}\n");
    if let Some(me) = ensemble.members.get(&config.me) {
        let role = match me.role {
            MemberRole::Participant => 0,
            MemberRole::Observer => 1,
        };
        let (election, quorum) = (me.election.port, me.quorum.port);
        let _ = write!(text, "electionPort={election}\nquorumPort={quorum}\npeerType={role}\n");
    }
    // The text ends without a newline, as in Apache.
    let _ = write!(text, "membership: \n{}", ensemble.to_text());
}
