//! Delivery by pull: each host owns one heap of what will reach it, and one timer.
//!
//! Whoever posts something arms the receiver's timer through a reused `Sleep`, whose `reset` can
//! go below the millisecond that madsim's `sleep` rounds up to. madsim never cancels a timer, so
//! the inbox remembers which it has outstanding and arms another only for an earlier moment.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::time::{Sleep, TimeHandle};

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
    /// Control of the run: a unit of the schedule begins or ends.
    FaultBegins(usize),
    FaultEnds(usize),
    Heal,
    End,
}

#[derive(Debug)]
struct Due {
    at: SimTime,
    seq: u64,
    incarnation: u32,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

pub(crate) struct Inbox {
    heap: BinaryHeap<Reverse<Due>>,
    seq: u64,
    /// Bumped when the process dies: what was on its way to it is dropped.
    incarnation: u32,
    outstanding: BinaryHeap<Reverse<SimTime>>,
    sleep: Pin<Box<Sleep>>,
    waker: Option<Waker>,
    time: TimeHandle,
}

impl Inbox {
    pub(crate) fn new(time: &TimeHandle) -> Self {
        Self {
            heap: BinaryHeap::new(),
            seq: 0,
            incarnation: 0,
            outstanding: BinaryHeap::new(),
            sleep: Box::pin(time.sleep(Duration::ZERO)),
            waker: None,
            time: time.clone(),
        }
    }

    pub(crate) fn post(&mut self, now: SimTime, at: SimTime, what: What) {
        self.seq += 1;
        let (seq, incarnation) = (self.seq, self.incarnation);
        self.heap.push(Reverse(Due { at, seq, incarnation, what }));
        self.arm(now, at);
    }

    /// Takes the earliest entry whose moment has come.
    pub(crate) fn pop(&mut self, now: SimTime) -> Option<What> {
        while self.heap.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Reverse(due) = self.heap.pop().expect("peeked just now");
            if due.incarnation == self.incarnation {
                return Some(due.what);
            }
        }
        None
    }

    pub(crate) fn next(&self) -> Option<SimTime> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// The process is gone, and everything that was on its way to it.
    pub(crate) fn clear(&mut self) {
        self.incarnation += 1;
        self.heap.clear();
    }

    /// Another process takes the place of the one that ended: what it asked of its disk is no concern
    /// of the next.
    pub(crate) fn forget_disk(&mut self) {
        self.heap.retain(|Reverse(due)| !matches!(due.what, What::Disk(_)));
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

    /// Makes sure that the host's task runs at `at`.
    pub(crate) fn arm(&mut self, now: SimTime, at: SimTime) {
        let Some(waker) = &self.waker else { return };
        if self.outstanding.peek().is_some_and(|Reverse(known)| *known <= at)
            || at == SimTime::NEVER
        {
            return;
        }
        if at > now {
            let base = self.time.now_instant() - self.time.elapsed();
            self.sleep.as_mut().reset(base + Duration::from_micros(at.0));
            let armed = self.sleep.as_mut().poll(&mut Context::from_waker(waker));
            if armed == Poll::Pending {
                self.outstanding.push(Reverse(at));
                return;
            }
        }
        waker.wake_by_ref();
    }
}
