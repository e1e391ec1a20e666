//! The end of the newest log, written once more before it is trusted.
//!
//! A failed fsync leaves pages that the kernel believes to be clean: a process that is killed before
//! it hears of the failure leaves them to its successor, which reads them well, and whose own fsync
//! has nothing to write. At most one append batch can be in that state.

use alloc::collections::VecDeque;

use bytes::BytesMut;

use crate::server::action::DiskAction;
use crate::server::input::Queue;
use crate::storage::files::FileName;
use crate::storage::ops::DiskIds;
use crate::storage::txnlog::{self, FILE_HEADER, FILE_HEADER_LEN, Record};

/// The last records of the file that is being read, at least one append batch of them.
#[derive(Debug)]
pub(super) struct LastBatch {
    batch_bytes: u64,
    records: VecDeque<Record>,
}

impl LastBatch {
    pub(super) fn new(batch_bytes: usize) -> Self {
        Self { batch_bytes: batch_bytes as u64, records: VecDeque::new() }
    }

    pub(super) fn push(&mut self, record: &Record) {
        self.records.push_back(record.clone());
        let needless = |records: &VecDeque<Record>| {
            records.get(1).is_some_and(|second| record.end - second.start >= self.batch_bytes)
        };
        while needless(&self.records) {
            self.records.pop_front();
        }
    }

    /// Another file begins.
    pub(super) fn clear(&mut self) {
        self.records.clear();
    }

    /// The operation that makes these records dirty again. Encoding is exact, so that the bytes are
    /// those that were read.
    pub(super) fn rewrite(&self, file: &FileName, ids: &mut DiskIds) -> Option<DiskAction> {
        let first = self.records.front()?;
        let mut bytes = BytesMut::new();
        let offset = if first.start == FILE_HEADER_LEN {
            bytes.extend_from_slice(&FILE_HEADER);
            0
        } else {
            first.start
        };
        for record in &self.records {
            txnlog::encode_record(&record.payload, &mut bytes);
        }
        Some(ids.write(Queue::Log, file.clone(), offset, bytes.freeze()))
    }
}
