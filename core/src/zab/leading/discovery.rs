//! Phase 1, leader's side: a new epoch, greater than every one that a quorum has accepted.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::ids::{Epoch, LinkId, ServerId, Zxid};
use crate::server::action::CloseReason;
use crate::server::note::Note;
use crate::time::Mono;
use crate::wire::quorum::{LeaderPacket, LearnerInfo};
use crate::zab::ZabCx;
use crate::zab::leading::learner::{Promise, Stage, Who};
use crate::zab::leading::{Leading, LeadingEvent, Phase, Synchronization};

#[derive(Debug)]
pub struct Discovery {
    step: Step,
    pub(super) deadline: Mono,
}

#[derive(Debug)]
enum Step {
    /// CEPOCH of the paper: the voters whose accepted epochs are known, this one included.
    Collecting { greeted: BTreeSet<ServerId> },
    /// The new epoch is on its way to the own acceptedEpoch file: LEADERINFO waits for it.
    Accepting { epoch: Epoch },
    /// ACK-E of the paper: who promised to follow nobody older, and who cannot.
    Promising { epoch: Epoch, since: Mono, promised: BTreeSet<ServerId>, unable: Unable },
}

#[derive(Debug, Default)]
struct Unable {
    /// Blank, or ahead of this leader.
    at_all: BTreeSet<ServerId>,
    /// Bound to another leader of this epoch, or to one of a greater epoch, and able to promise a greater one.
    this_epoch: BTreeSet<ServerId>,
}

impl Discovery {
    pub(super) fn new(deadline: Mono, cx: &ZabCx<'_>) -> Self {
        let greeted = BTreeSet::from([cx.config.me]);
        Self { step: Step::Collecting { greeted }, deadline }
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        match &self.step {
            Step::Collecting { .. } => None,
            Step::Accepting { epoch, .. } | Step::Promising { epoch, .. } => Some(*epoch),
        }
    }

    fn greet(&mut self, who: Who, cx: &ZabCx<'_>) {
        let Step::Collecting { greeted } = &mut self.step else { return };
        if let Some(id) = who.id
            && !who.observer
            && cx.ensemble.is_voter(id)
        {
            greeted.insert(id);
        }
    }

    /// The own acceptedEpoch is durable: the leader's seat is promised, LEADERINFO may go.
    fn promise_own_seat(&mut self, cx: &mut ZabCx<'_>) {
        let Step::Accepting { epoch } = self.step else { return };
        if cx.history.accepted_durable() < epoch {
            return;
        }
        let (last, current) = (cx.history.last(), cx.history.current());
        cx.out.note(Note::Promised { epoch, by: cx.config.me, last, current });
        let promised = BTreeSet::from([cx.config.me]);
        let (since, unable) = (cx.at.mono, Unable::default());
        self.step = Step::Promising { epoch, since, promised, unable };
    }
}

impl Leading {
    pub(super) fn on_info(
        &mut self,
        link: LinkId,
        accepted: Epoch,
        info: LearnerInfo,
        observer: bool,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        let version = cx.ensemble.version();
        if info.config_version > version as i64 {
            return Err("the learner knows a newer configuration (T36)");
        }
        if accepted.next().is_none() {
            return Err("the learner shows the last epoch, behind which there is none");
        }
        let who = Who {
            id: info.server,
            observer,
            vivarium: info.vivarium.is_some(),
            blank: info.vivarium.is_some_and(|flags| flags.blank),
            uncuttable: info.vivarium.is_some_and(|flags| flags.uncuttable),
            accepted,
        };
        self.drop_older_link(link, who, cx);
        let learner = self.learners.get_mut(&link).ok_or("no such learner")?;
        if !matches!(learner.stage, Stage::Arrived) {
            return Err("a second introduction");
        }
        learner.stage = Stage::Greeted(who);
        cx.history.hear(accepted);
        if self.epoch().is_some_and(|epoch| accepted > epoch) {
            self.outbid = true;
        }
        if let Phase::Discovery(discovery) = &mut self.phase {
            discovery.greet(who, cx);
        }
        Ok(())
    }

    /// A server that connects again has given up its older connection.
    fn drop_older_link(&mut self, link: LinkId, who: Who, cx: &mut ZabCx<'_>) {
        let older = self.learners.iter().find(|(known, learner)| {
            **known != link
                && who.id.is_some()
                && learner.stage.who().and_then(|older| older.id) == who.id
        });
        if let Some(older) = older.map(|(known, _)| *known) {
            self.drop_learner(older, CloseReason::Superseded, cx);
        }
    }

