//! The expiry clock: buckets, owners, pauses.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const TICK: Span = Span::from_ms(1000);
const A: SessionId = SessionId(0x0100_0000_0000_0001);
const B: SessionId = SessionId(0x0200_0000_0000_0001);

fn tracker() -> SessionTracker {
    SessionTracker::new(TICK, Mono(7))
}

/// Steps every 100 ms.
fn run(tracker: &mut SessionTracker, ms: u64) -> Vec<SessionId> {
    let mut expired = Vec::new();
    for _ in 0..ms / 100 {
        tracker.advance(tracker.last_step + Span::from_ms(100));
        expired.extend(tracker.expired());
    }
    expired
}

#[test]
fn a_deadline_is_the_end_of_a_tick() {
    let mut tracker = tracker();
    for (clock_ms, timeout_ms, deadline_ms) in
        [(0, 2000, 3000), (0, 2500, 3000), (999, 2000, 3000), (1000, 2000, 4000), (1000, 0, 2000)]
    {
        tracker.clock = Span::from_ms(clock_ms);
        assert_eq!(tracker.deadline_of(timeout_ms), Span::from_ms(deadline_ms));
    }
}

#[test]
fn a_session_expires_once_after_its_timeout() {
    let mut tracker = tracker();
    tracker.track(A, 2000, Some(Owner::Local));
    assert_eq!(run(&mut tracker, 2900), []);
    assert_eq!(tracker.idle_ms(A), Some(2900));
    assert_eq!(run(&mut tracker, 100), [A]);
    assert!(tracker.is_closing(A));
    assert_eq!(run(&mut tracker, 60_000), []);
    assert_eq!(tracker.touch(A), Touched::Closing);
    assert_eq!(tracker.check(A, Owner::Local), Err(SessionTrouble::Closing));
    tracker.remove(A);
    assert_eq!(tracker.touch(A), Touched::Unknown);
    assert_eq!(tracker.check(A, Owner::Local), Err(SessionTrouble::Unknown));
    assert!(tracker.is_empty());
}

#[test]
fn a_use_starts_the_timeout_anew() {
    let mut tracker = tracker();
    tracker.track(A, 2000, None);
    for _ in 0..20 {
        assert_eq!(run(&mut tracker, 1900), []);
        assert_eq!(tracker.touch(A), Touched::Touched);
        assert_eq!(tracker.idle_ms(A), Some(0));
    }
    assert_eq!(tracker.touch_for(A, 10_000), Touched::Touched);
    assert_eq!(run(&mut tracker, 9900), []);
    assert_eq!(tracker.touch(A), Touched::Touched, "with the timeout of the last use");
    assert_eq!(run(&mut tracker, 9900), []);
    assert_eq!(run(&mut tracker, 1100), [A]);
}

#[test]
fn a_pause_is_cut_off_and_never_made_up() {
    let mut tracker = tracker();
    tracker.track(A, 4000, None);
    for _ in 0..3 {
        tracker.advance(tracker.last_step + Span::from_ms(3_600_000));
        assert_eq!(tracker.expired(), [], "an hour counts as one tick");
    }
    assert_eq!(tracker.idle_ms(A), Some(3000));
    assert_eq!(run(&mut tracker, 1900), []);
    assert_eq!(run(&mut tracker, 100), [A]);
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut tracker = tracker();
    tracker.track(A, 2000, None);
    tracker.advance(Mono(500_007));
    tracker.advance(Mono(3));
    tracker.advance(Mono(500_007));
    assert_eq!(tracker.idle_ms(A), Some(500), "nothing counts twice");
}

#[test]
fn sessions_of_many_buckets_expire_in_id_order() {
    let mut tracker = tracker();
    tracker.track(B, 300, None);
    tracker.track(A, 500, None);
    tracker.track(SessionId(-5), 1500, None);
    tracker.clock = Span::from_ms(5000);
    assert_eq!(tracker.expired(), [SessionId(-5), A, B]);
}

