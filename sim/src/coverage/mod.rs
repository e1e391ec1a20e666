//! What a run has reached: named marks, and the paths that its servers took. Looks on as checkers do,
//! and judges nothing.

// A mark is about few kinds of facts; a new kind is no concern of most.
#![allow(clippy::wildcard_enum_match_arm)]

mod blows;
mod clients;
mod disk;
mod labels;
mod mark;
mod marks;
mod paths;
mod seat;

use std::collections::BTreeSet;

use vivarium_core::config::MemberRole;
use vivarium_core::ids::{Epoch, ServerId, Zxid};
use vivarium_core::server::input::DialError;
use vivarium_core::server::note::{LocalChange, Note};

use crate::coverage::clients::Clients;
pub(crate) use crate::coverage::disk::{DiskProgress, Struck};
use crate::coverage::labels::{Course, Kept, Means, Moment, Part, Stage, Storage};
use crate::coverage::mark::{HABITS, Learner, Mark};
pub use crate::coverage::marks::Marks;
use crate::coverage::paths::{Paths, Step};
use crate::coverage::seat::{Seat, Synchronization};
use crate::ids::{NodeId, SimTime};
use crate::observe::{Durable, SimEvent};
use crate::schedule::FaultKind;
use crate::world::Stats;

/// Where a transaction has the last byte of its type, and which one it is where the leader deletes a node by
/// itself. All types are below 128, but for those of sessions and errors, which are negative.
const RECORD_TYPE: usize = 31;
const DELETE_CONTAINER: u8 = 20;

/// Looks on while a run goes.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    marks: Marks,
    paths: Paths,
    /// Servers are numbered from 1 without gaps.
    seats: Vec<Seat>,
    clients: Clients,
    limits: Limits,
    /// Of the newest epoch that was established.
    reign: Option<Reign>,
    /// The highest zxid that a leader called committed.
    committed: Option<Zxid>,
    /// When a voter last lost power, and which ones did at that moment.
    power_loss: (SimTime, BTreeSet<ServerId>),
}

#[derive(Clone, Copy, Debug)]
struct Reign {
    epoch: Epoch,
    leader: ServerId,
    since: SimTime,
}

/// Bounds of the run's configuration, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    shortest_session: u64,
    longest_session: u64,
    sync: u64,
    zxid_counter: u32,
}

impl Coverage {
    /// All that was hit.
    pub(crate) fn finish(mut self, stats: &Stats) -> (Marks, Vec<u16>) {
        for (place, name) in FaultKind::NAMES.into_iter().enumerate() {
            if stats.faults.contains_key(name) {
                self.marks.hit(Mark::Fault(place));
            }
        }
        for (place, name) in HABITS.into_iter().enumerate() {
            if stats.habits.contains_key(name) {
                self.marks.hit(Mark::Habit(place));
            }
        }
        (self.marks, self.paths.into_sorted())
    }

    pub(crate) fn event(&mut self, now: SimTime, node: NodeId, event: &SimEvent) {
        match (node, event) {
            (NodeId::Server(id), SimEvent::Note(note)) => self.note(now, id, note),
            (NodeId::Server(id), SimEvent::Durable(durable)) => self.durable(id, *durable),
            (NodeId::Server(id), SimEvent::Boot { .. }) => self.boot(id),
            (NodeId::Server(id), SimEvent::Up { .. }) => self.enter(id, Part::Looking, None),
            (NodeId::Server(id), SimEvent::Exit(halt)) => self.exit(id, halt),
            (NodeId::Server(id), SimEvent::Paused) => self.pause(now, id),
            (NodeId::Server(id), SimEvent::Resumed) => self.resume(now, id),
            (NodeId::Client(client), SimEvent::Client(fact)) => {
                let reign = self.reign.map_or(Epoch::ZERO, |reign| reign.epoch);
                self.clients.fact(client, fact, &self.seats, reign, &mut self.marks);
            }
            (_, SimEvent::Cluster { servers, .. }) => self.open(servers),
            (_, SimEvent::Healed { dead, .. }) => self.moment(match dead.is_empty() {
                true => Moment::AllHealed,
                false => Moment::MinorityStaysDead,
            }),
            _ => {}
        }
    }

    fn moment(&mut self, moment: Moment) {
        self.marks.hit(Mark::Moment(moment));
    }

    fn seat(&mut self, id: ServerId) -> &mut Seat {
        &mut self.seats[id.0 as usize - 1]
    }

    fn seat_of(&self, id: ServerId) -> &Seat {
        &self.seats[id.0 as usize - 1]
    }

