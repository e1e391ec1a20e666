//! A simulated ZooKeeper client with a codec of its own: a second, independent reading of the
//! protocol.
//!
//! It keeps its session over reconnects, pings at a third of the timeout, sometimes drops its
//! connection, falls silent until it is expired, or closes its session, and then starts anew.

mod asking;
mod farewell;
mod forgery;
mod impostor;
mod listening;
mod plan;
mod session;
#[cfg(test)]
mod tests;
mod watched;
pub(crate) mod wire;

use std::collections::VecDeque;

use bytes::BytesMut;
use vivarium_core::ids::ServerId;

use crate::client::{ClientEvent, ClientOut, ConnId, SimClient};
use crate::history::{Call, ClientFact, Forgery, RequestId, SessionFact};
use crate::ids::{ClientId, SimTime};
use crate::rng::{SimRng, Stream};
use crate::workload::{Memory, Operation, Stray, Workload};

use self::farewell::Farewell;
use self::forgery::Forger;
use self::impostor::Impostor;
use self::plan::{Departure, Plan};
pub use self::plan::{Operations, Timed};
use self::session::{Left, Session};
use self::watched::Watched;

/// How a client behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSpec {
    pub id: ClientId,
    /// Servers that it may dial.
    pub servers: Vec<ServerId>,
    /// What it asks for; servers clamp it.
    pub session_timeout_ms: i32,
    pub seed: u64,
    pub starts: SimTime,
    /// Most requests in flight; at least 1.
    pub pipeline: u64,
    /// Mean pause between two bursts of requests, about.
    pub think_us: u64,
    pub operations: Operations,
    /// It goes on with a server that has no quorum.
    pub reads_only: bool,
    /// It numbers its requests from 1 on each connection, as real clients do. One that counts on tells
    /// checkers more: what a number means is clear then whatever a server does.
    pub fresh_xids: bool,
    /// What it asks for on each second connection of a session.
    pub other_timeout_ms: Option<i32>,
    /// It goes back at once, mostly to the server that it was at: what it asked for is still under way there.
    pub returns: bool,
    /// What it says first when it comes back with its session goes right behind its ConnectRequest, as
    /// with real clients (`ClientCnxn.primeConnection`).
    pub asks_ahead: bool,
}

impl ClientSpec {
    /// The timeout that it asks for, where that is one that servers usually grant.
    fn usual_timeout_us(&self) -> u64 {
        u64::try_from(self.session_timeout_ms).unwrap_or(0).clamp(LEAST_MS, MOST_MS) * 1000
    }
}

/// How often a client that returns does so, in per mille.
const RETURNS: u64 = 800;

/// Bounds of what simulated servers grant.
const LEAST_MS: u64 = 200;
const MOST_MS: u64 = 10_000;

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
        departs: Option<Departure>,
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
    plan: Plan,
    /// What it did, and when; `None`: nobody wants to know.
    performed: Option<Vec<Timed>>,
    rng: SimRng,
    memory: Memory,
    watched: Watched,
    /// What it has shown of itself, to be shown again: schemes and proofs.
    proofs: Vec<(String, String)>,
    stage: Stage,
    session: Option<Session>,
    last_zxid: i64,
    received: BytesMut,
    outstanding: VecDeque<(RequestId, Call)>,
    /// What was sent behind a ConnectRequest that is not answered yet, with its number on that connection.
    ahead: VecDeque<(i32, Call)>,
    last_sent: SimTime,
    last_heard: SimTime,
    silent_until: Option<SimTime>,
    /// Still open, as after a move to another network: what was sent over it may arrive late.
    left: Option<Left>,
    /// How the request for its session is forged that is under way.
    forgery: Option<Forgery>,
    forger: Forger,
    impostor: Impostor,
    /// Asks for nothing any more.
    leaving: Option<Farewell>,
    /// Where it was attached last.
    home: Option<ServerId>,
}

