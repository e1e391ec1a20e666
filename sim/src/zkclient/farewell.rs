//! How clients leave when the run ends: some say so, and of the others servers have to find out.

use super::{ClientSpec, ZkClient};
use crate::client::ClientOut;
use crate::history::Call;
use crate::ids::SimTime;
use crate::rng::{SimRng, Stream};

/// Behind the streams of operations.
const FAREWELLS: u64 = u64::MAX - 3;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It closes its session.
    Closes,
    /// Its process ends.
    Dies,
    /// It keeps its connection, and says nothing any more.
    FallsSilent,
    /// It comes back once more, asks for the shortest timeout that it can get, and dies.
    ComesBackToDie,
}

impl Farewell {
    pub(super) fn draw(spec: &ClientSpec) -> Self {
        let mut rng = SimRng::new(spec.seed, Stream::Operation, FAREWELLS);
        match rng.below(10) {
            0..5 => Self::Closes,
            5..7 => Self::Dies,
            7 => Self::FallsSilent,
            _ => Self::ComesBackToDie,
        }
    }
}

impl ZkClient {
    /// Nothing that it asked for is under way any more.
    pub(super) fn leave(&mut self, now: SimTime, out: &mut ClientOut) {
        match self.leaving {
            None => {}
            Some(Farewell::Closes) => self.send(now, Call::CloseSession, out),
            Some(Farewell::Dies) => self.restart(now, out),
            Some(Farewell::FallsSilent) => self.fall_silent(now, u64::MAX - now.0, out),
            Some(Farewell::ComesBackToDie) => self.drop_connection(now, out),
        }
    }

    /// Whether it looks for a server, once it has waited long enough.
    pub(super) fn comes_back(&self) -> bool {
        match self.leaving {
            None => true,
            Some(Farewell::ComesBackToDie) => self.session.is_some(),
            Some(Farewell::Closes | Farewell::Dies | Farewell::FallsSilent) => false,
        }
    }
}
