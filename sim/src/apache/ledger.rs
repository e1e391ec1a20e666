//! What a server believes to have sent, and what really went out in its place: back pressure counts
//! bytes, and a habit changes how many there are.

use std::collections::VecDeque;

/// Bytes on one link, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    /// Bytes that the kernel has not taken yet.
    real: u64,
    /// Bytes of the server that these stand for, not acknowledged yet.
    told: u64,
}

impl Ledger {
    /// `told` bytes of the server went out as `real` bytes.
    pub(super) fn send(&mut self, told: usize, real: usize) {
        self.segments.push_back(Segment { real: real as u64, told: told as u64 });
    }

    /// The kernel took `real` bytes: how many the server may be told of.
    pub(super) fn sent(&mut self, real: u64) -> u64 {
        let (mut left, mut told) = (real, 0);
        while let Some(front) = self.segments.front_mut() {
            if front.real == front.told {
                // Nothing was changed: it may go out in parts.
                let part = front.real.min(left);
                (front.real, front.told) = (front.real - part, front.told - part);
                (left, told) = (left - part, told + part);
            } else {
                let part = front.real.min(left);
                (front.real, left) = (front.real - part, left - part);
            }
            if front.real > 0 {
                break;
            }
            told += front.told;
            self.segments.pop_front();
        }
        told + left
    }

    /// Another server is at this end: what the last one sent is on its way all the same.
    pub(super) fn forget_server(&mut self) {
        let real = self.segments.drain(..).map(|segment| segment.real).sum();
        self.segments.push_back(Segment { real, told: 0 });
    }

    /// What was swallowed and waits behind nothing.
    pub(super) fn settle(&mut self) -> u64 {
        self.sent(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;

    #[test]
    fn a_server_is_told_of_all_its_bytes_in_order_and_never_early() {
        let mut ledger = Ledger::default();
        ledger.send(28, 20);
        ledger.send(10, 10);
        ledger.send(7, 0);
        assert_eq!(ledger.settle(), 0);
        assert_eq!(ledger.sent(19), 0);
        assert_eq!(ledger.sent(5), 28 + 4);
        assert_eq!(ledger.sent(6), 6 + 7, "what was swallowed counts as soon as its turn comes");
        assert_eq!(ledger.sent(3), 3, "bytes that nobody changed");
        ledger.send(5, 0);
        assert_eq!(ledger.settle(), 5);
    }
}
