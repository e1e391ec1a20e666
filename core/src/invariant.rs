//! Assertions that state invariants of the machine and stay on in release.

/// An assertion about our own state, never about bytes, disks or people.
///
/// On in every build; absent only with `--cfg vivarium_unchecked`, which nothing but the second
/// grading of mutants sets.
#[macro_export]
macro_rules! invariant {
    ($($arg:tt)*) => {
        if !cfg!(vivarium_unchecked) {
            ::core::assert!($($arg)*);
        }
    };
}
