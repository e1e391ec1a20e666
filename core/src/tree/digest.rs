//! Fingerprints of the replicated state, kept up to date change by change.
//!
//! `tree` is Apache's digest version 2 (PROTOCOL 4.5, `DigestCalculator`): a wrapping sum over
//! nodes of [`node_digest`].
//!
//! `full` covers everything that must be equal on all servers. It is the wrapping `u64` sum over
//! nodes of `H(node)` plus over sessions of `H(session)`. `H` is FNV-1a in words: its state begins
//! as `0xcbf29ce484222325`, and for each eight bytes, read little endian and the last padded with
//! zeros, it is xored with them, multiplied by `0x9e3779b97f4a7c15`, and xored with itself shifted
//! right by 32. It runs over these bytes, all integers big endian:
//!
//! - node: `0x01`; path ("/" for the root); `0x00`; `0x00` for null data, else `0x01`, i32 length
//!   and the data; the stored Stat (not the client form) in the order of `StatPersisted`: i64
//!   czxid, mzxid, ctime, mtime, i32 version, cversion, aversion, i64 ephemeralOwner, pzxid; i32
//!   count of ACL entries, then of each: i32 perms, scheme, `0x00`, id, `0x00`. The null ACL
//!   (number -1) and an empty list both count as zero entries; the numbers themselves are local
//!   to a server and are left out.
//! - session: `0x02`; i64 id; i32 timeout in ms.
//!
//! `/zookeeper/config` is left out of `full`: its Stat is local to each server until a reconfig.
//! `/zookeeper`, `/zookeeper/quota` and all below it are in, but the data of a `zookeeper_stats` there
//! counts as null: each server counts for itself.

use alloc::vec::Vec;

use bytes::BufMut;
use crc32fast::Hasher;

use super::CONFIG_PATH;
use super::node::{Node, StoredStat};
use super::quota::is_stats;
use crate::acl::Acl;
use crate::ids::SessionId;
use crate::server::note::StateDigest;

/// What one node adds to each sum.
///
/// Packed, since there is one in every node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub(super) struct NodeDigest {
    /// A CRC, or 0.
    tree: u32,
    full: u64,
}

impl NodeDigest {
    pub(super) fn tree(self) -> u64 {
        u64::from(self.tree)
    }
}

/// Both sums; `full` stays 0 where it was not asked for.
#[derive(Debug)]
pub(super) struct Digests {
    sum: StateDigest,
    full: bool,
    /// Where a node is put together before it is hashed; kept for its capacity.
    scratch: Vec<u8>,
}

impl Digests {
    pub(super) fn new(full: bool) -> Self {
        Self { sum: StateDigest::default(), full, scratch: Vec::new() }
    }

    pub(super) fn sum(&self) -> StateDigest {
        self.sum
    }

    /// Hashes a node anew and puts it in place of what it counted before.
    pub(super) fn replace(&mut self, path: &str, node: &mut Node, acl: &[Acl]) {
        self.remove(node);
        let tree = crc_of_node(path, node.data(), &node.stat());
        let full = if self.full { full_of_node(path, node, acl, &mut self.scratch) } else { 0 };
        node.digest = NodeDigest { tree, full };
        self.sum.tree = self.sum.tree.wrapping_add(node.digest.tree());
        self.sum.full = self.sum.full.wrapping_add(node.digest.full);
    }

    pub(super) fn remove(&mut self, node: &Node) {
        self.sum.tree = self.sum.tree.wrapping_sub(node.digest.tree());
        self.sum.full = self.sum.full.wrapping_sub(node.digest.full);
    }

    pub(super) fn add_session(&mut self, session: SessionId, timeout_ms: i32) {
        if self.full {
            self.sum.full = self.sum.full.wrapping_add(full_of_session(session, timeout_ms));
        }
    }

    pub(super) fn remove_session(&mut self, session: SessionId, timeout_ms: i32) {
        if self.full {
            self.sum.full = self.sum.full.wrapping_sub(full_of_session(session, timeout_ms));
        }
    }
}

/// Apache's digest of one node: CRC32 over path ("" for the root), data and Stat, the latter in an
/// order of its own. Nodes below "/zookeeper/" count 0 (T18).
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StoredStat) -> u64 {
    u64::from(crc_of_node(path, data, stat))
}

