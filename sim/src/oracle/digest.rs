//! The full digest: every node with its whole Stat, ACL and data, and the session table.
//!
//! A wrapping sum of one 64-bit hash per node and per session, so that one change costs one
//! node. The definition is that of core's `tree::digest`; the code is not.

use crate::oracle::tree::Record;

/// Words of eight bytes, little endian, xored in, multiplied, folded.
struct Hash {
    state: u64,
    word: u64,
    /// Bits of `word` that are taken.
    filled: u32,
}

impl Hash {
    fn new() -> Self {
        Self { state: 0xcbf2_9ce4_8422_2325, word: 0, filled: 0 }
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.word |= u64::from(byte) << self.filled;
        self.filled += 8;
        if self.filled == 64 {
            self.turn();
        }
        self
    }

    fn turn(&mut self) {
        let state = (self.state ^ self.word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (self.state, self.word, self.filled) = (state ^ state >> 32, 0, 0);
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.byte(*byte);
        }
        self
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn end(&mut self) -> u64 {
        if self.filled > 0 {
            self.turn();
        }
        self.state
    }
}

/// 0 for the one node that differs between servers by design.
pub(super) fn of_node(path: &str, node: &Record) -> u64 {
    if path == "/zookeeper/config" {
        return 0;
    }
    let mut hash = Hash::new();
    hash.byte(1).bytes(path.as_bytes()).byte(0);
    // What each server counts for itself.
    let is_stats = path.starts_with("/zookeeper/quota/") && path.ends_with("/zookeeper_stats");
    match node.data.as_ref().filter(|_| !is_stats) {
        None => hash.byte(0),
        Some(data) => hash.byte(1).i32(data.len() as i32).bytes(data),
    };
    hash.i64(node.czxid).i64(node.mzxid).i64(node.ctime).i64(node.mtime);
    hash.i32(node.version).i32(node.cversion).i32(node.aversion);
    hash.i64(node.owner).i64(node.pzxid);
    // The null ACL and an empty list both count as zero entries.
    let acl = node.acl.as_deref().unwrap_or_default();
    hash.i32(acl.len() as i32);
    for (perms, scheme, id) in acl {
        hash.i32(*perms).bytes(scheme.as_bytes()).byte(0).bytes(id.as_bytes()).byte(0);
    }
    hash.end()
}

pub(super) fn of_session(id: i64, timeout_ms: i32) -> u64 {
    let mut hash = Hash::new();
    hash.byte(2).i64(id).i32(timeout_ms);
    hash.end()
}
