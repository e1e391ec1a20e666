//! What the page is made of, as data: columns of numbers, and each text once.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Origin, checks};
use crate::ids::{NodeId, SimTime};
use crate::recording::{
    Event, EventId, FaultSpan, Life as LifeSpan, LifeEnd, Operation, OperationEnd, PhaseSpan,
    Recording, Spans, Teller, What, error_name, phase_name,
};
use crate::run::Outcome;
use vivarium_core::ids::Zxid;
use vivarium_core::server::input::Plane;

#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    meta: Meta<'a>,
    nodes: Vec<Node>,
    texts: Vec<String>,
    events: Events,
    messages: Messages,
    phases: Vec<Phase>,
    lives: Vec<Life>,
    /// Node, from, to.
    pauses: Vec<(usize, u64, u64)>,
    faults: Vec<Fault>,
    operations: Vec<Op>,
    /// The event that broke a promise.
    violation: Option<usize>,
    /// When faults were over.
    healed: Option<u64>,
    end: u64,
}

#[derive(Debug, Serialize)]
struct Meta<'a> {
    name: &'a str,
    seed: u64,
    commit: &'static str,
    check: Option<&'a str>,
    what: Option<&'a str>,
    promise: Option<&'static str>,
    replay: &'a str,
    trace_hash: String,
    servers: usize,
    clients: usize,
    apache: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Node {
    name: String,
    kind: &'static str,
}

/// What an event is, for the filter.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Life,
    Note,
    Sent,
    Received,
    Link,
    Disk,
    Sync,
    Client,
    Wake,
    Fault,
    Violation,
}

/// One entry an event in each column.
#[derive(Debug, Default, Serialize)]
struct Events {
    /// Microseconds since the event before.
    after: Vec<u64>,
    node: Vec<usize>,
    kind: Vec<Kind>,
    /// Place in `texts`.
    text: Vec<usize>,
    incarnation: Vec<u32>,
    /// How many events before.
    causes: Vec<Vec<usize>>,
}

