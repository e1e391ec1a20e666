//! `cons`: a line per client connection. Apache: `ServerCnxn.dumpConnectionInfo`.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::admin::report::{AttachedSession, Connection, Report};
use crate::admin::traffic::LastAnswer;
use crate::server::input::Far;

pub(super) fn cons(report: &Report<'_>) -> String {
    let mut text = String::new();
    for connection in &report.connections {
        put_brief(connection, &mut text);
        if let Some(session) = connection.session {
            put_session(report, connection, session, &mut text);
        }
        text.push_str(")\n");
    }
    text.push('\n');
    text
}

/// What `stat` and `cons` both print, without the bracket that closes it.
pub(super) fn put_brief(connection: &Connection, text: &mut String) {
    let interest = u8::from(connection.reading) + 4 * u8::from(connection.writing);
    let (queued, traffic) = (connection.queued, &connection.traffic);
    let _ = write!(
        text,
        " {}[{interest:x}](queued={queued},recved={},sent={}",
        address(&connection.far),
        traffic.received,
        traffic.sent
    );
}

fn put_session(
    report: &Report<'_>,
    connection: &Connection,
    session: AttachedSession,
    text: &mut String,
) {
    let traffic = &connection.traffic;
    let operation = traffic.last.map_or("NA", |last| last.operation);
    let established = report.wall_at(connection.since).0;
    let AttachedSession { id, timeout_ms } = session;
    let _ = write!(text, ",sid={id},lop={operation},est={established},to={timeout_ms}");
    if let Some(xid) = traffic.last_xid {
        let _ = write!(text, ",lcxid={:#x}", xid.0);
    }
    // Without an answer, Apache prints its zxid -1 in hexadecimal.
    let (zxid, at, took) = match traffic.last {
        Some(LastAnswer { zxid, at, took, .. }) => (zxid.0, at.0 / 1000, took.as_ms()),
        None => (u64::MAX, 0, 0),
    };
    let latency = traffic.latency;
    let whole_average = latency.total / latency.count.max(1);
    let _ = write!(
        text,
        ",lzxid={zxid:#x},lresp={at},llat={took},minlat={},avglat={whole_average},maxlat={}",
        latency.min, latency.max
    );
}

/// As Java prints a socket's address: no name before the slash, IPv6 in brackets.
pub(super) fn address(far: &Far) -> String {
    let (ip, port) = (far.ip_unabridged(), far.port);
    if ip.contains(':') { format!("/[{ip}]:{port}") } else { format!("/{ip}:{port}") }
}