    fn open(&mut self, servers: &[vivarium_core::config::Config]) {
        for config in servers {
            let member = config.ensemble.as_ref().and_then(|all| all.members.get(&config.me));
            let votes = member.is_none_or(|member| member.role == MemberRole::Participant);
            self.seats.push(Seat::new(votes));
        }
        let Some(config) = servers.first() else { return };
        let us = |ms: i32| u64::try_from(ms).unwrap_or(0) * 1000;
        self.limits = Limits {
            shortest_session: us(config.min_session_timeout_ms),
            longest_session: us(config.max_session_timeout_ms),
            sync: config.sync_limit_ticks * config.tick.0,
            zxid_counter: config.zxid_counter_limit,
        };
        let voters = self.seats.iter().filter(|seat| seat.votes).count();
        if config.ensemble.is_some() {
            let sizes = [
                Moment::OneVoter,
                Moment::TwoVoters,
                Moment::ThreeVoters,
                Moment::FourVoters,
                Moment::FiveVoters,
                Moment::SixVoters,
                Moment::SevenVoters,
            ];
            if let Some(size) = sizes.get(voters.wrapping_sub(1)) {
                self.moment(*size);
            }
        }
        if voters < self.seats.len() {
            self.moment(Moment::Observers);
        }
    }

    fn boot(&mut self, id: ServerId) {
        let seat = self.seat(id);
        seat.begin();
        self.paths.step(id, Step::Part(Part::Recovering));
    }

    fn enter(&mut self, id: ServerId, part: Part, epoch: Option<Epoch>) {
        let seat = self.seat(id);
        let before = seat.part.replace(part);
        seat.epoch = epoch.unwrap_or(seat.epoch);
        // At a TRUNC a server first leaves its leader, and then cuts.
        let cuts = |sync: &mut Synchronization| sync.how == Means::Trunc && part == Part::Looking;
        let ends = !matches!(part, Part::FollowingSynchronization | Part::ObservingSynchronization);
        let sync = if ends { seat.sync.take_if(|sync| !cuts(sync)) } else { None };
        self.paths.step(id, Step::Part(part));
        self.paths.constellation(&self.seats);
        if let Some(sync) = sync {
            let course =
                if part.is_in_step() { Course::Done } else { self.broken_off(sync.leader) };
            self.marks.hit(Mark::Sync(sync.how, course));
        }
        match (before, part) {
            (Some(Part::LeadingDiscovery), Part::Looking) => {
                self.moment(Moment::LeadFailsInDiscovery);
            }
            (Some(Part::LeadingSynchronization), Part::Looking) => {
                self.moment(Moment::LeadFailsInSync);
            }
            (Some(Part::LeadingBroadcast), Part::Looking) => self.moment(Moment::LeaderStepsDown),
            (Some(Part::FollowingBroadcast), Part::Looking) => {
                let leader = self.reign.map(|reign| reign.leader);
                if leader.is_some_and(|id| self.seat(id).part == Some(Part::LeadingBroadcast)) {
                    self.moment(Moment::FollowerLeaves);
                }
            }
            (_, Part::LeadingBroadcast) => {
                let leads = |seat: &&Seat| seat.part == Some(Part::LeadingBroadcast);
                if self.seats.iter().filter(leads).count() > 1 {
                    self.moment(Moment::TwoLeaders);
                }
            }
            (_, _) => {}
        }
    }

    fn broken_off(&mut self, leader: ServerId) -> Course {
        let leads = self.seat(leader).part.is_some_and(Part::leads);
        if leads { Course::LearnerGivesUp } else { Course::LeaderDies }
    }

    fn note(&mut self, now: SimTime, id: ServerId, note: &Note) {
        match note {
            Note::PhaseEntered { phase, epoch } => {
                if let Some(part) = Part::of(*phase) {
                    self.enter(id, part, Some(*epoch));
                }
            }
            Note::SyncChosen { learner, how } => self.sync_chosen(id, *learner, Means::of(*how)),
            Note::Logged { .. } | Note::SnapInstalled { .. } => self.progress(id, Stage::Taking),
            Note::AckedNewLeader { .. } => self.progress(id, Stage::Acknowledged),
            Note::Established { epoch, history } => self.established(now, id, *epoch, *history),
            Note::Proposed { zxid, payload, .. } => {
                self.seat(id).proposed = Some(*zxid);
                if payload.get(RECORD_TYPE) == Some(&DELETE_CONTAINER) {
                    self.moment(Moment::NodeOutlived);
                }
                if zxid.counter() == self.limits.zxid_counter {
                    self.moment(Moment::ZxidLimit);
                }
            }
            Note::Committed { zxid } => self.committed = self.committed.max(Some(*zxid)),
            Note::Truncated { .. } => self.moment(Moment::HistoryCut),
            Note::Uncuttable { .. } => self.moment(Moment::Uncuttable),
            Note::Disowned { .. } => self.moment(Moment::HistoryDisowned),
            Note::SnapshotSealed { .. } => self.storage(id, Storage::SnapshotSealed),
            Note::Recovered { last, from, blank, .. } => self.recovered(id, *last, *from, *blank),
            Note::MovedAside => self.moment(Moment::MovedAside),
            Note::SessionExpired { timeout_ms, .. } => {
                self.moment(Moment::SessionExpired);
                let timeout = u64::try_from(*timeout_ms).unwrap_or(0) * 1000;
                // Its own clock starts anew with each leader.
                if self.reign.is_some_and(|reign| now.since(reign.since) < 2 * timeout) {
                    self.moment(Moment::ExpiredSoon);
                }
            }
            Note::PeerUnreachable { why: DialError::Refused, .. } => {
                self.moment(Moment::PeerRefuses);
            }
            Note::PeerUnreachable { why: DialError::TimedOut, .. } => {
                self.moment(Moment::PeerSilent);
            }
            Note::FirstStartWaits { .. } => self.moment(Moment::FirstStartWaits),
            Note::LocalSession { change: LocalChange::Upgraded, .. } => {
                self.moment(Moment::LocalUpgraded);
            }
            Note::LocalSession { change: LocalChange::Expired { .. }, .. } => {
                self.moment(Moment::LocalExpired);
            }
            _ => {}
        }
    }

