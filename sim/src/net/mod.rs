//! The network: connections that carry bytes in order, and everything that can go wrong with one.
//!
//! `NetSim` never calls anybody. What it wants to happen later goes into a list of
//! `(time, host, NetEvent)` ([`NetSim::take_posts`]) that the world puts into that host's delivery
//! heap; when the moment comes, and the host is awake, the world hands the event back with
//! [`NetSim::due`], which answers with [`Delivery`]s for the process. So a paused process reads
//! nothing, its kernel's buffers fill up, and its peers block, as with real sockets.
//!
//! Inside one connection nothing is lost or reordered. A partition parks what is on its way, FIN
//! and RST included; when it heals, retransmission delivers it after a while. A killed process
//! leaves FIN or RST; a machine that lost power leaves silence, and answers RST only to bytes that
//! reach it after it has booted.

mod end;
mod path_fault;
mod receiving;
mod sending;
mod sniffer;
mod topology;

use std::collections::BTreeMap;

use bytes::Bytes;
use vivarium_core::server::input::{DialError, LinkEnd, Plane};

pub use self::end::EndId;
use self::end::{End, EndState, Segment};
pub use self::path_fault::PathFault;
use self::sniffer::Sniffer;
use self::topology::Topology;
pub use self::topology::{Host, Presence};
use crate::ids::SimTime;
use crate::observe::CrashKind;
use crate::rng::SimRng;
use crate::schedule::PacketKind;

/// Something that happens at a host's kernel; meaningless to anybody but [`NetSim::due`].
#[derive(Debug)]
pub struct NetEvent(Event);

/// What keeps its order among the events of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Attempt(u64),
    Connection(EndId),
}

impl NetEvent {
    pub fn lane(&self) -> Lane {
        match self.0 {
            Event::DialAnswer { attempt } => Lane::Attempt(attempt),
            Event::Incoming { end }
            | Event::Arrive { end, .. }
            | Event::Unpark { end }
            | Event::Drain { end }
            | Event::Pump { end }
            | Event::Credit { end }
            | Event::ClosedLocal { end }
            | Event::Linger { end } => Lane::Connection(end),
        }
    }
}

#[derive(Debug)]
enum Event {
    DialAnswer {
        attempt: u64,
    },
    Incoming {
        end: EndId,
    },
    /// Sent by the far side of `end`.
    Arrive {
        end: EndId,
        segment: Segment,
    },
    /// The path towards `end` is open again; retransmissions get through.
    Unpark {
        end: EndId,
    },
    /// The process reads again.
    Drain {
        end: EndId,
    },
    /// The far side read something: more fits into our kernel's buffer.
    Pump {
        end: EndId,
    },
    /// The process looks what the kernel took.
    Credit {
        end: EndId,
    },
    ClosedLocal {
        end: EndId,
    },
    /// A flush took too long; the rest is dropped.
    Linger {
        end: EndId,
    },
}

/// How long the kernel tries to get rid of what a closed connection still had to send.
const LINGER: u64 = 5_000_000;

/// What a process is told.
#[derive(Debug)]
pub enum Delivery {
    Opened { end: EndId, dial: Option<u64>, plane: Plane, far: Host },
    DialFailed { dial: u64, why: DialError },
    Bytes { end: EndId, bytes: Bytes },
    Sent { end: EndId, bytes: u64 },
    Closed { end: EndId, how: LinkEnd },
}

#[derive(Debug)]
struct Attempt {
    from: Host,
    to: Host,
    dial: u64,
    plane: Plane,
    give_up: SimTime,
}

/// All connections of one world.
#[derive(Debug)]
pub struct NetSim {
    topology: Topology,
    rng: SimRng,
    /// Bytes that fit between the two processes of a connection, per direction.
    window: u64,
    /// Of a thousand sends, so many are cut at random borders.
    split_per_mille: u64,
    ends: Vec<Option<Box<End>>>,
    /// The ends that live at each host, the oldest first.
    by_host: Vec<Vec<EndId>>,
    attempts: BTreeMap<u64, Attempt>,
    next_attempt: u64,
    posts: Vec<(SimTime, Host, NetEvent)>,
    /// Hosts below this one want to know what their kernels took.
    servers: Host,
    /// Processes look what a write came to before they do anything else, as most do.
    looks_at_once: bool,
    /// Where such a look finds something.
    taken: Vec<EndId>,
    /// Connections that are black holes and not given up by both sides.
    black_holes: Vec<EndId>,
    /// A fault of the run asks which packets go by.
    watches_packets: bool,
}

impl NetSim {
    /// Latencies and whatever else is not drawn yet come from here.
    pub(crate) fn reroll(&mut self, rng: SimRng) {
        self.rng = rng;
    }

