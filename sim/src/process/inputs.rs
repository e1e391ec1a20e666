//! What network and disk hand to a process, as inputs of its server.

use vivarium_core::ids::{DialId, LinkId, ServerId};
use vivarium_core::server::RecoveryInput;
use vivarium_core::server::input::{DiskInput, Input, LinkInput, Queue};

use crate::disk::{Boundary, DiskDone, DiskEvent};
use crate::ids::NodeId;
use crate::inbox::What;
use crate::net::{Delivery, EndId, Host, NetEvent};
use crate::observe::{Durable, LossKind, SimEvent};
use crate::rng::SimRng;
use crate::trace::{Mark, hash_bytes};
use crate::world::World;

/// Chunks that one read takes with the one before, in per mille.
const JOINED: u64 = 700;

/// What one read takes at most.
const READ_BYTES: usize = 64 * 1024;

/// Of what waits on a connection one read takes all or a part.
fn join_reads(deliveries: &mut Vec<Delivery>, rng: &mut SimRng) {
    deliveries.dedup_by(|next, first| match (first, next) {
        (Delivery::Bytes { end, bytes: head }, Delivery::Bytes { end: same, bytes: tail })
            if end == same && head.len() < READ_BYTES && rng.chance(JOINED) =>
        {
            *head = [&head[..], &tail[..]].concat().into();
            true
        }
        _ => false,
    });
}

impl World {
    /// What the network hands to a process, before any guise changes it.
    pub(crate) fn record_delivery(&mut self, host: Host, delivery: &Delivery) {
        if self.recorder.is_none() {
            return;
        }
        let node = self.node(host);
        let far = match delivery {
            Delivery::Opened { far, .. } => self.node(*far),
            Delivery::DialFailed { .. }
            | Delivery::Bytes { .. }
            | Delivery::Sent { .. }
            | Delivery::Closed { .. } => node,
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(self.now);
            recorder.delivered(node, far, delivery);
        }
    }

    pub(super) fn take_net(&mut self, index: usize, event: NetEvent) {
        let mut deliveries = std::mem::take(&mut self.scratch.deliveries);
        let lane = event.lane();
        self.net.due(self.now, event, &mut deliveries);
        while let Some(more) = self.inboxes[index].pop_on(self.now, lane) {
            self.net.due(self.now, more, &mut deliveries);
        }
        join_reads(&mut deliveries, &mut self.backlog_rng);
        self.deliver(index, &mut deliveries);
        self.scratch.deliveries = deliveries;
        self.forward_posts();
    }

    /// Tells the server what its kernel took. Whether it took anything.
    pub(super) fn look_at_writes(&mut self, index: usize) -> bool {
        let mut deliveries = std::mem::take(&mut self.scratch.deliveries);
        self.net.looked(Host(index), &mut deliveries);
        let any = !deliveries.is_empty();
        self.deliver(index, &mut deliveries);
        self.scratch.deliveries = deliveries;
        any
    }

    fn deliver(&mut self, index: usize, deliveries: &mut Vec<Delivery>) {
        for delivery in deliveries.drain(..) {
            self.record_delivery(Host(index), &delivery);
            let Some(delivery) = self.disguise_delivery(index, delivery) else { continue };
            self.overhear(index, &delivery);
            let (mark, content, input) = self.link_input(delivery);
            self.step(index, mark, content, Input::Link(input));
        }
    }

    fn link_input(&mut self, delivery: Delivery) -> (Mark, u64, LinkInput) {
        let link = |end: EndId| LinkId(end.0);
        match delivery {
            Delivery::Opened { end, dial, plane, far } => {
                let far = self.far(far, end, plane);
                let dial = dial.map(DialId);
                (Mark::Opened, end.0, LinkInput::Opened { link: link(end), dial, plane, far })
            }
            Delivery::DialFailed { dial, why } => {
                (Mark::DialFailed, dial, LinkInput::DialFailed { dial: DialId(dial), why })
            }
            Delivery::Bytes { end, bytes } => {
                self.stats.chunks += 1;
                let content = hash_bytes(&bytes) ^ end.0;
                (Mark::Bytes, content, LinkInput::Bytes { link: link(end), bytes })
            }
            Delivery::Sent { end, bytes } => {
                (Mark::Sent, end.0 ^ bytes << 32, LinkInput::Sent { link: link(end), bytes })
            }
            Delivery::Closed { end, how } => {
                (Mark::Closed, end.0, LinkInput::Closed { link: link(end), end: how })
            }
        }
    }

