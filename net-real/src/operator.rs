//! Signals: SIGTERM and SIGINT stop, a second one ends at once, SIGHUP reads the configuration again.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};
use vivarium_core::config::Config;
use vivarium_core::server::Input;

use crate::configuration;
use crate::files::SlowSyncs;
use crate::logs;

#[derive(Debug)]
pub struct Operator {
    stops: [Signal; 2],
    reload: Signal,
    file: PathBuf,
    slow: Arc<SlowSyncs>,
    stopping: bool,
    /// What the last good reading said.
    reloaded: Option<Config>,
}

impl Operator {
    /// `file`: what SIGHUP reads again; `slow`: the limit that it may change.
    pub fn listen(file: PathBuf, slow: Arc<SlowSyncs>) -> io::Result<Self> {
        Ok(Self {
            stops: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
            reload: signal(SignalKind::hangup())?,
            file,
            slow,
            stopping: false,
            reloaded: None,
        })
    }

    /// A stop was asked for: a server that starts again inside the process must not forget it.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// What SIGHUP has read since the process began.
    pub fn reloaded(&self) -> Option<&Config> {
        self.reloaded.as_ref()
    }

    /// Resolves when the first stop signal arrives.
    pub async fn stopped(&mut self) {
        poll_fn(|cx| if self.poll_stop(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    pub fn poll(&mut self, cx: &mut Context<'_>, inbox: &mut Vec<Input>) {
        while self.poll_stop(cx) {
            if self.stopping {
                tracing::warn!("stopped by a second signal; not everything was finished");
                process::exit(1);
            }
            self.stopping = true;
            tracing::info!("asked to stop");
            inbox.push(Input::Stop);
        }
        let mut asked = false;
        while matches!(self.reload.poll_recv(cx), Poll::Ready(Some(()))) {
            asked = true;
        }
        if asked {
            self.reload(inbox);
        }
    }

    /// A configuration that no server would start with changes nothing.
    fn reload(&mut self, inbox: &mut Vec<Input>) {
        let parsed = match configuration::load(&self.file) {
            Ok(parsed) => parsed,
            Err(failure) => {
                tracing::error!("the configuration stays as it is: {failure}");
                return;
            }
        };
        for finding in &parsed.findings {
            logs::finding(finding);
        }
        self.slow.set(parsed.config.host.fsync_warning);
        self.reloaded = Some(parsed.config.clone());
        inbox.push(Input::ReloadConfig(Box::new(parsed.config)));
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        self.stops.iter_mut().any(|stop| matches!(stop.poll_recv(cx), Poll::Ready(Some(()))))
    }
}