    /// `hosts` machines, all off, those of servers first. Latencies, windows and chunk borders come from
    /// `rng`.
    pub fn new(servers: usize, hosts: usize, mut rng: SimRng) -> Self {
        Self {
            topology: Topology::draw(hosts, &mut rng),
            window: rng.log_range(8 << 10, 512 << 10),
            split_per_mille: *rng.pick(&[0, 20, 300]),
            servers: Host(servers),
            looks_at_once: rng.chance(750),
            taken: Vec::new(),
            rng,
            ends: Vec::new(),
            by_host: vec![Vec::new(); hosts],
            attempts: BTreeMap::new(),
            next_attempt: 0,
            posts: Vec::new(),
            black_holes: Vec::new(),
            watches_packets: false,
        }
    }

    pub fn has_posts(&self) -> bool {
        !self.posts.is_empty()
    }

    /// What has to go into delivery heaps since the last call.
    pub fn take_posts(&mut self) -> std::vec::Drain<'_, (SimTime, Host, NetEvent)> {
        self.posts.drain(..)
    }

    /// Connects; answered by `Opened` with this `dial`, or `DialFailed`.
    pub fn dial(
        &mut self,
        now: SimTime,
        from: Host,
        dial: u64,
        to: Host,
        plane: Plane,
        timeout: u64,
    ) {
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        self.attempts
            .insert(attempt, Attempt { from, to, dial, plane, give_up: now.plus(timeout) });
        let rtt = self.rtt(from, to);
        self.post(now.plus(rtt), from, Event::DialAnswer { attempt });
    }

    /// Gives up an attempt: neither `Opened` nor `DialFailed` follows.
    pub fn cancel_dial(&mut self, from: Host, dial: u64) {
        self.attempts.retain(|_, attempt| attempt.from != from || attempt.dial != dial);
    }

    pub fn send(&mut self, now: SimTime, id: EndId, bytes: Bytes) {
        let Some(end) = self.end_mut(id) else { return };
        if end.is_open() && !bytes.is_empty() {
            end.unsent.push_back(bytes);
            self.pump(now, id);
        }
    }

    /// The packets that begin in what a process is about to write, where packets are watched.
    pub fn packets_in(&mut self, id: EndId, bytes: &Bytes) -> Vec<PacketKind> {
        let written = self.end_mut(id).and_then(|end| end.written.as_mut());
        let seen = written.map(|written| written.read(bytes)).unwrap_or_default();
        seen.into_iter().map(|(kind, _)| kind).collect()
    }

    /// The machine on the other side, and what the connection is for. `None`: it is gone.
    pub fn far(&self, id: EndId) -> Option<(Host, Plane)> {
        let end = self.ends.get(usize::try_from(id.peer().0).ok()?)?.as_ref()?;
        Some((end.host, end.plane))
    }

    pub fn hold(&mut self, id: EndId) {
        if let Some(end) = self.end_mut(id) {
            end.held = true;
        }
    }

    pub fn resume(&mut self, now: SimTime, id: EndId) {
        let Some(end) = self.end_mut(id) else { return };
        end.held = false;
        if !end.unread.is_empty() && !end.drain_due {
            end.drain_due = true;
            let host = end.host;
            self.post(now, host, Event::Drain { end: id });
        }
    }

    /// FIN behind everything sent; the process hears `Closed` when the kernel has taken it all.
    pub fn close(&mut self, now: SimTime, id: EndId) {
        let Some(end) = self.end_mut(id) else { return };
        if end.is_open() {
            end.state = EndState::Flushing;
            end.unread.clear();
            let host = end.host;
            self.finish_flush(now, id);
            if self.end(id).is_some_and(|end| end.state == EndState::Flushing) {
                self.post(now.plus(LINGER), host, Event::Linger { end: id });
            }
        }
    }

    /// RST; what was not delivered yet is lost.
    pub fn abort(&mut self, now: SimTime, id: EndId) {
        let Some(end) = self.end_mut(id) else { return };
        if end.can_send() {
            let host = end.host;
            self.reset_from(now, id);
            self.post(now, host, Event::ClosedLocal { end: id });
        }
    }

    /// The process of `host` is gone, or its machine.
    pub fn host_died(&mut self, now: SimTime, host: Host, kind: CrashKind) {
        self.attempts.retain(|_, attempt| attempt.from != host);
        for id in self.ends_at(host, End::can_send) {
            match kind {
                CrashKind::Process if self.rng.chance(500) => {
                    self.transmit(now, id, Segment::Fin);
                    self.mark_closed(id);
                }
                CrashKind::Process => self.reset_from(now, id),
                CrashKind::PowerLoss => {
                    let lose = self.rng.chance(500);
                    let end = self.end_mut(id).expect("listed just now");
                    end.lost |= lose;
                    end.state = EndState::Vanished;
                    end.unsent.clear();
                    end.unread.clear();
                }
            }
        }
        self.topology.set_presence(
            host,
            match kind {
                CrashKind::Process => Presence::NoProcess,
                CrashKind::PowerLoss => Presence::Off,
            },
        );
    }

    /// Another process takes the place of that of `host`; of all connections it keeps one.
    pub fn process_replaced(&mut self, now: SimTime, host: Host, kept: EndId) {
        self.attempts.retain(|_, attempt| attempt.from != host);
        for id in self.ends_at(host, End::can_send) {
            if id != kept {
                self.reset_from(now, id);
            }
        }
    }

    /// Who answers at `host`. A machine that comes back answers old connections with RST; a process
    /// that begins to look finds the connections that its kernel has accepted, and what they sent.
    pub fn set_presence(&mut self, now: SimTime, host: Host, presence: Presence) {
        let boots = self.topology.presence(host) == Presence::Off && presence != Presence::Off;
        self.topology.set_presence(host, presence);
        if presence == Presence::Listening {
            self.accept_queued(now, host);
        }
        if !boots {
            return;
        }
        let gone = self.ends_at(host, |end| end.state == EndState::Vanished);
        let mut peers: Vec<EndId> = gone.into_iter().map(EndId::peer).collect();
        peers.sort_unstable();
        for id in peers {
            if self.end(id).is_some_and(|end| end.can_send() && end.in_flight > 0) {
                let rto = self.rng.range(200_000, 3_000_000);
                self.answer(now.plus(rto), id, Segment::Rst);
            }
        }
    }

    fn accept_queued(&mut self, now: SimTime, host: Host) {
        for id in self.ends_at(host, |end| end.queued && end.is_open()) {
            self.post(now, host, Event::Incoming { end: id });
        }
    }

    pub fn is_blocked(&self, from: Host, to: Host) -> bool {
        self.topology.is_blocked(from, to)
    }

    /// An event whose moment has come, at a host that is awake.
    pub fn due(&mut self, now: SimTime, event: NetEvent, out: &mut Vec<Delivery>) {
        match event.0 {
            Event::DialAnswer { attempt } => self.dial_answer(now, attempt, out),
            Event::Incoming { end } => self.incoming(now, end, out),
            Event::Arrive { end, segment } => self.arrive(now, end, segment, out),
            Event::Unpark { end } => self.unpark(now, end, out),
            Event::Drain { end } => self.drain(now, end, out),
            Event::Pump { end } => self.pump_later(now, end),
            Event::Credit { end } => self.pay_credit(end, out),
            Event::ClosedLocal { end } => {
                out.push(Delivery::Closed { end, how: LinkEnd::Closed });
                self.collect(end);
            }
            Event::Linger { end } => {
                if self.end(end).is_some_and(|known| known.state == EndState::Flushing) {
                    self.abort(now, end);
                }
            }
        }
    }

    fn dial_answer(&mut self, now: SimTime, key: u64, out: &mut Vec<Delivery>) {
        let Some(attempt) = self.attempts.get(&key) else { return };
        let Attempt { from, to, dial, plane, give_up } = *attempt;
        let refused = self.topology.presence(to) == Presence::NoProcess
            || self.topology.are_dials_refused(from, to);
        let silent = self.topology.is_blocked(from, to)
            || self.topology.is_blocked(to, from)
            || self.topology.are_dials_dropped(from, to)
            || self.topology.presence(to) == Presence::Off;
        if silent && now < give_up {
            // The kernel sends its SYN again every second.
            let again = now.plus(1_000_000).min(give_up);
            self.post(again, from, Event::DialAnswer { attempt: key });
            return;
        }
        self.attempts.remove(&key);
        if silent {
            out.push(Delivery::DialFailed { dial, why: DialError::TimedOut });
        } else if refused {
            out.push(Delivery::DialFailed { dial, why: DialError::Refused });
        } else {
            let (mut near, mut far) =
                (End::new(from, plane, Some(dial)), End::new(to, plane, None));
            far.queued = self.topology.presence(to) == Presence::Backlog;
            far.held = far.queued;
            let is_queued = far.queued;
            if self.watches_packets && plane == Plane::Quorum {
                for end in [&mut near, &mut far] {
                    (end.sniffer, end.written) =
                        (Some(Sniffer::default()), Some(Sniffer::default()));
                }
            }
            let id = self.connect(near, far);
            self.opened(id, out);
            if !is_queued {
                self.post(now, to, Event::Incoming { end: id.peer() });
            }
        }
    }

    /// Returns the near side.
    fn connect(&mut self, near: End, far: End) -> EndId {
        let id = EndId(self.ends.len() as u64);
        self.by_host[near.host.0].push(id);
        self.by_host[far.host.0].push(id.peer());
        self.ends.push(Some(Box::new(near)));
        self.ends.push(Some(Box::new(far)));
        id
    }

    /// The process accepts a connection. What came before it did is read behind that.
    fn incoming(&mut self, now: SimTime, id: EndId, out: &mut Vec<Delivery>) {
        self.opened(id, out);
        if let Some(end) = self.end_mut(id).filter(|end| end.queued) {
            end.queued = false;
            self.resume(now, id);
        }
    }

    fn opened(&mut self, id: EndId, out: &mut Vec<Delivery>) {
        let Some(end) = self.end(id).filter(|end| end.is_open()) else { return };
        let (dial, plane) = (end.dial, end.plane);
        let Some(far) = self.end(id.peer()).map(|peer| peer.host) else { return };
        out.push(Delivery::Opened { end: id, dial, plane, far });
    }

    /// Our side ends with RST: what it sent and what was not delivered is lost.
    fn reset_from(&mut self, now: SimTime, id: EndId) {
        self.transmit(now, id, Segment::Rst);
        if let Some(end) = self.end_mut(id) {
            end.lost = true;
        }
        self.mark_closed(id);
    }

    /// A RST, or a FIN, towards `id` from the network or from the far machine's kernel.
    fn answer(&mut self, at: SimTime, id: EndId, how: Segment) {
        let Some(end) = self.end(id) else { return };
        let host = end.host;
        self.post(at, host, Event::Arrive { end: id, segment: how });
    }

    fn mark_closed(&mut self, id: EndId) {
        if let Some(end) = self.end_mut(id) {
            end.state = EndState::Closed;
            end.unsent.clear();
            end.unread.clear();
        }
    }

    /// Forgets a connection whose two processes are done with it.
    fn collect(&mut self, id: EndId) {
        let done = |end: Option<&End>| end.is_none_or(|end| !end.can_send());
        if done(self.end(id)) && done(self.end(id.peer())) {
            for id in [id, id.peer()] {
                let Some(end) = self.ends[id.0 as usize].take() else { continue };
                let lives = &mut self.by_host[end.host.0];
                let at = lives.binary_search(&id).expect("each end is listed at its host");
                lives.remove(at);
            }
        }
    }

    /// Schedules retransmissions on a path that is open now.
    fn reopen(&mut self, now: SimTime, from: Host, to: Host) {
        if self.topology.is_shut(from, to) {
            return;
        }
        for id in self.ends_at(from, |end| !end.parked.is_empty()) {
            if self.end(id.peer()).is_some_and(|peer| peer.host == to) {
                let rto = self.rng.log_range(5_000, 2_000_000);
                self.post(now.plus(rto), to, Event::Unpark { end: id.peer() });
            }
        }
    }

    fn between(&self, a: Host, b: Host) -> Vec<EndId> {
        let far_at = |id: &EndId| self.end(id.peer()).is_some_and(|far| far.host == b);
        let near = self.by_host[a.0].iter().copied().filter(far_at);
        let both = near.flat_map(|id| [id, id.peer()]);
        let mut ids: Vec<EndId> =
            both.filter(|&id| self.end(id).is_some_and(End::can_send)).collect();
        ids.sort_unstable();
        ids
    }

    fn ends_at(&self, host: Host, wanted: impl Fn(&End) -> bool) -> Vec<EndId> {
        let ids = self.by_host[host.0].iter().copied();
        ids.filter(|&id| self.end(id).is_some_and(&wanted)).collect()
    }

    fn rtt(&mut self, a: Host, b: Host) -> u64 {
        self.topology.latency(a, b, &mut self.rng) + self.topology.latency(b, a, &mut self.rng)
    }

    /// Latency from the host of `id` towards its peer.
    fn latency_back(&mut self, id: EndId) -> u64 {
        let (Some(end), Some(peer)) = (self.end(id), self.end(id.peer())) else { return 0 };
        let (from, to) = (end.host, peer.host);
        self.topology.latency(from, to, &mut self.rng)
    }

    fn end(&self, id: EndId) -> Option<&End> {
        self.ends.get(id.0 as usize)?.as_deref()
    }

    fn end_mut(&mut self, id: EndId) -> Option<&mut End> {
        self.ends.get_mut(id.0 as usize)?.as_deref_mut()
    }

    fn post(&mut self, at: SimTime, host: Host, event: Event) {
        self.posts.push((at, host, NetEvent(event)));
    }
}

#[cfg(test)]
mod tests;
