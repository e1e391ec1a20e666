//! Connections seen from the two processes, with the delivery heaps of the world in small.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it asks for")]

use bytes::Bytes;
use vivarium_core::server::input::{DialError, LinkEnd, Plane};

use super::{Delivery, EndId, Host, NetEvent, NetSim, PathFault, Presence};
use crate::ids::SimTime;
use crate::observe::CrashKind;
use crate::rng::{SimRng, Stream};

pub(super) const A: Host = Host(0);
pub(super) const B: Host = Host(1);

pub(super) struct Bench {
    pub(super) net: NetSim,
    pub(super) now: SimTime,
    seq: u64,
    heap: Vec<(SimTime, u64, Host, NetEvent)>,
    /// Hosts whose process takes nothing for now.
    asleep: Vec<Host>,
    got: Vec<(Host, Delivery)>,
}

impl Bench {
    pub(super) fn new(seed: u64) -> Self {
        let mut net = NetSim::new(2, 2, SimRng::new(seed, Stream::Latency, 0));
        net.set_presence(SimTime::ZERO, A, Presence::Listening);
        net.set_presence(SimTime::ZERO, B, Presence::Listening);
        Self {
            net,
            now: SimTime::ZERO,
            seq: 0,
            heap: Vec::new(),
            asleep: Vec::new(),
            got: Vec::new(),
        }
    }

    fn collect(&mut self) {
        for (at, host, event) in self.net.take_posts() {
            self.seq += 1;
            self.heap.push((at, self.seq, host, event));
        }
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        let until = self.now.plus(ms * 1000);
        loop {
            for host in [A, B] {
                let mut out = Vec::new();
                self.net.looked(host, &mut out);
                self.got.extend(out.into_iter().map(|delivery| (host, delivery)));
            }
            self.collect();
            let awake = self.heap.iter().enumerate();
            let next = awake
                .filter(|(_, (at, _, host, _))| *at <= until && !self.asleep.contains(host))
                .min_by_key(|(_, (at, seq, _, _))| (*at, *seq))
                .map(|(index, _)| index);
            let Some(index) = next else { break };
            let (at, _, host, event) = self.heap.remove(index);
            self.now = self.now.max(at);
            let mut out = Vec::new();
            self.net.due(self.now, event, &mut out);
            self.got.extend(out.into_iter().map(|delivery| (host, delivery)));
        }
        self.now = until;
    }

    pub(super) fn connect(&mut self) -> (EndId, EndId) {
        self.net.dial(self.now, A, 7, B, Plane::Quorum, 1_000_000);
        self.run_ms(500);
        let opened: Vec<_> = self
            .take(A)
            .into_iter()
            .chain(self.take(B))
            .filter_map(|delivery| match delivery {
                Delivery::Opened { end, dial, .. } => Some((end, dial)),
                _ => None,
            })
            .collect();
        let [(near, Some(7)), (far, None)] = opened[..] else { panic!("{opened:?}") };
        (near, far)
    }

    pub(super) fn take(&mut self, host: Host) -> Vec<Delivery> {
        let (mine, rest) = std::mem::take(&mut self.got).into_iter().partition(|(h, _)| *h == host);
        self.got = rest;
        let mine: Vec<(Host, Delivery)> = mine;
        mine.into_iter().map(|(_, delivery)| delivery).collect()
    }

    pub(super) fn bytes(&mut self, host: Host) -> Vec<u8> {
        let chunks = self.take(host).into_iter();
        chunks
            .filter_map(|delivery| match delivery {
                Delivery::Bytes { bytes, .. } => Some(bytes),
                _ => None,
            })
            .flatten()
            .collect()
    }

    pub(super) fn end(&mut self, host: Host) -> Option<LinkEnd> {
        self.take(host).into_iter().find_map(|delivery| match delivery {
            Delivery::Closed { how, .. } => Some(how),
            _ => None,
        })
    }
}