    pub(super) fn take_disk(&mut self, index: usize, event: DiskEvent) {
        // What the process asked for before it could know of this completion comes first.
        self.drain(index);
        let id = self.servers[index].id();
        let boundary = self.disks.of(id).boundary(&event);
        if self.crash_strikes(index, boundary, false) {
            return;
        }
        let mut changes = Vec::new();
        let done = self.disks.of(id).due(event, &mut changes);
        self.stats.disk_ops += 1;
        if let (Some(recorder), Some(done)) = (&mut self.recorder, &done) {
            recorder.disk_done(NodeId::Server(id), done);
        }
        let steps = self.disks.of(id).progress().take_steps();
        self.coverage.disk_step(id, steps);
        self.tell_strayed(id);
        let removed = changes.iter().any(|change| matches!(change, Durable::Removed { .. }));
        for change in changes {
            self.observe(NodeId::Server(id), &SimEvent::Durable(change));
        }
        if self.crash_strikes(index, boundary, true) {
            return;
        }
        if let Some((struck, fault)) = done.as_ref().and_then(DiskDone::failure) {
            self.coverage.disk_failed(id, struck, fault);
        }
        self.look_at_disk(index, removed);
        let (content, input) = match done {
            None => return,
            Some(DiskDone::Single { result, .. }) => {
                let got = match result {
                    Ok(None) => RecoveryInput::Done,
                    Ok(Some(data)) => RecoveryInput::Read(data),
                    Err(fault) => RecoveryInput::Failed(fault),
                };
                let line = || String::from("recovery step");
                self.trace.event(self.now, NodeId::Server(id), Mark::Disk, 0, line);
                self.recover(index, got);
                return;
            }
            Some(DiskDone::Op { queue, op, .. }) => {
                let slot = &mut self.servers[index];
                slot.log_done |= queue == Queue::Log && slot.log_op == Some(op);
                (op.0, DiskInput::Done { queue, upto: op })
            }
            Some(DiskDone::Failed { queue, op, fault }) => {
                self.observe(NodeId::Server(id), &SimEvent::DiskFailed { queue });
                (op.0 << 1, DiskInput::Failed { queue, op, fault })
            }
            Some(DiskDone::Read { read, result }) => {
                if result.is_err() {
                    self.observe(NodeId::Server(id), &SimEvent::ReadFailed);
                }
                (read.0 << 2, DiskInput::ReadDone { read, result })
            }
        };
        self.step(index, Mark::Disk, content, Input::Disk(input));
    }

    /// Tells the observers of a write that the disk has put elsewhere.
    pub(crate) fn tell_strayed(&mut self, id: ServerId) {
        if self.disks.of(id).take_strayed() {
            let host = self.server_host(id).expect("it has a disk");
            self.atlas.charge(id, self.servers[host.0].incarnation);
            self.observe(NodeId::Server(id), &SimEvent::HistoryLost(LossKind::Misdirected));
        }
    }

    /// Whether an armed crash strikes at this side of a disk operation.
    fn crash_strikes(&mut self, index: usize, boundary: Boundary, done: bool) -> bool {
        let Some(armed) = &mut self.servers[index].crash_armed else { return false };
        if !armed.strikes(boundary, done) {
            return false;
        }
        let armed = *armed;
        self.crash(index, armed.kind);
        self.post(self.now.plus(armed.down), Host(index), What::Boot);
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rng::Stream;

    #[test]
    fn chunks_that_wait_are_read_in_one_or_several_and_nothing_passes_a_border_of_another_kind() {
        let (one, other) = (EndId(4), EndId(6));
        let chunk = |end, byte: u8| Delivery::Bytes { end, bytes: Bytes::from(vec![byte; 2]) };
        let waiting = || {
            vec![
                chunk(one, 1),
                chunk(one, 2),
                Delivery::Sent { end: one, bytes: 9 },
                chunk(one, 3),
                chunk(other, 4),
                chunk(other, 5),
            ]
        };
        let mut sizes = Vec::new();
        for seed in 0..20 {
            let mut deliveries = waiting();
            join_reads(&mut deliveries, &mut SimRng::new(seed, Stream::Backlog, 0));
            sizes.push(deliveries.len());
            let mut read = (Vec::new(), Vec::new());
            for delivery in &deliveries {
                if let Delivery::Bytes { end, bytes } = delivery {
                    let to = if *end == one { &mut read.0 } else { &mut read.1 };
                    to.extend_from_slice(bytes);
                }
            }
            assert_eq!(read, (vec![1, 1, 2, 2, 3, 3], vec![4, 4, 5, 5]));
        }
        assert!((4..=6).all(|size| sizes.contains(&size)), "{sizes:?}");
    }
}
