//! Connections between servers, and between clients and servers.

use bytes::Bytes;
use vivarium_core::ids::LinkId;
use vivarium_core::server::Input;
use vivarium_core::server::action::{Close, LinkAction};
use vivarium_core::server::input::{DialError, Far, LinkEnd, LinkInput, Plane};

use super::{Event, MS, SECOND, World};
use crate::harness::net::{Conn, End, KERNEL_BYTES};

impl World {
    pub(super) fn link_action(&mut self, node: usize, action: LinkAction) {
        match action {
            LinkAction::Dial { dial, plane, host, port } => {
                let to = host.strip_prefix('s').and_then(|id| id.parse::<usize>().ok());
                let to = to.expect("hosts are named s1, s2, ..") - 1;
                assert_eq!(plane == Plane::Quorum, port == 2888, "ports belong to planes");
                let boot = self.nodes[node].boot;
                let blocked =
                    self.blocked.contains(&(node, to)) || self.blocked.contains(&(to, node));
                let answer = if blocked {
                    Some((SECOND, DialError::TimedOut))
                } else if self.nodes[to].server.is_none() {
                    Some((self.draw_latency(), DialError::Refused))
                } else {
                    None
                };
                if let Some((delay, why)) = answer {
                    let input = Input::Link(LinkInput::DialFailed { dial, why });
                    self.at(self.now + delay, Event::Input { node, boot, input });
                    return;
                }
                let far_boot = self.nodes[to].boot;
                let ends = [End::Server { node, boot }, End::Server { node: to, boot: far_boot }];
                let conn = self.connect(ends);
                let there = self.now + self.draw_latency();
                let back = there + self.draw_latency();
                self.open_at(conn, 1, there, None, plane, node);
                self.open_at(conn, 0, back, Some(dial), plane, to);
            }
            LinkAction::Send { link, bytes } => {
                let (conn, side) = split(link);
                self.send(conn, side, bytes);
            }
            LinkAction::Hold { link } => {
                let (conn, side) = split(link);
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.streams[1 - side].held = true;
                }
            }
            LinkAction::Resume { link } => {
                let (id, side) = split(link);
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.streams[1 - side].held = false;
                    self.deliver_at(self.now + 20, id, 1 - side);
                }
            }
            LinkAction::Close { link, how, why } => {
                self.log(|| format!("s{} closes {link}: {why:?} {how:?}", node + 1));
                let (conn, side) = split(link);
                self.close(conn, side, how);
            }
        }
    }

    pub(super) fn connect(&mut self, ends: [End; 2]) -> u64 {
        let id = self.next_conn;
        self.next_conn += 1;
        self.conns.insert(id, Conn { ends, open: [true; 2], streams: Default::default() });
        id
    }

    pub(super) fn open_at(
        &mut self,
        conn: u64,
        side: usize,
        time: u64,
        dial: Option<vivarium_core::ids::DialId>,
        plane: Plane,
        far: usize,
    ) {
        let record = self.conns.get_mut(&conn).expect("just made");
        let End::Server { node, boot } = record.ends[side] else { return };
        record.streams[1 - side].last_arrival = time + 1;
        let far = Far { ip: format!("10.0.0.{}", far + 1), port: 40_000 };
        let input = Input::Link(LinkInput::Opened { link: link(conn, side), dial, plane, far });
        self.at(time, Event::Input { node, boot, input });
    }

    pub(super) fn send(&mut self, id: u64, side: usize, bytes: Bytes) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.open[side] || conn.streams[side].fin {
            return;
        }
        conn.streams[side].out.push_back(bytes);
        self.pump(id, side);
    }

    /// Moves bytes into the kernel as far as it takes them.
    pub(super) fn pump(&mut self, id: u64, side: usize) {
        let latency = self.draw_latency();
        let whole = self.rng.one_in(2);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let stream = &mut conn.streams[side];
        let mut arrival = stream.last_arrival.max(self.now + latency);
        let mut sent = 0;
        while let Some(front) = stream.out.front_mut() {
            let room = KERNEL_BYTES - stream.in_kernel;
            if room == 0 {
                break;
            }
            let most = room.min(front.len());
            let size = if whole { most } else { self.rng.range(1, most as u64) as usize };
            let piece = front.split_to(size);
            if front.is_empty() {
                stream.out.pop_front();
            }
            stream.in_kernel += size;
            sent += size as u64;
            stream.flight.push_back((arrival, piece));
            arrival += 1;
        }
        stream.last_arrival = arrival;
        let ends = conn.ends;
        let finished = stream.fin && stream.out.is_empty() && !stream.fin_queued;
        if finished {
            stream.fin_queued = true;
        }
        let due = stream.flight.front().map(|(arrival, _)| *arrival);
        if sent > 0 {
            if let End::Server { node, boot } = ends[side] {
                let input = Input::Link(LinkInput::Sent { link: link(id, side), bytes: sent });
                if self.conns[&id].open[side] {
                    self.soon(Event::Input { node, boot, input });
                }
            }
            self.deliver_at(due.unwrap_or(arrival), id, side);
        }
        if finished {
            self.deliver_at(due.unwrap_or(arrival), id, side);
        }
    }

    pub(super) fn deliver_at(&mut self, time: u64, conn: u64, side: usize) {
        let time = time.max(self.now);
        let Some(record) = self.conns.get_mut(&conn) else { return };
        let armed = &mut record.streams[side].armed;
        if armed.is_none_or(|known| time < known) {
            *armed = Some(time);
            self.at(time, Event::Deliver { conn, side });
        }
    }

    /// Hands what has arrived of the stream from `side` to the other side.
    pub(super) fn deliver(&mut self, id: u64, side: usize) {
        let Some(conn) = self.conns.get(&id) else { return };
        if !conn.open[1 - side] {
            return;
        }
        if self.is_blocked(conn, side) {
            self.deliver_at(self.now + 20 * MS, id, side);
            return;
        }
        let receiver = conn.ends[1 - side];
        if let End::Server { node, .. } = receiver
            && self.nodes[node].paused
        {
            self.deliver_at(self.now + 10 * MS, id, side);
            return;
        }
        loop {
            let now = self.now;
            let Some(conn) = self.conns.get_mut(&id) else { return };
            if !conn.open[1 - side] {
                return;
            }
            let stream = &mut conn.streams[side];
            if stream.held {
                return;
            }
            match stream.flight.front() {
                Some((arrival, _)) if *arrival <= now => {}
                Some((arrival, _)) => {
                    let arrival = *arrival;
                    self.deliver_at(arrival, id, side);
                    return;
                }
                None => break,
            }
            let (_, bytes) = stream.flight.pop_front().expect("looked at above");
            stream.in_kernel -= bytes.len();
            match receiver {
                End::Server { node, .. } => {
                    let link = link(id, 1 - side);
                    self.step(node, Input::Link(LinkInput::Bytes { link, bytes }));
                }
                End::Client(client) => {
                    if !self.clients[client].on_bytes(bytes, now) {
                        self.leave(client);
                    }
                }
            }
            self.pump(id, side);
        }
        let Some(conn) = self.conns.get(&id) else { return };
        let stream = &conn.streams[side];
        if stream.fin_queued && stream.out.is_empty() && stream.flight.is_empty() {
            self.end(id, 1 - side, LinkEnd::Finished);
        }
    }

    pub(super) fn is_blocked(&self, conn: &Conn, side: usize) -> bool {
        match (conn.ends[side], conn.ends[1 - side]) {
            (End::Server { node: from, .. }, End::Server { node: to, .. }) => {
                self.blocked.contains(&(from, to))
            }
            _ => false,
        }
    }

    pub(super) fn close(&mut self, id: u64, side: usize, how: Close) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.open[side] {
            return;
        }
        conn.open[side] = false;
        let end = conn.ends[side];
        if let End::Server { node, boot } = end {
            let link = link(id, side);
            let input = Input::Link(LinkInput::Closed { link, end: LinkEnd::Closed });
            self.soon(Event::Input { node, boot, input });
        }
        match how {
            Close::Flush => {
                let conn = self.conns.get_mut(&id).expect("looked up above");
                conn.streams[side].fin = true;
                self.pump(id, side);
            }
            Close::Abort => {
                let conn = self.conns.get_mut(&id).expect("looked up above");
                conn.streams[side].out.clear();
                let last = conn.streams[side].last_arrival;
                let latency = self.draw_latency();
                // A reset overtakes what was not read, or it does not.
                let time = if self.rng.one_in(2) {
                    last.max(self.now + latency) + 2
                } else {
                    self.now + latency
                };
                self.at(time, Event::End { conn: id, side: 1 - side, end: LinkEnd::Reset });
            }
        }
    }

    pub(super) fn end(&mut self, id: u64, side: usize, end: LinkEnd) {
        let Some(conn) = self.conns.get(&id) else { return };
        if self.is_blocked(conn, 1 - side) {
            self.at(self.now + 20 * MS, Event::End { conn: id, side, end });
            return;
        }
        let conn = self.conns.remove(&id).expect("looked up above");
        if !conn.open[side] {
            return;
        }
        match conn.ends[side] {
            End::Server { node, boot } => {
                if self.is_up(node, boot) {
                    let link = link(id, side);
                    // Opened comes first, however quickly the other side gave up.
                    let input = Input::Link(LinkInput::Closed { link, end });
                    let time = conn.streams[1 - side].last_arrival.max(self.now);
                    self.at(time, Event::Input { node, boot, input });
                }
            }
            End::Client(client) => {
                let now = self.now;
                if self.clients[client].conn == Some(id) {
                    self.clients[client].broken(now);
                }
            }
        }
    }
}

const fn link(conn: u64, side: usize) -> LinkId {
    LinkId(conn * 2 + side as u64)
}

const fn split(link: LinkId) -> (u64, usize) {
    (link.0 / 2, (link.0 % 2) as usize)
}