pub(super) fn text(len: usize) -> Bytes {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn bytes_arrive_whole_and_in_order_through_any_chunking_and_credit_adds_up() {
    for seed in 0..40 {
        let mut bench = Bench::new(seed);
        let (near, _) = bench.connect();
        let sent = text(300_000);
        for part in sent.chunks(10_007) {
            bench.net.send(bench.now, near, Bytes::copy_from_slice(part));
            bench.run_ms(1);
        }
        bench.run_ms(60_000);
        let credit: u64 = bench
            .take(A)
            .iter()
            .map(|delivery| match delivery {
                Delivery::Sent { bytes, .. } => *bytes,
                _ => 0,
            })
            .sum();
        assert_eq!(credit, sent.len() as u64, "seed {seed}");
        assert_eq!(bench.bytes(B), sent, "seed {seed}");
    }
}

#[test]
fn a_reader_that_holds_blocks_its_sender_and_loses_nothing() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed);
        let (near, far) = bench.connect();
        bench.net.hold(far);
        let sent = text(2_000_000);
        bench.net.send(bench.now, near, sent.clone());
        bench.run_ms(20_000);
        assert!(bench.bytes(B).is_empty(), "held");
        let credit: u64 = bench
            .take(A)
            .iter()
            .map(|delivery| match delivery {
                Delivery::Sent { bytes, .. } => *bytes,
                _ => 0,
            })
            .sum();
        assert!(credit < sent.len() as u64, "the kernel is bounded");
        bench.net.resume(bench.now, far);
        bench.run_ms(120_000);
        assert_eq!(bench.bytes(B), sent, "seed {seed}");
    }
}

#[test]
fn dials_are_refused_time_out_or_stand() {
    let mut bench = Bench::new(1);
    let why = |bench: &mut Bench| {
        bench.net.dial(bench.now, A, 1, B, Plane::Client, 3_000_000);
        bench.run_ms(10_000);
        bench.take(A).into_iter().find_map(|delivery| match delivery {
            Delivery::DialFailed { why, .. } => Some(why),
            _ => None,
        })
    };
    bench.net.set_presence(bench.now, B, Presence::NoProcess);
    assert_eq!(why(&mut bench), Some(DialError::Refused));
    bench.net.set_presence(bench.now, B, Presence::Off);
    assert_eq!(why(&mut bench), Some(DialError::TimedOut));
    bench.net.set_presence(bench.now, B, Presence::Listening);
    bench.net.path_fault(bench.now, B, A, PathFault::Block, true);
    assert_eq!(why(&mut bench), Some(DialError::TimedOut), "the answer is lost");
    bench.net.path_fault(bench.now, B, A, PathFault::Block, false);
    assert_eq!(why(&mut bench), None);
    for (refused, expected) in [(true, DialError::Refused), (false, DialError::TimedOut)] {
        bench.net.path_fault(bench.now, A, B, PathFault::Dials { refused }, true);
        assert_eq!(why(&mut bench), Some(expected));
        bench.net.path_fault(bench.now, A, B, PathFault::Dials { refused }, false);
        assert_eq!(why(&mut bench), None);
    }
}

#[test]
fn a_partition_parks_everything_and_delivers_it_after_it_heals() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed);
        let (near, _) = bench.connect();
        bench.net.path_fault(bench.now, A, B, PathFault::Block, true);
        bench.net.send(bench.now, near, text(100));
        bench.net.close(bench.now, near);
        bench.run_ms(8_000);
        assert!(bench.take(B).is_empty(), "neither bytes nor FIN cross a partition");
        bench.net.path_fault(bench.now, A, B, PathFault::Block, false);
        bench.run_ms(5_000);
        let got = bench.take(B);
        let bytes: Vec<u8> = got
            .iter()
            .filter_map(|delivery| match delivery {
                Delivery::Bytes { bytes, .. } => Some(bytes.to_vec()),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(bytes, text(100), "seed {seed}");
        assert!(matches!(got.last(), Some(Delivery::Closed { how: LinkEnd::Finished, .. })));
    }
}

