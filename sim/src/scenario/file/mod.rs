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
use crate::run::Outcome;
use crate::scenario::Scenario;

/// What stands for the operations of a client where they are not listed.
const DRAWN: &str = "drawn";
const DRAWN_READS: &str = "drawn reads";

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
    /// Without a violation, and with nobody who serves: a quorum of disks is lost.
    Refusal,
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
    /// Whether a run ended so.
    pub fn is_met(&self, outcome: &Outcome) -> bool {
        self.is_met_by(&outcome.verdict, outcome.refused)
    }

    fn is_met_by(&self, verdict: &Result<(), Violation>, refused: bool) -> bool {
        match (self, verdict) {
            (Self::Ok, Ok(())) => true,
            (Self::Refusal, Ok(())) => refused,
            (Self::Violation { check }, Err(violation)) => {
                check.as_ref().is_none_or(|check| *check == violation.check)
            }
            (Self::Ok | Self::Refusal, Err(_)) | (Self::Violation { .. }, Ok(())) => false,
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("no violation"),
            Self::Refusal => f.write_str("a refusal to serve"),
            Self::Violation { check: None } => f.write_str("a violation"),
            Self::Violation { check: Some(check) } => write!(f, "a violation of {check}"),
        }
    }
}
