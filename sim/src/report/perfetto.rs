//! A recording as trace events that Perfetto and Chrome's tracing read.
//!
//! A process is a host; its threads are what it is, what it is asked, what it does. Messages are
//! flows from the step that sent them to the step that got them.

use serde_json::{Value, json};

use crate::ids::NodeId;
use crate::recording::{EventId, OperationEnd, Recording, Spans, Teller, What, phase_name};

/// Threads of a host, in the order in which they are shown.
#[derive(Clone, Copy)]
enum Track {
    Role = 1,
    Operations = 2,
    Steps = 3,
    Facts = 4,
    Faults = 5,
}

impl Track {
    const fn name(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Operations => "operations",
            Self::Steps => "messages",
            Self::Facts => "facts",
            Self::Faults => "faults",
        }
    }
}

/// The whole document.
pub fn trace_events(recording: &Recording) -> Value {
    let mut events = names(recording);
    let spans = Spans::of(recording);
    slices(recording, &spans, &mut events);
    instants(recording, &mut events);
    flows(recording, &mut events);
    json!({ "traceEvents": events, "displayTimeUnit": "ms" })
}

/// Servers from 1, clients from 101: the order in which viewers show them.
fn process(node: NodeId) -> u64 {
    match node {
        NodeId::World => 0,
        NodeId::Server(id) => id.0,
        NodeId::Client(id) => 101 + u64::from(id.0),
    }
}

fn names(recording: &Recording) -> Vec<Value> {
    let mut out = Vec::new();
    for &node in recording.nodes.iter().chain([&NodeId::World]) {
        let pid = process(node);
        out.push(json!({ "ph": "M", "name": "process_name", "pid": pid, "args": { "name": node.to_string() } }));
        out.push(json!({ "ph": "M", "name": "process_sort_index", "pid": pid, "args": { "sort_index": pid } }));
        let tracks: &[Track] = match node {
            NodeId::World => &[Track::Faults],
            NodeId::Server(_) => &[Track::Role, Track::Steps, Track::Facts],
            NodeId::Client(_) => &[Track::Operations, Track::Steps, Track::Facts],
        };
        for &track in tracks {
            let (tid, name) = (track as u64, track.name());
            out.push(json!({ "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": { "name": name } }));
        }
    }
    out
}

fn slices(recording: &Recording, spans: &Spans, out: &mut Vec<Value>) {
    for phase in &spans.phases {
        let name = format!("{}, epoch {}", phase_name(phase.phase), phase.epoch.0);
        let times = (phase.from.0, phase.to.0);
        out.push(slice(phase.node, Track::Role, times, &name, json!({ "epoch": phase.epoch.0 })));
    }
    for fault in &spans.faults {
        let text = recording.faults.get(fault.unit).map_or_else(String::new, ToString::to_string);
        let args = json!({ "unit": fault.unit, "struck": fault.struck });
        // Faults overlap without being nested: each has a track of its own.
        let mut event =
            slice(NodeId::World, Track::Faults, (fault.from.0, fault.to.0), &text, args);
        event["tid"] = json!(1000 + fault.unit);
        out.push(event);
    }
    for op in &spans.operations {
        let end = match &op.end {
            OperationEnd::Ok { result, .. } => format!("ok: {result}"),
            OperationEnd::Err { code, .. } => crate::recording::error_name(*code),
            OperationEnd::Unknown => String::from("unknown"),
            OperationEnd::Open => String::from("open"),
        };
        // The operations of a session overlap as well.
        let id = format!("op{}", op.asked.index());
        let args = json!({ "server": format!("s{}", op.server), "end": end });
        let pid = process(op.node);
        out.push(json!({ "ph": "b", "cat": "operation", "id": id, "name": op.call, "pid": pid, "tid": 2, "ts": op.from.0, "args": args }));
        out.push(json!({ "ph": "e", "cat": "operation", "id": id, "name": op.call, "pid": pid, "tid": 2, "ts": op.to.0 }));
    }
}

fn slice(node: NodeId, track: Track, (from, to): (u64, u64), name: &str, args: Value) -> Value {
    let (pid, tid) = (process(node), track as u64);
    json!({ "ph": "X", "name": name, "pid": pid, "tid": tid, "ts": from, "dur": to - from, "args": args })
}

fn instants(recording: &Recording, out: &mut Vec<Value>) {
    let teller = Teller::new(recording);
    for (index, event) in recording.events.iter().enumerate() {
        let id = EventId::at(index);
        let pid = process(event.node);
        let at = event.at.0;
        if matches!(event.what, What::Sent { .. } | What::Received { .. }) {
            if !teller.messages_of(id).is_empty() {
                let times = (at, at + 1);
                out.push(slice(event.node, Track::Steps, times, &teller.tell(id), json!({})));
            }
        } else if is_worth_a_mark(&event.what) {
            let scope = if matches!(event.what, What::Violation(_)) { "g" } else { "t" };
            let name = teller.tell(id);
            out.push(json!({ "ph": "i", "s": scope, "name": name, "pid": pid, "tid": Track::Facts as u64, "ts": at }));
        }
    }
}

/// Not the small steps of every disk and timer.
fn is_worth_a_mark(what: &What) -> bool {
    !matches!(what, What::Disk { .. } | What::DiskDone | What::Woken(_) | What::ClientWoken)
}

fn flows(recording: &Recording, out: &mut Vec<Value>) {
    for (id, message) in recording.messages.iter().enumerate() {
        let Some(received) = message.received else { continue };
        let tid = Track::Steps as u64;
        let (from, to) = (recording.event(message.sent).at.0, recording.event(received).at.0);
        let (near, far) = (process(message.from), process(message.to));
        out.push(json!({ "ph": "s", "cat": "message", "id": id, "name": message.name, "pid": near, "tid": tid, "ts": from }));
        out.push(json!({ "ph": "f", "bp": "e", "cat": "message", "id": id, "name": message.name, "pid": far, "tid": tid, "ts": to }));
    }
}
