//! A simulated ZooKeeper client with a codec of its own: a second, independent reading of the
//! protocol.
//!
//! It keeps its session over reconnects, pings at a third of the timeout, sometimes drops its
//! connection, falls silent until it is expired, or closes its session, and then starts anew.

pub(crate) mod wire;

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use vivarium_core::ids::{ServerId, SessionId};

use crate::client::{ClientEvent, ClientOut, ConnId, SimClient};
use crate::codec::Reader;
use crate::history::{Call, ClientFact, RequestId, SessionFact};
use crate::ids::{ClientId, SimTime};
use crate::rng::{SimRng, Stream};
use crate::workload::{Memory, Workload};

/// Shortest pause between two requests of a client in the calm phase, in microseconds.
const CALM_THINK_US: u64 = 150_000;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientSpec {
    pub id: ClientId,
    /// Servers that it may dial.
    pub servers: Vec<ServerId>,
    /// What it asks for; servers clamp it.
    pub session_timeout_ms: i32,
    pub seed: u64,
}

#[derive(Clone, Debug)]
struct Session {
    id: SessionId,
    password: Bytes,
    timeout_ms: i32,
    last_xid: i32,
    /// Connections that it was granted on.
    connections: u32,
}

impl Session {
    fn part_us(&self, thirds: u64) -> u64 {
        u64::try_from(self.timeout_ms).unwrap_or(0) * 1000 * thirds / 3
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not connected; dials at this time.
    Away {
        until: SimTime,
    },
    Dialling {
        conn: ConnId,
        server: ServerId,
        since: SimTime,
    },
    /// ConnectRequest is sent.
    Asking {
        conn: ConnId,
        server: ServerId,
        since: SimTime,
    },
    Attached {
        conn: ConnId,
        server: ServerId,
    },
}

/// One client process.
#[derive(Debug)]
pub struct ZkClient {
    spec: ClientSpec,
    workload: Workload,
    rng: SimRng,
    memory: Memory,
    stage: Stage,
    session: Option<Session>,
    last_zxid: i64,
    received: BytesMut,
    outstanding: VecDeque<(RequestId, Call)>,
    last_sent: SimTime,
    last_heard: SimTime,
    next_burst: SimTime,
    silent_until: Option<SimTime>,
    calm: bool,
    /// Most requests in flight.
    pipeline: u64,
    think_us: u64,
}

impl ZkClient {
    pub fn new(spec: ClientSpec, workload: Workload) -> Self {
        let mut rng = SimRng::new(spec.seed, Stream::Workload, u64::from(spec.id.0));
        Self {
            memory: Memory::of(spec.id.0),
            stage: Stage::Away { until: SimTime::ZERO },
            session: None,
            last_zxid: 0,
            received: BytesMut::new(),
            outstanding: VecDeque::new(),
            last_sent: SimTime::ZERO,
            last_heard: SimTime::ZERO,
            next_burst: SimTime::ZERO,
            silent_until: None,
            calm: false,
            pipeline: rng.range(1, 8),
            think_us: rng.log_range(2_000, 100_000),
            spec,
            workload,
            rng,
        }
    }

    fn conn(&self) -> Option<ConnId> {
        match self.stage {
            Stage::Away { .. } => None,
            Stage::Dialling { conn, .. }
            | Stage::Asking { conn, .. }
            | Stage::Attached { conn, .. } => Some(conn),
        }
    }

    fn dial(&mut self, now: SimTime, out: &mut ClientOut) {
        let server = *self.rng.pick(&self.spec.servers);
        let conn = out.connect(server);
        self.received.clear();
        self.stage = Stage::Dialling { conn, server, since: now };
    }

    fn ask(&mut self, now: SimTime, conn: ConnId, server: ServerId, out: &mut ClientOut) {
        let timeout_ms = self.spec.session_timeout_ms;
        let (id, password) = match &self.session {
            Some(session) => (session.id.0, session.password.clone()),
            None => (0, Bytes::from_static(&[0; 16])),
        };
        let resume = self.session.as_ref().map(|session| session.id);
        let last_zxid = self.last_zxid;
        out.fact(ClientFact::Session(SessionFact::Asked { resume, last_zxid, timeout_ms, server }));
        out.send(conn, wire::connect(last_zxid, timeout_ms, id, &password));
        self.stage = Stage::Asking { conn, server, since: now };
    }

