//! What a leader and a learner say to each other, read along at the leader's end by a codec that is not
//! core's: what it answers is judged by what it has heard. Facts: PROTOCOL 3.4.

use bytes::Buf;
use vivarium_core::ids::{LinkId, ServerId, SessionId, Zxid};
use vivarium_core::server::input::Plane;
use vivarium_core::time::Mono;

use crate::apache::packet::{
    COMMIT, COMMITANDACTIVATE, DIFF, FOLLOWERINFO, Glance, INFORM, INFORMANDACTIVATE, OBSERVERINFO,
    PING, REQUEST, REVALIDATE, SNAP, SYNC, TRUNC, UPTODATE, snapshot_end,
};
use crate::ids::NodeId;
use crate::net::Delivery;
use crate::observe::{SimEvent, Word};
use crate::world::World;

/// One link, both directions.
#[derive(Debug)]
pub(crate) struct Talk {
    link: LinkId,
    heard: Stream,
    said: Stream,
    /// Since the last PING.
    spoke: bool,
    /// Newest transaction that the learner was told of as committed, or got with its history.
    told: Zxid,
}

/// One direction.
#[derive(Debug, Default)]
struct Stream {
    /// What belongs to no whole packet yet.
    rest: Vec<u8>,
    in_snapshot: bool,
}

impl World {
    /// What the network hands to a process that may lead.
    pub(super) fn overhear(&mut self, index: usize, delivery: &Delivery) {
        let slot = &mut self.servers[index];
        match delivery {
            Delivery::Opened { end, dial: None, plane: Plane::Quorum, .. }
                if slot.guise.is_none() =>
            {
                slot.talks.push(Talk::new(LinkId(end.0)));
            }
            Delivery::Closed { end, .. } => slot.talks.retain(|talk| talk.link.0 != end.0),
            Delivery::Bytes { end, bytes } => {
                let talk = slot.talks.iter_mut().find(|talk| talk.link.0 == end.0);
                let Some(talk) = talk else { return };
                let words = talk.hear(bytes);
                self.tell_words(index, LinkId(end.0), words);
            }
            Delivery::Opened { .. } | Delivery::DialFailed { .. } | Delivery::Sent { .. } => {}
        }
    }

    /// What a process that may lead sends.
    pub(super) fn overhear_send(&mut self, index: usize, link: LinkId, bytes: &[u8]) {
        let slot = &mut self.servers[index];
        if let Some(talk) = slot.talks.iter_mut().find(|talk| talk.link == link) {
            let words = talk.say(slot.clock.stamp(self.now).mono, bytes);
            self.tell_words(index, link, words);
        }
    }

    fn tell_words(&mut self, index: usize, link: LinkId, words: Vec<Word>) {
        let node = NodeId::Server(self.servers[index].id());
        for word in words {
            self.observe(node, &SimEvent::Word { link, word });
        }
    }
}

impl Talk {
    fn new(link: LinkId) -> Self {
        let (heard, said) = (Stream::default(), Stream::default());
        Self { link, heard, said, spoke: false, told: Zxid::ZERO }
    }

    fn hear(&mut self, bytes: &[u8]) -> Vec<Word> {
        let mut words = Vec::new();
        self.spoke = true;
        self.heard.read(bytes, |packet| words.extend(word_of_learner(packet)));
        words
    }

    fn say(&mut self, at: Mono, bytes: &[u8]) -> Vec<Word> {
        let (mut words, told, spoke) = (Vec::new(), &mut self.told, &mut self.spoke);
        self.said.read(bytes, |packet| {
            let commits = [COMMIT, COMMITANDACTIVATE, INFORM, INFORMANDACTIVATE, DIFF, TRUNC, SNAP];
            if commits.contains(&packet.kind) {
                *told = Zxid::from_wire(packet.zxid).unwrap_or_default().max(*told);
            }
            words.extend(match packet.kind {
                PING => Some(Word::Ping { heard: std::mem::take(spoke), at }),
                _ => word_of_leader(packet, *told),
            });
        });
        words
    }
}

fn word_of_learner(packet: Glance<'_>) -> Option<Word> {
    /// Of a request: behind the session and the number of the request.
    const OP_AT: usize = 12;
    const OP_SYNC: i32 = 9;
    let mut data = packet.data;
    match packet.kind {
        FOLLOWERINFO | OBSERVERINFO => {
            let learner = ServerId(data.try_get_u64().ok()?);
            Some(Word::Comes { learner, observer: packet.kind == OBSERVERINFO })
        }
        PING => Some(Word::Echo),
        REVALIDATE => {
            let session = SessionId(data.try_get_i64().ok()?);
            Some(Word::AsksSession { session })
        }
        REQUEST => {
            let op = data.get(OP_AT..)?.try_get_i32().ok()?;
            (op == OP_SYNC).then_some(Word::AsksSync)
        }
        _ => None,
    }
}

