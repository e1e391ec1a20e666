//! One server as a process of its own: the same binary, `serve`, and the signals it is sent.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::dev::folder::Home;
use crate::dev::talk::Refusal;

/// A signal takes effect at once; on a machine that is out of breath a little later.
const SIGNAL_LIMIT: Duration = Duration::from_secs(10);
/// How long a server may take to stop in order.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(1);

/// How servers are started.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
}

/// A server that was started, and may have ended meanwhile.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Binary {
    /// This very program. Looked up once: a rebuild must not change the servers of one ensemble.
    pub fn own() -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()? })
    }

    /// Must be called on the thread that lives as long as the program: the kernel counts the end of
    /// the starting thread as the parent's death.
    pub fn start(&self, home: &Home) -> io::Result<Process> {
        let log = OpenOptions::new().append(true).create(true).open(home.log())?;
        let child = self.command(&home.config()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
        let (tell, ended) = watch::channel(None);
        tokio::spawn(reap(child, tell));
        Ok(Process { pid, ended })
    }

    fn command(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("serve").arg("--exit-with-parent").arg(std::process::id().to_string());
        command.arg(config).stdin(Stdio::null()).kill_on_drop(true);
        // Ctrl-C is for us alone: we stop the servers in their order.
        command.process_group(0);
        command
    }
}

/// The process is reaped and its end told in one step, so that nobody signals a number that may be
/// somebody else's.
async fn reap(mut child: Child, tell: watch::Sender<Option<ExitStatus>>) {
    let status = child.wait().await.unwrap_or_else(|_| ExitStatus::from_raw(0));
    tell.send_replace(Some(status));
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// `None` while it runs.
    pub fn exit(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    pub fn signal(&self, signal: Signal) {
        if self.exit().is_none() {
            // Fails only where the process has ended, which is told by its exit.
            let _ = kill_process(self.pid, signal);
        }
    }

    pub async fn ended(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|status| *status) {
            Ok(Some(status)) => status,
            // Its watcher is gone only with the runtime.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    pub async fn kill(&self) -> Result<ExitStatus, Refusal> {
        self.signal(Signal::KILL);
        let ended = tokio::time::timeout(SIGNAL_LIMIT, self.ended()).await;
        ended.map_err(|_| self.stuck("did not end after SIGKILL"))
    }

    pub async fn stop(&self) -> Result<ExitStatus, Refusal> {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(STOP_LIMIT, self.ended()).await;
        ended.map_err(|_| self.stuck("did not stop in order; kill it"))
    }

    pub async fn pause(&self) -> Result<(), Refusal> {
        self.signal(Signal::STOP);
        self.changed(WaitIdOptions::STOPPED, "does not stand still after SIGSTOP").await
    }

    pub async fn resume(&self) -> Result<(), Refusal> {
        self.signal(Signal::CONT);
        self.changed(WaitIdOptions::CONTINUED, "does not go on after SIGCONT").await
    }

    /// Waits until the kernel reports the change of state.
    async fn changed(&self, what: WaitIdOptions, trouble: &str) -> Result<(), Refusal> {
        let seen = async {
            while self.exit().is_none() {
                let options = what | WaitIdOptions::NOHANG;
                if matches!(waitid(WaitId::Pid(self.pid), options), Ok(Some(_))) {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(self.stuck("has ended"))
        };
        let limited = tokio::time::timeout(SIGNAL_LIMIT, seen).await;
        limited.unwrap_or_else(|_| Err(self.stuck(trouble)))
    }

    fn stuck(&self, trouble: &str) -> Refusal {
        Refusal::running(format!("process {} {trouble}", self.pid()))
    }
}

/// `exit code 0`, `signal 9`.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}
