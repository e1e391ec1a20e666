//! `srvr` and `stat`: the state of the server in a few lines. Apache: `StatCommand`,
//! `ServerStats.toString`.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use super::connections::put_brief;
use super::full_version;
use crate::admin::report::Report;
use crate::ids::Zxid;

pub(super) fn srvr(report: &Report<'_>) -> String {
    let mut text = format!("Zookeeper version: {}\n", full_version(report));
    put_state(report, &mut text);
    text
}

pub(super) fn stat(report: &Report<'_>) -> String {
    let mut text = format!("Zookeeper version: {}\nClients:\n", full_version(report));
    for connection in &report.connections {
        put_brief(connection, &mut text);
        text.push_str(")\n");
    }
    text.push('\n');
    put_state(report, &mut text);
    text
}

fn put_state(report: &Report<'_>, text: &mut String) {
    let (traffic, view) = (report.traffic, report.view);
    let latency = traffic.latency;
    let _ = write!(
        text,
        "Latency min/avg/max: {}/{}/{}\n\
         Received: {}\nSent: {}\nConnections: {}\nOutstanding: {}\nZxid: {:#x}\nMode: {}\n\
         Node count: {}\n",
        latency.min,
        latency.average(),
        latency.max,
        traffic.received,
        traffic.sent,
        view.clients,
        view.outstanding,
        view.applied.unwrap_or(Zxid::ZERO).0,
        report.mode(),
        view.nodes,
    );
    if let Some(lead) = &report.lead {
        let sizes = lead.proposal_sizes;
        let (last, min, max) = (sizes.last(), sizes.min(), sizes.max());
        let _ = writeln!(text, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
}