#[test]
fn a_closing_session_does_not_expire() {
    let mut tracker = tracker();
    tracker.track(A, 2000, None);
    tracker.set_closing(A);
    tracker.set_closing(A);
    tracker.set_closing(B);
    assert_eq!(tracker.deadline(), None);
    tracker.track(A, 2000, None);
    assert!(tracker.is_closing(A));
    assert_eq!(run(&mut tracker, 10_000), []);
}

#[test]
fn a_session_belongs_to_who_attached_last() {
    let (old, new) = (Owner::Learner(LinkId(1)), Owner::Learner(LinkId(2)));
    let mut tracker = tracker();
    tracker.track_all(&BTreeMap::from([(A, 2000), (B, 3000)]));
    assert_eq!(tracker.check(A, old), Ok(()), "the first user of an inherited session has it");
    assert_eq!(tracker.check(A, new), Err(SessionTrouble::Moved));
    assert_eq!(tracker.move_to(A, 2000, new), Touched::Touched);
    assert_eq!(tracker.check(A, old), Err(SessionTrouble::Moved));
    assert_eq!(tracker.check(A, new), Ok(()));
    tracker.touch(A);
    tracker.track(A, 2000, None);
    assert_eq!(tracker.check(A, Owner::Local), Err(SessionTrouble::Moved));
    tracker.track(A, 2000, Some(Owner::Local));
    assert_eq!(tracker.check(A, Owner::Local), Ok(()));
    assert_eq!(tracker.move_to(SessionId(5), 2000, new), Touched::Unknown);
    assert_eq!(tracker.timeout_ms(B), Some(3000));
}

#[test]
fn a_late_word_of_the_server_that_a_client_left_brings_no_old_timeout_back() {
    let (old, new) = (Owner::Learner(LinkId(1)), Owner::Learner(LinkId(2)));
    let mut tracker = tracker();
    tracker.track(A, 30_000, Some(old));
    tracker.move_to(A, 2000, new);
    assert_eq!(tracker.touch_by(A, 2000, new), Touched::Touched);
    assert_eq!(tracker.touch_by(A, 30_000, old), Touched::Touched);
    assert_eq!(tracker.timeout_ms(A), Some(2000));
    assert_eq!(tracker.touch_by(A, 4000, new), Touched::Touched);
    assert_eq!(tracker.timeout_ms(A), Some(4000));
    tracker.track(B, 5000, None);
    assert_eq!(tracker.touch_by(B, 6000, old), Touched::Touched, "nobody is known to have it");
    assert_eq!(tracker.timeout_ms(B), Some(6000));
    assert_eq!(tracker.touch_by(SessionId(5), 6000, old), Touched::Unknown);
}

#[test]
fn a_late_move_takes_no_time_away_from_the_server_that_a_client_is_at() {
    let (left, at) = (Owner::Learner(LinkId(1)), Owner::Learner(LinkId(2)));
    let mut tracker = tracker();
    tracker.track(A, 2000, Some(left));
    tracker.move_to(A, 30_000, at);
    assert_eq!(tracker.move_to(A, 2000, left), Touched::Touched);
    assert_eq!(tracker.timeout_ms(A), Some(30_000));
    assert_eq!(tracker.touch_by(A, 30_000, at), Touched::Touched);
    assert_eq!(run(&mut tracker, 20_000), [], "its client says something each ten seconds");
    tracker.touch_by(A, 2000, left);
    assert_eq!(tracker.timeout_ms(A), Some(2000), "it went there after all");
}

#[test]
fn deadlines_alone_end_a_session_on_time() {
    let mut tracker = tracker();
    assert_eq!(tracker.deadline(), None);
    tracker.track(A, 5000, None);
    let mut now = Mono(7);
    let mut expired = vec![];
    while let Some(wake) = tracker.deadline() {
        assert!(wake > now && wake.since(now) <= TICK);
        // A host that is late by less than half a tick loses nothing.
        now = wake + Span::from_ms(3);
        tracker.advance(now);
        expired.extend(tracker.expired());
    }
    assert_eq!(expired, [A]);
    let late = now.since(Mono(7) + Span::from_ms(6000));
    assert!(late <= Span::from_ms(3), "{late:?}");
}

