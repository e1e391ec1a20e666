//! Scenario files: a whole run as a text that a person reads, edits and keeps.
//!
//! What a file leaves out is drawn from its seed. What it says is said exactly: a seed that is
//! exported runs to the same trace hash.

mod read;
mod sections;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;

use crate::observe::Violation;
use crate::scenario::Scenario;

/// What a scenario file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioFile {
    /// What it is kept for; empty where nobody said.
    pub why: String,
    pub expect: Expect,
    /// Judge with the checks that look into disks.
    pub white_box: bool,
    pub scenario: Scenario,
}

/// How the run should end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    Ok,
    /// A violation of this check; of any where `None`.
    Violation {
        check: Option<String>,
    },
}

/// A mistake in a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1; 0 where no single line is wrong.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl Expect {
    /// Whether a verdict is the expected one.
    pub fn is_met(&self, verdict: &Result<(), Violation>) -> bool {
        match (self, verdict) {
            (Self::Ok, Ok(())) => true,
            (Self::Violation { check }, Err(violation)) => {
                check.as_ref().is_none_or(|check| *check == violation.check)
            }
            (Self::Ok, Err(_)) | (Self::Violation { .. }, Ok(())) => false,
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("no violation"),
            Self::Violation { check: None } => f.write_str("a violation"),
            Self::Violation { check: Some(check) } => write!(f, "a violation of {check}"),
        }
    }
}
