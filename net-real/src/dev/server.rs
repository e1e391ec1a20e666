//! One server of the ensemble: its files and ports, and whether a process runs on them.

use tokio::sync::watch;

use crate::dev::folder::Home;
use crate::dev::ports::Port;
use crate::dev::process::{Binary, Process};
use crate::dev::talk::{Number, Refusal};

#[derive(Debug)]
pub struct Server {
    pub home: Home,
    pub ports: Ports,
    /// Told to the wires that lead here.
    alive: watch::Sender<bool>,
    state: State,
    /// Its data was wiped, and it has not served since: it counts in no quorum.
    pub blank: bool,
}

#[derive(Debug)]
pub struct Ports {
    pub client: Port,
    pub quorum: Port,
    pub election: Port,
}

#[derive(Debug)]
enum State {
    Running(Process),
    Paused(Process),
    Down(Down),
}

/// Why no process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    New,
    Killed,
    Stopped,
    /// By itself.
    Ended,
}

impl Server {
    pub fn new(home: Home, ports: Ports) -> Self {
        let (alive, _) = watch::channel(false);
        Self { home, ports, alive, state: State::Down(Down::New), blank: false }
    }

    pub fn watch_alive(&self) -> watch::Receiver<bool> {
        self.alive.subscribe()
    }

    /// The process, paused or not.
    pub fn process(&self) -> Option<&Process> {
        match &self.state {
            State::Running(process) | State::Paused(process) => Some(process),
            State::Down(_) => None,
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    pub fn start(&mut self, binary: &Binary) -> std::io::Result<()> {
        let process = binary.start(&self.home)?;
        self.state = State::Running(process);
        self.alive.send_replace(true);
        Ok(())
    }

    /// The process has ended.
    pub fn down(&mut self, why: Down) {
        self.state = State::Down(why);
        self.alive.send_replace(false);
    }

    /// The process was paused, or resumed.
    pub fn set_paused(&mut self, paused: bool) {
        let state = std::mem::replace(&mut self.state, State::Down(Down::New));
        self.state = match (state, paused) {
            (State::Running(process) | State::Paused(process), true) => State::Paused(process),
            (State::Running(process) | State::Paused(process), false) => State::Running(process),
            (State::Down(why), true | false) => State::Down(why),
        };
    }

    /// What a person reads in the status.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Running(_) => "running",
            State::Paused(_) => "paused",
            State::Down(Down::New | Down::Ended) => "ended",
            State::Down(Down::Killed) => "killed",
            State::Down(Down::Stopped) => "stopped",
        }
    }

    pub fn must_run(&self, number: Number) -> Result<&Process, Refusal> {
        match &self.state {
            State::Running(process) => Ok(process),
            State::Paused(_) => Err(Refusal::usage(format!(
                "server {number} is paused; first: vivarium dev resume {number}"
            ))),
            State::Down(_) => Err(self.not_there(number)),
        }
    }

    pub fn must_be_paused(&self, number: Number) -> Result<&Process, Refusal> {
        match &self.state {
            State::Paused(process) => Ok(process),
            State::Running(_) => Err(Refusal::usage(format!("server {number} is not paused"))),
            State::Down(_) => Err(self.not_there(number)),
        }
    }

    /// Running or paused.
    pub fn must_live(&self, number: Number) -> Result<&Process, Refusal> {
        self.process().ok_or_else(|| self.not_there(number))
    }

    pub fn must_be_down(&self, number: Number) -> Result<(), Refusal> {
        match self.process() {
            None => Ok(()),
            Some(process) => Err(Refusal::usage(format!(
                "server {number} is {} already (pid {})",
                self.state(),
                process.pid()
            ))),
        }
    }

    fn not_there(&self, number: Number) -> Refusal {
        let was = self.state();
        Refusal::usage(format!("server {number} was {was}; first: vivarium dev start {number}"))
    }
}
