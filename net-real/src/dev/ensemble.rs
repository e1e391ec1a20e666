//! The servers of one ensemble from their start to their end, and what they do meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::now;
use crate::dev::cuts::Cuts;
use crate::dev::folder::Folder;
use crate::dev::plan::{Plan, Servers};
use crate::dev::process::{Binary, describe};
use crate::dev::server::Down;
use crate::dev::srvr::Srvr;
use crate::dev::talk::{Number, Outcome, Refusal, ServerStatus, Serving, list};
use crate::failure::Failure;

/// Only an ensemble in trouble needs so long.
const READY_LIMIT: Duration = Duration::from_secs(60);
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
/// How long servers may take to stop in order at the end.
const FAREWELL: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub struct Ensemble {
    binary: Binary,
    pub(super) servers: Servers,
    pub(super) cuts: watch::Sender<Cuts>,
    /// Hold the connections between the servers; dropped with them.
    _wires: JoinSet<()>,
}

/// What the servers answered that answered.
pub type Survey = BTreeMap<Number, Srvr>;

impl Ensemble {
    /// Writes every server's files and starts it.
    pub fn start(plan: Plan, folder: &Folder) -> Result<Self, Failure> {
        let binary = Binary::own()
            .map_err(|error| Failure::running(format!("finding this program: {error}")))?;
        let (cuts, _) = watch::channel(Cuts::default());
        let (servers, wires) = plan.build(folder, &cuts)?;
        let mut ensemble = Self { binary, servers, cuts, _wires: wires };
        for number in ensemble.numbers() {
            ensemble.launch(number).map_err(|refusal| Failure::running(refusal.text))?;
        }
        Ok(ensemble)
    }

