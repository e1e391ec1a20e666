//! The host of one simulated client: turns deliveries into its events and its asks into traffic.

use std::collections::BTreeMap;

use vivarium_core::server::input::{DialError, Plane};

use crate::client::{ClientAsk, ClientEvent, ClientOut, ConnId, SimClient};
use crate::ids::{ClientId, NodeId, SimTime};
use crate::inbox::What;
use crate::net::{Delivery, EndId};
use crate::observe::SimEvent;
use crate::trace::{Mark, hash_bytes};
use crate::world::World;
use crate::zkclient::Timed;

/// A client gives up a connection attempt after this many microseconds.
const CONNECT_TIMEOUT: u64 = 2_000_000;

pub(crate) struct ClientSlot {
    pub(crate) starts: SimTime,
    machine: Box<dyn SimClient + Send>,
    out: ClientOut,
    ends: BTreeMap<ConnId, EndId>,
    conns: BTreeMap<EndId, ConnId>,
}

impl ClientSlot {
    /// Frames that it decoded so far.
    pub(crate) fn frames(&self) -> u64 {
        self.out.frames
    }

    pub(crate) fn new(starts: SimTime, machine: Box<dyn SimClient + Send>) -> Self {
        Self {
            starts,
            machine,
            out: ClientOut::new(),
            ends: BTreeMap::new(),
            conns: BTreeMap::new(),
        }
    }

    pub(crate) fn reroll(&mut self, rolls: u32) {
        self.machine.reroll(rolls);
    }

    pub(crate) fn take_performed(&mut self) -> Vec<Timed> {
        self.machine.take_performed()
    }
}

impl World {
    /// Returns when the client's task has to run again.
    pub(crate) fn poll_client(&mut self, index: usize) -> Option<SimTime> {
        let host = self.client_host(index);
        let mut deliveries = std::mem::take(&mut self.scratch.deliveries);
        while let Some(what) = self.inboxes[host.0].pop(self.now) {
            if let Some(recorder) = &mut self.recorder {
                recorder.begin(self.now);
            }
            match what {
                What::ClientStart => self.tell(index, ClientEvent::Start),
                What::ClientCalm => self.tell(index, ClientEvent::Calm),
                What::ClientLeave => self.tell(index, ClientEvent::Leave),
                What::Net(event) => {
                    self.net.due(self.now, event, &mut deliveries);
                    for delivery in deliveries.drain(..) {
                        self.deliver_to_client(index, delivery);
                    }
                }
                What::Disk(_)
                | What::Boot
                | What::Stop
                | What::FaultBegins(_)
                | What::FaultTurns(_)
                | What::FaultEnds(_)
                | What::Heal
                | What::End
                | What::Cut
                | What::Reroll(_) => unreachable!("clients get nothing of the kind"),
            }
            self.forward_posts();
        }
        self.scratch.deliveries = deliveries;
        let slot = &mut self.clients[index];
        if slot.machine.deadline().is_some_and(|deadline| deadline <= self.now) {
            let node = NodeId::Client(ClientId(index as u32));
            if let Some(recorder) = &mut self.recorder {
                recorder.client_woken(self.now, node);
            }
            self.trace.event(self.now, node, Mark::Wake, 0, || String::from("wake"));
            slot.machine.on_wake(self.now, &mut slot.out);
            self.carry_out_asks(index);
        }
        let deadline = self.clients[index].machine.deadline();
        // A deadline that stays in the past must not stop the clock.
        let deadline = deadline.map(|deadline| deadline.max(self.now.plus(1)));
        deadline.into_iter().chain(self.inboxes[host.0].next()).min()
    }

