//! Stands in for the codec of `wire::vote` and `wire::frame::VoteBuffer` until it lands.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::ids::{Epoch, ServerId, Zxid};
use crate::wire::vote::{InitialMessage, Notification, PeerState};

#[derive(Debug)]
pub(super) struct Broken;

pub(super) fn put_initial(message: &InitialMessage, out: &mut BytesMut) {
    out.put_i64(-65536);
    out.put_u64(message.from.0);
    out.put_u32(message.address.len() as u32);
    out.put_slice(message.address.as_bytes());
}

pub(super) fn put_notification(n: &Notification, out: &mut BytesMut) {
    let config: &[u8] = n.config.as_deref().unwrap_or_default();
    out.put_u32(44 + config.len() as u32);
    out.put_i32(match n.state {
        PeerState::Looking => 0,
        PeerState::Following => 1,
        PeerState::Leading => 2,
        PeerState::Observing => 3,
    });
    let none = if n.leader.is_none() { i64::MIN } else { -1 };
    out.put_i64(n.leader.map_or(i64::MIN, |id| id.0 as i64));
    out.put_i64(n.zxid.map_or(none, Zxid::to_wire));
    out.put_i64(n.round);
    out.put_i64(n.peer_epoch.map_or(none, |epoch| epoch.0.into()));
    out.put_i32(n.version);
    out.put_i32(config.len() as i32);
    out.put_slice(config);
}

pub(super) fn get_notification(mut body: Bytes) -> Result<Notification, Broken> {
    if body.len() < 44 {
        return Err(Broken);
    }
    let state = match body.get_i32() {
        0 => PeerState::Looking,
        1 => PeerState::Following,
        2 => PeerState::Leading,
        3 => PeerState::Observing,
        _ => return Err(Broken),
    };
    let leader = body.get_i64();
    let zxid = body.get_i64();
    let round = body.get_i64();
    let epoch = body.get_i64();
    let version = body.get_i32();
    let _len = body.get_i32();
    Ok(Notification {
        state,
        leader: (leader >= 0).then_some(ServerId(leader as u64)),
        zxid: Zxid::from_wire(zxid),
        round,
        peer_epoch: (epoch >= 0).then_some(Epoch(epoch as u32)),
        version,
        config: Some(body),
    })
}

#[derive(Debug, Default)]
pub(super) struct VoteBuffer(BytesMut);

impl VoteBuffer {
    pub(super) fn new() -> Self {
        Self::default()
    }
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.0.extend_from_slice(&chunk);
    }
    pub(super) fn next_initial(&mut self) -> Result<Option<InitialMessage>, Broken> {
        if self.0.len() < 20 {
            return Ok(None);
        }
        let len = (&self.0[16..]).get_i32();
        if !(1..=2048).contains(&len) {
            return Err(Broken);
        }
        if self.0.len() < 20 + len as usize {
            return Ok(None);
        }
        let mut head = self.0.split_to(20 + len as usize);
        head.advance(8);
        Ok(Some(InitialMessage {
            from: ServerId(head.get_u64()),
            address: alloc::string::String::from_utf8_lossy(&head[4..]).into_owned(),
        }))
    }
    pub(super) fn next_message(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.0.len() < 4 {
            return Ok(None);
        }
        let len = (&self.0[..]).get_i32();
        if !(1..=524_288).contains(&len) {
            return Err(Broken);
        }
        if self.0.len() < 4 + len as usize {
            return Ok(None);
        }
        Ok(Some(self.0.split_to(4 + len as usize).freeze().slice(4..)))
    }
}
