//! What a server asks its host for, carried out in its order.

use std::iter;

use vivarium_core::server::action::{
    Action, Close, CloseReason, DiskAction, FatalReason, Halt, LinkAction, RestartReason,
};
use vivarium_core::server::input::{DialError, Input, LinkInput, Plane, Queue};
use vivarium_core::server::note::{Note, Phase};
use vivarium_core::storage::ops::op_of;

use crate::cluster::resolve;
use crate::disk::first_record_len;
use crate::faults::Ambush;
use crate::ids::NodeId;
use crate::inbox::What;
use crate::net::{EndId, Host, Presence};
use crate::observe::{CrashKind, SimEvent};
use crate::trace::{Mark, describe, hash_action, hash_value, mix};
use crate::world::World;

impl World {
    /// Carries out what the server asked for, in its order.
    pub(super) fn drain(&mut self, index: usize) {
        while self.servers[index].paused_by.is_none()
            && (!self.servers[index].outbox.is_empty() || self.tell_disguised(index))
        {
            // What it asks for while this is carried out comes next.
            let mut outbox = std::mem::take(&mut self.scratch.outbox);
            std::mem::swap(&mut outbox, &mut self.servers[index].outbox);
            if let Some(recorder) = &mut self.recorder {
                recorder.drain(NodeId::Server(self.servers[index].id()));
            }
            if !self.carry_out(index, outbox.drain()) {
                return;
            }
            self.scratch.outbox = outbox;
        }
        self.forward_posts();
    }

    /// Whether the process lives, or died by no doing of its own.
    fn carry_out(&mut self, index: usize, mut actions: impl Iterator<Item = Action>) -> bool {
        let node = NodeId::Server(self.servers[index].id());
        let mut place = 0;
        while let Some(action) = actions.next() {
            if self.verdict.is_some() {
                return false;
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.action(node, place, &action);
            }
            place += 1;
            let ambush = self.ambush_at(index, &action);
            if let Some(ambush) = ambush.as_ref().filter(|ambush| !ambush.after) {
                self.spring(index, ambush, iter::once(action).chain(actions).collect());
                return true;
            }
            match action {
                Action::Link(action) => self.link_action(index, action),
                Action::Disk(action) => self.disk_action(index, action),
                Action::Admin { .. } => {}
                Action::Note(note) => self.note(index, note),
                Action::Halt(halt) => {
                    self.exit(index, halt);
                    return false;
                }
            }
            if let Some(ambush) = ambush {
                self.spring(index, &ambush, actions.collect());
                return true;
            }
        }
        true
    }

    /// A server is struck between two of its sends. What it has done is done, and is told; what else it was about
    /// to do it does when it runs again, and never if it dies.
    fn spring(&mut self, index: usize, ambush: &Ambush, rest: Vec<Action>) {
        let later: Vec<Action> = self.servers[index].outbox.drain().collect();
        for action in rest.into_iter().chain(later) {
            match action {
                Action::Note(note) => self.note(index, note),
                Action::Link(_) | Action::Disk(_) | Action::Admin { .. } | Action::Halt(_) => {
                    self.servers[index].outbox.push(action);
                }
            }
        }
        self.strike_from_ambush(index, ambush);
    }

    fn observe_objection(&mut self, node: NodeId, end: EndId, why: &'static str) {
        if let Some((host, Plane::Quorum | Plane::Election)) = self.net.far(end)
            && let NodeId::Server(to) = self.node(host)
        {
            self.observe(node, &SimEvent::Objection { to, why });
        }
    }

    fn link_action(&mut self, index: usize, action: LinkAction) {
        let node = NodeId::Server(self.servers[index].id());
        match action {
            LinkAction::Dial { dial, plane, host, port } => {
                let timeout = self.servers[index].config.cnx_timeout.0;
                let found = resolve(&host, port).map(|(id, _)| id);
                if let (Some(recorder), Some(to)) = (&mut self.recorder, found) {
                    recorder.dial(node, dial.0, NodeId::Server(to), plane);
                }
                if found.is_some_and(|id| self.disguise_dial(index, dial, id, plane)) {
                    return;
                }
                match found.and_then(|id| self.server_host(id)) {
                    Some(to) => self.net.dial(self.now, Host(index), dial.0, to, plane, timeout),
                    None => {
                        let input = LinkInput::DialFailed { dial, why: DialError::Unresolved };
                        self.step(index, Mark::DialFailed, dial.0, Input::Link(input));
                    }
                }
            }
            LinkAction::Send { link, bytes } => {
                self.overhear_send(index, link, &bytes);
                let bytes = self.disguise_send(index, link, bytes);
                if let Some(recorder) = &mut self.recorder {
                    recorder.send(node, EndId(link.0), &bytes);
                }
                self.net.send(self.now, EndId(link.0), bytes);
            }
            LinkAction::Hold { link } => self.net.hold(EndId(link.0)),
            LinkAction::Resume { link } => self.net.resume(self.now, EndId(link.0)),
            LinkAction::Close { link, how, why } => {
                let content = mix(link.0, hash_value(&format!("{how:?} {why:?}")));
                self.trace.event(self.now, node, Mark::Closed, content, || {
                    format!("-> close {link} {how:?}: {why:?}")
                });
                if let CloseReason::Protocol(why) = why {
                    self.observe_objection(node, EndId(link.0), why);
                }
                if !self.disguise_close(index, link) {
                    return;
                }
                if let Some(recorder) = &mut self.recorder {
                    recorder.closes(node, EndId(link.0), format!("{why:?}"));
                }
                match how {
                    Close::Flush => self.net.close(self.now, EndId(link.0)),
                    Close::Abort => self.net.abort(self.now, EndId(link.0)),
                }
            }
        }
    }

