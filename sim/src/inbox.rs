//! Delivery by pull: each host owns one heap of what will reach it, and one timer.
//!
//! Whoever posts something arms the receiver's timer through a reused `Sleep`, whose `reset` can
//! go below the millisecond that madsim's `sleep` rounds up to. madsim never cancels a timer, so
//! the inbox remembers which it has outstanding and arms another only for an earlier moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::time::{Instant, Sleep, TimeHandle};

use crate::disk::DiskEvent;
use crate::ids::SimTime;
use crate::net::NetEvent;

/// What waits in a heap.
#[derive(Debug)]
pub(crate) enum What {
    Net(NetEvent),
    Disk(DiskEvent),
    /// The supervisor starts the process, unless it runs.
    Boot,
    /// The operator asks for a graceful stop.
    Stop,
    /// First event of a client.
    ClientStart,
    ClientCalm,
    ClientLeave,
    /// Control of the run: a unit of the schedule begins or ends.
    FaultBegins(usize),
    /// One that comes and goes does so.
    FaultTurns(usize),
    FaultEnds(usize),
    Heal,
    End,
    /// Nobody wants to see more of the run.
    Cut,
    /// What is not drawn yet is drawn anew, so many times.
    Reroll(u32),
}

/// A place in the heap: small, since heaps move their entries about. Of two moments that are equal,
/// what was posted first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: SimTime,
    seq: u64,
    /// Where its content waits.
    slot: u32,
}

pub(crate) struct Inbox {
    heap: BinaryHeap<Reverse<Due>>,
    /// What the entries of the heap mean.
    content: Vec<Option<What>>,
    /// Places in `content` that nothing waits in.
    vacant: Vec<u32>,
    seq: u64,
    outstanding: BinaryHeap<Reverse<SimTime>>,
    /// The host's task has nothing to do before.
    idle_until: SimTime,
    sleep: Pin<Box<Sleep>>,
    waker: Option<Waker>,
    /// When the run began, on madsim's clock.
    origin: Instant,
}

impl Inbox {
    pub(crate) fn new(time: &TimeHandle) -> Self {
        Self {
            heap: BinaryHeap::new(),
            content: Vec::new(),
            vacant: Vec::new(),
            seq: 0,
            outstanding: BinaryHeap::new(),
            idle_until: SimTime::ZERO,
            sleep: Box::pin(time.sleep(Duration::ZERO)),
            waker: None,
            origin: time.now_instant() - time.elapsed(),
        }
    }

    pub(crate) fn post(&mut self, now: SimTime, at: SimTime, what: What) {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.content.push(None);
            (self.content.len() - 1) as u32
        });
        self.content[slot as usize] = Some(what);
        self.seq += 1;
        self.heap.push(Reverse(Due { at, seq: self.seq, slot }));
        self.arm(now, at);
    }

    /// Takes the earliest entry whose moment has come.
    pub(crate) fn pop(&mut self, now: SimTime) -> Option<What> {
        if self.heap.peek().is_none_or(|Reverse(due)| due.at > now) {
            return None;
        }
        let Reverse(due) = self.heap.pop()?;
        self.vacant.push(due.slot);
        self.content[due.slot as usize].take()
    }

    pub(crate) fn next(&self) -> Option<SimTime> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// The process is gone, and everything that was on its way to it.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
        self.content.clear();
        self.vacant.clear();
        self.idle_until = SimTime::ZERO;
    }

    /// Another process takes the place of the one that ended: what it asked of its disk is no concern
    /// of the next.
    pub(crate) fn forget_disk(&mut self) {
        let (content, vacant) = (&mut self.content, &mut self.vacant);
        self.heap.retain(|Reverse(due)| {
            let what = &mut content[due.slot as usize];
            let keep = !matches!(what, Some(What::Disk(_)));
            if !keep {
                *what = None;
                vacant.push(due.slot);
            }
            keep
        });
    }

    /// The host's task is running: it is this waker that timers have to wake.
    pub(crate) fn polled(&mut self, now: SimTime, waker: &Waker) {
        while self.outstanding.peek().is_some_and(|Reverse(at)| *at <= now) {
            self.outstanding.pop();
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            // Timers of the old task wake nobody.
            self.outstanding.clear();
            self.waker = Some(waker.clone());
        }
    }

    /// The host is busy: whatever comes before `until` waits for that moment.
    pub(crate) fn rest(&mut self, until: SimTime) {
        self.idle_until = until;
    }

    /// Makes sure that the host's task runs at `at`, or when the host is done with what it does.
    pub(crate) fn arm(&mut self, now: SimTime, at: SimTime) {
        let Some(waker) = &self.waker else { return };
        let at = at.max(self.idle_until);
        if self.outstanding.peek().is_some_and(|Reverse(known)| *known <= at)
            || at == SimTime::NEVER
        {
            return;
        }
        if at > now {
            self.sleep.as_mut().reset(self.origin + Duration::from_micros(at.0));
            let armed = self.sleep.as_mut().poll(&mut Context::from_waker(waker));
            if armed == Poll::Pending {
                self.outstanding.push(Reverse(at));
                return;
            }
        }
        waker.wake_by_ref();
    }
}
