//! Java's properties syntax, with the line of each entry. Apache: `java.util.Properties.load`.

use alloc::string::String;
use alloc::vec::Vec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1; where the entry starts.
    pub line: u32,
    /// Trimmed, as ZooKeeper trims it.
    pub key: String,
    pub value: String,
}

/// Never fails: a malformed escape stands for itself.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut lines = text.split('\n').flat_map(split_cr).zip(1..);
    while let Some((first, line)) = lines.next() {
        let first = trim_start(first);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::from(first);
        while ends_in_odd_backslashes(&logical) {
            logical.pop();
            match lines.next() {
                Some((more, _)) => logical.push_str(trim_start(more)),
                None => break,
            }
        }
        let (key, value) = split_entry(&logical);
        found.push(Entry {
            line,
            key: String::from(unescape(key).trim()),
            value: String::from(unescape(value).trim()),
        });
    }
    found
}

/// A lone carriage return ends a line too; the one of CRLF does not count twice.
fn split_cr(line: &str) -> impl Iterator<Item = &str> {
    line.strip_suffix('\r').unwrap_or(line).split('\r')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}

fn ends_in_odd_backslashes(text: &str) -> bool {
    text.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that no backslash protects.
fn split_entry(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let mut end = logical.len();
    for (at, c) in logical.char_indices() {
        if !escaped && (c == '=' || c == ':' || is_blank(c)) {
            end = at;
            break;
        }
        escaped = c == '\\' && !escaped;
    }
    let (key, rest) = logical.split_at(end);
    let rest = trim_start(rest);
    (key, trim_start(rest.strip_prefix(['=', ':']).unwrap_or(rest)))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => match hex4(chars.as_str()) {
                Some(c) => {
                    plain.push(c);
                    chars.nth(3);
                }
                None => plain.push('u'),
            },
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

fn hex4(text: &str) -> Option<char> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Vec<(u32, String, String)> {
        entries(text).into_iter().map(|e| (e.line, e.key, e.value)).collect()
    }

    fn entry(line: u32, key: &str, value: &str) -> (u32, String, String) {
        (line, key.into(), value.into())
    }

    #[test]
    fn every_form_of_an_entry() {
        for (text, want) in [
            ("a=b", vec![entry(1, "a", "b")]),
            ("a:b", vec![entry(1, "a", "b")]),
            ("a b", vec![entry(1, "a", "b")]),
            ("  a \t = b  \t", vec![entry(1, "a", "b")]),
            ("a", vec![entry(1, "a", "")]),
            ("a==b", vec![entry(1, "a", "=b")]),
            ("a = : b", vec![entry(1, "a", ": b")]),
            ("#x\n ! y\n\na=1", vec![entry(4, "a", "1")]),
            ("a=1#2", vec![entry(1, "a", "1#2")]),
            ("a=1 \\\n   2\nb=3", vec![entry(1, "a", "1 2"), entry(3, "b", "3")]),
            ("a=1\\\\\nb=3", vec![entry(1, "a", "1\\"), entry(2, "b", "3")]),
            ("a\\=b\\:c=\\u0041\\q\\t.", vec![entry(1, "a=b:c", "Aq\t.")]),
            ("a=1\r\nb=2\rc=3", vec![entry(1, "a", "1"), entry(2, "b", "2"), entry(3, "c", "3")]),
            ("a=\\u00zz", vec![entry(1, "a", "u00zz")]),
            ("a=\\", vec![entry(1, "a", "")]),
        ] {
            assert_eq!(plain(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ab=:#!\\\\ \t\r\nuü0]{0,40}") {
            for found in entries(&text) {
                prop_assert!(found.line as usize <= text.len() + 1);
            }
        }
    }
}
