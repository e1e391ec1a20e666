//! Takes a recording while the world runs.
//!
//! The world tells what it does in the order in which it does it. The recorder keeps what is under
//! way (bytes, disk operations, requests, the inputs of a server's turn), and ties each event to
//! what it came of.

use std::collections::BTreeMap;

use bytes::Bytes;
use vivarium_core::ids::Zxid;
use vivarium_core::server::action::{Action, DiskAction, LinkAction};
use vivarium_core::server::input::{DialError, Input, LinkEnd, Plane};
use vivarium_core::server::note::Note;
use vivarium_core::timers::Timer;

use super::Recording;
use super::event::{Event, EventId, What};
use super::links::Links;
use super::pending_disk::PendingDisk;
use super::subject::{zxid_of, zxids_in};
use crate::disk::DiskDone;
use crate::history::{ClientFact, RequestId};
use crate::ids::{NodeId, SimTime};
use crate::net::{Delivery, EndId};
use crate::observe::{SimEvent, Violation};
use crate::schedule::{FaultKind, FaultUnit};

#[derive(Debug)]
pub(crate) struct Recorder {
    recording: Recording,
    faults: Vec<FaultUnit>,
    now: SimTime,
    /// Boots of each server so far.
    incarnations: BTreeMap<NodeId, u32>,
    /// What the host that runs now is doing.
    because: Vec<EventId>,
    /// What the next step of a server is about.
    arrived: Option<EventId>,
    /// Inputs of each server since its outbox was emptied.
    turns: BTreeMap<NodeId, Vec<Given>>,
    /// Those whose actions are carried out right now.
    carried_out: Vec<Given>,
    links: Links,
    disk: PendingDisk,
    dials: BTreeMap<(NodeId, u64), EventId>,
    requests: BTreeMap<RequestId, EventId>,
    struck: BTreeMap<usize, EventId>,
    /// The newest event of a host about a transaction.
    about: BTreeMap<(NodeId, Zxid), EventId>,
    /// The newest change of what a server is: its boot, its end, its phase.
    state: BTreeMap<NodeId, EventId>,
}

/// An input of a server, and how long its outbox was before.
#[derive(Clone, Debug)]
struct Given {
    outbox: usize,
    input: GivenInput,
}

#[derive(Clone, Debug)]
enum GivenInput {
    Event(EventId),
    /// Most wakes lead to nothing: an event is made of those that do.
    Wake(Option<Timer>),
    /// The kernel took bytes.
    Credit,
}

impl Recorder {
    pub(crate) fn new(nodes: Vec<NodeId>, faults: Vec<FaultUnit>) -> Self {
        Self {
            recording: Recording { nodes, ..Recording::default() },
            faults,
            now: SimTime::ZERO,
            incarnations: BTreeMap::new(),
            because: Vec::new(),
            arrived: None,
            turns: BTreeMap::new(),
            carried_out: Vec::new(),
            links: Links::default(),
            disk: PendingDisk::default(),
            dials: BTreeMap::new(),
            requests: BTreeMap::new(),
            struck: BTreeMap::new(),
            about: BTreeMap::new(),
            state: BTreeMap::new(),
        }
    }

    pub(crate) fn finish(mut self, end: SimTime) -> Recording {
        self.recording.end = end;
        self.recording.faults = self.faults;
        self.recording
    }

    /// Something else begins: nothing of what was going on causes it.
    pub(crate) fn begin(&mut self, now: SimTime) {
        self.now = now;
        self.because.clear();
        self.arrived = None;
    }

    fn push(&mut self, node: NodeId, what: What, mut causes: Vec<EventId>) -> EventId {
        let id = EventId::at(self.recording.events.len());
        if let Some(zxid) = zxid_of(&what) {
            causes.extend(self.about.insert((node, zxid), id));
        }
        causes.sort_unstable();
        causes.dedup();
        let incarnation = self.incarnations.get(&node).copied().unwrap_or(0);
        self.recording.events.push(Event { at: self.now, node, incarnation, what, causes });
        id
    }

    fn push_caused(&mut self, node: NodeId, what: What) -> EventId {
        self.push(node, what, self.because.clone())
    }

    /// An event that all which follows comes of.
    fn arrive(&mut self, node: NodeId, what: What, causes: Vec<EventId>) {
        let id = self.push(node, what, causes);
        self.because = vec![id];
        self.arrived = Some(id);
    }
}

