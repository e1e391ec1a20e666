//! What a fault does to the paths between hosts, and to the connections on them.

use bytes::Bytes;
use vivarium_core::server::input::Plane;

use super::end::{End, EndState, Segment};
use super::{EndId, Event, Host, NetSim, Presence};
use crate::ids::SimTime;
use crate::schedule::PacketKind;

/// What is wrong with one direction between two hosts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// Nothing passes; dials neither.
    Block,
    /// As `Block`, but new connections are not hindered.
    Stall,
    /// New connections fail, at once or by silence; standing ones are not hindered.
    Dials {
        refused: bool,
    },
    /// Everything takes so many microseconds longer.
    Slow {
        add: u64,
        jitter: u64,
    },
    Throttle {
        bytes_per_ms: u64,
    },
    /// Standing connections carry nothing from the first packet of this kind on, until then.
    Delay {
        packet: PacketKind,
        until: SimTime,
    },
    /// Connections end for both sides so many bytes behind the beginning of a packet of this kind.
    Tear {
        packet: PacketKind,
        after: u64,
    },
}

impl NetSim {
    /// Adds or removes one fault of the path from `from` to `to`. What it held back moves on when the
    /// last one goes.
    pub fn path_fault(&mut self, now: SimTime, from: Host, to: Host, fault: PathFault, on: bool) {
        self.topology.fault(from, to, fault, on);
        if matches!(fault, PathFault::Block | PathFault::Stall) {
            self.reopen(now, from, to);
        }
        if matches!(fault, PathFault::Tear { .. }) && !on {
            self.mend_tears(from, to);
        }
    }

    /// What was to be torn later, and was not yet, stays whole.
    fn mend_tears(&mut self, from: Host, to: Host) {
        for id in self.between(from, to) {
            if let Some(end) = self.end_mut(id).filter(|end| end.host == from) {
                end.tears_in = None;
            }
        }
    }

    /// From now on it is known which packets go over links between servers.
    pub fn watch_packets(&mut self) {
        self.watches_packets = true;
    }

    /// Ends every connection between two hosts by a RST, as a firewall does. Returns how many.
    pub fn reset_between(&mut self, now: SimTime, a: Host, b: Host) -> usize {
        let ids = self.between(a, b);
        for &id in &ids {
            self.answer(now, id, Segment::Rst);
        }
        ids.len() / 2
    }

    /// Ends every connection between two hosts by a FIN to both, as a proxy that stops does. What is on
    /// its way is lost. Returns how many.
    pub fn finish_between(&mut self, now: SimTime, a: Host, b: Host) -> usize {
        let ids = self.between(a, b);
        for &id in &ids {
            self.answer(now, id, Segment::Fin);
        }
        ids.len() / 2
    }

    /// Makes every connection between two hosts a black hole. Returns how many.
    pub fn half_open_between(&mut self, a: Host, b: Host) -> usize {
        let ids = self.between(a, b);
        for &id in &ids {
            self.end_mut(id).expect("listed just now").black_hole = true;
        }
        self.black_holes.extend(&ids);
        ids.len() / 2
    }

    /// Whether the last connection that was a black hole has gone since this was asked before.
    pub fn black_holes_ended(&mut self) -> bool {
        if self.black_holes.is_empty() {
            return false;
        }
        let ends = &self.ends;
        let lives = |id: EndId| {
            ends.get(id.0 as usize).and_then(Option::as_deref).is_some_and(End::can_send)
        };
        self.black_holes.retain(|&id| lives(id));
        self.black_holes.is_empty()
    }

    /// Somebody at `from`, no process of ours, connects and says nothing. `None`: nobody listens.
    pub fn stray(&mut self, now: SimTime, from: Host, to: Host, plane: Plane) -> Option<EndId> {
        if self.topology.presence(to) != Presence::Listening || self.topology.is_blocked(from, to) {
            return None;
        }
        let mut stray = End::new(from, plane, None);
        stray.state = EndState::Vanished;
        let near = self.connect(stray, End::new(to, plane, None));
        self.post(now, to, Event::Incoming { end: near.peer() });
        Some(near)
    }

    /// A stray connection ends.
    pub fn end_stray(&mut self, now: SimTime, stray: EndId) {
        let how = if self.rng.chance(500) { Segment::Fin } else { Segment::Rst };
        self.answer(now, stray.peer(), how);
    }

