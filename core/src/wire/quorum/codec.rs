//! Quorum packets to bytes and back. Apache: `QuorumPacket`, `LearnerInfo`, `LearnerHandler`.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    ForwardedRequest, LeaderPacket, LearnerInfo, LearnerPacket, PacketError, Touch, VivariumInfo,
};
use crate::acl::Id;
use crate::ids::{Epoch, ServerId, SessionId, Zxid};
use crate::wire::frame::put_frame;
use crate::wire::jute::{JuteError, JuteWrite, Reader};

macro_rules! kinds {
    ($($name:ident = $value:literal,)*) => {
        $(const $name: i32 = $value;)*

        fn name_of(kind: i32) -> &'static str {
            match kind { $($name => stringify!($name),)* _ => "unknown" }
        }
    };
}

kinds! {
    REQUEST = 1,
    PROPOSAL = 2,
    ACK = 3,
    COMMIT = 4,
    PING = 5,
    REVALIDATE = 6,
    SYNC = 7,
    INFORM = 8,
    COMMITANDACTIVATE = 9,
    NEWLEADER = 10,
    FOLLOWERINFO = 11,
    UPTODATE = 12,
    DIFF = 13,
    TRUNC = 14,
    SNAP = 15,
    OBSERVERINFO = 16,
    LEADERINFO = 17,
    ACKEPOCH = 18,
    INFORMANDACTIVATE = 19,
}

/// `VIVA`: what follows is from a Vivarium server. 3.9.5 does not look that far.
const MAGIC: i32 = 0x5649_5641;
const FLAG_BLANK: i32 = 1;
const FLAG_UNCUTTABLE: i32 = 2;
/// In the data of SNAP, which 3.9.5 leaves null and does not read.
const FLAG_FUZZY: i32 = 1;
/// ZAB 1.0, the only protocol since ZooKeeper 3.4.
const PROTOCOL: i32 = 0x10000;
const NONE: i64 = -1;

/// The record that every packet is.
struct Raw {
    kind: i32,
    zxid: i64,
    data: Option<Bytes>,
    authinfo: Option<Vec<Id>>,
}

impl Raw {
    fn decode(packet: Bytes) -> Result<Self, PacketError> {
        let mut reader = Reader::new(packet);
        let kind = reader.i32().map_err(|error| malformed(0, error))?;
        Self::behind_kind(kind, reader).map_err(|error| malformed(kind, error))
    }

    fn behind_kind(kind: i32, mut reader: Reader) -> Result<Self, JuteError> {
        let zxid = reader.i64()?;
        let data = reader.buffer()?;
        let authinfo = reader.vector(8, Reader::id)?;
        reader.finish()?;
        Ok(Self { kind, zxid, data, authinfo })
    }

    fn zxid(&self) -> Result<Zxid, JuteError> {
        Zxid::from_wire(self.zxid).ok_or(JuteError::BadValue((self.zxid >> 32) as i32))
    }

    fn epoch(&self) -> Result<Epoch, JuteError> {
        self.zxid().map(Zxid::epoch)
    }

    fn data(self) -> Result<Bytes, JuteError> {
        self.data.ok_or(JuteError::BadLength(-1))
    }
}

fn malformed(kind: i32, error: JuteError) -> PacketError {
    PacketError::Malformed { name: name_of(kind), error }
}

pub(super) fn decode_learner(packet: Bytes) -> Result<LearnerPacket, PacketError> {
    let raw = Raw::decode(packet)?;
    let kind = raw.kind;
    match kind {
        FOLLOWERINFO => learner_info(&raw)
            .map(|(accepted, info)| LearnerPacket::FollowerInfo { accepted, info }),
        OBSERVERINFO => learner_info(&raw)
            .map(|(accepted, info)| LearnerPacket::ObserverInfo { accepted, info }),
        ACKEPOCH => ack_epoch(raw),
        ACK => raw.zxid().map(|zxid| LearnerPacket::Ack { zxid }),
        PING => touches(raw),
        REVALIDATE => revalidate(raw),
        REQUEST => forwarded(raw).map(LearnerPacket::Request),
        _ => return Err(PacketError::UnknownType { kind, name: name_of(kind) }),
    }
    .map_err(|error| malformed(kind, error))
}