    /// Resolves when every server serves.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        let until = now() + READY_LIMIT;
        loop {
            if let Some((number, how)) = self.take_ends().pop() {
                let words = self.last_words(&[number]);
                let what = format!("server {number} ended before it served ({how}){words}");
                return Err(Failure::running(what));
            }
            let serving = self.survey().await;
            let mut missing = self.numbers();
            missing.retain(|number| !serving.contains_key(number));
            if missing.is_empty() {
                return Ok(());
            }
            if now() >= until {
                let (secs, words) = (READY_LIMIT.as_secs(), self.last_words(&missing));
                let what = format!("after {secs} s these do not serve: {}{words}", list(&missing));
                return Err(Failure::running(what));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops all servers in order: whoever leads last, so that nobody elects on the way.
    pub async fn stop(&mut self) {
        self.cuts.send_replace(Cuts::default());
        let leader = leader(&self.survey().await);
        let (last, first): (Vec<_>, Vec<_>) =
            self.numbers().into_iter().partition(|number| Some(*number) == leader);
        for some in [first, last] {
            let processes = some.iter().filter_map(|number| {
                self.servers.get(number)?.process().map(|process| (number, process))
            });
            for (_, process) in processes.clone() {
                process.signal(Signal::TERM);
                process.signal(Signal::CONT);
            }
            let until = now() + FAREWELL;
            for (number, process) in processes {
                let left = until.saturating_duration_since(now());
                if tokio::time::timeout(left, process.ended()).await.is_err() {
                    eprintln!("vivarium: server {number} did not stop in order; killed");
                    process.signal(Signal::KILL);
                    process.ended().await;
                }
            }
        }
    }

    /// At once, and not in order.
    pub async fn kill_all(&mut self) {
        let processes = self.servers.values().filter_map(|server| server.process());
        for process in processes.clone() {
            process.signal(Signal::KILL);
        }
        for process in processes {
            process.ended().await;
        }
    }

    /// Resolves when a process has ended.
    pub async fn some_end(&self) {
        let mut ends: Vec<Pin<Box<dyn Future<Output = _> + '_>>> = Vec::new();
        for process in self.servers.values().filter_map(|server| server.process()) {
            ends.push(Box::pin(process.ended()));
        }
        poll_fn(|cx| {
            let ended = ends.iter_mut().any(|end| end.as_mut().poll(cx).is_ready());
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes note of servers that have ended by themselves, and says so.
    pub fn notice_ends(&mut self) {
        for (number, how) in self.take_ends() {
            let log = self.servers.get(&number).map(|server| server.home.log());
            let log = log.unwrap_or_default();
            eprintln!("vivarium: server {number} ended by itself ({how}); see {}", log.display());
        }
    }

    fn take_ends(&mut self) -> Vec<(Number, String)> {
        let mut ended = Vec::new();
        for (&number, server) in &mut self.servers {
            if let Some(status) = server.process().and_then(|process| process.exit()) {
                server.down(Down::Ended);
                ended.push((number, describe(status)));
            }
        }
        ended
    }

    pub fn numbers(&self) -> Vec<Number> {
        self.servers.keys().copied().collect()
    }

    pub fn connect_string(&self) -> String {
        let ports = self.servers.values().map(|server| server.ports.client.number());
        ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    pub async fn status(&mut self) -> Vec<ServerStatus> {
        self.notice_ends();
        let mut survey = self.survey().await;
        let mut all = Vec::new();
        for (&number, server) in &self.servers {
            let srvr = survey.remove(&number);
            all.push(ServerStatus {
                server: number,
                address: format!("127.0.0.1:{}", server.ports.client.number()),
                state: server.state().to_owned(),
                pid: server.process().map(|process| process.pid()),
                mode: srvr.as_ref().map(|srvr| srvr.mode.clone()),
                zxid: srvr.map(|srvr| srvr.zxid),
                log: server.home.log(),
            });
        }
        all
    }

    pub(super) fn launch(&mut self, number: Number) -> Result<(), Refusal> {
        let Some(server) = self.servers.get_mut(&number) else { return Ok(()) };
        server.start(&self.binary).map_err(|error| {
            Refusal::running(format!("server {number} cannot be started: {error}"))
        })
    }

    /// Asks all servers that run at the same time.
    pub(super) async fn survey(&self) -> Survey {
        let mut asked = JoinSet::new();
        for (&number, server) in &self.servers {
            if server.is_running() {
                let port = server.ports.client.number();
                asked.spawn(async move { (number, Srvr::ask(port).await) });
            }
        }
        let answers = asked.join_all().await;
        answers.into_iter().filter_map(|(number, srvr)| Some((number, srvr?))).collect()
    }

    /// Waits until those of `about` that can serve do, and the others do not.
    pub(super) async fn settle(&mut self, about: &[Number], since: Instant) -> Outcome {
        let until = now() + SETTLE_LIMIT;
        loop {
            self.notice_ends();
            let survey = self.survey().await;
            for (number, server) in &mut self.servers {
                server.blank &= !survey.contains_key(number);
            }
            let able = self.able();
            let fits = |one: &Number| able.contains(one) == survey.contains_key(one);
            // Followers may for a while believe in a leader that is out of reach.
            let leads = |one: &Number| survey.get(one).is_some_and(Srvr::leads);
            let led = able.is_empty() || self.servers.len() == 1 || able.iter().any(leads);
            let settled = led && about.iter().all(fits);
            if settled || now() >= until {
                let runs = |one: &&Number| self.servers.get(one).is_some_and(|s| s.is_running());
                let silent = about.iter().filter(runs).filter(|one| !survey.contains_key(one));
                let serving = about.iter().filter_map(|&server| {
                    survey.get(&server).map(|srvr| Serving { server, mode: srvr.mode.clone() })
                });
                return Outcome {
                    not_serving: silent.copied().collect(),
                    serving: serving.collect(),
                    settled,
                    took_ms: now().duration_since(since).as_millis() as u64,
                };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The servers that a majority of servers with a history is connected to.
    fn able(&self) -> BTreeSet<Number> {
        let cuts = self.cuts.borrow();
        let running: Vec<_> = self.servers.iter().filter(|(_, one)| one.is_running()).collect();
        // Where nobody has a history and nobody is missing, the ensemble starts anew.
        let anew = running.len() == self.servers.len() && running.iter().all(|(_, one)| one.blank);
        let is_able = |me: Number| {
            let near = running.iter().filter(|(other, server)| {
                (anew || !server.blank) && (**other == me || cuts.connects(me, **other))
            });
            near.count() * 2 > self.servers.len()
        };
        running.iter().map(|(number, _)| **number).filter(|&one| is_able(one)).collect()
    }

    /// What the logs of these end with, to be shown where they ended by themselves.
    pub(super) fn last_words(&self, of: &[Number]) -> String {
        let words = self.servers.iter().filter(|(number, _)| of.contains(number));
        let words = words.map(|(number, server)| {
            let (log, words) = (server.home.log(), server.home.last_words());
            format!("\nthe end of the log of server {number}, {}:\n  {words}", log.display())
        });
        words.collect()
    }
}

/// Of several that say that they lead, the one of the newest epoch does.
pub fn leader(survey: &Survey) -> Option<Number> {
    let leading = survey.iter().filter(|(_, srvr)| srvr.leads());
    leading.max_by_key(|(_, srvr)| srvr.epoch()).map(|(number, _)| *number)
}
