//! A set of marks, as bits.

use crate::coverage::mark::{Mark, PLACES, registered};

const WORDS: usize = PLACES.div_ceil(64);

/// Which marks a run, or a sweep, has hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks([u64; WORDS]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Marks {
    pub(crate) fn hit(&mut self, mark: Mark) {
        let place = mark.place();
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    /// Takes in what another run has hit.
    pub fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
    }

    /// Whether `other` has a mark that this one lacks.
    pub fn lacks_any_of(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(word, more)| more & !word != 0)
    }

    /// Names of the registered marks that are here, and of those that are not, in the order of the
    /// register.
    pub fn split(&self) -> (Vec<String>, Vec<String>) {
        let (hit, missed): (Vec<_>, Vec<_>) =
            registered().into_iter().partition(|(place, _)| self.has(*place));
        let names = |marks: Vec<(usize, String)>| marks.into_iter().map(|(_, name)| name).collect();
        (names(hit), names(missed))
    }

    /// Short, for a line of a ledger; its meaning holds within one commit.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|word| format!("{word:016x}")).collect()
    }

    /// `None`: of another commit, or no marks at all.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut words = [0; WORDS];
        if text.len() != WORDS * 16 || !text.is_ascii() {
            return None;
        }
        for (index, word) in words.iter_mut().enumerate() {
            *word = u64::from_str_radix(&text[index * 16..index * 16 + 16], 16).ok()?;
        }
        Some(Self(words))
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Marks};
    use crate::coverage::labels::Moment;

    #[test]
    fn a_set_survives_its_text_and_tells_what_is_new() {
        let (mut one, mut other) = (Marks::default(), Marks::default());
        one.hit(Mark::Moment(Moment::TwoLeaders));
        other.hit(Mark::Fault(0));
        assert_eq!(Marks::from_hex(&one.to_hex()), Some(one));
        assert!(one.lacks_any_of(&other));
        one.join(&other);
        assert!(!one.lacks_any_of(&other));
        let (hit, missed) = one.split();
        assert_eq!(hit, ["fault: crash", "two servers lead in broadcast"]);
        assert!(missed.len() > 100);
        for wrong in ["", "xyz", &one.to_hex().replace('0', "ö")] {
            assert_eq!(Marks::from_hex(wrong), None);
        }
    }
}