    pub(super) fn on_ack_epoch(
        &mut self,
        link: LinkId,
        last: Option<Zxid>,
        current: Option<Epoch>,
    ) -> Result<(), &'static str> {
        let learner = self.learners.get_mut(&link).ok_or("no such learner")?;
        let Stage::Invited(who) = learner.stage else { return Err("ACKEPOCH out of turn") };
        learner.reported = last.filter(|_| !who.blank);
        learner.stage = Stage::Promised { who, last, current };
        Ok(())
    }

    pub(super) fn advance_discovery(&mut self, cx: &mut ZabCx<'_>) {
        self.choose_epoch(cx);
        if let Phase::Discovery(discovery) = &mut self.phase {
            discovery.promise_own_seat(cx);
        }
        self.invite(cx);
        self.count_promises(cx);
    }

    fn choose_epoch(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Discovery(discovery) = &mut self.phase else { return };
        let Step::Collecting { greeted } = &discovery.step else { return };
        if !cx.ensemble.has_quorum(greeted.iter().copied()) {
            return;
        }
        let Some(epoch) = cx.history.heard().next() else {
            self.events.push_back(LeadingEvent::Abdicate("the last epoch is used up"));
            return;
        };
        discovery.step = Step::Accepting { epoch };
        cx.history.accept(epoch, cx.out);
    }

    /// LEADERINFO to whoever introduced itself, once the epoch is durable here.
    fn invite(&mut self, cx: &mut ZabCx<'_>) {
        let epoch = match &self.phase {
            Phase::Discovery(discovery) => match &discovery.step {
                Step::Promising { epoch, .. } => *epoch,
                Step::Collecting { .. } | Step::Accepting { .. } => return,
            },
            Phase::Synchronization(synchronization) => synchronization.epoch,
            Phase::Broadcast(broadcast) => broadcast.epoch,
        };
        for learner in self.learners.values_mut() {
            let Stage::Greeted(who) = learner.stage else { continue };
            learner.send(&LeaderPacket::LeaderInfo { epoch, vivarium: true }, cx);
            learner.stage = Stage::Invited(who);
        }
    }

    fn count_promises(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Discovery(discovery) = &mut self.phase else { return };
        let Step::Promising { epoch, since, promised, unable } = &mut discovery.step else {
            return;
        };
        let (epoch, is_late) = (*epoch, *since + cx.config.tick <= cx.at.mono);
        let own = (cx.history.current(), cx.history.last());
        let mut ahead = Vec::new();
        for learner in self.learners.values() {
            let Some(id) = learner.voter().filter(|id| cx.ensemble.is_voter(*id)) else { continue };
            match learner.promise(epoch) {
                Promise::None => {}
                Promise::Unable => {
                    unable.at_all.insert(id);
                }
                Promise::Bound => {
                    unable.this_epoch.insert(id);
                }
                Promise::Made { last, current } if (current, Some(last)) > own => {
                    ahead.push(learner.link);
                    unable.at_all.insert(id);
                }
                Promise::Made { last, current } => {
                    if promised.insert(id) {
                        let last = Some(last);
                        cx.out.note(Note::Promised { epoch, by: id, last, current });
                    }
                }
            }
        }
        let complete = cx.ensemble.has_quorum(promised.iter().copied());
        let is_able =
            |id: &ServerId| !unable.at_all.contains(id) && !unable.this_epoch.contains(id);
        let able: Vec<ServerId> = cx.ensemble.voters().filter(is_able).collect();
        let in_vain = !cx.ensemble.has_quorum(able.iter().copied());
        // Those who are not here by now may be dead. Those who are would do for a greater epoch.
        let bound = unable.this_epoch.difference(&unable.at_all).copied();
        let too_small = is_late && cx.ensemble.has_quorum(promised.iter().copied().chain(bound));
        for link in ahead {
            let why = CloseReason::Protocol("the learner's history is ahead of its leader's");
            self.drop_learner(link, why, cx);
        }
        if complete {
            let deadline = cx.at.mono + cx.init_limit();
            self.phase = Phase::Synchronization(Synchronization::new(epoch, deadline, cx));
        } else if in_vain || too_small {
            // Waiting for initLimit would change nothing: another candidate, or a greater epoch, can.
            self.events.push_back(LeadingEvent::Abdicate("too few voters can promise this epoch"));
        }
    }
}