    /// Cuts off what is torn away of `bytes`, which leave the kernel of `id` now: whether it is anything.
    /// What a delay holds back is cut off too, and given, with the moment until which all that follows
    /// on this connection waits with it.
    pub(super) fn meddle(
        &mut self,
        now: SimTime,
        id: EndId,
        bytes: &mut Bytes,
    ) -> (Option<(Bytes, SimTime)>, bool) {
        let Some(to) = self.end(id.peer()).map(|peer| peer.host) else { return (None, false) };
        let Some(end) = self.end_mut(id) else { return (None, false) };
        let from = end.host;
        let Some(sniffer) = &mut end.sniffer else { return (None, false) };
        let seen = sniffer.read(bytes);
        let known = end.tears_in;
        let tears = |&(kind, at): &(PacketKind, usize)| {
            self.topology.tears_behind(from, to, kind).map(|after| at as u64 + after)
        };
        let tears_in = known.or_else(|| seen.iter().find_map(tears));
        let waits = |&(kind, at): &(PacketKind, usize)| {
            let until = self.topology.delayed_until(from, to, kind)?;
            (until > now).then_some((at, until))
        };
        let held = seen.iter().find_map(waits);
        let torn = tears_in.is_some_and(|left| left <= bytes.len() as u64);
        let left = tears_in.map(|left| left.saturating_sub(bytes.len() as u64));
        if let (true, Some(at)) = (torn, tears_in) {
            bytes.truncate(at as usize);
        }
        let end = self.end_mut(id).expect("looked up above");
        end.tears_in = left;
        end.torn = torn;
        let held = held.filter(|(at, _)| *at < bytes.len());
        (held.map(|(at, until)| (bytes.split_off(at), until)), torn)
    }

