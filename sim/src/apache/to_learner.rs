//! A link to one learner, as an Apache leader would use it. Apache: `LearnerHandler`.

use bytes::{Bytes, BytesMut};
use vivarium_core::config::Config;
use vivarium_core::ids::{Epoch, ServerId, Zxid};

use crate::apache::Fact;
use crate::apache::body::{self, Body, Scan};
use crate::apache::habits::Habits;
use crate::apache::packet::{
    ACK, COMMIT, FOLLOWERINFO, INFORM, LEADERINFO, NEWLEADER, OBSERVERINFO, PROPOSAL, Packet, SNAP,
    UPTODATE,
};
use crate::rng::SimRng;

/// Protocol version alone.
const PLAIN_LEADERINFO: usize = 4;
/// Server id, protocol version, configuration version.
pub(super) const PLAIN_LEARNERINFO: usize = 20;

/// Transactions that a walk may take in at most.
const FUZZY_MOST: usize = 8;

/// What the leader knows beside the link.
pub(super) struct LeaderCx<'a> {
    pub(super) habits: &'a Habits,
    pub(super) config: &'a Config,
    /// The epoch that this server is established for.
    pub(super) established: Option<Epoch>,
    pub(super) rng: &'a mut SimRng,
    pub(super) facts: &'a mut Vec<Fact>,
}

#[derive(Debug)]
pub(super) struct ToLearner {
    learner: Option<ServerId>,
    /// What the learner sent and is not a whole packet yet.
    heard: BytesMut,
    /// The newest transaction whose ACK was passed on.
    acked: Option<Zxid>,
    /// What the server sent and is not a whole packet yet.
    buffer: BytesMut,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Up to NEWLEADER.
    Handshake,
    /// SNAP to NEWLEADER are held back and changed.
    Snapshot(Held),
    /// Between NEWLEADER and UPTODATE.
    Informed,
    /// UPTODATE is out: nothing differs any more.
    Open,
}

/// SNAP and what followed it.
#[derive(Debug)]
struct Held {
    zxid: Zxid,
    scan: Scan,
    /// The stream, until it is whole.
    raw: BytesMut,
    whole: Option<usize>,
    packets: Vec<Packet>,
}

impl ToLearner {
    pub(super) fn new() -> Self {
        Self {
            learner: None,
            heard: BytesMut::new(),
            acked: None,
            buffer: BytesMut::new(),
            stage: Stage::Handshake,
        }
    }

    /// What the server shall read in place of `bytes`: its own kind is not recognized, and an ACK means
    /// its own zxid alone.
    pub(super) fn inbound(&mut self, bytes: Bytes, cx: &mut LeaderCx<'_>) -> Bytes {
        self.heard.extend_from_slice(&bytes);
        let mut out = BytesMut::new();
        while let Some(mut packet) = Packet::cut(&mut self.heard) {
            if packet.kind == FOLLOWERINFO || packet.kind == OBSERVERINFO {
                let id = packet.data.as_deref().and_then(|data| data.first_chunk::<8>());
                self.learner = id.map(|id| ServerId(u64::from_be_bytes(*id)));
                if cx.habits.plain_greetings && packet.shorten(PLAIN_LEARNERINFO) {
                    cx.facts.push(Fact::Habit("plain_greetings"));
                }
            }
            if packet.kind != ACK || self.counts(packet.zxid) {
                packet.put(&mut out);
            }
        }
        out.freeze()
    }

    /// Whether all that was proposed in front of it is acknowledged too. Otherwise an Apache leader waits
    /// for those ACKs before it commits anything behind them: the learner might as well have sent none.
    fn counts(&mut self, zxid: i64) -> bool {
        let Some(zxid) = Zxid::from_wire(zxid).filter(|zxid| !zxid.is_epoch_start()) else {
            return true;
        };
        let skips = |acked: Zxid| {
            acked.epoch() == zxid.epoch() && acked.counter().saturating_add(1) < zxid.counter()
        };
        if self.acked.is_some_and(skips) {
            return false;
        }
        self.acked = self.acked.max(Some(zxid));
        true
    }

    /// What goes to the learner in place of `bytes`.
    pub(super) fn outbound(&mut self, bytes: Bytes, cx: &mut LeaderCx<'_>) -> Bytes {
        if matches!(self.stage, Stage::Open) {
            return bytes;
        }
        self.buffer.extend_from_slice(&bytes);
        let mut out = BytesMut::new();
        while self.take_one(&mut out, cx) {}
        if matches!(self.stage, Stage::Open) {
            out.extend_from_slice(&self.buffer.split());
        }
        out.freeze()
    }

