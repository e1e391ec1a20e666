//! The full digest: every node with its whole Stat, ACL and data, and the session table.
//!
//! A wrapping sum of one FNV-1a-64 hash per node and per session, so that one change costs one
//! node. The definition is that of core's `tree::digest`; the code is not.

use crate::oracle::tree::Record;

struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }
}

/// 0 for the one node that differs between servers by design.
pub(super) fn of_node(path: &str, node: &Record) -> u64 {
    if path == "/zookeeper/config" {
        return 0;
    }
    let mut hash = Fnv::new();
    hash.bytes(&[1]).bytes(path.as_bytes()).bytes(&[0]);
    match &node.data {
        None => hash.bytes(&[0]),
        Some(data) => hash.bytes(&[1]).i32(data.len() as i32).bytes(data),
    };
    hash.i64(node.czxid).i64(node.mzxid).i64(node.ctime).i64(node.mtime);
    hash.i32(node.version).i32(node.cversion).i32(node.aversion);
    hash.i64(node.owner).i64(node.pzxid);
    // The null ACL and an empty list both count as zero entries.
    let acl = node.acl.as_deref().unwrap_or_default();
    hash.i32(acl.len() as i32);
    for (perms, scheme, id) in acl {
        hash.i32(*perms).bytes(scheme.as_bytes()).bytes(&[0]).bytes(id.as_bytes()).bytes(&[0]);
    }
    hash.0
}

pub(super) fn of_session(id: i64, timeout_ms: i32) -> u64 {
    let mut hash = Fnv::new();
    hash.bytes(&[2]).i64(id).i32(timeout_ms);
    hash.0
}
