//! What other terminals ask for: checked as a whole first, then done one server after the other.

use std::collections::BTreeSet;

use crate::clock::now;
use crate::dev::cuts::{Cuts, complete};
use crate::dev::ensemble::{Ensemble, leader};
use crate::dev::process::describe;
use crate::dev::server::{Down, Server};
use crate::dev::talk::{Deed, Event, Group, Number, Refusal, Target, list};

impl Ensemble {
    /// Does it to each of the servers; what was done is in `events` even where the next one fails.
    pub async fn each(
        &mut self,
        deed: Deed,
        targets: &[Target],
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        self.notice_ends();
        let numbers = self.resolve(targets).await?;
        for &number in &numbers {
            allow(deed, number, self.server(number)?)?;
        }
        for number in numbers {
            events.push(match deed {
                Deed::Kill => self.kill(number).await?,
                Deed::Stop => self.stop_one(number).await?,
                Deed::Start => self.start_one(number).await?,
                Deed::Pause => self.pause(number).await?,
                Deed::Resume => self.resume(number).await?,
                Deed::Wipe => self.wipe(number).await?,
            });
        }
        Ok(())
    }

    /// Replaces the partition in force.
    pub async fn partition(&mut self, groups: &[Group], one_way: bool) -> Result<Event, Refusal> {
        self.notice_ends();
        let mut named = Vec::new();
        for Group(targets) in groups {
            named.push(self.resolve(targets).await?);
        }
        let groups = complete(named, &self.numbers())?;
        let since = now();
        self.cuts.send_replace(Cuts::between(&groups, one_way));
        let outcome = self.settle(&self.numbers(), since).await;
        Ok(Event::Partitioned { groups, one_way, outcome })
    }

    pub async fn heal(&mut self) -> Event {
        let since = now();
        self.cuts.send_replace(Cuts::default());
        Event::Healed { outcome: self.settle(&self.numbers(), since).await }
    }

    async fn kill(&mut self, number: Number) -> Result<Event, Refusal> {
        let process = self.server(number)?.must_live(number)?;
        let pid = process.pid();
        process.kill().await?;
        self.server_mut(number)?.down(Down::Killed);
        Ok(Event::Killed { server: number, pid })
    }

    async fn stop_one(&mut self, number: Number) -> Result<Event, Refusal> {
        let process = self.server(number)?.must_run(number)?;
        let pid = process.pid();
        let exit = describe(process.stop().await?);
        self.server_mut(number)?.down(Down::Stopped);
        Ok(Event::Stopped { server: number, pid, exit })
    }

    async fn start_one(&mut self, number: Number) -> Result<Event, Refusal> {
        let since = now();
        self.launch(number)?;
        let pid = self.server(number)?.must_live(number)?.pid();
        let outcome = self.settle(&[number], since).await;
        self.still_there(number)?;
        Ok(Event::Started { server: number, pid, outcome })
    }

    async fn pause(&mut self, number: Number) -> Result<Event, Refusal> {
        let process = self.server(number)?.must_run(number)?;
        let pid = process.pid();
        process.pause().await?;
        self.server_mut(number)?.set_paused(true);
        Ok(Event::Paused { server: number, pid })
    }

    async fn resume(&mut self, number: Number) -> Result<Event, Refusal> {
        let process = self.server(number)?.must_be_paused(number)?;
        let pid = process.pid();
        process.resume().await?;
        self.server_mut(number)?.set_paused(false);
        Ok(Event::Resumed { server: number, pid })
    }

    async fn wipe(&mut self, number: Number) -> Result<Event, Refusal> {
        let since = now();
        if self.server(number)?.process().is_some() {
            self.kill(number).await?;
        }
        // A server alone has nobody to be filled by: it starts anew.
        let alone = self.servers.len() == 1;
        let server = self.server_mut(number)?;
        server.home.wipe().map_err(|error| {
            Refusal::running(format!("the data of server {number} cannot be removed: {error}"))
        })?;
        server.blank = !alone;
        self.launch(number)?;
        let pid = self.server(number)?.must_live(number)?.pid();
        let outcome = self.settle(&[number], since).await;
        self.still_there(number)?;
        Ok(Event::Wiped { server: number, pid, outcome })
    }

    /// A server that was started and has ended did not do what was asked.
    fn still_there(&self, number: Number) -> Result<(), Refusal> {
        if self.server(number)?.process().is_some() {
            return Ok(());
        }
        let words = self.last_words(&[number]);
        Err(Refusal::running(format!("server {number} has ended again{words}")))
    }

    async fn resolve(&self, targets: &[Target]) -> Result<Vec<Number>, Refusal> {
        let mut seen = BTreeSet::new();
        let mut numbers = Vec::new();
        for target in targets {
            let number = match *target {
                Target::Number(number) => number,
                Target::Leader => leader(&self.survey().await)
                    .ok_or_else(|| Refusal::running("no server leads now"))?,
            };
            self.server(number)?;
            if !seen.insert(number) {
                return Err(Refusal::usage(format!("server {number} is named twice")));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn server(&self, number: Number) -> Result<&Server, Refusal> {
        self.servers.get(&number).ok_or_else(|| self.unknown(number))
    }

    fn server_mut(&mut self, number: Number) -> Result<&mut Server, Refusal> {
        let unknown = self.unknown(number);
        self.servers.get_mut(&number).ok_or(unknown)
    }

    fn unknown(&self, number: Number) -> Refusal {
        let known = list(&self.numbers());
        Refusal::usage(format!("there is no server {number}; this ensemble has {known}"))
    }
}

/// Whether it can be done to that server as it is.
fn allow(deed: Deed, number: Number, server: &Server) -> Result<(), Refusal> {
    match deed {
        Deed::Kill => server.must_live(number).map(|_| ()),
        Deed::Stop | Deed::Pause => server.must_run(number).map(|_| ()),
        Deed::Resume => server.must_be_paused(number).map(|_| ()),
        Deed::Start => server.must_be_down(number),
        Deed::Wipe => Ok(()),
    }
}