#[derive(Debug, Default, Serialize)]
struct Messages {
    from: Vec<usize>,
    to: Vec<usize>,
    plane: Vec<&'static str>,
    name: Vec<usize>,
    text: Vec<usize>,
    sent: Vec<usize>,
    /// How many events after `sent`; 0: never.
    received: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Phase {
    node: usize,
    from: u64,
    to: u64,
    name: &'static str,
    epoch: u32,
    event: usize,
}

#[derive(Debug, Serialize)]
struct Life {
    node: usize,
    from: u64,
    to: u64,
    incarnation: u32,
    ended: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Fault {
    from: u64,
    to: u64,
    name: &'static str,
    text: String,
    nodes: Vec<usize>,
    event: usize,
    struck: bool,
}

#[derive(Debug, Serialize)]
struct Op {
    node: usize,
    from: u64,
    to: u64,
    server: String,
    call: usize,
    status: &'static str,
    result: usize,
    asked: usize,
    answered: Option<usize>,
}

impl<'a> Document<'a> {
    pub(super) fn new(origin: &'a Origin, outcome: &'a Outcome, recording: &'a Recording) -> Self {
        let mut texts = Texts::default();
        let nodes = Nodes::new(recording);
        let events = events(recording, &nodes, &mut texts);
        let messages = messages(recording, &nodes, &mut texts);
        let spans = Spans::of(recording);
        let operations = spans.operations.iter();
        let operations = operations.map(|op| operation(op, &nodes, &mut texts)).collect();
        let healed =
            recording.events.iter().find(|event| matches!(event.what, What::Healed { .. }));
        Self {
            meta: meta(origin, outcome),
            nodes: nodes.list,
            events,
            messages,
            phases: phases(&spans, &nodes.places),
            lives: lives(&spans, &nodes.places),
            pauses: {
                let pauses = spans.pauses.iter();
                pauses.map(|pause| (nodes.places[&pause.node], pause.from.0, pause.to.0)).collect()
            },
            faults: faults(&spans, recording, &nodes.places),
            operations,
            violation: recording.violation().map(|id| id.index()),
            healed: healed.map(|event| event.at.0),
            end: recording.end.0,
            texts: texts.list,
        }
    }
}

fn meta<'a>(origin: &'a Origin, outcome: &'a Outcome) -> Meta<'a> {
    let violation = outcome.verdict.as_ref().err();
    let apache = outcome.apache.iter();
    Meta {
        name: &origin.name,
        seed: outcome.seed,
        commit: crate::COMMIT,
        check: violation.map(|violation| violation.check.as_str()),
        what: violation.map(|violation| violation.what.as_str()),
        promise: violation.and_then(|violation| checks::promise(&violation.check)),
        replay: &origin.replay,
        trace_hash: format!("{:016x}", outcome.trace_hash),
        servers: outcome.servers,
        clients: outcome.clients,
        apache: apache.map(|peer| (format!("s{}", peer.server), peer.habits.join(", "))).collect(),
    }
}

/// Each text once, by its place.
#[derive(Debug, Default)]
struct Texts {
    list: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Texts {
    fn place(&mut self, text: String) -> usize {
        if let Some(&place) = self.places.get(&text) {
            return place;
        }
        let place = self.list.len();
        self.list.push(text.clone());
        self.places.insert(text, place);
        place
    }
}

struct Nodes {
    list: Vec<Node>,
    places: BTreeMap<NodeId, usize>,
}

impl Nodes {
    /// The world is the last one.
    fn new(recording: &Recording) -> Self {
        let all: Vec<NodeId> = recording.nodes.iter().copied().chain([NodeId::World]).collect();
        let kind = |node: &NodeId| match node {
            NodeId::World => "world",
            NodeId::Server(_) => "server",
            NodeId::Client(_) => "client",
        };
        let list = all.iter().map(|node| Node { name: node.to_string(), kind: kind(node) });
        Self {
            list: list.collect(),
            places: all.iter().enumerate().map(|(place, &node)| (node, place)).collect(),
        }
    }
}

fn events(recording: &Recording, nodes: &Nodes, texts: &mut Texts) -> Events {
    let teller = Teller::new(recording);
    let mut out = Events::default();
    let mut before = SimTime::ZERO;
    for (index, event) in recording.events.iter().enumerate() {
        let text = if let What::Sent { bytes, .. } | What::Received { bytes, .. } = &event.what {
            // The page puts the names of the messages together itself.
            format!("{bytes} bytes")
        } else {
            teller.tell(EventId::at(index))
        };
        out.after.push(event.at.since(before));
        before = event.at;
        out.node.push(nodes.places[&event.node]);
        out.kind.push(kind(event));
        out.text.push(texts.place(text));
        out.incarnation.push(event.incarnation);
        out.causes.push(event.causes.iter().map(|cause| index - cause.index()).collect());
    }
    out
}

fn kind(event: &Event) -> Kind {
    match &event.what {
        What::Boot
        | What::Up
        | What::Crash(_)
        | What::Exit(_)
        | What::Paused
        | What::Resumed
        | What::StopAsked
        | What::HistoryLost(_) => Kind::Life,
        What::Note(_) | What::FuzzySnap { .. } => Kind::Note,
        What::Sent { .. } => Kind::Sent,
        What::Received { .. } => Kind::Received,
        What::Dialled { .. }
        | What::DialFailed { .. }
        | What::Opened { .. }
        | What::Closes { .. }
        | What::Closed { .. } => Kind::Link,
        What::Disk { .. } | What::DiskDone | What::DiskFailed => Kind::Disk,
        What::Durable(_) => Kind::Sync,
        What::Client(_) => Kind::Client,
        What::Woken(_) | What::Disguised | What::ClientStarts | What::ClientWoken => Kind::Wake,
        What::FaultBegins(_) | What::FaultSkipped(_) | What::FaultEnds(_) | What::Healed { .. } => {
            Kind::Fault
        }
        What::Violation(_) => Kind::Violation,
    }
}

fn messages(recording: &Recording, nodes: &Nodes, texts: &mut Texts) -> Messages {
    let mut out = Messages::default();
    for message in &recording.messages {
        out.from.push(nodes.places[&message.from]);
        out.to.push(nodes.places[&message.to]);
        out.plane.push(match message.plane {
            Plane::Election => "election",
            Plane::Quorum => "quorum",
            Plane::Client => "client",
        });
        out.name.push(texts.place(message.name.into()));
        out.text.push(texts.place(message.text.clone()));
        let sent = message.sent.index();
        out.sent.push(sent);
        out.received.push(message.received.map_or(0, |received| received.index() - sent));
    }
    out
}

type Places = BTreeMap<NodeId, usize>;

fn phases(spans: &Spans, nodes: &Places) -> Vec<Phase> {
    let phase = |span: &PhaseSpan| Phase {
        node: nodes[&span.node],
        from: span.from.0,
        to: span.to.0,
        name: phase_name(span.phase),
        epoch: span.epoch.0,
        event: span.event.index(),
    };
    spans.phases.iter().map(phase).collect()
}

fn lives(spans: &Spans, nodes: &Places) -> Vec<Life> {
    let life = |life: &LifeSpan| Life {
        node: nodes[&life.node],
        from: life.from.0,
        to: life.to.0,
        incarnation: life.incarnation,
        ended: life.ended.map(|end| match end {
            LifeEnd::Killed => "killed",
            LifeEnd::PowerLoss => "power lost",
            LifeEnd::Exit => "ended itself",
        }),
    };
    spans.lives.iter().map(life).collect()
}

fn faults(spans: &Spans, recording: &Recording, nodes: &Places) -> Vec<Fault> {
    let fault = |span: &FaultSpan| {
        let unit = recording.faults.get(span.unit)?;
        let hit = recording.nodes.iter().filter(|node| unit.scope.may_hit(**node));
        Some(Fault {
            from: span.from.0,
            to: span.to.0,
            name: unit.kind.name(),
            text: unit.to_string(),
            nodes: hit.map(|node| nodes[node]).collect(),
            event: span.event.index(),
            struck: span.struck,
        })
    };
    spans.faults.iter().filter_map(fault).collect()
}

fn operation(op: &Operation, nodes: &Nodes, texts: &mut Texts) -> Op {
    let at = |zxid: i64| {
        Zxid::from_wire(zxid).map_or_else(|| zxid.to_string(), |zxid| format!("{zxid:?}"))
    };
    let (status, result) = match &op.end {
        OperationEnd::Ok { zxid, result } => ("ok", format!("{result}, at {}", at(*zxid))),
        OperationEnd::Err { zxid, code } => {
            ("error", format!("{}, at {}", error_name(*code), at(*zxid)))
        }
        OperationEnd::Unknown => ("unknown", String::from("the connection ended first")),
        OperationEnd::Open => ("open", String::from("no answer when the run ended")),
    };
    Op {
        node: nodes.places[&op.node],
        from: op.from.0,
        to: op.to.0,
        server: format!("s{}", op.server),
        call: texts.place(op.call.clone()),
        status,
        result: texts.place(result),
        asked: op.asked.index(),
        answered: op.answered.map(|id| id.index()),
    }
}
