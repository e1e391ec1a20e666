//! Signals: SIGTERM and SIGINT stop, a second one ends at once, SIGHUP reads the configuration again.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::process;
use std::task::{Context, Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};
use vivarium_core::server::Input;

#[derive(Debug)]
pub struct Operator {
    stops: [Signal; 2],
    reload: Signal,
    config: PathBuf,
    stopping: bool,
}

impl Operator {
    pub fn listen(config: PathBuf) -> io::Result<Self> {
        Ok(Self {
            stops: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
            reload: signal(SignalKind::hangup())?,
            config,
            stopping: false,
        })
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
        while matches!(self.reload.poll_recv(cx), Poll::Ready(Some(()))) {
            match std::fs::read_to_string(&self.config) {
                Ok(text) => inbox.push(Input::ReloadConfig(text)),
                Err(error) => {
                    let file = self.config.display();
                    tracing::error!(%file, %error, "the configuration cannot be read again");
                }
            }
        }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        self.stops.iter_mut().any(|stop| matches!(stop.poll_recv(cx), Poll::Ready(Some(()))))
    }
}
