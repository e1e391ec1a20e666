//! Clients: they connect, ask, ping and leave.

use vivarium_core::server::action::Close;
use vivarium_core::server::input::Plane;
use vivarium_core::wire::client::Op;

use super::{Event, MS, SECOND, World};
use crate::harness::client::{Client, Finished, Outcome, State};
use crate::harness::net::End;

impl World {
    pub fn add_client(&mut self, timeout_ms: i32) -> usize {
        let index = self.clients.len();
        self.clients.push(Client::new(index, timeout_ms));
        index
    }

    /// Adds a client that connects by itself and keeps its session alive.
    pub fn add_lively_client(&mut self, timeout_ms: i32) -> usize {
        let client = self.add_client(timeout_ms);
        self.soon(Event::Tick { client });
        client
    }

    pub fn join(&mut self, client: usize, node: usize) -> bool {
        if self.nodes[node].server.is_none() {
            return false;
        }
        let ends = [End::Client(client), End::Server { node, boot: self.nodes[node].boot }];
        let conn = self.connect(ends);
        let there = self.now + self.draw_latency();
        self.open_at(conn, 1, there, None, Plane::Client, 100 + client);
        let now = self.now;
        self.clients[client].conn = Some(conn);
        self.clients[client].server = node;
        let hello = self.clients[client].greet(now);
        self.send(conn, 0, hello);
        true
    }

    pub fn leave(&mut self, client: usize) {
        let Some(conn) = self.clients[client].conn.take() else { return };
        let now = self.now;
        self.clients[client].broken(now);
        self.close(conn, 0, Close::Abort);
    }

    pub fn ask(&mut self, client: usize, op: Op, tag: u64) {
        let now = self.now;
        let Some(conn) = self.clients[client].conn else { panic!("client {client} is apart") };
        self.log(|| format!("c{client} -> {op:?}"));
        let bytes = self.clients[client].request(op, tag, now);
        self.send(conn, 0, bytes);
    }

    /// Asks and waits for the end of it.
    pub fn call(&mut self, client: usize, op: Op) -> Finished {
        self.try_call(client, op.clone()).unwrap_or_else(|| panic!("no answer to {op:?}"))
    }

    /// As `call`; `None` where the connection broke.
    pub fn try_call(&mut self, client: usize, op: Op) -> Option<Finished> {
        self.clients[client].conn?;
        let before = self.clients[client].finished.len();
        assert_eq!(self.clients[client].outstanding(), 0, "one call at a time");
        self.ask(client, op.clone(), u64::MAX);
        let done = self.run_until(20 * SECOND, |w| w.clients[client].finished.len() > before);
        assert!(done, "neither answer nor end for {op:?}");
        let done = self.clients[client].finished.pop_back().expect("just counted");
        (done.outcome != Outcome::Unknown).then_some(done)
    }

    /// Connects and waits until the session stands.
    pub fn join_and_wait(&mut self, client: usize, node: usize) -> bool {
        self.join(client, node)
            && self.run_until(10 * SECOND, |w| w.clients[client].state != State::Greeting)
            && self.clients[client].state == State::Live
    }

    pub(super) fn tick(&mut self, client: usize) {
        let now = self.now;
        let (state, timeout) = {
            let this = &self.clients[client];
            (this.state, this.timeout_ms as u64 * MS)
        };
        match state {
            State::Apart => {
                let node = self.rng.below(self.nodes.len() as u64) as usize;
                self.join(client, node);
            }
            State::Greeting | State::Live => {
                let silent = now - self.clients[client].last_heard;
                if silent > timeout * 2 / 3 {
                    self.leave(client);
                } else if state == State::Live && now - self.clients[client].last_sent > timeout / 4
                {
                    let ping = self.clients[client].ping(now);
                    let conn = self.clients[client].conn.expect("live clients are connected");
                    self.send(conn, 0, ping);
                }
            }
            State::Closed => {}
        }
        if let Some(hook) = self.hook {
            hook(self, client);
        }
        let delay = self.rng.range(5 * MS, 60 * MS);
        self.at(now + delay, Event::Tick { client });
    }
}
