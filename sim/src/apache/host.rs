//! Where a guise meets the world.

use bytes::Bytes;
use vivarium_core::ids::{DialId, LinkId, ServerId};
use vivarium_core::server::action::{Halt, RestartReason};
use vivarium_core::server::input::{Input, LinkInput, Plane};
use vivarium_core::server::note::{Note, Phase};
use vivarium_core::server::{RecoveryInput, RecoveryStep};

use crate::apache::{Fact, Told};
use crate::disk::DiskDone;
use crate::ids::NodeId;
use crate::net::{Delivery, EndId, Host};
use crate::observe::SimEvent;
use crate::trace::{Mark, hash_bytes};
use crate::world::World;

impl World {
    /// Changes what the network delivers. `None`: the server hears nothing of it.
    pub(crate) fn disguise_delivery(
        &mut self,
        index: usize,
        delivery: Delivery,
    ) -> Option<Delivery> {
        let Some(guise) = &mut self.servers[index].guise else { return Some(delivery) };
        let link = |end: EndId| LinkId(end.0);
        let changed = match delivery {
            Delivery::Opened { end, dial, plane, far } => {
                if plane == Plane::Quorum {
                    guise.opened(link(end), dial.map(DialId));
                }
                Some(Delivery::Opened { end, dial, plane, far })
            }
            Delivery::Bytes { end, bytes } => {
                let bytes = guise.inbound(link(end), bytes);
                (!bytes.is_empty()).then_some(Delivery::Bytes { end, bytes })
            }
            Delivery::Sent { end, bytes } => {
                let bytes = guise.sent(link(end), bytes);
                (bytes > 0).then_some(Delivery::Sent { end, bytes })
            }
            Delivery::Closed { end, how } => {
                guise.closed(link(end)).then_some(Delivery::Closed { end, how })
            }
            Delivery::DialFailed { .. } => Some(delivery),
        };
        self.tell_facts(index);
        changed
    }

    pub(crate) fn disguise_send(&mut self, index: usize, link: LinkId, bytes: Bytes) -> Bytes {
        let Some(guise) = &mut self.servers[index].guise else { return bytes };
        let bytes = guise.outbound(link, bytes);
        self.tell_facts(index);
        bytes
    }

    /// False where a link that the server closes stays open all the same.
    pub(crate) fn disguise_close(&mut self, index: usize, link: LinkId) -> bool {
        self.servers[index].guise.as_mut().is_none_or(|guise| guise.closes(link))
    }

    /// True where a link waited for this dial: the server was told that it is open.
    pub(crate) fn disguise_dial(
        &mut self,
        index: usize,
        dial: DialId,
        to: ServerId,
        plane: Plane,
    ) -> bool {
        if plane != Plane::Quorum {
            return false;
        }
        let waiting = self.servers[index].guise.as_mut().and_then(|guise| guise.dialled(dial, to));
        let Some(link) = waiting else {
            self.give_up_waiting(index);
            return false;
        };
        let end = EndId(link.0);
        self.net.resume(self.now, end);
        let host = self.server_host(to).expect("only servers are dialled on this plane");
        let far = self.far(host, end, plane);
        let input = LinkInput::Opened { link, dial: Some(dial), plane, far };
        self.step(index, Mark::Opened, end.0, Input::Link(input));
        true
    }

    pub(crate) fn disguise_note(&mut self, index: usize, note: &Note) {
        let Some(guise) = &mut self.servers[index].guise else { return };
        guise.note(note);
        if let Note::PhaseEntered { phase: Phase::LeadingDiscovery, .. } = note {
            self.give_up_waiting(index);
        }
    }

    fn give_up_waiting(&mut self, index: usize) {
        let guise = self.servers[index].guise.as_mut();
        if let Some(link) = guise.and_then(|guise| guise.give_up_waiting()) {
            self.net.abort(self.now, EndId(link.0));
        }
    }

    /// Tells the server what it is told in return for bytes that never left. False where there is
    /// nothing to tell.
    pub(crate) fn tell_disguised(&mut self, index: usize) -> bool {
        let next = self.servers[index].guise.as_mut().and_then(|guise| guise.next_told());
        let Some((link, told)) = next else { return false };
        match told {
            Told::Sent(bytes) => {
                let input = LinkInput::Sent { link, bytes };
                self.step(index, Mark::Sent, link.0 ^ bytes << 32, Input::Link(input));
            }
            Told::Bytes(bytes) => {
                let content = hash_bytes(&bytes) ^ link.0;
                let input = LinkInput::Bytes { link, bytes };
                self.step(index, Mark::Bytes, content, Input::Link(input));
            }
            Told::Broken => self.net.abort(self.now, EndId(link.0)),
        }
        true
    }

