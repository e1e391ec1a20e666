//! Disk formats and the order in which they are written. Facts: PROTOCOL 4.
//!
//! `files` names; `txnlog` and `snapshot` turn bytes into records and back; `log_writer`,
//! `snapshot_writer` and `epochs` say which operations in which order make them durable;
//! `log_cursor` reads a range of transactions back; `truncate`, `supersede` and `purge` take files
//! away; `recovery` rebuilds all of it after a start; `apache` says what Apache's servers would make
//! of the same files.

pub mod apache;
pub mod epochs;
pub mod files;
pub mod log_cursor;
pub mod log_writer;
pub mod ops;
pub mod padding;
pub mod purge;
pub mod recovery;
pub mod removal;
pub mod snapshot;
pub mod snapshot_writer;
pub mod supersede;
pub mod truncate;
pub mod txnlog;