fn crc_of_node(path: &str, data: Option<&[u8]>, stat: &StoredStat) -> u32 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let path = if path == "/" { b"" } else { path.as_bytes() };
    let data = data.unwrap_or_default();
    // Most nodes are small, and one long piece is hashed faster than three short ones.
    let mut whole = [0; 256];
    let len = path.len() + data.len() + DIGESTED_STAT_LEN;
    if let Some(whole) = whole.get_mut(..len) {
        let (head, tail) = whole.split_at_mut(path.len());
        head.copy_from_slice(path);
        let (middle, tail) = tail.split_at_mut(data.len());
        middle.copy_from_slice(data);
        tail.copy_from_slice(&digested_stat(stat));
        return crc32fast::hash(whole);
    }
    let mut crc = Hasher::new();
    crc.update(path);
    crc.update(data);
    crc.update(&digested_stat(stat));
    crc.finalize()
}

const DIGESTED_STAT_LEN: usize = 60;

fn digested_stat(stat: &StoredStat) -> [u8; DIGESTED_STAT_LEN] {
    let mut bytes = [0; DIGESTED_STAT_LEN];
    let mut out = &mut bytes[..];
    for long in [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime] {
        out.put_i64(long);
    }
    for int in [stat.version, stat.cversion, stat.aversion] {
        out.put_i32(int);
    }
    out.put_i64(stat.ephemeral_owner);
    bytes
}

fn full_of_node(path: &str, node: &Node, acl: &[Acl], bytes: &mut Vec<u8>) -> u64 {
    if path == CONFIG_PATH {
        return 0;
    }
    bytes.clear();
    bytes.put_u8(1);
    bytes.put_slice(path.as_bytes());
    bytes.put_u8(0);
    match node.data().filter(|_| !is_stats(path)) {
        None => bytes.put_u8(0),
        Some(data) => {
            bytes.put_u8(1);
            bytes.put_i32(data.len() as i32);
            bytes.put_slice(data);
        }
    }
    bytes.put_slice(&node.stat().to_bytes());
    bytes.put_i32(acl.len() as i32);
    for entry in acl {
        bytes.put_i32(entry.perms);
        bytes.put_slice(entry.id.scheme.as_bytes());
        bytes.put_u8(0);
        bytes.put_slice(entry.id.id.as_bytes());
        bytes.put_u8(0);
    }
    hash(bytes)
}

fn full_of_session(session: SessionId, timeout_ms: i32) -> u64 {
    let mut bytes = [2; 13];
    bytes[1..9].copy_from_slice(&session.0.to_be_bytes());
    bytes[9..].copy_from_slice(&timeout_ms.to_be_bytes());
    hash(&bytes)
}

fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(&last);
    words.iter().chain(last).fold(0xcbf2_9ce4_8422_2325, |state: u64, word| {
        let state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^ state >> 32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_definition() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        // Reckoned from the definition in another language.
        assert_eq!(hash(b"a"), 0x2173_5040_6cfa_84d4);
        assert_eq!(hash(b"foobarfoobar"), 0xf1bb_cfeb_4fcb_e7ee);
        assert_eq!(hash(b"a"), hash(b"a\0"), "every hashed text says its own length");
    }

    #[test]
    fn trap_18_nodes_below_zookeeper_count_nothing_but_zookeeper_does() {
        let stat = StoredStat::default();
        assert_eq!(node_digest("/zookeeper/quota", None, &stat), 0);
        let sum = node_digest("/", None, &stat) + node_digest("/zookeeper", None, &stat);
        assert_eq!(sum, 0x51c6_d660);
    }

    #[test]
    fn long_nodes_are_hashed_as_short_ones_are() {
        let stat = StoredStat { mzxid: 7, ..StoredStat::default() };
        for len in [195, 196, 194] {
            let path = alloc::format!("/{}", "p".repeat(len - 1));
            let mut whole = path.clone().into_bytes();
            whole.push(9);
            whole.extend(digested_stat(&stat));
            let digest = node_digest(&path, Some(&[9]), &stat);
            assert_eq!(digest, u64::from(crc32fast::hash(&whole)), "{} bytes", whole.len());
        }
    }

    #[test]
    fn null_and_empty_data_differ_in_full_alone() {
        let null = Node::new("/a", None, -1, StoredStat::default());
        let empty = Node::new("/a", Some(&[]), -1, StoredStat::default());
        let full = |node| full_of_node("/a", node, &[], &mut Vec::new());
        assert_ne!(full(&null), full(&empty));
        assert_eq!(
            node_digest("/a", None, &null.stat()),
            node_digest("/a", Some(&[]), &empty.stat())
        );
    }
}