fn word_of_leader(packet: Glance<'_>, told: Zxid) -> Option<Word> {
    let mut data = packet.data;
    match packet.kind {
        UPTODATE => Some(Word::UpToDate),
        SYNC => Some(Word::Sync { told }),
        REVALIDATE => {
            let session = SessionId(data.try_get_i64().ok()?);
            Some(Word::Session { session, valid: data.try_get_u8().ok()? != 0, told })
        }
        _ => None,
    }
}

impl Stream {
    /// The packets that end in `bytes`.
    fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Glance<'_>)) {
        if self.rest.is_empty() {
            let taken = self.take(bytes, &mut each);
            self.rest.extend_from_slice(&bytes[taken..]);
        } else {
            let mut whole = std::mem::take(&mut self.rest);
            whole.extend_from_slice(bytes);
            let taken = self.take(&whole, &mut each);
            whole.drain(..taken);
            self.rest = whole;
        }
    }

    /// How many of the bytes are read for good.
    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Glance<'_>)) -> usize {
        let mut taken = 0;
        loop {
            let left = &bytes[taken..];
            if self.in_snapshot {
                let end = snapshot_end(left);
                let (Ok(over) | Err(over)) = end;
                taken += over;
                if end.is_err() {
                    return taken;
                }
                self.in_snapshot = false;
                continue;
            }
            let Some(packet) = Glance::at(left) else { return taken };
            taken += packet.len;
            self.in_snapshot = packet.kind == SNAP;
            each(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use vivarium_core::ids::Epoch;
    use vivarium_core::wire::quorum::{ForwardedRequest, LeaderPacket, LearnerInfo, LearnerPacket};

    use super::*;

    fn from_learner() -> (Bytes, Vec<Word>) {
        let mut wire = BytesMut::new();
        let info = LearnerInfo {
            server: Some(ServerId(3)),
            protocol_version: 0x10000,
            config_version: 0,
            vivarium: None,
        };
        let accepted = Epoch(1);
        LearnerPacket::FollowerInfo { accepted, info: info.clone() }.encode(&mut wire);
        LearnerPacket::Ack { zxid: Zxid(9) }.encode(&mut wire);
        LearnerPacket::Ping { zxid: 0, touched: Vec::new() }.encode(&mut wire);
        LearnerPacket::Revalidate { session: SessionId(-5), timeout_ms: 1 }.encode(&mut wire);
        for op in [1, 9] {
            let request = ForwardedRequest {
                session: SessionId(5),
                cxid: 9,
                op,
                payload: Bytes::from_static(b"body"),
                authinfo: Vec::new(),
            };
            LearnerPacket::Request(request).encode(&mut wire);
        }
        LearnerPacket::ObserverInfo { accepted, info }.encode(&mut wire);
        let words = vec![
            Word::Comes { learner: ServerId(3), observer: false },
            Word::Echo,
            Word::AsksSession { session: SessionId(-5) },
            Word::AsksSync,
            Word::Comes { learner: ServerId(3), observer: true },
        ];
        (wire.freeze(), words)
    }

    fn from_leader() -> (Bytes, Vec<Word>) {
        let mut wire = BytesMut::new();
        LeaderPacket::Snap { zxid: Zxid(7), fuzzy: false }.encode(&mut wire);
        wire.put_slice(&[3; 500]);
        wire.put_slice(b"\0\0\0\x0aBenWasHere");
        LeaderPacket::UpToDate.encode(&mut wire);
        LeaderPacket::Sync.encode(&mut wire);
        LeaderPacket::Commit { zxid: Zxid(8) }.encode(&mut wire);
        LeaderPacket::Proposal { zxid: Zxid(9), payload: Bytes::from_static(b"p") }
            .encode(&mut wire);
        LeaderPacket::Ping { zxid: 9 }.encode(&mut wire);
        LeaderPacket::Sync.encode(&mut wire);
        let session = SessionId(5);
        LeaderPacket::Revalidate { session, valid: true }.encode(&mut wire);
        LeaderPacket::Revalidate { session, valid: false }.encode(&mut wire);
        let words = vec![
            Word::UpToDate,
            Word::Sync { told: Zxid(7) },
            Word::Ping { heard: true, at: Mono(7) },
            Word::Sync { told: Zxid(8) },
            Word::Session { session, valid: true, told: Zxid(8) },
            Word::Session { session, valid: false, told: Zxid(8) },
        ];
        (wire.freeze(), words)
    }

    #[test]
    fn words_are_read_whatever_the_chunks() {
        let (heard, said) = (from_learner(), from_leader());
        for size in [1, 3, 7, 100, 10_000] {
            let mut talk = Talk::new(LinkId(1));
            let words: Vec<Word> =
                heard.0.chunks(size).flat_map(|chunk| talk.hear(chunk)).collect();
            assert_eq!(words, heard.1, "in chunks of {size}");
            let words: Vec<Word> =
                said.0.chunks(size).flat_map(|chunk| talk.say(Mono(7), chunk)).collect();
            assert_eq!(words, said.1, "in chunks of {size}");
        }
    }
}