    /// The connection is gone, by whomever. What was in flight may or may not take effect.
    fn detach(&mut self, now: SimTime, out: &mut ClientOut) {
        for (op, _) in self.outstanding.drain(..) {
            out.fact(ClientFact::Unknown { op });
        }
        if let (Stage::Attached { .. }, Some(session)) = (self.stage, &self.session) {
            let connection = session.connections;
            let session = session.id;
            out.fact(ClientFact::Session(SessionFact::Detached { session, connection }));
        }
        let wait = self.rng.log_range(1_000, 200_000);
        self.silent_until = None;
        self.stage = Stage::Away { until: now.plus(wait) };
    }

    fn drop_connection(&mut self, now: SimTime, out: &mut ClientOut) {
        if let Some(conn) = self.conn() {
            out.abort(conn);
        }
        self.detach(now, out);
    }

    fn nonsense(&mut self, now: SimTime, what: &str, out: &mut ClientOut) {
        let server = match self.stage {
            Stage::Away { .. } => return,
            Stage::Dialling { server, .. }
            | Stage::Asking { server, .. }
            | Stage::Attached { server, .. } => server,
        };
        let session = self.session.as_ref().map(|session| session.id);
        out.fact(ClientFact::Nonsense { session, server, what: what.into() });
        self.drop_connection(now, out);
    }

    fn forget_session(&mut self) {
        self.session = None;
        if self.rng.chance(500) {
            self.last_zxid = 0;
        }
    }

    // ---- receiving

    fn take_frame(&mut self) -> Result<Option<Bytes>, &'static str> {
        let Some(head) = self.received.first_chunk::<4>() else { return Ok(None) };
        let len = i32::from_be_bytes(*head);
        let Ok(len) = usize::try_from(len) else { return Err("a frame of negative length") };
        if len > 4 << 20 {
            return Err("a frame of more than 4 MiB");
        }
        if self.received.len() < 4 + len {
            return Ok(None);
        }
        self.received.advance(4);
        Ok(Some(self.received.split_to(len).freeze()))
    }

    fn on_bytes(&mut self, now: SimTime, bytes: &Bytes, out: &mut ClientOut) {
        self.last_heard = now;
        self.received.extend_from_slice(bytes);
        loop {
            let done = match (self.take_frame(), self.stage) {
                (Err(what), _) => Err(what),
                (Ok(None), _) | (_, Stage::Away { .. } | Stage::Dialling { .. }) => return,
                (Ok(Some(frame)), Stage::Asking { conn, server, .. }) => {
                    self.on_answer(now, conn, server, frame, out)
                }
                (Ok(Some(frame)), Stage::Attached { .. }) => self.on_packet(now, frame, out),
            };
            if let Err(what) = done {
                return self.nonsense(now, what, out);
            }
        }
    }

