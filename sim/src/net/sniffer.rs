//! Which packets go over a link between a learner and its leader: what a delay of one kind waits for.
//! Facts: PROTOCOL 3.4, 3.6.

use bytes::{Buf, Bytes, BytesMut};

use crate::apache::packet::{Packet, snapshot_end};
use crate::schedule::PacketKind;

/// Reads along one direction of one link.
#[derive(Debug, Default)]
pub(super) struct Sniffer {
    /// What belongs to no whole packet yet.
    rest: BytesMut,
    /// The packet at the front of `rest` was named already.
    named: bool,
    in_snapshot: bool,
}

impl Sniffer {
    /// The packets that begin in `bytes`, or that only these bytes tell the kind of, and where in `bytes`
    /// each does; 0 for one that began before.
    pub(super) fn read(&mut self, bytes: &Bytes) -> Vec<(PacketKind, usize)> {
        let before = self.rest.len();
        self.rest.extend_from_slice(bytes);
        let mut taken = 0_usize;
        let mut found = Vec::new();
        loop {
            let length = self.rest.len();
            if self.in_snapshot {
                if !self.skip_snapshot() {
                    return found;
                }
            } else {
                let Some(kind) = self.rest.get(..4).map(|mut head| head.get_i32()) else {
                    return found;
                };
                if !std::mem::replace(&mut self.named, true)
                    && let Some(kind) = PacketKind::on_wire(kind)
                {
                    found.push((kind, taken.saturating_sub(before)));
                }
                let Some(packet) = Packet::cut(&mut self.rest) else { return found };
                self.named = false;
                self.in_snapshot = PacketKind::on_wire(packet.kind) == Some(PacketKind::Snap);
            }
            taken += length - self.rest.len();
        }
    }

    /// Drops what belongs to the snapshot; whether its end was there.
    fn skip_snapshot(&mut self) -> bool {
        let end = snapshot_end(&self.rest);
        let (Ok(over) | Err(over)) = end;
        self.rest.advance(over);
        self.in_snapshot = end.is_err();
        end.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use vivarium_core::ids::{Epoch, Zxid};
    use vivarium_core::wire::quorum::LeaderPacket;

    use super::*;

    /// A handshake with a SNAP, and where its packets begin.
    fn wire() -> (Bytes, Vec<(PacketKind, usize)>) {
        let mut wire = BytesMut::new();
        let mut at = Vec::new();
        at.push((PacketKind::LeaderInfo, wire.len()));
        LeaderPacket::LeaderInfo { epoch: Epoch(2), vivarium: true }.encode(&mut wire);
        at.push((PacketKind::Snap, wire.len()));
        LeaderPacket::Snap { zxid: Zxid(7), fuzzy: false }.encode(&mut wire);
        wire.put_slice(&[3; 5000]);
        wire.put_slice(b"\0\0\0\x0aBenWasHere");
        at.push((PacketKind::NewLeader, wire.len()));
        LeaderPacket::NewLeader { epoch: Epoch(2), config: None }.encode(&mut wire);
        at.push((PacketKind::UpToDate, wire.len()));
        LeaderPacket::UpToDate.encode(&mut wire);
        (wire.freeze(), at)
    }

    #[test]
    fn packets_are_found_where_they_begin() {
        let (wire, at) = wire();
        assert_eq!(Sniffer::default().read(&wire), at);
    }

    #[test]
    fn chunks_of_any_size_show_the_same_packets() {
        let (wire, at) = wire();
        for size in [1, 3, 7, 100, 1000] {
            let mut sniffer = Sniffer::default();
            let mut found = Vec::new();
            for start in (0..wire.len()).step_by(size) {
                let chunk = wire.slice(start..(start + size).min(wire.len()));
                let places = sniffer.read(&chunk).into_iter();
                found.extend(places.map(|(kind, place)| (kind, start + place)));
            }
            let kinds = |list: &[(PacketKind, usize)]| -> Vec<_> {
                list.iter().map(|(kind, _)| *kind).collect()
            };
            assert_eq!(kinds(&found), kinds(&at));
            // Four bytes name a packet.
            let near = found.iter().zip(&at).all(|((_, got), (_, right))| got - right < 4);
            assert!(near, "{found:?} {at:?}");
        }
    }
}
