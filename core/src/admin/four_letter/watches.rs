//! `wchs`, `wchc`, `wchp`: the watches of the data table. Those for children alone are not shown,
//! as in Apache's `WatchCommand`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::admin::report::Report;
use crate::ids::{LinkId, SessionId};
use crate::watch::WatchTable;

pub(super) fn wchs(report: &Report<'_>) -> String {
    let (mut watchers, mut paths, mut all) = (BTreeSet::<LinkId>::new(), 0, 0);
    for (_, links) in report.watches.iter(WatchTable::Data) {
        paths += 1;
        watchers.extend(links.inspect(|_| all += 1));
    }
    let mut text = String::new();
    let _ = writeln!(text, "{} connections watching {paths} paths", watchers.len());
    let _ = writeln!(text, "Total watches:{all}");
    text
}

/// By session.
pub(super) fn wchc(report: &Report<'_>) -> String {
    let sessions = sessions(report);
    let mut watched: BTreeMap<SessionId, Vec<&str>> = BTreeMap::new();
    for (path, links) in report.watches.iter(WatchTable::Data) {
        for session in links.filter_map(|link| sessions.get(&link)) {
            watched.entry(*session).or_default().push(path);
        }
    }
    let mut text = String::new();
    for (session, paths) in watched {
        let _ = writeln!(text, "{session}");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text.push('\n');
    text
}

/// By path.
pub(super) fn wchp(report: &Report<'_>) -> String {
    let sessions = sessions(report);
    let mut text = String::new();
    for (path, links) in report.watches.iter(WatchTable::Data) {
        let _ = writeln!(text, "{path}");
        for session in links.filter_map(|link| sessions.get(&link)) {
            let _ = writeln!(text, "\t{session}");
        }
    }
    text.push('\n');
    text
}

fn sessions(report: &Report<'_>) -> BTreeMap<LinkId, SessionId> {
    let attached = report.connections.iter();
    attached.filter_map(|one| one.session.map(|session| (one.link, session.id))).collect()
}