    fn on_answer(
        &mut self,
        now: SimTime,
        conn: ConnId,
        server: ServerId,
        frame: Bytes,
        out: &mut ClientOut,
    ) -> Result<(), &'static str> {
        let granted = wire::connected(frame).ok_or("a connect response that does not decode")?;
        if granted.session == 0 {
            if let Some(session) = self.session.as_ref().map(|session| session.id) {
                out.fact(ClientFact::Session(SessionFact::Expired { session, server }));
                self.forget_session();
            }
            self.drop_connection(now, out);
            return Ok(());
        }
        let got = SessionId(granted.session);
        let asked = self.session.as_ref().map(|session| session.id);
        let session = self.session.get_or_insert_with(|| Session {
            id: got,
            password: granted.password.clone(),
            timeout_ms: granted.timeout_ms,
            last_xid: 0,
            connections: 0,
        });
        session.connections += 1;
        session.timeout_ms = granted.timeout_ms;
        let same_password = session.password == granted.password && granted.password.len() == 16;
        let (timeout_ms, connection) = (granted.timeout_ms, session.connections);
        out.fact(ClientFact::Session(SessionFact::Granted {
            asked,
            got,
            same_password,
            timeout_ms,
            server,
            connection,
        }));
        if session.id != got || timeout_ms <= 0 {
            return Err("a session that was not asked for");
        }
        self.stage = Stage::Attached { conn, server };
        self.next_burst = now.plus(self.rng.below(self.think_us));
        Ok(())
    }

    fn on_packet(
        &mut self,
        now: SimTime,
        frame: Bytes,
        out: &mut ClientOut,
    ) -> Result<(), &'static str> {
        let mut reader = Reader::new(frame);
        let header = wire::header(&mut reader).ok_or("a reply header that does not decode")?;
        let Some((session, connection)) =
            self.session.as_ref().map(|session| (session.id, session.connections))
        else {
            return Err("a packet without a session");
        };
        match header.xid {
            -1 => {
                let (kind, path) = wire::event(reader).ok_or("an event that does not decode")?;
                let zxid = header.zxid;
                out.fact(ClientFact::Watch { session, connection, kind, path, zxid });
            }
            -2 => {
                out.fact(ClientFact::Pong { session, connection, zxid: header.zxid });
                self.last_zxid = self.last_zxid.max(header.zxid);
            }
            _ => return self.on_reply(now, header, reader, out),
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        now: SimTime,
        header: wire::ReplyHeader,
        reader: Reader,
        out: &mut ClientOut,
    ) -> Result<(), &'static str> {
        let (op, call) = match self.outstanding.front() {
            Some((op, _)) if op.xid == header.xid => {
                self.outstanding.pop_front().expect("it was just looked at")
            }
            Some(_) => return Err("a reply out of order"),
            None => return Err("a reply to nothing"),
        };
        let zxid = header.zxid;
        if header.err != 0 {
            out.fact(ClientFact::Err { op, zxid, code: header.err });
        } else {
            let Some(result) = wire::reply(&call, reader) else {
                self.outstanding.push_front((op, call));
                return Err("a reply body that does not decode");
            };
            self.memory.learn(&call, &result);
            out.fact(ClientFact::Ok { op, zxid, result });
        }
        if zxid > 0 {
            self.last_zxid = self.last_zxid.max(zxid);
        }
        if matches!(call, Call::CloseSession) {
            let session = op.session;
            out.fact(ClientFact::Session(SessionFact::Left { session }));
            if let Some(conn) = self.conn() {
                out.close(conn);
            }
            self.detach(now, out);
            self.forget_session();
        }
        Ok(())
    }

    // ---- sending

    fn send(&mut self, now: SimTime, call: Call, out: &mut ClientOut) {
        let (Stage::Attached { conn, server }, Some(session)) = (self.stage, &mut self.session)
        else {
            return;
        };
        session.last_xid += 1;
        let (connection, xid) = (session.connections, session.last_xid);
        let op = RequestId { session: session.id, xid, connection, server };
        out.fact(ClientFact::Invoke { op, call: call.clone() });
        out.send(conn, wire::request(xid, &call));
        self.outstanding.push_back((op, call));
        self.last_sent = now;
    }

    /// Whether a request is under way after which the server closes.
    fn is_ending(&self) -> bool {
        self.outstanding
            .back()
            .is_some_and(|(_, call)| matches!(call, Call::CloseSession | Call::UnknownOp { .. }))
    }

    fn burst(&mut self, now: SimTime, out: &mut ClientOut) {
        // The calm phase asks whether things work, not how fast: a low rate also keeps the zxid limit
        // from being met twice in it (L1).
        let think = if self.calm { self.think_us.max(CALM_THINK_US) } else { self.think_us };
        let gap = self.rng.range(think / 4, think * 2);
        self.next_burst = now.plus(gap);
        if self.is_ending() {
            return;
        }
        let mood = self.rng.below(1000);
        if mood < 8 && !self.calm {
            return self.drop_connection(now, out);
        }
        if mood < 12 && !self.calm && self.outstanding.is_empty() {
            return self.fall_silent(now, out);
        }
        if mood < 20 {
            return self.send(now, Call::CloseSession, out);
        }
        let pipeline = if self.calm { 1 } else { self.pipeline };
        let room = pipeline.saturating_sub(self.outstanding.len() as u64);
        for _ in 0..self.rng.range(room.min(1), room) {
            for call in self.workload.draw_calls(&mut self.rng, &mut self.memory) {
                if !self.is_ending() {
                    self.send(now, call, out);
                }
            }
        }
    }

    fn fall_silent(&mut self, now: SimTime, out: &mut ClientOut) {
        let Some(session) = &self.session else { return };
        let timeout = session.part_us(3);
        let length = self.rng.range(timeout / 2, timeout * 2);
        self.silent_until = Some(now.plus(length));
        out.fact(ClientFact::Session(SessionFact::Silent { session: session.id }));
    }

    fn keep_alive(&mut self, now: SimTime, conn: ConnId, out: &mut ClientOut) {
        let Some(session) = &self.session else { return };
        if let Some(until) = self.silent_until {
            if now < until {
                return;
            }
            self.silent_until = None;
            self.last_heard = now;
        }
        if now.since(self.last_heard) >= session.part_us(2) {
            return self.drop_connection(now, out);
        }
        if now.since(self.last_sent) >= session.part_us(1) {
            let (session, connection) = (session.id, session.connections);
            out.fact(ClientFact::Ping { session, connection });
            out.send(conn, wire::ping());
            self.last_sent = now;
        }
        if self.next_burst <= now {
            self.burst(now, out);
        }
    }

    /// How long it waits for a connection, and for the answer to a ConnectRequest.
    fn patience_us(&self) -> u64 {
        u64::try_from(self.spec.session_timeout_ms).unwrap_or(1000) * 1000
    }
}

