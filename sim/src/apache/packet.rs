//! Quorum packets as they lie on the wire, cut by a small codec of our own: what a habit changes must
//! not depend on core's reading of it. Facts: PROTOCOL 3.4.

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub(crate) const REQUEST: i32 = 1;
pub(super) const PROPOSAL: i32 = 2;
pub(super) const ACK: i32 = 3;
pub(crate) const COMMIT: i32 = 4;
pub(crate) const PING: i32 = 5;
pub(crate) const REVALIDATE: i32 = 6;
pub(crate) const SYNC: i32 = 7;
pub(crate) const INFORM: i32 = 8;
pub(crate) const COMMITANDACTIVATE: i32 = 9;
pub(super) const NEWLEADER: i32 = 10;
pub(crate) const FOLLOWERINFO: i32 = 11;
pub(crate) const UPTODATE: i32 = 12;
pub(crate) const DIFF: i32 = 13;
pub(crate) const TRUNC: i32 = 14;
pub(crate) const SNAP: i32 = 15;
pub(crate) const OBSERVERINFO: i32 = 16;
pub(super) const LEADERINFO: i32 = 17;
pub(super) const ACKEPOCH: i32 = 18;
pub(crate) const INFORMANDACTIVATE: i32 = 19;

/// Type and zxid come before the length of the data.
const DATA_AT: usize = 12;

/// Ends the stream behind a SNAP.
const SIGNATURE: &[u8] = b"BenWasHere";

/// One record of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) kind: i32,
    pub(super) zxid: i64,
    pub(super) data: Option<Bytes>,
    /// The vector of ids, count included, as it came.
    ids: Bytes,
}

impl Packet {
    pub(super) fn new(kind: i32, zxid: i64, data: Option<Bytes>) -> Self {
        Self { kind, zxid, data, ids: Bytes::from_static(&[0xff; 4]) }
    }

    /// Takes the packet at the front, once it is all there.
    pub(crate) fn cut(buffer: &mut BytesMut) -> Option<Self> {
        let (ids_at, end) = borders(buffer)?;
        let mut whole = buffer.split_to(end).freeze();
        let ids = whole.split_off(ids_at);
        let (kind, zxid) = (whole.get_i32(), whole.get_i64());
        let data = (whole.get_i32() >= 0).then_some(whole);
        Some(Self { kind, zxid, data, ids })
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_i32(self.kind);
        out.put_i64(self.zxid);
        match &self.data {
            None => out.put_i32(-1),
            Some(data) => {
                out.put_i32(data.len() as i32);
                out.put_slice(data);
            }
        }
        out.put_slice(&self.ids);
    }

    /// Leaves off what follows the first `len` bytes of the data. True where something did.
    pub(super) fn shorten(&mut self, len: usize) -> bool {
        let Some(data) = &mut self.data else { return false };
        let longer = data.len() > len;
        data.truncate(len);
        longer
    }
}

/// A packet that stays where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance<'a> {
    pub(crate) kind: i32,
    pub(crate) zxid: i64,
    /// Empty where it is null.
    pub(crate) data: &'a [u8],
    /// Of the whole packet.
    pub(crate) len: usize,
}

impl<'a> Glance<'a> {
    /// At the packet at the front, once it is all there.
    pub(crate) fn at(mut buffer: &'a [u8]) -> Option<Self> {
        let (ids_at, len) = borders(buffer)?;
        let data = &buffer[DATA_AT + 4..ids_at];
        Some(Self { kind: buffer.get_i32(), zxid: buffer.get_i64(), data, len })
    }
}

/// Where the snapshot behind a SNAP ends; or how much of it is sure to come before its end.
pub(crate) fn snapshot_end(bytes: &[u8]) -> Result<usize, usize> {
    match bytes.windows(SIGNATURE.len()).position(|part| part == SIGNATURE) {
        Some(at) => Ok(at + SIGNATURE.len()),
        None => Err(bytes.len().saturating_sub(SIGNATURE.len() - 1)),
    }
}

/// Where the ids of the packet at the front begin, and where it ends; `None`: it is not all there.
fn borders(buffer: &[u8]) -> Option<(usize, usize)> {
    let ids_at = text_end(buffer, DATA_AT)?;
    let mut end = ids_at + 4;
    for _ in 0..2 * int(buffer, ids_at)?.max(0) {
        end = text_end(buffer, end)?;
    }
    (buffer.len() >= end).then_some((ids_at, end))
}

fn int(buffer: &[u8], at: usize) -> Option<i32> {
    Some(buffer.get(at..at + 4)?.get_i32())
}

/// Where the string or buffer ends whose length lies at `at`; -1 is null and takes no bytes.
fn text_end(buffer: &[u8], at: usize) -> Option<usize> {
    let len = usize::try_from(int(buffer, at)?).unwrap_or(0);
    Some(at + 4 + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vivarium_core::acl::Id;
    use vivarium_core::ids::{Epoch, SessionId, Zxid};
    use vivarium_core::wire::quorum::{ForwardedRequest, LeaderPacket, LearnerPacket};

    fn wire() -> BytesMut {
        let mut wire = BytesMut::new();
        LeaderPacket::UpToDate.encode(&mut wire);
        let config = Some(Bytes::from_static(b"version=0"));
        LeaderPacket::NewLeader { epoch: Epoch(3), config }.encode(&mut wire);
        let id = Id { scheme: "ip".into(), id: "10.0.0.1".into() };
        let request = ForwardedRequest {
            session: SessionId(5),
            cxid: 2,
            op: 1,
            payload: Bytes::from_static(b"body"),
            authinfo: vec![id.clone(), id],
        };
        LearnerPacket::Request(request).encode(&mut wire);
        LearnerPacket::Ack { zxid: Zxid(9) }.encode(&mut wire);
        wire
    }

    #[test]
    fn packets_are_cut_at_any_border_and_written_as_they_came() {
        let wire = wire();
        let (mut buffer, mut again, mut kinds) = (BytesMut::new(), BytesMut::new(), Vec::new());
        for &byte in &wire {
            buffer.put_u8(byte);
            while let Some(packet) = Packet::cut(&mut buffer) {
                packet.put(&mut again);
                kinds.push((packet.kind, packet.zxid));
            }
        }
        assert_eq!(again, wire);
        assert_eq!(kinds, [(UPTODATE, -1), (NEWLEADER, 3 << 32), (1, -1), (3, 9)]);
    }

    #[test]
    fn data_is_shortened_and_null_stays_null() {
        let mut packet = Packet::new(LEADERINFO, 1, Some(Bytes::from_static(&[7; 12])));
        assert!(packet.shorten(4));
        assert!(!packet.shorten(4));
        assert_eq!(packet.data.as_deref(), Some(&[7_u8; 4][..]));
        assert!(!Packet::new(COMMIT, 1, None).shorten(4));
    }
}
