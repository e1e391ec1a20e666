//! Text for operators: of a running server, built from a [`View`](crate::server::view::View) alone,
//! and of a data folder that lies still.

pub mod folder;
pub mod four_letter;
pub mod listing;
