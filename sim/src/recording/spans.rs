//! What lasts: the lives and phases of servers, faults, and the operations of clients.

use std::collections::BTreeMap;

use vivarium_core::ids::{Epoch, ServerId};
use vivarium_core::server::note::{Note, Phase};

use super::{EventId, Recording, What};
use crate::history::{ClientFact, RequestId};
use crate::ids::{NodeId, SimTime};
use crate::observe::CrashKind;

/// Everything of a recording that has a beginning and an end.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    pub lives: Vec<Life>,
    pub phases: Vec<PhaseSpan>,
    pub pauses: Vec<Pause>,
    pub faults: Vec<FaultSpan>,
    pub operations: Vec<Operation>,
}

/// One process of a server.
#[derive(Clone, Debug)]
pub struct Life {
    pub node: NodeId,
    pub from: SimTime,
    pub to: SimTime,
    pub incarnation: u32,
    /// `None`: it runs at the end.
    pub ended: Option<LifeEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEnd {
    Killed,
    PowerLoss,
    /// It halted.
    Exit,
}

#[derive(Clone, Debug)]
pub struct PhaseSpan {
    pub node: NodeId,
    pub from: SimTime,
    pub to: SimTime,
    pub phase: Phase,
    pub epoch: Epoch,
    pub event: EventId,
}

#[derive(Clone, Debug)]
pub struct Pause {
    pub node: NodeId,
    pub from: SimTime,
    pub to: SimTime,
}

#[derive(Clone, Debug)]
pub struct FaultSpan {
    pub unit: usize,
    pub from: SimTime,
    pub to: SimTime,
    pub event: EventId,
    /// False: nobody was there to be hit.
    pub struck: bool,
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub node: NodeId,
    pub from: SimTime,
    pub to: SimTime,
    pub server: ServerId,
    pub call: String,
    pub end: OperationEnd,
    pub asked: EventId,
    pub answered: Option<EventId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationEnd {
    Ok {
        zxid: i64,
        result: String,
    },
    Err {
        zxid: i64,
        code: i32,
    },
    /// The connection ended first.
    Unknown,
    /// The run ended first.
    Open,
}

impl Spans {
    pub fn of(recording: &Recording) -> Self {
        let mut spans = Self::default();
        let mut open = Open::default();
        for (index, event) in recording.events.iter().enumerate() {
            let (id, at, node) = (EventId::at(index), event.at, event.node);
            match &event.what {
                What::Boot => open.boots(&mut spans, node, at, event.incarnation),
                What::Crash(CrashKind::Process) => open.ends(&mut spans, node, at, LifeEnd::Killed),
                What::Crash(CrashKind::PowerLoss) => {
                    open.ends(&mut spans, node, at, LifeEnd::PowerLoss);
                }
                What::Exit(_) => open.ends(&mut spans, node, at, LifeEnd::Exit),
                What::Paused => drop(open.pauses.insert(node, at)),
                What::Resumed => open.resumes(&mut spans, node, at),
                What::Note(Note::PhaseEntered { phase, epoch }) => {
                    open.leaves_phase(&mut spans, node, at);
                    open.phases.insert(node, (at, *phase, *epoch, id));
                }
                What::FaultBegins(unit) => drop(open.faults.insert(*unit, (at, id))),
                What::FaultSkipped(unit) => {
                    let struck = false;
                    spans.faults.push(FaultSpan {
                        unit: *unit,
                        from: at,
                        to: at,
                        event: id,
                        struck,
                    });
                }
                What::FaultEnds(unit) => open.fault_ends(&mut spans, *unit, at),
                What::Healed { .. } => open.all_faults_end(&mut spans, at),
                What::Client(fact) => open.client(&mut spans, node, at, id, fact),
                What::Up
                | What::Note(_)
                | What::Woken(_)
                | What::StopAsked
                | What::Disguised
                | What::Dialled { .. }
                | What::DialFailed { .. }
                | What::Opened { .. }
                | What::Sent { .. }
                | What::Received { .. }
                | What::Closes { .. }
                | What::Closed { .. }
                | What::Disk { .. }
                | What::DiskDone
                | What::DiskFailed
                | What::Durable(_)
                | What::HistoryLost(_)
                | What::ClientStarts
                | What::ClientWoken
                | What::FuzzySnap { .. }
                | What::Violation(_) => {}
            }
        }
        open.close(&mut spans, recording);
        spans
    }
}

/// What has begun and not ended.
#[derive(Default)]
struct Open {
    lives: BTreeMap<NodeId, (SimTime, u32)>,
    phases: BTreeMap<NodeId, (SimTime, Phase, Epoch, EventId)>,
    pauses: BTreeMap<NodeId, SimTime>,
    faults: BTreeMap<usize, (SimTime, EventId)>,
    operations: BTreeMap<(NodeId, RequestId), Operation>,
}

impl Open {
    fn boots(&mut self, spans: &mut Spans, node: NodeId, at: SimTime, incarnation: u32) {
        self.ends(spans, node, at, LifeEnd::Exit);
        self.lives.insert(node, (at, incarnation));
    }

