//! Text for operators, built from a [`Report`](report::Report) alone.

mod date;
pub mod four_letter;
pub mod report;
pub mod summary;
pub mod traffic;