impl ZkClient {
    /// `rolls` draws its reconnections anew; what it asks for stays.
    pub fn new(spec: ClientSpec, workload: Workload, calm_think_us: u64, rolls: u32) -> Self {
        Self {
            plan: Plan::new(&spec, workload, calm_think_us),
            performed: None,
            rng: SimRng::rolled(spec.seed, rolls, Stream::Workload, u64::from(spec.id.0)),
            memory: Memory::default(),
            watched: Watched::default(),
            proofs: Vec::new(),
            stage: Stage::Away { until: SimTime::ZERO },
            session: None,
            last_zxid: 0,
            received: BytesMut::new(),
            outstanding: VecDeque::new(),
            ahead: VecDeque::new(),
            last_sent: SimTime::ZERO,
            last_heard: SimTime::ZERO,
            silent_until: None,
            left: None,
            forgery: None,
            forger: Forger::new(&spec, rolls),
            impostor: Impostor::Nobody,
            leaving: None,
            home: None,
            spec,
        }
    }

    /// From now on it remembers what it did.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.performed = Some(Vec::new());
        self
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
        let home = self.home.filter(|_| self.spec.returns && self.rng.chance(RETURNS));
        let server = home.unwrap_or_else(|| *self.rng.pick(&self.spec.servers));
        let conn = out.connect(server);
        self.received.clear();
        self.stage = Stage::Dialling { conn, server, since: now };
    }

    /// The connection is gone, by whomever. What was in flight may or may not take effect.
    fn detach(&mut self, now: SimTime, cut_off: bool, out: &mut ClientOut) {
        self.end_forgery(out);
        self.impostor.vanish(out);
        if !matches!(self.stage, Stage::Attached { .. }) {
            // Who does not serve it now may never do so again.
            self.home = None;
        }
        self.ahead.clear();
        for (op, _) in self.outstanding.drain(..) {
            out.fact(ClientFact::Unknown { op });
        }
        if let (Stage::Attached { .. }, Some(session)) = (self.stage, &self.session) {
            let connection = session.connections;
            let session = session.id;
            out.fact(ClientFact::Session(SessionFact::Detached { session, connection, cut_off }));
        }
        // At once, while what was sent before is still on its way, or after a while.
        let most = if self.spec.returns { 5_000 } else { 200_000 };
        let wait = self.rng.log_range(50, most);
        self.silent_until = None;
        self.stage = Stage::Away { until: now.plus(wait) };
    }

    fn drop_connection(&mut self, now: SimTime, out: &mut ClientOut) {
        if let Some(conn) = self.conn() {
            out.abort(conn);
        }
        self.detach(now, false, out);
    }

    /// Goes on elsewhere without closing the connection. Where it leaves one behind already, that one
    /// is closed.
    fn move_away(&mut self, now: SimTime, stray: Option<Stray>, out: &mut ClientOut) {
        self.close_left(out);
        if let (Stage::Attached { conn, server }, Some(session)) = (self.stage, &self.session) {
            self.left = Some(Left::new(session, conn, server, stray));
        }
        self.detach(now, false, out);
    }

    fn close_left(&mut self, out: &mut ClientOut) {
        if let Some(left) = self.left.take() {
            out.abort(left.conn);
        }
    }

    /// Sends over the old connection what has to find that the session is elsewhere now.
    fn send_stray(&mut self, out: &mut ClientOut) {
        let (Some(left), Some(session)) = (&mut self.left, &mut self.session) else { return };
        if left.session != session.id {
            // The old session is over, as far as the client knows.
            return self.close_left(out);
        }
        let Some(stray) = left.stray.take() else { return };
        let late = match stray {
            Stray::Write(write) => Operation::Write(write),
            Stray::Close => {
                session.is_ending = true;
                Operation::CloseSession
            }
        };
        for call in late.settled(&self.memory).calls() {
            let op = left.number(session);
            out.send(left.conn, wire::request(op.cxid, &call));
            out.fact(ClientFact::Invoke { op, call });
            out.fact(ClientFact::Unknown { op });
        }
    }

    /// Starts anew, as a process does that was killed: nobody knows of its session any more.
    fn restart(&mut self, now: SimTime, out: &mut ClientOut) {
        self.close_left(out);
        self.drop_connection(now, out);
        self.forget_session();
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
        // What a server without a quorum showed may never come to be: other servers would turn away for
        // ever who has seen it.
        if let Some(seen) = self.session.take().and_then(|session| session.read_only) {
            self.last_zxid = seen;
        }
        self.watched = Watched::default();
        self.memory.forget_own();
        self.proofs.clear();
        if self.rng.chance(500) {
            self.last_zxid = 0;
        }
    }

    fn send(&mut self, now: SimTime, call: Call, out: &mut ClientOut) {
        let (Stage::Attached { conn, server }, Some(session)) = (self.stage, &mut self.session)
        else {
            return;
        };
        let op = session.number(server);
        if spoils(&call) {
            session.spoilt = Some(op.connection);
        }
        out.fact(ClientFact::Invoke { op, call: call.clone() });
        out.send(conn, wire::request(op.cxid, &call));
        self.outstanding.push_back((op, call));
        self.last_sent = now;
    }

    /// Whether a request is under way after which the server closes.
    fn is_ending(&self) -> bool {
        self.outstanding.back().is_some_and(|(_, call)| spoils(call))
    }

    /// Whether a server has a cause to end its connection.
    fn has_it_coming(&self) -> bool {
        let spoilt = |session: &Session| session.spoilt == Some(session.connections);
        let asked_for = |session: &Session| session.is_ending || spoilt(session);
        self.session.as_ref().is_some_and(asked_for) || self.silent_until.is_some()
    }

    /// Does what is due.
    fn act(&mut self, now: SimTime, out: &mut ClientOut) {
        while self.plan.at() <= now && matches!(self.stage, Stage::Attached { .. }) {
            if !self.is_free() {
                return;
            }
            let Some(operation) = self.plan.take(now) else { return };
            self.perform(now, operation, out);
            if self.silent_until.is_some() {
                return;
            }
        }
    }

    /// Whether the next operation may be done now.
    fn is_free(&self) -> bool {
        let in_flight = self.outstanding.len() as u64;
        !self.is_ending()
            && match self.plan.next() {
                Some(operation) if operation.is_request() => in_flight < self.plan.room(),
                next => in_flight == 0 || !matches!(next, Some(Operation::FallSilent { .. })),
            }
    }

    fn perform(&mut self, now: SimTime, operation: Operation, out: &mut ClientOut) {
        let operation = operation.settled(&self.memory);
        for call in operation.calls() {
            self.send(now, call, out);
        }
        if operation == Operation::Reauth {
            for (scheme, proof) in self.proofs.clone() {
                self.send(now, Call::AddAuth { scheme, proof }, out);
            }
        } else if operation == Operation::Rewatch {
            if let Some(call) = self.watched.again(self.last_zxid) {
                self.send(now, call, out);
            }
        } else if operation == Operation::DropConnection {
            self.drop_connection(now, out);
        } else if operation == Operation::Restart {
            self.restart(now, out);
        } else if let Operation::Move { stray } = &operation {
            self.move_away(now, stray.clone(), out);
        } else if let Operation::FallSilent { us } = operation {
            self.fall_silent(now, us, out);
        }
        if let Some(performed) = &mut self.performed {
            performed.push(Timed { at: now, operation });
        }
    }

    fn fall_silent(&mut self, now: SimTime, us: u64, out: &mut ClientOut) {
        let Some(session) = &self.session else { return };
        self.silent_until = Some(now.plus(us));
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
        if self.leaving.is_some() && self.outstanding.is_empty() {
            return self.leave(now, out);
        }
        self.let_impostor_try(now, out);
        self.act(now, out);
    }

    /// How long it waits for a connection, and for the answer to a ConnectRequest.
    fn patience_us(&self) -> u64 {
        self.spec.usual_timeout_us()
    }
}

