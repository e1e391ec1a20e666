//! The link to the leader, as an Apache learner would use it. Apache: `Learner`.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use vivarium_core::ids::{ServerId, Zxid};

use crate::apache::Fact;
use crate::apache::body::Scan;
use crate::apache::habits::Habits;
use crate::apache::packet::{
    ACKEPOCH, COMMIT, DIFF, FOLLOWERINFO, INFORM, LEADERINFO, NEWLEADER, OBSERVERINFO, PROPOSAL,
    Packet, SNAP, TRUNC, UPTODATE,
};
use crate::apache::to_learner::PLAIN_LEARNERINFO;

const PLAIN_LEADERINFO: usize = 4;

#[derive(Debug)]
pub(super) struct ToLeader {
    pub(super) leader: ServerId,
    /// What the server sent, while packets of it are looked at.
    greeting: Option<BytesMut>,
    buffer: BytesMut,
    stage: Stage,
    /// zxid of LEADERINFO.
    epoch: i64,
    seat: Seat,
    /// What the newest TRUNC cuts to.
    cut: Zxid,
}

/// How far the leader has come.
#[derive(Debug)]
enum Stage {
    /// Proposals wait for their COMMIT, where the habit is on.
    Syncing(VecDeque<Packet>),
    /// The stream of a SNAP; so many bytes of it were passed on.
    Stream { scan: Scan, raw: BytesMut, passed: usize },
    /// NEWLEADER has come: what is proposed and committed waits for UPTODATE.
    Informed(VecDeque<Packet>),
    /// Nothing differs any more.
    Open,
}

/// Whether there is a server at this end: a TRUNC rebuilds it from its disk, and Apache's process would
/// not notice. In between this link answers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    Taken,
    /// TRUNC was passed on: the server cuts its log, and ends.
    Cutting,
    /// The next server has not dialled yet.
    Empty,
    /// It has, and introduces itself.
    Greeting,
    /// It was told of the epoch that it accepted before.
    Promising,
}

impl ToLeader {
    pub(super) fn new(leader: ServerId) -> Self {
        Self {
            leader,
            greeting: Some(BytesMut::new()),
            buffer: BytesMut::new(),
            stage: Stage::Syncing(VecDeque::new()),
            epoch: 0,
            seat: Seat::Taken,
            cut: Zxid::ZERO,
        }
    }

    /// The server ended; true where the link waits for the next one.
    pub(super) fn server_ended(&mut self) -> bool {
        if self.seat == Seat::Cutting {
            self.seat = Seat::Empty;
        }
        self.seat == Seat::Empty
    }

    pub(super) fn is_cutting(&self) -> bool {
        self.seat == Seat::Cutting
    }

    pub(super) fn is_empty_seat(&self) -> bool {
        self.seat == Seat::Empty
    }

    /// Where the history has to end of the server that is rebuilt.
    pub(super) fn cut(&self) -> Zxid {
        self.cut
    }

    /// The next server dialled this leader, and finds the link open.
    pub(super) fn take_seat(&mut self) {
        self.seat = Seat::Greeting;
        self.greeting = Some(BytesMut::new());
    }

    /// What goes to the leader in place of `bytes`, and what the server is told in return. `Err` where
    /// this link is of no use to it.
    pub(super) fn outbound(
        &mut self,
        bytes: Bytes,
        habits: &Habits,
        facts: &mut Vec<Fact>,
    ) -> Result<(Bytes, Bytes), ()> {
        let Some(greeting) = &mut self.greeting else { return Ok((bytes, Bytes::new())) };
        greeting.extend_from_slice(&bytes);
        let (mut out, mut back) = (BytesMut::new(), BytesMut::new());
        while let Some(mut packet) = self.greeting.as_mut().and_then(Packet::cut) {
            match (self.seat, packet.kind) {
                (Seat::Greeting, FOLLOWERINFO | OBSERVERINFO) => {
                    let version = Bytes::from_static(&[0, 1, 0, 0]);
                    Packet::new(LEADERINFO, self.epoch, Some(version)).put(&mut back);
                    self.seat = Seat::Promising;
                }
                (Seat::Promising, ACKEPOCH) if packet.zxid >= 0 => {
                    // All that it kept is committed: the leader named it in TRUNC.
                    Packet::new(DIFF, packet.zxid, None).put(&mut back);
                    self.seat = Seat::Taken;
                    facts.push(Fact::Habit("truncates_in_place"));
                    self.end_greeting(&mut out);
                    let waiting = self.inbound(Bytes::new(), habits, facts);
                    back.put_slice(&waiting);
                    break;
                }
                (Seat::Taken, FOLLOWERINFO | OBSERVERINFO) => {
                    if habits.plain_greetings && packet.shorten(PLAIN_LEARNERINFO) {
                        facts.push(Fact::Habit("plain_greetings"));
                    }
                    packet.put(&mut out);
                    self.end_greeting(&mut out);
                    break;
                }
                _ => return Err(()),
            }
        }
        Ok((out.freeze(), back.freeze()))
    }

