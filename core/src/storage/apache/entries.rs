//! The entries of one log file as Apache's iterator sees them. What it takes for the end of the
//! file is often damage to us (T41), and the other way round. Apache: `FileTxnIterator.next`.

use bytes::{Buf, Bytes};

use crate::storage::txnlog::{FILE_HEADER, FILE_HEADER_LEN, Flaw, Record, RecordScanner, Scanned};
use crate::txn::LoggedTxn;
use crate::wire::client::{
    OP_CLOSE_SESSION, OP_CREATE, OP_CREATE_CONTAINER, OP_CREATE_SESSION, OP_CREATE_TTL, OP_CREATE2,
    OP_DELETE, OP_DELETE_CONTAINER, OP_ERROR, OP_MULTI, OP_RECONFIG, OP_SET_ACL, OP_SET_DATA,
};
use crate::wire::jute::JuteError;

/// Where the type of a transaction stands in a payload.
const TYPE_AT: usize = 28;

/// What the iterator met.
#[derive(Debug)]
pub(super) enum Met {
    Entry(Record, Option<LoggedTxn>),
    /// Reading goes on with the next file.
    End {
        offset: u64,
    },
    /// The start fails.
    Refused {
        offset: u64,
        what: &'static str,
    },
    NeedMore(usize),
}

/// Whether a file can be read at all, from its first bytes and its length.
pub(super) fn header_fault(head: &[u8], newest: bool) -> Option<&'static str> {
    if head.is_empty() && newest {
        return None;
    }
    if head.len() < FILE_HEADER_LEN as usize {
        return Some("the file ends within its header");
    }
    (head[..4] != FILE_HEADER[..4]).then_some("the file header is not that of a transaction log")
}

#[derive(Debug)]
pub(super) struct Entries {
    scanner: RecordScanner,
    payload_limit: usize,
}

impl Entries {
    pub(super) fn new(payload_limit: usize) -> Self {
        Self { scanner: RecordScanner::behind_header(payload_limit), payload_limit }
    }

    pub(super) fn wants(&self) -> u64 {
        self.scanner.wants()
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.scanner.push(chunk);
    }

    /// `last`: the file ends with what was pushed.
    pub(super) fn next(&mut self, last: bool) -> Met {
        match self.scanner.next(last) {
            Scanned::NeedMore(need) => Met::NeedMore(need),
            Scanned::End { offset } => Met::End { offset },
            Scanned::Record(record) => self.decoded(record),
            Scanned::Bad { offset, flaw } => match flaw {
                Flaw::NoEndMark | Flaw::CutOff | Flaw::Header => Met::End { offset },
                Flaw::NotALog | Flaw::NegativeLength | Flaw::LongLength | Flaw::Checksum => {
                    Met::Refused { offset, what: flaw.what() }
                }
            },
        }
    }

    fn decoded(&self, record: Record) -> Met {
        let offset = record.start;
        let fault = match LoggedTxn::decode(record.payload.clone()) {
            Ok(txn) => return Met::Entry(record, Some(txn)),
            Err(fault) => fault,
        };
        if !is_known(&record.payload) {
            return Met::Refused { offset, what: "transaction is of no known kind" };
        }
        // Parts of a multi are looked at when it is applied, where nothing is fatal.
        let multi = kind(&record.payload) == Some(OP_MULTI);
        match fault {
            // An EOFException is the end of the file, wherever it comes from.
            JuteError::Truncated { .. } => Met::End { offset },
            JuteError::BadLength(len) => match usize::try_from(len) {
                Ok(len) if len <= self.payload_limit => Met::End { offset },
                Ok(_) | Err(_) if multi => Met::Entry(record, None),
                Ok(_) | Err(_) => Met::Refused { offset, what: "a field has no possible length" },
            },
            // Java stops reading behind the last field.
            JuteError::Trailing(_) | JuteError::BadValue(_) => Met::Entry(record, None),
        }
    }
}

fn kind(payload: &Bytes) -> Option<i32> {
    payload.get(TYPE_AT..TYPE_AT + 4).map(|mut raw| raw.get_i32())
}

fn is_known(payload: &Bytes) -> bool {
    let known = [
        OP_CREATE_SESSION,
        OP_CLOSE_SESSION,
        OP_CREATE,
        OP_CREATE2,
        OP_CREATE_TTL,
        OP_CREATE_CONTAINER,
        OP_DELETE,
        OP_DELETE_CONTAINER,
        OP_RECONFIG,
        OP_SET_DATA,
        OP_SET_ACL,
        OP_ERROR,
        OP_MULTI,
    ];
    kind(payload).is_none_or(|kind| known.contains(&kind))
}
