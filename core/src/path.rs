//! Paths of znodes: validated once, and taken apart without allocating. Apache: `PathUtils`.

use alloc::string::String;
use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;

use thiserror::Error;

/// Why a text names no znode. A client is told BADARGUMENTS in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadPath {
    #[error("a path may not be empty")]
    Empty,
    #[error("a path starts with a slash")]
    Relative,
    #[error("a path may not end with a slash")]
    TrailingSlash,
    #[error("a path has no empty component")]
    EmptyComponent,
    #[error("a path has no component that is . or ..")]
    Dots,
    #[error("the character {0:?} is not allowed in a path")]
    Character(char),
}

/// A path that passed every rule: what may be written into the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZnodePath(String);

impl ZnodePath {
    pub fn parse(path: &str) -> Result<Self, BadPath> {
        validate(path)?;
        Ok(Self(path.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for ZnodePath {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ZnodePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZnodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rules of [`ZnodePath::parse`] for a text that stays where it is.
pub fn validate(path: &str) -> Result<(), BadPath> {
    if path.is_empty() {
        return Err(BadPath::Empty);
    }
    let Some(components) = path.strip_prefix('/') else { return Err(BadPath::Relative) };
    if components.is_empty() {
        return Ok(());
    }
    if components.ends_with('/') {
        return Err(BadPath::TrailingSlash);
    }
    for component in components.split('/') {
        match component {
            "" => return Err(BadPath::EmptyComponent),
            "." | ".." => return Err(BadPath::Dots),
            _ => {}
        }
    }
    match components.chars().find(|&c| is_forbidden(c)) {
        Some(c) => Err(BadPath::Character(c)),
        None => Ok(()),
    }
}

/// ZooKeeper looks at UTF-16 units and forbids all surrogates, hence every supplementary
/// character (T25); U+FFFD, which stands for malformed bytes, is in the last range.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// "/a/b" has the parent "/a", "/a" has "/", and "/" has none.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        slash => Some(&path[..slash]),
    }
}

/// The last component; empty for "/".
pub fn name(path: &str) -> &str {
    match path.rfind('/') {
        Some(slash) => &path[slash + 1..],
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_3_9_5_accepts_is_accepted() {
        for path in [
            "/",
            "/a",
            "/a/b",
            "/...",
            "/.a",
            "/a..",
            "/é",
            "/ ",
            "/\u{f900}",
            "/\u{ffef}",
            "/\u{a0}",
        ] {
            assert_eq!(ZnodePath::parse(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn what_3_9_5_refuses_is_refused() {
        use BadPath::*;
        for (path, why) in [
            ("", Empty),
            ("a", Relative),
            ("a/b", Relative),
            ("/a/", TrailingSlash),
            ("//", TrailingSlash),
            ("//a", EmptyComponent),
            ("/a//b", EmptyComponent),
            ("/.", Dots),
            ("/..", Dots),
            ("/a/./b", Dots),
            ("/a/..", Dots),
            ("/a\0", Character('\0')),
            ("/\u{1}", Character('\u{1}')),
            ("/\u{1f}", Character('\u{1f}')),
            ("/\u{7f}", Character('\u{7f}')),
            ("/\u{9f}", Character('\u{9f}')),
            ("/\u{e000}", Character('\u{e000}')),
            ("/\u{f8ff}", Character('\u{f8ff}')),
            ("/\u{fff0}", Character('\u{fff0}')),
            ("/\u{fffd}", Character('\u{fffd}')),
            ("/😀", Character('😀')),
        ] {
            assert_eq!(ZnodePath::parse(path), Err(why), "{path:?}");
        }
    }

    #[test]
    fn a_path_comes_apart() {
        for (path, above, last) in [
            ("/", None, ""),
            ("/a", Some("/"), "a"),
            ("/a/b", Some("/a"), "b"),
            ("/a/b/c", Some("/a/b"), "c"),
            ("/p/", Some("/p"), ""),
            ("a", None, "a"),
            ("", None, ""),
        ] {
            assert_eq!((parent(path), name(path)), (above, last), "{path:?}");
        }
    }
}
