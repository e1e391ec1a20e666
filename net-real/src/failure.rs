//! Why a command ends without success: one line for people, one exit code for scripts.

use std::fmt;
use std::process::ExitCode;

#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Running,
    Configuration,
    Bug,
}

impl Failure {
    /// Something went wrong while the command ran.
    pub fn running(text: impl Into<String>) -> Self {
        Self { kind: Kind::Running, text: text.into() }
    }

    /// The command was called or configured wrongly, or its place is taken.
    pub fn configuration(text: impl Into<String>) -> Self {
        Self { kind: Kind::Configuration, text: text.into() }
    }

    /// The program broke one of its own rules.
    pub fn bug(text: impl Into<String>) -> Self {
        Self { kind: Kind::Bug, text: text.into() }
    }

    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Running => ExitCode::from(1),
            Kind::Configuration => ExitCode::from(2),
            Kind::Bug => ExitCode::from(3),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
