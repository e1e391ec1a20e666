//! What is under way on connections.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use vivarium_core::ids::Zxid;
use vivarium_core::server::input::Plane;

use super::event::{EventId, Message};
use super::packets::{Asked, Stream};
use crate::ids::NodeId;
use crate::net::EndId;

#[derive(Debug, Default)]
pub(super) struct Links {
    known: BTreeMap<u64, Link>,
}

#[derive(Debug)]
struct Link {
    plane: Plane,
    /// The one that dialled, and the one that accepted: the lowest bit of an end's number.
    sides: [Side; 2],
    asked: Asked,
    opened: EventId,
    /// The newest end of one of the sides.
    closed: Option<EventId>,
}

#[derive(Debug)]
struct Side {
    node: NodeId,
    /// What this side sends.
    stream: Stream,
    /// How much of it the other process has got.
    received: u64,
    /// Ends of sends that have not been received whole.
    sends: VecDeque<(u64, EventId)>,
    /// Ends and places of messages that have not.
    messages: VecDeque<(u64, usize)>,
}

/// A message that a send completes, and where in the stream it ends.
pub(super) struct Completed {
    pub(super) message: Message,
    pub(super) zxid: Option<Zxid>,
    end: u64,
}

fn side(end: EndId) -> usize {
    (end.0 & 1) as usize
}

impl Links {
    fn of(&mut self, end: EndId) -> Option<&mut Link> {
        self.known.get_mut(&(end.0 >> 1))
    }

    /// When the other side's process got this connection.
    pub(super) fn opened_at(&mut self, end: EndId) -> Option<EventId> {
        self.of(end).map(|link| link.opened)
    }

    pub(super) fn open(
        &mut self,
        end: EndId,
        plane: Plane,
        dialler: NodeId,
        acceptor: NodeId,
        by: EventId,
    ) {
        let side = |node, dialled| Side {
            node,
            stream: Stream::new(plane, dialled),
            received: 0,
            sends: VecDeque::new(),
            messages: VecDeque::new(),
        };
        self.known.entry(end.0 >> 1).or_insert_with(|| Link {
            plane,
            sides: [side(dialler, true), side(acceptor, false)],
            asked: Asked::new(),
            opened: by,
            closed: None,
        });
    }

    /// The offset behind `bytes`, and the messages that end in them. `None`: there is no such
    /// connection any more.
    pub(super) fn send(
        &mut self,
        end: EndId,
        bytes: &Bytes,
        by: EventId,
    ) -> Option<(u64, Vec<Completed>)> {
        let link = self.of(end)?;
        let (plane, near, far) = (link.plane, side(end), side(end) ^ 1);
        let to = link.sides[far].node;
        let sender = &mut link.sides[near];
        let packets = sender.stream.push(bytes.clone(), &mut link.asked);
        let upto = sender.stream.pushed;
        sender.sends.push_back((upto, by));
        let from = sender.node;
        let complete = |packet: super::packets::Packet| Completed {
            zxid: packet.zxid,
            end: packet.end,
            message: Message {
                plane,
                from,
                to,
                name: packet.name,
                text: packet.text,
                zxid: packet.zxid,
                sent: by,
                received: None,
            },
        };
        Some((upto, packets.into_iter().map(complete).collect()))
    }

    /// `messages` have the places from `first` on.
    pub(super) fn under_way(&mut self, end: EndId, messages: &[Completed], first: usize) {
        let Some(link) = self.of(end) else { return };
        let ends = messages.iter().map(|message| message.end);
        link.sides[side(end)].messages.extend(ends.zip(first..));
    }

    /// `bytes` more reach the process at `end`: the offset behind them, the places of the messages
    /// that are whole now, and the sends that the bytes were part of.
    pub(super) fn receive(&mut self, end: EndId, bytes: u64) -> (u64, Vec<usize>, Vec<EventId>) {
        let Some(link) = self.of(end) else { return (bytes, Vec::new(), Vec::new()) };
        let sender = &mut link.sides[side(end) ^ 1];
        sender.received += bytes;
        let (upto, mut messages, mut sends) = (sender.received, Vec::new(), Vec::new());
        while let Some((_, place)) = sender.messages.pop_front_if(|(end, _)| *end <= upto) {
            messages.push(place);
        }
        while let Some((_, by)) = sender.sends.pop_front_if(|(end, _)| *end <= upto) {
            sends.push(by);
        }
        // The first bytes of the next one may be among them.
        let begun = sender.sends.front().filter(|_| sends.is_empty());
        sends.extend(begun.map(|(_, by)| *by));
        (upto, messages, sends)
    }

    pub(super) fn closed(&mut self, end: EndId, by: EventId) {
        if let Some(link) = self.of(end) {
            link.closed = Some(by);
        }
    }

    pub(super) fn close_of(&mut self, end: EndId) -> Option<EventId> {
        self.of(end).and_then(|link| link.closed)
    }
}
