//! Phase 1, learner's side: find the leader, hear its epoch, promise to follow nobody older.

use crate::ids::{DialId, Epoch, LinkId, Zxid};
use crate::server::action::{Action, LinkAction};
use crate::server::input::Plane;
use crate::time::Mono;
use crate::wire::frame::PacketBuffer;
use crate::wire::quorum::{LeaderPacket, LearnerInfo, LearnerPacket, VivariumInfo};
use crate::zab::ZabCx;
use crate::zab::following::{DIALS, Following, Link, Phase, REDIAL, Synchronization};

/// Trying to reach the leader's quorum port.
#[derive(Debug)]
pub(super) struct Dialing {
    attempt: Attempt,
    /// Attempts that failed.
    failed: u32,
    deadline: Mono,
}

#[derive(Debug)]
enum Attempt {
    Dialed(DialId),
    RetryAt(Mono),
}

impl Dialing {
    pub(super) fn new(begin: Mono, deadline: Mono) -> Self {
        Self { attempt: Attempt::RetryAt(begin), failed: 0, deadline }
    }

    pub(super) fn is(&self, dial: DialId) -> bool {
        matches!(self.attempt, Attempt::Dialed(known) if known == dial)
    }

    pub(super) fn next(&self) -> Mono {
        match self.attempt {
            Attempt::Dialed(_) => self.deadline,
            Attempt::RetryAt(at) => at.min(self.deadline),
        }
    }
}

#[derive(Debug)]
pub(super) struct Discovery {
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// FOLLOWERINFO or OBSERVERINFO is on its way.
    AwaitingLeaderInfo,
    /// acceptedEpoch is on its way to the disk: ACKEPOCH waits for it. `again`: an earlier connection
    /// asked for it, so that this answer is no promise of its own.
    Accepting { epoch: Epoch, vivarium: bool, again: bool },
}

/// Protocol version of every peer since 3.4.
const PROTOCOL_VERSION: i32 = 0x10000;

impl Following {
    pub(super) fn dial(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Dialing(dialing) = &mut self.phase else { return };
        let Some(member) = cx.ensemble.member(self.leader) else {
            self.lose("the leader is no member of the ensemble", cx);
            return;
        };
        let dial = cx.dials.fresh();
        dialing.attempt = Attempt::Dialed(dial);
        let (host, port) = (member.quorum.host.clone(), member.quorum.port);
        let plane = Plane::Quorum;
        cx.out.push(Action::Link(LinkAction::Dial { dial, plane, host, port }));
    }

    pub fn on_dial_failed(&mut self, dial: DialId, cx: &mut ZabCx<'_>) {
        if !self.awaits_dial(dial) {
            return;
        }
        let retry = cx.at.mono + REDIAL;
        let Phase::Dialing(dialing) = &mut self.phase else { return };
        dialing.attempt = Attempt::RetryAt(retry);
        dialing.failed += 1;
        if dialing.failed == DIALS {
            self.lose("the leader takes no connection", cx);
        }
    }

    pub(super) fn redial(&mut self, cx: &mut ZabCx<'_>) {
        let now = cx.at.mono;
        let Phase::Dialing(dialing) = &self.phase else { return };
        if now >= dialing.deadline {
            self.lose("the leader is not reachable within syncLimit", cx);
        } else if matches!(dialing.attempt, Attempt::RetryAt(at) if now >= at) {
            self.dial(cx);
        }
    }

    /// The connection stands: introduce ourselves.
    pub fn on_opened(&mut self, link: LinkId, cx: &mut ZabCx<'_>) {
        let buffer = PacketBuffer::default();
        let last_heard = cx.at.mono;
        self.link = Some(Link { id: link, buffer, last_heard, held: false });
        self.phase = Phase::Discovery(Discovery { step: Step::AwaitingLeaderInfo });
        let accepted = cx.history.accepted();
        let info = LearnerInfo {
            server: Some(cx.config.me),
            protocol_version: PROTOCOL_VERSION,
            config_version: cx.ensemble.version() as i64,
            vivarium: Some(VivariumInfo {
                blank: cx.history.blank,
                uncuttable: cx.history.uncuttable.is_some(),
            }),
        };
        let packet = if self.observer {
            LearnerPacket::ObserverInfo { accepted, info }
        } else {
            LearnerPacket::FollowerInfo { accepted, info }
        };
        self.send(&packet, cx);
    }

    pub(super) fn discover(
        &mut self,
        packet: LeaderPacket,
        cx: &mut ZabCx<'_>,
    ) -> Result<(), &'static str> {
        let LeaderPacket::LeaderInfo { epoch, vivarium } = packet else {
            return Err("expected LEADERINFO");
        };
        let Phase::Discovery(discovery) = &mut self.phase else { return Ok(()) };
        if !matches!(discovery.step, Step::AwaitingLeaderInfo) {
            return Err("a second LEADERINFO");
        }
        if epoch < cx.history.accepted() {
            return Err("the leader's epoch is older than one that was accepted here (T33)");
        }
        if epoch > cx.history.accepted() {
            cx.history.accept(epoch, cx.out);
            discovery.step = Step::Accepting { epoch, vivarium, again: false };
            return Ok(());
        }
        // Accepted before: this answer must not be counted as a second promise. To look for a leader
        // again, while a slow disk still writes, would only find the same one at once.
        if cx.history.accepted_durable() < epoch {
            discovery.step = Step::Accepting { epoch, vivarium, again: true };
            return Ok(());
        }
        self.promise(epoch, None, vivarium, cx);
        Ok(())
    }

    pub(super) fn advance_discovery(&mut self, cx: &mut ZabCx<'_>) {
        let Phase::Discovery(discovery) = &self.phase else { return };
        let Step::Accepting { epoch, vivarium, again } = discovery.step else { return };
        if cx.history.accepted_durable() >= epoch {
            let current = (!again).then(|| cx.history.current());
            self.promise(epoch, current, vivarium, cx);
        }
    }

    fn promise(
        &mut self,
        epoch: Epoch,
        current: Option<Epoch>,
        vivarium: bool,
        cx: &mut ZabCx<'_>,
    ) {
        // A Java leader sends a SNAP only to whom it takes for far behind. It can be told so where the
        // answer is no promise: a promise says what the history really is.
        let asks_for_snap = !vivarium
            && current.is_none()
            && cx.history.uncuttable.is_some_and(|cut| cut.epoch == epoch);
        let last_logged: Option<Zxid> = cx.history.last().filter(|_| !asks_for_snap);
        self.send(&LearnerPacket::AckEpoch { last_logged, current }, cx);
        self.phase = Phase::Synchronization(Synchronization::new(epoch, vivarium));
    }
}
