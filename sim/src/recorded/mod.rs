//! Histories of real servers and real clients, judged by the checkers that judge simulated ones.
//!
//! `scripts/record.py` writes the frames of every client connection in the order in which it saw them: a
//! request before it went on to the server, a reply before it went on to the client. The committed sequence
//! is read from the logs of one server. It is told to the checkers lazily: everything up to the zxid that
//! a client is shown, just before it is shown. Who a client is follows from the address that the recorder has
//! under the servers' eyes and from what the client presents; what that is worth, from their configuration.

pub(crate) mod lines;
pub(crate) mod log;
mod origin;
mod requests;
mod servers;
pub(crate) mod story;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use vivarium_core::config::Config;
use vivarium_core::ids::{Epoch, ServerId, SessionId, Zxid};
use vivarium_core::server::note::{Note, StateDigest};

use crate::checkers::{Checkers, RunSpec};
use crate::disk_view::NoDisks;
use crate::history::{ClientFact, SessionFact};
use crate::ids::{NodeId, SimTime};
use crate::observe::{Observer, SimEvent, Violation};
use crate::oracle::txn::Txn;
use crate::recorded::log::{Log, Logged};
use crate::recorded::origin::Origins;
use crate::recorded::requests::Access;
pub use crate::recorded::servers::Servers;
use crate::recorded::story::{Moment, Story};

/// Statements that need nothing but what clients saw.
const FROM_CLIENTS: [&str; 3] = ["K2", "K3", "W2"];
/// Statements that compare it with the committed sequence.
const FROM_LOG: [&str; 19] = [
    "K1", "K2", "K3", "K4", "K5", "K6", "D1", "D2", "D3", "D5", "W1", "W2", "W3", "W4", "W5", "E2",
    "E4", "E5", "E6",
];

/// The history or the logs cannot be judged; the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable(pub(crate) String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// What a judgement saw.
#[derive(Clone, Debug)]
pub struct Report {
    pub judged_by: Vec<&'static str>,
    /// Statements that were left out, with the reason.
    pub left_out: Vec<(&'static str, &'static str)>,
    pub frames: u64,
    pub sessions: u64,
    pub requests: u64,
    /// Transactions in the log.
    pub transactions: u64,
    /// Requests that the model does not cover, by name.
    pub unjudged: BTreeMap<String, u64>,
    /// Transactions that more than one unanswered request may have made.
    pub ambiguous: u64,
    /// Transactions of clients that were not recorded.
    pub foreign: u64,
    /// The last line is cut off.
    pub torn: bool,
    /// Line of the history, and what it breaks.
    pub verdict: Result<(), (u64, Violation)>,
}

/// Judges the history in this file.
pub fn check(history: &Path, log: Option<&Path>, servers: &Servers) -> Result<Report, Unusable> {
    let trouble = |what: &dyn fmt::Display| Unusable(format!("{}: {what}", history.display()));
    let file = File::open(history).map_err(|error| trouble(&error))?;
    let log = log.map(log::read).transpose()?;
    check_text(BufReader::new(file), log, servers).map_err(|error| trouble(&error))
}

fn check_text(
    history: impl BufRead,
    log: Option<Log>,
    servers: &Servers,
) -> Result<Report, Unusable> {
    let mut story = Story::default();
    let mut last_line = 0;
    let torn = lines::read(history, |line| {
        last_line = line.number;
        story.take(line);
    })?;
    story.is_cut = torn;
    story.finish(last_line);
    let sessions = story.moments.iter().filter(|moment| is_grant(moment)).count() as u64;
    let (judged_by, left_out) = statements(log.is_some(), servers, story.access());
    let mut report = Report {
        judged_by,
        left_out,
        frames: story.frames,
        sessions,
        requests: story.requests.len() as u64,
        transactions: log.as_ref().map_or(0, |log| log.txns.len() as u64),
        unjudged: BTreeMap::new(),
        ambiguous: 0,
        foreign: 0,
        torn,
        verdict: Ok(()),
    };
    let log = log.unwrap_or_default();
    match origin::find(&mut story, &log.txns) {
        // The log speaks of it, and no line does.
        Err(violation) => report.verdict = Err((last_line, violation)),
        Ok(origins) => {
            (report.ambiguous, report.foreign) = (origins.ambiguous, origins.foreign);
            let mut judge = Judge::new(log, origins, &report.judged_by);
            judge.begin(servers.config(story.access()), servers, &story.addresses);
            report.verdict = judge.all(&story.moments, last_line);
        }
    }
    report.unjudged = story.unjudged;
    Ok(report)
}

fn is_grant(moment: &Moment) -> bool {
    let ClientFact::Session(fact) = &moment.fact else { return false };
    matches!(fact, SessionFact::Granted { asked: None, .. })
}

type Reasons = Vec<(&'static str, &'static str)>;