impl SimClient for ZkClient {
    fn on_event(&mut self, now: SimTime, event: ClientEvent, out: &mut ClientOut) {
        match event {
            ClientEvent::Start => self.on_wake(now, out),
            ClientEvent::Calm => {
                self.calm = true;
                self.silent_until = None;
            }
            ClientEvent::Connected { conn } => {
                if let Stage::Dialling { conn: mine, server, .. } = self.stage
                    && mine == conn
                {
                    self.last_heard = now;
                    self.last_sent = now;
                    self.ask(now, conn, server, out);
                }
            }
            ClientEvent::Bytes { conn, bytes } => {
                if self.conn() == Some(conn) {
                    self.on_bytes(now, &bytes, out);
                }
            }
            ClientEvent::ConnectFailed { conn, .. } | ClientEvent::Closed { conn } => {
                if self.conn() == Some(conn) {
                    self.detach(now, out);
                }
            }
        }
    }

    fn on_wake(&mut self, now: SimTime, out: &mut ClientOut) {
        match self.stage {
            Stage::Away { until } if until <= now => self.dial(now, out),
            Stage::Away { .. } => {}
            Stage::Dialling { since, .. } | Stage::Asking { since, .. } => {
                if now.since(since) >= self.patience_us() {
                    self.drop_connection(now, out);
                }
            }
            Stage::Attached { conn, .. } => self.keep_alive(now, conn, out),
        }
    }