#[test]
fn bytes_sent_around_a_heal_keep_their_order() {
    for seed in 0..40 {
        let mut bench = Bench::new(seed);
        let (near, _) = bench.connect();
        let sent = text(4_000);
        for (index, part) in sent.chunks(100).enumerate() {
            if index == 5 || index == 20 {
                bench.net.path_fault(bench.now, A, B, PathFault::Stall, true);
            }
            if index == 10 || index == 25 {
                bench.net.path_fault(bench.now, A, B, PathFault::Stall, false);
            }
            bench.net.send(bench.now, near, Bytes::copy_from_slice(part));
            bench.run_ms(20);
        }
        bench.run_ms(20_000);
        assert_eq!(bench.bytes(B), sent, "seed {seed}");
    }
}

#[test]
fn close_and_abort_end_both_sides_once() {
    for seed in 0..20 {
        for abort in [false, true] {
            let mut bench = Bench::new(seed);
            let (near, _) = bench.connect();
            bench.net.send(bench.now, near, text(10));
            if abort {
                bench.net.abort(bench.now, near);
            } else {
                bench.net.close(bench.now, near);
            }
            bench.run_ms(5_000);
            assert_eq!(bench.end(A), Some(LinkEnd::Closed));
            let expected = if abort { LinkEnd::Reset } else { LinkEnd::Finished };
            let got = bench.take(B);
            let ends: Vec<_> = got
                .iter()
                .filter_map(|delivery| match delivery {
                    Delivery::Closed { how, .. } => Some(*how),
                    _ => None,
                })
                .collect();
            assert_eq!(ends, [expected]);
            let delivered = got.iter().any(|d| matches!(d, Delivery::Bytes { .. }));
            assert_eq!(delivered, !abort, "RST takes what is on its way with it");
        }
    }
}

#[test]
fn a_flush_that_nobody_reads_ends_anyway() {
    let mut bench = Bench::new(3);
    let (near, far) = bench.connect();
    bench.net.hold(far);
    bench.net.send(bench.now, near, text(3_000_000));
    bench.net.close(bench.now, near);
    bench.run_ms(1_000);
    assert_eq!(bench.end(A), None, "there is more to send");
    bench.run_ms(10_000);
    assert_eq!(bench.end(A), Some(LinkEnd::Closed));
}

