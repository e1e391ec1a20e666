//! `dump`: sessions, what they own, and when connections end. Apache: `DumpCommand`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::connections::address;
use crate::admin::date::Date;
use crate::admin::report::{Connection, ExpirySet, Report};
use crate::ids::SessionId;
use crate::time::Mono;

pub(super) fn dump(report: &Report<'_>) -> String {
    let mut text = String::from("SessionTracker dump:\n");
    if let Some(sets) = &report.local_expiry {
        text.push_str("Local ");
        put_expiry(report, sets, &mut text);
    }
    match &report.expiry {
        Some(sets) => {
            text.push_str(if report.local_expiry.is_some() { "Global " } else { "" });
            put_expiry(report, sets, &mut text);
        }
        None => put_sessions(report, &mut text),
    }
    text.push_str("ephemeral nodes dump:\n");
    put_ephemerals(report, &mut text);
    text.push_str("Connections dump:\n");
    put_connections(report, &mut text);
    text
}

fn put_expiry(report: &Report<'_>, sets: &[ExpirySet], text: &mut String) {
    let sessions: usize = sets.iter().map(|set| set.sessions.len()).sum();
    let _ = writeln!(text, "Session Sets ({})/({sessions}):", sets.len());
    for ExpirySet { left, sessions } in sets {
        let date = Date(report.wall_at(report.at.mono + *left));
        let _ = writeln!(text, "{} expire at {date}:", sessions.len());
        for session in sessions {
            let _ = writeln!(text, "\t{session}");
        }
    }
}

/// A learner knows the sessions, but not when they expire.
fn put_sessions(report: &Report<'_>, text: &mut String) {
    let sessions = report.db.sessions();
    let _ = writeln!(text, "Global Sessions({}):", sessions.len());
    for (session, timeout_ms) in sessions {
        let _ = writeln!(text, "{session}\t{timeout_ms}ms");
    }
}

fn put_ephemerals(report: &Report<'_>, text: &mut String) {
    let owners: Vec<_> = report.db.ephemeral_owners().collect();
    let _ = writeln!(text, "Sessions with Ephemerals ({}):", owners.len());
    for (session, paths) in owners {
        let _ = writeln!(text, "{session}:");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
}

fn put_connections(report: &Report<'_>, text: &mut String) {
    let mut sets: BTreeMap<Mono, Vec<&Connection>> = BTreeMap::new();
    for connection in &report.connections {
        sets.entry(connection.silent_at).or_default().push(connection);
    }
    let all = report.connections.len();
    let _ = writeln!(text, "Connections Sets ({})/({all}):", sets.len());
    for (at, connections) in sets {
        let _ = writeln!(text, "{} expire at {}:", connections.len(), Date(report.wall_at(at)));
        for connection in connections {
            let session = connection.session.map_or(SessionId(0), |session| session.id);
            let _ = writeln!(text, "\tip: {} sessionId: {session}", address(&connection.far));
        }
    }
}
