//! `vivarium dev` itself: from its start to the end of its last server.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use crate::args::Format;
use crate::clock::now;
use crate::dev::args::StartArgs;
use crate::dev::control::{Control, json, print};
use crate::dev::ensemble::{Ensemble, leader};
use crate::dev::folder::Folder;
use crate::dev::plan::Plan;
use crate::dev::registry::{Claim, Registry};
use crate::dev::talk::{Reply, Request, Status, seconds};
use crate::failure::Failure;

pub fn run(args: StartArgs) -> Result<ExitCode, Failure> {
    let started = now();
    // In this order: the folder goes before the name, so that nobody misses it.
    let mut claim = Registry::open()?.claim(args.name.as_ref())?;
    let folder = Folder::open(args.dir.as_deref(), args.keep)?;
    claim
        .describe(folder.temporary())
        .map_err(|error| Failure::configuration(format!("{}: {error}", claim.socket.display())))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::running(format!("starting the runtime: {error}")))?;
    let done = runtime.block_on(live(&args, &claim, &folder, started));
    if args.keep {
        eprintln!("vivarium: kept {}", folder.path().display());
    }
    done
}

async fn live(
    args: &StartArgs,
    claim: &Claim,
    folder: &Folder,
    started: Instant,
) -> Result<ExitCode, Failure> {
    let mut stops = Stops::listen()
        .map_err(|error| Failure::running(format!("listening for signals: {error}")))?;
    let control = Control::listen(&claim.socket)?;
    let plan = Plan { servers: args.servers, base_port: args.base_port, tick_ms: args.tick_time };
    let ensemble = Ensemble::start(plan, folder)?;
    let mut life = Life {
        name: claim.name.to_string(),
        folder: folder.path().to_path_buf(),
        ready_ms: 0,
        ensemble,
        control,
    };
    let done = tokio::select! {
        biased;
        _ = stops.next() => Ok(ExitCode::SUCCESS),
        ready = life.ensemble.ready() => match ready {
            Ok(()) => {
                life.ready_ms = now().duration_since(started).as_millis() as u64;
                life.serve(args, &mut stops).await
            }
            Err(failure) => Err(failure),
        }
    };
    let in_order = tokio::select! {
        biased;
        () = life.ensemble.stop() => true,
        _ = stops.next() => false,
    };
    if !in_order {
        life.ensemble.kill_all().await;
        eprintln!("vivarium: a second signal: the servers were killed");
    }
    done
}

/// An ensemble and all who may ask for something.
struct Life {
    name: String,
    folder: PathBuf,
    ready_ms: u64,
    ensemble: Ensemble,
    control: Control,
}

impl Life {
    /// From ready until somebody wants the end.
    async fn serve(&mut self, args: &StartArgs, stops: &mut Stops) -> Result<ExitCode, Failure> {
        let Some(mut guest) = Guest::start(&args.command, self)? else {
            self.announce(args.output).await?;
            return tokio::select! {
                biased;
                _ = stops.next() => Ok(ExitCode::SUCCESS),
                never = self.answer() => never,
            };
        };
        let secs = seconds(self.ready_ms);
        eprintln!("vivarium: {} serve, ready in {secs} s", self.ensemble.connect_string());
        // One future for all turns: a signal to the command must not break off a request.
        let answering = self.answer();
        tokio::pin!(answering);
        loop {
            tokio::select! {
                biased;
                stop = stops.next() => guest.pass_on(stop),
                status = guest.child.wait() => return Ok(code_of(status)),
                never = &mut answering => return never,
            }
        }
    }

    async fn announce(&mut self, format: Format) -> Result<(), Failure> {
        match format {
            Format::Json => print(&json(&self.status().await)?),
            Format::Text => {
                let count = self.ensemble.numbers().len();
                let survey = self.ensemble.survey().await;
                let who = match leader(&survey) {
                    Some(leader) => format!("{count} servers, {leader} leads"),
                    None if count == 1 => "1 server, standalone".to_owned(),
                    None => format!("{count} servers"),
                };
                let (connect, secs) = (self.ensemble.connect_string(), seconds(self.ready_ms));
                let logs = self.folder.join("server-*/log");
                print(&format!(
                    "{connect}\nready in {secs} s: {who}; steer it with: vivarium dev status \
                     --name {}\nlogs in {}",
                    self.name,
                    logs.display()
                ))
            }
        }
    }

    /// Carries out one request after the other, for ever.
    async fn answer<T>(&mut self) -> T {
        loop {
            tokio::select! {
                biased;
                () = self.ensemble.some_end() => self.ensemble.notice_ends(),
                asked = self.control.next() => {
                    let reply = self.carry_out(asked.request).await;
                    // Whoever asked may be gone.
                    let _ = asked.answer.send(reply);
                }
            }
        }
    }

    async fn carry_out(&mut self, request: Request) -> Reply {
        let mut events = Vec::new();
        let done = match request {
            Request::Status => return Reply::Status(self.status().await),
            Request::Do { deed, servers } => self.ensemble.each(deed, &servers, &mut events).await,
            Request::Partition { groups, one_way } => {
                let done = self.ensemble.partition(&groups, one_way).await;
                done.map(|event| events.push(event))
            }
            Request::Heal => {
                events.push(self.ensemble.heal().await);
                Ok(())
            }
        };
        Reply::Done { events, refused: done.err() }
    }

    async fn status(&mut self) -> Status {
        Status {
            name: self.name.clone(),
            connect: self.ensemble.connect_string(),
            folder: self.folder.clone(),
            ready_ms: self.ready_ms,
            servers: self.ensemble.status().await,
            cuts: self.ensemble.cuts.borrow().lost(),
        }
    }
}

/// The command behind `--`.
struct Guest {
    child: Child,
}

impl Guest {
    fn start(words: &[OsString], life: &Life) -> Result<Option<Self>, Failure> {
        let Some((program, arguments)) = words.split_first() else { return Ok(None) };
        let connect = life.ensemble.connect_string();
        let child = Command::new(program)
            .args(arguments)
            .env("ZOOKEEPER_CONNECT", &connect)
            .env("VIVARIUM_CONNECT", &connect)
            .env("VIVARIUM_DEV", &life.name)
            .spawn()
            .map_err(|error| {
                let program = program.to_string_lossy();
                Failure::configuration(format!("{program}: {error}; name a command behind --"))
            })?;
        Ok(Some(Self { child }))
    }

    /// Ctrl-C of a terminal reaches the command without us.
    fn pass_on(&self, stop: Signal) {
        let from_terminal = stop == Signal::INT && io::stdin().is_terminal();
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let (Some(pid), false) = (pid, from_terminal) {
            // Fails only where it has ended.
            let _ = kill_process(pid, stop);
        }
    }
}

/// As a shell reports it.
fn code_of(status: io::Result<ExitStatus>) -> ExitCode {
    let Ok(status) = status else { return ExitCode::FAILURE };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Signals that ask for the end.
struct Stops {
    terminate: Listener,
    interrupt: Listener,
    /// `None` behind `nohup`: the end of the terminal is not ours.
    hang_up: Option<Listener>,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        let hang_up = (!ignores_hang_up()).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up,
        })
    }

    async fn next(&mut self) -> Signal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(listener) => listener.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = hang_up => Signal::HUP,
        }
    }
}

/// A listener would undo what `nohup` set.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}
