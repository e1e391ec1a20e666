//! Election port: the initial message and notifications. Facts: PROTOCOL 3.1, 3.2.
//! Apache: `QuorumCnxManager.InitialMessage`, `FastLeaderElection.Notification`.

use alloc::string::String;

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{Epoch, ServerId, Zxid};
use crate::wire::frame::put_frame;
use crate::wire::jute::{JuteError, JuteWrite, Reader};

/// Longest address in an initial message.
pub const MAX_ADDRESS: usize = 2048;
/// Longest framed message behind it (T38).
pub const MAX_MESSAGE: usize = 524_288;

const PROTOCOL_V1: i64 = -65_536;
const PROTOCOL_V2: i64 = -65_535;
/// What a server writes that cannot vote.
const NO_VOTE: i64 = i64::MIN;
/// The version that 3.5 and later write; above 1 a config follows.
const VERSION: i32 = 2;

/// State of the sender of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    Looking,
    Following,
    Leading,
    Observing,
}

/// First bytes that the initiator of an election connection writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMessage {
    pub from: ServerId,
    /// "host:port" of the sender's election address; several in the V2 form, first one kept.
    pub address: String,
}

/// One notification, decoded from a length-prefixed message (len 1..524288).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub state: PeerState,
    /// `None`: the sender cannot vote (Long.MIN_VALUE on the wire).
    pub leader: Option<ServerId>,
    /// `None` (wire -1 or Long.MIN_VALUE): a blank server or a non-voter.
    pub zxid: Option<Zxid>,
    pub round: i64,
    /// `None` for Long.MIN_VALUE / negative.
    pub peer_epoch: Option<Epoch>,
    /// 0 in old forms; 2 is written.
    pub version: i32,
    /// Text of the sender's quorum verifier; null or absent is `None`.
    pub config: Option<Bytes>,
}

impl PeerState {
    pub const fn to_wire(self) -> i32 {
        match self {
            Self::Looking => 0,
            Self::Following => 1,
            Self::Leading => 2,
            Self::Observing => 3,
        }
    }

    pub const fn from_wire(raw: i32) -> Option<Self> {
        match raw {
            0 => Some(Self::Looking),
            1 => Some(Self::Following),
            2 => Some(Self::Leading),
            3 => Some(Self::Observing),
            _ => None,
        }
    }
}

impl InitialMessage {
    /// Appends the V1 form. Addresses longer than [`MAX_ADDRESS`] are refused by every receiver.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_i64(PROTOCOL_V1);
        out.put_u64(self.from.0);
        out.put_ustring(&self.address);
    }

    /// Decodes V1, V2, and the form before 3.5 whose first long is the id and all there is.
    pub fn decode(bytes: Bytes) -> Result<Self, JuteError> {
        let mut reader = Reader::new(bytes);
        let first = reader.i64()?;
        if first >= 0 {
            reader.finish()?;
            return Ok(Self { from: ServerId(first.cast_unsigned()), address: String::new() });
        }
        if !matches!(first, PROTOCOL_V1 | PROTOCOL_V2) {
            return Err(JuteError::BadValue(first as i32));
        }
        let id = reader.i64()?;
        let from = u64::try_from(id).map_err(|_| JuteError::BadValue(id as i32))?;
        let address = reader.buffer()?.ok_or(JuteError::BadLength(-1))?;
        reader.finish()?;
        if address.is_empty() || address.len() > MAX_ADDRESS {
            return Err(JuteError::BadLength(address.len() as i32));
        }
        let address = String::from_utf8_lossy(&address);
        let first = address.split('|').next().unwrap_or_default();
        Ok(Self { from: ServerId(from), address: first.into() })
    }
}

impl Notification {
    /// Appends the message behind its length, as 3.9.5 writes it: always version 2.
    pub fn encode(&self, out: &mut BytesMut) {
        let no_zxid = if self.leader.is_none() { NO_VOTE } else { -1 };
        put_frame(out, |out| {
            out.put_i32(self.state.to_wire());
            out.put_i64(self.leader.map_or(NO_VOTE, |leader| leader.0.cast_signed()));
            out.put_i64(self.zxid.map_or(no_zxid, Zxid::to_wire));
            out.put_i64(self.round);
            out.put_i64(self.peer_epoch.map_or(NO_VOTE, |epoch| i64::from(epoch.0)));
            out.put_i32(VERSION);
            out.put_buffer(Some(self.config.as_deref().unwrap_or_default()));
        });
    }

    /// Decodes a message that came without its length: today's form and those of 28 and 40 bytes.
    pub fn decode(message: Bytes) -> Result<Self, JuteError> {
        let size = message.len();
        let mut reader = Reader::new(message);
        let raw = reader.i32()?;
        let state = PeerState::from_wire(raw).ok_or(JuteError::BadValue(raw))?;
        let leader = u64::try_from(reader.i64()?).ok().map(ServerId);
        let zxid = Zxid::from_wire(reader.i64()?);
        let round = reader.i64()?;
        let mut found = Self {
            state,
            leader,
            zxid,
            round,
            peer_epoch: zxid.map(Zxid::epoch),
            version: 0,
            config: None,
        };
        if size == 28 {
            return Ok(found);
        }
        found.peer_epoch = peer_epoch(reader.i64()?)?;
        // The int at offset 36 of the 40-byte form is not a version that means anything.
        let version = reader.i32()?;
        if size == 40 {
            return Ok(found);
        }
        found.version = version;
        if version > 1 {
            let config = reader.buffer()?.ok_or(JuteError::BadLength(-1))?;
            found.config = Some(config).filter(|config| !config.is_empty());
        }
        Ok(found)
    }
}

fn peer_epoch(raw: i64) -> Result<Option<Epoch>, JuteError> {
    if raw < 0 {
        return Ok(None);
    }
    u32::try_from(raw).map(|epoch| Some(Epoch(epoch))).map_err(|_| JuteError::BadValue(raw as i32))
}

#[cfg(test)]
mod tests;
