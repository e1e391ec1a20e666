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
}
