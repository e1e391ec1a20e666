//! Text for operators, built from a [`View`](crate::server::view::View) alone.

pub mod four_letter;
