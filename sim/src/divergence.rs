//! Where two runs part: the first event in which they differ.

use std::collections::VecDeque;

use serde::Serialize;

/// One event of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub text: String,
    /// Hash of what the text does not show, such as bytes; `None` where it was not kept.
    #[serde(skip)]
    pub content: Option<u64>,
}

impl Line {
    /// A line of a saved trace: `replay --hashes` writes the hash behind the text.
    pub fn parse(line: &str) -> Self {
        let split = line.strip_suffix(']').and_then(|rest| rest.rsplit_once(" ["));
        let hashed = split.and_then(|(text, hash)| {
            let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            let content = u64::from_str_radix(hash, 16).ok().filter(|_| is_hash)?;
            Some(Self { text: text.into(), content: Some(content) })
        });
        hashed.unwrap_or_else(|| Self { text: line.into(), content: None })
    }

    /// Where only one of the two has a hash, it says nothing.
    fn differs(&self, other: &Self) -> bool {
        let contents = self.content.zip(other.content);
        self.text != other.text || contents.is_some_and(|(mine, theirs)| mine != theirs)
    }
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Comparison {
    Equal { events: u64 },
    Differ(Box<Divergence>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// How many events both have in common.
    pub common: u64,
    /// The last of them.
    pub before: Vec<Line>,
    /// What each goes on with; empty where it ends.
    pub a: Vec<Line>,
    pub b: Vec<Line>,
    /// The first two lines read the same, and stand for something different: bytes, most often.
    pub hidden: bool,
    /// Where `hidden`: the number of events before the first two lines that read differently, and these.
    pub visible: Option<(u64, Line, Line)>,
}

/// Compares two traces, line by line. Keeps `context` lines around the place where they part.
pub fn compare(
    a: impl IntoIterator<Item = Line>,
    b: impl IntoIterator<Item = Line>,
    context: usize,
) -> Comparison {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let mut before = VecDeque::new();
    let mut common = 0;
    loop {
        let (first_a, first_b) = match (a.next(), b.next()) {
            (None, None) => return Comparison::Equal { events: common },
            (Some(line), Some(other)) if !line.differs(&other) => {
                common += 1;
                before.push_back(line);
                if before.len() > context {
                    before.pop_front();
                }
                continue;
            }
            (first_a, first_b) => (first_a, first_b),
        };
        let hidden =
            first_a.as_ref().map(|line| &line.text) == first_b.as_ref().map(|line| &line.text);
        let after = |first: Option<Line>, rest: &mut dyn Iterator<Item = Line>| -> Vec<Line> {
            first.into_iter().chain(rest).take(context.max(1)).collect()
        };
        let (after_a, after_b) = (after(first_a, &mut a), after(first_b, &mut b));
        let visible = if hidden { visible_from(common, &after_a, &after_b, a, b) } else { None };
        let before = before.into();
        let divergence = Divergence { common, before, a: after_a, b: after_b, hidden, visible };
        return Comparison::Differ(Box::new(divergence));
    }
}

fn visible_from(
    common: u64,
    after_a: &[Line],
    after_b: &[Line],
    a: impl Iterator<Item = Line>,
    b: impl Iterator<Item = Line>,
) -> Option<(u64, Line, Line)> {
    let all_a = after_a.iter().cloned().chain(a);
    let all_b = after_b.iter().cloned().chain(b);
    let mut places = (common..).zip(all_a.zip(all_b));
    let (place, (a, b)) = places.find(|(_, (a, b))| a.text != b.text)?;
    Some((place, a, b))
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Line, compare};

    fn lines(text: &str) -> Vec<Line> {
        text.split(' ').map(Line::parse).collect()
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn equal_traces_are_equal() {
        assert_eq!(compare(lines("a b c"), lines("a b c"), 2), Comparison::Equal { events: 3 });
    }

    #[test]
    fn the_first_difference_is_found_with_what_lies_around_it() {
        let Comparison::Differ(found) = compare(lines("a b c x y z"), lines("a b c q"), 2) else {
            panic!("they differ")
        };
        assert_eq!(found.common, 3);
        assert_eq!(texts(&found.before), ["b", "c"]);
        assert_eq!(texts(&found.a), ["x", "y"]);
        assert_eq!(texts(&found.b), ["q"]);
        assert!(!found.hidden);
    }

    #[test]
    fn a_trace_that_ends_early_differs() {
        let Comparison::Differ(found) = compare(lines("a b"), lines("a"), 3) else {
            panic!("they differ")
        };
        assert_eq!((texts(&found.a), texts(&found.b)), (vec!["b"], vec![]));
    }

    #[test]
    fn what_the_text_does_not_show_is_found_by_its_hash() {
        let hashed = |hash: u64, rest: &str| {
            let mut all = vec![Line::parse(&format!("16 bytes on 3 [{hash:016x}]"))];
            all.extend(lines(rest));
            all
        };
        assert_eq!(compare(hashed(7, "a"), hashed(7, "a"), 1), Comparison::Equal { events: 2 });
        let Comparison::Differ(found) = compare(hashed(7, "a b x"), hashed(8, "a b y"), 1) else {
            panic!("they differ")
        };
        assert!(found.hidden);
        let (place, a, b) = found.visible.expect("they go on to differ in their texts");
        assert_eq!((place, a.text.as_str(), b.text.as_str()), (3, "x", "y"));
    }

    #[test]
    fn a_bracket_in_a_line_is_no_hash() {
        let line = Line::parse("s1 Promised { list: [1]");
        assert_eq!((line.text.as_str(), line.content), ("s1 Promised { list: [1]", None));
    }
}