    fn ends(&mut self, spans: &mut Spans, node: NodeId, at: SimTime, how: LifeEnd) {
        self.leaves_phase(spans, node, at);
        self.resumes(spans, node, at);
        if let Some((from, incarnation)) = self.lives.remove(&node) {
            spans.lives.push(Life { node, from, to: at, incarnation, ended: Some(how) });
        }
    }

    fn leaves_phase(&mut self, spans: &mut Spans, node: NodeId, at: SimTime) {
        if let Some((from, phase, epoch, event)) = self.phases.remove(&node) {
            spans.phases.push(PhaseSpan { node, from, to: at, phase, epoch, event });
        }
    }

    fn resumes(&mut self, spans: &mut Spans, node: NodeId, at: SimTime) {
        if let Some(from) = self.pauses.remove(&node) {
            spans.pauses.push(Pause { node, from, to: at });
        }
    }

    fn fault_ends(&mut self, spans: &mut Spans, unit: usize, at: SimTime) {
        if let Some((from, event)) = self.faults.remove(&unit) {
            spans.faults.push(FaultSpan { unit, from, to: at, event, struck: true });
        }
    }

    fn all_faults_end(&mut self, spans: &mut Spans, at: SimTime) {
        let units: Vec<_> = self.faults.keys().copied().collect();
        for unit in units {
            self.fault_ends(spans, unit, at);
        }
    }

    fn client(
        &mut self,
        spans: &mut Spans,
        node: NodeId,
        at: SimTime,
        id: EventId,
        fact: &ClientFact,
    ) {
        let (op, end) = match fact {
            ClientFact::Invoke { op, call } => {
                let operation = Operation {
                    node,
                    from: at,
                    to: at,
                    server: op.server,
                    call: super::describe::call(call),
                    end: OperationEnd::Open,
                    asked: id,
                    answered: None,
                };
                self.operations.insert((node, *op), operation);
                return;
            }
            ClientFact::Ok { op, zxid, result } => {
                (op, OperationEnd::Ok { zxid: *zxid, result: super::describe::reply(result) })
            }
            ClientFact::Err { op, zxid, code } => {
                (op, OperationEnd::Err { zxid: *zxid, code: *code })
            }
            ClientFact::Unknown { op } => (op, OperationEnd::Unknown),
            ClientFact::Ping { .. }
            | ClientFact::Pong { .. }
            | ClientFact::Watch { .. }
            | ClientFact::Session(_)
            | ClientFact::Nonsense { .. } => return,
        };
        if let Some(operation) = self.operations.remove(&(node, *op)) {
            let answered = Some(id);
            spans.operations.push(Operation { to: at, end, answered, ..operation });
        }
    }

    fn close(mut self, spans: &mut Spans, recording: &Recording) {
        let end = recording.end;
        self.all_faults_end(spans, end);
        for &node in &recording.nodes {
            self.leaves_phase(spans, node, end);
            self.resumes(spans, node, end);
        }
        for (node, (from, incarnation)) in self.lives {
            spans.lives.push(Life { node, from, to: end, incarnation, ended: None });
        }
        let open = self.operations.into_values();
        spans.operations.extend(open.map(|operation| Operation { to: end, ..operation }));
        spans.lives.sort_by_key(|life| (life.node, life.from));
        spans.phases.sort_by_key(|phase| (phase.node, phase.from));
        spans.faults.sort_by_key(|fault| (fault.from, fault.unit));
        spans.operations.sort_by_key(|operation| (operation.node, operation.from));
    }
}