    fn deliver_to_client(&mut self, index: usize, delivery: Delivery) {
        self.record_delivery(self.client_host(index), &delivery);
        let slot = &mut self.clients[index];
        let event = match delivery {
            Delivery::Opened { end, dial, .. } => {
                let conn = ConnId(dial.expect("clients accept no connections"));
                slot.ends.insert(conn, end);
                slot.conns.insert(end, conn);
                ClientEvent::Connected { conn }
            }
            Delivery::DialFailed { dial, why } => {
                let timed_out = why == DialError::TimedOut;
                ClientEvent::ConnectFailed { conn: ConnId(dial), timed_out }
            }
            Delivery::Bytes { end, bytes } => {
                let Some(&conn) = slot.conns.get(&end) else { return };
                ClientEvent::Bytes { conn, bytes }
            }
            Delivery::Sent { .. } => return,
            Delivery::Closed { end, .. } => {
                let Some(conn) = slot.conns.remove(&end) else { return };
                slot.ends.remove(&conn);
                ClientEvent::Closed { conn }
            }
        };
        self.tell(index, event);
    }

    fn tell(&mut self, index: usize, event: ClientEvent) {
        let content = match &event {
            ClientEvent::Start => 1,
            ClientEvent::Connected { conn } => conn.0 << 8 | 2,
            ClientEvent::ConnectFailed { conn, .. } => conn.0 << 8 | 3,
            ClientEvent::Bytes { bytes, .. } => hash_bytes(bytes),
            ClientEvent::Closed { conn } => conn.0 << 8 | 4,
            ClientEvent::Calm => 5,
            ClientEvent::Leave => 6,
        };
        let node = NodeId::Client(ClientId(index as u32));
        if let Some(recorder) = &mut self.recorder
            && matches!(event, ClientEvent::Start | ClientEvent::Calm | ClientEvent::Leave)
        {
            recorder.client_starts(self.now, node);
        }
        self.trace.event(self.now, node, Mark::Client, content, || match &event {
            ClientEvent::Bytes { conn, bytes } => format!("got {} bytes on {conn:?}", bytes.len()),
            ClientEvent::Start
            | ClientEvent::Connected { .. }
            | ClientEvent::ConnectFailed { .. }
            | ClientEvent::Closed { .. }
            | ClientEvent::Calm
            | ClientEvent::Leave => format!("{event:?}"),
        });
        let slot = &mut self.clients[index];
        slot.machine.on_event(self.now, event, &mut slot.out);
        self.carry_out_asks(index);
    }

    fn carry_out_asks(&mut self, index: usize) {
        let host = self.client_host(index);
        for ask in self.clients[index].out.take() {
            match ask {
                ClientAsk::Connect { conn, to } => {
                    if let Some(recorder) = &mut self.recorder {
                        let (node, far) =
                            (NodeId::Client(ClientId(index as u32)), NodeId::Server(to));
                        recorder.dial(node, conn.0, far, Plane::Client);
                    }
                    let to = self.server_host(to).expect("clients dial servers that exist");
                    self.net.dial(self.now, host, conn.0, to, Plane::Client, CONNECT_TIMEOUT);
                }
                ClientAsk::Send { conn, bytes } => {
                    if let Some(&end) = self.clients[index].ends.get(&conn) {
                        if let Some(recorder) = &mut self.recorder {
                            recorder.send(NodeId::Client(ClientId(index as u32)), end, &bytes);
                        }
                        self.net.send(self.now, end, bytes);
                    }
                }
                ClientAsk::Close { conn, abort } => {
                    let slot = &mut self.clients[index];
                    let Some(end) = slot.ends.remove(&conn) else {
                        self.net.cancel_dial(host, conn.0);
                        continue;
                    };
                    slot.conns.remove(&end);
                    if let Some(recorder) = &mut self.recorder {
                        let why = String::from(if abort { "aborts" } else { "closes" });
                        recorder.closes(NodeId::Client(ClientId(index as u32)), end, why);
                    }
                    if abort {
                        self.net.abort(self.now, end);
                    } else {
                        self.net.close(self.now, end);
                    }
                }
                ClientAsk::Fact(fact) => {
                    let node = self.node(host);
                    self.trace.event(self.now, node, Mark::Client, 0, || format!("{fact:?}"));
                    self.observe(node, &SimEvent::Client(fact));
                }
            }
        }
        self.forward_posts();
    }
}
