//! Requests for a session that no server may grant.

use bytes::Bytes;

use super::{ClientSpec, Session, wire};
use crate::history::Forgery;
use crate::rng::{SimRng, Stream};

/// Reconnections that first try a wrong password, in per mille.
const FORGERS: u64 = 40;

/// Reconnections that first claim to have seen what nobody has, in per mille.
const BOASTERS: u64 = 30;

/// Epochs that no run reaches begin so far ahead.
const EPOCHS_AHEAD: i64 = 1000;

/// When a client asks for what it must not get, and how.
#[derive(Debug)]
pub(super) struct Forger {
    passwords: SimRng,
    boasts: SimRng,
}

impl Forger {
    /// Behind the streams of operations, so that everything else is drawn as without it.
    pub(super) fn new(spec: &ClientSpec, rolls: u32) -> Self {
        let stream = |index| SimRng::rolled(spec.seed, rolls, Stream::Operation, index);
        Self { passwords: stream(u64::MAX - 1), boasts: stream(u64::MAX - 2) }
    }

    /// How the next request for the session is forged, if it is.
    pub(super) fn draw(&mut self) -> Option<Forgery> {
        let (lies, boasts) = (self.passwords.chance(FORGERS), self.boasts.chance(BOASTERS));
        match (lies, boasts) {
            (true, _) => Some(Forgery::WrongPassword),
            (false, true) => Some(Forgery::ClientAhead),
            (false, false) => None,
        }
    }

    /// The forged ConnectRequest of a client that has seen `last_zxid`.
    pub(super) fn request(
        &mut self,
        forgery: Forgery,
        session: &Session,
        last_zxid: i64,
        timeout_ms: i32,
        reads_only: bool,
    ) -> Bytes {
        let id = session.id.0;
        match forgery {
            Forgery::WrongPassword => {
                wire::connect(0, timeout_ms, id, &wrong(&session.password), reads_only)
            }
            Forgery::ClientAhead => {
                let epoch = ((last_zxid >> 32) + EPOCHS_AHEAD) << 32;
                let ahead = *self.boasts.pick(&[epoch, epoch + 7, i64::MAX]);
                wire::connect(ahead, timeout_ms, id, &session.password, reads_only)
            }
        }
    }
}

/// Differs from the right one in a bit.
fn wrong(password: &[u8]) -> Vec<u8> {
    let mut wrong = password.to_vec();
    if let Some(last) = wrong.last_mut() {
        *last ^= 1;
    }
    wrong
}