    /// The connection ends for both sides: for the far one behind what is on its way.
    pub(super) fn tear(&mut self, now: SimTime, id: EndId) {
        if let Some(end) = self.end_mut(id) {
            end.unsent.clear();
        }
        let how = if self.rng.chance(500) { Segment::Fin } else { Segment::Rst };
        self.transmit(now, id, how.clone());
        self.answer(now, id, how);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use vivarium_core::ids::Epoch;
    use vivarium_core::server::input::LinkEnd;
    use vivarium_core::wire::quorum::LeaderPacket;

    use super::*;
    use crate::net::Delivery;
    use crate::net::tests::{A, B, Bench, text};

    fn took_ms(bench: &mut Bench, near: EndId, bytes: usize) -> u64 {
        bench.net.send(bench.now, near, text(bytes));
        let mut got = 0;
        (0..60_000)
            .find(|_| {
                bench.run_ms(1);
                got += bench.bytes(B).len();
                got == bytes
            })
            .expect("all arrives within a minute")
    }

    #[test]
    fn a_slow_link_is_late_and_a_narrow_one_takes_its_time() {
        let mut bench = Bench::new(1);
        let (near, _) = bench.connect();
        let usual = took_ms(&mut bench, near, 4000);
        let slow = PathFault::Slow { add: 300_000, jitter: 10_000 };
        let narrow = PathFault::Throttle { bytes_per_ms: 10 };
        for (fault, least) in [(slow, 300), (narrow, 400)] {
            bench.net.path_fault(bench.now, A, B, fault, true);
            let took = took_ms(&mut bench, near, 4000);
            assert!(took >= least && usual < least, "{fault:?}: {took} ms, usually {usual}");
            bench.net.path_fault(bench.now, A, B, fault, false);
            assert!(took_ms(&mut bench, near, 4000) < least, "{fault:?} is over");
        }
    }

    #[test]
    fn a_proxy_that_stops_finishes_both_sides() {
        let mut bench = Bench::new(2);
        bench.connect();
        assert_eq!(bench.net.finish_between(bench.now, A, B), 1);
        bench.run_ms(1000);
        for host in [A, B] {
            assert_eq!(bench.end(host), Some(LinkEnd::Finished));
        }
    }

    #[test]
    fn a_delayed_packet_holds_all_that_follows_and_nothing_before() {
        let mut bench = Bench::new(3);
        bench.net.watch_packets();
        let (near, _) = bench.connect();
        let until = bench.now.plus(2_000_000);
        let fault = PathFault::Delay { packet: PacketKind::NewLeader, until };
        bench.net.path_fault(bench.now, A, B, fault, true);
        let mut first = BytesMut::new();
        LeaderPacket::UpToDate.encode(&mut first);
        let before = first.len();
        LeaderPacket::NewLeader { epoch: Epoch(1), config: None }.encode(&mut first);
        let mut whole = first.to_vec();
        bench.net.send(bench.now, near, first.freeze());
        bench.run_ms(1000);
        assert_eq!(bench.bytes(B), whole[..before]);
        let mut later = BytesMut::new();
        LeaderPacket::UpToDate.encode(&mut later);
        whole.extend_from_slice(&later);
        bench.net.send(bench.now, near, later.freeze());
        bench.run_ms(900);
        assert!(bench.bytes(B).is_empty());
        bench.run_ms(1000);
        assert_eq!(bench.bytes(B), whole[before..]);
    }

    #[test]
    fn a_torn_packet_arrives_in_part_and_ends_its_connection() {
        for after in [1, 9, 40] {
            let mut bench = Bench::new(after);
            bench.net.watch_packets();
            let (near, _) = bench.connect();
            let fault = PathFault::Tear { packet: PacketKind::NewLeader, after };
            bench.net.path_fault(bench.now, A, B, fault, true);
            let mut wire = BytesMut::new();
            LeaderPacket::UpToDate.encode(&mut wire);
            let whole = wire.len() + after as usize;
            LeaderPacket::NewLeader { epoch: Epoch(1), config: None }.encode(&mut wire);
            (0..9).for_each(|_| LeaderPacket::UpToDate.encode(&mut wire));
            // In two halves: the border is no matter.
            let first = wire.split_to(whole - 1);
            bench.net.send(bench.now, near, first.clone().freeze());
            bench.run_ms(1000);
            assert_eq!(bench.bytes(B), first, "nothing is wrong before");
            bench.net.send(bench.now, near, wire.freeze());
            bench.run_ms(1000);
            let (mut got, mut ends) = (0, 0);
            for delivery in bench.take(B) {
                match &delivery {
                    Delivery::Bytes { bytes, .. } => got += bytes.len(),
                    Delivery::Closed { .. } => ends += 1,
                    Delivery::Opened { .. }
                    | Delivery::DialFailed { .. }
                    | Delivery::Sent { .. } => panic!("{delivery:?}"),
                }
            }
            assert!(got <= 1 && ends == 1, "{got} bytes behind the border, {ends} ends");
            assert!(bench.end(A).is_some());
        }
    }

    #[test]
    fn a_tear_that_has_not_come_when_its_fault_ends_never_comes() {
        let mut bench = Bench::new(5);
        bench.net.watch_packets();
        let (near, _) = bench.connect();
        let fault = PathFault::Tear { packet: PacketKind::NewLeader, after: 400 };
        bench.net.path_fault(bench.now, A, B, fault, true);
        let mut wire = BytesMut::new();
        LeaderPacket::NewLeader { epoch: Epoch(1), config: None }.encode(&mut wire);
        bench.net.send(bench.now, near, wire.clone().freeze());
        bench.run_ms(1000);
        assert_eq!(bench.bytes(B), wire, "it is too short to be torn");
        bench.net.path_fault(bench.now, A, B, fault, false);
        let mut later = BytesMut::new();
        (0..100).for_each(|_| LeaderPacket::UpToDate.encode(&mut later));
        bench.net.send(bench.now, near, later.clone().freeze());
        bench.run_ms(1000);
        assert_eq!(bench.bytes(B), later);
    }

    #[test]
    fn a_stray_connection_says_nothing_and_ends() {
        let mut bench = Bench::new(4);
        let stray = bench.net.stray(bench.now, A, B, Plane::Election).expect("it listens");
        bench.run_ms(100);
        assert_eq!(bench.take(B).len(), 1, "it is opened");
        assert!(bench.take(A).is_empty(), "no process of A knows of it");
        bench.net.end_stray(bench.now, stray);
        bench.run_ms(100);
        assert!(bench.end(B).is_some());
        bench.net.set_presence(bench.now, B, Presence::NoProcess);
        assert_eq!(bench.net.stray(bench.now, A, B, Plane::Election), None);
    }
}
