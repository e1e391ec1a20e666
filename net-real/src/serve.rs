//! `vivarium serve ZOO_CFG`: one server in the foreground, from its configuration to its halt.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vivarium_core::config::parse::Parsed;
use vivarium_core::config::{Address, Config};
use vivarium_core::server::action::{FatalReason, Halt};
use vivarium_core::server::input::Plane;
use vivarium_core::server::{Outbox, Recovery, RecoveryInput, RecoveryStep, Server};

use crate::args::ServeArgs;
use crate::clock::{Clock, now};
use crate::configuration;
use crate::disk::Disks;
use crate::failure::Failure;
use crate::files::{Files, RealFiles, SlowSyncs, fault};
use crate::folders::Folders;
use crate::host::Host;
use crate::links::{BindError, Sockets};
use crate::logs::{self, LogNotes};
use crate::operator::Operator;
use crate::surroundings;

/// How long a stopping server waits for far sides to take the last bytes.
const FAREWELL: Duration = Duration::from_secs(2);
const PROGRESS: Duration = Duration::from_secs(5);

pub fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let started = now();
    logs::init(args.log_format)?;
    let mut parsed = configuration::load(&args.config)?;
    parsed.config.surroundings = surroundings::look(&parsed.config.host);
    parsed.findings.iter().for_each(logs::finding);
    let folders = Folders::open(&parsed.config.host)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::running(format!("starting the runtime: {error}")))?;
    let zoo_cfg = args.config.clone();
    let process =
        async move { Process::open(parsed, &folders, zoo_cfg, started).await?.run().await };
    // A task of the runtime is woken without a system call; the future of `block_on` is not.
    let done = runtime.block_on(async { tokio::spawn(process).await });
    done.unwrap_or_else(|error| {
        Err(Failure::bug(format!("a rule of the server was broken, please report it: {error}")))
    })
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
        let host = &parsed.config.host;
        let slow = Arc::new(SlowSyncs::new(host.fsync_warning));
        let operator = Operator::listen(zoo_cfg, Arc::clone(&slow))
            .map_err(|error| Failure::running(format!("listening for signals: {error}")))?;
        let dial_limit = Duration::from_micros(parsed.config.cnx_timeout.0);
        let mut sockets = Sockets::new(dial_limit, host.listen_backlog);
        let opened = listen(&mut sockets, &parsed.config).await;
        opened.map_err(|failed| port_taken(&parsed, &failed))?;
        Ok(Self {
            config: parsed.config,
            clock: Clock::start(),
            files: Arc::new(RealFiles::new(folders.places.clone()).watched_by(slow)),
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
                Halt::Stop => return self.leave().await,
                // The stop came in the batch that ended this incarnation.
                Halt::Restart(_) if self.operator.is_stopping() => return self.leave().await,
                Halt::Restart(why) => {
                    tracing::info!(?why, "recovering again from the disk");
                    self.sockets.reset();
                    if let Some(new) = self.operator.reloaded() {
                        let _ = self.config.adopt(new);
                    }
                }
                Halt::Fatal(why) => return Err(refused(why, disks.trouble())),
            }
        }
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        self.sockets.finish(FAREWELL).await;
        tracing::info!("stopped");
        Ok(())
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
                Ok(Err((why, file))) => Err(refused(why, file)),
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
) -> Result<(Box<Server>, Outbox), (FatalReason, Option<String>)> {
    let mut said = now();
    let mut failed = None;
    let mut got = RecoveryInput::Begin;
    loop {
        got = match recovery.next(got) {
            RecoveryStep::Disk(action) => match files.run(&action) {
                Ok(Some(data)) => RecoveryInput::Read(data),
                Ok(None) => RecoveryInput::Done,
                Err(error) => {
                    let file = files.subject(&action);
                    tracing::error!(file, %error, "disk operation failed");
                    failed = Some(file);
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
            RecoveryStep::Refused(why) => return Err((why, failed)),
        };
    }
}

async fn listen(sockets: &mut Sockets, config: &Config) -> Result<(), BindError> {
    if let Some(ensemble) = &config.ensemble
        && let Some(member) = ensemble.members.get(&config.me)
    {
        let everywhere = config.host.quorum_on_all_addresses;
        for (plane, address) in
            [(Plane::Election, &member.election), (Plane::Quorum, &member.quorum)]
        {
            let host = if everywhere { "0.0.0.0".into() } else { address.host.clone() };
            sockets.listen(plane, &Address { host, port: address.port }).await?;
        }
    }
    match &config.host.client {
        Some(address) => sockets.listen(Plane::Client, address).await,
        None => Ok(()),
    }
}

fn port_taken(parsed: &Parsed, failed: &BindError) -> Failure {
    let BindError { address, plane, error } = failed;
    let own = format!("server.{}", parsed.config.me);
    let (key, port) = match plane {
        Plane::Election => (own.as_str(), "election port"),
        Plane::Quorum => (own.as_str(), "quorum port"),
        Plane::Client => ("clientPort", "port for clients"),
    };
    let help = if error.kind() == ErrorKind::AddrInUse {
        "another process uses it; stop that one, or choose another port"
    } else if error.kind() == ErrorKind::PermissionDenied {
        "ports below 1024 need a right that this user lacks; choose a higher one"
    } else {
        "it must be an address of this machine"
    };
    let at = parsed.origin(key);
    Failure::configuration(format!("{at}: {key}: the {port} {address}: {error}; {help}"))
}

/// `file`: the path of the operation that failed, where there was one.
fn refused(why: FatalReason, file: Option<String>) -> Failure {
    match (why, file) {
        (why @ FatalReason::Config(_), _) => Failure::configuration(why.to_string()),
        (FatalReason::Disk { fault, .. }, Some(file)) => {
            Failure::running(FatalReason::Disk { file, fault }.to_string())
        }
        (why @ (FatalReason::Disk { .. } | FatalReason::Corrupt { .. }), _) => {
            Failure::running(why.to_string())
        }
    }
}
