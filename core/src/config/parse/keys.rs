//! Takes keys out of a properties text one by one and collects what is wrong with them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use core::ops::RangeInclusive;

use crate::config::findings::Finding;
use crate::config::properties::{Entry, entries};

/// The keys that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Keys {
    rest: Vec<Entry>,
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

impl Keys {
    pub(super) fn read(text: &str) -> Self {
        let mut keys = Self { rest: Vec::new(), errors: Vec::new(), warnings: Vec::new() };
        for entry in entries(text) {
            if let Some(at) = keys.rest.iter().position(|known| known.key == entry.key) {
                let old = keys.rest.remove(at);
                keys.warn(
                    Some(old.line),
                    &old.key,
                    format!("is set again in line {}, which counts", entry.line),
                    "remove one of the two lines",
                );
            }
            keys.rest.push(entry);
        }
        keys
    }

    pub(super) fn error(
        &mut self,
        line: Option<u32>,
        key: &str,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (what, help) = (what.into(), help.into());
        self.errors.push(Finding { line, key: key.into(), what, help });
    }

    pub(super) fn warn(
        &mut self,
        line: Option<u32>,
        key: &str,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (what, help) = (what.into(), help.into());
        self.warnings.push(Finding { line, key: key.into(), what, help });
    }

    pub(super) fn line(&self, key: &str) -> Option<u32> {
        self.rest.iter().find(|entry| entry.key == key).map(|entry| entry.line)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.rest.iter().position(|entry| entry.key == key)?;
        Some(self.rest.remove(at))
    }

    /// Entries whose key starts with one of the prefixes.
    pub(super) fn take_families(&mut self, prefixes: &[&str]) -> Vec<Entry> {
        let (taken, rest) = core::mem::take(&mut self.rest)
            .into_iter()
            .partition(|entry| prefixes.iter().any(|prefix| entry.key.starts_with(prefix)));
        self.rest = rest;
        taken
    }

    /// A whole number, decimal or `0x..`; `None` where the key is absent or wrong.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let entry = self.take(key)?;
        let parsed = match entry.value.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16),
            None => entry.value.parse(),
        };
        match parsed {
            Ok(value) if range.contains(&value) => Some(value),
            Ok(_) | Err(_) => {
                let what = format!("'{}' is not a number that can be used here", entry.value);
                let help = format!("write one from {} to {}", range.start(), range.end());
                self.error(Some(entry.line), key, what, help);
                None
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let entry = self.take(key)?;
        match entry.value.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                let what = format!("'{}' is neither true nor false", entry.value);
                self.error(Some(entry.line), key, what, "write true or false");
                None
            }
        }
    }

    /// Whatever nobody took is unknown: never an error, as in ZooKeeper.
    pub(super) fn finish(&mut self) {
        for entry in core::mem::take(&mut self.rest) {
            let help = match entry.key.strip_prefix("zookeeper.") {
                Some(short) => format!("in this file it is written '{short}'"),
                None => "check its spelling, or remove it".to_string(),
            };
            self.warn(Some(entry.line), &entry.key, "is not known and has no effect", help);
        }
    }
}
