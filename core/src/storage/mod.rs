//! Disk formats and the order in which they are written. Facts: PROTOCOL 4.
//!
//! `files` names; `txnlog` and `snapshot` turn bytes into records and back; `log_writer` and
//! `epochs` say which operations in which order make them durable; `log_cursor` reads a range of
//! transactions back; `recovery` rebuilds all of it after a start.

pub mod files;