fn learner_info(raw: &Raw) -> Result<(Epoch, LearnerInfo), JuteError> {
    let accepted = raw.epoch()?;
    // What a peer of the first versions means that says nothing of itself.
    let mut info =
        LearnerInfo { server: None, protocol_version: 1, config_version: 0, vivarium: None };
    let Some(data) = &raw.data else { return Ok((accepted, info)) };
    let mut reader = Reader::new(data.clone());
    // A negative id is no id: the leader counts a private one, as it does for null.
    info.server = u64::try_from(reader.i64()?).ok().map(ServerId);
    if reader.remaining() >= 4 {
        info.protocol_version = reader.i32()?;
    }
    if reader.remaining() >= 8 {
        info.config_version = reader.i64()?;
        info.vivarium = vivarium(&mut reader)?;
    }
    Ok((accepted, info))
}

fn vivarium(reader: &mut Reader) -> Result<Option<VivariumInfo>, JuteError> {
    if reader.remaining() < 8 || reader.i32()? != MAGIC {
        return Ok(None);
    }
    let flags = reader.i32()?;
    let has = |flag| flags & flag != 0;
    Ok(Some(VivariumInfo { blank: has(FLAG_BLANK), uncuttable: has(FLAG_UNCUTTABLE) }))
}

fn ack_epoch(raw: Raw) -> Result<LearnerPacket, JuteError> {
    let last_logged = if raw.zxid == NONE { None } else { Some(raw.zxid()?) };
    let epoch = Reader::new(raw.data()?).i32()?;
    let current = match epoch {
        -1 => None,
        _ => Some(Epoch(u32::try_from(epoch).map_err(|_| JuteError::BadValue(epoch))?)),
    };
    Ok(LearnerPacket::AckEpoch { last_logged, current })
}

fn touches(raw: Raw) -> Result<LearnerPacket, JuteError> {
    let zxid = raw.zxid;
    let mut reader = Reader::new(raw.data.unwrap_or_default());
    let mut touched = Vec::with_capacity(reader.remaining() / 12);
    while reader.remaining() > 0 {
        touched.push(Touch { session: SessionId(reader.i64()?), timeout_ms: reader.i32()? });
    }
    Ok(LearnerPacket::Ping { zxid, touched })
}

fn revalidate(raw: Raw) -> Result<LearnerPacket, JuteError> {
    let mut reader = Reader::new(raw.data()?);
    Ok(LearnerPacket::Revalidate { session: SessionId(reader.i64()?), timeout_ms: reader.i32()? })
}

fn forwarded(mut raw: Raw) -> Result<ForwardedRequest, JuteError> {
    let authinfo = raw.authinfo.take().unwrap_or_default();
    let mut reader = Reader::new(raw.data()?);
    Ok(ForwardedRequest {
        session: SessionId(reader.i64()?),
        cxid: reader.i32()?,
        op: reader.i32()?,
        payload: reader.into_rest(),
        authinfo,
    })
}

pub(super) fn decode_leader(packet: Bytes) -> Result<LeaderPacket, PacketError> {
    let raw = Raw::decode(packet)?;
    let kind = raw.kind;
    match kind {
        LEADERINFO => leader_info(raw),
        NEWLEADER => raw.epoch().map(|epoch| LeaderPacket::NewLeader { epoch, config: raw.data }),
        DIFF => raw.zxid().map(|upto| LeaderPacket::Diff { upto }),
        TRUNC => raw.zxid().map(|upto| LeaderPacket::Trunc { upto }),
        SNAP => snap(&raw),
        PROPOSAL => payload(raw).map(|(zxid, payload)| LeaderPacket::Proposal { zxid, payload }),
        COMMIT => raw.zxid().map(|zxid| LeaderPacket::Commit { zxid }),
        COMMITANDACTIVATE => designated(raw)
            .map(|(zxid, designated, _)| LeaderPacket::CommitAndActivate { zxid, designated }),
        INFORM => payload(raw).map(|(zxid, payload)| LeaderPacket::Inform { zxid, payload }),
        INFORMANDACTIVATE => designated(raw).map(|(zxid, designated, payload)| {
            LeaderPacket::InformAndActivate { zxid, designated, payload }
        }),
        UPTODATE => Ok(LeaderPacket::UpToDate),
        PING => Ok(LeaderPacket::Ping { zxid: raw.zxid }),
        REVALIDATE => revalidated(raw),
        SYNC => Ok(LeaderPacket::Sync),
        _ => return Err(PacketError::UnknownType { kind, name: name_of(kind) }),
    }
    .map_err(|error| malformed(kind, error))
}