/// Whether servers close the connection behind their answer.
fn spoils(call: &Call) -> bool {
    matches!(call, Call::CloseSession | Call::UnknownOp { .. })
        || matches!(call, Call::AddAuth { scheme, .. } if scheme != "digest" && scheme != "ip")
}

impl SimClient for ZkClient {
    fn reroll(&mut self, rolls: u32) {
        let index = u64::from(self.spec.id.0);
        self.rng = SimRng::rolled(self.spec.seed, rolls, Stream::Workload, index);
        self.forger = Forger::new(&self.spec, rolls);
    }

    fn take_performed(&mut self) -> Vec<Timed> {
        self.performed.take().unwrap_or_default()
    }

    fn on_event(&mut self, now: SimTime, event: ClientEvent, out: &mut ClientOut) {
        match event {
            ClientEvent::Start => self.on_wake(now, out),
            ClientEvent::Calm => {
                self.plan.becomes_calm(now);
                self.silent_until = None;
                self.close_left(out);
            }
            ClientEvent::Leave => {
                self.leaving = Some(Farewell::draw(&self.spec));
                self.plan.stop();
                self.on_wake(now, out);
            }
            ClientEvent::Connected { conn } => {
                if let Stage::Dialling { conn: mine, server, .. } = self.stage
                    && mine == conn
                {
                    self.last_heard = now;
                    self.last_sent = now;
                    self.ask(now, conn, server, out);
                } else {
                    self.forge(conn, out);
                }
            }
            ClientEvent::Bytes { conn, bytes } => {
                if self.conn() == Some(conn) {
                    self.on_bytes(now, &bytes, out);
                    if self.silent_until.is_none() && self.is_free() {
                        self.plan.goes_on(now);
                    }
                } else {
                    self.impostor_hears(conn, bytes, out);
                }
            }
            ClientEvent::ConnectFailed { conn, .. } | ClientEvent::Closed { conn } => {
                if self.conn() == Some(conn) {
                    self.detach(now, !self.has_it_coming(), out);
                } else {
                    self.refused(conn, out);
                }
            }
        }
    }

