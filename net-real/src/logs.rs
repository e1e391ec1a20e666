//! Notes of core as log lines for people.

use std::io::{IsTerminal, stderr};
use std::time::Instant;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use vivarium_core::config::effective::Adopted;
use vivarium_core::config::findings::{Finding, Severity};
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};
use vivarium_core::server::input::DialError;
use vivarium_core::server::note::{LocalChange, Note};
use vivarium_core::tree::{Counted, QuotaExcess};

use crate::clock::now;
use crate::failure::Failure;
use crate::host::Notes;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    /// One object a line: timestamp, level, message, and the fields beside them.
    Json,
}

/// Variables that say what is logged; the first that is set counts.
const LEVELS: [&str; 2] = ["VIVARIUM_LOG", "RUST_LOG"];

/// Logs go to standard error.
pub fn init(format: LogFormat) -> Result<(), Failure> {
    let level = LEVELS.iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let filter = match &level {
        Some((name, text)) => EnvFilter::try_new(text).map_err(|error| {
            let help = "write a level, as debug, or modules with levels, as vivarium=debug";
            Failure::configuration(format!("{name}: '{text}' is no filter ({error}); {help}"))
        })?,
        None => EnvFilter::new("info"),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let terminal = stderr().is_terminal();
    let text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // Fails only where a subscriber is set already.
    let _ = if text {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(colours).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_target(false).try_init()
    };
    Ok(())
}

/// One finding about the configuration.
pub fn finding(finding: &Finding) {
    match finding.severity {
        Severity::Error => tracing::error!("{finding}"),
        Severity::Warning => tracing::warn!("{finding}"),
        Severity::Info => tracing::info!("{finding}"),
    }
}

/// Writes one line per note that a person would want to read.
#[derive(Debug)]
pub struct LogNotes {
    started: Instant,
    ready: bool,
    /// acceptedEpoch, as far as notes have told.
    epoch: Epoch,
    /// The last transaction in the log, likewise.
    logged: Option<Zxid>,
}

impl LogNotes {
    /// `started`: when the process began, for the line that says how long it took to serve.
    pub fn new(started: Instant) -> Self {
        Self { started, ready: false, epoch: Epoch::ZERO, logged: None }
    }

    fn serving(&mut self, on: bool) {
        let (epoch, zxid) = (hex(self.epoch), zxid(self.logged));
        if !on {
            tracing::info!(%epoch, %zxid, "not serving clients");
        } else if self.ready {
            tracing::info!(%epoch, %zxid, "serving clients again");
        } else {
            self.ready = true;
            let took_ms = now().duration_since(self.started).as_millis() as u64;
            tracing::info!(%epoch, %zxid, took_ms, "ready: serving clients");
        }
    }

    /// What the server stands at, so that lines about roles can name it.
    fn keep(&mut self, note: &Note) {
        if let Note::EpochAccepted { epoch } | Note::EpochEntered { epoch, .. } = note {
            self.epoch = *epoch;
        }
        if let Note::Logged { zxid, .. }
        | Note::Truncated { upto: zxid }
        | Note::SnapInstalled { zxid, .. } = note
        {
            self.logged = Some(*zxid);
        } else if let Note::Recovered { last: zxid, .. }
        | Note::EpochEntered { history: zxid, .. }
        | Note::Established { history: zxid, .. } = note
        {
            self.logged = *zxid;
        } else if let Note::SnapshotSealed { zxid } = note {
            // The empty one of a first start.
            self.logged = self.logged.max(Some(*zxid));
        }
    }

    fn serving_read_only(&self, on: bool) {
        let (epoch, zxid) = (hex(self.epoch), zxid(self.logged));
        if on {
            tracing::warn!(%epoch, %zxid, "no quorum: serving read-only, to clients that ask for it");
        } else {
            tracing::info!(%epoch, %zxid, "serving read-only no longer");
        }
    }
}

impl Notes for LogNotes {
    fn take(&mut self, note: Note) {
        self.keep(&note);
        let at = zxid(self.logged);
        match note {
            Note::PhaseEntered { phase, epoch } => {
                tracing::info!(role = ?phase, epoch = %hex(epoch), zxid = %at, "role");
            }
            Note::Elected { leader, round } => {
                let epoch = hex(self.epoch);
                tracing::info!(%leader, round, %epoch, zxid = %at, "elected");
            }
            Note::EpochAccepted { epoch } => {
                tracing::info!(epoch = %hex(epoch), zxid = %at, "epoch accepted");
            }
            Note::EpochEntered { epoch, history } => {
                tracing::info!(epoch = %hex(epoch), zxid = %zxid(history), "epoch entered");
            }
            Note::Established { epoch, history } => {
                tracing::info!(epoch = %hex(epoch), zxid = %zxid(history), "leadership established");
            }
            Note::Truncated { upto } => {
                tracing::warn!(zxid = %upto, "log cut at the leader's word");
            }
            Note::Uncuttable { upto } => {
                tracing::warn!(zxid = %upto, "no snapshot is old enough for the leader's cut");
            }
            Note::Disowned { upto } => {
                tracing::warn!(
                    zxid = %upto,
                    "a leader's older snapshot takes the place of this history, which counts for \
                     nothing until the rest has come"
                );
            }
            Note::SnapInstalled { zxid, .. } => tracing::info!(%zxid, "snapshot installed"),
            Note::SnapshotSealed { zxid } => tracing::info!(%zxid, "snapshot written"),
            Note::Serving { on } => self.serving(on),
            Note::ServingReadOnly { on } => self.serving_read_only(on),
            Note::Recovered { last, from, blank, .. } => {
                tracing::info!(zxid = %zxid(last), snapshot = %zxid(from), blank, "recovered");
            }
            Note::MovedAside => {
                tracing::error!("damaged files were moved aside; peers must fill this server");
            }
            Note::SessionExpired { session, idle_ms, timeout_ms } => {
                tracing::info!(%session, idle_ms, timeout_ms, "session expired");
            }
            Note::SyncChosen { learner, how } => {
                let epoch = hex(self.epoch);
                tracing::info!(%learner, ?how, %epoch, zxid = %at, "learner syncs");
            }
            Note::PeerUnreachable { peer, at, why } => unreachable(peer, &at, why),
            Note::PeerReachable { peer } => tracing::info!("server {peer} can be reached again"),
            Note::FirstStartWaits { awaited } => first_start(&awaited),
            Note::Reloaded(adopted) => reloaded(&adopted),
            Note::Halting { restart } => {
                tracing::info!(?restart, epoch = %hex(self.epoch), zxid = %at, "halting")
            }
            Note::Promised { by, epoch, .. } => tracing::debug!(%by, %epoch, "epoch promised"),
            Note::SessionOpened { session, timeout_ms } => {
                tracing::debug!(%session, timeout_ms, "session opened");
            }
            Note::SessionClosed { session, zxid } => {
                tracing::debug!(%session, %zxid, "session closed");
            }
            Note::SessionAttached { session, link } => {
                tracing::debug!(%session, %link, "session attached");
            }
            Note::LocalSession { session, change } => local_session(session, change),
            Note::QuotaExceeded(excess) => quota_exceeded(&excess),
            Note::AckedNewLeader { epoch, .. } => tracing::debug!(%epoch, "new leader acked"),
            // One or more per transaction: only for checkers.
            Note::Proposed { .. }
            | Note::Logged { .. }
            | Note::AckedTxn { .. }
            | Note::Committed { .. }
            | Note::Applied { .. }
            | Note::SessionTouched { .. }
            | Note::WatchFired { .. } => {}
        }
    }
}

fn quota_exceeded(excess: &QuotaExcess) {
    let QuotaExcess { limited, of, amount, limit, hard } = excess;
    let of = match of {
        Counted::Nodes => "nodes",
        Counted::Bytes => "bytes",
    };
    let what = if *hard { "quota exceeded, request refused" } else { "soft quota exceeded" };
    tracing::warn!(path = %limited, of, amount, limit, "{what}");
}

fn local_session(session: SessionId, change: LocalChange) {
    match change {
        LocalChange::Opened { timeout_ms } => {
            tracing::debug!(%session, timeout_ms, "local session opened");
        }
        LocalChange::Upgraded => tracing::debug!(%session, "local session becomes global"),
        LocalChange::Closed => tracing::debug!(%session, "local session closed"),
        LocalChange::Expired { idle_ms, timeout_ms } => {
            tracing::info!(%session, idle_ms, timeout_ms, "local session expired");
        }
        LocalChange::Touched => {}
    }
}

fn unreachable(peer: ServerId, at: &str, why: DialError) {
    let why = cause(why);
    tracing::warn!(
        "server {peer} cannot be reached at {at}: {why}; trying again and again; start it, or correct \
         its server line and firewalls"
    );
}

fn cause(why: DialError) -> &'static str {
    match why {
        DialError::Refused => "nothing listens there (connection refused)",
        DialError::TimedOut => "no answer",
        DialError::Unresolved => "the name does not resolve",
        DialError::Other => "no way there",
    }
}

fn first_start(awaited: &[ServerId]) {
    let names: Vec<_> = awaited.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let (who, them) = match awaited {
        [_] => (format!("server {names} has shown that it is"), "it holds the data; start it"),
        [] | [_, _, ..] => {
            (format!("servers {names} have shown that they are"), "they hold the data; start them")
        }
    };
    tracing::warn!(
        "first start: this server holds no data, and waits until {who} new as well, or that {them}"
    );
}

fn reloaded(adopted: &Adopted) {
    let Adopted { applied, needs_restart } = adopted;
    if !needs_restart.is_empty() {
        let keys = needs_restart.join(", ");
        tracing::warn!(keys, "configuration read again: these keys change at a restart");
    }
    let keys = applied.join(", ");
    if applied.is_empty() {
        tracing::info!("configuration read again: no value changes now");
    } else {
        tracing::info!(keys, "configuration read again: these keys have new values now");
    }
}

fn hex(epoch: Epoch) -> String {
    format!("{:#x}", epoch.0)
}

fn zxid(zxid: Option<Zxid>) -> String {
    zxid.map_or_else(|| "none".into(), |zxid| zxid.to_string())
}