fn leader_info(raw: Raw) -> Result<LeaderPacket, JuteError> {
    let epoch = raw.epoch()?;
    let mut reader = Reader::new(raw.data()?);
    let protocol = reader.i32()?;
    if protocol < PROTOCOL {
        return Err(JuteError::BadValue(protocol));
    }
    Ok(LeaderPacket::LeaderInfo { epoch, vivarium: vivarium(&mut reader)?.is_some() })
}

fn snap(raw: &Raw) -> Result<LeaderPacket, JuteError> {
    let zxid = raw.zxid()?;
    let mut reader = Reader::new(raw.data.clone().unwrap_or_default());
    let flagged = reader.remaining() >= 8 && reader.i32()? == MAGIC;
    let fuzzy = flagged && reader.i32()? & FLAG_FUZZY != 0;
    Ok(LeaderPacket::Snap { zxid, fuzzy })
}

fn payload(raw: Raw) -> Result<(Zxid, Bytes), JuteError> {
    Ok((raw.zxid()?, raw.data()?))
}

fn designated(raw: Raw) -> Result<(Zxid, ServerId, Bytes), JuteError> {
    let zxid = raw.zxid()?;
    let mut reader = Reader::new(raw.data()?);
    let id = reader.i64()?;
    let server = u64::try_from(id).map_err(|_| JuteError::BadValue(id as i32))?;
    Ok((zxid, ServerId(server), reader.into_rest()))
}

fn revalidated(raw: Raw) -> Result<LeaderPacket, JuteError> {
    let mut reader = Reader::new(raw.data()?);
    Ok(LeaderPacket::Revalidate { session: SessionId(reader.i64()?), valid: reader.bool()? })
}

pub(super) fn encode_learner(packet: &LearnerPacket, out: &mut BytesMut) {
    match packet {
        LearnerPacket::FollowerInfo { accepted, info } => {
            put_learner_info(FOLLOWERINFO, *accepted, info, out);
        }
        LearnerPacket::ObserverInfo { accepted, info } => {
            put_learner_info(OBSERVERINFO, *accepted, info, out);
        }
        LearnerPacket::AckEpoch { last_logged, current } => {
            let zxid = last_logged.map_or(NONE, Zxid::to_wire);
            let epoch = current.map_or(-1, |epoch| epoch.0.cast_signed());
            put_packet(out, ACKEPOCH, zxid, |out| out.put_i32(epoch));
        }
        LearnerPacket::Ack { zxid } => put_bare(out, ACK, zxid.to_wire()),
        LearnerPacket::Ping { zxid, touched } => put_packet(out, PING, *zxid, |out| {
            for touch in touched {
                out.put_i64(touch.session.0);
                out.put_i32(touch.timeout_ms);
            }
        }),
        LearnerPacket::Revalidate { session, timeout_ms } => {
            put_packet(out, REVALIDATE, NONE, |out| {
                out.put_i64(session.0);
                out.put_i32(*timeout_ms);
            });
        }
        LearnerPacket::Request(request) => put_forwarded(request, out),
    }
}

fn put_learner_info(kind: i32, accepted: Epoch, info: &LearnerInfo, out: &mut BytesMut) {
    let zxid = Zxid::new(accepted, 0).to_wire();
    let Some(server) = info.server else { return put_bare(out, kind, zxid) };
    put_packet(out, kind, zxid, |out| {
        out.put_u64(server.0);
        out.put_i32(info.protocol_version);
        out.put_i64(info.config_version);
        if let Some(vivarium) = info.vivarium {
            put_vivarium(vivarium, out);
        }
    });
}

