//! `mntr`: a figure per line, for monitoring. Apache: `MonitorCommand`,
//! `ZooKeeperServer.registerMetrics`, `ServerMetrics`. Facts: PROTOCOL 5.3.

use alloc::format;
use alloc::string::String;
use core::fmt::{Display, Write};

use super::full_version;
use crate::admin::report::{Lead, Report};
use crate::admin::summary::Summary;
use crate::config::MemberRole;
use crate::server::note::Phase;

pub(super) fn mntr(report: &Report<'_>) -> String {
    let mut figures = Figures(String::new());
    figures.put("version", full_version(report));
    figures.put("server_state", report.mode());
    if let Some(state) = peer_state(report.view.phase).filter(|_| !report.view.read_only) {
        figures.put("peer_state", state);
    }
    put_gauges(report, &mut figures);
    if let Some(lead) = &report.lead {
        put_lead(lead, report, &mut figures);
    }
    put_ensemble(report, &mut figures);
    put_quotas(report, &mut figures);
    put_counters(report, &mut figures);
    put_summaries(report, &mut figures);
    figures.0
}

/// Lines of `zk_key`, a tab, and the value.
struct Figures(String);

impl Figures {
    fn put(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "zk_{key}\t{value}");
    }

    fn put_summary(&mut self, key: &str, summary: Summary) {
        self.put(&format!("avg_{key}"), summary.average());
        let Summary { count, total, min, max } = summary;
        for (of, value) in [("min", min), ("max", max), ("cnt", count), ("sum", total)] {
            self.put(&format!("{of}_{key}"), value);
        }
    }
}

fn put_gauges(report: &Report<'_>, figures: &mut Figures) {
    let (view, traffic, db) = (report.view, report.traffic, report.db);
    let latency = traffic.latency;
    let ephemerals: usize = db.ephemeral_owners().map(|(_, paths)| paths.len()).sum();
    figures.put("ephemerals_count", ephemerals);
    figures.put("num_alive_connections", view.clients);
    figures.put("avg_latency", latency.average());
    figures.put("outstanding_requests", view.outstanding);
    figures.put("znode_count", view.nodes);
    figures.put("global_sessions", view.sessions);
    figures.put("local_sessions", view.local_sessions);
    figures.put("last_client_response_size", traffic.response_sizes.last());
    figures.put("packets_sent", traffic.sent);
    figures.put("packets_received", traffic.received);
    figures.put("max_client_response_size", traffic.response_sizes.max());
    figures.put("watch_count", view.watches);
    figures.put("min_latency", latency.min);
    figures.put("approximate_data_size", db.data_size());
    figures.put("uptime", report.uptime().as_ms());
    figures.put("max_latency", latency.max);
    figures.put("min_client_response_size", traffic.response_sizes.min());
}

fn put_lead(lead: &Lead, report: &Report<'_>, figures: &mut Figures) {
    figures.put("learners", lead.learners);
    figures.put("synced_followers", lead.synced_followers);
    figures.put("synced_non_voting_followers", lead.synced_non_voting_followers);
    figures.put("pending_syncs", lead.pending_syncs);
    figures.put("leader_uptime", report.uptime().as_ms());
    figures.put("last_proposal_size", lead.proposal_sizes.last());
    figures.put("max_proposal_size", lead.proposal_sizes.max());
    figures.put("min_proposal_size", lead.proposal_sizes.min());
}

fn put_ensemble(report: &Report<'_>, figures: &mut Figures) {
    let Some(ensemble) = report.config.ensemble.as_ref().filter(|_| !report.view.read_only) else {
        return;
    };
    let voters = ensemble.members.values().filter(|one| one.role == MemberRole::Participant);
    figures.put("quorum_size", voters.count());
    match report.mode() {
        // No follower takes observers of its own.
        "leader" | "follower" => {
            let observers = report.lead.map_or(0, |lead| lead.synced_observers);
            figures.put("synced_observers", observers);
        }
        "observer" => {
            if let Some(leader) = report.view.leader {
                figures.put("observer_master_id", leader);
            }
        }
        _ => {}
    }
}

/// Apache names these by the first name of the path, which comes in front.
fn put_quotas(report: &Report<'_>, figures: &mut Figures) {
    for (name, quota) in report.db.quota_figures() {
        for (of, value) in [
            ("count_limit", quota.count_limit),
            ("bytes_limit", quota.bytes_limit),
            ("count_usage", quota.count),
            ("bytes_usage", quota.bytes),
        ] {
            figures.put(&format!("{name}_quota_{of}_per_namespace"), value);
        }
    }
    for (name, count) in report.quota_refusals {
        figures.put(&format!("{name}_quota_exceeded_error_per_namespace"), count);
    }
}

fn put_counters(report: &Report<'_>, figures: &mut Figures) {
    let (traffic, counters) = (report.traffic, &report.view.counters);
    figures.put("watch_bytes", traffic.watch_bytes);
    figures.put("connection_rejected", traffic.rejected);
    figures.put("sessionless_connections_expired", traffic.sessionless_expired);
    figures.put("bytes_received_count", traffic.bytes_received);
    figures.put("response_bytes", traffic.response_bytes);
    figures.put("connection_request_count", traffic.connection_requests);
    figures.put("connection_revalidate_count", traffic.revalidations);
    figures.put("stale_sessions_expired", counters.expired);
    if report.config.ensemble.is_some() {
        figures.put("proposal_count", counters.proposals);
        figures.put("commit_count", counters.commits);
        figures.put("learner_proposal_received_count", counters.proposals_received);
        figures.put("learner_commit_received_count", counters.commits_received);
        figures.put("diff_count", counters.diffs);
        figures.put("snap_count", counters.snaps);
        figures.put("looking_count", counters.elections);
    }
}

fn put_summaries(report: &Report<'_>, figures: &mut Figures) {
    let traffic = report.traffic;
    for (key, summary) in [
        ("node_created_watch_count", traffic.told.created),
        ("node_deleted_watch_count", traffic.told.deleted),
        ("node_changed_watch_count", traffic.told.changed),
        ("node_children_watch_count", traffic.told.children),
        ("updatelatency", traffic.updates),
        ("readlatency", traffic.reads),
    ] {
        figures.put_summary(key, summary);
    }
}

fn peer_state(phase: Phase) -> Option<&'static str> {
    Some(match phase {
        Phase::LeadingDiscovery => "leading - discovery",
        Phase::LeadingSynchronization => "leading - synchronization",
        Phase::LeadingBroadcast => "leading - broadcast",
        Phase::FollowingDiscovery => "following - discovery",
        Phase::FollowingSynchronization => "following - synchronization",
        Phase::FollowingBroadcast => "following - broadcast",
        Phase::ObservingDiscovery => "observing - discovery",
        Phase::ObservingSynchronization => "observing - synchronization",
        Phase::ObservingBroadcast => "observing - broadcast",
        Phase::Looking => "looking",
        Phase::Standalone | Phase::Halted => return None,
    })
}
