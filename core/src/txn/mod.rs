//! Replicated transactions and their headers. Facts: PROTOCOL 4.2, 4.3. Apache: `SerializeUtils`.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::acl::Acl;
use crate::ids::{SessionId, Zxid};
use crate::time::Wall;
use crate::wire::jute::JuteError;

mod codec;

/// 32 bytes on disk and wire; the record type is the transaction's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnHeader {
    /// Raw: container and TTL deletions carry session 0.
    pub session: SessionId,
    pub cxid: i32,
    pub zxid: Zxid,
    pub time: Wall,
}

/// Tree digest that the leader computed for the state after this transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnDigest {
    pub version: i32,
    pub tree: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTxn {
    pub path: String,
    pub data: Option<Bytes>,
    /// `None` where the vector was null.
    pub acl: Option<Vec<Acl>>,
    pub ephemeral: bool,
    /// Stored cversion of the parent after this create; `None` in V0 records (then current + 1).
    pub parent_cversion: Option<i32>,
}

/// A change that one zxid makes to the replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txn {
    CreateSession {
        timeout_ms: i32,
    },
    /// `None` in old logs: the tree's own ephemerals of that session are used.
    CloseSession {
        paths: Option<Vec<String>>,
    },
    /// Opcode 1.
    Create(CreateTxn),
    /// Opcode 15; same record.
    Create2(CreateTxn),
    CreateTtl {
        path: String,
        data: Option<Bytes>,
        acl: Option<Vec<Acl>>,
        parent_cversion: i32,
        ttl: i64,
    },
    CreateContainer {
        path: String,
        data: Option<Bytes>,
        acl: Option<Vec<Acl>>,
        parent_cversion: i32,
    },
    Delete {
        path: String,
    },
    DeleteContainer {
        path: String,
    },
    /// `version` is the new version.
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    Reconfig {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Option<Vec<Acl>>,
        version: i32,
    },
    /// Inside a multi only.
    Check {
        path: String,
        version: i32,
    },
    /// Failed as a whole when any sub-transaction is an `Error`.
    Multi(Vec<Self>),
    /// A write that failed: it has a zxid and changes nothing (T1).
    Error {
        code: i32,
    },
}

/// A transaction as it is logged and proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedTxn {
    pub header: TxnHeader,
    pub txn: Txn,
    pub digest: Option<TxnDigest>,
}

impl LoggedTxn {
    /// Decodes a log payload: header, record, optional digest. Total over any bytes.
    pub fn decode(payload: Bytes) -> Result<Self, JuteError> {
        codec::decode(payload)
    }

    /// Appends the payload exactly as 3.9.5 writes it.
    pub fn encode(&self, out: &mut BytesMut) {
        codec::encode(self, out);
    }
}

impl TxnHeader {
    /// Reads the header of a payload whose record is of no interest.
    pub fn peek(payload: &[u8]) -> Option<Self> {
        codec::peek(payload)
    }
}

/// Fingerprint of a payload for notes and checkers; the same on every machine and build.
///
/// Each step is a bijection of the state for a given word and of the word for a given state, so
/// that no single changed word can go unnoticed. It resists accidents, not adversaries.
pub fn payload_hash(payload: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let absorb = |state: u64, word: u64| {
        let mixed = (state ^ word).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    };
    let mut state = absorb(0, payload.len() as u64);
    let (words, rest) = payload.as_chunks::<8>();
    for word in words {
        state = absorb(state, u64::from_be_bytes(*word));
    }
    let tail = rest.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte));
    state = absorb(state, tail);
    absorb(state ^ (state >> 32), 0)
}

#[cfg(test)]
mod tests;