    fn on_wake(&mut self, now: SimTime, out: &mut ClientOut) {
        match self.stage {
            Stage::Away { until } if until <= now && self.comes_back() => self.dial(now, out),
            Stage::Away { .. } => {}
            Stage::Asking { since, departs: Some(departure), .. }
                if now.since(since) >= departure.after_us =>
            {
                match departure.dies {
                    true => self.restart(now, out),
                    false => self.drop_connection(now, out),
                }
            }
            Stage::Dialling { since, .. } | Stage::Asking { since, .. }
                if now.since(since) >= self.patience_us() =>
            {
                self.give_up(now, out);
            }
            Stage::Dialling { .. } | Stage::Asking { .. } => {}
            Stage::Attached { conn, .. } => self.keep_alive(now, conn, out),
        }
    }

    fn deadline(&self) -> Option<SimTime> {
        match (self.stage, &self.session) {
            (Stage::Away { until }, _) => self.comes_back().then_some(until),
            (Stage::Dialling { since, .. } | Stage::Asking { since, departs: None, .. }, _) => {
                Some(since.plus(self.patience_us()))
            }
            (Stage::Asking { since, departs: Some(departure), .. }, _) => {
                Some(since.plus(self.patience_us().min(departure.after_us)))
            }
            (Stage::Attached { .. }, Some(session)) => {
                Some(self.silent_until.unwrap_or_else(|| {
                    let ping = self.last_sent.plus(session.part_us(1));
                    let give_up = self.last_heard.plus(session.part_us(2));
                    // Without room only an answer lets it go on.
                    let next = if self.is_free() { self.plan.at() } else { SimTime::NEVER };
                    ping.min(give_up).min(next).min(self.impostor.at())
                }))
            }
            (Stage::Attached { .. }, None) => None,
        }
    }
}
