//! Snapshot bytes, written.

use bytes::{BufMut, BytesMut};

use super::{DIGEST_VERSION, FILE_HEADER};
use crate::ids::Zxid;
use crate::storage::txnlog::Checksum;

/// Puts header, seals, digest and last zxid around body bytes of [`crate::tree::Database::walk`].
#[derive(Debug)]
pub struct SnapshotEncoder {
    zxid: Zxid,
    /// `None`: the state is not that of `zxid` alone. The file then has an empty digest, as Apache
    /// writes where it knows none.
    digest: Option<u64>,
    sum: Checksum,
}

impl SnapshotEncoder {
    /// `digest`: the tree digest at `zxid`.
    pub fn new(zxid: Zxid, digest: u64) -> Self {
        // Nothing has been processed at zxid 0: Apache writes no digest there.
        Self { zxid, digest: (zxid != Zxid::ZERO).then_some(digest), sum: Checksum::new() }
    }

    /// For a state that holds parts of transactions behind `zxid`.
    pub fn fuzzy(zxid: Zxid) -> Self {
        Self { zxid, digest: None, sum: Checksum::new() }
    }

    pub fn head(&mut self, out: &mut BytesMut) {
        out.put_slice(&FILE_HEADER);
        self.sum.write(&FILE_HEADER);
    }

    /// Takes note of body bytes; they are written as they are.
    pub fn body(&mut self, bytes: &[u8]) {
        self.sum.write(bytes);
    }

    pub fn tail(mut self, out: &mut BytesMut) {
        self.seal(out);
        let start = out.len();
        out.put_i64(self.digest.map_or(0, |_| self.zxid.to_wire()));
        out.put_i32(DIGEST_VERSION);
        out.put_u64(self.digest.unwrap_or_default());
        self.sum.write(&out[start..]);
        self.seal(out);
        let start = out.len();
        out.put_i64(self.zxid.to_wire());
        self.sum.write(&out[start..]);
        self.seal(out);
    }

    fn seal(&mut self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u64(self.sum.value());
        out.put_slice(&[0, 0, 0, 1, b'/']);
        self.sum.write(&out[start..]);
    }
}