/// What hosts do.
impl Recorder {
    /// A server is given an input; `outbox` is how many actions it has asked for and not seen done.
    pub(crate) fn step(
        &mut self,
        node: NodeId,
        input: &Input,
        timer: Option<Timer>,
        outbox: usize,
    ) {
        let input = match (self.arrived.take(), input) {
            (Some(id), _) => GivenInput::Event(id),
            (None, Input::Wake) => GivenInput::Wake(timer),
            (None, Input::Link(vivarium_core::server::input::LinkInput::Sent { .. })) => {
                GivenInput::Credit
            }
            (None, Input::Stop) => GivenInput::Event(self.push(node, What::StopAsked, Vec::new())),
            (
                None,
                Input::Link(_) | Input::Disk(_) | Input::Admin { .. } | Input::ReloadConfig(_),
            ) => GivenInput::Event(self.push_caused(node, What::Disguised)),
        };
        self.turns.entry(node).or_default().push(Given { outbox, input });
    }

    /// The actions of a server's turn are carried out from here on.
    pub(crate) fn drain(&mut self, node: NodeId) {
        self.carried_out = self.turns.remove(&node).unwrap_or_default();
    }

    /// The action at `place` of the outbox is next.
    pub(crate) fn action(&mut self, node: NodeId, place: usize, action: &Action) {
        let last = self.carried_out.iter().rposition(|given| given.outbox <= place);
        let Some(last) = last else { return self.because.clear() };
        // What later inputs of the turn send or append may have been joined to it.
        let joins = matches!(
            action,
            Action::Link(LinkAction::Send { .. }) | Action::Disk(DiskAction::Write { .. })
        );
        let end = if joins { self.carried_out.len() } else { last + 1 };
        self.because.clear();
        for index in last..end {
            let id = self.materialize(node, index);
            self.because.push(id);
        }
    }

    fn materialize(&mut self, node: NodeId, index: usize) -> EventId {
        let id = match self.carried_out[index].input {
            GivenInput::Event(id) => id,
            GivenInput::Wake(timer) => self.push(node, What::Woken(timer), Vec::new()),
            GivenInput::Credit => self.push(node, What::Woken(None), Vec::new()),
        };
        self.carried_out[index].input = GivenInput::Event(id);
        id
    }

    pub(crate) fn client_starts(&mut self, now: SimTime, node: NodeId) {
        self.begin(now);
        self.arrive(node, What::ClientStarts, Vec::new());
    }

    pub(crate) fn client_woken(&mut self, now: SimTime, node: NodeId) {
        self.begin(now);
        self.arrive(node, What::ClientWoken, Vec::new());
    }
}

/// The network.
impl Recorder {
    pub(crate) fn dial(&mut self, node: NodeId, dial: u64, to: NodeId, plane: Plane) {
        let id = self.push_caused(node, What::Dialled { to, plane });
        self.dials.insert((node, dial), id);
    }

    /// `far`: the other side of a connection that stands now.
    pub(crate) fn delivered(&mut self, node: NodeId, far: NodeId, delivery: &Delivery) {
        match *delivery {
            Delivery::Opened { end, dial, plane, .. } => self.opened(node, end, dial, plane, far),
            Delivery::DialFailed { dial, why } => self.dial_failed(node, dial, why),
            Delivery::Bytes { end, ref bytes } => self.received(node, end, bytes.len() as u64),
            Delivery::Sent { .. } => {}
            Delivery::Closed { end, how } => self.closed(node, end, how),
        }
    }

    fn dial_failed(&mut self, node: NodeId, dial: u64, why: DialError) {
        let causes = self.dials.remove(&(node, dial)).into_iter().collect();
        self.arrive(node, What::DialFailed { why }, causes);
    }

    fn opened(&mut self, node: NodeId, end: EndId, dial: Option<u64>, plane: Plane, far: NodeId) {
        let dialled = dial.is_some();
        let cause = dial.and_then(|dial| self.dials.remove(&(node, dial)));
        let cause = cause.or_else(|| self.links.opened_at(end));
        let what = What::Opened { end, far, plane, dialled };
        self.arrive(node, what, cause.into_iter().collect());
        let id = self.because[0];
        let (dialler, acceptor) = if dialled { (node, far) } else { (far, node) };
        self.links.open(end, plane, dialler, acceptor, id);
    }

