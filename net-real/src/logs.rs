//! Notes of core as log lines for people.

use std::io::{IsTerminal, stderr};
use std::time::Instant;

use tracing_subscriber::EnvFilter;
use vivarium_core::ids::Zxid;
use vivarium_core::server::note::Note;

use crate::clock::now;
use crate::host::Notes;

/// Logs go to standard error: text for a terminal, JSON for everything else.
pub fn init() {
    let filter = EnvFilter::try_from_env("VIVARIUM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let terminal = stderr().is_terminal();
    // Fails only where a subscriber is set already.
    let _ = if terminal {
        builder.with_ansi(std::env::var_os("NO_COLOR").is_none()).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_target(false).try_init()
    };
}

/// Writes one line per note that a person would want to read.
#[derive(Debug)]
pub struct LogNotes {
    started: Instant,
    ready: bool,
}

impl LogNotes {
    /// `started`: when the process began, for the line that says how long it took to serve.
    pub fn new(started: Instant) -> Self {
        Self { started, ready: false }
    }

    fn serving(&mut self, on: bool) {
        if !on {
            tracing::info!("not serving clients");
        } else if self.ready {
            tracing::info!("serving clients again");
        } else {
            self.ready = true;
            let took_ms = now().duration_since(self.started).as_millis() as u64;
            tracing::info!(took_ms, "ready: serving clients");
        }
    }
}

impl Notes for LogNotes {
    fn take(&mut self, note: Note) {
        match note {
            Note::PhaseEntered { phase, epoch } => tracing::info!(?phase, %epoch, "phase"),
            Note::Elected { leader, round } => tracing::info!(%leader, round, "elected"),
            Note::EpochAccepted { epoch } => tracing::info!(%epoch, "epoch accepted"),
            Note::EpochEntered { epoch, history } => {
                tracing::info!(%epoch, history = zxid(history), "epoch entered");
            }
            Note::Established { epoch, history } => {
                tracing::info!(%epoch, history = zxid(history), "leadership established");
            }
            Note::Truncated { upto } => tracing::warn!(%upto, "log cut at the leader's word"),
            Note::SnapInstalled { zxid, .. } => tracing::info!(%zxid, "snapshot installed"),
            Note::SnapshotSealed { zxid } => tracing::info!(%zxid, "snapshot written"),
            Note::Serving { on } => self.serving(on),
            Note::Recovered { last, from, blank, .. } => {
                tracing::info!(last = zxid(last), snapshot = zxid(from), blank, "recovered");
            }
            Note::MovedAside => {
                tracing::error!("damaged files were moved aside; peers must fill this server");
            }
            Note::SessionExpired { session, idle_ms, timeout_ms } => {
                tracing::info!(%session, idle_ms, timeout_ms, "session expired");
            }
            Note::SyncChosen { learner, how } => tracing::info!(%learner, ?how, "learner syncs"),
            Note::Halting { restart } => tracing::info!(?restart, "halting"),
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

fn zxid(zxid: Option<Zxid>) -> String {
    zxid.map_or_else(|| "none".into(), |zxid| zxid.to_string())
}
