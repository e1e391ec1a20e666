//! What people are told of quotas that are exceeded: a count for `mntr`, and a note for the log.
//!
//! Apache: `updateQuotaExceededMetrics`, and the `RateLogger` beside it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::server::note::Note;
use crate::server::{Outbox, Server};
use crate::time::{Mono, Span};
use crate::tree::{QuotaExcess, namespace};

/// A client that goes on to ask fills no log.
const BETWEEN_NOTES: Span = Span::from_ms(1000);

/// Since the start, or the last reset of the statistics.
#[derive(Debug, Default)]
pub(super) struct Excesses {
    /// Requests that were refused, by the first name of the path.
    refused: BTreeMap<String, u64>,
    noted: Option<Mono>,
}

impl Excesses {
    pub(super) fn refused(&self) -> &BTreeMap<String, u64> {
        &self.refused
    }

    pub(super) fn reset(&mut self) {
        self.refused.values_mut().for_each(|count| *count = 0);
    }

    /// Counts what is refused, and says of what to make a note.
    fn learn(&mut self, now: Mono, excesses: Vec<QuotaExcess>) -> Option<QuotaExcess> {
        for excess in excesses.iter().filter(|excess| excess.hard) {
            *self.refused.entry(namespace(&excess.limited).into()).or_default() += 1;
        }
        let last = excesses.into_iter().last()?;
        if self.noted.is_some_and(|noted| now < noted + BETWEEN_NOTES) {
            return None;
        }
        self.noted = Some(now);
        Some(last)
    }
}

impl Server {
    /// Behind each preparation.
    pub(super) fn tell_excesses(&mut self, out: &mut Outbox) {
        let excesses = self.preparer.take_excesses();
        if let Some(excess) = self.excesses.learn(self.at.mono, excesses) {
            out.note(Note::QuotaExceeded(excess));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::tree::Counted;

    fn excess(limited: &str, hard: bool) -> QuotaExcess {
        let of = Counted::Nodes;
        QuotaExcess { limited: limited.into(), of, amount: 3, limit: 2, hard }
    }

    #[test]
    fn every_refusal_counts_and_a_note_comes_once_a_second() {
        let mut told = Excesses::default();
        let at = |ms| Mono::default() + Span::from_ms(ms);
        assert_eq!(told.learn(at(0), vec![]), None);
        let (soft, hard) = (excess("/a/b", false), excess("/a", true));
        assert_eq!(told.learn(at(0), vec![soft, hard.clone()]), Some(hard.clone()));
        assert_eq!(told.learn(at(999), vec![hard.clone()]), None);
        assert_eq!(told.learn(at(1000), vec![excess("/c", true)]), Some(excess("/c", true)));
        let counts: Vec<(&str, u64)> =
            told.refused().iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(counts, [("a", 2), ("c", 1)]);
        told.reset();
        assert!(told.refused().values().all(|count| *count == 0));
    }
}
