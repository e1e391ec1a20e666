//! `vivarium serve ZOO_CFG`: one server in the foreground, from its configuration to its halt.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vivarium_core::config::Config;
use vivarium_core::config::findings::Finding;
use vivarium_core::config::parse::{HostConfig, Parsed, parse};
use vivarium_core::server::action::{FatalReason, Halt};
use vivarium_core::server::input::Plane;
use vivarium_core::server::{Outbox, Recovery, RecoveryInput, RecoveryStep, Server};

use crate::clock::{Clock, now};
use crate::disk::Disks;
use crate::failure::Failure;
use crate::files::{Files, RealFiles, fault, subject};
use crate::folders::{Folders, read_myid};
use crate::host::Host;
use crate::links::{BindError, Sockets};
use crate::logs::{self, LogNotes};
use crate::operator::Operator;
use crate::surroundings;

/// How long a stopping server waits for far sides to take the last bytes.
const FAREWELL: Duration = Duration::from_secs(2);
const PROGRESS: Duration = Duration::from_secs(5);

pub fn serve(zoo_cfg: &Path) -> Result<(), Failure> {
    let started = now();
    logs::init();
    let mut parsed = read_config(zoo_cfg)?;
    parsed.config.surroundings = surroundings::look(&parsed.host);
    for warning in &parsed.warnings {
        tracing::warn!("{}", locate(zoo_cfg, warning));
    }
    let folders = Folders::open(&parsed.host)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::running(format!("starting the runtime: {error}")))?;
    let zoo_cfg = zoo_cfg.to_path_buf();
    let process =
        async move { Process::open(parsed, &folders, zoo_cfg, started).await?.run().await };
    // A task of the runtime is woken without a system call; the future of `block_on` is not.
    let done = runtime.block_on(async { tokio::spawn(process).await });
    done.unwrap_or_else(|error| {
        Err(Failure::bug(format!("a rule of the server was broken, please report it: {error}")))
    })
}

fn read_config(zoo_cfg: &Path) -> Result<Parsed, Failure> {
    let file = zoo_cfg.display();
    let text = fs::read_to_string(zoo_cfg).map_err(|error| {
        Failure::configuration(format!("{file}: {error}; name ZooKeeper's configuration file"))
    })?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::running(format!("no randomness from the system: {error}")))?;
    // Which folder holds `myid` is in the file itself; this look at it needs no number yet.
    let data_dir = data_dir(&text);
    let myid = match &data_dir {
        Some(folder) => read_myid(folder)?,
        None => None,
    };
    parse(&text, myid.as_deref(), seed).map_err(|error| {
        let lines: Vec<_> = error.findings.iter().map(|one| locate(zoo_cfg, one)).collect();
        Failure::configuration(lines.join("\nvivarium: "))
    })
}

fn data_dir(text: &str) -> Option<PathBuf> {
    let entries = vivarium_core::config::properties::entries(text);
    let entry = entries.into_iter().rfind(|entry| entry.key == "dataDir")?;
    (!entry.value.is_empty()).then(|| PathBuf::from(entry.value))
}

/// `zoo.cfg:3: tickTime: what is wrong; what to do`.
fn locate(zoo_cfg: &Path, finding: &Finding) -> String {
    let Finding { line, key, what, help } = finding;
    match line {
        Some(line) => format!("{}:{line}: {key} {what}; {help}", zoo_cfg.display()),
        None => format!("{}: {key} {what}; {help}", zoo_cfg.display()),
    }
}

/// What outlives a restart of the server inside the process.
struct Process {
    config: Config,
    clock: Clock,
    files: Arc<RealFiles>,
    sockets: Sockets,
    operator: Operator,
    notes: LogNotes,
}

