//! Delivery by pull: each host owns one heap of what will reach it, and one timer.
//!
//! Whoever posts something arms the receiver's timer through a reused `Sleep`, whose `reset` can
//! go below the millisecond that madsim's `sleep` rounds up to. madsim never cancels a timer, so
//! the inbox remembers which it has outstanding and arms another only for an earlier moment.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::time::{Instant, Sleep, TimeHandle};

use crate::disk::DiskEvent;
use crate::ids::SimTime;
use crate::net::{Lane, NetEvent};
use crate::rng::SimRng;

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

    /// What is due next, if it comes on this lane of the network.
    pub(crate) fn pop_on(&mut self, now: SimTime, lane: Lane) -> Option<NetEvent> {
        let Reverse(due) = self.heap.peek().filter(|Reverse(due)| due.at <= now)?;
        let what = self.content[due.slot as usize].as_ref();
        let Some(What::Net(event)) = what else { return None };
        if event.lane() != lane {
            return None;
        }
        let Some(What::Net(event)) = self.pop(now) else { unreachable!("it was seen just now") };
        Some(event)
    }

    pub(crate) fn next(&self) -> Option<SimTime> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// A process that was stopped goes on, and its kernel has much to tell it: connection by connection in
    /// no particular order, though in the order of arrival on each, a part of a connection at a time.
    pub(crate) fn interleave(&mut self, now: SimTime, rng: &mut SimRng) {
        let mut lanes: Vec<(Option<Lane>, VecDeque<u32>)> = Vec::new();
        while let Some(Reverse(due)) = self.heap.peek().copied().filter(|next| next.0.at <= now) {
            self.heap.pop();
            // What is not of the network, its disk's news above all, keeps its order as well.
            let what = self.content[due.slot as usize].as_ref();
            let lane = if let Some(What::Net(event)) = what { Some(event.lane()) } else { None };
            match lanes.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, waiting)) => waiting.push_back(due.slot),
                None => lanes.push((lane, VecDeque::from([due.slot]))),
            }
        }
        while !lanes.is_empty() {
            let at = rng.below(lanes.len() as u64) as usize;
            let waiting = &mut lanes[at].1;
            let part = rng.range(1, waiting.len() as u64) as usize;
            for slot in waiting.drain(..part) {
                self.seq += 1;
                self.heap.push(Reverse(Due { at: now, seq: self.seq, slot }));
            }
            if waiting.is_empty() {
                lanes.swap_remove(at);
            }
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use vivarium_core::server::input::Plane;

    use super::*;
    use crate::net::{Delivery, EndId, Host, NetSim, Presence};
    use crate::rng::Stream;

    const SENDER: Host = Host(0);
    const STOPPED: Host = Host(1);
    const LATER: SimTime = SimTime::from_secs(1);

    /// Three chunks on each of four connections, as the one who was stopped reads them.
    fn read(rng: Option<SimRng>) -> Vec<(EndId, Bytes)> {
        let runtime = madsim::runtime::Runtime::with_seed_and_config(1, madsim::Config::default());
        let mut inbox = runtime.block_on(async { Inbox::new(&TimeHandle::current()) });
        let mut net = NetSim::new(2, 2, SimRng::new(7, Stream::Latency, 0));
        net.set_presence(SimTime::ZERO, STOPPED, Presence::Listening);
        for dial in 0..4 {
            net.dial(SimTime::ZERO, SENDER, dial, STOPPED, Plane::Quorum, 1_000_000);
        }
        let mut opened = Vec::new();
        for (_, _, event) in net.take_posts().collect::<Vec<_>>() {
            net.due(LATER, event, &mut opened);
        }
        for chunk in 0..3 {
            for delivery in &opened {
                let Delivery::Opened { end, .. } = delivery else { panic!("{delivery:?}") };
                net.send(LATER, *end, Bytes::from(vec![chunk; 9]));
            }
        }
        for (at, host, event) in net.take_posts() {
            if host == STOPPED {
                inbox.post(LATER, at, What::Net(event));
            }
        }
        let now = LATER.plus(10_000_000);
        if let Some(mut rng) = rng {
            inbox.interleave(now, &mut rng);
        }
        let mut got = Vec::new();
        while let Some(What::Net(event)) = inbox.pop(now) {
            net.due(now, event, &mut got);
        }
        let chunk = |delivery| match delivery {
            Delivery::Bytes { end, bytes } => Some((end, bytes)),
            Delivery::Opened { .. }
            | Delivery::DialFailed { .. }
            | Delivery::Sent { .. }
            | Delivery::Closed { .. } => None,
        };
        got.into_iter().filter_map(chunk).collect()
    }

    #[test]
    fn what_came_during_a_stop_is_read_in_any_order_but_that_of_one_connection() {
        let by_connection = |read: &[(EndId, Bytes)]| {
            let mut each: BTreeMap<EndId, Vec<u8>> = BTreeMap::new();
            for (end, bytes) in read {
                each.entry(*end).or_default().extend_from_slice(bytes);
            }
            each
        };
        let arrived = read(None);
        assert_eq!(by_connection(&arrived).len(), 4);
        let orders = (0..20).map(|seed| read(Some(SimRng::new(seed, Stream::Backlog, 0))));
        let orders: Vec<_> = orders.collect();
        for order in &orders {
            assert_eq!(by_connection(order), by_connection(&arrived));
        }
        assert!(orders.iter().filter(|order| **order != arrived).count() > 15);
    }
}