    pub(crate) fn send(&mut self, node: NodeId, end: EndId, bytes: &Bytes) {
        let id = EventId::at(self.recording.events.len());
        let Some((upto, messages)) = self.links.send(end, bytes, id) else { return };
        let about = messages.iter().filter_map(|message| message.zxid);
        let about = about.filter_map(|zxid| self.about.get(&(node, zxid)).copied());
        let mut causes = self.because.clone();
        causes.extend(about);
        self.links.under_way(end, &messages, self.recording.messages.len());
        self.recording.messages.extend(messages.into_iter().map(|message| message.message));
        self.push(node, What::Sent { end, upto, bytes: bytes.len() as u64 }, causes);
    }

    fn received(&mut self, node: NodeId, end: EndId, bytes: u64) {
        let id = EventId::at(self.recording.events.len());
        let (upto, messages, causes) = self.links.receive(end, bytes);
        for message in messages {
            self.recording.messages[message].received = Some(id);
        }
        self.arrive(node, What::Received { end, upto, bytes }, causes);
    }

    pub(crate) fn closes(&mut self, node: NodeId, end: EndId, why: String) {
        let id = self.push_caused(node, What::Closes { end, why });
        self.links.closed(end, id);
    }

    fn closed(&mut self, node: NodeId, end: EndId, how: LinkEnd) {
        let causes = self.links.close_of(end).into_iter().collect();
        self.arrive(node, What::Closed { end, how }, causes);
        let id = self.because[0];
        self.links.closed(end, id);
    }
}

/// The disk.
impl Recorder {
    pub(crate) fn disk(&mut self, node: NodeId, action: &DiskAction, recovers: bool) {
        let id = EventId::at(self.recording.events.len());
        let (op, written) = self.disk.submit(node, action, recovers, id);
        let mut causes = self.because.clone();
        causes.extend(written);
        let text = crate::trace::describe(action);
        let text = text.strip_prefix("-> ").unwrap_or(&text).to_owned();
        self.push(node, What::Disk { op, text }, causes);
    }

    pub(crate) fn disk_done(&mut self, node: NodeId, done: &DiskDone) {
        let (cause, failed) = self.disk.done(node, done);
        let what = if failed { What::DiskFailed } else { What::DiskDone };
        let broken = if failed { self.newest_fault(node, breaks_disks) } else { None };
        self.arrive(node, what, cause.into_iter().chain(broken).collect());
    }
}

/// Faults, and what observers are shown.
impl Recorder {
    pub(crate) fn fault_begins(&mut self, unit: usize) {
        let id = self.push(NodeId::World, What::FaultBegins(unit), Vec::new());
        self.struck.insert(unit, id);
        self.because = vec![id];
    }

    /// The unit that was about to strike could not.
    pub(crate) fn fault_skipped(&mut self, unit: usize) {
        if let Some(id) = self.struck.remove(&unit) {
            self.recording.events[id.index()].what = What::FaultSkipped(unit);
        }
    }

    /// The unit that was about to strike tries again later.
    pub(crate) fn fault_waits(&mut self, unit: usize) {
        let begun = self.struck.remove(&unit).map(EventId::index);
        let last = self.recording.events.pop().map(|_| self.recording.events.len());
        assert_eq!(begun, last, "a fault that waits does nothing");
        self.because.clear();
    }

    pub(crate) fn fault_ends(&mut self, unit: usize) {
        let causes = self.struck.get(&unit).copied().into_iter().collect();
        let id = self.push(NodeId::World, What::FaultEnds(unit), causes);
        self.because = vec![id];
    }

    pub(crate) fn observe(&mut self, node: NodeId, event: &SimEvent) {
        match event {
            SimEvent::Boot { incarnation } => {
                self.incarnations.insert(node, *incarnation);
                self.changes(node, What::Boot);
            }
            SimEvent::Up { .. } => self.changes(node, What::Up),
            SimEvent::Crash(kind) => {
                let armed = self.armed_against(node);
                self.because.extend(armed);
                self.changes(node, What::Crash(*kind));
                self.turns.remove(&node);
                self.disk.died(node);
            }
            SimEvent::Exit(halt) => {
                self.changes(node, What::Exit(halt.clone()));
                self.turns.remove(&node);
                self.disk.died(node);
            }
            SimEvent::Paused => drop(self.push_caused(node, What::Paused)),
            SimEvent::Resumed => drop(self.push_caused(node, What::Resumed)),
            SimEvent::Note(note) => self.note(node, note),
            SimEvent::Durable(change) => drop(self.push_caused(node, What::Durable(*change))),
            SimEvent::HistoryLost(kind) => drop(self.push_caused(node, What::HistoryLost(*kind))),
            SimEvent::Client(fact) => self.client(node, fact),
            SimEvent::ApacheSnap { base, end, .. } | SimEvent::FuzzyFile { base, end } => {
                let what = What::FuzzySnap { base: *base, end: *end };
                self.push_caused(node, what);
            }
            SimEvent::Healed { dead, .. } => {
                let dead = dead.iter().copied().map(NodeId::Server).collect();
                self.push(node, What::Healed { dead }, Vec::new());
            }
            SimEvent::Cluster { .. }
            | SimEvent::HalfOpen { .. }
            | SimEvent::Objection { .. }
            | SimEvent::Word { .. }
            | SimEvent::LogDone
            | SimEvent::BatchOutgrown { .. }
            | SimEvent::DiskFailed { .. }
            | SimEvent::ReadFailed
            | SimEvent::Shadow(_)
            | SimEvent::Faults { .. }
            | SimEvent::QuorumLost { .. }
            | SimEvent::Traffic { .. }
            | SimEvent::AtRest(_) => {}
        }
    }