impl Process {
    async fn open(
        parsed: Parsed,
        folders: &Folders,
        zoo_cfg: PathBuf,
        started: Instant,
    ) -> Result<Self, Failure> {
        let operator = Operator::listen(zoo_cfg)
            .map_err(|error| Failure::running(format!("listening for signals: {error}")))?;
        let mut sockets = Sockets::new(Duration::from_micros(parsed.config.cnx_timeout.0));
        listen(&mut sockets, &parsed.config, &parsed.host).await.map_err(port_taken)?;
        Ok(Self {
            config: parsed.config,
            clock: Clock::start(),
            files: Arc::new(RealFiles::new(folders.places.clone())),
            sockets,
            operator,
            notes: LogNotes::new(started),
        })
    }

    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let Some((server, first)) = self.recover().await? else { return Ok(()) };
            let mut disks = Disks::start(Arc::clone(&self.files))
                .map_err(|error| Failure::running(format!("starting disk threads: {error}")))?;
            let mut host = Host {
                machine: *server,
                net: &mut self.sockets,
                disk: &mut disks,
                notes: &mut self.notes,
                operator: Some(&mut self.operator),
                clock: self.clock,
            };
            // The loop yields by itself; a budget on top would only wake it twice.
            let halt = tokio::task::coop::unconstrained(host.run(first)).await;
            drop(host);
            disks.stop();
            match halt {
                Halt::Stop => {
                    self.sockets.finish(FAREWELL).await;
                    tracing::info!("stopped");
                    return Ok(());
                }
                Halt::Restart(why) => {
                    tracing::info!(?why, "recovering again from the disk");
                    self.sockets.reset();
                }
                Halt::Fatal(why) => return Err(refused(&why)),
            }
        }
    }

    /// `None`: stopped by the operator meanwhile.
    async fn recover(&mut self) -> Result<Option<(Box<Server>, Outbox)>, Failure> {
        let recovery = Recovery::start(self.config.clone(), self.clock.stamp());
        let files = Arc::clone(&self.files);
        let work = tokio::task::spawn_blocking(move || recover(recovery, files.as_ref()));
        tokio::pin!(work);
        let stopped = self.operator.stopped();
        tokio::pin!(stopped);
        tokio::select! {
            biased;
            done = &mut work => match done {
                Ok(Ok(recovered)) => Ok(Some(recovered)),
                Ok(Err(why)) => Err(refused(&why)),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            () = &mut stopped => {
                // Recovery writes nothing that a start cannot meet half done.
                tracing::info!("stopped while recovering");
                std::process::exit(0)
            }
        }
    }
}

/// Carries out one operation of recovery after the other.
fn recover<F: Files>(
    mut recovery: Recovery,
    files: &F,
) -> Result<(Box<Server>, Outbox), FatalReason> {
    let mut said = now();
    let mut got = RecoveryInput::Begin;
    loop {
        got = match recovery.next(got) {
            RecoveryStep::Disk(action) => match files.run(&action) {
                Ok(Some(data)) => RecoveryInput::Read(data),
                Ok(None) => RecoveryInput::Done,
                Err(error) => {
                    tracing::error!(file = subject(&action), %error, "disk operation failed");
                    RecoveryInput::Failed(fault(&error))
                }
            },
            RecoveryStep::Progress(progress) => {
                if now().duration_since(said) >= PROGRESS {
                    said = now();
                    tracing::info!(transactions = progress.transactions, "recovering");
                }
                RecoveryInput::Done
            }
            RecoveryStep::Done(server, first) => return Ok((server, first)),
            RecoveryStep::Refused(why) => return Err(why),
        };
    }
}

async fn listen(
    sockets: &mut Sockets,
    config: &Config,
    host: &HostConfig,
) -> Result<(), BindError> {
    if let Some(ensemble) = &config.ensemble
        && let Some(member) = ensemble.members.get(&config.me)
    {
        sockets.listen(Plane::Election, &member.election).await?;
        sockets.listen(Plane::Quorum, &member.quorum).await?;
    }
    match &host.client {
        Some(address) => sockets.listen(Plane::Client, address).await,
        None => Ok(()),
    }
}

fn port_taken(failed: BindError) -> Failure {
    let BindError { address, plane, error } = failed;
    let key = match plane {
        Plane::Election => "election port (server.N)",
        Plane::Quorum => "quorum port (server.N)",
        Plane::Client => "clientPort",
    };
    let help = if error.kind() == std::io::ErrorKind::AddrInUse {
        "another process uses it; stop that one, or choose another port"
    } else {
        "check the address in the configuration"
    };
    Failure::configuration(format!("{key} {}:{}: {error}; {help}", address.host, address.port))
}

fn refused(why: &FatalReason) -> Failure {
    match why {
        FatalReason::Config(_) => Failure::configuration(why.to_string()),
        FatalReason::Disk { .. } | FatalReason::Corrupt { .. } => Failure::running(why.to_string()),
    }
}
