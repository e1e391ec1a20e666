//! What comes in on a connection: from the wire to the process, or put aside until it reads.

use bytes::BytesMut;
use vivarium_core::server::input::LinkEnd;

use super::end::{End, EndState, Segment};
use super::{Delivery, EndId, Event, NetSim};
use crate::ids::SimTime;

impl NetSim {
    /// A segment of the far side has reached our machine.
    pub(super) fn arrive(
        &mut self,
        now: SimTime,
        id: EndId,
        segment: Segment,
        out: &mut Vec<Delivery>,
    ) {
        let Some(from) = self.end(id.peer()).map(|peer| peer.host) else { return };
        let Some(to) = self.end(id).map(|end| end.host) else { return };
        let shut = self.topology.is_shut(from, to);
        let peer = self.end_mut(id.peer()).expect("looked up just now");
        if shut || !peer.parked.is_empty() {
            peer.parked.push_back(segment);
        } else {
            self.receive(now, id, segment, out);
        }
    }

    fn receive(&mut self, now: SimTime, id: EndId, segment: Segment, out: &mut Vec<Delivery>) {
        let Some(sender) = self.end(id.peer()) else { return };
        if sender.black_hole {
            return;
        }
        let lost = sender.lost;
        let Some(end) = self.end_mut(id) else { return };
        if end.state == EndState::Flushing && matches!(segment, Segment::Rst) {
            self.mark_closed(id);
            out.push(Delivery::Closed { end: id, how: LinkEnd::Closed });
            self.collect(id);
            return;
        }
        if !end.is_open() {
            let refuse = matches!(segment, Segment::Bytes(_)) && !lost;
            if refuse && self.end(id.peer()).is_some_and(End::can_send) {
                let back = self.latency_back(id);
                self.answer(now.plus(back), id.peer(), Segment::Rst);
            }
            return;
        }
        match segment {
            Segment::Rst => {
                let is_known = !end.queued;
                self.mark_closed(id);
                if is_known {
                    out.push(Delivery::Closed { end: id, how: LinkEnd::Reset });
                }
                self.collect(id);
            }
            Segment::Bytes(_) | Segment::Fin if lost => {}
            Segment::Bytes(_) | Segment::Fin if end.held || !end.unread.is_empty() => {
                end.unread.push_back(segment);
            }
            Segment::Bytes(_) | Segment::Fin => self.read(now, id, segment, out),
        }
    }

    fn read(&mut self, now: SimTime, id: EndId, segment: Segment, out: &mut Vec<Delivery>) {
        match segment {
            Segment::Bytes(bytes) => {
                self.was_read(now, id, bytes.len() as u64);
                out.push(Delivery::Bytes { end: id, bytes });
            }
            Segment::Fin => {
                self.mark_closed(id);
                out.push(Delivery::Closed { end: id, how: LinkEnd::Finished });
                self.collect(id);
            }
            Segment::Rst => unreachable!("a reset is never put aside"),
        }
    }

    /// The far kernel's buffer has room again, and learns so one latency later.
    fn was_read(&mut self, now: SimTime, id: EndId, bytes: u64) {
        let back = self.latency_back(id);
        let Some(sender) = self.end_mut(id.peer()) else { return };
        sender.in_flight = sender.in_flight.saturating_sub(bytes);
        if !sender.unsent.is_empty() && !sender.pump_due {
            sender.pump_due = true;
            let host = sender.host;
            self.post(now.plus(back), host, Event::Pump { end: id.peer() });
        }
    }

    /// Delivers what waited, in as few chunks as it happens to fit: borders mean nothing.
    pub(super) fn drain(&mut self, now: SimTime, id: EndId, out: &mut Vec<Delivery>) {
        let Some(end) = self.end_mut(id) else { return };
        end.drain_due = false;
        if end.held || !end.is_open() {
            return;
        }
        let waiting = std::mem::take(&mut end.unread);
        let mut joined = BytesMut::new();
        let mut finished = false;
        for segment in waiting {
            match segment {
                Segment::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Segment::Fin => finished = true,
                Segment::Rst => unreachable!("a reset is never put aside"),
            }
        }
        if !joined.is_empty() {
            self.read(now, id, Segment::Bytes(joined.freeze()), out);
        }
        if finished {
            self.read(now, id, Segment::Fin, out);
        }
    }

    pub(super) fn unpark(&mut self, now: SimTime, id: EndId, out: &mut Vec<Delivery>) {
        let Some(from) = self.end(id.peer()).map(|peer| peer.host) else { return };
        let Some(to) = self.end(id).map(|end| end.host) else { return };
        if self.topology.is_shut(from, to) {
            return;
        }
        let parked = std::mem::take(&mut self.end_mut(id.peer()).expect("looked up").parked);
        for segment in parked {
            self.receive(now, id, segment, out);
        }
    }
}