fn put_vivarium(info: VivariumInfo, out: &mut BytesMut) {
    out.put_i32(MAGIC);
    let flag = |on, flag| if on { flag } else { 0 };
    out.put_i32(flag(info.blank, FLAG_BLANK) | flag(info.uncuttable, FLAG_UNCUTTABLE));
}

fn put_forwarded(request: &ForwardedRequest, out: &mut BytesMut) {
    out.put_i32(REQUEST);
    out.put_i64(NONE);
    put_frame(out, |out| {
        out.put_i64(request.session.0);
        out.put_i32(request.cxid);
        out.put_i32(request.op);
        out.put_slice(&request.payload);
    });
    out.put_vector(Some(&request.authinfo), |out, id| out.put_id(id));
}

pub(super) fn encode_leader(packet: &LeaderPacket, out: &mut BytesMut) {
    match packet {
        LeaderPacket::LeaderInfo { epoch, vivarium } => {
            put_packet(out, LEADERINFO, Zxid::new(*epoch, 0).to_wire(), |out| {
                out.put_i32(PROTOCOL);
                if *vivarium {
                    put_vivarium(VivariumInfo::default(), out);
                }
            });
        }
        LeaderPacket::NewLeader { epoch, config } => {
            let zxid = Zxid::new(*epoch, 0).to_wire();
            match config {
                Some(config) => put_packet(out, NEWLEADER, zxid, |out| out.put_slice(config)),
                None => put_bare(out, NEWLEADER, zxid),
            }
        }
        LeaderPacket::Diff { upto } => put_bare(out, DIFF, upto.to_wire()),
        LeaderPacket::Trunc { upto } => put_bare(out, TRUNC, upto.to_wire()),
        LeaderPacket::Snap { zxid, fuzzy: false } => put_bare(out, SNAP, zxid.to_wire()),
        LeaderPacket::Snap { zxid, fuzzy: true } => {
            put_packet(out, SNAP, zxid.to_wire(), |out| {
                out.put_i32(MAGIC);
                out.put_i32(FLAG_FUZZY);
            });
        }
        LeaderPacket::Proposal { zxid, payload } => {
            put_packet(out, PROPOSAL, zxid.to_wire(), |out| out.put_slice(payload));
        }
        LeaderPacket::Commit { zxid } => put_bare(out, COMMIT, zxid.to_wire()),
        LeaderPacket::CommitAndActivate { zxid, designated } => {
            put_packet(out, COMMITANDACTIVATE, zxid.to_wire(), |out| out.put_u64(designated.0));
        }
        LeaderPacket::Inform { zxid, payload } => {
            put_packet(out, INFORM, zxid.to_wire(), |out| out.put_slice(payload));
        }
        LeaderPacket::InformAndActivate { zxid, designated, payload } => {
            put_packet(out, INFORMANDACTIVATE, zxid.to_wire(), |out| {
                out.put_u64(designated.0);
                out.put_slice(payload);
            });
        }
        LeaderPacket::UpToDate => put_bare(out, UPTODATE, NONE),
        LeaderPacket::Ping { zxid } => put_bare(out, PING, *zxid),
        LeaderPacket::Revalidate { session, valid } => put_packet(out, REVALIDATE, NONE, |out| {
            out.put_i64(session.0);
            out.put_bool(*valid);
        }),
        LeaderPacket::Sync => put_bare(out, SYNC, 0),
    }
}

/// A packet with data; its authinfo is null.
fn put_packet(out: &mut BytesMut, kind: i32, zxid: i64, data: impl FnOnce(&mut BytesMut)) {
    out.put_i32(kind);
    out.put_i64(zxid);
    put_frame(out, data);
    out.put_i32(-1);
}

/// A packet whose data and authinfo are null.
fn put_bare(out: &mut BytesMut, kind: i32, zxid: i64) {
    out.put_i32(kind);
    out.put_i64(zxid);
    out.put_i32(-1);
    out.put_i32(-1);
}
