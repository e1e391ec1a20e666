//! What is said over the control socket, and how it reads on a terminal: a line of JSON asks, a
//! line of JSON answers.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The N of `server.N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(pub u8);

/// A server as a person names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Number(Number),
    /// Whoever leads when the request is carried out.
    Leader,
}

/// Servers that stay together in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(pub Vec<Target>);

/// What may be done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Kill,
    Stop,
    Start,
    Pause,
    Resume,
    Wipe,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    Status,
    /// One server after the other.
    Do {
        deed: Deed,
        servers: Vec<Target>,
    },
    Partition {
        groups: Vec<Group>,
        one_way: bool,
    },
    Heal,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    Status(Status),
    /// What happened, in order; `refused` says why there is no more.
    Done {
        events: Vec<Event>,
        refused: Option<Refusal>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The request does not fit the ensemble; else something went wrong.
    pub usage: bool,
    pub text: String,
}

impl Refusal {
    pub fn usage(text: impl Into<String>) -> Self {
        Self { usage: true, text: text.into() }
    }

    pub fn running(text: impl Into<String>) -> Self {
        Self { usage: false, text: text.into() }
    }
}

/// Something that took effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Killed {
        server: Number,
        pid: u32,
    },
    Stopped {
        server: Number,
        pid: u32,
        exit: String,
    },
    Paused {
        server: Number,
        pid: u32,
    },
    Resumed {
        server: Number,
        pid: u32,
    },
    Started {
        server: Number,
        pid: u32,
        #[serde(flatten)]
        outcome: Outcome,
    },
    Wiped {
        server: Number,
        pid: u32,
        #[serde(flatten)]
        outcome: Outcome,
    },
    Partitioned {
        groups: Vec<Vec<Number>>,
        one_way: bool,
        #[serde(flatten)]
        outcome: Outcome,
    },
    Healed {
        #[serde(flatten)]
        outcome: Outcome,
    },
}

/// What the servers that the request was about do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Those that serve clients.
    pub serving: Vec<Serving>,
    /// Those that run and do not serve.
    pub not_serving: Vec<Number>,
    /// False where this is not yet what the ensemble will come to.
    pub settled: bool,
    pub took_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Serving {
    pub server: Number,
    /// `leader`, `follower`, `standalone`.
    pub mode: String,
}

/// An ensemble that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub name: String,
    /// What a client is given.
    pub connect: String,
    pub folder: PathBuf,
    /// From the start of the command until every server served.
    pub ready_ms: u64,
    pub servers: Vec<ServerStatus>,
    /// Pairs (from, to) between which nothing passes.
    pub cuts: Vec<(Number, Number)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    pub server: Number,
    pub address: String,
    /// `running`, `paused`, `killed`, `stopped`, or `ended` by itself.
    pub state: String,
    pub pid: Option<u32>,
    /// `leader`, `follower`, `standalone`; none where it does not serve.
    pub mode: Option<String>,
    pub zxid: Option<String>,
    pub log: PathBuf,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "leader" {
            return Ok(Self::Leader);
        }
        let number = text.parse().map_err(|_| format!("'{text}' is no number; write 1, or leader"));
        Ok(Self::Number(Number(number?)))
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed { server, pid } => write!(f, "server {server} killed (pid {pid})"),
            Self::Stopped { server, pid, exit } => {
                write!(f, "server {server} stopped (pid {pid}, {exit})")
            }
            Self::Paused { server, pid } => write!(f, "server {server} paused (pid {pid})"),
            Self::Resumed { server, pid } => write!(f, "server {server} resumed (pid {pid})"),
            Self::Started { server, pid, outcome } => {
                write!(f, "server {server} started (pid {pid}): {outcome}")
            }
            Self::Wiped { server, pid, outcome } => {
                write!(f, "server {server} wiped and started blank (pid {pid}): {outcome}")
            }
            Self::Partitioned { groups, one_way, outcome } => {
                let groups: Vec<_> = groups.iter().map(|group| list(group)).collect();
                let how = if *one_way { ", one way" } else { "" };
                write!(f, "partitioned {}{how}: {outcome}", groups.join(" | "))
            }
            Self::Healed { outcome } => write!(f, "healed: {outcome}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<_> = self
            .serving
            .iter()
            .map(|Serving { server, mode }| format!("{server} is {mode}"))
            .collect();
        if !self.not_serving.is_empty() {
            let verb = if self.not_serving.len() == 1 { "does" } else { "do" };
            parts.push(format!("{} {verb} not serve", list(&self.not_serving)));
        }
        if parts.is_empty() {
            parts.push("nobody runs".to_owned());
        }
        let parts = parts.join(", ");
        let secs = seconds(self.took_ms);
        if self.settled {
            write!(f, "{parts}, after {secs} s")
        } else {
            write!(f, "{parts}; more was expected, but not within {secs} s")
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.name, self.connect, self.folder.display())?;
        write!(f, "server  address          state    pid      mode        zxid")?;
        for one in &self.servers {
            let ServerStatus { server, address, state, pid, mode, zxid, log: _ } = one;
            let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            let (mode, zxid) = (mode.as_deref().unwrap_or("-"), zxid.as_deref().unwrap_or("-"));
            write!(f, "\n{server:<7} {address:<16} {state:<8} {pid:<8} {mode:<11} {zxid}")?;
        }
        for (from, to) in &self.cuts {
            write!(f, "\ncut: what {from} sends to {to}")?;
        }
        Ok(())
    }
}

pub fn list(servers: &[Number]) -> String {
    servers.iter().map(Number::to_string).collect::<Vec<_>>().join(",")
}

/// `0.14`.
pub fn seconds(ms: u64) -> String {
    format!("{}.{:02}", ms / 1000, ms % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_groups_read_as_people_write_them() {
        let two = Target::Number(Number(2));
        assert_eq!("2".parse(), Ok(two));
        assert_eq!("leader".parse(), Ok(Target::Leader));
        assert_eq!("leader,2".parse(), Ok(Group(vec![Target::Leader, two])));
        for wrong in ["", "x", "-1", "256", "1,", "1 2"] {
            assert!(wrong.parse::<Group>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn requests_and_replies_survive_the_socket() {
        let request = Request::Partition {
            groups: vec![Group(vec![Target::Leader]), Group(vec![Target::Number(Number(3))])],
            one_way: true,
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let outcome = Outcome {
            serving: vec![Serving { server: Number(3), mode: "leader".into() }],
            not_serving: vec![Number(1), Number(2)],
            settled: true,
            took_ms: 1234,
        };
        let event = Event::Started { server: Number(3), pid: 7, outcome };
        assert_eq!(
            event.to_string(),
            "server 3 started (pid 7): 3 is leader, 1,2 do not serve, after 1.23 s"
        );
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
