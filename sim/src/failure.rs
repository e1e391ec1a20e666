//! Failures of one cause, under one name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::observe::Violation;

/// What a failure has in common with others of the same cause: the check, and its sentence without
/// whatever differs from seed to seed; of a panic, its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FailureClass(String);

/// Longer sentences list what they found, which is no part of a cause.
const LONGEST: usize = 160;

/// Wrappers of numbers: `ServerId(3)` says no more than `s3`.
const WRAPPERS: [&str; 9] =
    ["ServerId", "SessionId", "ClientId", "LinkId", "OpId", "ReadId", "DialId", "Epoch", "Zxid"];

impl FailureClass {
    pub fn of(violation: &Violation) -> Self {
        let Violation { check, what } = violation;
        let place = what.rsplit_once(" at ").filter(|_| check == "panic");
        Self(match place {
            Some((_, place)) => format!("panic at {place}"),
            None => format!("{check}: {}", stripped(what)),
        })
    }

    /// Seeds that the harness itself failed on.
    pub fn of_harness(fault: &str) -> Self {
        Self(format!("harness: {}", stripped(fault)))
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sentence with `#` for each number, zxid, id, path, text and truth value, and for each run of them.
fn stripped(what: &str) -> String {
    let mut out = String::new();
    let mut rest = what;
    while let Some(first) = rest.chars().next() {
        let (length, word) = token(rest, first, out.chars().last());
        push(&mut out, word.unwrap_or(&rest[..length]));
        rest = &rest[length..];
    }
    for wrapper in WRAPPERS {
        out = out.replace(&format!("{wrapper}(#)"), "#");
    }
    for (many, one) in [("#:#", "#"), ("#.#", "#"), ("-#", "#"), ("#, #", "#"), ("# #", "#")] {
        while out.contains(many) {
            out = out.replace(many, one);
        }
    }
    if let Some((end, _)) = out.char_indices().nth(LONGEST) {
        out.truncate(end);
        out.push('…');
    }
    out
}

fn push(out: &mut String, text: &str) {
    if !(text == "#" && out.ends_with('#')) {
        out.push_str(text);
    }
}

/// Length of the next token in bytes, and what stands for it where it is not itself.
fn token(rest: &str, first: char, before: Option<char>) -> (usize, Option<&'static str>) {
    let upto = |ends: &dyn Fn(char) -> bool| rest.find(ends).unwrap_or(rest.len());
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if first == '"' {
        (quoted(rest), Some("#"))
    } else if rest.starts_with("b\"") {
        (1 + quoted(&rest[1..]), Some("#"))
    } else if first == '/' && !before.is_some_and(is_word) {
        (upto(&|c: char| c.is_whitespace() || ",;)]}".contains(c)), Some("#"))
    } else if is_word(first) {
        let length = upto(&|c: char| !is_word(c));
        let word = &rest[..length];
        let varies =
            word.contains(|c: char| c.is_ascii_digit()) || ["true", "false"].contains(&word);
        (length, varies.then_some("#"))
    } else {
        (first.len_utf8(), None)
    }
}

/// Length of a text in quotation marks, these included.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::{FailureClass, LONGEST};
    use crate::observe::Violation;

    fn class(check: &str, what: &str) -> String {
        FailureClass::of(&Violation::new(check, what)).to_string()
    }

    #[test]
    fn numbers_ids_zxids_paths_and_data_do_not_tell_two_failures_apart() {
        for (one, other, name) in [
            (
                "s3 commits 1:28, durable on 1 voters only",
                "s1 commits 12:4, durable on 0 voters only",
                "P3: # commits #, durable on # voters only",
            ),
            (
                "in the calm phase the leaders are [ServerId(1)]",
                "in the calm phase the leaders are [ServerId(2), ServerId(3), ServerId(5)]",
                "P3: in the calm phase the leaders are [#]",
            ),
            (
                r#"shows Data(Some(b"a\"b"), 7) of /a/b-0000000001, the model None"#,
                r#"shows Data(Some(b""), -1) of /, the model None"#,
                "P3: shows Data(Some(#), #) of #, the model None",
            ),
            (
                "goes from Epoch(3) back to 0x1f",
                "goes from Epoch(4) back to 2",
                "P3: goes from # back to #",
            ),
            (
                "the read/write watch: true",
                "the read/write watch: false",
                "P3: the read/write watch: #",
            ),
            ("sent at 4.954203 by 0x1200", "sent at 14.95 by 0x1", "P3: sent at # by #"),
        ] {
            assert_eq!(class("P3", one), name);
            assert_eq!(class("P3", other), name);
        }
        assert_ne!(class("P3", "s1 leads"), class("P4", "s1 leads"));
        assert_ne!(class("P3", "s1 leads"), class("P3", "s1 follows"));
    }

    #[test]
    fn the_place_names_a_panic_and_a_long_list_is_cut() {
        let panic = "index 7 out of range at core/src/zab/window.rs:12";
        assert_eq!(class("panic", panic), "panic at core/src/zab/window.rs:12");
        let long = class("L2", &"a word and ".repeat(100));
        assert!(long.chars().count() <= LONGEST + 5 && long.ends_with('…'), "{long}");
        assert_eq!(class("X", "an open \"text"), "X: an open #");
    }
}
