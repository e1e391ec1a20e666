//! What is wrong, or odd, in a configuration: where, what, and what to do.

use alloc::string::String;
use alloc::vec::Vec;

use core::fmt;

use thiserror::Error;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Line {
        file: String,
        line: u32,
    },
    /// The file as a whole, as where a key is missing from it.
    File(String),
    /// A variable of the environment.
    Variable(String),
    /// Nobody said anything.
    Default,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The server does not start.
    Error,
    /// It starts, but probably not as was meant.
    Warning,
    /// Worth knowing; nothing needs to be done.
    Info,
}

/// One complaint about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub at: Origin,
    pub key: String,
    pub what: String,
    /// What the operator should do.
    pub help: String,
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// `zoo.cfg:3`, `zoo.cfg`, `ZOO_TICK_TIME`, `default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::File(file) => f.write_str(file),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// `zoo.cfg:3: tickTime is what is wrong; what to do`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, key, what, help, .. } = self;
        write!(f, "{at}: {key} {what}; {help}")
    }
}

/// A configuration that no server starts with: all that was found, so that one edit can mend it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// At least one error, with warnings beside it.
    pub findings: Vec<Finding>,
}

impl ConfigError {
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.errors().enumerate() {
            write!(f, "{}{finding}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
