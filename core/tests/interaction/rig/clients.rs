//! What clients ask for, and operators with four letters.

use bytes::{Bytes, BytesMut};
use vivarium_core::ids::SessionId;
use vivarium_core::server::input::Plane;
use vivarium_core::session::password::password;
use vivarium_core::wire::client::Op;

use super::Rig;
use super::hearing::FarSide;
use super::words::Words;
use crate::client::{self, Client};

impl Rig {
    pub(super) fn word(&mut self, id: u64, word: &str) {
        self.far.insert(id, FarSide::Operator);
        self.open(id, None, Plane::Client);
        self.bytes(id, BytesMut::from(word.as_bytes()));
    }

    /// `client 30`, `client 30 session=5`: it comes back with that one; `client 31 as=30`: with the session
    /// of the other.
    pub(super) fn connect(&mut self, words: &Words<'_>) {
        let id = words.number(1);
        let mut far = Box::new(Client::new(0, words.named("timeout", 4000) as i32));
        far.read_only = words.named("readonly", 0) > 0;
        let session = words.named("session", 0);
        let session = match self.far.get(&words.named("as", 0)) {
            Some(FarSide::Client(other)) => other.session,
            Some(_) | None => (session > 0).then_some(SessionId(session as i64)),
        };
        if let Some(session) = session {
            far.session = Some(session);
            far.password = Bytes::copy_from_slice(&password(session));
        }
        let hello = far.greet(0);
        self.far.insert(id, FarSide::Client(far));
        self.open(id, None, Plane::Client);
        self.bytes(id, BytesMut::from(&hello[..]));
    }

    pub(super) fn ask(&mut self, words: &Words<'_>) {
        let id = words.number(1);
        let path = words.plain.get(3).copied().unwrap_or("/");
        let op = match words.plain[2] {
            "create" => client::create(path, "x", 0),
            "ephemeral" => client::create(path, "x", 1),
            "multi" => {
                let Op::Write(write) = client::create(path, "x", 1) else {
                    unreachable!("a write")
                };
                Op::Multi(vec![write])
            }
            "set" => client::set(path, "y"),
            "get" => client::get(path, false),
            "watch" => client::get(path, true),
            "sync" => client::sync(path),
            "close" => Op::CloseSession,
            other => panic!("no client asks {other}"),
        };
        let Some(FarSide::Client(far)) = self.far.get_mut(&id) else { panic!("no client {id}") };
        let bytes = far.request(op, 0, 0);
        self.bytes(id, BytesMut::from(&bytes[..]));
    }
}
