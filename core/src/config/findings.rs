//! What is wrong, or odd, in a configuration: where, what, and what to do.

use alloc::string::String;
use alloc::vec::Vec;

use core::fmt;

use thiserror::Error;

/// One complaint about the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `None` where a key is missing.
    pub line: Option<u32>,
    pub key: String,
    pub what: String,
    /// What the operator should do.
    pub help: String,
}

/// The server starts all the same.
pub type Warning = Finding;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}; {}", self.key, self.what, self.help)
    }
}

/// Everything that keeps the server from starting, so that one edit can mend it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// Never empty.
    pub findings: Vec<Finding>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            write!(f, "{}{finding}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
