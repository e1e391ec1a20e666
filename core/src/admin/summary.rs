//! Figures that words print: least, most, average. Apache: `AvgMinMaxCounter`, `BufferStats`.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::time::Span;

/// How often something was measured, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub count: u64,
    pub total: u64,
    pub min: u64,
    pub max: u64,
}

impl Summary {
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.total = self.total.saturating_add(value);
        self.count += 1;
    }

    /// In whole milliseconds, as ZooKeeper counts them.
    pub fn add_span(&mut self, took: Span) {
        self.add(took.as_ms());
    }

    /// Average with up to four decimals and at least one, as Java prints a rounded double.
    pub fn average(self) -> String {
        let count = u128::from(self.count.max(1));
        let scaled = (u128::from(self.total) * 10_000 + count / 2) / count;
        let digits = format!("{:04}", scaled % 10_000);
        let decimals = digits.trim_end_matches('0');
        format!("{}.{}", scaled / 10_000, if decimals.is_empty() { "0" } else { decimals })
    }
}

/// Sizes of messages: the last, the smallest, the largest. -1 in print while there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes(Option<Extent>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    last: usize,
    min: usize,
    max: usize,
}

/// A size as words print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(Option<usize>);

impl Sizes {
    pub fn add(&mut self, size: usize) {
        let before = self.0.unwrap_or(Extent { last: size, min: size, max: size });
        self.0 = Some(Extent { last: size, min: before.min.min(size), max: before.max.max(size) });
    }

    pub fn last(self) -> Size {
        Size(self.0.map(|extent| extent.last))
    }

    pub fn min(self) -> Size {
        Size(self.0.map(|extent| extent.min))
    }

    pub fn max(self) -> Size {
        Size(self.0.map(|extent| extent.max))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(size) => size.fmt(out),
            None => out.write_str("-1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::{Sizes, Summary};
    use crate::time::Span;

    #[test]
    fn averages_print_like_rounded_java_doubles() {
        for (total, count, expected) in [
            (0, 0, "0.0"),
            (3, 3, "1.0"),
            (1, 4, "0.25"),
            (82, 51, "1.6078"),
            (1, 20_000, "0.0001"),
            (2, 3, "0.6667"),
            (19_999, 20_000, "1.0"),
        ] {
            let summary = Summary { count, total, min: 0, max: 0 };
            assert_eq!(summary.average(), expected, "{total}/{count}");
        }
        let mut summary = Summary::default();
        for ms in [5, 3, 9] {
            summary.add_span(Span::from_ms(ms));
        }
        assert_eq!(summary, Summary { count: 3, total: 17, min: 3, max: 9 });
    }

    #[test]
    fn sizes_start_at_minus_one() {
        let mut sizes = Sizes::default();
        let print = |sizes: Sizes| format!("{}/{}/{}", sizes.last(), sizes.min(), sizes.max());
        assert_eq!(print(sizes), "-1/-1/-1");
        for size in [36, 20, 28] {
            sizes.add(size);
        }
        assert_eq!(print(sizes), "28/20/36");
    }
}
