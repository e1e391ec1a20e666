//! Servers that are hit: what they were doing, and what came of it.

use std::collections::BTreeSet;

use vivarium_core::ids::{Epoch, ServerId};
use vivarium_core::server::action::{FatalReason, Halt, RestartReason};
use vivarium_core::server::input::DiskFault;

use crate::coverage::Coverage;
use crate::coverage::disk::{DiskSteps, Struck};
use crate::coverage::labels::{Blow, Course, Death, Means, Moment, Part, Pending, Storage};
use crate::coverage::mark::Mark;
use crate::coverage::paths::Step;
use crate::ids::SimTime;
use crate::observe::CrashKind;
use crate::schedule::{FaultKind, FaultUnit, Peer, Scope};

impl Coverage {
    /// A step of the disk of this server has taken effect.
    pub(crate) fn disk_step(&mut self, id: ServerId, steps: DiskSteps) {
        if steps.rolled {
            self.storage(id, Storage::LogRolled);
        }
        if steps.cut && self.seat(id).part == Some(Part::Recovering) {
            self.moment(Moment::TornTail);
        }
    }

    /// An operation of the disk of this server has failed.
    pub(crate) fn disk_failed(&mut self, id: ServerId, what: Struck, fault: DiskFault) {
        let full = fault == DiskFault::NoSpace;
        self.moment(match (what, full) {
            (Struck::Log, true) => Moment::LogFull,
            (Struck::Log, false) => Moment::LogFails,
            (Struck::Snapshot, true) => Moment::SnapshotFull,
            (Struck::Snapshot, false) => Moment::SnapshotFails,
            (Struck::Read, _) => Moment::ReadFails,
            (Struck::Recovery, true) => Moment::RecoveryFull,
            (Struck::Recovery, false) => Moment::RecoveryFails,
        });
        self.blow(id, Blow::DiskError, Some(Course::LearnerDiskError));
    }

    /// One server is hit in whatever it is doing.
    fn blow(&mut self, id: ServerId, blow: Blow, course: Option<Course>) {
        let seat = self.seat(id);
        let (part, sync) = (seat.part, seat.sync);
        if let Some(part) = part {
            self.marks.hit(Mark::Struck(blow, part));
        }
        if let (Some(course), Some(sync)) = (course, sync) {
            self.marks.hit(Mark::Sync(sync.how, course));
        }
        self.paths.step(id, Step::Blow(blow));
    }

    /// The process of a server is about to die, or its machine is.
    pub(crate) fn crash(
        &mut self,
        now: SimTime,
        id: ServerId,
        kind: CrashKind,
        pending: &[Pending],
    ) {
        let (death, blow, course) = match kind {
            CrashKind::Process => (Death::Process, Blow::Crash, Course::LearnerDies),
            CrashKind::PowerLoss => (Death::Power, Blow::PowerLoss, Course::LearnerLosesPower),
        };
        let seat = self.seat(id).clone();
        let Some(part) = seat.part else { return };
        self.blow(id, blow, Some(course));
        pending.iter().for_each(|&what| self.marks.hit(Mark::CrashBetween(what, death)));
        seat.kept.into_iter().for_each(|kept| self.marks.hit(Mark::CrashBehind(kept, death)));
        if let Some(sync) = seat.sync {
            // The stages of a DIFF are the same from memory and from disk.
            let how = if sync.how == Means::DiffDisk { Means::DiffWindow } else { sync.how };
            self.marks.hit(Mark::CrashInSync(how, sync.stage, death));
        }
        if part.leads() {
            self.learners_of(id, Course::LeaderDies);
        }
        if part == Part::LeadingBroadcast && seat.proposed > self.committed {
            self.moment(Moment::LeaderDiesProposing);
        }
        if kind == CrashKind::PowerLoss && seat.accepted > seat.current {
            self.moment(Moment::AcceptedAhead);
        }
        if part == Part::Recovering && seat.cut_short {
            self.moment(Moment::TriedAgain);
        }
        self.seat(id).end(part == Part::Recovering);
        self.downs(now, id, kind);
    }

    fn learners_of(&mut self, leader: ServerId, course: Course) {
        for seat in &self.seats {
            if let Some(sync) = seat.sync.filter(|sync| sync.leader == leader) {
                self.marks.hit(Mark::Sync(sync.how, course));
            }
        }
    }

    fn downs(&mut self, now: SimTime, id: ServerId, kind: CrashKind) {
        let voters = self.seats.iter().filter(|seat| seat.votes).count();
        let down = self.seats.iter().filter(|seat| seat.votes && seat.part.is_none()).count();
        if self.seats.len() > 1 {
            if self.seats.iter().all(|seat| seat.part.is_none()) {
                self.moment(Moment::AllDown);
            }
            if down > voters / 2 {
                self.moment(Moment::NoQuorum);
            }
        }
        if kind == CrashKind::PowerLoss && self.seat(id).votes {
            if self.power_loss.0 != now {
                self.power_loss = (now, BTreeSet::new());
            }
            self.power_loss.1.insert(id);
            if voters > 1 && self.power_loss.1.len() > voters / 2 {
                self.moment(Moment::QuorumLosesPower);
            }
        }
    }

