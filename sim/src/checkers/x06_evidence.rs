//! X6: what a leader answers to a learner, it has evidence for. A sync is answered when a quorum has answered
//! a PING that was sent behind the question, and behind the commits of everything that was committed when it
//! came; so is "there is no such session", unless its end is committed. Nobody hears that a session lives
//! behind the proposal of its end, nor an observer before the commits of all that the session had proposed when
//! it asked: it could not tell them from what the client asks for now, by the same numbers. And it does not go
//! on to PING who answers none for longer than syncLimit: it has taken its silence for its end. Judged by the
//! wire.
//! Source: ZOOKEEPER-1675; what ours promise beyond 3.9.5, whose leaders owe none of it.

use crate::checkers::topic::{Topic, Topics};
use crate::checkers::{Check, Cx};
use crate::ids::SimTime;
use crate::observe::{SimEvent, Word};
use crate::oracle::txn::{ended_session, session_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vivarium_core::ids::{LinkId, ServerId, SessionId, Zxid};
use vivarium_core::server::note::{Note, Phase};
use vivarium_core::time::Mono;

#[derive(Debug, Default)]
pub(crate) struct X06 {
    leaders: BTreeMap<ServerId, Leader>,
    /// Sessions that a leader has called missing, which only their end excuses. What a server sends on a link is told
    /// where it began to write, and notes of the same moment, that of the commit of the end too, may follow.
    denied: VecDeque<Denial>,
}

#[derive(Clone, Copy, Debug)]
struct Denial {
    at: SimTime,
    by: ServerId,
    session: SessionId,
}

/// One process that leads, or may.
#[derive(Debug, Default)]
struct Leader {
    /// Counts what was heard and said: what has a higher number came later.
    moment: u64,
    learners: BTreeMap<LinkId, Learner>,
    /// Sessions whose end it has proposed.
    ending: BTreeSet<SessionId>,
    /// The newest that it has proposed for each session.
    proposed: BTreeMap<SessionId, Zxid>,
}

#[derive(Debug, Default)]
struct Learner {
    /// Unless it is an observer.
    voter: Option<ServerId>,
    observes: bool,
    serves: bool,
    /// When it was sent the last PING, by the leader's clock, and for how long it has said nothing since it serves.
    pinged: Mono,
    silent_us: u64,
    /// When each PING was sent that it has not answered yet; the moment of the newest that it has.
    pings: VecDeque<u64>,
    answered: u64,
    syncs: VecDeque<Sync>,
    questions: Vec<Question>,
}

/// Whether a session lives; not answered yet.
#[derive(Clone, Copy, Debug)]
struct Question {
    session: SessionId,
    asked: u64,
    /// The newest that was proposed for the session by then.
    floor: Zxid,
}

/// A sync that is not answered yet.
#[derive(Clone, Copy, Debug)]
struct Sync {
    asked: u64,
    /// Newest transaction that was committed when it came.
    floor: Zxid,
}

impl Check for X06 {
    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Word,
            Topic::PhaseEntered,
            Topic::Proposed,
            Topic::Boot,
            Topic::Crash,
            Topic::Exit,
        ])
    }

    fn event(&mut self, cx: &Cx<'_>, event: &SimEvent) -> Result<(), String> {
        let Some(server) = cx.server() else { return Ok(()) };
        match event {
            SimEvent::Boot { .. } => drop(self.leaders.remove(&server)),
            // What it would have told behind its last word is lost.
            SimEvent::Crash(_) | SimEvent::Exit(_) => self.denied.retain(|one| one.by != server),
            SimEvent::Note(Note::PhaseEntered { phase: Phase::Looking, .. }) => {
                if let Some(leader) = self.leaders.get_mut(&server) {
                    leader.ending.clear();
                    leader.proposed.clear();
                }
            }
            SimEvent::Note(Note::Proposed { zxid, payload, .. }) => {
                let leader = self.leaders.entry(server).or_default();
                if let Some(session) = session_of(payload) {
                    leader.proposed.insert(session, *zxid);
                    leader.ending.extend(ended_session(payload));
                }
            }
            SimEvent::Word { link, word } => {
                let leader = self.leaders.entry(server).or_default();
                let denied = leader.word(cx, *link, *word);
                let denied = denied.map_err(|what| format!("{server} {what}"))?;
                let denial = |session| Denial { at: cx.now, by: server, session };
                self.denied.extend(denied.map(denial));
            }
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<SimTime> {
        self.denied.front().map(|denial| denial.at.plus(1))
    }

    fn due(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        while let Some(Denial { by, session, .. }) =
            self.denied.pop_front_if(|denial| denial.at < cx.now)
        {
            if !cx.canon.closed.contains_key(&session) {
                return Err(format!(
                    "{by} says that there is no {session}, and no quorum has followed it since it was asked"
                ));
            }
        }
        Ok(())
    }
}

impl Leader {
    /// Returns a session that is called missing without evidence.
    fn word(&mut self, cx: &Cx<'_>, link: LinkId, word: Word) -> Result<Option<SessionId>, String> {
        self.moment += 1;
        let now = self.moment;
        let learner = self.learners.entry(link).or_default();
        match word {
            Word::Comes { learner: who, observer } => {
                learner.voter = Some(who).filter(|_| !observer);
                learner.observes = observer;
            }
            // It has read past every PING of before.
            Word::UpToDate => {
                learner.serves = true;
                learner.pings.clear();
            }
            Word::Ping { heard, at } => {
                learner.pings.push_back(now);
                learner.hears_ping(cx, heard, at)?;
            }
            Word::Echo => learner.answered = learner.pings.pop_front().unwrap_or(learner.answered),
            Word::AsksSync => {
                let floor = cx.canon.committed.last().map_or(Zxid::ZERO, |entry| entry.zxid);
                learner.syncs.push_back(Sync { asked: now, floor });
            }
            Word::AsksSession { session } => {
                let floor = self.proposed.get(&session).copied().unwrap_or(Zxid::ZERO);
                learner.questions.push(Question { session, asked: now, floor });
            }
            Word::Sync { told } => self.answer_sync(cx, link, told)?,
            Word::Session { session, valid, told } => {
                return self.answer(cx, link, session, valid.then_some(told));
            }
        }
        Ok(None)
    }

    fn answer_sync(&mut self, cx: &Cx<'_>, link: LinkId, told: Zxid) -> Result<(), String> {
        let learner = self.learners.entry(link).or_default();
        let Some(Sync { asked, floor }) = learner.syncs.pop_front() else {
            return Err("answers a sync that nobody asked for".into());
        };
        if told < floor {
            return Err(format!("answers a sync behind the commit of {told}, and owes {floor}"));
        }
        match self.is_confirmed(cx, asked) {
            true => Ok(()),
            false => Err("answers a sync, and no quorum has followed it since".into()),
        }
    }

    fn answer(
        &mut self,
        cx: &Cx<'_>,
        link: LinkId,
        session: SessionId,
        lives: Option<Zxid>,
    ) -> Result<Option<SessionId>, String> {
        let learner = self.learners.entry(link).or_default();
        let question = learner.questions.iter().position(|question| question.session == session);
        let Some(question) = question else {
            return Err(format!("speaks of {session}, which nobody asked for"));
        };
        let Question { asked, floor, .. } = learner.questions.remove(question);
        let Some(told) = lives else {
            return Ok((!self.is_confirmed(cx, asked)).then_some(session));
        };
        if self.ending.contains(&session) {
            return Err(format!("says that {session} lives, and has proposed its end"));
        }
        if learner.observes && told < floor {
            return Err(format!(
                "says that {session} lives behind the commit of {told}, and has proposed its {floor}"
            ));
        }
        Ok(None)
    }

    /// Whether a quorum has answered a PING that was sent behind that moment.
    fn is_confirmed(&self, cx: &Cx<'_>, moment: u64) -> bool {
        let later = self.learners.values().filter(|learner| learner.answered > moment);
        let mut voters: BTreeSet<ServerId> = later.filter_map(|learner| learner.voter).collect();
        voters.extend(cx.server());
        cx.canon.cluster.is_quorum(&voters)
    }
}

impl Learner {
    /// Of a pause of the leader, one tick counts.
    fn hears_ping(&mut self, cx: &Cx<'_>, heard: bool, at: Mono) -> Result<(), String> {
        let since_us = at.since(self.pinged).0.min(cx.canon.cluster.tick_us);
        self.pinged = at;
        self.silent_us = if heard || !self.serves { 0 } else { self.silent_us + since_us };
        if self.silent_us <= cx.canon.cluster.notices_us() {
            return Ok(());
        }
        let silent_ms = self.silent_us / 1000;
        Err(format!("pings {:?} once more, which has been silent for {silent_ms} ms", self.voter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::*;
    use crate::ids::NodeId;
    use crate::observe::CrashKind;
    use crate::oracle::txn::Txn;
    use crate::oracle::txn::build::payload;

    const SESSION: SessionId = SessionId(5);
    const OVER: Word = Word::Session { session: SESSION, valid: false, told: Zxid::ZERO };
    const LIVES: Word = Word::Session { session: SESSION, valid: true, told: Zxid::ZERO };
    const ASKED: Word = Word::AsksSession { session: SESSION };
    const PING: Word = Word::Ping { heard: true, at: Mono(0) };
    const SYNC: Word = Word::Sync { told: Zxid(u64::MAX) };

    /// Server 1 leads, and 2 and 3 follow it over the links of their numbers.
    fn leader() -> Run<X06> {
        let mut run = Run::new(X06::default());
        run.boot_all();
        run.establish(1, 1).unwrap();
        for learner in 2..=3 {
            let comes = Word::Comes { learner: ServerId(learner), observer: false };
            say(&mut run, learner, &[comes, PING, Word::UpToDate]).unwrap();
        }
        run
    }

    fn say(run: &mut Run<X06>, link: u64, words: &[Word]) -> Result<(), String> {
        let link = LinkId(link);
        words.iter().try_for_each(|word| run.server(1, SimEvent::Word { link, word: *word }))
    }

    #[test]
    fn a_sync_needs_a_ping_that_was_sent_behind_it() {
        let mut run = leader();
        say(&mut run, 2, &[PING, Word::AsksSync, Word::Echo]).unwrap();
        assert!(say(&mut run, 2, &[SYNC]).unwrap_err().contains("no quorum"));
        let mut run = leader();
        say(&mut run, 2, &[PING, Word::AsksSync, Word::Echo, PING]).unwrap();
        say(&mut run, 3, &[PING, Word::Echo]).unwrap();
        say(&mut run, 2, &[SYNC]).unwrap();
        assert!(say(&mut run, 2, &[SYNC]).unwrap_err().contains("nobody asked for"));
    }

    #[test]
    fn an_observer_is_no_evidence() {
        let mut run = leader();
        let observer = Word::Comes { learner: ServerId(4), observer: true };
        say(&mut run, 4, &[observer, Word::UpToDate, Word::AsksSync, PING]).unwrap();
        say(&mut run, 4, &[Word::Echo]).unwrap();
        assert!(say(&mut run, 4, &[SYNC]).is_err());
    }

    #[test]
    fn who_says_nothing_for_long_is_given_up() {
        let mut run = leader();
        let (tick_us, ticks) = (run.canon.cluster.tick_us, run.canon.cluster.sync_limit_ticks);
        let mut half_ticks = 0;
        let mut ping = |heard: bool, times: u64| {
            (0..times).try_for_each(|_| {
                half_ticks += 1;
                let at = Mono(half_ticks * tick_us / 2);
                say(&mut run, 2, &[Word::Ping { heard, at }])
            })
        };
        ping(false, 2 * (ticks + 2)).unwrap();
        ping(true, 1).unwrap();
        ping(false, 2 * (ticks + 2)).unwrap();
        assert!(ping(false, 1).unwrap_err().contains("silent for"));
        let mut run = leader();
        let at = Mono(1000 * ticks * tick_us);
        say(&mut run, 2, &[Word::Ping { heard: false, at }]).unwrap();
    }

    #[test]
    fn a_sync_that_overtakes_a_commit_is_found() {
        let asks = |told: Zxid| {
            let mut run = leader();
            run.propose(1, z(1, 1), 5).unwrap();
            run.log(1, z(1, 1), 5).unwrap();
            run.note(1, Note::Committed { zxid: z(1, 1) }).unwrap();
            say(&mut run, 2, &[Word::AsksSync, PING, Word::Echo, Word::Sync { told }])
        };
        asks(z(1, 1)).unwrap();
        assert!(asks(Zxid::ZERO).unwrap_err().contains("owes"));
    }

    #[test]
    fn that_a_session_is_missing_needs_evidence_or_its_end() {
        let mut run = leader();
        say(&mut run, 3, &[ASKED, OVER]).unwrap();
        assert!(run.wait_ms(1).unwrap_err().contains("there is no"));
        let mut run = leader();
        say(&mut run, 3, &[ASKED, PING, Word::Echo, OVER]).unwrap();
        run.wait_ms(1).unwrap();
        run.open(z(1, 1), SESSION.0);
        run.close(z(1, 2), SESSION.0).unwrap();
        say(&mut run, 2, &[ASKED, OVER]).unwrap();
        run.wait_ms(1).unwrap();
        assert!(say(&mut run, 2, &[OVER]).unwrap_err().contains("nobody asked for"));
    }

    /// Its packets of one moment are told together, with the first of them.
    #[test]
    fn the_commit_of_its_end_may_be_told_behind_the_word() {
        let denies = |behind: Option<SimEvent>| {
            let mut run = leader();
            run.open(z(1, 1), SESSION.0);
            let (zxid, hash) = (z(1, 2), 5);
            let end = Txn::CloseSession { paths: Some(Vec::new()) };
            let payload = payload(header(zxid, SESSION.0, 0), &end);
            run.note(1, Note::Proposed { zxid, hash, payload }).unwrap();
            (1..=3).for_each(|server| run.log(server, zxid, hash).unwrap());
            say(&mut run, 2, &[ASKED, OVER]).unwrap();
            if let Some(event) = behind {
                run.feed_at_once(NodeId::Server(ServerId(1)), &event).unwrap();
            }
            run.wait_ms(1)
        };
        denies(Some(SimEvent::Note(Note::Committed { zxid: z(1, 2) }))).unwrap();
        denies(Some(SimEvent::Crash(CrashKind::Process))).unwrap();
        assert!(denies(None).is_err());
    }

    #[test]
    fn an_observer_hears_of_a_session_behind_what_it_had_proposed() {
        let observer = Word::Comes { learner: ServerId(4), observer: true };
        let lives = |link: u64, first: &[Word], told: Zxid| {
            let mut run = leader();
            say(&mut run, 4, &[observer, Word::UpToDate]).unwrap();
            say(&mut run, link, first).unwrap();
            let payload = payload(header(z(1, 1), SESSION.0, 1), &Txn::Error { code: -101 });
            run.note(1, Note::Proposed { zxid: z(1, 1), hash: 5, payload }).unwrap();
            let asked: &[Word] = if first.is_empty() { &[ASKED] } else { &[] };
            say(&mut run, link, asked).unwrap();
            say(&mut run, link, &[Word::Session { session: SESSION, valid: true, told }])
        };
        assert!(lives(4, &[], Zxid::ZERO).unwrap_err().contains("has proposed its"));
        lives(4, &[], z(1, 1)).unwrap();
        lives(4, &[ASKED], Zxid::ZERO).unwrap();
        lives(2, &[], Zxid::ZERO).unwrap();
    }

    #[test]
    fn a_session_lives_up_to_the_proposal_of_its_end() {
        let mut run = leader();
        say(&mut run, 2, &[ASKED, LIVES]).unwrap();
        let payload =
            payload(header(z(1, 1), SESSION.0, 0), &Txn::CloseSession { paths: Some(Vec::new()) });
        run.note(1, Note::Proposed { zxid: z(1, 1), hash: 5, payload }).unwrap();
        assert!(say(&mut run, 2, &[ASKED, LIVES]).unwrap_err().contains("proposed its end"));
        run.note(1, phase(Phase::Looking, 1)).unwrap();
        say(&mut run, 2, &[ASKED, LIVES]).unwrap();
    }
}
