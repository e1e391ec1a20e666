//! Requests for a session that no server may grant.

use bytes::Bytes;

use super::{ClientSpec, Session, wire};
use crate::history::Forgery;
use crate::rng::{SimRng, Stream};

/// Reconnections that first try a wrong password, in per mille.
const FORGERS: u64 = 40;

/// Reconnections that first claim to have seen what nobody has, in per mille.
const BOASTERS: u64 = 30;

/// Connections whose session somebody else asks for meanwhile, in per mille.
const IMPOSTORS: u64 = 60;

/// Epochs that no run reaches begin so far ahead.
const EPOCHS_AHEAD: i64 = 1000;

/// When a client asks for what it must not get, and how.
#[derive(Debug)]
pub(super) struct Forger {
    passwords: SimRng,
    boasts: SimRng,
    impostors: SimRng,
}

impl Forger {
    /// Behind the streams of operations, so that everything else is drawn as without it.
    pub(super) fn new(spec: &ClientSpec, rolls: u32) -> Self {
        let stream = |index| SimRng::rolled(spec.seed, rolls, Stream::Operation, index);
        let (passwords, boasts) = (stream(u64::MAX - 1), stream(u64::MAX - 2));
        Self { passwords, boasts, impostors: stream(u64::MAX - 4) }
    }

    /// How long behind its grant somebody else asks for the session, and how, if anybody does.
    pub(super) fn draw_impostor(&mut self, within_us: u64) -> Option<(u64, Forgery)> {
        let rng = &mut self.impostors;
        let (comes, after_us) = (rng.chance(IMPOSTORS), rng.log_range(100, within_us));
        let forgery = *rng.pick(&[Forgery::WrongPassword, Forgery::ClientAhead]);
        comes.then_some((after_us, forgery))
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
                let wrong = self.wrong(&session.password);
                wire::connect(0, timeout_ms, id, &wrong, reads_only)
            }
            Forgery::ClientAhead => {
                let epoch = ((last_zxid >> 32) + EPOCHS_AHEAD) << 32;
                let ahead = *self.boasts.pick(&[epoch, epoch + 7, i64::MAX]);
                wire::connect(ahead, timeout_ms, id, &session.password, reads_only)
            }
        }
    }

    /// Differs from the right one in a bit, wherever that is, or is not as long, or is that of a new session.
    fn wrong(&mut self, password: &[u8]) -> Vec<u8> {
        let rng = &mut self.passwords;
        let mut wrong = password.to_vec();
        if wrong.is_empty() {
            return vec![0];
        }
        let len = wrong.len() as u64;
        match rng.below(8) {
            0 => wrong.truncate(rng.below(len) as usize),
            1 => wrong.push(0),
            2 => wrong.fill(0),
            _ => wrong[rng.below(len) as usize] ^= 1 << rng.below(8),
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_passwords_differ_from_the_right_one_anywhere() {
        let stream = || SimRng::rolled(7, 0, Stream::Operation, 1);
        let mut forger = Forger { passwords: stream(), boasts: stream(), impostors: stream() };
        let right: Vec<u8> = (1..=16).collect();
        let drawn: Vec<Vec<u8>> = (0..2000).map(|_| forger.wrong(&right)).collect();
        assert!(drawn.iter().all(|wrong| *wrong != right));
        for at in 0..16 {
            let here = |wrong: &&Vec<u8>| {
                wrong.len() == 16 && (0..16).all(|n| (wrong[n] == right[n]) == (n != at))
            };
            assert!(drawn.iter().any(|wrong| here(&wrong)), "byte {at} is always right");
        }
        for len in [0, 15, 17] {
            assert!(drawn.iter().any(|wrong| wrong.len() == len), "none of {len} bytes");
        }
        assert!(drawn.iter().any(|wrong| wrong.iter().all(|byte| *byte == 0) && wrong.len() == 16));
    }
}
