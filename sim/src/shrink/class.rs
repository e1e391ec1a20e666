//! What two failures have in common that are taken for one.

use crate::failure::FailureClass;
use crate::observe::Violation;

/// The check; of a panic, its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class(String);

impl Class {
    pub fn of(violation: &Violation) -> Self {
        match violation.check.as_str() {
            "panic" => Self(FailureClass::of(violation).to_string()),
            check => Self(check.to_owned()),
        }
    }

    /// Something good does not come in time: what makes everything slower may be the cause of it.
    pub(super) fn is_about_liveness(&self) -> bool {
        self.0.starts_with('L')
    }

    /// It is judged when a copy of a disk is looked at, whatever the server does at that moment.
    pub(super) fn needs_looks(&self) -> bool {
        self.0 == "T2"
    }
}