    /// False while the next packet is not all there.
    fn take_one(&mut self, out: &mut BytesMut, cx: &mut LeaderCx<'_>) -> bool {
        if matches!(self.stage, Stage::Open) {
            return false;
        }
        if let Stage::Snapshot(held) = &mut self.stage
            && held.whole.is_none()
        {
            return held.take_stream(&mut self.buffer);
        }
        let Some(mut packet) = Packet::cut(&mut self.buffer) else { return false };
        match packet.kind {
            LEADERINFO => {
                if cx.habits.plain_greetings {
                    packet.shorten(PLAIN_LEADERINFO);
                }
                packet.put(out);
            }
            SNAP => {
                let zxid = Zxid::from_wire(packet.zxid).unwrap_or_default();
                self.stage = Stage::Snapshot(Held::new(zxid));
            }
            NEWLEADER => {
                let stage = std::mem::replace(&mut self.stage, Stage::Informed);
                if let Stage::Snapshot(held) = stage {
                    held.release(self.learner, packet.zxid, cx, out);
                }
                packet.put(out);
            }
            UPTODATE => {
                packet.put(out);
                self.stage = Stage::Open;
            }
            _ => match &mut self.stage {
                Stage::Snapshot(held) => held.packets.push(packet),
                Stage::Handshake | Stage::Informed | Stage::Open => packet.put(out),
            },
        }
        true
    }
}

impl Held {
    fn new(zxid: Zxid) -> Self {
        let (scan, raw) = (Scan::default(), BytesMut::new());
        Self { zxid, scan, raw, whole: None, packets: Vec::new() }
    }

    fn take_stream(&mut self, buffer: &mut BytesMut) -> bool {
        self.raw.extend_from_slice(&buffer.split());
        self.whole = self.scan.end(&self.raw);
        if let Some(end) = self.whole {
            *buffer = self.raw.split_off(end);
        }
        self.whole.is_some()
    }

    /// What is committed of what follows the snapshot: taken in by the walk, or not.
    fn committed(&self) -> Vec<(Zxid, Bytes)> {
        let commits: Vec<i64> = self
            .packets
            .iter()
            .filter(|packet| packet.kind == COMMIT || packet.kind == INFORM)
            .map(|packet| packet.zxid)
            .collect();
        let proposals = self.packets.iter().filter(|packet| {
            (packet.kind == PROPOSAL || packet.kind == INFORM) && commits.contains(&packet.zxid)
        });
        proposals
            .filter_map(|packet| Some((Zxid::from_wire(packet.zxid)?, packet.data.clone()?)))
            .collect()
    }

    /// A leader has loaded all of its log before it leads, so that no SNAP of it is older than its epoch.
    /// One that is not established yet stands still: what it loaded, committed or not, is what it
    /// sends. Later, forwarding begins at one transaction, SNAP names another, and the walk ends behind
    /// a third (PROTOCOL 3.6, row 6).
    fn release(
        self,
        learner: Option<ServerId>,
        epoch: i64,
        cx: &mut LeaderCx<'_>,
        out: &mut BytesMut,
    ) {
        let txns = self.committed();
        let epoch = Zxid::from_wire(epoch).unwrap_or_default();
        let established = cx.established == Some(epoch.epoch());
        let (mut forwarded, mut named, mut end) = (txns.len(), txns.len(), txns.len());
        if established {
            let loaded = txns.partition_point(|(zxid, _)| *zxid < epoch);
            (forwarded, named, end) = (loaded, loaded, loaded);
            if cx.habits.fuzzy_snap {
                let most = txns.len().min(loaded + FUZZY_MOST) as u64;
                let loaded = loaded as u64;
                named = cx.rng.range(loaded, most) as usize;
                end = cx.rng.range(named as u64, most) as usize;
                forwarded = cx.rng.range(loaded, named as u64) as usize;
            }
        }
        let states = Body::parse(&self.raw.clone().freeze())
            .and_then(|body| body.states(self.zxid, cx.config, &txns[..end]));
        let Some(states) = states else { return self.release_as_it_came(out) };
        let zxid_at = |place: usize| match place.checked_sub(1) {
            None => self.zxid,
            Some(place) => txns[place].0,
        };
        let mut zxid = zxid_at(named);
        let next = txns.get(named).map(|(zxid, _)| *zxid);
        if cx.habits.epoch_zxids
            && established
            && zxid < epoch
            && next.is_none_or(|next| next > epoch)
            && self
                .packets
                .iter()
                .all(|packet| packet.zxid <= zxid.to_wire() || packet.zxid > epoch.to_wire())
        {
            zxid = epoch;
            cx.facts.push(Fact::Habit("epoch_zxids"));
        }
        if forwarded < named {
            cx.facts.push(Fact::Habit("snap_repeats"));
        }
        if named < end {
            cx.facts.push(Fact::Habit("fuzzy_snap"));
        }
        if let Some(learner) = learner {
            let end = zxid_at(end);
            cx.facts.push(Fact::Snap { learner, base: zxid, end });
        }
        Packet::new(SNAP, zxid.to_wire(), None).put(out);
        out.extend_from_slice(&body::fuzzy(&states[named..], cx.rng).body);
        body::put_signature(out);
        let behind = zxid_at(forwarded).to_wire();
        for packet in self.packets.iter().filter(|packet| packet.zxid > behind) {
            packet.put(out);
        }
    }

    fn release_as_it_came(self, out: &mut BytesMut) {
        Packet::new(SNAP, self.zxid.to_wire(), None).put(out);
        out.extend_from_slice(&self.raw);
        self.packets.iter().for_each(|packet| packet.put(out));
    }
}
