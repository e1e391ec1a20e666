//! Fingerprints of the replicated state, kept up to date change by change.
//!
//! `tree` is Apache's digest version 2 (PROTOCOL 4.5, `DigestCalculator`): a wrapping sum over
//! nodes of [`node_digest`].
//!
//! `full` covers everything that must be equal on all servers. It is the wrapping `u64` sum over
//! nodes of `H(node)` plus over sessions of `H(session)`. `H` is 64-bit FNV-1a (offset basis
//! `0xcbf29ce484222325`, prime `0x100000001b3`) over these bytes, all integers big endian:
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
//! `/zookeeper`, `/zookeeper/quota` and all below it are in.

use bytes::{BufMut, BytesMut};
use crc32fast::Hasher;

use super::CONFIG_PATH;
use super::node::{Node, StoredStat};
use crate::acl::Acl;
use crate::ids::SessionId;
use crate::server::note::StateDigest;

/// What one node adds to each sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeDigest {
    tree: u64,
    full: u64,
}

/// Both sums; `full` stays 0 where it was not asked for.
#[derive(Debug)]
pub(super) struct Digests {
    sum: StateDigest,
    full: bool,
}

impl Digests {
    pub(super) fn new(full: bool) -> Self {
        Self { sum: StateDigest::default(), full }
    }

    pub(super) fn sum(&self) -> StateDigest {
        self.sum
    }

    /// Hashes a node anew and puts it in place of what it counted before.
    pub(super) fn replace(&mut self, path: &str, node: &mut Node, acl: &[Acl]) {
        self.remove(node);
        node.digest = NodeDigest {
            tree: node_digest(path, node.data.as_deref(), &node.stat),
            full: if self.full { full_of_node(path, node, acl) } else { 0 },
        };
        self.sum.tree = self.sum.tree.wrapping_add(node.digest.tree);
        self.sum.full = self.sum.full.wrapping_add(node.digest.full);
    }

    pub(super) fn remove(&mut self, node: &Node) {
        self.sum.tree = self.sum.tree.wrapping_sub(node.digest.tree);
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
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let mut crc = Hasher::new();
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    crc.update(data.unwrap_or_default());
    for long in [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime] {
        crc.update(&long.to_be_bytes());
    }
    for int in [stat.version, stat.cversion, stat.aversion] {
        crc.update(&int.to_be_bytes());
    }
    crc.update(&stat.ephemeral_owner.to_be_bytes());
    u64::from(crc.finalize())
}

fn full_of_node(path: &str, node: &Node, acl: &[Acl]) -> u64 {
    if path == CONFIG_PATH {
        return 0;
    }
    let mut bytes = BytesMut::new();
    bytes.put_u8(1);
    bytes.put_slice(path.as_bytes());
    bytes.put_u8(0);
    match &node.data {
        None => bytes.put_u8(0),
        Some(data) => {
            bytes.put_u8(1);
            bytes.put_i32(data.len() as i32);
            bytes.put_slice(data);
        }
    }
    node.stat.write(&mut bytes);
    bytes.put_i32(acl.len() as i32);
    for entry in acl {
        bytes.put_i32(entry.perms);
        bytes.put_slice(entry.id.scheme.as_bytes());
        bytes.put_u8(0);
        bytes.put_slice(entry.id.id.as_bytes());
        bytes.put_u8(0);
    }
    fnv1a(&bytes)
}

fn full_of_session(session: SessionId, timeout_ms: i32) -> u64 {
    let mut bytes = [2; 13];
    bytes[1..9].copy_from_slice(&session.0.to_be_bytes());
    bytes[9..].copy_from_slice(&timeout_ms.to_be_bytes());
    fnv1a(&bytes)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn nodes_below_zookeeper_count_nothing_but_zookeeper_does() {
        let stat = StoredStat::default();
        assert_eq!(node_digest("/zookeeper/quota", None, &stat), 0);
        let sum = node_digest("/", None, &stat) + node_digest("/zookeeper", None, &stat);
        assert_eq!(sum, 0x51c6_d660);
    }

    #[test]
    fn null_and_empty_data_differ_in_full_alone() {
        let null = Node::new(None, -1, StoredStat::default());
        let empty = Node::new(Some(bytes::Bytes::new()), -1, StoredStat::default());
        assert_ne!(full_of_node("/a", &null, &[]), full_of_node("/a", &empty, &[]));
        assert_eq!(node_digest("/a", None, &null.stat), node_digest("/a", Some(&[]), &empty.stat));
    }
}