    fn end_greeting(&mut self, out: &mut BytesMut) {
        if let Some(rest) = self.greeting.take() {
            out.put_slice(&rest);
        }
    }

    /// What the server shall read in place of `bytes`.
    pub(super) fn inbound(
        &mut self,
        bytes: Bytes,
        habits: &Habits,
        facts: &mut Vec<Fact>,
    ) -> Bytes {
        if matches!(self.stage, Stage::Open) && self.buffer.is_empty() {
            return bytes;
        }
        self.buffer.extend_from_slice(&bytes);
        let mut out = BytesMut::new();
        while self.seat == Seat::Taken && self.take_one(&mut out, habits, facts) {}
        out.freeze()
    }

    /// False while the next packet is not all there.
    fn take_one(&mut self, out: &mut BytesMut, habits: &Habits, facts: &mut Vec<Fact>) -> bool {
        match &mut self.stage {
            Stage::Open => {
                out.put_slice(&self.buffer.split());
                false
            }
            Stage::Stream { scan, raw, passed } => {
                raw.extend_from_slice(&self.buffer.split());
                let end = scan.end(raw);
                let upto = end.unwrap_or(raw.len());
                out.put_slice(&raw[*passed..upto]);
                *passed = upto;
                if let Some(end) = end {
                    self.buffer = raw.split_off(end);
                    self.stage = Stage::Syncing(VecDeque::new());
                }
                end.is_some()
            }
            Stage::Syncing(_) | Stage::Informed(_) => {
                let Some(packet) = Packet::cut(&mut self.buffer) else { return false };
                self.on_packet(packet, out, habits, facts);
                true
            }
        }
    }

    fn on_packet(
        &mut self,
        mut packet: Packet,
        out: &mut BytesMut,
        habits: &Habits,
        facts: &mut Vec<Fact>,
    ) {
        let waits = matches!(packet.kind, PROPOSAL | COMMIT | INFORM) && habits.late_logging;
        match (&mut self.stage, packet.kind) {
            (_, LEADERINFO) => {
                self.epoch = packet.zxid;
                if habits.plain_greetings {
                    packet.shorten(PLAIN_LEADERINFO);
                }
                packet.put(out);
            }
            (_, SNAP) => {
                packet.put(out);
                let (scan, raw) = (Scan::default(), BytesMut::new());
                self.stage = Stage::Stream { scan, raw, passed: 0 };
            }
            (_, TRUNC) if habits.truncates_in_place => {
                self.cut = Zxid::from_wire(packet.zxid).unwrap_or_default();
                packet.put(out);
                self.seat = Seat::Cutting;
            }
            (Stage::Syncing(waiting), PROPOSAL) if waits => waiting.push_back(packet),
            (Stage::Syncing(waiting), COMMIT) if waits => {
                while waiting.front().is_some_and(|proposal| proposal.zxid <= packet.zxid) {
                    waiting.pop_front().expect("looked at just now").put(out);
                }
                packet.put(out);
            }
            (Stage::Syncing(waiting), NEWLEADER) => {
                if !waiting.is_empty() {
                    facts.push(Fact::Habit("late_logging"));
                }
                let waiting = std::mem::take(waiting);
                packet.put(out);
                self.stage = Stage::Informed(waiting);
            }
            (Stage::Informed(waiting), PROPOSAL | COMMIT | INFORM) if waits => {
                waiting.push_back(packet);
            }
            (Stage::Informed(waiting), UPTODATE) => {
                packet.put(out);
                waiting.iter().for_each(|packet| packet.put(out));
                self.stage = Stage::Open;
            }
            (Stage::Syncing(_) | Stage::Informed(_) | Stage::Stream { .. } | Stage::Open, _) => {
                packet.put(out);
            }
        }
    }
}