fn statements(with_log: bool, servers: &Servers, access: Access) -> (Vec<&'static str>, Reasons) {
    let mut left_out = vec![
        ("E3", "needs the clocks of servers"),
        ("L", "a recording does not say when faults ended"),
        ("P, S, T", "need the notes and disks of every server"),
    ];
    if !with_log {
        left_out.push(("K1 K4 K5 K6 D W1 W3 W4 W5 E", "need the log of a server (--log)"));
        return (FROM_CLIENTS.to_vec(), left_out);
    }
    let mut names = FROM_LOG.to_vec();
    if servers.weak_sync() {
        left_out.push(("K5", "sync is said not to ask a quorum"));
        names.retain(|name| *name != "K5");
    }
    if access == Access::Unknown {
        left_out.push(("D5", "the recorder did not write down the addresses of clients"));
        names.retain(|name| *name != "D5");
    }
    (names, left_out)
}

/// Tells the checkers of the log and of the clients, in an order that could have been.
struct Judge {
    checkers: Checkers,
    log: Vec<Logged>,
    newest: Epoch,
    origins: Origins,
    /// How much of the log is committed so far.
    committed: usize,
    established: BTreeSet<Epoch>,
    /// Where in the log a session ends.
    ends: BTreeMap<SessionId, usize>,
    now: SimTime,
}

const SERVER: NodeId = NodeId::Server(ServerId(1));

impl Judge {
    fn new(log: Log, origins: Origins, names: &[&str]) -> Self {
        let mut ends = BTreeMap::new();
        for (at, logged) in log.txns.iter().enumerate() {
            if matches!(logged.txn, Txn::CloseSession { .. }) {
                ends.entry(logged.session).or_insert(at);
            }
        }
        let spec = RunSpec { white_box: false, drift_ppm: 0, recorded: true };
        Self {
            checkers: Checkers::only(spec, names),
            log: log.txns,
            newest: log.newest,
            origins,
            committed: 0,
            established: BTreeSet::new(),
            ends,
            now: SimTime::ZERO,
        }
    }

    fn begin(&mut self, config: Config, servers: &Servers, addresses: &[String]) {
        self.checkers.see_clients_at(addresses);
        let apache = if servers.apache { vec![config.me] } else { Vec::new() };
        let (last, from, blank) = (None, None, false);
        let recovered = Note::Recovered { last, from, blank, digest: StateDigest::default() };
        let events = [
            (NodeId::World, SimEvent::Cluster { servers: vec![config], apache }),
            (SERVER, SimEvent::Boot { incarnation: 1 }),
            (SERVER, SimEvent::Note(recovered)),
            (SERVER, SimEvent::Up { incarnation: 1 }),
        ];
        for (node, event) in events {
            self.feed(node, &event).expect("no statement is about an empty server");
        }
    }

    fn feed(&mut self, node: NodeId, event: &SimEvent) -> Result<(), Violation> {
        self.now = self.now.plus(1);
        self.checkers.event(self.now, node, event, &NoDisks)
    }

    fn note(&mut self, note: Note) -> Result<(), Violation> {
        self.feed(SERVER, &SimEvent::Note(note))
    }

    fn all(&mut self, moments: &[Moment], last_line: u64) -> Result<(), (u64, Violation)> {
        for Moment { line, client, fact } in moments {
            let told = self
                .commit_what_shows(fact)
                .and_then(|()| self.feed(NodeId::Client(*client), &SimEvent::Client(fact.clone())));
            told.map_err(|violation| (*line, violation))?;
        }
        self.commit(self.log.len()).map_err(|violation| (last_line, violation))
    }

    fn commit_what_shows(&mut self, fact: &ClientFact) -> Result<(), Violation> {
        let zxid = match fact {
            ClientFact::Ok { zxid, .. }
            | ClientFact::Err { zxid, .. }
            | ClientFact::Pong { zxid, .. }
            | ClientFact::Watch { zxid, .. } => *zxid,
            ClientFact::Session(SessionFact::Expired { session, .. }) => {
                let upto = self.ends.get(session).map_or(0, |at| at + 1);
                return self.commit(upto);
            }
            ClientFact::Invoke { .. }
            | ClientFact::Unknown { .. }
            | ClientFact::Ping { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => return Ok(()),
        };
        let Some(zxid) = Zxid::from_wire(zxid) else { return Ok(()) };
        self.commit(self.log.partition_point(|logged| logged.zxid <= zxid))?;
        // A leader that was elected and wrote nothing yet shows the first zxid of its epoch.
        if zxid.is_epoch_start() && zxid.epoch() <= self.newest {
            self.establish(zxid.epoch())?;
        }
        Ok(())
    }

    fn establish(&mut self, epoch: Epoch) -> Result<(), Violation> {
        match self.established.insert(epoch) {
            true => self.note(Note::Established { epoch, history: None }),
            false => Ok(()),
        }
    }

    /// The first `upto` transactions of the log are committed.
    fn commit(&mut self, upto: usize) -> Result<(), Violation> {
        while self.committed < upto {
            let logged = &self.log[self.committed];
            let (zxid, hash) = (logged.zxid, 1);
            let payload = logged.payload_as(self.origins.numbers[self.committed]);
            self.establish(zxid.epoch())?;
            self.note(Note::Proposed { zxid, hash, payload })?;
            self.note(Note::Logged { zxid, hash, source: zxid.epoch() })?;
            self.note(Note::Committed { zxid })?;
            self.committed += 1;
        }
        Ok(())
    }
}
