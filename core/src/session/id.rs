//! Ids for new sessions. Apache: `SessionTrackerImpl.initializeNextSessionId`.

use crate::ids::{ServerId, SessionId};
use crate::time::Wall;

/// Bits below the server's byte.
const OWN_BITS: u64 = (1 << 56) - 1;

/// Bits that count on from the start.
const COUNT_BITS: u64 = 0xffff;

/// Of those, the bits whose start is random too.
const COUNT_START_BITS: u64 = COUNT_BITS >> 1;

/// Longest jump ahead: about 70 minutes.
const JUMP_MS: u64 = 1 << 22;

/// Hands out the ids of one server: its number in the high byte, then 40 bits of a millisecond
/// clock at the start, then 16 bits that count on.
///
/// The start is wall time or lies behind the highest own id that is known, whichever is later, so
/// that neither a clock that was set back nor one that wrapped hands out an id twice. Not every id
/// is known: those of sessions that were closed before the newest snapshot are not, nor are those
/// that the last start handed out and this server never logged. So the start jumps ahead by a random
/// time, and the count begins anywhere in its lower half: that a later start meets one of those ids is
/// as unlikely as drawing the same 37 bits, whatever the clock reads.
#[derive(Clone, Debug)]
pub struct SessionIds {
    server: u64,
    first: u64,
    next: u64,
}

impl SessionIds {
    /// `known`: ids in the session table or met in the log. `jump`: any random number.
    pub fn new(
        server: ServerId,
        wall: Wall,
        known: impl IntoIterator<Item = SessionId>,
        jump: u64,
    ) -> Self {
        let server = server.0 << 56;
        let clock = ((wall.0 as u64) << 24) >> 8;
        let after_known = known
            .into_iter()
            .map(|id| id.0 as u64)
            .filter(|id| id & !OWN_BITS == server)
            .map(|id| ((id & OWN_BITS) | COUNT_BITS) + 1)
            .max();
        // 0xff and 16 zero bits would read as the owner of a TTL node.
        let lowest = if server >> 56 == 0xff { 1 << 40 } else { 0 };
        let ahead = (jump % JUMP_MS) << 16 | (jump >> 32) & COUNT_START_BITS;
        let start = (clock.max(after_known.unwrap_or(0)) + ahead) & OWN_BITS;
        let first = start.max(lowest);
        Self { server, first, next: first }
    }

    /// Whether this start has handed it out.
    pub fn has_issued(&self, id: SessionId) -> bool {
        let count = id.0 as u64 & OWN_BITS;
        id.0 as u64 & !OWN_BITS == self.server && (self.first..self.next).contains(&count)
    }

    /// Never 0, never the id that marks containers, never one that `is_taken`.
    pub fn next(&mut self, is_taken: impl Fn(SessionId) -> bool) -> SessionId {
        loop {
            let id = SessionId((self.server | self.next) as i64);
            self.next = (self.next + 1) & OWN_BITS;
            if id.0 != 0 && id.0 != i64::MIN && !is_taken(id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{ServerId, SessionId, SessionIds, Wall};

    fn first(server: u64, ms: i64, known: &[i64]) -> u64 {
        let mut ids =
            SessionIds::new(ServerId(server), Wall(ms), known.iter().map(|&id| SessionId(id)), 0);
        ids.next(|id| known.contains(&id.0)).0 as u64
    }

    #[test]
    fn layout_is_apaches() {
        assert_eq!(first(1, 0x1bc8ba, &[]), 0x0100_001b_c8ba_0000);
        assert_eq!(first(3, 0x01a1_f720_8899, &[]), 0x03a1_f720_8899_0000, "40 bits of the clock");
        assert_eq!(first(0x105, 1, &[]), 0x0500_0000_0001_0000, "one byte of the server's number");
    }

    #[test]
    fn ids_count_on() {
        let mut ids = SessionIds::new(ServerId(2), Wall(5), [], 0);
        let got: Vec<i64> = (0..3).map(|_| ids.next(|_| false).0).collect();
        assert_eq!(got, [0x0200_0000_0005_0000, 0x0200_0000_0005_0001, 0x0200_0000_0005_0002]);
    }

    #[test]
    fn a_start_knows_the_ids_that_it_handed_out() {
        let mut ids = SessionIds::new(ServerId(2), Wall(5), [], 0);
        let issued = ids.next(|_| false);
        assert!(ids.has_issued(issued));
        for other in [issued.0 + 1, issued.0 - 1, issued.0 & !(1 << 57)] {
            assert!(!ids.has_issued(SessionId(other)), "{other:#x}");
        }
    }

    #[test]
    fn a_clock_set_back_does_not_repeat_ids() {
        assert_eq!(first(1, 5, &[0x0100_0000_0009_0007]), 0x0100_0000_000a_0000);
        assert_eq!(first(1, 10, &[0x0100_0000_0009_0007]), 0x0100_0000_000a_0000);
    }

    #[test]
    fn a_clock_that_stands_still_does_not_repeat_ids() {
        let mut starts = [7, 8].map(|jump| SessionIds::new(ServerId(1), Wall(5), [], jump));
        let [before, after] = starts.each_mut().map(|ids| ids.next(|_| false).0);
        assert_eq!([before, after], [0x0100_0000_000c_0000, 0x0100_0000_000d_0000]);
    }

    #[test]
    fn the_count_begins_anywhere_in_its_lower_half() {
        let begins = |jump| SessionIds::new(ServerId(1), Wall(5), [], jump).next(|_| false).0;
        assert_eq!(begins(u64::MAX << 32), 0x0100_0000_0005_7fff);
        assert_eq!(begins(3 << 32 | 2), 0x0100_0000_0007_0003);
    }

    #[test]
    fn ids_of_other_servers_do_not_count() {
        assert_eq!(first(1, 5, &[0x0200_0000_0009_0007]), 0x0100_0000_0005_0000);
        assert_eq!(first(0x81, 5, &[0x0100_0000_0009_0007]), 0x8100_0000_0005_0000);
    }

    #[test]
    fn reserved_and_taken_ids_are_skipped() {
        assert_eq!(first(0, 0, &[]), 1);
        assert_eq!(first(0x80, 0, &[]), 0x8000_0000_0000_0001);
        assert_eq!(first(0xff, 0, &[]), 0xff00_0100_0000_0000, "looks like no TTL");
        let last = 0x01ff_ffff_ffff_ffff;
        assert_eq!(first(1, 0, &[last]), 0x0100_0000_0000_0000, "wraps within the server's own");
        let mut ids = SessionIds::new(ServerId(1), Wall(0), [], 0);
        assert_eq!(ids.next(|id| id.0 & 0xff < 7).0, 0x0100_0000_0000_0007);
    }
}
