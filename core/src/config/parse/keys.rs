//! Takes keys out of the settings one by one and collects what is wrong with them.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use core::ops::RangeInclusive;

use crate::config::findings::{Finding, Origin, Severity};
use crate::config::given::{Given, Ignored, Setting};
use crate::config::known::{self, KEYS, Standing};

/// The keys that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Keys {
    rest: Vec<Setting>,
    /// Where a missing key would stand.
    file: Origin,
    /// Where each key that was taken stands.
    pub(super) origins: BTreeMap<String, Origin>,
    pub(super) findings: Vec<Finding>,
}

impl Keys {
    pub(super) fn read(given: &Given) -> Self {
        let file = match given.text {
            Some(_) => Origin::File(given.file.clone()),
            None => Origin::Default,
        };
        let (origins, findings) = (BTreeMap::new(), Vec::new());
        let mut keys = Self { rest: Vec::new(), file, origins, findings };
        for setting in given.settings() {
            keys.add(setting);
        }
        keys.judge_variables(given);
        keys
    }

    /// The official image sets most of them always: one line is enough for those that do nothing.
    fn judge_variables(&mut self, given: &Given) {
        let mut beside = Vec::new();
        for (name, ignored) in given.ignored() {
            match ignored {
                Ignored::FileCounts => beside.push(name),
                Ignored::Unknown => {
                    let help = did_you_mean(name, Given::variable_names());
                    let at = Origin::Variable(name.into());
                    self.warn(&at, name, "is not known and has no effect", help);
                }
            }
        }
        if !beside.is_empty() {
            let what = format!("have no effect beside this file: {}", beside.join(", "));
            let help = "put the values into the file, if they are meant";
            self.note(Severity::Info, self.file.clone(), "variables", what, help);
        }
    }

    /// A key that stands twice counts where it stands last.
    pub(super) fn add(&mut self, setting: Setting) {
        if let Some(at) = self.rest.iter().position(|known| known.key == setting.key) {
            let old = self.rest.remove(at);
            if old.at != Origin::Default {
                let what = format!("is set again at {}, which counts", setting.at);
                self.warn(&old.at, &old.key, what, "remove one of the two");
            }
        }
        self.rest.push(setting);
    }

    pub(super) fn error(
        &mut self,
        at: &Origin,
        key: &str,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Severity::Error, at.clone(), key, what, help);
    }

    pub(super) fn warn(
        &mut self,
        at: &Origin,
        key: &str,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Severity::Warning, at.clone(), key, what, help);
    }

    pub(super) fn note(
        &mut self,
        severity: Severity,
        at: Origin,
        key: &str,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (what, help) = (what.into(), help.into());
        self.findings.push(Finding { severity, at, key: key.into(), what, help });
    }

    pub(super) fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// Where the key stands; for one that is absent, where it would.
    pub(super) fn at(&self, key: &str) -> Origin {
        let setting = self.rest.iter().find(|setting| setting.key == key);
        let known = setting.map(|setting| &setting.at).or_else(|| self.origins.get(key));
        known.unwrap_or(&self.file).clone()
    }

    pub(super) fn is_given(&self, key: &str) -> bool {
        self.origins.contains_key(key) || self.rest.iter().any(|setting| setting.key == key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Setting> {
        let at = self.rest.iter().position(|setting| setting.key == key)?;
        let taken = self.rest.remove(at);
        self.origins.insert(taken.key.clone(), taken.at.clone());
        Some(taken)
    }

    /// Settings whose key starts with one of the prefixes.
    pub(super) fn take_families(&mut self, prefixes: &[&str]) -> Vec<Setting> {
        let (taken, rest): (Vec<_>, _) = core::mem::take(&mut self.rest)
            .into_iter()
            .partition(|setting| prefixes.iter().any(|prefix| setting.key.starts_with(prefix)));
        self.rest = rest;
        self.origins.extend(taken.iter().map(|taken| (taken.key.clone(), taken.at.clone())));
        taken
    }

    /// A whole number, decimal or `0x..`; `None` where the key is absent or wrong.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let setting = self.take(key)?;
        let parsed = match setting.value.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16),
            None => setting.value.parse(),
        };
        match parsed {
            Ok(value) if range.contains(&value) => Some(value),
            Ok(_) | Err(_) => {
                let what = format!("'{}' is not a number that can be used here", setting.value);
                let help = format!("write one from {} to {}", range.start(), range.end());
                self.error(&setting.at, key, what, help);
                None
            }
        }
    }

    /// `true` and `false`, and the `yes` and `no` of some keys.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let setting = self.take(key)?;
        match setting.value.to_ascii_lowercase().as_str() {
            "true" | "yes" => Some(true),
            "false" | "no" => Some(false),
            _ => {
                let what = format!("'{}' is neither true nor false", setting.value);
                self.error(&setting.at, key, what, "write true or false");
                None
            }
        }
    }

    /// Whatever nobody took: without an effect here, not offered, or unknown. An unknown key is never
    /// an error, as in ZooKeeper.
    pub(super) fn finish(&mut self) {
        for Setting { at, key, value } in core::mem::take(&mut self.rest) {
            match known::find(&key).map(|known| known.standing) {
                Some(Standing::Idle(why)) => {
                    self.note(Severity::Info, at, &key, why, "it has no effect");
                }
                Some(Standing::Lacking { unless, why, help }) => {
                    if !asks_for_nothing(&value, unless) {
                        self.warn(&at, &key, why, help);
                    }
                }
                Some(Standing::Refused { unless, why, help }) => {
                    if !asks_for_nothing(&value, unless) {
                        self.error(&at, &key, why, help);
                    }
                }
                Some(Standing::Works(_)) | None => {
                    let help = match key.strip_prefix("zookeeper.") {
                        Some(short) => format!("in this file it is written '{short}'"),
                        None => did_you_mean(&key, KEYS.iter().map(|known| known.name)),
                    };
                    self.warn(&at, &key, "is not known and has no effect", help);
                }
            }
        }
    }
}

fn asks_for_nothing(value: &str, unless: &[&str]) -> bool {
    unless.iter().any(|nothing| nothing.eq_ignore_ascii_case(value))
}

fn did_you_mean<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    match known::nearest(word, names) {
        Some(name) => format!("did you mean '{name}'?"),
        None => "check its spelling, or remove it".to_string(),
    }
}