    fn disk_action(&mut self, index: usize, action: DiskAction) {
        let id = self.servers[index].id();
        let content = hash_action(&action);
        self.trace.event(self.now, NodeId::Server(id), Mark::Disk, content, || describe(&action));
        if let Some(recorder) = &mut self.recorder {
            recorder.disk(NodeId::Server(id), &action, false);
        }
        self.measure_append(index, &action);
        if let Some((Queue::Log, op)) = op_of(&action) {
            (self.servers[index].log_op, self.servers[index].log_done) = (Some(op), false);
        }
        let (at, event) = self.disks.of(id).submit(self.now, action);
        self.post(at, Host(index), What::Disk(event));
    }

    /// What a power cut tears is no longer than a batch may be, but for a record that alone is longer.
    fn measure_append(&mut self, index: usize, action: &DiskAction) {
        let DiskAction::Write { queue: Queue::Log, bytes, .. } = action else { return };
        let limit = self.servers[index].config.append_batch_bytes;
        if bytes.len() > limit && first_record_len(bytes).is_some_and(|first| bytes.len() > first) {
            let (bytes, limit) = (bytes.len() as u64, limit as u64);
            let node = NodeId::Server(self.servers[index].id());
            self.observe(node, &SimEvent::BatchOutgrown { bytes, limit });
        }
    }

    fn note(&mut self, index: usize, note: Note) {
        let id = self.servers[index].id();
        let content = hash_value(&note);
        self.trace.event(self.now, NodeId::Server(id), Mark::Note, content, || format!("{note:?}"));
        if let Note::PhaseEntered { phase, .. } = &note {
            self.servers[index].enters(*phase);
            self.stirred(index);
            self.stats.elections += u64::from(*phase == Phase::LeadingBroadcast);
            self.atlas.entered(id, *phase, self.servers[index].incarnation);
        }
        if let Note::Disowned { .. } = &note {
            self.atlas.disowned(id, self.servers[index].incarnation);
        }
        self.stats.commits += u64::from(matches!(note, Note::Committed { .. }));
        self.disguise_note(index, &note);
        let sealed = if let Note::SnapshotSealed { zxid } = &note { Some(*zxid) } else { None };
        self.observe(NodeId::Server(id), &SimEvent::Note(note));
        if let Some(zxid) = sealed {
            self.look_at_snapshot(index, zxid);
        }
    }

    /// The process ended itself; its supervisor starts it again.
    pub(crate) fn exit(&mut self, index: usize, halt: Halt) {
        let id = self.servers[index].id();
        let node = NodeId::Server(id);
        let content = hash_value(&format!("{halt:?}"));
        self.trace.event(self.now, node, Mark::Exit, content, || format!("exit: {halt:?}"));
        if self.rebuild_in_place(index, &halt) {
            return;
        }
        let (low, high, kind) = match &halt {
            Halt::Restart(
                RestartReason::Truncated
                | RestartReason::SnapIncomplete
                | RestartReason::LogUnreadable,
            ) => (1_000, 50_000, CrashKind::Process),
            Halt::Stop => (20_000, 2_000_000, CrashKind::Process),
            // A supervisor starts the next process at once, on a page cache that may disagree with
            // the disk; or an operator boots the machine first.
            Halt::Fatal(FatalReason::Disk { .. }) => {
                let reboots = self.fault_rng.chance(500);
                let kind = if reboots { CrashKind::PowerLoss } else { CrashKind::Process };
                (200_000, 2_000_000, kind)
            }
            Halt::Fatal(FatalReason::Corrupt { .. } | FatalReason::Config(_)) => {
                (200_000, 2_000_000, CrashKind::Process)
            }
        };
        self.collect_counters(index);
        self.servers[index].died();
        self.inboxes[index].clear();
        self.net.host_died(self.now, Host(index), CrashKind::Process);
        if matches!(halt, Halt::Restart(_)) {
            self.servers[index].restarts = true;
            self.net.set_presence(self.now, Host(index), Presence::Backlog);
        }
        let changes = self.disks.of(id).crash(kind);
        self.tell_strayed(id);
        for change in changes {
            self.observe(node, &SimEvent::Durable(change));
        }
        self.observe(node, &SimEvent::Exit(halt));
        let pause = self.fault_rng.range(low, high);
        self.post(self.now.plus(pause), Host(index), What::Boot);
    }
}