#[test]
fn a_killed_process_leaves_fin_or_rst_and_a_dark_machine_leaves_silence() {
    let (mut fins, mut resets) = (0, 0);
    for seed in 0..30 {
        let mut bench = Bench::new(seed);
        bench.connect();
        bench.net.host_died(bench.now, B, CrashKind::Process);
        bench.run_ms(2_000);
        match bench.end(A) {
            Some(LinkEnd::Finished) => fins += 1,
            Some(LinkEnd::Reset) => resets += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(fins > 0 && resets > 0);

    let mut bench = Bench::new(5);
    let (near, _) = bench.connect();
    bench.net.host_died(bench.now, B, CrashKind::PowerLoss);
    bench.net.send(bench.now, near, text(50));
    bench.run_ms(10_000);
    assert_eq!(bench.end(A), None, "a half-open connection");
    bench.net.set_presence(bench.now, B, Presence::NoProcess);
    bench.net.send(bench.now, near, text(50));
    bench.run_ms(5_000);
    assert_eq!(bench.end(A), Some(LinkEnd::Reset), "the new kernel knows nothing of it");
}

#[test]
fn a_kill_behind_a_partition_is_not_felt_until_it_heals() {
    let mut bench = Bench::new(9);
    bench.connect();
    bench.net.path_fault(bench.now, B, A, PathFault::Block, true);
    bench.net.host_died(bench.now, B, CrashKind::Process);
    bench.run_ms(20_000);
    assert_eq!(bench.end(A), None);
    bench.net.path_fault(bench.now, B, A, PathFault::Block, false);
    bench.run_ms(5_000);
    assert!(bench.end(A).is_some());
}

#[test]
fn a_black_hole_takes_everything_and_a_reset_ends_both_sides() {
    let mut bench = Bench::new(11);
    let (near, far) = bench.connect();
    assert_eq!(bench.net.half_open_between(B, A), 1);
    bench.net.send(bench.now, near, text(10));
    bench.net.abort(bench.now, near);
    bench.run_ms(20_000);
    assert!(bench.take(B).is_empty());
    assert!(!bench.net.black_holes_ended(), "one side still believes in it");
    bench.net.abort(bench.now, far);
    assert!(bench.net.black_holes_ended());
    assert!(!bench.net.black_holes_ended(), "told once");

    let mut bench = Bench::new(12);
    bench.connect();
    assert_eq!(bench.net.reset_between(bench.now, A, B), 1);
    bench.run_ms(100);
    assert_eq!(bench.end(A), Some(LinkEnd::Reset));
    assert_eq!(bench.end(B), Some(LinkEnd::Reset));
}

#[test]
fn a_paused_process_reads_nothing_and_finds_it_all_when_it_wakes() {
    let mut bench = Bench::new(13);
    let (near, _) = bench.connect();
    bench.asleep = vec![B];
    bench.net.send(bench.now, near, text(500));
    bench.run_ms(30_000);
    assert!(bench.take(B).is_empty());
    bench.asleep.clear();
    bench.run_ms(1);
    assert_eq!(bench.bytes(B), text(500));
}

#[test]
fn what_is_dialled_before_a_process_looks_is_served_when_it_does() {
    let mut bench = Bench::new(14);
    bench.net.set_presence(bench.now, B, Presence::Backlog);
    bench.net.dial(bench.now, A, 7, B, Plane::Quorum, 1_000_000);
    bench.net.dial(bench.now, A, 8, B, Plane::Quorum, 1_000_000);
    bench.run_ms(500);
    let opened: Vec<_> = bench
        .take(A)
        .into_iter()
        .filter_map(|delivery| match delivery {
            Delivery::Opened { end, .. } => Some(end),
            _ => None,
        })
        .collect();
    let [stays, gives_up] = opened[..] else { panic!("{opened:?}") };
    bench.net.send(bench.now, stays, text(300));
    bench.net.abort(bench.now, gives_up);
    bench.run_ms(500);
    assert!(bench.take(B).is_empty(), "nobody looks");
    bench.net.set_presence(bench.now, B, Presence::Listening);
    bench.run_ms(10);
    let got = bench.take(B);
    let [Delivery::Opened { .. }, Delivery::Bytes { bytes, .. }] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(bytes, &text(300));
}

#[test]
fn what_comes_as_a_process_begins_to_look_follows_its_connection() {
    let mut bench = Bench::new(14);
    bench.net.set_presence(bench.now, B, Presence::Backlog);
    bench.net.dial(bench.now, A, 7, B, Plane::Quorum, 1_000_000);
    bench.run_ms(500);
    let opened = bench.take(A).into_iter().find_map(|delivery| match delivery {
        Delivery::Opened { end, .. } => Some(end),
        _ => None,
    });
    let near = opened.expect("the kernel of B accepted it");
    bench.asleep.push(B);
    bench.net.send(bench.now, near, text(300));
    bench.run_ms(500);
    bench.net.set_presence(bench.now, B, Presence::Listening);
    bench.asleep.clear();
    bench.run_ms(10);
    let got = bench.take(B);
    let [Delivery::Opened { .. }, Delivery::Bytes { bytes, .. }] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(bytes, &text(300));
}

#[test]
fn a_process_that_dies_before_it_looks_ends_what_its_kernel_accepted() {
    let mut bench = Bench::new(15);
    bench.net.set_presence(bench.now, B, Presence::Backlog);
    bench.net.dial(bench.now, A, 7, B, Plane::Quorum, 1_000_000);
    bench.run_ms(500);
    bench.net.host_died(bench.now, B, CrashKind::Process);
    bench.net.set_presence(bench.now, B, Presence::Listening);
    bench.run_ms(500);
    assert!(bench.end(A).is_some());
    assert!(bench.take(B).is_empty());
}