    fn tell_facts(&mut self, index: usize) {
        let id = self.servers[index].id();
        let facts = self.servers[index].guise.as_mut().map(|guise| guise.take_facts());
        for fact in facts.into_iter().flatten() {
            match fact {
                Fact::Habit(name) => *self.stats.habits.entry(name).or_default() += 1,
                Fact::Snap { learner, base, end } => {
                    let event = SimEvent::ApacheSnap { learner, base, end };
                    self.observe(NodeId::Server(id), &event);
                }
                Fact::FuzzyFile { base, end } => {
                    self.observe(NodeId::Server(id), &SimEvent::FuzzyFile { base, end });
                }
            }
        }
    }

    /// Before a process of Apache's kind starts.
    pub(crate) fn age_folder(&mut self, index: usize) {
        let id = self.servers[index].id();
        if let Some(guise) = &mut self.servers[index].guise {
            guise.age(self.disks.of(id));
            self.tell_facts(index);
        }
    }

    /// A TRUNC ends ours; Apache's process goes on, and so does its link to the leader. The server is
    /// rebuilt in no time. True where that was done.
    pub(crate) fn rebuild_in_place(&mut self, index: usize, halt: &Halt) -> bool {
        let rebuilt = *halt == Halt::Restart(RestartReason::Truncated);
        let guise = self.servers[index].guise.as_mut();
        let Some(link) = guise.and_then(|guise| guise.server_ended(rebuilt)) else { return false };
        let id = self.servers[index].id();
        self.collect_counters(index);
        let guise = self.servers[index].guise.take();
        self.servers[index].died();
        self.servers[index].guise = guise;
        self.inboxes[index].forget_disk();
        self.net.process_replaced(self.now, Host(index), EndId(link.0));
        for change in self.disks.of(id).crash(crate::observe::CrashKind::Process) {
            self.observe(NodeId::Server(id), &SimEvent::Durable(change));
        }
        self.observe(NodeId::Server(id), &SimEvent::Exit(halt.clone()));
        self.boot_in_place(index);
        true
    }

    fn boot_in_place(&mut self, index: usize) {
        let Some(mut recovery) = self.begin_boot(index) else { return };
        let mut got = RecoveryInput::Begin;
        while self.verdict.is_none() {
            got = match recovery.next(got) {
                RecoveryStep::Progress(_) => RecoveryInput::Done,
                RecoveryStep::Disk(action) => self.carry_out_at_once(index, action),
                RecoveryStep::Done(server, outbox) => {
                    let logged = server.view().logged;
                    let guise = self.servers[index].guise.as_mut().expect("it is rebuilt for one");
                    if guise.was_cut_to(logged) {
                        return self.up(index, server, outbox);
                    }
                    guise.server_ended(false);
                    return self.exit(index, Halt::Restart(RestartReason::Truncated));
                }
                RecoveryStep::Refused(reason) => return self.exit(index, Halt::Fatal(reason)),
            };
        }
    }

    fn carry_out_at_once(
        &mut self,
        index: usize,
        action: vivarium_core::server::action::DiskAction,
    ) -> RecoveryInput {
        let id = self.servers[index].id();
        let (_, event) = self.disks.of(id).submit_single(self.now, action);
        let mut changes = Vec::new();
        let done = self.disks.of(id).due(event, &mut changes);
        for change in changes {
            self.observe(NodeId::Server(id), &SimEvent::Durable(change));
        }
        match done {
            Some(DiskDone::Single { result: Ok(None), .. }) => RecoveryInput::Done,
            Some(DiskDone::Single { result: Ok(Some(data)), .. }) => RecoveryInput::Read(data),
            Some(DiskDone::Single { result: Err(fault), .. }) => RecoveryInput::Failed(fault),
            Some(DiskDone::Op { .. } | DiskDone::Failed { .. } | DiskDone::Read { .. }) | None => {
                unreachable!("it was submitted as a single operation")
            }
        }
    }
}
