//! What goes out on a connection: from the process to its kernel, in chunks onto the wire.

use bytes::Bytes;

use super::end::{EndState, Segment};
use super::topology::{Host, Presence, arrival};
use super::{Delivery, EndId, Event, NetSim};
use crate::ids::SimTime;

impl NetSim {
    pub(super) fn pump_later(&mut self, now: SimTime, id: EndId) {
        let Some(end) = self.end_mut(id) else { return };
        end.pump_due = false;
        let near = end.host;
        let Some(far) = self.end(id.peer()).map(|peer| peer.host) else { return };
        if self.topology.is_shut(far, near) {
            // The window update cannot get through; a probe will fetch it later.
            let end = self.end_mut(id).expect("looked up just now");
            end.pump_due = true;
            self.post(now.plus(200_000), near, Event::Pump { end: id });
        } else {
            self.pump(now, id);
        }
    }

    /// Moves what fits from the process into the kernel, and so onto the wire.
    pub(super) fn pump(&mut self, now: SimTime, id: EndId) {
        let window = self.window_of(id);
        let servers = self.servers;
        loop {
            let Some(end) = self.end_mut(id) else { return };
            let room = window.saturating_sub(end.in_flight);
            if end.torn {
                end.unsent.clear();
                break;
            }
            if !end.can_send() || room == 0 {
                break;
            }
            let Some(mut bytes) = end.unsent.pop_front() else { break };
            if bytes.len() as u64 > room {
                end.unsent.push_front(bytes.split_off(room as usize));
            }
            end.in_flight += bytes.len() as u64;
            end.credit += bytes.len() as u64;
            let host = end.host;
            if !end.credit_due && end.is_open() && host < servers {
                end.credit_due = true;
                self.look_at_credit(now, host, id);
            }
            let (held, torn) = self.meddle(now, id, &mut bytes);
            if !bytes.is_empty() {
                self.cut_and_transmit(now, id, bytes);
            }
            if let Some((held, until)) = held {
                let end = self.end_mut(id).expect("it sends just now");
                end.busy_until = end.busy_until.max(until);
                self.cut_and_transmit(now, id, held);
            }
            if torn {
                self.tear(now, id);
            }
        }
        self.finish_flush(now, id);
    }

    pub(super) fn look_at_credit(&mut self, now: SimTime, host: Host, id: EndId) {
        if self.looks_at_once {
            self.taken.push(id);
        } else {
            let soon = self.rng.range(5, 100);
            self.post(now.plus(soon), host, Event::Credit { end: id });
        }
    }

    /// A kernel takes no more bytes for a connection than this, but one packet of a usual size.
    pub fn narrow(&mut self, bytes: u64) {
        self.window = self.window.min(bytes.max(1024));
    }

    /// Little is under way on a narrow path: 200 ms of it.
    fn window_of(&self, id: EndId) -> u64 {
        let hosts = self.end(id).zip(self.end(id.peer())).map(|(end, peer)| (end.host, peer.host));
        let rate = hosts.and_then(|(from, to)| self.topology.narrowest(from, to));
        rate.map_or(self.window, |rate| (rate * 200).clamp(1024.min(self.window), self.window))
    }

    fn cut_and_transmit(&mut self, now: SimTime, id: EndId, mut bytes: Bytes) {
        while bytes.len() > 1 && self.rng.chance(self.split_per_mille) {
            let border = if self.rng.chance(300) {
                1 + self.rng.below(8.min(bytes.len() as u64 - 1)) as usize
            } else {
                1 + self.rng.below(bytes.len() as u64 - 1) as usize
            };
            let head = bytes.split_to(border);
            self.transmit(now, id, Segment::Bytes(head));
        }
        self.transmit(now, id, Segment::Bytes(bytes));
    }

    pub(super) fn transmit(&mut self, now: SimTime, id: EndId, segment: Segment) {
        let (Some(end), Some(peer)) = (self.end(id), self.end(id.peer())) else { return };
        if end.black_hole {
            return;
        }
        let (from, to) = (end.host, peer.host);
        if peer.state == EndState::Vanished {
            if self.topology.presence(to) != Presence::Off {
                let rtt = self.rtt(from, to);
                self.answer(now.plus(rtt), id, Segment::Rst);
            }
            return;
        }
        let latency = self.topology.latency(from, to, &mut self.rng);
        let busy = self.topology.busy(from, to, segment.len());
        let end = self.end_mut(id).expect("looked up just now");
        let leaves = end.busy_until.max(now).plus(busy);
        end.busy_until = leaves;
        end.last_arrival = arrival(leaves, latency, end.last_arrival);
        let at = end.last_arrival;
        self.post(at, to, Event::Arrive { end: id.peer(), segment });
    }

    pub(super) fn finish_flush(&mut self, now: SimTime, id: EndId) {
        let Some(end) = self.end(id) else { return };
        if end.state == EndState::Flushing && end.unsent.is_empty() {
            let host = end.host;
            self.transmit(now, id, Segment::Fin);
            self.mark_closed(id);
            self.post(now, host, Event::ClosedLocal { end: id });
        }
    }

    /// What its kernel took of what the process of a host wrote just now.
    pub fn looked(&mut self, host: Host, out: &mut Vec<Delivery>) {
        let mut taken = std::mem::take(&mut self.taken);
        taken.retain(|&id| {
            let elsewhere = self.end(id).is_some_and(|end| end.host != host);
            if !elsewhere {
                self.pay_credit(id, out);
            }
            elsewhere
        });
        self.taken = taken;
    }

    pub(super) fn pay_credit(&mut self, id: EndId, out: &mut Vec<Delivery>) {
        let Some(end) = self.end_mut(id) else { return };
        end.credit_due = false;
        let bytes = std::mem::take(&mut end.credit);
        if end.is_open() && bytes > 0 {
            out.push(Delivery::Sent { end: id, bytes });
        }
    }
}