    pub(super) fn exit(&mut self, id: ServerId, halt: &Halt) {
        let sync = self.seat(id).sync;
        match halt {
            Halt::Restart(RestartReason::Truncated) => {
                self.moment(Moment::RestartTruncated);
                if let Some(sync) = sync.filter(|sync| sync.how == Means::Trunc) {
                    self.marks.hit(Mark::Sync(sync.how, Course::Done));
                }
            }
            Halt::Restart(RestartReason::SnapIncomplete) => {
                self.moment(Moment::RestartSnapIncomplete);
                if let Some(sync) = sync {
                    let course = self.broken_off(sync.leader);
                    self.marks.hit(Mark::Sync(sync.how, course));
                }
            }
            Halt::Restart(RestartReason::LogUnreadable) => {
                self.moment(Moment::RestartLogUnreadable);
            }
            Halt::Fatal(FatalReason::Disk { .. }) => self.moment(Moment::DiesOfDisk),
            Halt::Stop | Halt::Fatal(FatalReason::Corrupt { .. } | FatalReason::Config(_)) => {}
        }
        self.paths.step(id, Step::Exit(halt));
        self.seat(id).end(false);
    }

    pub(super) fn pause(&mut self, now: SimTime, id: ServerId) {
        self.blow(id, Blow::Pause, Some(Course::LearnerPaused));
        let seat = self.seat(id);
        seat.paused_at = Some(now);
        if seat.part.is_some_and(Part::leads) {
            self.learners_of(id, Course::LeaderPaused);
        }
    }

    pub(super) fn resume(&mut self, now: SimTime, id: ServerId) {
        let limits = self.limits;
        let newest = self.reign.map_or(Epoch::ZERO, |reign| reign.epoch);
        let seat = self.seat(id);
        let (part, replaced) = (seat.part, newest > seat.epoch);
        let Some(paused) = seat.paused_at.take().map(|since| now.since(since)) else { return };
        if part == Some(Part::LeadingBroadcast) {
            for (longer, moment) in [
                (paused > limits.shortest_session, Moment::PausedPastSession),
                (paused > limits.longest_session, Moment::PausedPastAllSessions),
                (replaced, Moment::ReplacedWhilePaused),
            ] {
                if longer {
                    self.moment(moment);
                }
            }
        } else if part == Some(Part::FollowingBroadcast) && paused > limits.sync {
            self.moment(Moment::PausedPastSync);
        }
    }

    /// A unit of the schedule has struck; `hit`: the servers of its scope.
    pub(crate) fn struck(&mut self, unit: &FaultUnit, hit: &[ServerId]) {
        for id in servers_of(unit, hit) {
            let known = id.0 as usize <= self.seats.len();
            if let Some(blow) = blow_of(unit.kind).filter(|_| known) {
                let course = (blow == Blow::CutOff).then_some(Course::LearnerCutOff);
                self.blow(id, blow, course);
            }
        }
        let leads = |&id: &ServerId| self.seat_of(id).part == Some(Part::LeadingBroadcast);
        if let Some(moment) = of_leader(unit.kind).filter(|_| hit.iter().any(leads)) {
            self.moment(moment);
        }
    }
}

/// What a unit does to each server of its scope. Crashes, pauses and failures of disks are told when
/// they come.
const fn blow_of(kind: FaultKind) -> Option<Blow> {
    if matches!(
        kind,
        FaultKind::Partition { .. }
            | FaultKind::Isolate { .. }
            | FaultKind::Ring
            | FaultKind::Flap { .. }
            | FaultKind::StallLink
            | FaultKind::HalfOpen
    ) {
        Some(Blow::CutOff)
    } else if matches!(kind, FaultKind::ResetLinks | FaultKind::FinishLinks) {
        Some(Blow::LinksReset)
    } else if matches!(kind, FaultKind::Stop) {
        Some(Blow::Stop)
    } else {
        None
    }
}

/// What it means where a leader is in its scope.
const fn of_leader(kind: FaultKind) -> Option<Moment> {
    if matches!(kind, FaultKind::Isolate { one_way: Some(true) }) {
        Some(Moment::LeaderHearsOnly)
    } else if matches!(kind, FaultKind::Isolate { one_way: Some(false) }) {
        Some(Moment::LeaderSpeaksOnly)
    } else if matches!(kind, FaultKind::ClockStep { .. }) {
        Some(Moment::LeaderClockSteps)
    } else {
        None
    }
}

/// Servers that a fault of links hits, if it is one between servers.
fn servers_of(unit: &FaultUnit, hit: &[ServerId]) -> Vec<ServerId> {
    let Scope::Between { from, to } = &unit.scope else { return hit.to_vec() };
    let servers = |peers: &[Peer]| -> Vec<ServerId> {
        let server = |peer: &Peer| match peer {
            Peer::Server(id) => Some(ServerId(*id)),
            Peer::Client(_) => None,
        };
        peers.iter().filter_map(server).collect()
    };
    let (from, to) = (servers(from), servers(to));
    if from.is_empty() || to.is_empty() { Vec::new() } else { [from, to].concat() }
}
