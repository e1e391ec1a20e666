//! Session passwords: a pure function of the id, so that any server, Apache's included, can verify
//! one. Apache: `ZooKeeperServer.generatePasswd`, on `java.util.Random`.

use crate::ids::SessionId;
use crate::wire::client::Password;

const SECRET: i64 = 0xB341_5C00;
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

/// The password of a session.
pub fn password(session: SessionId) -> Password {
    let mut state = ((session.0 ^ SECRET) as u64 ^ MULTIPLIER) & MASK;
    let mut password = [0; 16];
    for word in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

/// Whether `claimed` is the session's password. Looks at every byte, whatever the first ones are.
pub fn verify(session: SessionId, claimed: &[u8]) -> bool {
    let password = password(session);
    let differing = password.iter().zip(claimed).fold(0, |seen, (a, b)| seen | (a ^ b));
    session.0 != 0 && claimed.len() == password.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::{SessionId, password, verify};

    /// Apache ZooKeeper 3.9.5 (PROTOCOL 7, GOLDEN).
    const GOLDEN: [(i64, u128); 6] = [
        (0x0100_000c_d6f1_0000, 0x7578c1895e990ac8db8cf640d7030d85),
        (0x0100_000c_d6f1_0001, 0x8899bb89fee4e90cd0cf5d6cab8c2152),
        (0x0100_000c_d6f1_0021, 0xebbbff88fd58d3a8782e46d91fa7b2f4),
        (0x0200_000f_00bc_0000, 0x86c091f29b8e24b7d4c5945bdcfb2675),
        (0x0100_001b_c8ba_0000, 0x14ff0aff11c5dfc312fa008342ee5062),
        (0x0100_001b_c8ba_0001, 0x272005ffb110bf08073d68ae1677652f),
    ];

    #[test]
    fn passwords_are_apaches() {
        for (id, expected) in GOLDEN {
            let session = SessionId(id);
            assert_eq!(password(session), expected.to_be_bytes(), "{session}");
            assert!(verify(session, &expected.to_be_bytes()));
        }
    }

    #[test]
    fn only_the_whole_password_passes() {
        let session = SessionId(0x0100_000c_d6f1_0000);
        let good = password(session);
        assert!(!verify(session, &[]));
        assert!(!verify(session, &good[..15]));
        assert!(!verify(session, &[&good[..], &[0]].concat()));
        for at in 0..16 {
            let mut bad = good;
            bad[at] ^= 1;
            assert!(!verify(session, &bad), "byte {at}");
        }
        let nobody = SessionId(0);
        assert!(!verify(nobody, &password(nobody)), "0 is no session");
    }
}