    fn sync_chosen(&mut self, leader: ServerId, learner: ServerId, how: Means) {
        let seat = self.seat(learner);
        // What the leader chose for a learner that is gone already begins nothing.
        if seat.part.is_none_or(Part::leads) {
            return;
        }
        seat.sync = Some(Synchronization { how, leader, stage: Stage::Offered });
        let kind = if seat.votes { Learner::Follower } else { Learner::Observer };
        self.marks.hit(Mark::SyncChosen(how, kind));
        self.paths.step(learner, Step::Sync(how));
    }

    fn progress(&mut self, id: ServerId, stage: Stage) {
        if let Some(sync) = &mut self.seat(id).sync {
            sync.stage = stage;
        }
    }

    fn established(&mut self, now: SimTime, id: ServerId, epoch: Epoch, history: Option<Zxid>) {
        let before = self.reign.filter(|before| before.epoch < epoch);
        if let Some(before) = before {
            if before.leader == id {
                self.moment(Moment::SameLeaderAgain);
            }
            if epoch.0 > before.epoch.0 + 1 {
                self.moment(Moment::EpochSkipped);
            }
        }
        if history > self.committed {
            self.moment(Moment::OldProposalCommitted);
        }
        let voters = self.seats.iter().filter(|seat| seat.votes);
        let (up, all) = (voters.clone().filter(|seat| seat.part.is_some()).count(), voters.count());
        if up == all / 2 + 1 && up < all {
            self.moment(Moment::BareQuorumElects);
        }
        if self.seats.iter().any(|seat| seat.votes && seat.blank) {
            self.moment(Moment::BlankPeer);
        }
        let higher = &self.seats[id.0 as usize..];
        if higher.iter().any(|seat| seat.votes && seat.part.is_some()) {
            self.moment(Moment::LowerServerLeads);
        }
        if self.reign.is_none_or(|reign| reign.epoch < epoch) {
            self.reign = Some(Reign { epoch, leader: id, since: now });
        }
    }

    fn recovered(&mut self, id: ServerId, last: Option<Zxid>, from: Option<Zxid>, blank: bool) {
        let committed = self.committed;
        let seat = self.seat(id);
        seat.blank = blank;
        let (current, again) = (seat.current, seat.had_history);
        seat.had_history |= last.is_some();
        if from.is_some_and(|from| from > Zxid::ZERO) {
            self.moment(Moment::RecoveredFromSnapshot);
        } else if last.is_some_and(|last| last > Zxid::ZERO) {
            self.moment(Moment::RecoveredFromLog);
        }
        if blank && again {
            self.moment(Moment::RecoveredBlank);
        }
        if last > committed && last > Some(Zxid::ZERO) {
            self.moment(Moment::RecoveredTail);
        }
        if last.is_some_and(|last| last.epoch() > current) {
            self.moment(Moment::HistoryAhead);
        }
    }

    fn storage(&mut self, id: ServerId, storage: Storage) {
        if let Some(part) = self.seat(id).part {
            self.marks.hit(Mark::Storage(storage, part));
        }
    }

    fn durable(&mut self, id: ServerId, durable: Durable) {
        let seat = self.seat(id);
        let kept = match durable {
            Durable::Log { .. } => Kept::Log,
            Durable::Snapshot { .. } => Kept::Snapshot,
            Durable::AcceptedEpoch(epoch) => {
                seat.accepted = epoch;
                Kept::AcceptedEpoch
            }
            Durable::CurrentEpoch(epoch) => {
                seat.current = epoch;
                if let Some(sync) = &mut seat.sync {
                    sync.stage = Stage::EpochEntered;
                }
                Kept::CurrentEpoch
            }
            Durable::Removed { .. } => Kept::Removal,
        };
        seat.kept = Some(kept);
        if kept == Kept::Removal {
            self.storage(id, Storage::Purged);
        }
    }
}