#[test]
fn wild_timeouts_are_harmless() {
    let mut tracker = SessionTracker::new(Span::ZERO, Mono(u64::MAX));
    for (id, timeout_ms) in [(1, i32::MIN), (2, -1), (3, 0), (4, i32::MAX)] {
        tracker.track(SessionId(id), timeout_ms, None);
    }
    tracker.advance(Mono(u64::MAX));
    assert_eq!(tracker.expired(), []);
    assert!(tracker.deadline().is_some());
    tracker.clock = Span(u64::MAX);
    assert_eq!(tracker.expired().len(), 4);
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Track(i64, i32),
    Touch(i64),
    TouchFor(i64, i32),
    Close(i64),
    Remove(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..6i64;
    let timeout = -10..9000i32;
    prop_oneof![
        4 => (0..2_500_000u64).prop_map(Step::Advance),
        2 => (id.clone(), timeout.clone()).prop_map(|(id, ms)| Step::Track(id, ms)),
        2 => id.clone().prop_map(Step::Touch),
        1 => (id.clone(), timeout).prop_map(|(id, ms)| Step::TouchFor(id, ms)),
        1 => id.clone().prop_map(Step::Close),
        1 => id.prop_map(Step::Remove),
    ]
}

/// The same rules without buckets. `None` for a session that is closing.
#[derive(Default)]
struct Model {
    clock: u64,
    sessions: BTreeMap<i64, Option<(u64, i32)>>,
}

impl Model {
    fn touch(&mut self, id: i64, timeout: Option<i32>) -> Touched {
        match self.sessions.get_mut(&id) {
            None => Touched::Unknown,
            Some(None) => Touched::Closing,
            Some(Some((deadline, timeout_ms))) => {
                *timeout_ms = timeout.unwrap_or(*timeout_ms);
                *deadline = Self::deadline(self.clock, *timeout_ms);
                Touched::Touched
            }
        }
    }

    fn deadline(clock: u64, timeout_ms: i32) -> u64 {
        let end = clock + timeout_ms.max(0) as u64 * 1000;
        end - end % TICK.0 + TICK.0
    }

    fn expired(&mut self) -> Vec<SessionId> {
        let clock = self.clock;
        let due = |state: &Option<(u64, i32)>| state.is_some_and(|(deadline, _)| deadline <= clock);
        let mut expired = Vec::new();
        for (&id, state) in self.sessions.iter_mut().filter(|(_, state)| due(state)) {
            *state = None;
            expired.push(SessionId(id));
        }
        expired
    }
}

proptest! {
    #[test]
    fn buckets_change_nothing(steps in proptest::collection::vec(step(), 1..120)) {
        let mut tracker = tracker();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Advance(micros) => {
                    tracker.advance(tracker.last_step + Span(micros));
                    model.clock += micros.min(TICK.0);
                }
                Step::Track(id, ms) => {
                    tracker.track(SessionId(id), ms, None);
                    if model.touch(id, Some(ms)) == Touched::Unknown {
                        model.sessions.insert(id, Some((Model::deadline(model.clock, ms), ms)));
                    }
                }
                Step::Touch(id) => {
                    prop_assert_eq!(tracker.touch(SessionId(id)), model.touch(id, None));
                }
                Step::TouchFor(id, ms) => {
                    prop_assert_eq!(tracker.touch_for(SessionId(id), ms), model.touch(id, Some(ms)));
                }
                Step::Close(id) => {
                    tracker.set_closing(SessionId(id));
                    if let Some(state) = model.sessions.get_mut(&id) {
                        *state = None;
                    }
                }
                Step::Remove(id) => {
                    tracker.remove(SessionId(id));
                    model.sessions.remove(&id);
                }
            }
            prop_assert_eq!(tracker.expired(), model.expired());
            prop_assert_eq!(tracker.len(), model.sessions.len());
            let open: usize = tracker.buckets.values().map(BTreeSet::len).sum();
            let model_open = model.sessions.values().flatten().count();
            prop_assert_eq!(open, model_open);
            prop_assert_eq!(tracker.deadline().is_some(), open > 0);
        }
    }
}