    /// A server is something else now.
    fn changes(&mut self, node: NodeId, what: What) {
        let mut causes = self.because.clone();
        causes.extend(self.state.get(&node));
        let id = self.push(node, what, causes);
        self.state.insert(node, id);
        // What follows at this host in the same breath comes of it.
        self.because = vec![id];
    }

    fn note(&mut self, node: NodeId, note: &Note) {
        let mut causes = self.because.clone();
        let enters = matches!(note, Note::PhaseEntered { .. });
        if !enters {
            causes.extend(self.state.get(&node));
        }
        let id = self.push(node, What::Note(note.clone()), causes);
        if enters {
            self.state.insert(node, id);
        }
    }

    fn client(&mut self, node: NodeId, fact: &ClientFact) {
        let mut causes = self.because.clone();
        match fact {
            ClientFact::Ok { op, .. } | ClientFact::Err { op, .. } | ClientFact::Unknown { op } => {
                causes.extend(self.requests.remove(op));
                self.push(node, What::Client(fact.clone()), causes);
            }
            ClientFact::Invoke { op, .. } => {
                let id = self.push(node, What::Client(fact.clone()), causes);
                self.requests.insert(*op, id);
                self.because.push(id);
            }
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => {
                self.push(node, What::Client(fact.clone()), causes);
            }
        }
    }

    /// A crash at a boundary, or at a packet, was armed by a unit that struck before.
    fn armed_against(&self, node: NodeId) -> Option<EventId> {
        let by_fault = |id: &EventId| {
            matches!(self.recording.event(*id).what, What::FaultBegins(_) | What::FaultEnds(_))
        };
        if self.because.iter().any(by_fault) {
            return None;
        }
        self.newest_fault(node, |kind| {
            matches!(kind, FaultKind::CrashAtBoundary { .. } | FaultKind::AtPacket { .. })
        })
    }

    /// The newest unit of such a kind that struck this machine.
    fn newest_fault(&self, node: NodeId, wanted: fn(FaultKind) -> bool) -> Option<EventId> {
        let struck = self.struck.iter().filter(|(unit, _)| {
            let unit = &self.faults[**unit];
            wanted(unit.kind) && unit.scope.may_hit(node)
        });
        struck.map(|(_, id)| *id).max()
    }

    pub(crate) fn violated(&mut self, node: NodeId, violation: &Violation) {
        let mut causes = self.because.clone();
        if let Some(turn) = self.turns.remove(&node)
            && self.arrived.is_none()
        {
            // A step that panicked: its actions are never carried out.
            self.carried_out = turn;
            let last = self.carried_out.len() - 1;
            causes = vec![self.materialize(node, last)];
        }
        // The event that the observers were shown, where it is of this very moment.
        let last = self.recording.events.last().filter(|last| last.at == self.now);
        if last.is_some_and(|last| last.node == node) {
            causes.push(EventId::at(self.recording.events.len() - 1));
        }
        for zxid in zxids_in(&violation.what) {
            let nodes = self.recording.nodes.iter();
            causes.extend(nodes.filter_map(|&node| self.about.get(&(node, zxid))));
        }
        if causes.is_empty() {
            causes.extend(self.state.values());
        }
        self.push(node, What::Violation(violation.clone()), causes);
    }
}

fn breaks_disks(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::DiskFull | FaultKind::DiskFail { .. } | FaultKind::ReadFail)
}
