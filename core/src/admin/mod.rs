//! Text for operators: of a running server, built from a [`Report`](report::Report) alone, and of a
//! data folder that lies still.

mod date;
pub mod folder;
pub mod four_letter;
pub mod listing;
pub mod report;
pub mod summary;
pub mod traffic;