    fn deadline(&self) -> Option<SimTime> {
        match (self.stage, &self.session) {
            (Stage::Away { until }, _) => Some(until),
            (Stage::Dialling { since, .. } | Stage::Asking { since, .. }, _) => {
                Some(since.plus(self.patience_us()))
            }
            (Stage::Attached { .. }, Some(session)) => {
                Some(self.silent_until.unwrap_or_else(|| {
                    let ping = self.last_sent.plus(session.part_us(1));
                    let give_up = self.last_heard.plus(session.part_us(2));
                    ping.min(give_up).min(self.next_burst)
                }))
            }
            (Stage::Attached { .. }, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::TestAsk;
    use crate::codec::Writer;

    fn client() -> (ZkClient, ClientOut) {
        let spec = ClientSpec {
            id: ClientId(0),
            servers: vec![ServerId(1)],
            session_timeout_ms: 3000,
            seed: 1,
        };
        (ZkClient::new(spec, Workload::draw(1)), ClientOut::new())
    }

    fn answer(session: i64) -> Bytes {
        let mut out = Writer::new();
        out.i32(0).i32(if session == 0 { 0 } else { 3000 }).i64(session);
        out.buffer(Some(&[7; 16])).bool(false);
        out.frame()
    }

    /// Connected, and granted this session.
    fn attach(client: &mut ZkClient, out: &mut ClientOut, now: SimTime, session: i64) -> ConnId {
        client.on_wake(now, out);
        let conn = client.conn().unwrap();
        client.on_event(now, ClientEvent::Connected { conn }, out);
        client.on_event(now, ClientEvent::Bytes { conn, bytes: answer(session) }, out);
        conn
    }

    fn facts(out: &mut ClientOut) -> Vec<ClientFact> {
        let fact = |ask| match ask {
            TestAsk::Fact(fact) => Some(fact),
            TestAsk::Connect(..) | TestAsk::Send(..) | TestAsk::Close(_) => None,
        };
        out.take_for_test().into_iter().filter_map(fact).collect()
    }

    #[test]
    fn a_session_is_resumed_with_its_id_and_given_up_when_it_is_expired() {
        let (mut client, mut out) = client();
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        client.on_event(SimTime::from_ms(1), ClientEvent::Closed { conn }, &mut out);
        out.take_for_test();
        attach(&mut client, &mut out, SimTime::from_secs(1), 0);
        let facts = facts(&mut out);
        let asked = Some(SessionId(9));
        assert!(facts.iter().any(|fact| matches!(
            fact,
            ClientFact::Session(SessionFact::Asked { resume, .. }) if *resume == asked
        )));
        assert!(facts.iter().any(|fact| matches!(
            fact,
            ClientFact::Session(SessionFact::Expired { session: SessionId(9), .. })
        )));
        assert!(client.session.is_none());
    }

    #[test]
    fn what_is_in_flight_when_the_connection_ends_is_unknown() {
        let (mut client, mut out) = client();
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        client.send(SimTime::ZERO, Call::Sync { path: "/".into() }, &mut out);
        client.on_event(SimTime::ZERO, ClientEvent::Closed { conn }, &mut out);
        let unknown = |fact: &ClientFact| matches!(fact, ClientFact::Unknown { op } if op.xid == 1);
        assert!(facts(&mut out).iter().any(unknown));
    }

    #[test]
    fn chunk_borders_do_not_matter_and_order_does() {
        let (mut client, mut out) = client();
        let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
        client.send(SimTime::ZERO, Call::Delete { path: "/a".into(), version: -1 }, &mut out);
        let mut reply = Writer::new();
        reply.i32(1).i64(5).i32(-101);
        for byte in reply.frame() {
            let bytes = Bytes::copy_from_slice(&[byte]);
            client.on_event(SimTime::ZERO, ClientEvent::Bytes { conn, bytes }, &mut out);
        }
        let facts = facts(&mut out);
        assert!(matches!(facts.last(), Some(ClientFact::Err { zxid: 5, code: -101, .. })));
        let mut stray = Writer::new();
        stray.i32(7).i64(6).i32(0);
        let bytes = stray.frame();
        client.on_event(SimTime::ZERO, ClientEvent::Bytes { conn, bytes }, &mut out);
        assert!(client.conn().is_none());
    }

    #[test]
    fn it_pings_at_a_third_and_gives_up_at_two_thirds() {
        let (mut client, mut out) = client();
        attach(&mut client, &mut out, SimTime::ZERO, 9);
        client.next_burst = SimTime::NEVER;
        assert_eq!(client.deadline(), Some(SimTime::from_secs(1)));
        client.on_wake(SimTime::from_secs(1), &mut out);
        assert!(facts(&mut out).iter().any(|fact| matches!(fact, ClientFact::Ping { .. })));
        client.on_wake(SimTime::from_secs(2), &mut out);
        assert!(client.conn().is_none());
    }

    /// Whatever a server sends, no client panics.
    #[test]
    fn random_bytes_are_survived() {
        for seed in 0..300 {
            let (mut client, mut out) = client();
            let conn = attach(&mut client, &mut out, SimTime::ZERO, 9);
            client.send(SimTime::ZERO, Call::Sync { path: "/".into() }, &mut out);
            let mut rng = SimRng::new(seed, Stream::Workload, 1);
            let mut bytes = vec![0, 0, 0, rng.below(60) as u8];
            bytes.extend((0..100).map(|_| rng.below(4) as u8));
            client.on_event(
                SimTime::ZERO,
                ClientEvent::Bytes { conn, bytes: bytes.into() },
                &mut out,
            );
        }
    }
}
